"""Logs of the size of MIND_large and of H&M, in their owners' layouts, generated from a seed.

    python benchmarks/logs.py mind FOLDER [--scale 1.0] [--seed 0]
    python benchmarks/logs.py hm FOLDER [--scale 1.0] [--seed 0]

Writes FOLDER/MINDlarge_train, _dev and _test, or FOLDER/articles.csv and transactions_train.csv, and FOLDER/truth.json:
what a reader has to find in them. Rows are made and written in batches, so one core and about 1 GiB of memory do.
"""

import argparse
import json
from collections.abc import Sequence
from datetime import time
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.random import Generator
from numpy.typing import NDArray

ROWS = 1 << 16  # impressions, users or baskets of a batch
FEWEST = 5  # plmrs prepare drops users with fewer items
SYLLABLES = ("an", "be", "con", "de", "el", "fa", "gor", "hi", "in", "ka", "men", "ne", "or", "qui", "ro", "ti", "zé")

Ints = NDArray[np.integer[Any]]


class Part(NamedTuple):
    """A folder of MIND_large: its size, its days in November 2019, and its news, a range of all news by age."""

    folder: str
    impressions: int
    users: int
    news: tuple[int, int]
    days: range


PARTS = (
    Part("MINDlarge_train", 2_232_748, 711_222, (0, 101_527), range(9, 15)),
    Part("MINDlarge_dev", 376_471, 255_990, (50_000, 122_023), range(15, 16)),
    Part("MINDlarge_test", 2_370_727, 702_005, (40_054, 161_013), range(16, 23)),
)
NEWS, READERS, CLICKS = 161_013, 1_000_000, 24_155_470
SHOWN, CLICKED = 37, 1.5  # news of an impression
CATEGORIES = ("autos", "entertainment", "finance", "foodanddrink", "health", "lifestyle", "music", "news", "sports")

TRANSACTIONS, CUSTOMERS, ARTICLES, PRODUCTS = 31_788_324, 1_362_281, 105_542, 47_224
BASKET = 3.5  # articles
HEADER = (
    "article_id,product_code,prod_name,product_type_no,product_type_name,product_group_name,graphical_appearance_no,"
    "graphical_appearance_name,colour_group_code,colour_group_name,perceived_colour_value_id,"
    "perceived_colour_value_name,perceived_colour_master_id,perceived_colour_master_name,department_no,"
    "department_name,index_code,index_name,index_group_no,index_group_name,section_no,section_name,garment_group_no,"
    "garment_group_name,detail_desc\n"
)
# Columns that belong together: type, appearance, colour, its value, its master, department, index, section, garment.
COLUMN_GROUPS = (
    (
        "253,Vest top,Garment Upper body",
        "306,Bra,Underwear",
        "304,Underwear Tights,Socks & Tights",
        "252,Sweater,Garment Upper body",
        "272,Trousers,Garment Lower body",
        "265,Dress,Garment Full body",
        "87,Boots,Shoes",
        "70,Earring,Accessories",
    ),
    ("1010016,Solid", "1010017,Stripe", "1010001,All over pattern", "1010023,Denim", "1010010,Melange"),
    ("09,Black", "10,White", "73,Dark Blue", "51,Light Pink", "43,Dark Red", "12,Light Beige", "19,Greenish Khaki"),
    ("4,Dark", "3,Light", "1,Dusty Light", "2,Medium Dusty", "5,Bright", "7,Medium"),
    ("5,Black", "9,White", "2,Blue", "4,Pink", "18,Red", "11,Beige", "20,Khaki green"),
    ("1676,Jersey Basic", "1339,Clean Lingerie", "3608,Tights basic", "6515,Baby basics", "1334,Nightwear"),
    (
        "A,Ladieswear,1,Ladieswear",
        "B,Lingeries/Tights,1,Ladieswear",
        "D,Divided,2,Divided",
        "F,Menswear,3,Menswear",
        "G,Baby Sizes 50-98,4,Baby/Children",
        "S,Sport,26,Sport",
    ),
    ("16,Womens Everyday Basics", "61,Womens Lingerie", '62,"Womens Nightwear, Socks & Tigh"', "44,Baby Essentials"),
    ("1002,Jersey Basic", '1017,"Under-, Nightwear"', "1021,Socks and Tights", "1005,Jersey Fancy"),
)


def mind(folder: Path, scale: float, seed: int) -> dict[str, Any]:
    """Write MIND_large and give its truth.

    Every user has a past from before the first file. A file has in all of a user's rows this past and, behind it, the
    user's clicks of the files before. A user's clicks in a file are never on the item that the history there ends with.
    """
    random = np.random.default_rng(seed)
    n_news, n_users = scaled(NEWS, scale), scaled(READERS, scale)
    parts = [
        part._replace(
            impressions=scaled(part.impressions, scale),
            users=scaled(part.users, scale),
            news=(round(part.news[0] * scale), scaled(part.news[1], scale)),
        )
        for part in PARTS
    ]
    news_ids, user_ids = (numbered(prefix, random.permutation(n) + 1) for prefix, n in (("N", n_news), ("U", n_users)))
    news = news_lines(random, news_ids)

    # The first users are in train, the last in test, some of all in dev. [users] each
    members = [np.zeros(n_users, bool) for _ in parts]
    members[0][: parts[0].users] = True
    members[1][random.permutation(n_users)[: parts[1].users]] = True
    members[2][n_users - parts[2].users :] = True
    # All that a user reads is in the news.tsv of all the user's parts.
    oldest = np.max([member * part.news[0] for member, part in zip(members, parts, strict=True)], axis=0)

    activity = random.normal(size=n_users)
    past = np.exp(1.1 * (0.8 * activity + 0.6 * random.normal(size=n_users)))
    past[random.random(n_users) < 0.03] = 0
    expected = CLICKS * scale - CLICKED * sum(part.impressions for part in parts[:2])
    lengths = np.minimum(past * expected / past.sum() + random.random(n_users), 800).astype(np.int32)
    items = past_items(random, parts[0].news[1], oldest, lengths)

    rows = {}
    for part, member in zip(parts, members, strict=True):
        (folder / part.folder).mkdir(parents=True, exist_ok=True)
        listed = random.permutation(np.arange(*part.news))
        with (folder / part.folder / "news.tsv").open("wb") as file:
            for start in range(0, len(listed), ROWS):
                write_lines(file, [news.take(pa.array(listed[start : start + ROWS]))], "\t")
        readers = np.flatnonzero(member)
        extra = drawn(random, np.exp(0.9 * activity[readers]), part.impressions - len(readers))
        owners = random.permutation(np.concatenate([np.arange(len(readers)), extra]))
        with (folder / part.folder / "behaviors.tsv").open("wb") as file:
            shown = Shown(readers, owners, oldest[readers], last_items(items, lengths)[readers])
            histories = joined_histories(news_ids, items, lengths, member)
            clicks = write_behaviors(file, random, part, shown, news_ids, user_ids, histories)
        if part.days.stop <= 16:
            items, lengths = extended(items, lengths, *clicks)
        rows |= {f"{part.folder}/news.tsv": len(listed), f"{part.folder}/behaviors.tsv": part.impressions}
    return truth(rows, n_users, n_news, lengths)


class Shown(NamedTuple):
    """To whom the news of a part are shown.

    Attributes:
        readers: The users of the part. [readers]
        owners: The reader of each impression, by position in `readers`. [impressions]
        oldest: The first news a reader can be shown. [readers]
        last: The item each reader's history ends with, -1 for none. [readers]
    """

    readers: Ints
    owners: Ints
    oldest: Ints
    last: Ints


def write_behaviors(
    file: IO[bytes],
    random: Generator,
    part: Part,
    shown: Shown,
    news_ids: pa.StringArray,
    user_ids: pa.StringArray,
    histories: pa.StringArray,
) -> tuple[Ints, Ints]:
    """Write a part's impressions, and give who clicked on what, user by user in order of time. ([clicks], [clicks])"""
    labelled = part.folder != PARTS[-1].folder
    labels = ("-0", "-1") if labelled else ("", "")
    tokens = pa.concat_arrays([pc.binary_join_element_wise(news_ids, label, "") for label in labels])
    days = pa.array([f"11/{day}/2019" for day in part.days])
    clock = pa.array([f"{time(s // 3600, s // 60 % 60, s % 60):%I:%M:%S %p}".lstrip("0") for s in range(86400)])
    seconds = random.integers(86400 * len(days), size=part.impressions)
    names = user_ids.take(pa.array(shown.readers))
    newest = part.news[1]
    click_rows, clicks = [], []
    for start in range(0, part.impressions, ROWS):
        owners, when = shown.owners[start : start + ROWS], seconds[start : start + ROWS]
        n = len(owners)
        lengths = 2 + np.minimum(random.exponential(SHOWN - 1.5, n), 297).astype(np.int64)
        row = np.repeat(np.arange(n), lengths)
        first = np.cumsum(lengths) - lengths
        # One draw from each of as many equal strata as the row is long: hardly an item stands in it twice.
        stratum = np.argsort(row + random.random(len(row))) - first[row]
        share = (stratum + random.random(len(row))) / lengths[row]
        oldest = shown.oldest[owners][row]
        items = newest - 1 - skewed(random, newest - oldest, share, 3)
        # Clicks fall into strata of the row's places; two of them may meet in one place.
        n_clicks = np.minimum(random.geometric(1 / CLICKED, n), lengths - 1)
        of = np.repeat(np.arange(n), n_clicks)
        turn = np.arange(len(of)) - np.repeat(np.cumsum(n_clicks) - n_clicks, n_clicks)
        clicked = np.zeros(len(row), bool)
        clicked[first[of] + ((turn + random.random(len(of))) / n_clicks[of] * lengths[of]).astype(np.int64)] = True
        again = clicked & (items == shown.last[owners][row])
        items[again] = np.where(items[again] > oldest[again], items[again] - 1, items[again] + 1)
        columns = [
            pc.cast(pa.array(np.arange(start, start + n) + 1), pa.string()),
            names.take(pa.array(owners)),
            pc.binary_join_element_wise(days.take(pa.array(when // 86400)), clock.take(pa.array(when % 86400)), " "),
            histories.take(pa.array(owners)),
            joined(tokens, items + len(news_ids) * clicked, lengths, " "),
        ]
        write_lines(file, columns, "\t")
        click_rows.append(start + row[clicked])
        clicks.append(items[clicked])
    at, taken = np.concatenate(click_rows), np.concatenate(clicks)
    order = np.lexsort((seconds[at], shown.owners[at]))  # stable: equal times stay in file order
    return shown.readers[shown.owners[at[order]]], taken[order].astype(np.int32)


def news_lines(random: Generator, ids: pa.StringArray) -> pa.StringArray:
    """The line of each of the news, quotes and missing abstracts included. [news]"""
    n = len(ids)
    words = vocabulary(random)
    names = pc.utf8_capitalize(words)
    categories = pa.array([f"{kind}\t{kind}{word}" for kind in CATEGORIES for word in words.to_pylist()[5:30]])
    plain = names.filter(pc.invert(pc.match_substring(names, '"'))).to_pylist()
    entities = pa.array(
        f'{{"Label": "{name}, {place}", "Type": "{"PGOM"[number % 4]}", "WikidataId": "Q{number}", "Confidence": 1.0,'
        f' "OccurrenceOffsets": [{number % 50}], "SurfaceForms": ["{name}"]}}'
        for number, (name, place) in enumerate(zip(plain, plain[::-1], strict=True))
    )

    def json_list() -> pa.StringArray:
        lengths = random.poisson(1.5, n)
        found = joined(entities, random.integers(len(entities), size=lengths.sum()), lengths, ", ")
        return pc.binary_join_element_wise("[", found, "]", "")

    return pc.binary_join_element_wise(
        ids,
        categories.take(pa.array(random.integers(len(categories), size=n))),
        sentences(random, names, random.integers(5, 17, n)),
        sentences(random, words, random.integers(20, 62, n) * (random.random(n) > 0.05)),
        pc.binary_join_element_wise("https://assets.msn.com/labs/mind/", ids, ".html", ""),
        json_list(),
        json_list(),
        "\t",
    )


def past_items(random: Generator, newest: int, oldest: Ints, lengths: Ints) -> Ints:
    """What each user read before the first file, user by user: news from `oldest` [users] to `newest`."""
    items = np.empty(lengths.sum(), np.int32)
    stop = 0
    for batch in range(0, len(lengths), ROWS):
        n = np.repeat(newest - oldest[batch : batch + ROWS], lengths[batch : batch + ROWS])
        start, stop = stop, stop + len(n)
        items[start:stop] = newest - 1 - skewed(random, n, random.random(len(n)), 2)
    return items


def joined_histories(news_ids: pa.StringArray, items: Ints, lengths: Ints, member: NDArray[np.bool_]) -> pa.StringArray:
    """The histories of a part's users as they stand in its rows. [readers]"""
    stops = np.cumsum(lengths)
    texts = []
    for start in range(0, len(lengths), ROWS):
        users = slice(start, min(start + ROWS, len(lengths)))
        mine = np.repeat(member[users], lengths[users])
        ids = items[stops[users.start] - lengths[users.start] : stops[users.stop - 1]][mine]
        texts.append(joined(news_ids, ids, lengths[users][member[users]], " "))
    return pa.concat_arrays(texts)


def last_items(items: Ints, lengths: Ints) -> Ints:
    """The item each history ends with, -1 for none. [users]"""
    return np.where(lengths, np.append(items, -1)[np.cumsum(lengths) - 1], -1)


def extended(items: Ints, lengths: Ints, owners: Ints, clicks: Ints) -> tuple[Ints, Ints]:
    """Histories with the clicks behind them; the clicks are in the order of their owners."""
    more = np.bincount(owners, minlength=len(lengths))
    old = np.repeat(np.tile([True, False], len(lengths)), np.stack([lengths, more], axis=1).ravel())
    both = np.empty(len(old), np.int32)
    both[old], both[~old] = items, clicks
    return both, (lengths + more).astype(np.int32)


def hm(folder: Path, scale: float, seed: int) -> dict[str, Any]:
    """Write H&M's articles and transactions, and give their truth."""
    random = np.random.default_rng(seed)
    n_customers, n_articles, n_rows = (scaled(n, scale) for n in (CUSTOMERS, ARTICLES, TRANSACTIONS))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "articles.csv").open("wb") as file:
        article_ids = write_articles(file, random, n_articles, scaled(PRODUCTS, scale))
    customer_ids = hexadecimal(random, n_customers)
    dates = pa.array(np.datetime_as_string(np.arange("2018-09-20", "2020-09-23", dtype="datetime64[D]")).tolist())
    prices = pa.array([repr(cents / 59000) for cents in range(99, 9999, 10)])
    usual = random.integers(1, len(prices), n_articles)
    by_popularity = random.permutation(n_articles)

    # Every customer comes once, some far more often; a basket's key is its day and customer.
    n_baskets = max(n_customers, round(n_rows / BASKET))
    often = drawn(random, np.exp(1.1 * random.normal(size=n_customers)), n_baskets - n_customers)
    customers = np.concatenate([np.arange(n_customers), often])
    days = drawn(random, np.exp(0.3 * random.normal(size=len(dates))), n_baskets)
    days, customers = np.divmod(np.sort(days * n_customers + customers), n_customers)
    sizes = 1 + np.bincount(random.integers(n_baskets, size=n_rows - n_baskets), minlength=n_baskets)

    sold = np.zeros(n_articles, bool)
    with (folder / "transactions_train.csv").open("wb") as file:
        file.write(b"t_dat,customer_id,article_id,price,sales_channel_id\n")
        for start in range(0, n_baskets, ROWS):
            baskets = slice(start, start + ROWS)
            basket = np.repeat(np.arange(len(sizes[baskets])), sizes[baskets])
            articles = by_popularity[skewed(random, n_articles, random.random(len(basket)), 2)]
            sold[articles] = True
            reduced = random.random(len(basket)) < 0.2
            price = np.where(reduced, usual[articles] * 7 // 10, usual[articles])
            channel = random.integers(1, 3, len(sizes[baskets]))[basket]
            columns = [
                dates.take(pa.array(days[baskets][basket])),
                customer_ids.take(pa.array(customers[baskets][basket])),
                article_ids.take(pa.array(articles)),
                prices.take(pa.array(price)),
                pc.cast(pa.array(channel), pa.string()),
            ]
            write_lines(file, columns, ",")
    rows = {"articles.csv": n_articles, "transactions_train.csv": n_rows}
    lengths = np.bincount(customers, weights=sizes).astype(np.int64)
    return truth(rows, n_customers, n_articles, lengths) | {"items_taken": int(sold.sum())}


def write_articles(file: IO[bytes], random: Generator, n: int, n_products: int) -> pa.StringArray:
    """Write `articles.csv`, ids ascending, and give the ids: a product's code of seven digits and three more. [n]"""
    codes = 108_775 + np.sort(random.permutation(850_000)[:n_products])
    product = np.sort(np.concatenate([np.arange(n_products), random.integers(n_products, size=n - n_products)]))
    turn = np.arange(n) - np.searchsorted(product, product)
    words = vocabulary(random)
    names = sentences(random, pc.utf8_capitalize(words), random.integers(1, 5, n_products))
    comma = pc.binary_join_element_wise(words, ",", "")
    # A description's words are the product's; a comma stands behind one in ten of them.
    told = random.integers(8, 32, n_products) * (random.random(n_products) > 0.004)
    mixed = pa.concat_arrays([words] * 9 + [comma]).take(pa.array(random.permutation(10 * len(words))))
    described = sentences(random, mixed, told)
    ids = pc.utf8_lpad(pc.cast(pa.array(codes[product] * 1000 + turn + 1), pa.string()), 10, "0")
    columns = [ids, pc.utf8_slice_codeunits(ids, 0, 7), quoted(names).take(pa.array(product))]
    columns += [pa.array(group).take(pa.array(random.integers(len(group), size=n))) for group in COLUMN_GROUPS]
    file.write(HEADER.encode())
    write_lines(file, [*columns, quoted(described).take(pa.array(product))], ",")
    return ids


def quoted(values: pa.StringArray) -> pa.StringArray:
    """Values as a CSV file has them: in quotes where they hold a comma or a quote."""
    enclosed = pc.binary_join_element_wise('"', pc.replace_substring(values, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(values, '[",]'), enclosed, values)


def hexadecimal(random: Generator, n: int) -> pa.StringArray:
    """Random ids of 64 hexadecimal digits, ascending. [n]"""
    raw = random.integers(256, size=(n, 32), dtype=np.uint8)
    raw = raw[np.argsort(raw[:, :8].copy().view(">u8")[:, 0])]
    bounds = np.arange(n + 1, dtype=np.int32) * 64
    return pa.StringArray.from_buffers(n, pa.py_buffer(bounds), pa.py_buffer(raw.tobytes().hex().encode()))


def vocabulary(random: Generator, n: int = 4096) -> pa.StringArray:
    """Words of two or three syllables; some with quotes, apostrophes or letters beyond ASCII. [n]"""
    picked = [SYLLABLES[i] for i in random.integers(len(SYLLABLES), size=3 * n)]
    words = ["".join(picked[3 * i : 3 * i + 2 + i % 2]) for i in range(n)]
    for first, mark in enumerate(('"{}', '{}"', "{}'s", "\u2019{}", "${},000")):
        words[first::50] = [mark.format(word) for word in words[first::50]]
    return pa.array(words)


def sentences(random: Generator, words: pa.StringArray, lengths: Ints) -> pa.StringArray:
    """Texts of so many words, frequent words more often. [texts]"""
    return joined(words, skewed(random, len(words), random.random(lengths.sum()), 2), lengths, " ")


def joined(table: pa.StringArray, index: Ints, lengths: Ints, separator: str) -> pa.StringArray:
    """Texts that take `lengths` of the entries `index` of `table` in turn. [texts]"""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), table.take(pa.array(index))), separator)


def numbered(prefix: str, numbers: Ints) -> pa.StringArray:
    """Ids such as N12."""
    return pc.binary_join_element_wise(prefix, pc.cast(pa.array(numbers), pa.string()), "")


def skewed(random: Generator, n: Ints | int, share: NDArray[np.float64], power: int) -> Ints:
    """Ranks below n at uniform shares: rank r and those before it have (r / n) ** (1 / power) of all draws."""
    return np.minimum(n * share**power, np.subtract(n, 1)).astype(np.int32)


def drawn(random: Generator, weights: NDArray[np.float64], size: int) -> Ints:
    """Positions drawn in proportion to their weights. [size]"""
    totals = np.cumsum(weights)
    return np.minimum(np.searchsorted(totals, random.random(size) * totals[-1], "right"), len(weights) - 1)


def scaled(n: int, scale: float) -> int:
    return max(1, round(n * scale))


def write_lines(file: IO[bytes], columns: Sequence[pa.StringArray], separator: str) -> None:
    """Write rows of text columns as they are."""
    lines = pc.binary_join_element_wise(*columns[:-1], pc.binary_join_element_wise(columns[-1], "\n", ""), separator)
    _, bounds, text = lines.buffers()
    file.write(memoryview(text)[: np.frombuffer(bounds, np.int32)[len(lines)]])


def truth(rows: dict[str, int], users: int, items: int, lengths: Ints) -> dict[str, Any]:
    """What a reader has to find, each click counted once; `lengths` [users] are the clicks of each user."""
    enough = lengths[lengths >= FEWEST]
    return {
        "rows": rows,
        "users": users,
        "items": items,
        "clicks": int(lengths.sum()),
        "longest": int(lengths.max()),
        f"users_with_{FEWEST}": len(enough),
        f"clicks_of_users_with_{FEWEST}": int(enough.sum()),
    }


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layout", choices=("mind", "hm"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the owner's size; default: 1")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    found = {"mind": mind, "hm": hm}[arguments.layout](arguments.folder, arguments.scale, arguments.seed)
    text = json.dumps(found, indent=1) + "\n"
    (arguments.folder / "truth.json").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
