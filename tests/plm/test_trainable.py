"""What trains of a PLM against Hugging Face's own whole model, text by text: the same vectors, the same gradients."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from kinds import IDS, KINDS, LENGTHS, N_BLOCKS, pooled, texts, whole_model

from plmrs.plm import run
from plmrs.plm.checkpoint import Plm
from plmrs.plm.mean_last import MeanLast
from plmrs.plm.pieces import load_piece
from plmrs.plm.trainable import TrainablePlm, load_trainable

WAYS = [(None, 0), (None, N_BLOCKS), (None, -1), (0, N_BLOCKS), (1, 2), (1, 1)]
"""`start` and `trained`."""


def inputs_at(plm: Plm, start: int | None) -> torch.Tensor:
    """Token ids, or the states behind the first blocks."""
    if start is None:
        return IDS
    lower = load_piece(plm, 0, start, torch.float32, torch.device("cpu"))
    with torch.no_grad():
        return torch.cat([lower(text)[0] for text in texts(IDS)])


def whole_vectors(model: Any, pooling: str) -> torch.Tensor:
    return torch.stack([pooled(model(input_ids=text).last_hidden_state, pooling) for text in texts(IDS)])


def whole_name(trainable: TrainablePlm, name: str) -> str:
    """What Hugging Face's whole model calls a parameter."""
    part, rest = name.split(".model.")
    stored: str = trainable.family.stored_name(rest, getattr(trainable, part).first)
    return stored


def grown(trainable: TrainablePlm, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradients of a loss of its vectors, by name."""
    trainable.zero_grad()
    (trainable(inputs, LENGTHS) ** 3).sum().backward()
    return {name: parameter.grad for name, parameter in trainable.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_equal_the_whole_model_from_every_start(plm_of: Any, kind: str) -> None:
    plm = plm_of(kind)
    with torch.no_grad():
        expected = {pooling: whole_vectors(whole_model(plm), pooling) for pooling in ("mean", "last", "cls")}
    for start, trained in WAYS:
        inputs = inputs_at(plm, start)
        for pooling in ("mean", "last", "cls") if trained == 0 else ("mean",):
            trainable = load_trainable(plm, start, trained, pooling).train()
            assert trainable.width == expected[pooling].shape[1]
            torch.testing.assert_close(trainable(inputs, LENGTHS), expected[pooling], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_the_whole_models_and_frozen_parts_have_none(plm_of: Any, kind: str) -> None:
    plm = plm_of(kind)
    model = whole_model(plm)
    (whole_vectors(model, "mean") ** 3).sum().backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    for start, trained in WAYS:
        trainable = load_trainable(plm, start, trained, "mean")
        if trained == 0:
            assert not trainable(inputs_at(plm, start), LENGTHS).requires_grad
            continue
        found = grown(trainable.train(), inputs_at(plm, start))
        # Those of key biases are 0, but for rounding: that of the largest ones.
        rounding = 2e-6 * max(float(gradient.abs().max()) for gradient in found.values())
        layers = {name: trainable.layer_of(name) for name in found}
        assert set(layers.values()) == set(range(0 if trained == -1 else N_BLOCKS - trained, N_BLOCKS))
        for name, gradient in found.items():
            assert trainable.get_parameter(name).dtype == torch.float32
            torch.testing.assert_close(gradient, expected.pop(whole_name(trainable, name)), rtol=1e-5, atol=rounding)
        if trained == -1:
            assert not expected  # Nothing that trains in the whole model stands still.
        expected = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_train_has_no_gradient_and_every_tensor_is_the_checkpoints(plm_of: Any, kind: str) -> None:
    plm = plm_of(kind)
    stored = dict(whole_model(plm).named_parameters())
    trainable = load_trainable(plm, None, 1, "mean").train()
    grown(trainable, IDS)
    for name, parameter in trainable.named_parameters():
        assert torch.equal(parameter, stored[whole_name(trainable, name)])
        if name.startswith("frozen.") or "relative_attention_bias" in name:
            assert not parameter.requires_grad
            assert parameter.grad is None
    # OPT-350m's last projection and T5's second name of its embeddings are no part of it.
    held = {whole_name(trainable, name) for name, _ in trainable.named_parameters()}
    assert {name for name in stored if "pooler" not in name} == held


def test_parameters_know_their_block(plm_of: Any) -> None:
    places = {
        ("t5", "trained.model.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"): 0,
        ("t5", "trained.model.encoder.block.0.layer.1.DenseReluDense.wi.weight"): 1,
        ("t5", "trained.model.encoder.final_layer_norm.weight"): 2,
        ("t5", "frozen.model.encoder.embed_tokens.weight"): 0,
        ("bert", "trained.model.encoder.layer.1.output.dense.bias"): 2,
        ("bert", "frozen.model.embeddings.LayerNorm.bias"): 0,
        ("opt", "trained.model.decoder.layers.0.final_layer_norm.weight"): 1,
        ("opt", "trained.model.decoder.final_layer_norm.weight"): 2,
        ("qwen3", "trained.model.norm.weight"): 2,
        ("bert", "mean_last.layers.0.weight"): None,
    }
    for (kind, name), layer in places.items():
        trainable = load_trainable(plm_of(kind), None, 2, "mean_last")
        assert name in dict(trainable.named_parameters())
        assert trainable.layer_of(name) == layer
        assert len(trainable.blocks()) == 2
    assert load_trainable(plm_of("bert"), None, 0, "mean").blocks() == []


def dropouts(module: torch.nn.Module) -> Iterator[float]:
    """The rates that are at work in a module."""
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout) and part.training:
            yield part.p
        for rate in ("dropout", "attention_dropout"):
            if part.training and isinstance(getattr(part, rate, None), float):
                yield getattr(part, rate)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_trains_has_dropout(plm_of: Any, kind: str) -> None:
    plm = plm_of(kind)
    still = load_trainable(plm, None, 1, "mean").train()
    assert not set(dropouts(still)) - {0.0}  # Whatever the checkpoint's own configuration says.
    assert torch.equal(still(IDS, LENGTHS), still.eval()(IDS, LENGTHS))
    noisy = load_trainable(plm, None, 1, "mean", dropout=0.25).train()
    assert not set(dropouts(noisy.frozen or noisy))
    assert set(dropouts(noisy)) == {0.25}
    assert not torch.equal(noisy(IDS, LENGTHS), noisy(IDS, LENGTHS))
    assert torch.equal(noisy.eval()(IDS, LENGTHS), still.eval()(IDS, LENGTHS))


@pytest.mark.parametrize("kind", KINDS)
def test_given_states_reach_the_first_block_as_they_are(plm_of: Any, kind: str) -> None:
    trainable = load_trainable(plm_of(kind), 2, 1, "mean", dropout=0.5).train()
    seen: list[torch.Tensor] = []
    trainable.blocks()[0].register_forward_pre_hook(
        lambda block, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    states = inputs_at(plm_of(kind), 2)[:4]
    trainable(states, LENGTHS[:1])
    assert torch.equal(seen[0][0], states)


@pytest.mark.parametrize("kind", KINDS)
def test_checkpointing_changes_no_gradient(plm_of: Any, kind: str) -> None:
    plm = plm_of(kind)
    calls = []
    found = []
    for checkpointing in (False, True):
        trainable = load_trainable(plm, None, 2, "mean", dropout=0.1, checkpointing=checkpointing).train()
        block = trainable.blocks()[1]
        matrix = next(name for name, parameter in block.named_parameters() if parameter.ndim == 2)
        part = block.get_submodule(matrix.rpartition(".")[0])
        times: list[int] = []
        part.register_forward_hook(lambda *given, times=times: times.append(1))
        torch.manual_seed(5)
        found.append(grown(trainable, IDS))
        calls.append(len(times))
    assert calls[1] == 2 * calls[0]
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient)


@pytest.mark.parametrize("kind", ["bert", "opt", "t5"])
def test_texts_keep_their_order_in_many_batches(plm_of: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trainable = load_trainable(plm_of(kind), None, 1, "last")
    expected = trainable(IDS, LENGTHS)
    turned = torch.cat([text[0] for text in reversed(texts(IDS))])
    monkeypatch.setattr(run, "TOKENS_A_BATCH", 22)
    torch.testing.assert_close(trainable(turned, LENGTHS[::-1]), expected.flip(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(trainable(IDS[:4], LENGTHS[:1].astype(np.int32)), expected[:1], rtol=1e-4, atol=1e-5)


def test_states_of_a_cache_may_be_of_half_precision(plm_of: Any) -> None:
    plm = plm_of("bert")
    states = inputs_at(plm, 2).half()
    trainable = load_trainable(plm, 2, 1, "mean").train()
    assert torch.equal(trainable(states, LENGTHS), trainable(states.float(), LENGTHS))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = trainable(states, LENGTHS)
    assert mixed.dtype == torch.float32
    assert 0 < (mixed - trainable(states, LENGTHS)).abs().max() < 0.1


def test_mean_last_is_an_mlp_over_both(plm_of: Any) -> None:
    plm = plm_of("opt")
    torch.manual_seed(2)
    trainable = load_trainable(plm, 2, 1, "mean_last")
    inputs = inputs_at(plm, 2)
    mean, last = (load_trainable(plm, 2, 1, name)(inputs, LENGTHS).detach().numpy() for name in ("mean", "last"))
    w = {name: parameter.detach().numpy() for name, parameter in trainable.mean_last.named_parameters()}
    made = np.concatenate([mean, last], axis=1)
    for layer in (0, 2, 4):
        made = made @ w[f"layers.{layer}.weight"].T + w[f"layers.{layer}.bias"]
        if layer < 4:
            made = torch.nn.functional.gelu(torch.from_numpy(made)).numpy()
    spread = np.sqrt(made.var(axis=1, keepdims=True) + 1e-5)
    made = (made - made.mean(axis=1, keepdims=True)) / spread * w["layers.5.weight"] + w["layers.5.bias"]
    found = trainable(inputs, LENGTHS).detach().numpy()
    assert found.shape == (len(LENGTHS), plm.hidden_size) == (len(LENGTHS), trainable.width)
    np.testing.assert_allclose(found, made, rtol=1e-5, atol=1e-5)
    assert MeanLast(8)(torch.ones(3, 8), torch.ones(3, 8)).shape == (3, 8)


@pytest.mark.parametrize(("start", "trained"), [(3, 0), (2, 2), (0, -1), (None, 4)])
def test_what_cannot_train_on_the_given_states_is_refused(plm_of: Any, start: int | None, trained: int) -> None:
    with pytest.raises(ValueError, match="cannot train"):
        load_trainable(plm_of("bert"), start, trained, "mean")
