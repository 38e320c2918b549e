import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from plmrs.data.tokens import Tokens
from plmrs.errors import UserError
from plmrs.plm.checkpoint import find_plm
from plmrs.plm.encode import Encoder, batches, distinct, right_padded
from plmrs.plm.load import load_plm, resolve_precision
from plmrs.plm.pooling import POOLINGS, pool

CPU = torch.device("cpu")
TEXTS = [
    "river opens 7 in the north again and again",
    "doctor",
    "",
    "a word nobody trained on, and 数字",
    "garden paints 44 despite heavy rain again and again again and again again and again",
]

FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {"family": "bert"},
    "bert with a head": {"family": "bert", "head": True},
    "roberta": {"family": "roberta"},
    "opt": {"family": "opt"},
    "opt with a head, .bin": {"family": "opt", "head": True, "safetensors": False},
    "opt as 350m": {"family": "opt", "do_layer_norm_before": False, "word_embed_proj_dim": 16},
}


@pytest.fixture(scope="module", params=FAMILIES.values(), ids=FAMILIES.keys())
def folder(request: pytest.FixtureRequest, make_plm: Any) -> Path:
    made: Path = make_plm(**request.param)
    return made


def tokens_of(folder: Path, texts: Sequence[str] = TEXTS, length: int = 30) -> Tokens:
    """Hugging Face's own token ids of some texts."""
    from transformers import AutoTokenizer

    return ragged(AutoTokenizer.from_pretrained(folder)(list(texts), truncation=True, max_length=length)["input_ids"])


def ragged(ids: Sequence[Sequence[int]]) -> Tokens:
    lengths = np.array([len(row) for row in ids], np.int32)
    return Tokens(np.concatenate(ids).astype(np.int32), np.cumsum(lengths, dtype=np.int64) - lengths, lengths, lengths)


@torch.inference_mode()
def final_states(folder: Path, text: str, length: int) -> torch.Tensor:
    """One text alone through Hugging Face's own whole model, before OPT-350m's last projection. [tokens, H]"""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    inputs = AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=length, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    seen = []
    if getattr(getattr(model, "decoder", None), "project_out", None) is not None:
        model.decoder.project_out.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    states = model(**inputs).last_hidden_state
    return (seen[0] if seen else states)[0]


@pytest.mark.parametrize("length", [12, 30])
def test_vectors_equal_hugging_faces_own_forward(folder: Path, length: int) -> None:
    encoded = Encoder(find_plm(str(folder)), "32", CPU).encode(tokens_of(folder, length=length))
    for row, text in enumerate(TEXTS):
        states = final_states(folder, text, length)
        for name, expected in {"mean": states.mean(dim=0), "last": states[-1], "cls": states[0]}.items():
            assert np.allclose(encoded.pooled[name][row], expected.numpy(), atol=2e-3), (text, name)


def test_final_states_equal_hugging_faces_own_forward_to_1e_5(folder: Path) -> None:
    encoder = Encoder(find_plm(str(folder)), "32", CPU)
    tokens = tokens_of(folder)
    ids, mask = right_padded(tokens, encoder.padding)
    with torch.inference_mode():
        hidden = encoder.model(input_ids=ids, attention_mask=mask).last_hidden_state
    assert hidden.shape == (len(TEXTS), tokens.length.max(), 32)
    for row, text in enumerate(TEXTS):
        assert torch.allclose(hidden[row, : tokens.length[row]], final_states(folder, text, 30), atol=1e-5)


def test_opt_350ms_projection_of_its_pooled_states_is_hugging_faces_output(make_plm: Any) -> None:
    from transformers import AutoModel

    folder = make_plm(**FAMILIES["opt as 350m"])
    whole = AutoModel.from_pretrained(folder).eval()
    ours = load_plm(find_plm(str(folder)), "32", CPU)
    tokens = torch.arange(4, 16).view(2, 6)
    with torch.inference_mode():
        expected = whole(tokens).last_hidden_state
        states = ours(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
        assert states.shape[-1] == 32
        assert expected.shape[-1] == 16
        assert torch.allclose(whole.decoder.project_out(states), expected, atol=1e-5)


def stored_tensors(folder: Path) -> dict[str, torch.Tensor]:
    file = folder / "model.safetensors"
    found = load_file(file) if file.exists() else torch.load(folder / "pytorch_model.bin", weights_only=True)
    return {name.removeprefix("model.").removeprefix("bert.").removeprefix("roberta."): found[name] for name in found}


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_every_tensor_equals_the_checkpoint(folder: Path, precision: Any) -> None:
    model = load_plm(find_plm(str(folder)), precision, CPU)
    stored = stored_tensors(folder)
    dtype = torch.float32 if precision == "32" else torch.bfloat16
    loaded = model.state_dict()
    assert len(loaded) > 30
    for name, tensor in loaded.items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, stored[name].to(dtype)), name
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_padding_and_company_change_nothing(folder: Path) -> None:
    tokens = tokens_of(folder)
    together = Encoder(find_plm(str(folder)), "32", CPU).encode(tokens)
    for size in (1, 2):
        apart = Encoder(find_plm(str(folder)), "32", CPU, batch_size=size).encode(tokens)
        for name in POOLINGS:
            assert np.allclose(apart.pooled[name], together.pooled[name], atol=2e-3)


def test_texts_of_the_same_tokens_run_once(tiny_bert: Path) -> None:
    moved: list[tuple[int, int]] = []
    # This tokenizer knows no case, and keeps five tokens.
    texts = ["doctor", "river", "Doctor", "doctor doctor doctor doctor", "doctor", "doctor doctor doctor river"]
    tokens = tokens_of(tiny_bert, texts, 5)
    encoded = Encoder(find_plm(str(tiny_bert)), "32", CPU, batch_size=2).encode(
        tokens, lambda items, tokens: moved.append((items, tokens))
    )
    assert encoded.n_unique == 3
    vectors = encoded.pooled["mean"]
    assert np.array_equal(vectors[0], vectors[2])
    assert np.array_equal(vectors[0], vectors[4])
    assert np.array_equal(vectors[3], vectors[5])
    assert not np.array_equal(vectors[0], vectors[1])
    assert not np.array_equal(vectors[0], vectors[3])
    assert sum(items for items, _ in moved) == 6
    assert sum(tokens for _, tokens in moved) == encoded.n_tokens == 3 + 3 + 5


def test_distinct_texts_and_what_each_is_the_same_as() -> None:
    rows = [[5, 6], [7], [5, 6], [5], [6], [7], [5, 6, 0]]
    first, same = distinct(ragged(rows))
    assert first.tolist() == [0, 1, 3, 4, 6]
    assert same.tolist() == [0, 1, 0, 2, 3, 1, 4]
    random = np.random.default_rng(0)
    many = [random.integers(0, 3, random.integers(1, 5)).tolist() for _ in range(500)]
    first, same = distinct(ragged(many))
    assert [many[row] for row in first[same]] == many
    assert len(first) == len({tuple(row) for row in many}) < 130


def test_padding_is_on_the_right() -> None:
    ids, mask = right_padded(ragged([[5, 6], [7], [1, 1, 1]]), 9)
    assert ids.tolist() == [[5, 6, 9], [7, 9, 9], [1, 1, 1]]
    assert mask.tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 1]]
    assert (ids.dtype, mask.dtype) == (torch.int64, torch.int64)


def test_bf16_stays_near_fp32(tiny_bert: Path) -> None:
    plm = find_plm(str(tiny_bert))
    tokens = tokens_of(tiny_bert)
    exact, rounded = (Encoder(plm, precision, CPU).encode(tokens) for precision in ("32", "bf16"))
    assert np.allclose(exact.pooled["mean"], rounded.pooled["mean"], atol=0.1)
    assert not np.array_equal(exact.pooled["mean"], rounded.pooled["mean"])


def test_auto_is_bf16_only_where_the_device_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert resolve_precision("auto", CPU) == "32"
    assert resolve_precision("bf16", CPU) == "bf16"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert resolve_precision("auto", CPU) == "bf16"
    assert resolve_precision("32", CPU) == "32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert resolve_precision("auto", torch.device("cuda", 0)) == "32"


def test_batches_are_sorted_and_within_their_tokens() -> None:
    lengths = np.array([3, 9, 8, 2, 2000, 5000, 9])
    found = list(batches(lengths))
    assert [batch.tolist() for batch in found] == [[5], [4, 1], [6, 2, 0, 3]]
    assert [batch.tolist() for batch in batches(lengths, 3)] == [[5, 4, 1], [6, 2, 0], [3]]
    many = np.random.default_rng(0).integers(1, 31, 5000)
    found = list(batches(many))
    assert sorted(np.concatenate(found).tolist()) == list(range(5000))
    assert all(len(batch) * many[batch].max() <= 4096 for batch in found)


def test_pooling_leaves_padding_out() -> None:
    hidden = torch.tensor([[[1.0], [2.0], [6.0], [float("nan")]], [[4.0], [8.0], [0.0], [0.0]]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    pooled = {name: vectors.squeeze(1).tolist() for name, vectors in pool(hidden, mask).items()}
    assert pooled == {"mean": [3.0, 6.0], "last": [6.0, 8.0], "cls": [1.0, 4.0]}


def scaled(folder: Path, to: Path, factor: float) -> Path:
    shutil.copytree(folder, to)
    tensors = load_file(to / "model.safetensors")
    name = "decoder.final_layer_norm.bias" if "decoder.final_layer_norm.bias" in tensors else None
    name = name or next(name for name in tensors if name.endswith("final_layer_norm.bias") and "layers" not in name)
    tensors[name] = torch.full_like(tensors[name], factor)
    save_file(tensors, to / "model.safetensors", {"format": "pt"})
    return to


def test_a_vector_that_overflows_float16_is_an_error(tiny_opt: Path, tmp_path: Path) -> None:
    plm = find_plm(str(scaled(tiny_opt, tmp_path / "large", 1e5)))
    with pytest.raises(UserError, match="too large for the cache's float16") as caught:
        Encoder(plm, "bf16", CPU).encode(tokens_of(tiny_opt))
    assert "--precision 32" in caught.value.remedy
    with pytest.raises(UserError, match="not finite"):
        Encoder(find_plm(str(scaled(tiny_opt, tmp_path / "nan", float("nan")))), "32", CPU).encode(tokens_of(tiny_opt))


def test_a_checkpoint_that_lacks_a_tensor_is_an_error(tiny_bert: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bert, tmp_path / "lacking")
    file = tmp_path / "lacking" / "model.safetensors"
    tensors = load_file(file)
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(UserError, match=r"lack 1 tensors, as encoder\.layer\.1\.output\.dense\.weight"):
        load_plm(find_plm(str(tmp_path / "lacking")), "32", CPU)


def test_a_tensor_of_another_shape_is_an_error(tiny_bert: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_bert, tmp_path / "other")
    file = tmp_path / "other" / "model.safetensors"
    tensors = load_file(file)
    tensors["encoder.layer.1.output.dense.weight"] = torch.zeros(32, 8)
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(UserError, match="cannot be read"):
        load_plm(find_plm(str(tmp_path / "other")), "32", CPU)


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("it_ran"),))


def test_code_in_a_pickle_does_not_run(make_plm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(make_plm("opt", safetensors=False), tmp_path / "evil")
    file = tmp_path / "evil" / "pytorch_model.bin"
    for write in (lambda: torch.save({"a": Evil()}, file), lambda: file.write_bytes(pickle.dumps(Evil(), protocol=2))):
        write()
        with pytest.raises(UserError, match="cannot be read"):
            load_plm(find_plm(str(tmp_path / "evil")), "32", CPU)
    assert not Path("it_ran").exists()


def test_a_cut_bin_file_is_an_error(make_plm: Any, tmp_path: Path) -> None:
    shutil.copytree(make_plm("opt", safetensors=False), tmp_path / "cut")
    file = tmp_path / "cut" / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(UserError, match="cannot be read"):
        load_plm(find_plm(str(tmp_path / "cut")), "32", CPU)


def test_code_beside_the_weights_does_not_run(tiny_bert: Path, tmp_path: Path) -> None:
    import json

    shutil.copytree(tiny_bert, tmp_path / "remote")
    config = json.loads((tmp_path / "remote" / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Evil", "AutoConfig": "modeling.EvilConfig"}
    (tmp_path / "remote" / "config.json").write_text(json.dumps(config))
    (tmp_path / "remote" / "modeling.py").write_text(f"open({str(tmp_path / 'it_ran')!r}, 'w')")
    Encoder(find_plm(str(tmp_path / "remote")), "32", CPU)
    assert not (tmp_path / "it_ran").exists()


def test_a_tokenizer_of_another_plm_is_an_error(make_plm: Any) -> None:
    folder = make_plm("bert", vocab_size=100)
    encoder, tokens = Encoder(find_plm(str(folder)), "32", CPU), tokens_of(folder)
    with pytest.raises(UserError, match=rf"gives token {tokens.ids.max()}, .* knows 100 tokens"):
        encoder.encode(tokens)


def test_loading_writes_nothing_to_the_terminal(tiny_bert: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Encoder(find_plm(str(tiny_bert)), "32", CPU)
    assert capfd.readouterr() == ("", "")
