"""Why a loss is no number: what of the model and its inputs is not finite, to say what may help."""

from typing import TYPE_CHECKING

import torch

from plmrs.errors import UserError
from plmrs.model.batch import Batch

if TYPE_CHECKING:
    from plmrs.train.module import TrainingModule


def not_finite(module: "TrainingModule", batch: Batch | None = None, step: int | None = None) -> UserError:
    """The error for a loss that is no number, with what was found in the weights and in what the PLM's blocks read.

    Args:
        module: What is trained.
        batch: The batch whose loss it is, where that is known.
        step: Its number in the epoch, from 0.
    """
    options = module.config.optimiser
    where = f"in epoch {module.current_epoch + 1}" + ("" if step is None else f", step {step + 1}")
    bad = [
        name for name, parameter in module.recommender.named_parameters() if not bool(torch.isfinite(parameter).all())
    ]
    inputs = batch.texts.inputs if batch is not None and batch.texts is not None else None
    if inputs is not None and inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
        found = "The states it reads from the cache are not finite"
        remedy = "Look at the cache: `plmrs inspect CACHE --verify`."
    elif bad:
        found = f"{len(bad)} weights are not finite any more, among them {bad[0]}"
        rate = f"--plm-lr (now {options.plm_lr:g})" if bad[0].startswith("items.plm.") else f"--lr (now {options.lr:g})"
        remedy = f"Lower {rate}, or give --gradient-clip 1 or --warmup-steps 100."
    else:
        found = "All weights are finite, so the step itself overflows"
        remedy = f"Lower --lr (now {options.lr:g})" + (
            ", or use --precision 32." if module.config.trainer.precision != "32" else ", or give --gradient-clip 1."
        )
    return UserError(f"The loss is not a number {where}. {found}.", f"{remedy} Finished epochs are kept.")
