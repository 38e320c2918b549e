"""What every training here has in common: a small data set, a SASRec to match, the CPU."""

from typing import Any

TINY: dict[str, Any] = {
    "dataset": "small",
    "sasrec_hidden_size": 16,
    "sasrec_inner_size": 32,
    "sasrec_n_layers": 1,
    "sasrec_seq_len": 8,
    "accelerator": "cpu",
}
