"""A prepared data set is the same from the same input, another from another, and whole or not there at all."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from plmrs.config import DemoOptions, FilterOptions, PrepareConfig, RawOptions, SplitOptions
from plmrs.data.dataset import Dataset, open_dataset, prepared_names
from plmrs.errors import UserError
from plmrs.prepare.command import PLACES, prepare
from plmrs.report import Silent
from plmrs.workspace import Workspace, read_json

FILES = ("histories.feather", "items.feather", "manifest.json")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tables of which every option takes another part."""
    folder = tmp_path_factory.mktemp("tables")
    write_tables(folder)
    return folder


def write_tables(folder: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.permutation(12)
    items = [f"{i},{numbers[i]},title {i},blurb {i},{'ab'[i % 2]},{'xyz'[i % 3]}\n" for i in range(12)]
    (folder / "items.csv").write_text("item_id,sku,title,blurb,category,kind\n" + "".join(items))
    rows = [
        f"u{user},w{user % 13},{item},{numbers[item]},{rng.integers(1000)},{rng.integers(1000)}\n"
        for user in range(40)
        for item in rng.integers(0, 9, rng.integers(4, 12))
    ]
    rng.shuffle(rows)
    (folder / "taken.csv").write_text("user_id,who,item_id,sku,time,seen\n" + "".join(rows))


def values_of(tables: Path, root: Path, **options: object) -> dict[str, object]:
    return {"root": root, "items": tables / "items.csv", "interactions": tables / "taken.csv", **options}


def run(tables: Path, root: Path, source: str = "small", **options: object) -> Dataset:
    config = PrepareConfig.from_flat(values_of(tables, root, **options))
    prepare(source, config, Silent())
    return open_dataset(config.workspace.open(), config.raw.name or source)


def content(folder: Path) -> dict[str, object]:
    """All that is in a prepared data set, but when it was made."""
    assert sorted(path.name for path in folder.iterdir()) == list(FILES)
    manifest = {**read_json(folder / "manifest.json"), "created": None}
    return {**{name: (folder / name).read_bytes() for name in FILES[:-1]}, "manifest.json": json.dumps(manifest)}


# The same and another


def test_prepared_twice_is_the_same_to_the_byte(tables: Path, tmp_path: Path) -> None:
    options = {"sample_users": 30, "k_core": 2, "drop_repeats": "all", "min_item_seq_len": 3, "split": "ratio"}
    first = content(run(tables, tmp_path, **options).folder)
    assert content(run(tables, tmp_path, **options).folder) == first
    (tmp_path / "prepared" / "small").rename(tmp_path / "elsewhere")
    assert content(run(tables, tmp_path, **options).folder) == first


def test_where_it_lies_and_what_it_is_called_is_no_content(tables: Path, tmp_path: Path) -> None:
    first = run(tables, tmp_path / "a")
    (tmp_path / "copy").mkdir()
    for name in ("items.csv", "taken.csv"):
        (tmp_path / "copy" / name).write_bytes((tables / name).read_bytes())
    second = run(tmp_path / "copy", tmp_path / "b", source="other", name="third", runs=tmp_path / "runs")
    assert (second.fingerprint, second.texts_fingerprint) == (first.fingerprint, first.texts_fingerprint)
    assert [content(first.folder)[name] == content(second.folder)[name] for name in FILES] == [True, True, False]


TEMPORAL = {"split": "temporal", "split_times": "500,800"}
CHANGES: dict[str, list[tuple[dict[str, object], object]]] = {
    "item_column": [({}, "sku")],
    "user_column": [({}, "who")],
    "time_column": [({}, "seen")],
    "text_fields": [({}, "title,blurb"), ({"text_fields": "title,blurb"}, "blurb,title")],
    "text_template": [({}, "{title}."), ({"text_template": "{title} {blurb}"}, "{title}: {blurb}")],
    "category_column": [({}, "kind")],
    "min_item_seq_len": [({}, 6)],
    "max_item_seq_len": [({}, 7), ({"max_item_seq_len": 8}, 7)],
    "k_core": [({}, 3)],
    "drop_repeats": [({}, "consecutive"), ({}, "all"), ({"drop_repeats": "consecutive"}, "all")],
    "sample_users": [({}, 20), ({"sample_users": 20}, 21)],
    "sample_seed": [({"sample_users": 20}, 7)],
    "keep_items": [({}, "interacted")],
    "split": [({}, "ratio"), ({}, "temporal"), ({"split": "ratio"}, "temporal")],
    "split_shares": [({"split": "ratio"}, (0.6, 0.2, 0.2)), ({"split": "temporal"}, (0.6, 0.2, 0.2))],
    "split_seed": [({"split": "ratio"}, 7)],
    "split_times": [(TEMPORAL, "500,801"), (TEMPORAL, "501,800")],
    "demo_seed": [],  # below
}
"""Options beside which another one is changed, and to what."""


def test_every_option_has_a_test() -> None:
    sections = (RawOptions, FilterOptions, SplitOptions, DemoOptions)
    assert set(CHANGES) | set(PLACES) == {"root", "runs"} | {key for part in sections for key in part.model_fields}


@pytest.mark.parametrize("option", CHANGES)
def test_a_changed_option_gives_another_fingerprint(tables: Path, tmp_path: Path, option: str) -> None:
    for beside, value in CHANGES[option]:
        before = run(tables, tmp_path, **beside)
        after = run(tables, tmp_path, **{**beside, option: value})
        assert after.fingerprint != before.fingerprint, (beside, value)
        texts = option in ("text_fields", "text_template", "item_column", "keep_items", "k_core")
        assert (after.texts_fingerprint != before.texts_fingerprint) == texts, (beside, value)


@pytest.mark.parametrize(
    ("beside", "change"),
    [
        ({"min_item_seq_len": 1}, {"min_item_seq_len": 2}),  # the split needs 3
        ({}, {"max_item_seq_len": 100}),
        ({"keep_items": "interacted"}, {"k_core": 1}),
        ({}, {"sample_seed": 7}),
        ({}, {"sample_users": 1000}),
        ({"drop_repeats": "all"}, {"drop_repeats": "consecutive"}),
        ({}, {"text_template": "{title} "}),
    ],
    ids=lambda options: ",".join(options),
)
def test_the_fingerprint_is_of_options_too(tmp_path: Path, beside: dict, change: dict) -> None:
    # 1,000 users with 5 different items each: nothing is there to be dropped.
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"{i},title {i}\n" for i in range(10)))
    rows = [f"u{user},{(user + step) % 10}\n" for user in range(1000) for step in range(5)]
    (tmp_path / "taken.csv").write_text("user_id,item_id\n" + "".join(rows))
    before = run(tmp_path, tmp_path / "data", **beside)
    files = content(before.folder)
    after = run(tmp_path, tmp_path / "data", **{**beside, **change})
    assert after.fingerprint != before.fingerprint
    assert after.texts_fingerprint == before.texts_fingerprint
    assert [content(after.folder)[name] == files[name] for name in FILES] == [True, True, False]


def test_another_seed_of_the_demo_gives_another_fingerprint(tmp_path: Path) -> None:
    prints = set()
    for seed in (1, 2, 1):
        prepare("demo", PrepareConfig.from_flat({"root": tmp_path, "demo_seed": seed}), Silent())
        prints.add(open_dataset(Workspace(tmp_path, tmp_path)).fingerprint)
    assert len(prints) == 2


@pytest.mark.parametrize(
    "beside",
    [{"split_seed": 7}, {"split_shares": (0.6, 0.2, 0.2)}, {"split_times": "1,2"}, {"demo_seed": 9}],
    ids=lambda beside: next(iter(beside)),
)
def test_an_option_that_nothing_reads_changes_nothing(tables: Path, tmp_path: Path, beside: dict) -> None:
    assert run(tables, tmp_path, **beside).fingerprint == run(tables, tmp_path).fingerprint


@pytest.mark.parametrize("name", ["items.csv", "taken.csv"])
@pytest.mark.parametrize(
    "change",
    [lambda data: data + b"\n", lambda data: data.replace(b"1", b"2", 1), lambda data: data.replace(b"\n", b"\r\n")],
    ids=["an empty line", "a digit", "line ends"],
)
def test_a_changed_raw_byte_gives_another_fingerprint(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes]
) -> None:
    write_tables(tmp_path)
    before = run(tmp_path, tmp_path / "data").fingerprint
    path = tmp_path / name
    path.write_bytes(change(path.read_bytes()))
    assert run(tmp_path, tmp_path / "data").fingerprint != before


# Side by side


def test_variants_of_a_source_lie_side_by_side(tables: Path, tmp_path: Path) -> None:
    plain = run(tables, tmp_path)
    whole = content(plain.folder)
    short = run(tables, tmp_path, name="small-7", max_item_seq_len=7)
    core = run(tables, tmp_path, name="core.of_3", k_core=3)
    assert set(prepared_names(Workspace(tmp_path, tmp_path))) == {"small", "small-7", "core.of_3"}
    assert content(plain.folder) == whole
    assert len({dataset.fingerprint for dataset in (plain, short, core)}) == 3
    assert [(d.name, d.manifest["name"], d.manifest["source"]) for d in (plain, short, core)] == [
        ("small", "small", "small"), ("small-7", "small-7", "small"), ("core.of_3", "core.of_3", "small"),
    ]  # fmt: skip
    assert short.histories.lengths.max() == 7


def test_a_known_source_is_kept_under_another_name(tmp_path: Path) -> None:
    prepare("demo", PrepareConfig.from_flat({"root": tmp_path, "name": "mine", "min_item_seq_len": 30}), Silent())
    dataset = open_dataset(Workspace(tmp_path, tmp_path))
    assert (dataset.name, dataset.manifest["source"], dataset.manifest["options"]["name"]) == ("mine", "demo", "mine")
    assert not (tmp_path / "prepared" / "demo").exists()


@pytest.mark.parametrize("name", ["a/b", "../up", ".hidden", "a.partial-b", "a b", "x" * 201])
def test_names_that_make_no_folder(tables: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValidationError, match="cannot be the name of a folder"):
        run(tables, tmp_path / "data", name=name)
    config = PrepareConfig.from_flat(values_of(tables, tmp_path / "data"))
    with pytest.raises(UserError, match="cannot be the name of a folder"):
        prepare(name, config, Silent())
    assert not (tmp_path / "data").exists()


# Killed, and two at once: each case in a process of its own, forked from one that has imported everything

forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

CASES = """
import json, os, pathlib, signal, sys, time
from plmrs import cli, workspace
from plmrs.data.sources import table
from plmrs.prepare import build, command

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def prepare(arguments, output):
    with open(output, "w") as file:
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
        return cli.main(["prepare", *arguments])

def forked(work):
    child = os.fork()
    if not child:
        os._exit(work())
    return child

def ending(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

cases = json.loads(sys.argv[1])
"""


def in_processes(script: str, cases: object) -> list:
    """What a script made of some cases, which it prints as JSON."""
    command = [sys.executable, "-c", CASES + script, json.dumps(cases, default=str)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def arguments_of(tables: Path, root: Path, *more: str) -> list[str]:
    files = ["--items", str(tables / "items.csv"), "--interactions", str(tables / "taken.csv")]
    return ["small", *files, "--root", str(root), *more]


BEHIND = "when it is in place of an older one"
KILLED = (
    f"BEHIND = {BEHIND!r}"
    + """
moments = {
    "before it reads": (table, "read"),
    "before it builds": (command, "build"),
    "before the items": (command, "write_items"),
    "before the histories": (command, "write_histories"),
    "before the manifest": (command, "write_json"),
    "within the manifest": (workspace.os, "replace"),
    "before it is in place": (pathlib.Path, "rename"),
}

def exchange_and_die(one, other, exchange=workspace._exchanged):
    exchange(one, other)
    die()

def work(case):
    if case["before"]:
        assert prepare(case["before"], case["output"]) == 0
        workspace._exchanged = exchange_and_die if case["moment"] == BEHIND else die
    if case["moment"] in moments:
        owner, name = moments[case["moment"]]
        setattr(owner, name, die)
    return prepare(case["arguments"], case["output"])

endings = []
for case in cases:
    child = forked(lambda: work(case))
    if not isinstance(case["moment"], str):
        time.sleep(case["moment"])
        os.kill(child, signal.SIGKILL)
    endings.append(ending(child))
print(json.dumps(endings))
"""
)
MOMENTS = (
    "before it reads", "before it builds", "before the items", "before the histories", "before the manifest",
    "within the manifest", "before it is in place",
)  # fmt: skip


@forking
@pytest.mark.parametrize("before", [False, True], ids=["anew", "over an older one"])
def test_a_killed_run_leaves_nothing_that_looks_finished(tables: Path, tmp_path: Path, before: bool) -> None:
    moments = (*MOMENTS, BEHIND) if before else MOMENTS
    cases = []
    for moment in (*moments, 0.005, 0.02, 0.04, 0.08):
        root = tmp_path / str(moment).replace(" ", "-")
        older = arguments_of(tables, root, "--min-item-seq-len", "6")
        cases.append(
            {
                "moment": moment,
                "root": root,
                "output": tmp_path / "output.txt",
                "arguments": arguments_of(tables, root),
                "before": older if before and isinstance(moment, str) else None,
            }
        )
    endings = in_processes(KILLED, cases)
    # By a moment of the work it is killed for certain, by the clock it may be done.
    assert endings[: len(moments)] == [-signal.SIGKILL] * len(moments)
    assert set(endings) <= {-signal.SIGKILL, 0}

    for case, ended in zip(cases, endings, strict=True):
        workspace, moment = Workspace(case["root"], tmp_path), case["moment"]
        there = prepared_names(workspace)
        if isinstance(moment, str):
            assert there == (["small"] if before else []), moment
        else:
            assert there == ["small"] or (there == [] and ended)
        if there:
            dataset = open_dataset(workspace)
            older = case["before"] and moment != BEHIND
            assert dataset.manifest["options"]["min_item_seq_len"] == (6 if older else 5), moment
            assert sorted(path.name for path in dataset.folder.iterdir()) == list(FILES)
            assert dataset.histories.lengths.min() >= dataset.manifest["options"]["min_item_seq_len"]
        # What was left behind is in nobody's way: it can be prepared again at once, with the very same result.
        again = run(tables, case["root"])
        assert [path.name for path in workspace.prepared("").iterdir() if path.name != ".small.lock"] == ["small"]
        case["content"] = {name: content(again.folder)[name] for name in FILES[:-1]}
    assert all(case["content"] == cases[0]["content"] for case in cases)


AT_ONCE = """
def work(case, gate):
    def slowly(*arguments, write=command.write_items):
        time.sleep(case["slow"])
        write(*arguments)

    command.write_items = slowly
    os.read(gate, 1)  # returns once the other end is closed, in all processes at the same time
    return prepare(case["arguments"], case["output"])

endings = []
for round_ in cases:
    gate, opener = os.pipe()
    children = []
    for case in round_:
        def waiting(case=case):
            os.close(opener)
            return work(case, gate)
        children.append(forked(waiting))
    os.close(opener), os.close(gate)
    endings.append([ending(child) for child in children])
print(json.dumps(endings))
"""


@forking
def test_several_at_once_do_not_corrupt_one_another(tables: Path, tmp_path: Path) -> None:
    lengths = ("3", "4", "6")
    alone = {
        length: content(run(tables, tmp_path / "at once", min_item_seq_len=int(length)).folder) for length in lengths
    }
    rounds = [
        [
            {
                "arguments": arguments_of(tables, tmp_path / "at once", "--min-item-seq-len", length),
                "output": tmp_path / f"{number}-{length}.txt",
                "slow": slow,
            }
            for length in lengths
        ]
        for number, slow in enumerate((0.5, 0, 0, 0))
    ]
    for number, endings in enumerate(in_processes(AT_ONCE, rounds)):
        assert set(endings) <= {0, 2}
        assert 0 in endings
        assert number > 0 or 2 in endings
        for length, ended in zip(lengths, endings, strict=True):
            said = (tmp_path / f"{number}-{length}.txt").read_text()
            assert ("Another plmrs process is preparing small." in said) == (ended == 2)
            assert "Traceback" not in said
    workspace = Workspace(tmp_path / "at once", tmp_path)
    assert prepared_names(workspace) == ["small"]
    dataset = open_dataset(workspace)
    made_alone = alone[str(dataset.manifest["options"]["min_item_seq_len"])]
    assert {name: content(dataset.folder)[name] for name in FILES[:-1]} == {
        name: made_alone[name] for name in FILES[:-1]
    }
    assert not [path for path in workspace.prepared("").iterdir() if ".partial-" in path.name]
