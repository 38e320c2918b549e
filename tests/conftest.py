"""What many tests stand on: tiny PLMs with random weights, and a small prepared data set."""

import json
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmrs.data.checksums import checksums
from plmrs.data.dataset import FORMAT, Dataset, open_dataset, write_histories, write_items
from plmrs.workspace import Workspace, fingerprint, write_json

SUBJECTS = ("river", "council", "doctor", "teacher", "garden", "market", "singer", "engine", "planet", "bakery")
EVENTS = ("opens", "wins", "loses", "finds", "repairs", "paints", "buys", "forgets", "measures", "celebrates")
PLACES = ("in the north", "at night", "near the old harbour", "for the third time", "", "despite heavy rain")

MakePlm = Callable[..., Path]
MakeDataset = Callable[..., Dataset]


def titles(n: int) -> list[str]:
    """n different short texts of very different lengths."""
    return [
        f"{SUBJECTS[i % 10]} {EVENTS[i // 10 % 10]} {i} {PLACES[i % 6]}{' again and again' * (i % 4)}".strip()
        for i in range(n)
    ]


def wordpiece() -> Any:
    """BERT's tokenizer with a vocabulary that is always the same; a trainer breaks ties by chance.

    Two of three words are whole, the others fall into two pieces, and numbers into digits.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = sorted({word for text in titles(300) for word in text.split() if word.isalpha()})
    whole = [word for place, word in enumerate(words) if place % 3]
    pieces = [part for word in words[::3] for part in (word[:1], f"##{word[1:]}")]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *whole, *pieces])
    numbers = {piece: number for number, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
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


HEADS = {
    "bert": ("Bert", "ForMaskedLM"),
    "gpt2": ("GPT2", "LMHeadModel"),
    "llama": ("Llama", "ForCausalLM"),
    "mistral": ("Mistral", "ForCausalLM"),
    "opt": ("OPT", "ForCausalLM"),
    "qwen2": ("Qwen2", "ForCausalLM"),
    "qwen3": ("Qwen3", "ForCausalLM"),
    "roberta": ("Roberta", "ForMaskedLM"),
    "t5": ("T5", "ForConditionalGeneration"),
}
"""How transformers names the classes of each family: what they begin with, and how the one with a head ends."""


def small_sizes(family: str) -> dict[str, Any]:
    """Sizes of a PLM of 2 blocks, width 32, 4 heads and 400 tokens, as its configuration spells them."""
    if family == "t5":
        return {"vocab_size": 400, "d_model": 32, "num_layers": 2, "num_heads": 4, "d_kv": 8, "d_ff": 64}
    sizes = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"ffn_dim": 64, "word_embed_proj_dim": 32} if family == "opt" else {"intermediate_size": 64}
    if family in {"llama", "mistral", "qwen2", "qwen3"}:
        sizes |= {"num_key_value_heads": 2, "head_dim": 8}
    return {**sizes, "max_position_embeddings": 66 if family == "roberta" else 64}


def save_bin(state: dict[str, Any], folder: Path, shards: int) -> None:
    """Write weights as PyTorch does, in one file or in several with an index."""
    import torch

    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin")
        return
    names = sorted(state)
    index = {}
    for shard in range(shards):
        file = f"pytorch_model-{shard + 1:05}-of-{shards:05}.bin"
        torch.save({name: state[name] for name in names[shard::shards]}, folder / file)
        index.update(dict.fromkeys(names[shard::shards], file))
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


@pytest.fixture(scope="session")
def make_plm(tmp_path_factory: pytest.TempPathFactory) -> MakePlm:
    """Write a PLM with random weights: `make_plm("opt", hidden_size=16, …)` gives its folder."""

    def make(family: str, safetensors: bool = True, head: bool = False, shards: int = 1, **sizes: Any) -> Path:
        import torch
        import transformers
        from transformers import PreTrainedTokenizerFast

        folder = tmp_path_factory.mktemp(f"{family}_plm") / f"tiny-{family}"
        name, ending = HEADS[family]
        config = getattr(transformers, f"{name}Config")(**{**small_sizes(family), **sizes})
        bare = "EncoderModel" if family == "t5" else "Model"
        torch.manual_seed(1)
        model = getattr(transformers, f"{name}{ending if head else bare}")(config)
        # Freshly drawn biases are 0 and norms 1; a forgotten one would not be noticed.
        for parameter in model.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        folder.mkdir()
        if safetensors:
            size = sum(parameter.nbytes for parameter in model.parameters())
            model.save_pretrained(folder, max_shard_size=-(-size // shards) if shards > 1 else "50GB")
        else:
            config.save_pretrained(folder)
            save_bin(model.state_dict(), folder, shards)
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
    """Prepare a data set of given texts in a workspace: 40 users, each with 6 to 12 items, one a day from 2024 on.

    `make_dataset(workspace, name, texts, split={"method": …})` splits it otherwise than by leaving one out.
    """

    def make(workspace: Workspace, name: str, texts: Sequence[str], split: Mapping[str, Any] | None = None) -> Dataset:
        split = split or {"method": "leave_one_out"}
        random = np.random.default_rng(3)
        histories = [random.choice(len(texts), size=6 + user % 7, replace=False) + 1 for user in range(40)]
        items = np.concatenate(histories).astype(np.int32)
        offsets = np.cumsum([0, *map(len, histories)])
        days = np.concatenate([np.arange(len(history)) for history in histories])
        times = 1_704_067_200 + 86_400 * days
        folder = workspace.prepared(name)
        folder.mkdir(parents=True)
        ids = [f"n{i}" for i in range(len(texts))]
        counts = np.bincount(items, minlength=len(texts) + 1)[1:]
        write_items(folder, ids, texts, None, counts)
        write_histories(folder, [f"u{user}" for user in range(40)], items, times, offsets)
        marks = {"texts": texts, "ids": ids}
        write_json(
            folder / "manifest.json",
            {
                "format": FORMAT,
                "files": checksums(folder),
                "name": name,
                "fingerprint": fingerprint({**marks, "items": items.tolist(), "split": split}),
                "texts_fingerprint": fingerprint(marks),
                "split": split,
                "has_times": True,
                "time_unit": "seconds since 1970-01-01 UTC",
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


@pytest.fixture(scope="session")
def forkserver() -> Any:
    """Starts processes that have imported what takes long."""
    context = multiprocessing.get_context("forkserver")
    ours = ["plmrs.plm.run", "plmrs.preinfer.command", "plmrs.evaluate.rank", "plmrs.recommend.rank"]
    context.set_forkserver_preload(["zarr", "torch", "transformers.models.opt.modeling_opt", *ours])
    ensure_running()  # Begun with the first process, it would never heed Ctrl-C: plmrs starts its own without.
    return context


@pytest.fixture
def quick_processes(monkeypatch: pytest.MonkeyPatch, forkserver: Any) -> None:
    """Processes that a command shares work among start this way: where it is not their start that is tested."""
    monkeypatch.setattr("multiprocessing.get_context", lambda method: forkserver)
