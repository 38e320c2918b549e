"""From files to a model that runs: weights as the checkpoint has them, in evaluation mode, no foreign code."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from safetensors import SafetensorError
from torch import nn

from plmrs.errors import UserError
from plmrs.plm.checkpoint import Plm, Precision

DTYPES = {"32": torch.float32, "bf16": torch.bfloat16}


def resolve_precision(asked: Literal["auto", "32", "bf16"], device: torch.device) -> Precision:
    """The precision a device runs a PLM faster in: bf16 where it has instructions for it, else fp32.

    `auto` asks the instruction sets, not a clock, so that a machine gives the same answer, and with it the same cache,
    each time. Measured with MiniLM over 1,500 titles on 2 cores: an x86 CPU with AVX2 alone, which emulates bf16, runs
    it at 0.14 times its speed in fp32 (43 against 317 items/s); one that computes in bf16 at 1.7 times (705 against
    405), and the vectors' cosine to fp32 stays above 0.9998.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        computes = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # PyTorch tells these under private names, which older and newer releases may lack.
        probes = (getattr(torch.cpu, f"_is_{name}_supported", bool) for name in ("amx_tile", "avx512_bf16"))
        computes = any(probe() for probe in probes)
    return "bf16" if computes else "32"


def load_plm(plm: Plm, precision: Precision, device: torch.device) -> nn.Module:
    """The PLM up to its last hidden states: no head, no pooler, no projection behind the final norm.

    Its `forward(input_ids, attention_mask)` takes right-padded [texts, tokens] int64 and gives `.last_hidden_state`
    [texts, tokens, H] in the given precision.

    Raises:
        UserError: the weight files are damaged, or lack a tensor of the model.
    """
    from transformers import AutoModel

    # BERT and RoBERTa checkpoints of language models have no pooler; without this it would be drawn at random.
    extra = {} if plm.model_type == "opt" else {"add_pooling_layer": False}
    try:
        with quiet():
            model, info = AutoModel.from_pretrained(
                str(plm.folder), dtype=DTYPES[precision], output_loading_info=True, local_files_only=True,
                trust_remote_code=False, weights_only=True, use_safetensors=plm.weights[0].suffix == ".safetensors",
                **extra,
            )  # fmt: skip
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"The weights of {plm.name} in {plm.folder} cannot be read: {reason}", AGAIN) from error
    absent = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if absent:
        raise UserError(f"The weights in {plm.folder} lack {len(absent)} tensors, as {absent[0]}.", AGAIN)
    if plm.model_type == "opt":
        # OPT-350m projects its states from H back to the width of its word embeddings to score words; what is pooled
        # keeps the width of the blocks.
        model.decoder.project_out = None
    # Each text is read once: keys and values kept for a continuation would only take memory.
    model.config.use_cache = False
    return model.eval().requires_grad_(False).to(device)  # type: ignore[no-any-return]


AGAIN = "Copy or download the PLM's folder again."


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from writing bars and tables to the terminal, which belongs to the console."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
