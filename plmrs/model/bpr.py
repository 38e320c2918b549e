"""BPR-max: the target against its negatives one by one, those that score high weighing most."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the customary name

from plmrs.model.losses import drawn_loss


def bpr_max_loss(queries: Tensor, candidates: Tensor, targets: Tensor, negatives: Tensor, penalty: float) -> Tensor:
    """Mean over positions of -log Σⱼ pⱼ · σ(s⁺ - sⱼ) + penalty · Σⱼ pⱼ · sⱼ², arguments as of `drawn_loss`.

    With s the scores, j the negatives and p their softmax (Hidasi and Karatzoglou, arXiv 1706.03847). With one negative
    and no penalty it is BPR (Rendle et al., arXiv 1205.2618).
    """

    def bpr_max(score: Tensor, scores: Tensor) -> Tensor:
        log_p = F.log_softmax(scores, dim=1)  # [p, n]
        ranked = torch.logsumexp(log_p + F.logsigmoid(score - scores), dim=1)  # [p]
        return penalty * (log_p.exp() * scores.square()).sum() - ranked.sum()

    return drawn_loss(queries, candidates, targets, negatives, bpr_max)
