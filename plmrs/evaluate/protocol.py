"""What a number depends on, to be printed with it."""

from plmrs.config import EvaluateConfig
from plmrs.data.dataset import Dataset
from plmrs.evaluate.baselines import neighbours_kept


def protocol_of(
    config: EvaluateConfig, dataset: Dataset, rule: str, ranked: int, held_out: int, candidates: str
) -> dict[str, str]:
    """The protocol, a line an aspect.

    Args:
        config: What was asked for.
        dataset: Whose users and items.
        rule: Of the split.
        ranked: Users whose targets were ranked.
        held_out: Users that there are targets of.
        candidates: What they were ranked among.
    """
    users = f"{ranked:,}" + ("" if ranked == dataset.n_users else f" of {dataset.n_users:,}")
    left_out = held_out - ranked
    samples, longest = config.ranking.bootstrap, max(config.protocol.topk_list)
    kept = neighbours_kept(dataset.n_items)
    return {
        "split": rule,
        "targets": "test" if config.ranking.split == "test" else "validation, with what the model sees before them",
        "users": f"{users}, each counted once"
        + (f"; {left_out:,} left out, whose target is no candidate" if left_out else ""),
        "candidates": candidates,
        "seen items": "masked, except the target" if config.protocol.mask_seen else "not masked",
        "ties": "against the model",
        "intervals": f"95 %, bootstrap over users, {samples:,} samples" if samples else "none",
        "lists": f"the best {longest} of each user",
        "ItemKNN": "all similar items of each" if kept >= dataset.n_items else f"the {kept:,} nearest items of each",
        "data": f"{dataset.name} {dataset.fingerprint}",
    }
