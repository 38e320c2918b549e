"""What changes, which command comes next, and what becomes of it: refused, made anew beside the old, or as it was."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from world import PREINFER, PREPARE, TRAIN, World

from plmrs.config import PreinferConfig, PrepareConfig, TrainConfig
from plmrs.train.folder import MAY_CHANGE

CPU = ["--accelerator", "cpu"]
DONE = "is complete; nothing is left to do"
ANEW = "was prepared anew since"


# Raw files and options of prepare

NOTHING, LOG, TEXTS = "nothing", "who took what", "items or texts"
Change = Callable[[World], object]
Row = tuple[list[str], list[str], str]
BY_RATIO, BY_TIME = ["--split", "ratio"], ["--split", "temporal"]
TIMES = [*BY_TIME, "--split-times", "102,104"]
OPTIONS_OF_PREPARE: dict[str, Row] = {
    "name": ([], ["--name", "others"], NOTHING),
    "items": ([], ["--items", "copy.csv"], NOTHING),
    "interactions": ([], ["--interactions", "copied.csv"], NOTHING),
    "item_column": ([], ["--item-column", "item_id"], NOTHING),  # the one that is guessed
    "user_column": ([], ["--user-column", "who"], LOG),
    "time_column": ([], ["--time-column", "seen"], LOG),
    "text_fields": ([], ["--text-fields", "title,blurb"], TEXTS),
    "text_template": ([], ["--text-template", "{title}!"], TEXTS),
    "category_column": ([], ["--category-column", "kind"], LOG),
    "min_item_seq_len": ([], ["--min-item-seq-len", "6"], LOG),
    "max_item_seq_len": ([], ["--max-item-seq-len", "6"], LOG),
    "k_core": ([], ["--k-core", "2"], TEXTS),
    "drop_repeats": ([], ["--drop-repeats", "all"], LOG),
    "sample_users": ([], ["--sample-users", "20"], LOG),
    "sample_seed": (["--sample-users", "20"], ["--sample-seed", "7"], LOG),
    "keep_items": ([], ["--keep-items", "interacted"], TEXTS),
    "split": ([], BY_TIME, LOG),
    "split_shares": (BY_RATIO, ["--split-shares", "0.6,0.2,0.2"], LOG),
    "split_seed": (BY_RATIO, ["--split-seed", "7"], LOG),
    "split_times": (TIMES, ["--split-times", "103,104"], LOG),
    "demo_seed": ([], ["--demo-seed", "9"], NOTHING),  # of the demo alone
    "root": ([], ["--root", "elsewhere"], NOTHING),
    "runs": ([], ["--runs", "elsewhere"], NOTHING),
}
"""Each option: what is given beside it, its change, and what of the data set is another then."""


def test_every_option_of_prepare_is_decided_on() -> None:
    assert set(OPTIONS_OF_PREPARE) == set(PrepareConfig().flat())


@pytest.mark.parametrize("option", OPTIONS_OF_PREPARE)
def test_an_option_of_prepare(world: World, option: str) -> None:
    beside, change, what = OPTIONS_OF_PREPARE[option]
    for raw, copy in (("items.csv", "copy.csv"), ("taken.csv", "copied.csv")):
        shutil.copy(raw, copy)
    if beside:
        world.well(*PREPARE, *beside)
        world.well(*TRAIN, "--input-type", "id", "--name", "beside")
    follow_up(world, [*beside, *change], what, "beside" if beside else "id")


RAW: dict[str, tuple[Change, str]] = {
    "nothing": (lambda world: None, NOTHING),
    "only the time of a file": (lambda world: os.utime("items.csv", (1, 1)), NOTHING),
    "a letter of a text": (lambda world: world.edit("items.csv", "title 7", "Title 7"), TEXTS),
    "an item's id": (lambda world: world.edit("items.csv", "i19,", "i99,"), TEXTS),
    "the order of items": (lambda world: swap_lines("items.csv", 3, 4), TEXTS),
    "a column that nothing reads": (lambda world: world.edit("items.csv", "blurb 3", "Blurb 3"), LOG),
    "a category": (lambda world: world.edit("items.csv", "blurb 0,a", "blurb 0,c"), LOG),
    "an item of a user": (lambda world: world.edit("taken.csv", ",i0,", ",i1,"), LOG),
    "a time": (lambda world: world.edit("taken.csv", ",104,", ",99,"), LOG),
    "the order of interactions": (lambda world: swap_lines("taken.csv", 3, 4), LOG),
    "a byte at the end": (lambda world: world.edit("taken.csv", "who,", "who ,"), LOG),
}


@pytest.mark.parametrize("change", RAW)
def test_a_raw_file(world: World, change: str) -> None:
    does, what = RAW[change]
    does(world)
    # What was prepared is what it was until it is prepared again.
    assert world.run("recommend", "id", "--topk", "1", *CPU).code == 0
    follow_up(world, [], what, "id")


def follow_up(world: World, options: list[str], what: str, run: str) -> None:
    """Prepare with other options, then evaluate what was trained before, encode, and train anew."""
    prints, caches = world.prints(), world.caches()
    world.well(*PREPARE, *options)
    now = world.prints()
    assert [old != new for old, new in zip(prints, now, strict=True)] == [what != NOTHING, what == TEXTS]
    told = world.run("recommend", run, "--topk", "1", *CPU)
    if what == NOTHING:
        assert told.code == 0, told.err
    else:
        assert told.code == 2
        assert f"Data set books {ANEW} run {run} was trained on it ({prints[0]}, now {now[0]})." in told.err
    told = world.run(*PREINFER)
    if what == TEXTS:
        assert "items or texts of data set books have changed since. A new cache is made beside it." in told.out
        assert len(world.caches() - caches) == 1
        assert caches < world.caches()
    else:
        assert DONE in told.out
        assert world.caches() == caches


# Options of preinfer

SAME, OTHER = "the same cache", "another cache"
OPTIONS_OF_PREINFER: dict[str, tuple[list[str], str]] = {
    "dataset": (["--dataset", "others"], OTHER),
    "plm_name": (["--plm", "other"], OTHER),
    "tokenized_len": (["--tokenized-len", "5"], OTHER),
    "plm_last_n_unfreeze": (["--plm-last-n-unfreeze", "2"], OTHER),
    "precision": (["--precision", "bf16"], OTHER),
    "dtype": (["--dtype", "float32"], OTHER),
    "keep_tokens": (["--keep-tokens"], OTHER),
    "batch_size": (["--batch-size", "3"], SAME),
    "num_workers": (["--num-workers", "2"], SAME),
    "max_memory": (["--max-memory", "1GiB"], SAME),
    "keep_intermediate": (["--keep-intermediate"], SAME),
    "accelerator": (["--accelerator", "auto"], SAME),
    "devices": (["--devices", "1"], SAME),
    "num_nodes": (["--num-nodes", "1"], SAME),
    "node_rank": (["--num-nodes", "1", "--node-rank", "0"], SAME),
    "dry_run": (["--dry-run"], SAME),
    "root": (["--root", "data/../data"], SAME),
    "runs": (["--runs", "elsewhere"], SAME),
}


def test_every_option_of_preinfer_is_decided_on() -> None:
    assert set(OPTIONS_OF_PREINFER) == set(PreinferConfig().flat())


@pytest.mark.parametrize("option", OPTIONS_OF_PREINFER)
def test_an_option_of_preinfer(world: World, option: str) -> None:
    change, becomes = OPTIONS_OF_PREINFER[option]
    shutil.rmtree(world.cache_of("states"))  # Work would begin there, and what rounds its states leaves a trace.
    shutil.copytree("plm", "other")
    world.edit("other/config.json", '"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e-5')
    if option == "dataset":
        world.edit("items.csv", "title 7", "Title 7")
        world.well(*PREPARE, "--name", "others")
    before = world.caches()
    told = world.well(*PREINFER, *change)
    assert (DONE in told) == (becomes == SAME)
    assert len(world.caches() - before) == (becomes == OTHER)
    assert before <= world.caches()
    if option in ("dry_run", "runs"):
        return
    # Made from nothing it is the same again, whatever it was made beside.
    made = world.caches() - before if becomes == OTHER else {world.cache_of("pooled").name}
    shutil.rmtree("data/cache")
    world.well(*PREINFER, *change)
    assert world.caches() == made


def test_every_option_that_decides_a_run_is_refused_when_it_goes_on(world: World) -> None:
    """An option that is new is refused until it is named among those that may change."""
    values = TrainConfig().flat()
    for key in sorted(set(values) - MAY_CHANGE):
        told = world.run("train", "--resume", "id", *other_value(key, values[key]))
        assert told.code == 2, key
        assert f"Run id was begun with --{key.replace('_', '-')} " in told.err, (key, told.err)


def other_value(key: str, value: Any) -> list[str]:
    """A value of an option of `train` that the run `id` does not have, as arguments."""
    known = {
        "input_type": "text", "pooling_method": "cls", "pre_inference": "false", "loss": "bce", "loss_items": "all",
        "pre_inference_precision": "32", "precision": "bf16", "similarity": "dot", "strategy": "ddp", "windows": "last",
        "lr_schedule": "linear", "projection_activation": "relu", "topk_list": "3,4", "projection_inner_sizes": "9",
        "pre_inference_devices": "1", "sasrec_hidden_size": "10", "sasrec_n_layers": "3", "sasrec_seq_len": "5",
        "sasrec_inner_size": "9", "sasrec_n_heads": "4", "batch_size": "17",
    }  # fmt: skip
    flag = f"--{key.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag, str(not value)]
    if key == "projection_n_layers":
        return [flag, "1"]
    if key in known or value is None:
        return [flag, known.get(key, "3")]
    return [flag, str(value + 1 if isinstance(value, int) else value / 2 or 0.1)]


def swap_lines(path: str, first: int, second: int) -> None:
    lines = Path(path).read_text().splitlines(keepends=True)
    lines[first], lines[second] = lines[second], lines[first]
    Path(path).write_text("".join(lines))
