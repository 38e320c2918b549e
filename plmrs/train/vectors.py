"""All items' vectors for a validation, each process computing a share where blocks of the PLM have to run for them."""

import torch
from torch import Tensor, distributed
from torch.nn import functional as F  # noqa: N812 - the customary name

from plmrs.model.items import ItemVectors


def all_vectors(items: ItemVectors, rank: int, processes: int) -> Tensor:
    """The vectors of all items, the same in every process. [items, H]

    Args:
        items: Gives the vectors.
        rank: This process.
        processes: How many there are.
    """
    if items.plm is None or processes == 1:
        vectors: Tensor = items()
        return vectors
    n_items = len(items.in_training)
    share = -(-n_items // processes)
    rows = torch.arange(rank * share, min((rank + 1) * share, n_items), device=items.in_training.device)
    own = items(rows)
    own = F.pad(own, (0, 0, 0, share - len(rows)))  # collectives want equal shapes
    parts = [torch.empty_like(own) for _ in range(processes)]
    distributed.all_gather(parts, own)
    return torch.cat(parts)[:n_items]
