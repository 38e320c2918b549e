"""Full cross-entropy over a catalogue, without ever holding positions × catalogue logits.

The gradient of a softmax is known as soon as its probabilities are, so both gradients are taken in the forward pass, a
chunk of positions at a time, in two reused buffers: three matrix products and one softmax a chunk, nothing computed
twice and nothing kept but two gradients of the inputs' sizes.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK_BYTES = 4 * 2**20
"""Size of the logits buffer; larger ones fall out of a CPU's cache and gain nothing on a GPU's."""


class _FullCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        rows = max(16, CHUNK_BYTES // (4 * len(items)))
        logits = torch.empty(min(rows, len(states)), len(items), device=states.device)  # [chunk, items]
        probabilities = torch.empty_like(logits)
        to_states, to_items = torch.empty_like(states), torch.zeros_like(items)
        loss = torch.zeros(
            (), device=states.device, dtype=torch.float64 if states.device.type == "cpu" else torch.float32
        )
        for first in range(0, len(states), rows):
            chunk, target = states[first : first + rows], targets[first : first + rows, None]
            scores, p = logits[: len(chunk)], probabilities[: len(chunk)]
            torch.mm(chunk, items.T, out=scores)
            torch.softmax(scores, dim=1, out=p)
            # log p(target) = target - top + log p(top): exact where p(target) itself underflows.
            margin = scores.gather(1, target) - scores.amax(dim=1, keepdim=True)
            loss -= (margin + p.amax(dim=1, keepdim=True).log()).sum()
            p.scatter_add_(1, target, p.new_full((len(chunk), 1), -1.0))
            torch.mm(p, items, out=to_states[first : first + rows])
            to_items.addmm_(p.T, chunk)
        ctx.save_for_backward(to_states, to_items)
        return loss.float()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        to_states, to_items = ctx.saved_tensors
        return to_states * upstream[0], to_items * upstream[0], None


def full_cross_entropy(states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Mean over positions of -log softmax(states · items)[target].

    Args:
        states: State at each real position, padding left out. [positions, H]
        items: Vectors of all candidates. [items, H]
        targets: Row in `items` of each position's next item. [positions] int64

    Returns:
        The mean loss in nats. []
    """
    total: Tensor = _FullCrossEntropy.apply(states.float(), items.float(), targets)  # type: ignore[no-untyped-call]
    return total / max(1, len(targets))
