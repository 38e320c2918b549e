"""Losses over many candidates that never hold positions × candidates: a softmax, and those against drawn negatives.

The gradient of each is known as soon as the scores are, so all gradients are taken in the forward pass, a chunk of
positions at a time, in buffers that are used again: nothing is computed twice, and nothing is kept but two gradients of
the inputs' sizes. All is float32, also under autocast: rounded logits of a large catalogue would tie.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

OfScores = Callable[[Tensor, Tensor], Tensor]
"""A loss by the scores of targets [p, 1] and of their negatives [p, n], summed over positions. []"""

CHUNK_BYTES = 4 * 2**20
"""Size of a buffer; larger ones fall out of a CPU's cache and gain nothing on a GPU's."""

FEWEST_ROWS = 32
"""Positions of a chunk at least: with fewer, much of the time goes into moving the candidates' gradient about."""


class _Softmax(torch.autograd.Function):
    """Sum of the losses: three matrix products and one softmax a chunk."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        candidates: Tensor,
        targets: Tensor,
        log_q: Tensor | None,
        user: Tensor | None,
        excluded: Tensor | None,
    ) -> Tensor:
        rows = max(FEWEST_ROWS, CHUNK_BYTES // (4 * max(1, len(candidates))))
        logits = queries.new_empty(min(rows, len(queries)), len(candidates))  # [chunk, C]
        probabilities = torch.empty_like(logits)
        to_queries, to_candidates = torch.empty_like(queries), torch.zeros_like(candidates)
        loss = _zero(queries)
        for first in range(0, len(queries), rows):
            here = slice(first, first + rows)
            chunk, target = queries[here], targets[here, None]
            scores, p = logits[: len(chunk)], probabilities[: len(chunk)]
            torch.mm(chunk, candidates.T, out=scores)
            if log_q is not None:
                scores -= log_q
            if user is not None and excluded is not None:
                left_out = excluded[user[here]].scatter_(1, target, False)  # [chunk, C]
                scores.masked_fill_(left_out, -torch.inf)
            torch.softmax(scores, dim=1, out=p)
            # log p(target) = target - top + log p(top): exact where p(target) itself underflows.
            margin = scores.gather(1, target) - scores.amax(dim=1, keepdim=True)
            loss -= (margin + p.amax(dim=1, keepdim=True).log()).sum()
            p.scatter_add_(1, target, p.new_full((len(chunk), 1), -1.0))
            torch.mm(p, candidates, out=to_queries[here])
            to_candidates.addmm_(p.T, chunk)
        ctx.save_for_backward(to_queries, to_candidates)
        return loss.float()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        to_queries, to_candidates = ctx.saved_tensors
        return to_queries * upstream[0], to_candidates * upstream[0], None, None, None, None


class _Drawn(torch.autograd.Function):
    """Sum of the losses: the negatives' vectors are gathered a chunk at a time."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, candidates: Tensor, targets: Tensor, negatives: Tensor, loss_of: OfScores
    ) -> Tensor:
        n, width = negatives.shape[1], queries.shape[1]
        rows = max(1, CHUNK_BYTES // (4 * max(1, n) * width))
        gathered = queries.new_empty(min(rows, len(queries)) * n, width)
        to_queries, to_candidates = torch.empty_like(queries), torch.zeros_like(candidates)
        loss = _zero(queries)
        for first in range(0, len(queries), rows):
            here = slice(first, first + rows)
            chunk, target, columns = queries[here], targets[here], negatives[here].reshape(-1)
            positive = candidates[target]  # [chunk, H]
            vectors = torch.index_select(candidates, 0, columns, out=gathered[: len(columns)])  # [chunk · n, H]
            vectors = vectors.view(len(chunk), n, width)
            score = (chunk * positive).sum(dim=1, keepdim=True).requires_grad_()  # [chunk, 1]
            scores = torch.bmm(vectors, chunk[:, :, None])[:, :, 0].requires_grad_()  # [chunk, n]
            with torch.enable_grad():
                total = loss_of(score, scores)
                pull, push = torch.autograd.grad(total, (score, scores))
            loss += total.detach()
            to_queries[here] = torch.bmm(push[:, None], vectors)[:, 0] + pull * positive
            to_candidates.index_add_(0, target, pull * chunk)
            torch.mul(push[:, :, None], chunk[:, None], out=vectors)
            to_candidates.index_add_(0, columns, vectors.view(-1, width))
        ctx.save_for_backward(to_queries, to_candidates)
        return loss.float()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        to_queries, to_candidates = ctx.saved_tensors
        return to_queries * upstream[0], to_candidates * upstream[0], None, None, None


def full_cross_entropy(states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Mean over positions of -log softmax(states · items)[target].

    Args:
        states: State at each real position, padding left out. [positions, H]
        items: Vectors of all candidates. [items, H]
        targets: Row in `items` of each position's next item. [positions] int64

    Returns:
        The mean loss in nats. []
    """
    return softmax_loss(states, items, targets)


def softmax_loss(
    queries: Tensor,
    candidates: Tensor,
    targets: Tensor,
    log_q: Tensor | None = None,
    user: Tensor | None = None,
    excluded: Tensor | None = None,
) -> Tensor:
    """Mean over positions of -log softmax(queries · candidates - log q)[target], without what is excluded.

    Candidates that come by chance, as those of a batch do, come the more often the more popular they are; taking the
    logarithm of how often from their logits makes up for it (Bengio and Senécal 2008; Jean et al., arXiv 1412.2007).

    Args:
        queries: One at each real position, padding left out. [P, H]
        candidates: Vectors. [C, H]
        targets: Row in `candidates` of each position's next item. [P] int64
        log_q: Logarithm of how often each candidate is expected among them, up to a constant. [C]
        user: Row in `excluded` of each position. [P] int64
        excluded: Candidates that are not a user's negatives; a position's own target stays in. [B, C] bool

    Returns:
        The mean loss in nats. []
    """
    with _float32(queries):
        correction = None if log_q is None else log_q.float()
        total: Tensor = _Softmax.apply(  # type: ignore[no-untyped-call]
            queries.float(), candidates.float(), targets, correction, user, excluded
        )
        return total / max(1, len(targets))


def drawn_loss(queries: Tensor, candidates: Tensor, targets: Tensor, negatives: Tensor, loss_of: OfScores) -> Tensor:
    """Mean over positions of a loss of the target's score and those of negatives.

    Args:
        queries: One at each real position, padding left out. [P, H]
        candidates: Vectors. [C, H]
        targets: Row in `candidates` of each position's next item. [P] int64
        negatives: Rows in `candidates` of each position's negatives; one that is there twice counts twice. [P, n] int64
        loss_of: The sum of some positions' losses, by their targets' scores [p, 1] and their negatives' [p, n].

    Returns:
        The mean loss in nats. []
    """
    with _float32(queries):
        total: Tensor = _Drawn.apply(  # type: ignore[no-untyped-call]
            queries.float(), candidates.float(), targets, negatives, loss_of
        )
        return total / max(1, len(targets))


def binary_loss(queries: Tensor, candidates: Tensor, targets: Tensor, negatives: Tensor, beta: float = 1.0) -> Tensor:
    """Binary cross-entropy of the target against its negatives, a mean over both; arguments as of `drawn_loss`.

    With s the scores, -(beta · log σ(s⁺) + Σ log(1 - σ(s⁻))) / (n + 1): gBCE of gSASRec, and with beta = 1 plain BCE as
    written there (Petrov and Macdonald, arXiv 2308.07192). SASRec, with one negative, prints twice that.
    """

    def binary(score: Tensor, scores: Tensor) -> Tensor:
        total = beta * F.logsigmoid(score).sum() + F.logsigmoid(-scores).sum()
        return -total / (scores.shape[1] + 1)

    return drawn_loss(queries, candidates, targets, negatives, binary)


def gbce_beta(n_negatives: int, n_items: int, t: float) -> float:
    """The power of gBCE: 1 - t · (1 - share of the other items that are drawn).

    With t = 0 gBCE is BCE; with t = 1 its scores are those that a softmax over all items would learn.

    Args:
        n_negatives: Negatives a position.
        n_items: Items that they are drawn from, the target among them.
        t: How far drawing few is corrected for, 0 to 1.
    """
    share = min(1.0, n_negatives / max(1, n_items - 1))
    return 1 - t * (1 - share)


def _float32(tensor: Tensor) -> torch.autocast:
    return torch.autocast(tensor.device.type, enabled=False)


def _zero(like: Tensor) -> Tensor:
    """What a sum over many chunks begins with; not every accelerator has float64. []"""
    return torch.zeros((), device=like.device, dtype=torch.float64 if like.device.type == "cpu" else torch.float32)
