"""Prompts against Hugging Face's own forward pass with the same keys and values in its cache, text by text."""

from typing import Any

import numpy as np
import pytest
import torch
from kinds import IDS, KINDS, LENGTHS, N_BLOCKS, pooled, texts, whole_model

from plmrs.config import PromptOptions
from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm
from plmrs.plm.families.names import cache_argument
from plmrs.plm.pieces import load_piece
from plmrs.plm.prompted import prompt_mask
from plmrs.plm.prompts import Prompt, resolve_prompt
from plmrs.plm.trainable import TrainablePlm, load_trainable

PRE, POST, QUERY = 5, 3, 2
PREFIX = Prompt(True, 16, PRE, 0, 0)
WHOLE = Prompt(True, 16, PRE, POST, QUERY)
QUERY_ONLY = Prompt(True, 16, 0, 0, 1)
WAYS = [(None, 0), (None, N_BLOCKS), (None, -1), (1, 2), (1, 1), (2, 0)]
"""`start` and `trained`."""

NARROW = {"mistral, narrow window", "qwen2, last blocks windowed"}
"""Hugging Face lets a prefix drop out of a narrow window, as it takes it for earlier tokens."""
ENCODERS = {"bert", "roberta"}
DECODERS = set(KINDS) - ENCODERS - {"t5"}


def model_from(plm: Plm, start: int | None) -> tuple[Any, list[torch.Tensor]]:
    """Hugging Face's model of the blocks behind a start, and what it reads of each text."""
    if start is None:
        return whole_model(plm), texts(IDS)
    lower, upper = (
        load_piece(plm, *blocks, torch.float32, torch.device("cpu"), blocks[0] == 0)
        for blocks in ((0, start), (start, plm.n_blocks))
    )
    with torch.no_grad():
        return upper.model, [lower(text) for text in texts(IDS)]


def expected_states(
    plm: Plm, model: Any, text: torch.Tensor, keys_values: torch.Tensor | None, query: torch.Tensor | None, pre: int
) -> torch.Tensor:
    """Text first, with the prefix in the cache; then the inputs behind it, with the suffix in it too."""
    from transformers import DynamicCache

    cache = DynamicCache()

    def keep(rows: slice) -> None:
        if keys_values is not None:
            for block, both in enumerate(keys_values[..., rows, :]):
                cache.update(both[:1], both[1:], block)  # [1, heads, rows, head_dim] each

    def given(inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"inputs_embeds" if inputs.is_floating_point() else "input_ids": inputs}

    positions = {}
    if plm.model_type in ENCODERS:  # Hugging Face would move the text behind the prefix; here it stays.
        offset = 2 if plm.model_type == "roberta" else 0
        positions["position_ids"] = torch.arange(text.shape[1])[None] + offset
    use = {"use_cache": plm.model_type not in ENCODERS}
    keep(slice(0, pre))
    states = model(**given(text), **{cache_argument(model): cache}, **positions, **use).last_hidden_state
    if query is None:
        return torch.as_tensor(states)
    keep(slice(pre, None))
    behind = model(inputs_embeds=query[None], **{cache_argument(model): cache}, use_cache=True).last_hidden_state
    return torch.cat([states, behind], dim=1)


def prompted(plm: Plm, start: int | None, trained: int, pooling: Any, prompt: Prompt, **others: Any) -> TrainablePlm:
    """With parameters that make a difference, the same ones at each call."""
    torch.manual_seed(7)
    made = load_trainable(plm, start, trained, pooling, prompt, **others).train()
    assert made.prompt is not None
    for parameter in made.prompt.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return made


@pytest.mark.parametrize(
    ("kind", "prompt"),
    [
        *((kind, PREFIX) for kind in sorted(ENCODERS)),
        *((kind, WHOLE) for kind in sorted(DECODERS - NARROW)),
        *((kind, QUERY_ONLY) for kind in sorted(NARROW)),
    ],
)
def test_states_equal_hugging_faces_with_the_same_cache(plm_of: Any, kind: str, prompt: Prompt) -> None:
    plm = plm_of(kind)
    for start, trained in WAYS:
        pooling = "last" if prompt.query or trained == 1 else "mean"
        trainable = prompted(plm, start, trained, pooling, prompt)
        assert trainable.prompt is not None
        with torch.no_grad():
            keys_values, query = trainable.prompt()
            model, inputs = model_from(plm, start)
            states = [expected_states(plm, model, text, keys_values, query, prompt.pre) for text in inputs]
            expected = torch.stack([pooled(of_text, pooling) for of_text in states])
            packed = torch.cat([text[0] for text in inputs])
            plain = load_trainable(plm, start, trained, pooling)(packed, LENGTHS)
        found = trainable(packed, LENGTHS)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert (found - plain).abs().max() > 0.01
        if prompt.query:  # The mean is over the text alone.
            both = load_trainable(plm, start, trained, "mean_last", prompt)
            both.load_state_dict(trainable.state_dict(), strict=False)
            assert both.mean_last is not None
            mean = torch.stack([of_text[0, : -prompt.query].mean(0) for of_text in states])
            torch.testing.assert_close(both(packed, LENGTHS), both.mean_last(mean, expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("start", [None, 1])
def test_a_prefix_of_t5_counts_as_tokens_before_the_text(plm_of: Any, start: int | None) -> None:
    plm = plm_of("t5")
    trainable = prompted(plm, start, 1, "mean", PREFIX)
    model, inputs = model_from(plm, start)
    blocks, attention = model.encoder.block, model.encoder.block[0].layer[0].SelfAttention
    assert trainable.prompt is not None
    with torch.no_grad():
        keys_values = trainable.prompt()[0]
        assert keys_values is not None
        expected = []
        for text in inputs:
            states = model.encoder.embed_tokens(text) if start is None else text
            n_tokens = text.shape[1]
            distance = torch.arange(-PRE, n_tokens) - torch.arange(n_tokens)[:, None]
            buckets = attention._relative_position_bucket(distance, True, 32, 128)
            bias = attention.relative_attention_bias(buckets).permute(2, 0, 1)
            for block, (keys, values) in zip(blocks, keys_values, strict=True):
                own = block.layer[0].SelfAttention
                normed = block.layer[0].layer_norm(states[0])
                q, k, v = (part(normed).unflatten(-1, (4, 8)).transpose(0, 1) for part in (own.q, own.k, own.v))
                weights = (q @ torch.cat([keys, k], dim=1).transpose(1, 2) + bias).softmax(-1)
                read = (weights @ torch.cat([values, v], dim=1)).transpose(0, 1).flatten(1)
                states = block.layer[1](states + own.o(read))
            expected.append(model.encoder.final_layer_norm(states)[0].mean(0))
        packed = torch.cat([text[0] for text in inputs])
        found = trainable(packed, LENGTHS)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_prompt_and_what_trains_alone(plm_of: Any, kind: str) -> None:
    plm = plm_of(kind)
    prompt = WHOLE if kind in DECODERS else PREFIX
    for projection, trained in [(True, 0), (False, 0), (False, 1)]:
        sizes = Prompt(projection, 16, prompt.pre, prompt.post, prompt.query)
        trainable = prompted(plm, None, trained, "last", sizes)
        (trainable(IDS, LENGTHS) ** 3).sum().backward()
        for name, parameter in trainable.named_parameters():
            moves = parameter.grad is not None and bool((parameter.grad != 0).any())
            assert moves == parameter.requires_grad
            assert moves == (name.startswith("prompt.") or trainable.layer_of(name) == N_BLOCKS - trained != N_BLOCKS)
            assert (trainable.layer_of(name) is None) == name.startswith("prompt.")


@pytest.mark.parametrize("kind", ["bert", "t5", "opt", "qwen3"])
def test_checkpointing_changes_no_gradient_of_a_prompt(plm_of: Any, kind: str) -> None:
    found = []
    for checkpointing in (False, True):
        prompt = WHOLE if kind in DECODERS else PREFIX
        trainable = prompted(plm_of(kind), None, 1, "last", prompt, dropout=0.1, checkpointing=checkpointing)
        torch.manual_seed(3)
        trainable(IDS, LENGTHS).square().sum().backward()
        found.append({name: part.grad for name, part in trainable.named_parameters() if part.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient)


def test_a_prompt_acts_only_in_the_blocks_behind_the_cache(plm_of: Any) -> None:
    plm = plm_of("llama, wide heads")
    n_values = {start: prompted(plm, start, 1, "last", WHOLE).prompt.shape for start in (None, 1, 2)}  # type: ignore[union-attr]
    # 2 of the 4 heads have keys, each 16 wide.
    assert n_values == {None: (3, 2, 2, 16), 1: (2, 2, 2, 16), 2: (1, 2, 2, 16)}


def test_prompts_run_in_mixed_precision(plm_of: Any) -> None:
    for kind in ("bert", "t5", "opt", "qwen3"):
        trainable = prompted(plm_of(kind), None, 1, "last", WHOLE if kind in DECODERS else PREFIX)
        exact = trainable(IDS, LENGTHS)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = trainable(IDS, LENGTHS)
        assert mixed.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(exact, mixed).min() > 0.99


@pytest.mark.parametrize("window", [None, 1, 3])
def test_who_sees_what(window: int | None) -> None:
    lengths, n_columns = torch.tensor([2, 4, 1]), 6
    prompt = Prompt(True, 16, 2, 3, 2)
    added = prompt_mask(prompt, lengths, n_columns, True, window)
    assert added.shape == (3, 1, n_columns, 2 + 3 + n_columns)
    for text, length in enumerate(lengths.tolist()):
        for row in range(length + 2):
            near = [row - column in range(window or n_columns) for column in range(n_columns)]
            expected = [True] * 2 + [row >= length] * 3 + near
            assert (added[text, 0, row] == 0).tolist() == expected
    encoder = prompt_mask(Prompt(True, 16, 2, 0, 0), lengths, 4, False)
    assert (encoder == 0).int().tolist() == [[[[1, 1, 1, 1, 0, 0]]], [[[1] * 6]], [[[1, 1, 1, 0, 0, 0]]]]


def test_sizes_not_given_follow_from_the_plm_and_the_pooling(plm_of: Any) -> None:
    opt, bert = plm_of("opt"), plm_of("bert")
    assert resolve_prompt(PromptOptions(), opt, "last") is None
    options = PromptOptions(use_prompt=True)
    for plm, pooling, behind in [(opt, "last", (10, 1)), (opt, "mean_last", (10, 1)), (opt, "mean", (0, 0)),
                                 (bert, "mean", (0, 0)), (bert, "last", (0, 0))]:  # fmt: skip
        assert resolve_prompt(options, plm, pooling) == Prompt(True, 128, 20, *behind)
    without = PromptOptions(use_prompt=True, last_query_len=0, prompt_projection=False)
    assert resolve_prompt(without, opt, "last") == Prompt(False, 128, 20, 0, 0)


@pytest.mark.parametrize(
    ("kind", "pooling", "sizes", "message"),
    [
        ("bert", "last", {"last_query_len": 1}, "is an encoder"),
        ("t5", "mean_last", {"post_seq_len": 4}, "is an encoder"),
        ("opt", "mean", {"last_query_len": 1}, "does not read the state of the last query"),
        ("opt", "last", {"post_seq_len": 4, "last_query_len": 0}, "there is none"),
        ("opt", "mean", {"pre_seq_len": 0}, "is empty"),
    ],
)
def test_prompts_that_nothing_reads_are_refused(
    plm_of: Any, kind: str, pooling: str, sizes: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        resolve_prompt(PromptOptions(use_prompt=True, **sizes), plm_of(kind), pooling)  # type: ignore[arg-type]


def test_a_text_and_a_prompt_need_positions_for_both(plm_of: Any) -> None:
    plm = plm_of("opt")
    ids = torch.full((plm.max_tokens - 8,), 7)
    load_trainable(plm, None, 0, "last", Prompt(False, 8, 5, 1, 2))(ids, np.array([len(ids)]))
    with pytest.raises(UserError, match="has 64 positions; a text of 56 tokens and the prompt need 65"):
        load_trainable(plm, None, 0, "last", Prompt(False, 8, 6, 1, 2))(ids, np.array([len(ids)]))
