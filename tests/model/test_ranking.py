"""Ranks and metrics, beside a loop over users and torchmetrics, for any size of chunks."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_reciprocal_rank,
)

from plmrs.data.dataset import Histories
from plmrs.data.splits import HeldOut
from plmrs.model import ranking
from plmrs.model.metrics import metrics
from plmrs.model.ranking import Products, blocks, chunks, mask_seen, new_buffer, rank_block, target_ranks


def histories(*rows: list[int]) -> Histories:
    stop = np.cumsum([len(row) for row in rows])
    return Histories(np.concatenate(rows).astype(np.int32), np.r_[0, stop[:-1]], stop)


def held_out(seen: list[list[int]], targets: np.ndarray) -> HeldOut:
    """Users with what each took before, and their targets' columns."""
    whole = histories(*([*before, target + 1] for before, target in zip(seen, targets.tolist(), strict=True)))
    inputs = Histories(whole.items, whole.start, whole.stop - 1)
    return HeldOut(np.arange(len(seen)), inputs, whole.stop - 1)


class Table:
    """Scores that are given, so that ties are exact; `of` may be wrong by rounding."""

    def __init__(self, scores: np.ndarray, error: float = 0.0) -> None:
        self.scores, self.error = torch.from_numpy(scores), error

    def fill(self, first: int, out: torch.Tensor) -> None:
        out.copy_(self.scores[:, first : first + out.shape[1]])

    def of(self, columns: torch.Tensor) -> torch.Tensor:
        return self.scores.gather(1, columns[:, None])[:, 0] + self.error


def narrow(monkeypatch: pytest.MonkeyPatch, columns: int, users: int = 256) -> None:
    monkeypatch.setattr(ranking, "COLUMNS", columns)
    monkeypatch.setattr(ranking, "WIDEST", columns)
    monkeypatch.setattr(ranking, "USERS", users)


def test_the_docstring_examples():
    masked = mask_seen(torch.tensor([[0.5, 0.1, 0.9], [0.2, 0.7, 0.3]]), histories([1, 3], [2]), torch.tensor([1, 1]))
    torch.testing.assert_close(masked, torch.tensor([[-torch.inf, 0.1, -torch.inf], [0.2, 0.7, 0.3]]))
    ranks = target_ranks(torch.tensor([[0.3, 0.9, 0.3], [0.5, 0.1, 0.4]]), torch.tensor([0, 0]))
    assert ranks.tolist() == [3, 1]


def test_masking_a_chunk_is_masking_a_part_of_the_whole():
    scores, seen = torch.rand(3, 10), histories([1, 5, 5, 10], [4], [7, 8])
    targets = torch.tensor([4, 0, 7])
    whole = mask_seen(scores.clone(), seen, targets)
    parts = [mask_seen(scores[:, first : first + 4].clone(), seen, targets, first) for first in (0, 4, 8)]
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    assert mask_seen(scores.clone(), seen).isneginf().sum(1).tolist() == [3, 1, 2]


def test_nan_and_constant_scores_rank_last():
    scores = torch.tensor([[1.0, torch.nan, 0.5], [torch.nan, 1.0, 0.5], [2.0, 2.0, 2.0]])
    assert target_ranks(scores, torch.tensor([0, 0, 0])).tolist() == [2, 3, 3]
    users = held_out([[1], [1], [1]], np.zeros(3, np.int64))
    ranks, _ = rank_block(Table(scores.numpy()), users, 3, new_buffer(3, 1), mask=False)
    assert ranks.tolist() == [2, 3, 3]


def test_each_user_is_in_one_block_of_one_process():
    for users in (0, 1, 256, 257, 2000):
        for processes in (1, 2, 3, 9):
            found = [b for process in range(processes) for b in blocks(users, process, processes)]
            assert [i for block in found for i in range(block.start, block.stop)] == list(range(users))
            assert found == blocks(users)


@pytest.mark.parametrize("columns", [1, 7, 64])
@pytest.mark.parametrize("error", [0.0, 1.0])
def test_equals_another_implementation_with_ties_padding_and_masks(monkeypatch, columns, error):
    rng = np.random.default_rng(0)
    users, items = 200, 60
    scores = rng.integers(0, 25, (users, items)).astype(np.float32)  # many ties
    seen = [rng.choice(np.arange(1, items + 1), rng.integers(1, 30), replace=False).tolist() for _ in range(users)]
    targets = rng.integers(0, items, users)
    allowed = rng.random(items) < 0.8
    targets = np.where(allowed[targets], targets, np.flatnonzero(allowed)[0])

    expected, lists = [], []
    for user in range(users):
        own = scores[user, targets[user]]
        gone = [j for j in range(items) if not allowed[j] or (j != targets[user] and j + 1 in seen[user])]
        left = [j for j in range(items) if j not in gone]
        expected.append(1 + sum(scores[user, j] >= own for j in left if j != targets[user]))
        lists.append(([*sorted(left, key=lambda j: (-scores[user, j], j)), *[-1] * 50])[:50])
    narrow(monkeypatch, columns)
    held = held_out(seen, targets)
    out = torch.from_numpy(~allowed)
    ranks, best = rank_block(Table(scores, error), held, items, new_buffer(items, 1), True, out, k=50)
    assert ranks.tolist() == expected
    assert best is not None
    assert best.tolist() == lists

    found = metrics(ranks.numpy(), [1, 5, 10, 20])
    for k in (1, 5, 10, 20):
        rows = []
        for rank in expected:
            # One relevant item, placed at its rank in a list without ties.
            relevant = torch.arange(items) == rank - 1
            order = torch.arange(items, 0, -1).float()
            rows.append(
                [
                    retrieval_hit_rate(order, relevant, top_k=k),
                    retrieval_normalized_dcg(order, relevant.long(), top_k=k),
                    retrieval_reciprocal_rank(order, relevant, top_k=k),
                ]
            )
        hit, ndcg, mrr = np.mean(rows, axis=0)
        assert found[f"HR@{k}"] == pytest.approx(hit)
        assert found[f"NDCG@{k}"] == pytest.approx(ndcg)
        assert found[f"MRR@{k}"] == pytest.approx(mrr)


def test_scores_without_ties_are_ranked_as_torchmetrics_ranks_them():
    torch.manual_seed(0)
    queries, vectors = torch.randn(50, 16), torch.randn(300, 16)
    seen = [np.random.default_rng(user).choice(300, 20, replace=False).tolist() for user in range(50)]
    seen = [[item + 1 for item in items] for items in seen]
    targets = np.arange(50) * 5
    held = held_out(seen, targets)
    ranks, _ = rank_block(Products(queries, vectors), held, 300, new_buffer(300, 1))
    scores = mask_seen(queries @ vectors.T, held.inputs, torch.from_numpy(targets))
    for k in (1, 10, 50):
        found = metrics(ranks.numpy(), [k])
        relevant = torch.zeros(50, 300, dtype=torch.bool)
        relevant[torch.arange(50), torch.from_numpy(targets)] = True
        rows = range(50)
        hit = np.mean([float(retrieval_hit_rate(scores[u], relevant[u], top_k=k)) for u in rows])
        ndcg = np.mean([float(retrieval_normalized_dcg(scores[u], relevant[u].long(), top_k=k)) for u in rows])
        mrr = np.mean([float(retrieval_reciprocal_rank(scores[u], relevant[u], top_k=k)) for u in rows])
        assert 0 < hit < 1 or k == 1
        assert list(found.values()) == pytest.approx([hit, ndcg, mrr])


def test_ranks_and_lists_are_the_same_for_any_memory():
    torch.manual_seed(1)
    # Scores that differ by little more than rounding: every second vector is another's, moved by its last bits.
    vectors = torch.randn(5000, 48)
    vectors[1::2] = vectors[::2] * (1 + 1e-7 * torch.randn(2500, 1))
    queries = torch.randn(200, 48)
    held = held_out([[1]] * 200, np.random.default_rng(0).integers(0, 5000, 200))
    scores, found = Products(queries, vectors), []
    for memory in (1, 5 << 20, 1 << 30):
        found.append(rank_block(scores, held, 5000, new_buffer(5000, memory), k=30))
        width = next(part.shape[1] for _, part in chunks(scores, 200, 5000, new_buffer(5000, memory)))
        assert width == {1: 1024, 5 << 20: 2048, 1 << 30: 5000}[memory]
    for ranks, best in found[1:]:
        assert torch.equal(ranks, found[0][0])
        assert torch.equal(best, found[0][1])
    whole = mask_seen(queries @ vectors.T, held.inputs, torch.from_numpy(held.targets.astype(np.int64) - 1))
    expected = target_ranks(whole, torch.from_numpy(held.targets.astype(np.int64) - 1))
    assert (found[0][0] - expected).abs().max() <= 1  # A product of another shape may be rounded otherwise.
