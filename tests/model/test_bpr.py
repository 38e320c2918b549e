import pytest
import torch
from gradients import assert_same, drawn
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from plmrs.model import losses
from plmrs.model.bpr import bpr_max_loss


def naive(queries: Tensor, candidates: Tensor, targets: Tensor, negatives: Tensor, penalty: float) -> Tensor:
    """The paper's formula, a position at a time."""
    total = torch.zeros(())
    for query, target, row in zip(queries, targets, negatives, strict=True):
        positive, scores = query @ candidates[target], candidates[row] @ query
        p = scores.exp() / scores.exp().sum()
        total = total - (p * torch.sigmoid(positive - scores)).sum().log() + penalty * (p * scores**2).sum()
    return total / len(targets)


@pytest.mark.parametrize("n", [1, 7, 40])
@pytest.mark.parametrize("penalty", [0.0, 0.3])
@pytest.mark.parametrize("positions", [1, 3, 20])
def test_it_equals_the_papers_formula(monkeypatch: pytest.MonkeyPatch, n: int, penalty: float, positions: int):
    monkeypatch.setattr(losses, "CHUNK_BYTES", 4 * 8 * 7 * 3)  # 21 positions a chunk, or 3, or 1
    arguments = drawn(positions, n)
    assert_same(bpr_max_loss(*arguments, penalty), naive(*arguments, penalty), arguments[:2])


def test_with_one_negative_it_is_bpr():
    queries, candidates, targets, negatives = drawn(9, 1)
    margin = (queries * (candidates[targets] - candidates[negatives[:, 0]])).sum(1)
    torch.testing.assert_close(bpr_max_loss(queries, candidates, targets, negatives, 0.0), -F.logsigmoid(margin).mean())


def test_it_is_finite_far_from_zero():
    queries, candidates = torch.tensor([[300.0]]), torch.tensor([[-1.0], [1.0]])
    assert bpr_max_loss(queries, candidates, torch.tensor([0]), torch.tensor([[1]]), 0.0).item() == pytest.approx(600.0)


def test_positions_without_any_are_no_loss():
    none, no_targets = torch.zeros(0, 8), torch.zeros(0, dtype=torch.long)
    assert bpr_max_loss(none, torch.randn(5, 8), no_targets, torch.zeros(0, 3, dtype=torch.long), 1.0).item() == 0
