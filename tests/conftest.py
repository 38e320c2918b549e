"""What many tests stand on: tiny PLMs with random weights, and a small prepared data set."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmrs.data.dataset import FORMAT, Dataset, open_dataset, write_histories, write_items
from plmrs.workspace import Workspace, fingerprint, write_json

SUBJECTS = ("river", "council", "doctor", "teacher", "garden", "market", "singer", "engine", "planet", "bakery")
EVENTS = ("opens", "wins", "loses", "finds", "repairs", "paints", "buys", "forgets", "measures", "celebrates")
PLACES = ("in the north", "at night", "near the old harbour", "for the third time", "", "despite heavy rain")

MakePlm = Callable[..., Path]
MakeDataset = Callable[[Workspace, str, Sequence[str]], Dataset]


def titles(n: int) -> list[str]:
    """n different short texts of very different lengths."""
    return [
        f"{SUBJECTS[i % 10]} {EVENTS[i // 10 % 10]} {i} {PLACES[i % 6]}{' again and again' * (i % 4)}".strip()
        for i in range(n)
    ]


def wordpiece() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # type: ignore[arg-type]
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(titles(300), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def byte_level() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(titles(300), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return tokenizer


@pytest.fixture(scope="session")
def make_plm(tmp_path_factory: pytest.TempPathFactory) -> MakePlm:
    """Write a PLM with random weights: `make_plm("opt", hidden_size=16, …)` gives its folder."""

    def make(family: str, safetensors: bool = True, head: bool = False, **sizes: Any) -> Path:
        import torch
        import transformers
        from transformers import PreTrainedTokenizerFast

        folder = tmp_path_factory.mktemp(f"{family}_plm") / f"tiny-{family}"
        common = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
        name = {"bert": "Bert", "roberta": "Roberta", "opt": "OPT"}[family]
        inner = {"ffn_dim": 64, "word_embed_proj_dim": 32} if family == "opt" else {"intermediate_size": 64}
        longest = {"max_position_embeddings": 66 if family == "roberta" else 64}
        config = getattr(transformers, f"{name}Config")(**{**common, **inner, **longest, **sizes})
        kind = {"bert": "MaskedLM", "roberta": "MaskedLM", "opt": "ForCausalLM"}[family]
        if family != "opt":
            kind = f"For{kind}"
        torch.manual_seed(1)
        model = getattr(transformers, f"{name}{kind if head else 'Model'}")(config)
        # Freshly drawn biases are 0 and norms 1; a forgotten one would not be noticed.
        for parameter in model.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        folder.mkdir()
        if safetensors:
            model.save_pretrained(folder)
        else:
            config.save_pretrained(folder)
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
        if family == "bert":
            names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
            tokenizer = PreTrainedTokenizerFast(tokenizer_object=wordpiece(), **names)
        else:
            names = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "</s>", "eos_token": "</s>"}
            tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_level(), **names)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_bert(make_plm: MakePlm) -> Path:
    """The folder of a BERT of 2 blocks, width 32, with its tokenizer."""
    return make_plm("bert")


@pytest.fixture(scope="session")
def tiny_opt(make_plm: MakePlm) -> Path:
    """The folder of a pre-norm OPT of 2 blocks, width 32, with its tokenizer."""
    return make_plm("opt")


@pytest.fixture(scope="session")
def make_dataset() -> MakeDataset:
    """Prepare a data set of given texts in a workspace: 40 users, each with 6 to 12 items."""

    def make(workspace: Workspace, name: str, texts: Sequence[str]) -> Dataset:
        random = np.random.default_rng(3)
        histories = [random.choice(len(texts), size=6 + user % 7, replace=False) + 1 for user in range(40)]
        items = np.concatenate(histories).astype(np.int32)
        offsets = np.cumsum([0, *map(len, histories)])
        folder = workspace.prepared(name)
        folder.mkdir(parents=True)
        ids = [f"n{i}" for i in range(len(texts))]
        counts = np.bincount(items, minlength=len(texts) + 1)[1:]
        write_items(folder, ids, texts, None, counts)
        write_histories(
            folder, [f"u{user}" for user in range(40)], items, np.arange(len(items), dtype=np.int64), offsets
        )
        marks = {"texts": texts, "ids": ids}
        write_json(
            folder / "manifest.json",
            {
                "format": FORMAT,
                "name": name,
                "fingerprint": fingerprint({**marks, "items": items.tolist()}),
                "texts_fingerprint": fingerprint(marks),
            },
        )
        return open_dataset(workspace, name)

    return make


@pytest.fixture(scope="session")
def small_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which `small` is prepared."""
    root = tmp_path_factory.mktemp("workspace")
    return Workspace(root / "data", root / "runs")


@pytest.fixture(scope="session")
def small_dataset(small_workspace: Workspace, make_dataset: MakeDataset) -> Dataset:
    """The prepared data set `small` in `small_workspace`: 600 items, two pairs of them with the same text."""
    texts = titles(600)
    return make_dataset(small_workspace, "small", [*texts[:598], texts[0], texts[597]])
