"""From the states of an item's tokens to its vector; all of them from one pass, as the pass is what costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # A cache asks for the names below without loading torch.
    from torch import Tensor

POOLINGS = ("mean", "last", "cls")
"""`mean` over the real tokens, the `last` real token, and the first one, which BERT calls [CLS]."""


def pool(hidden: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    """Pool the states of right-padded texts; padding takes no part.

    With states h of a text of 3 tokens in a batch of width 4, `mask` is `1 1 1 0`; `mean` is (h₁ + h₂ + h₃) / 3, `last`
    is h₃, `cls` is h₁.

    Args:
        hidden: States of the tokens. [texts, tokens, H] of any precision
        mask: 1 at real tokens, 0 at padding; every text has at least one real token. [texts, tokens] int64; None where
            none is padded

    Returns:
        A tensor a name in `POOLINGS`. [texts, H] float32
    """
    hidden = hidden.float()
    if mask is None:
        return {"mean": hidden.mean(dim=1), "last": hidden[:, -1], "cls": hidden[:, 0]}
    lengths = mask.sum(dim=1, keepdim=True)  # [texts, 1]
    # A product with the mask would keep a NaN at padding; masked_fill does not.
    real = hidden.masked_fill(~mask.bool().unsqueeze(2), 0.0)
    last = (lengths - 1).unsqueeze(2).expand(-1, 1, hidden.shape[2])  # [texts, 1] -> [texts, 1, H]
    return {
        "mean": real.sum(dim=1) / lengths,
        "last": hidden.gather(1, last).squeeze(1),
        "cls": hidden[:, 0],
    }
