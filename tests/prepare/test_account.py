"""What `prepare` tells: that everything read is either dropped or kept, and that its counts are right."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from plmrs.config import PrepareConfig
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.errors import UserError
from plmrs.prepare.command import prepare
from plmrs.report import Silent, Table


def write_tables(folder: Path, rng: np.random.Generator) -> dict[str, int]:
    """Tables with all that can be dropped; the number of rows, and of users with an item that has a text."""
    n_items = int(rng.integers(8, 30))
    ids = [f"{item:03d}" for item in rng.permutation(n_items)]
    ids += ["", *rng.choice(ids, 4)]  # without an id, and again
    texts = [rng.choice(["", "  ", "text", "text"]) for _ in ids]
    texts[0] = "text"
    items = "item_id,text\n" + "".join(f"{item},{text}\n" for item, text in zip(ids, texts, strict=True))
    (folder / "items.csv").write_text(items)
    n_rows = int(rng.integers(150, 400))
    users = [f"u{user}" if user else "" for user in rng.integers(0, 25, n_rows)]
    taken = [f"{item:03d}" if item else "" for item in rng.integers(0, n_items + 3, n_rows)]
    times = rng.integers(0, 60, n_rows)
    rows = list(zip(users, taken, times.tolist(), strict=True))
    log = "user_id,item_id,time\n" + "".join(f"{user},{item},{time}\n" for user, item, time in rows)
    (folder / "taken.csv").write_text(log)
    first_text = dict(reversed([pair for pair in zip(ids, texts, strict=True) if pair[0]]))
    worded = {item for item, text in first_text.items() if text.strip()}
    known = {user for user, item, _ in rows if user and item in worded}
    return {"items": len(ids), "interactions": n_rows, "users": len(known)}


def random_options(rng: np.random.Generator) -> dict[str, object]:
    split = str(rng.choice(["leave_one_out", "ratio", "temporal"]))
    return {
        "min_item_seq_len": int(rng.integers(1, 7)),
        "max_item_seq_len": rng.choice([None, 4, 7]),
        "k_core": rng.choice([None, 2, 4]),
        "drop_repeats": str(rng.choice(["none", "consecutive", "all"])),
        "sample_users": rng.choice([None, 10]),
        "sample_seed": int(rng.integers(9)),
        "keep_items": str(rng.choice(["all", "interacted"])),
        "split": split,
        "split_shares": (0.5, 0.25, 0.25),
        "split_times": rng.choice([None, "20,40"]) if split == "temporal" else None,
    }


def run(folder: Path, **options: object) -> tuple[Table, Table, Dataset]:
    values = {"root": folder / "data", "items": folder / "items.csv", "interactions": folder / "taken.csv", **options}
    config = PrepareConfig.from_flat(values)
    account, summary = prepare("small", config, Silent())
    return account, summary, open_dataset(config.workspace.open())


def sums(account: Table, kind: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for said, count, what, _ in account.rows:
        if said == kind:
            found[str(what)] += int(count)  # type: ignore[arg-type]
    return found


def test_what_is_read_is_dropped_or_kept(tmp_path: Path) -> None:
    left = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        there = write_tables(tmp_path, rng)
        options = random_options(rng)
        try:
            account, _, dataset = run(tmp_path, **options)
        except UserError:  # too little is left for this split
            continue
        left += 1
        read, dropped, kept = (sums(account, kind) for kind in ("read", "dropped", "kept"))
        assert dict(read) == {"items": there["items"], "interactions": there["interactions"]}
        for what, count in there.items():
            assert count == dropped[what] + kept[what], (what, options)
        assert kept["items"] == dataset.n_items == len(set(dataset.item_ids()))
        assert kept["users"] == dataset.n_users == len(set(dataset.user_ids()))
        assert kept["interactions"] == len(dataset.histories.items) == dataset.histories.lengths.sum()
        assert all(count > 0 for said, count, *_ in account.rows if said == "dropped")
        # The manifest says the same, and also of what nothing was dropped.
        for part, found in (("read", read), ("dropped", dropped)):
            told: Counter[str] = Counter()
            for tally in dataset.manifest[part]:
                told[tally["what"]] += tally["count"]
            assert +told == found
    assert left >= 25


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_the_histories(tmp_path: Path, seed: int) -> None:
    write_tables(tmp_path, np.random.default_rng(seed))
    _, summary, dataset = run(tmp_path, min_item_seq_len=4, max_item_seq_len=9)
    bounds = zip(dataset.histories.start, dataset.histories.stop, strict=True)
    histories = [dataset.histories.items[a:b].tolist() for a, b in bounds]
    n_items, n = dataset.n_items, sum(map(len, histories))
    trained = {item for history in histories for item in history[:-2]}
    taken = {item for history in histories for item in history}
    lengths = sorted(map(len, histories))
    cold = {-1: 0, -2: 0}
    for place in cold:
        cold[place] = sum(history[place] not in trained for history in histories)
    counts = dataset.manifest["counts"]
    assert {key: value for key, value in counts.items() if key != "history_length_quantiles"} == {
        "users": len(histories),
        "items": n_items,
        "interactions": n,
        "density": n / (len(histories) * n_items),
        "items_nobody_took": n_items - len(taken),
        "users_in_training": len(histories),
        "items_never_in_training": n_items - len(trained),
        "val_targets": len(histories),
        "val_targets_never_in_training": cold[-2],
        "test_targets": len(histories),
        "test_targets_never_in_training": cold[-1],
    }
    quantiles = counts["history_length_quantiles"]
    assert (quantiles["0"], quantiles["100"]) == (lengths[0], lengths[-1])
    assert quantiles["50"] == int(np.median(lengths))
    shown = dict(summary.rows)
    assert shown["users"] == len(histories)
    assert shown["test targets"] == (
        f"{len(histories)}, {cold[-1]} ({cold[-1] / len(histories):.1%}) of items never in training"
    )
