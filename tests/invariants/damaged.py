"""Small raw files of every layout, and ways to damage bytes. Hypothesis draws both."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from plmrs.config import FilterOptions, RawOptions, SplitOptions
from plmrs.data.sources import bilibili, hm, mind, research, table
from plmrs.data.sources.raw import raw_file
from plmrs.data.sources.source import Source
from plmrs.prepare.build import Prepared, build

_ANY = [HealthCheck.too_slow, HealthCheck.data_too_large]
FAST = settings(max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=_ANY)
DEEP = settings(max_examples=5_000, database=None, deadline=None, suppress_health_check=_ANY)

ITEMS = [{"item_id": f"{i:03d}", "title": f'Title, "é" {i}', "category": "c"} for i in range(12)]
TAKEN = [
    {"user_id": f"u{user}", "item_id": f"{(user + step) % 12:03d}", "timestamp": 1_700_000_000 + 60 * step}
    for user in range(4)
    for step in range(4)
]
KINDS = (".csv", ".tsv", ".inter", ".jsonl", ".parquet", ".feather")


def bytes_of(rows: list[dict[str, object]], kind: str) -> bytes:
    """A table in one of `KINDS`."""
    if kind == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if kind == ".csv":
        return pd.DataFrame(rows).to_csv(index=False).encode()
    if kind in (".tsv", ".inter"):
        lines = [list(rows[0]), *(list(map(str, row.values())) for row in rows)]
        return "".join("\t".join(line) + "\n" for line in lines).encode()
    buffer = io.BytesIO()
    frame = pd.DataFrame(rows)
    _ = frame.to_parquet(buffer) if kind == ".parquet" else frame.to_feather(buffer)
    return buffer.getvalue()


_NEWS = b"".join(b"N%d\tnews\tsub\tTitle %d\tabstract\turl\t[]\t[]\n" % (i, i) for i in range(1, 10))
_BEHAVIORS = b"".join(
    b"%d\tU%d\t11/1%d/2019 2:14:46 PM\tN1 N2 N%d\tN3-0 N%d-1 N7-%d\n" % (u, u, u % 5, u + 1, 4 + u % 3, u % 2)
    for u in range(1, 8)
)
_ARTICLES = b"article_id,prod_name,product_type_name,colour_group_name,detail_desc,product_group_name\n" + b"".join(
    b'0%d,Name,Type,Red,"Soft, warm",Group\n' % i for i in range(12)
)
_BOUGHT = b"t_dat,customer_id,article_id,price,sales_channel_id\n" + b"".join(
    b"2020-09-0%d,c%d,0%d,0.1,1\n" % (1 + s, u, (u + s) % 12) for u in range(4) for s in range(4)
)
_TITLES = b"".join(b"%d,Title %d\n" % (i, i) for i in range(12))
_DESCRIBED = b"itemid\tdescription\n" + _TITLES.replace(b",", b"\t")
_PAIRS = b"".join(b"u%d,%d,%d\n" % (u, (u + s) % 12, 1_600_000_000 + s) for u in range(4) for s in range(4))
_HISTORIES = b"".join(b"u%d\t%d %d %d %d\n" % (u, u, u + 1, u + 2, u + 3) for u in range(5))


def _mind(folder: Path) -> Source:
    return mind.read(mind.find("MIND_small", [folder]), RawOptions())


def _layout(items: str, taken: str, read: Callable[..., Source]) -> Callable[[Path], Source]:
    return lambda folder: read(raw_file(folder / items), raw_file(folder / taken), RawOptions())


LAYOUTS: dict[str, tuple[dict[str, bytes], Callable[[Path], Source]]] = {
    "mind": ({"MINDsmall_train/news.tsv": _NEWS, "MINDsmall_train/behaviors.tsv": _BEHAVIORS}, _mind),
    "hm": ({"a.csv": _ARTICLES, "t.csv": _BOUGHT}, _layout("a.csv", "t.csv", hm.read)),
    "ninerec": ({"x_item.csv": _TITLES, "x_pair.csv": _PAIRS}, _layout("x_item.csv", "x_pair.csv", bilibili.read)),
    "microlens": (
        {"x_titles.csv": b"item,title\n" + _TITLES, "x_pairs.tsv": _HISTORIES},
        _layout("x_titles.csv", "x_pairs.tsv", bilibili.read),
    ),
    "research": (
        {
            "items.tsv": _DESCRIBED,
            "b.tsv": b"userid\tbehaviors\n" + _HISTORIES,
        },
        _layout("items.tsv", "b.tsv", research.read),
    ),
    **{
        kind: (
            {f"i{kind}": bytes_of(ITEMS, kind), f"t{kind}": bytes_of(TAKEN, kind)},
            _layout(f"i{kind}", f"t{kind}", table.read),
        )
        for kind in KINDS
    },
}
"""The raw files of each layout, and what reads them from a folder."""

_PIECES = [
    b"\x00", b"\xff\xfe", b"\xc3", b"\xef\xbb\xbf", b'"', b'""', b"'", b"\r", b"\n", b"\r\n", b"\n\n", b"\t", b",",
    b" ", b"\\", b"-1", b"-0", b"NaN", b"inf", b"1e400", b"1e18", b"0.5", b"99999999999999999999999999", b"-5", b"null",
    b"true", b"{}", b"[]", b"[[[[", b'{"a":1}', b"null\n", b"2024-02-30", b"9999-12-31T23:59:59", b"\\u0000",
    b"\\ud800", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"\x1f", b"A" * 3000,
]  # fmt: skip

_wounds = st.tuples(
    st.sampled_from(["insert", "replace", "cut", "repeat", "end", "begin"]),
    st.floats(0, 1),
    st.sampled_from([1, 1, 2, 7, 40, 300]),
    st.one_of(st.sampled_from(_PIECES), st.binary(min_size=1, max_size=8)),
)
damages = st.lists(_wounds, min_size=1, max_size=4)


def damaged(data: bytes, wounds: list[tuple[str, float, int, bytes]]) -> bytes:
    """The bytes with pieces put in, replaced, cut out or repeated, cut at the front or the back."""
    for how, where, length, piece in wounds:
        start = int(where * len(data))
        stop = start + length
        data = {
            "insert": data[:start] + piece + data[start:],
            "replace": data[:start] + piece + data[stop:],
            "cut": data[:start] + data[stop:],
            "repeat": data[:stop] + data[start:],
            "end": data[:start],
            "begin": data[start:],
        }[how]
    return data


def prepared(source: Source) -> Prepared:
    """What is made of a source with the fewest rules."""
    return build(source, FilterOptions(min_item_seq_len=1), SplitOptions())
