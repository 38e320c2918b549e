"""Texts through pieces, a batch at a time, against Hugging Face's own model and a text at a time."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plmrs.errors import UserError
from plmrs.plm import checkpoint, run
from plmrs.plm.checkpoint import Plm, find_plm
from plmrs.plm.pieces import Piece, load_piece
from plmrs.plm.run import Runner, batches, largest_batch, packed

CPU = torch.device("cpu")
TEXTS = [
    "garden paints 44 despite heavy rain again and again again and again again and again",
    "a word nobody trained on, and 数字",
    "river opens 7 in the north again and again",
    "doctor",
    "",
]
FAMILIES: dict[str, dict[str, Any]] = {
    **{family: {"family": family} for family in checkpoint.FAMILIES},
    "opt as 350m": {"family": "opt", "do_layer_norm_before": False, "word_embed_proj_dim": 16},
}


def of_lengths(*pairs: tuple[int, int]) -> NDArray[np.int32]:
    """`(9, 2), (4, 1)` are two texts of 9 tokens and one of 4."""
    return np.repeat([length for length, _ in pairs], [n for _, n in pairs]).astype(np.int32)


@pytest.mark.parametrize(
    ("lengths", "ends"),
    [
        ([9, 9, 9, 8, 2, 2], [2, 3, 4, 6]),  # The docstring's example.
        ([9, 9, 8], [2, 3]),
        ([6, 6, 5], [2, 3]),  # Half of the budget is used where the length changes.
        ([6, 5, 4, 4], [2, 4]),  # Of several changes the last one counts.
        ([3, 2, 2, 2, 2, 2], [6]),  # They fit with padding; the change comes too early to be worth a batch.
        ([40, 30, 2], [1, 2, 3]),  # A text longer than the budget is a batch.
        ([5], [1]),
        ([], []),
    ],
)
def test_batches_end_with_the_budget_or_where_the_length_changes(
    monkeypatch: pytest.MonkeyPatch, lengths: Sequence[int], ends: Sequence[int]
) -> None:
    monkeypatch.setattr(run, "TOKENS_A_BATCH", 18)
    found = list(batches(np.array(lengths, np.int32)))
    assert [batch.stop for batch in found] == ends
    assert [batch.start for batch in found] == [0, *ends][: len(ends)]


def test_batches_of_many_texts_hold_each_once_within_the_budget() -> None:
    lengths = np.sort(np.random.default_rng(0).integers(1, 31, 5000))[::-1]
    found = list(batches(lengths))
    assert np.concatenate([np.arange(batch.start, batch.stop) for batch in found]).tolist() == list(range(5000))
    assert all((batch.stop - batch.start) * lengths[batch.start] <= 4096 for batch in found)
    padded = [batch for batch in found if lengths[batch.start] != lengths[batch.stop - 1]]
    assert len(padded) < len(found) / 2


def test_a_given_number_of_texts_is_kept() -> None:
    assert [batch.stop for batch in batches(of_lengths((2000, 8)), 3)] == [3, 6, 8]
    assert [batch.stop for batch in batches(of_lengths((9, 2), (4, 3)), 4)] == [2, 5]
    assert [batch.stop for batch in batches(of_lengths((9, 1), (4, 4)), 1)] == [1, 2, 3, 4, 5]
    # Of several texts no more than so many padded tokens.
    assert [batch.stop for batch in batches(of_lengths((9, 3), (2, 8)), 4, 12)] == [1, 2, 3, 7, 11]
    assert [batch.stop for batch in batches(of_lengths((9, 3), (2, 8)), 4, 100)] == [3, 7, 11]


@pytest.mark.parametrize("batch_size", [None, 1, 2, 5, 100])
def test_the_largest_batch_is_as_large_as_is_reckoned(monkeypatch: pytest.MonkeyPatch, batch_size: int | None) -> None:
    monkeypatch.setattr(run, "TOKENS_A_BATCH", 18)
    random = np.random.default_rng(0)
    for longest in (4, 17, 40):
        lengths = np.sort(random.integers(1, longest + 1, 200))[::-1]
        bounds = np.array([0, 7, 30, 110, 200])
        units = [lengths[first:stop] for first, stop in pairwise(bounds)]
        padded = [(b.stop - b.start) * unit[b.start] for unit in units for b in batches(unit, batch_size)]
        reckoned = largest_batch(lengths, bounds, batch_size)
        assert max(padded) <= reckoned <= 2 * max(padded)
        assert batch_size is None or batch_size > 2 or max(padded) == reckoned


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_on_cuda_batches_come_out_of_pinned_memory(make_plm: Any, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    plm, cuda = find_plm(str(make_plm(**FAMILIES[family]))), torch.device("cuda")
    lengths = np.array([7, 7, 3])
    ids = torch.arange(17) % 50 + 10
    pinned = []
    send = Tensor.to

    def sent(self: Tensor, *given: Any, **options: Any) -> Tensor:
        if given and given[0] == cuda and options.get("non_blocking"):
            pinned.append(self.is_pinned())
        return send(self, *given, **options)

    monkeypatch.setattr(Tensor, "to", sent)
    found = []
    for device in (CPU, cuda):
        runner = Runner(plm, load_piece(plm, 0, plm.n_blocks, torch.float32, device), device)
        found.append(packed(*runner.run(ids, lengths)).cpu())
    assert pinned == [True, True]
    assert torch.allclose(*found, atol=1e-4)


@pytest.fixture(scope="module")
def folder_of(make_plm: Any) -> Any:
    return cache(lambda family: Path(make_plm(**FAMILIES[family])))


def ids_of(folder: Path, texts: Sequence[str] = TEXTS, length: int = 30) -> list[list[int]]:
    """Hugging Face's own token ids, the longest first."""
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(list(texts), truncation=True, max_length=length)["input_ids"]
    return sorted(ids, key=len, reverse=True)


@torch.no_grad()
def alone(folder: Path, ids: Sequence[int]) -> Tensor:
    """One text by itself through Hugging Face's whole model, before OPT-350m's last projection. [tokens, H]"""
    from transformers import AutoModel, T5EncoderModel

    model_class = T5EncoderModel if find_plm(str(folder)).model_type == "t5" else AutoModel
    model = model_class.from_pretrained(folder, dtype=torch.float32).eval()
    seen = []
    if getattr(getattr(model, "decoder", None), "project_out", None) is not None:
        model.decoder.project_out.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    states: Tensor = model(input_ids=torch.tensor([ids])).last_hidden_state
    return (seen[0] if seen else states)[0]


def runner(plm: Plm, first: int = 0, stop: int | None = None, dtype: torch.dtype = torch.float32) -> Runner:
    stop = plm.n_blocks if stop is None else stop
    return Runner(plm, load_piece(plm, first, stop, dtype, CPU, embeddings=first == 0), CPU)


def flat(ids: Sequence[Sequence[int]]) -> tuple[Tensor, NDArray[np.int32]]:
    """Texts one after the other, and their lengths."""
    return torch.tensor([token for row in ids for token in row]), np.array([len(row) for row in ids], np.int32)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_padded_batch_equals_each_text_alone(folder_of: Any, family: str) -> None:
    folder = folder_of(family)
    ids = ids_of(folder)
    states, mask = runner(find_plm(str(folder))).run(*flat(ids))
    assert mask is not None
    assert mask.tolist() == [[1] * len(row) + [0] * (len(ids[0]) - len(row)) for row in ids]
    assert states.shape == (len(ids), len(ids[0]), 32)
    expected = [alone(folder, row) for row in ids]
    for row, one in enumerate(expected):
        assert torch.allclose(states[row, : len(one)], one, atol=1e-5), row
    assert torch.allclose(packed(states, mask), torch.cat(expected), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_of_one_length_need_no_mask(folder_of: Any, family: str) -> None:
    folder = folder_of(family)
    ids = [[5, 6, 7, 8, 9], [9, 9, 5, 4, 10]]
    states, mask = runner(find_plm(str(folder))).run(*flat(ids))
    assert mask is None
    expected = torch.cat([alone(folder, row) for row in ids])
    assert torch.allclose(packed(states, mask), expected, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_handed_on_packed_equal_the_blocks_at_once(folder_of: Any, family: str, dtype: torch.dtype) -> None:
    """To the last bit, though what stands at padding differs."""
    plm = find_plm(str(folder_of(family)))
    tokens, lengths = flat(ids_of(plm.folder))
    whole = packed(*runner(plm, dtype=dtype).run(tokens, lengths))
    between = packed(*runner(plm, 0, 1, dtype).run(tokens, lengths))
    assert torch.equal(packed(*runner(plm, 1, 2, dtype).run(between, lengths)), whole)


def test_bf16_stays_near_fp32(folder_of: Any) -> None:
    plm = find_plm(str(folder_of("bert")))
    given = flat(ids_of(plm.folder))
    exact, rounded = (packed(*runner(plm, dtype=dtype).run(*given)) for dtype in (torch.float32, torch.bfloat16))
    assert rounded.dtype == torch.bfloat16
    assert 0 < (exact - rounded.float()).abs().max() < 0.1


class Watched(nn.Module):
    """A piece that keeps what it is given, or raises."""

    vocabulary, padding = 100, 9

    def __init__(self, embeddings: bool, error: Exception | None = None) -> None:
        super().__init__()
        self.embeddings, self.error = embeddings, error
        self.seen: list[Any] = []

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        self.seen.append((inputs.tolist(), None if mask is None else mask.tolist()))
        if self.error is not None:
            raise self.error
        return inputs


@pytest.fixture
def plm(folder_of: Any) -> Plm:
    return find_plm(str(folder_of("bert")))


def watched(plm: Plm, embeddings: bool = True, error: Exception | None = None) -> tuple[Runner, list[Any]]:
    piece: Any = Watched(embeddings, error)
    return Runner(plm, piece, CPU), piece.seen


def test_padding_is_on_the_right(plm: Plm) -> None:
    ids, seen = watched(plm)
    ids.run(torch.tensor([1, 1, 1, 5, 6, 7]), np.array([3, 2, 1], np.int32))
    assert seen == [([[1, 1, 1], [5, 6, 9], [7, 9, 9]], [[1, 1, 1], [1, 1, 0], [1, 0, 0]])]
    states, seen = watched(plm, embeddings=False)
    states.run(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([2, 1], np.int32))
    assert seen == [([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [0.0, 0.0]]], [[1, 1], [1, 0]])]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        MemoryError(),
    ],
    ids=["gpu", "cpu", "python"],
)
def test_a_batch_that_does_not_fit_is_named(plm: Plm, error: Exception) -> None:
    with pytest.raises(UserError, match=r"5 texts of 3 tokens at once do not fit in the memory of cpu\.") as caught:
        watched(plm, error=error)[0].run(torch.arange(15), np.full(5, 3, np.int32))
    assert "--batch-size 2," in caught.value.remedy


def test_other_errors_are_not_called_a_want_of_memory(plm: Plm) -> None:
    with pytest.raises(RuntimeError, match="another"):
        watched(plm, error=RuntimeError("another"))[0].run(torch.arange(3), np.array([3], np.int32))


def test_a_tokenizer_of_another_plm_is_an_error(make_plm: Any) -> None:
    plm = find_plm(str(make_plm("bert", vocab_size=100)))
    piece: Piece = load_piece(plm, 0, 0, torch.float32, CPU)
    ids = np.array([row for text in ids_of(plm.folder) for row in text], np.int32)
    assert ids.max() >= 100
    with pytest.raises(UserError, match=rf"gives token {ids.max()}, .* knows 100 tokens"):
        Runner(plm, piece, CPU).check_vocabulary(ids)
    Runner(plm, piece, CPU).check_vocabulary(ids.clip(max=99))
    Runner(plm, piece, CPU).check_vocabulary(ids[:0])
