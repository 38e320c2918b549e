"""Candidates of all processes, for losses that rank a target among the items of a batch."""

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather
from torch.nn import functional as F  # noqa: N812 - the customary name


def gathered(candidates: Tensor, items: Tensor, left_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The candidates of this process, then those of the others; gradients flow back to each one's own.

    Args:
        candidates: Vectors. [U, H]
        items: Their item numbers, each once. [U] int64
        left_out: Those that are nobody's negatives. [U] bool

    Returns:
        The same of all processes, this one's first [V, H], [V], [V]; an item that stands before already is left out.
    """
    if not distributed.is_available() or not distributed.is_initialized() or distributed.get_world_size() == 1:
        return candidates, items, left_out
    # Collectives want equal shapes: what is padded carries item 0 and is cut off again.
    size = torch.tensor([len(items)], device=items.device)
    sizes = [torch.zeros_like(size) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, size)
    lengths = [int(n) for n in sizes]
    missing = max(lengths) - len(items)
    numbers = F.pad(torch.where(left_out, -items, items), (0, missing))
    all_numbers = [torch.empty_like(numbers) for _ in lengths]
    distributed.all_gather(all_numbers, numbers)
    all_candidates = all_gather(F.pad(candidates, (0, 0, 0, missing)))  # type: ignore[no-untyped-call]
    rank = distributed.get_rank()
    order = [rank, *(other for other in range(len(lengths)) if other != rank)]
    signed = torch.cat([all_numbers[other][: lengths[other]] for other in order])
    vectors = torch.cat([all_candidates[other][: lengths[other]] for other in order])
    numbers = signed.abs()
    _, first = torch.unique(numbers, return_inverse=True)
    seen = torch.full((int(first.max()) + 1,), len(numbers), device=items.device)
    seen.scatter_reduce_(0, first, torch.arange(len(numbers), device=items.device), "amin")
    repeated = seen[first] < torch.arange(len(numbers), device=items.device)
    # An item is nobody's negative when it is so in every process.
    wanted = torch.zeros_like(seen).scatter_reduce_(0, first, (signed > 0).long(), "amax")
    return vectors, numbers, repeated | (wanted[first] == 0)
