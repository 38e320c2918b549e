"""What tests of losses share: a loss and its gradients against a naive one's, and positions with drawn negatives."""

import torch
from torch import Tensor


def gradients(loss: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    """Gradients of three times a loss: what is behind it must reach what is before it."""
    return torch.autograd.grad(3 * loss, leaves)


def assert_same(mine: Tensor, naive: Tensor, leaves: tuple[Tensor, ...]) -> None:
    """See that two losses and their gradients are the same."""
    torch.testing.assert_close(mine, naive)
    for found, wanted in zip(gradients(mine, *leaves), gradients(naive, *leaves), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def drawn(positions: int, n: int, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, candidates, targets and negatives; of 12 candidates some repeat within a position or are the target."""
    torch.manual_seed(2)
    queries = torch.randn(positions, 8, device=device, requires_grad=True)
    candidates = torch.randn(12, 8, device=device, requires_grad=True)
    targets = torch.randint(0, 12, (positions,), device=device)
    return queries, candidates, targets, torch.randint(0, 12, (positions, n), device=device)
