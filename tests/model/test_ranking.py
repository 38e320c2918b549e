import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_reciprocal_rank,
)

from plmrs.data.dataset import Histories
from plmrs.model.ranking import mask_seen, metrics, target_ranks


def histories(*rows: list[int]) -> Histories:
    stop = np.cumsum([len(row) for row in rows])
    return Histories(np.concatenate(rows).astype(np.int32), np.r_[0, stop[:-1]], stop)


def test_the_docstring_examples():
    masked = mask_seen(torch.tensor([[0.5, 0.1, 0.9], [0.2, 0.7, 0.3]]), histories([1, 3], [2]), torch.tensor([1, 1]))
    torch.testing.assert_close(masked, torch.tensor([[-torch.inf, 0.1, -torch.inf], [0.2, 0.7, 0.3]]))
    ranks = target_ranks(torch.tensor([[0.3, 0.9, 0.3], [0.5, 0.1, 0.4]]), torch.tensor([0, 0]))
    assert ranks.tolist() == [3, 1]


def test_nan_and_constant_scores_rank_last():
    scores = torch.tensor([[1.0, torch.nan, 0.5], [torch.nan, 1.0, 0.5], [2.0, 2.0, 2.0]])
    assert target_ranks(scores, torch.tensor([0, 0, 0])).tolist() == [2, 3, 3]


def test_equals_another_implementation_with_ties_padding_and_masks():
    rng = np.random.default_rng(0)
    users, items = 200, 60
    scores = rng.integers(0, 25, (users, items)).astype(np.float32)  # many ties
    seen = [rng.choice(np.arange(1, items + 1), rng.integers(1, 30), replace=False).tolist() for _ in range(users)]
    targets = rng.integers(0, items, users)

    expected = []
    for user in range(users):
        own = scores[user, targets[user]]
        others = [j for j in range(items) if j != targets[user] and j + 1 not in seen[user]]
        expected.append(1 + sum(scores[user, j] >= own for j in others))
    masked = mask_seen(torch.from_numpy(scores.copy()), histories(*seen), torch.from_numpy(targets))
    ranks = target_ranks(masked, torch.from_numpy(targets)).numpy()
    assert ranks.tolist() == expected

    found = metrics(ranks, [1, 5, 10, 20])
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
