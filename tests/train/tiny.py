"""What every training here has in common: a small data set, a SASRec to match, the CPU."""

from typing import Any

import pytest
import torch

from plmrs.train.strategies import FSDP_ON_CPUS

TINY: dict[str, Any] = {
    "dataset": "small",
    "sasrec_hidden_size": 16,
    "sasrec_inner_size": 32,
    "sasrec_n_layers": 1,
    "sasrec_seq_len": 8,
    "accelerator": "cpu",
}

HAS_FSDP = torch.__version__ >= FSDP_ON_CPUS
FSDP = pytest.param("fsdp", marks=pytest.mark.skipif(not HAS_FSDP, reason="this PyTorch shards on GPUs alone"))
"""The strategy as a test's parameter."""
