"""What a run was trained on changes under it: which verbs are refused and say why, and which do not read it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from world import PREINFER, PREPARE, RUNS, TRAIN, World

Change = Callable[[World], object]
CPU = ["--accelerator", "cpu"]
VERBS = {
    "evaluate": ["--bootstrap", "0"],
    "recommend": ["--topk", "1"],
    "export": [],
    "train": ["--max-epochs", "2"],
}
"""What reads a run, and how."""
ANEW = "Data set books was prepared anew since run"
CHANGED = "plm have changed since."
NO_PLM = "plm: there is no such folder."
NO_CACHE = "is gone or incomplete."


def command(verb: str, run: str) -> list[str]:
    return [verb, *(["--resume"] if verb == "train" else []), run, *CPU, *VERBS[verb]]


def change_a_weight(world: World) -> None:
    """One element of one tensor; the file's size and times are as before."""
    path = Path("plm/model.safetensors")
    before = path.stat()
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("layer.1.output.dense.weight"))
    tensors[name][3, 2] += 0.01
    save_file(tensors, path, {"format": "pt"})
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by(options: list[str]) -> Change:
    """Put another cache where the one of `pooled` was."""

    def change(world: World) -> None:
        place = world.cache_of("pooled")
        before = world.caches()
        world.well(*PREINFER, *options)
        (name,) = world.caches() - before
        shutil.rmtree(place)
        (place.parent / name).rename(place)

    return change


def other_states(world: World) -> None:
    """The states of another cache of the same sizes below the manifest of the one of `pooled`."""
    place = world.cache_of("pooled")
    shutil.copytree("plm", "other")
    world.edit("other/config.json", '"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e-2')
    world.well(*PREINFER, "--plm", "other")
    (other,) = (path for path in place.parents[1].glob("other/final-*.zarr"))
    for part in ("mean", "last", "cls", "done"):
        shutil.rmtree(place / part, ignore_errors=True)
        if (other / part).exists():
            shutil.copytree(other / part, place / part)


def prepared_with(*options: str) -> Change:
    return lambda world: world.well(*PREPARE, *options)


def edited(path: str, old: str, new: str) -> Change:
    return lambda world: world.edit(path, old, new)


READS_STATES, READS_PLM = ("pooled", "states"), ("states", "tokens")
CHANGES: dict[str, tuple[Change, dict[str, str]]] = {
    "nothing": (lambda world: None, {}),
    "prepared again as it was": (prepared_with(), {}),
    "prepared with another split": (prepared_with("--split", "ratio"), dict.fromkeys(RUNS, ANEW)),
    "prepared with other texts": (prepared_with("--text-fields", "blurb"), dict.fromkeys(RUNS, ANEW)),
    "the data set removed": (
        lambda world: shutil.rmtree("data/prepared/books"),
        dict.fromkeys(RUNS, "no data set books"),
    ),
    "tokens removed": (lambda world: shutil.rmtree("data/prepared/books/tokens"), {}),
    "caches removed": (lambda world: shutil.rmtree("data/cache"), dict.fromkeys(READS_STATES, NO_CACHE)),
    "a unit's mark removed": (
        lambda world: (world.cache_of("pooled") / "done/0.json").unlink(),
        {"pooled": NO_CACHE},
    ),
    "another cache in its place": (replace_by(["--dtype", "float32"]), {"pooled": "holds another cache"}),
    "another PLM's states in it": (other_states, {"pooled": "damaged"}),
    "the folder of caches moved": (lambda world: Path("data/cache/books/plm").rename("data/cache/books/renamed"), {}),
    "a weight": (change_a_weight, dict.fromkeys(READS_PLM, CHANGED)),
    "the PLM's configuration": (
        edited("plm/config.json", '"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e-6'),
        dict.fromkeys(READS_PLM, CHANGED),
    ),
    "its tokenizer": (
        edited("plm/tokenizer.json", '"lowercase": true', '"lowercase": false'),
        dict.fromkeys(READS_PLM, CHANGED),
    ),
    "how its tokenizer is set": (
        edited("plm/tokenizer_config.json", '"unk_token": "[UNK]"', '"unk_token": "[PAD]"'),
        dict.fromkeys(READS_PLM, CHANGED),
    ),
    "its model card": (lambda world: Path("plm/README.md").write_text("# A card\n"), {}),
    "the PLM moved": (lambda world: Path("plm").rename("moved"), dict.fromkeys(READS_PLM, NO_PLM)),
}  # fmt: skip
"""Each change, and the runs that are refused after it, with what is said of them."""


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_run_reads_has_changed(world: World, change: str) -> None:
    does, refused = CHANGES[change]
    does(world)
    for run in RUNS:
        if run not in refused:
            world.well(*command("evaluate", run))
            continue
        before = sorted(path.stat().st_mtime_ns for path in Path("runs", run).rglob("*"))
        for verb in VERBS:
            told = world.run(*command(verb, run))
            assert (told.code, told.out.count("epoch")) == (2, 0), (run, verb, told.err)
            assert refused[run].lower() in told.err.lower(), (run, verb, told.err)
        assert sorted(path.stat().st_mtime_ns for path in Path("runs", run).rglob("*")) == before
    for run in RUNS:  # What there is of it can be looked at in any case.
        world.well("inspect", run)


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
def test_all_verbs_go_on_where_nothing_has_changed(world: World, run: str) -> None:
    for verb in VERBS:
        world.well(*command(verb, run))


NEXT: dict[str, tuple[Change, str, bool]] = {
    "a weight": (change_a_weight, "the weights or files of", False),
    "its configuration": (CHANGES["the PLM's configuration"][0], "the weights or files of", False),
    "its tokenizer": (CHANGES["its tokenizer"][0], "the weights or files of", True),
}
"""A change of a PLM, what `preinfer` says of the caches that there are, and whether texts are tokenised again."""


@pytest.mark.parametrize("change", NEXT)
def test_a_changed_plm_is_encoded_anew(world: World, change: str) -> None:
    does, says, tokenised = NEXT[change]
    before = world.caches()
    does(world)
    told = world.well(*PREINFER)
    assert f"{says} {world.folder / 'plm'} have changed since. A new cache is made beside it." in told
    assert ("a tokenizer of other files made it. It is replaced." in told) == tokenised
    assert len(world.caches() - before) == 1
    assert before < world.caches()


@pytest.mark.parametrize("named", [["--plm", "plm"], []], ids=["by its name", "the one cached last"])
def test_training_anew_reads_no_states_of_what_the_plm_was(world: World, named: list[str]) -> None:
    before = world.caches()
    change_a_weight(world)
    world.well(*TRAIN, *named, "--whitening", "4", "--name", "anew")
    assert world.cache_of("anew").name not in before
    assert before < world.caches()


def test_a_precision_that_is_asked_for_is_not_answered_by_another(world: World) -> None:
    for precision, new in (("auto", 0), ("32", 0), ("bf16", 1)):
        before = world.caches()
        world.well(*TRAIN, *RUNS["pooled"], "--pre-inference-precision", precision, "--name", precision)
        assert len(world.caches() - before) == new
    assert world.json("runs/bf16/manifest.json")["cache"]["precision"] == "bf16"


def test_new_items_are_not_encoded_by_a_plm_that_has_changed(world: World) -> None:
    change_a_weight(world)
    new = ["recommend", "pooled", "--items", "new.csv", "--users", "u1", *CPU]
    assert CHANGED in world.run(*new).err
    shutil.rmtree("plm")
    assert NO_PLM in world.run(*new).err


def test_the_remedy_of_a_missing_cache_makes_it_again(world: World) -> None:
    options = ["--tokenized-len", "5", "--dtype", "float32", "--precision", "bf16"]
    world.well(*PREINFER, *options, "--keep-tokens")
    cache = str(next(Path("data/cache").glob("*/*/final-*.zarr")).parent / max(world.caches(), key=made_at))
    world.well(*TRAIN, *RUNS["pooled"], "--cache", cache, "--name", "odd")
    for run in ("odd", "pooled", "states"):
        shutil.rmtree("data/cache")
        told = world.run("evaluate", run, *CPU)
        remedy = told.err.partition("Make it again: `plmrs ")[2].partition("`")[0]
        world.well(*remedy.split(), *CPU)
        world.well("evaluate", run, *CPU)


def made_at(name: str) -> float:
    return next(Path("data/cache").glob(f"*/*/{name}")).stat().st_ctime


# Runs that go on


def test_a_run_goes_on_with_its_own_cache_though_a_newer_one_fits(world: World) -> None:
    world.well(*PREINFER, "--dtype", "float32")  # The newest that fits; a new run would take it.
    world.well(*command("train", "pooled"))
    with_newer = Path("runs/pooled/metrics.csv").read_text().splitlines()[2]
    world.well(
        *TRAIN, *RUNS["pooled"], "--name", "whole", "--max-epochs", "2", "--cache", str(world.cache_of("pooled"))
    )
    straight = Path("runs/whole/metrics.csv").read_text().splitlines()[2]
    assert with_newer.split(",")[:6] == straight.split(",")[:6]


def test_resume_auto_begins_anew_on_a_data_set_that_was_prepared_anew(world: World) -> None:
    Path("runs/id/metrics.json").unlink()  # as if it had been killed
    world.well(*PREPARE, "--split", "ratio")
    auto = [*TRAIN, *RUNS["id"], "--name", "id", "--resume", "auto"]
    told = world.run(*auto)
    assert told.code == 0
    assert "Run id is unfinished, and cannot go on: Data set books was prepared anew" in told.err
    assert world.json("runs/id-2/manifest.json")["dataset_fingerprint"] == world.prints()[0]
    assert not Path("runs/id/metrics.json").exists()
    Path("runs/id-2/metrics.json").unlink()
    assert "Continuing run id-2" in world.well(*auto)


def test_metrics_of_other_weights_do_not_outlive_them(world: World) -> None:
    world.well("evaluate", "id", *CPU)
    world.well("evaluate", "id", "--split", "val", *CPU)
    assert "Removed" not in world.well("train", "--resume", "id", *CPU)  # It ends at once, and changes nothing.
    assert {path.name for path in Path("runs/id").glob("*_metrics.json")} == {"test_metrics.json", "val_metrics.json"}
    assert "| SASRec id |" in Path("runs/id/README.md").read_text()
    before = load_file("runs/id/model.safetensors")
    told = world.well("train", "--resume", "id", "--max-epochs", "12", *CPU)
    after = load_file("runs/id/model.safetensors")
    assert any(not np.array_equal(before[name], after[name]) for name in before)  # A later epoch was better.
    assert "Removed test_metrics.json and val_metrics.json of the weights before." in told
    assert not list(Path("runs/id").glob("*_metrics.json"))
    assert "| SASRec id |" not in Path("runs/id/README.md").read_text()
