import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from plmrs.model import losses
from plmrs.model.losses import full_cross_entropy


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_equals_plain_cross_entropy_and_its_gradients(monkeypatch, scale):
    monkeypatch.setattr(losses, "CHUNK_BYTES", 4 * 50 * 16)  # 16 rows a chunk: 37 positions make three chunks
    torch.manual_seed(0)
    states = (torch.randn(37, 8) * scale).requires_grad_()
    items = torch.randn(50, 8, requires_grad=True)
    targets = torch.randint(0, 50, (37,))

    (3 * full_cross_entropy(states, items, targets)).backward()
    mine = states.grad.clone(), items.grad.clone()
    states.grad = items.grad = None
    plain = F.cross_entropy(states @ items.T, targets)
    (3 * plain).backward()

    torch.testing.assert_close(full_cross_entropy(states, items, targets), plain)
    torch.testing.assert_close(mine[0], states.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(mine[1], items.grad, rtol=1e-4, atol=1e-5)


def test_a_target_whose_probability_underflows_has_a_finite_loss():
    states, items = torch.tensor([[200.0]]), torch.tensor([[1.0], [-1.0]])
    assert full_cross_entropy(states, items, torch.tensor([1])).item() == pytest.approx(400.0)


def test_holds_no_positions_by_items_tensor():
    positions, n_items = 4_000, 20_000
    states, items = torch.randn(positions, 4, requires_grad=True), torch.randn(n_items, 4, requires_grad=True)
    targets = torch.randint(0, n_items, (positions,))
    with torch.profiler.profile(profile_memory=True) as profile:
        full_cross_entropy(states, items, targets).backward()
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest <= 2 * losses.CHUNK_BYTES < 4 * positions * n_items / 10
