import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from plmrs.data import tokens as module
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.data.tokens import Tokens, list_tokens, make_tokens, open_tokens, tokens_path
from plmrs.errors import UserError
from plmrs.report import Silent
from plmrs.workspace import Workspace

TEXTS = ["a", "bb a ccc", "", "Größe 数字 of a far away thing", "bb a ccc", "a bb"]


class Saying(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def by_letters(length: int) -> Any:
    """A tokenizer whose id of a word is the number of its letters, after a 0 that begins each text."""

    def tokenise(texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        whole = [[0, *map(len, text.split())] for text in texts]
        return [ids[:length] for ids in whole], [len(ids) for ids in whole]

    return tokenise


@pytest.fixture
def dataset(tmp_path: Path, make_dataset: Any) -> Dataset:
    texts = [*TEXTS, *(f"text {'n' * i}" for i in range(20))]
    made: Dataset = make_dataset(Workspace(tmp_path / "data", tmp_path / "runs"), "few", texts)
    return made


def make(dataset: Dataset, length: int = 4, identity: str = "sha256:1", progress: Any = None) -> Tokens:
    return make_tokens(dataset, "letters", identity, length, by_letters(length), progress or Silent())


def each(tokens: Tokens) -> list[list[int]]:
    bounds = zip(tokens.start, tokens.start + tokens.length, strict=True)
    return [tokens.ids[start:stop].tolist() for start, stop in bounds]


def test_what_is_made_is_read_again_from_a_memory_map(dataset: Dataset) -> None:
    assert open_tokens(dataset, "letters", "sha256:1", 4) is None
    made = make(dataset)
    found = open_tokens(dataset, "letters", "sha256:1", 4)
    assert found is not None
    for tokens in (made, found):
        assert len(tokens) == dataset.n_items == 26
        assert (tokens.ids.dtype, tokens.start.dtype, tokens.length.dtype, tokens.full.dtype) == (
            np.int32, np.int64, np.int32, np.int32,
        )  # fmt: skip
        assert tokens.length[:6].tolist() == [2, 4, 1, 4, 4, 3]
        assert tokens.full[:6].tolist() == [2, 4, 1, 8, 4, 3]
        assert tokens.start[:6].tolist() == [0, 2, 6, 7, 11, 15]
        assert tokens.ids[:18].tolist() == [0, 1, 0, 2, 1, 3, 0, 0, 5, 2, 2, 0, 2, 1, 3, 0, 1, 2]
        assert tokens.n_cut == 1
        assert not tokens.ids.flags.owndata
        assert not tokens.ids.flags.writeable


def test_the_file_is_one_uncompressed_chunk_that_says_what_it_was_made_from(dataset: Dataset) -> None:
    make(dataset)
    with pa.ipc.open_file(dataset.folder / "tokens" / "letters-4.feather") as file:
        assert file.num_record_batches == 1
        assert file.schema.field("ids").type == pa.list_(pa.int32())
        assert file.schema.field("full").type == pa.int32()
        assert file.schema.metadata == {
            b"format": b"1",
            b"tokenizer": b"letters",
            b"identity": b"sha256:1",
            b"tokenized_len": b"4",
            b"texts_fingerprint": dataset.texts_fingerprint.encode(),
        }
        assert file.read_all().column("ids")[3].as_py() == [0, 5, 2, 2]


def test_some_texts_are_taken_in_any_order(dataset: Dataset) -> None:
    tokens = make(dataset)
    for rows in (slice(1, 4), slice(0, 0), np.array([3, 0, 3]), np.array([], np.int64), slice(4, None, -2)):
        taken = tokens.take(rows)
        expected = [each(tokens)[row] for row in np.arange(26)[rows]]
        assert each(taken) == expected
        assert taken.ids.tolist() == list(chain.from_iterable(expected))
        assert taken.full.tolist() == tokens.full[rows].tolist()
    assert np.shares_memory(tokens.take(slice(1, 4)).ids, tokens.ids)
    assert tokens.take(slice(3, 4)).n_cut == 1


@pytest.mark.parametrize(("name", "value"), [("TEXTS", 5), ("CHARACTERS", 20), ("CHARACTERS", 1)])
def test_portions_change_no_byte(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    make(dataset)
    path = tokens_path(dataset, "letters", 4)
    before = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(module, name, value)
    sizes: list[int] = []

    def tokenise(texts: Sequence[str]) -> Any:
        sizes.append(len(texts))
        return by_letters(4)(texts)

    make_tokens(dataset, "letters", "sha256:1", 4, tokenise, Silent())
    assert path.read_bytes() == before
    assert sum(sizes) == 26
    assert len(sizes) > 4


def test_lengths_lie_side_by_side_and_are_listed(dataset: Dataset) -> None:
    assert list_tokens(dataset) == []
    make(dataset, 10)
    make(dataset, 4)
    make_tokens(dataset, "another", "sha256:2", 4, by_letters(4), Silent())
    (dataset.folder / "tokens" / "letters-4.partial-1.feather").write_bytes(b"")
    (dataset.folder / "tokens" / "damaged-4.feather").write_bytes(b"ARROW1")
    found = list_tokens(dataset)
    assert [(name, length, tokens.n_cut) for name, length, tokens in found] == [
        ("another", 4, 1),
        ("letters", 4, 1),
        ("letters", 10, 0),
    ]
    assert [len(tokens.ids) for *_, tokens in found] == [18 + 20 * 3 - 1, 18 + 20 * 3 - 1, 22 + 20 * 3 - 1]
    assert open_tokens(dataset, "letters", "sha256:1", 5) is None


def test_plms_of_one_tokenizer_share_its_tokens(dataset: Dataset) -> None:
    made = make(dataset)
    shared = open_tokens(dataset, "another-name", "sha256:1", 4)
    assert shared is not None
    assert np.array_equal(shared.ids, made.ids)
    assert open_tokens(dataset, "another-name", "sha256:2", 4) is None


def test_tokens_of_anything_else_are_never_read_but_replaced(dataset: Dataset, tmp_path: Path) -> None:
    make(dataset)
    path = tokens_path(dataset, "letters", 4)
    right = path.read_bytes()
    table = feather.read_table(path)
    of_another = replace(dataset, manifest={**dataset.manifest, "texts_fingerprint": "another"})
    assert open_tokens(of_another, "letters", "sha256:1", 4) is None
    assert list_tokens(of_another) == []
    for key, value, says in [
        ("texts_fingerprint", "another", "items or texts have changed since"),
        ("identity", "sha256:2", "a tokenizer of other files made it"),
        ("format", "0", "another version of plmrs made it"),
        ("tokenized_len", "5", "it is cut to another length"),
    ]:
        changed = table.replace_schema_metadata({**table.schema.metadata, key.encode(): value})
        feather.write_feather(changed, str(path), compression="uncompressed")
        assert open_tokens(dataset, "letters", "sha256:1", 4) is None
        progress = Saying()
        make(dataset, progress=progress)
        assert progress.lines[0] == f"Not used is {path}: {says}. It is replaced."
        assert path.read_bytes() == right
    for content in (b"", right[:-20], b"no Arrow file at all"):
        path.write_bytes(content)
        assert open_tokens(dataset, "letters", "sha256:1", 4) is None
        progress = Saying()
        make(dataset, progress=progress)
        assert progress.lines[0] == f"Not used is {path}: it is damaged. It is replaced."
        assert path.read_bytes() == right
    progress = Saying()
    make(dataset, progress=progress)
    assert progress.lines == [f"Texts tokenised as letters does, kept in {path}."]


def test_tokens_in_use_outlive_their_file(dataset: Dataset) -> None:
    tokens = make(dataset)
    before = tokens.ids.tolist()
    make(dataset, identity="sha256:2")
    tokens_path(dataset, "letters", 4).unlink()
    assert tokens.ids.tolist() == before


AT_ONCE = """
import sys
from pathlib import Path
from plmrs.data.dataset import open_dataset
from plmrs.data.tokens import make_tokens
from plmrs.report import Silent
from plmrs.workspace import Workspace

def tokenise(texts):
    print("half way", flush=True)
    sys.stdin.readline()
    return [[0, len(text)][:4] for text in texts], [2 for text in texts]

workspace = Workspace(Path(sys.argv[1]), Path(sys.argv[1]))
made = make_tokens(open_dataset(workspace, "few"), "letters", "sha256:1", 4, tokenise, Silent())
print(made.ids.tolist(), flush=True)
"""


def test_two_processes_at_once_both_end_well(dataset: Dataset) -> None:
    root = dataset.folder.parent.parent
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "half way\n"
    told = [process.communicate("\n", timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert told[0] == told[1] != ""
    assert [path.name for path in (dataset.folder / "tokens").iterdir()] == ["letters-4.feather"]
    tokens = open_tokens(dataset, "letters", "sha256:1", 4)
    assert tokens is not None
    assert f"{tokens.ids.tolist()}\n" == told[0]


def test_a_folder_that_cannot_be_written_is_named(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.feather, "write_feather", full)
    with pytest.raises(UserError, match=r"Cannot write .*letters-4\.feather: No space left on device"):
        make(dataset)
    assert not any((dataset.folder / "tokens").iterdir())


def test_tokens_that_vanish_are_named(dataset: Dataset) -> None:
    make(dataset)
    tokens_path(dataset, "letters", 4).unlink()
    with pytest.raises(UserError, match=r"letters-4\.feather was replaced or removed meanwhile"):
        module.reopen_tokens(open_dataset(Workspace(dataset.folder.parent.parent, Path()), "few"), "letters", "", 4)
