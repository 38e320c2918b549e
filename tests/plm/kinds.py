"""Tiny PLMs of every kind for the tests of what trains, and Hugging Face's own models of them."""

from typing import Any

import numpy as np
import torch

from plmrs.plm.checkpoint import FAMILIES, Plm
from plmrs.plm.quiet import quiet

KINDS: dict[str, dict[str, Any]] = {
    **{family: {"family": family} for family in FAMILIES},
    "opt, layers dropped": {"family": "opt", "layerdrop": 0.9},
    "opt as 350m": {"family": "opt", "do_layer_norm_before": False, "word_embed_proj_dim": 16},
    "llama, wide heads": {"family": "llama", "head_dim": 16},
    "mistral, wide window": {"family": "mistral", "sliding_window": 64},
    "mistral, narrow window": {"family": "mistral", "sliding_window": 4},
    "qwen2, last blocks windowed": {
        "family": "qwen2", "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1,
    },
}  # fmt: skip
"""Each family as it is, and in what it may differ."""
N_BLOCKS = 3
LENGTHS = np.array([4, 11, 1, 9, 11, 4])
IDS = torch.randint(5, 400, (int(LENGTHS.sum()),), generator=torch.Generator().manual_seed(0))


def whole_model(plm: Plm) -> Any:
    """Hugging Face's own model, without OPT-350m's projection of its output; its dropout is off."""
    from transformers import AutoModel, T5EncoderModel

    with quiet():
        model = (T5EncoderModel if plm.model_type == "t5" else AutoModel).from_pretrained(plm.folder)
    if getattr(getattr(model, "decoder", None), "project_out", None) is not None:
        model.decoder.project_out = None
    return model.eval()


def texts(inputs: torch.Tensor) -> list[torch.Tensor]:
    """Each text by itself. [1, tokens, …] each"""
    return [text.unsqueeze(0) for text in inputs.split(LENGTHS.tolist())]


def pooled(states: torch.Tensor, pooling: str) -> torch.Tensor:
    """[1, tokens, H] -> [H]"""
    return {"mean": states[0].mean(0), "last": states[0, -1], "cls": states[0, 0]}[pooling]
