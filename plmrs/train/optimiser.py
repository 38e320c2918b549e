"""AdamW: which rate and which decay each parameter gets, and how the rates go over the steps."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from plmrs.config import OptimiserOptions
from plmrs.model.recommender import Recommender

Group = dict[str, Any]

UNDECAYED = ("position", "wpe", "relative_attention_bias", "prompt.rows", "prompt.query")
"""What names tables of positions and of a prompt's inputs, which get no weight decay, as biases and norms get none."""


def parameter_groups(recommender: Recommender, options: OptimiserOptions) -> list[Group]:
    """The parameters that train, by rate and weight decay.

    Outside the PLM the rate is `lr`, that of the projection `projection_lr`. With n blocks, block i = 0…n-1 of the PLM
    has plm_lr · decay^(n-1-i): the top one `plm_lr` itself, as has the final norm; the embeddings have block 0's. What
    has fewer than two dimensions (biases, norms, the temperature) and tables of positions or prompts get no weight
    decay.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in recommender.named_parameters():
        if parameter.requires_grad:
            undecayed = parameter.ndim < 2 or any(part in name for part in UNDECAYED)
            key = _rate(recommender, name, options), 0.0 if undecayed else options.weight_decay
            groups.setdefault(key, []).append(parameter)
    return [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in groups.items()]


def _rate(recommender: Recommender, name: str, options: OptimiserOptions) -> float:
    if name.startswith("items.projection."):
        return options.projection_lr or options.lr
    plm = recommender.items.plm
    block = plm.layer_of(name.removeprefix("items.plm.")) if plm is not None and name.startswith("items.plm.") else None
    if plm is None or block is None:
        return options.lr
    return float(options.plm_lr * options.plm_lr_layer_decay ** (plm.plm.n_blocks - 1 - block))


def schedule(optimiser: torch.optim.Optimizer, options: OptimiserOptions, steps: int) -> LambdaLR:
    """The rates over `steps` steps: up from 0 within `warmup_steps`, then as they are, or down to 0 at the end."""

    def factor(step: int) -> float:
        if step < options.warmup_steps:
            return (step + 1) / options.warmup_steps
        if options.lr_schedule == "constant":
            return 1.0
        done = min(1.0, (step - options.warmup_steps) / max(1, steps - options.warmup_steps))
        return 1 - done if options.lr_schedule == "linear" else (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimiser, factor)


def rates_now(optimiser: torch.optim.Optimizer, options: OptimiserOptions) -> dict[str, float]:
    """The rates of the step to come, by the name of their option, of parts that train."""
    found = {}
    for group in optimiser.param_groups:
        for name in ("lr", "projection_lr", "plm_lr"):
            if group.get("initial_lr") == getattr(options, name):
                found[name] = float(group["lr"])
    return found


def parts(recommender: Recommender) -> Iterator[tuple[str, nn.Parameter]]:
    """Each parameter with the part of the model that it belongs to, as a person would name it."""
    names = {
        "items.table": "item table",
        "items.projection": "projection",
        "items.mean_last": "pooling",
        "sasrec": "SASRec",
        "log_scale": "temperature",
    }
    for name, parameter in recommender.named_parameters():
        if name.startswith("items.plm."):
            assert recommender.items.plm is not None
            block = recommender.items.plm.layer_of(name.removeprefix("items.plm."))
            yield ("prompt and pooling" if block is None else "PLM"), parameter
        else:
            yield next(part for prefix, part in names.items() if name.startswith(prefix)), parameter
