"""The recommender: item vectors, SASRec over them, and the similarity of a state and an item.

A plain module, so that ranking and serving need no training framework; `plmrs.train.module` makes it trainable.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the customary name

from plmrs.config import LossOptions, ModelOptions
from plmrs.data.dataset import Histories
from plmrs.data.negatives import sampling_log_q
from plmrs.data.windows import padded
from plmrs.model.batch import Batch
from plmrs.model.bpr import bpr_max_loss
from plmrs.model.gather import gathered
from plmrs.model.inputs import ItemInputs
from plmrs.model.items import ItemVectors, similarity_scale, unit
from plmrs.model.losses import binary_loss, full_cross_entropy, gbce_beta, softmax_loss
from plmrs.model.sasrec import SASRec
from plmrs.plm.trainable import TrainablePlm


class Recommender(nn.Module):
    """Scores every item as a user's next one.

    Args:
        options: Input type, sizes, similarity.
        counts: Interactions of each item in training. [items] int64
        constant: The PLM's vectors of all items, where they do not change. [items, width]
        plm: The PLM's blocks that run in every step, instead.
        inputs: What those read.
        mean_last: Whether `constant` holds two poolings, to be joined.
        loss: What `forward` computes; `ce` where it does not say.
    """

    def __init__(
        self,
        options: ModelOptions,
        counts: Tensor,
        constant: Tensor | None = None,
        plm: TrainablePlm | None = None,
        inputs: ItemInputs | None = None,
        mean_last: bool = False,
        loss: LossOptions | None = None,
    ) -> None:
        super().__init__()
        self.options = options
        self.loss = loss or LossOptions(loss="ce")
        self.items = ItemVectors(options, counts > 0, constant, plm, inputs, mean_last)
        self.sasrec = SASRec(options)
        self.log_scale = similarity_scale() if options.similarity == "cosine" else None
        ranked = counts > 0 if self.loss.loss_items == "train" else torch.ones_like(counts, dtype=torch.bool)
        rows = ranked.nonzero()[:, 0]
        place = torch.full((len(counts),), -1).index_copy(0, rows, torch.arange(len(rows)))
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("log_q", _log_q(self.loss, counts, len(rows)), persistent=False)
        self.rows: Tensor
        self.place: Tensor
        self.log_q: Tensor

    def states(self, histories: Tensor, vectors: Tensor) -> Tensor:
        """The state at each position, to be compared with the next item.

        Args:
            histories: Rows of `vectors`; behind the last item any row that there is. [B, L] int64
            vectors: Item vectors. [items, H]

        Returns:
            States at padding mean nothing: it stands behind every real position, where nothing looks at it. [B, L, H]
        """
        states: Tensor = self.sasrec(F.embedding(histories, vectors))
        return states

    def queries(self, states: Tensor) -> Tensor:
        """States as they are multiplied with candidates; queries · candidates are the logits. [*, H] -> [*, H]"""
        return states if self.log_scale is None else unit(states) * self.log_scale.exp()

    def candidates(self, vectors: Tensor) -> Tensor:
        """Item vectors as queries are multiplied with them. [items, H] -> [items, H]"""
        return vectors if self.log_scale is None else unit(vectors)

    def forward(self, batch: Batch) -> Tensor:
        """The loss of the next item at every real position, a mean over positions in nats. []

        What a target is ranked among is, unless `--loss-items all` says otherwise, what training has: as eternal
        negatives a text model would learn to rank other items last, though at that time they did not exist.
        """
        windows = batch.windows
        vectors, places = self._vectors(batch)
        real = windows[:, 1:] > 0
        states = self.states(places[:, :-1], vectors)[real]  # [B, L, H] -> [positions, H]
        queries, targets = self.queries(states), places[:, 1:][real]
        candidates = self.candidates(vectors)
        match self.loss.loss:
            case "in_batch" | "sampled":
                return self._softmax_of_batch(batch, queries, candidates, targets, real)
            case "bce":
                return binary_loss(queries, candidates, targets, _drawn(batch, real))
            case "gbce":
                negatives = _drawn(batch, real)
                beta = gbce_beta(negatives.shape[1], len(self.rows), self.loss.gbce_t)
                return binary_loss(queries, candidates, targets, negatives, beta)
            case "bpr_max":
                return bpr_max_loss(queries, candidates, targets, _drawn(batch, real), self.loss.bpr_penalty)
            case _:
                return full_cross_entropy(queries, candidates, targets)

    def _vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The vectors a batch needs [U, H], and the row among them of each item of its windows [B, L + 1]."""
        numbers = batch.windows.clamp(min=1)  # padding borrows an item
        if batch.items is not None:
            # Padding borrows the first one that the batch has.
            places = torch.searchsorted(batch.items, numbers).clamp(max=len(batch.items) - 1)
            return self.items(batch.items - 1, batch.texts), places
        rows = None if len(self.rows) == len(self.place) else self.rows
        return self.items(rows, batch.texts), self.place[numbers - 1].clamp(min=0)

    def _softmax_of_batch(
        self, batch: Batch, queries: Tensor, candidates: Tensor, targets: Tensor, real: Tensor
    ) -> Tensor:
        """Softmax over the items of the batch, or those drawn for it, corrected by how often an item is among them.

        logit(b, t, j) = query(b, t) · candidate(j) - log q(j). Left out of user b's are the items of b's own window,
        the target itself excepted, and repeats of an item.

        Example: a batch of items 4, 7 and 9; user 0 took 4, then 7, user 1 took 7, then 9. Left out, but as a target:

            windows [[4, 7],   ->  [[x, x, .],
                     [7, 9]]        [., x, x]]
        """
        items, windows = batch.items, batch.windows
        assert items is not None
        left_out = torch.zeros(len(items), dtype=torch.bool, device=items.device)
        if batch.negatives is not None:
            left_out = ~torch.isin(items, batch.negatives)
        if self.loss.gather_negatives:
            # The own items come first, so that targets keep their places.
            candidates, items, left_out = gathered(candidates, items, left_out)
        ascending, order = items.sort(stable=True)  # of an item that is repeated, the copy that is not left out
        found = torch.searchsorted(ascending, windows).clamp(max=len(items) - 1)
        own = torch.zeros(len(windows), len(items), device=items.device)
        own.scatter_add_(1, order[found], (ascending[found] == windows).float())
        excluded = (own > 0) | left_out  # [B, U]
        users = torch.arange(len(windows), device=items.device)[:, None].expand_as(real)[real]
        return softmax_loss(queries, candidates, targets, self.log_q[items - 1], users, excluded)

    @torch.inference_mode()
    def last_queries(self, histories: Histories, vectors: Tensor) -> Tensor:
        """The query behind each user's last item. [users, H]

        Args:
            histories: Items of each user, at least one.
            vectors: All items' vectors, row i for item i + 1. [items, H]
        """
        inputs = torch.from_numpy(padded(histories, self.options.sasrec_seq_len)).to(vectors.device)
        last = (inputs > 0).sum(dim=1) - 1
        states = self.states((inputs - 1).clamp(min=0), vectors)
        return self.queries(states[torch.arange(len(inputs), device=vectors.device), last])

    @torch.inference_mode()
    def scores(self, histories: Histories, users_at_once: int) -> Iterator[Tensor]:
        """Scores of all items for each user, some users at a time. ([users, items], column j is item j + 1)"""
        vectors = self.items()
        candidates = self.candidates(vectors)
        for first in range(0, len(histories), users_at_once):
            queries = self.last_queries(histories.take(slice(first, first + users_at_once)), vectors)
            yield queries @ candidates.T


def _drawn(batch: Batch, real: Tensor) -> Tensor:
    """The rows of the negatives of each position, among the vectors of a batch. [positions, n]"""
    assert batch.items is not None
    assert batch.negatives is not None
    return torch.searchsorted(batch.items, batch.negatives[real])


def _log_q(loss: LossOptions, counts: Tensor, n_ranked: int) -> Tensor:
    """The logarithm of how often each item is among a batch's candidates, up to a constant. [items]"""
    if loss.loss == "sampled":
        return torch.from_numpy(sampling_log_q(counts.numpy(), loss.negatives or 1024, loss.loss_items)).float()
    shares = counts.double() / counts.sum().clamp(min=1)
    return shares.clamp(min=1e-12).log().float() if loss.loss == "in_batch" else torch.zeros(len(counts))
