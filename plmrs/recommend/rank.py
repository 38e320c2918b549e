"""The best items of many users: blocks of users, chunks of items, and of each block k numbers a user kept."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmrs.data.dataset import Histories
from plmrs.model.encoder import UserEncoder
from plmrs.model.ranking import USERS, Products, blocks, chunks, mask_seen, new_buffer
from plmrs.model.topk import top_items
from plmrs.recommend.catalogue import Catalogue


class Best(NamedTuple):
    """The best items of some users, best first.

    Attributes:
        users: Which of the histories.
        scores: -inf where fewer than k items are left. [users, k] float32
        rows: Rows of the catalogue, -1 likewise. [users, k] int64
    """

    users: slice
    scores: NDArray[np.float32]
    rows: NDArray[np.int64]


@torch.inference_mode()
def best_items(
    encoder: UserEncoder,
    catalogue: Catalogue,
    histories: Histories,
    k: int,
    mask: bool,
    left_out: Tensor | None,
    memory: int,
) -> Iterator[Best]:
    """The best k items of each user, a block of users at a time.

    Args:
        encoder: The trained model.
        catalogue: The items.
        histories: What each user took; the whole of it is left out, the end of it read.
        k: Items a user.
        mask: Whether what a user took is left out.
        left_out: Items that are no candidates. [items] bool
        memory: Bytes of what is scored at once.
    """
    device, n_items = catalogue.candidates.device, len(catalogue)
    left_out = None if left_out is None else left_out.to(device)
    buffer = new_buffer(n_items, memory, device)
    for block in blocks(len(histories)):
        some = histories.take(block)
        queries = encoder.of_histories(some, catalogue.vectors, USERS)
        if len(some) < USERS:
            queries = torch.nn.functional.pad(queries, (0, 0, 0, USERS - len(some)))

        def parts(queries: Tensor = queries, some: Histories = some) -> Iterator[tuple[int, Tensor]]:
            for first, part in chunks(Products(queries, catalogue.candidates), USERS, n_items, buffer):
                part = part[: len(some)]
                if left_out is not None:
                    part.masked_fill_(left_out[first : first + part.shape[1]], -torch.inf)
                yield first, mask_seen(part, some, first=first) if mask else part

        scores, rows = top_items(parts(), k)
        yield Best(block, scores.cpu().numpy(), rows.cpu().numpy())
