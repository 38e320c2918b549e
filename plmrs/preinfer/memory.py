"""How much memory a PLM may take, and how fast its blocks run here."""

from __future__ import annotations

import time

import numpy as np

from plmrs.devices import Devices
from plmrs.plm.checkpoint import Plm, Precision

SHARE = 0.7
"""Of the memory that is free; the rest is for what else runs, and for what is not foreseen."""
TOKENS = 1024
"""Tokens of the batch that a block is timed with."""


def device_memory(devices: Devices) -> int:
    """Bytes that a PLM may take in each process: a share of what is free on its device."""
    if devices.accelerator == "gpu":
        import torch

        return int(SHARE * min(torch.cuda.mem_get_info(device)[0] for device in devices.ids))
    import psutil

    return int(SHARE * psutil.virtual_memory().available / len(devices.ids))


def seconds_a_token(plm: Plm, precision: Precision, devices: Devices, length: int) -> float:
    """Seconds that a token takes in a block on one of the devices, by running one; its weights are read, no others.

    Args:
        plm: The PLM.
        precision: Of weights and states.
        devices: Where it is to run.
        length: Tokens of a text.

    Raises:
        UserError: the PLM's files are damaged.
    """
    import torch

    from plmrs.plm.pieces import load_piece, state_dtype
    from plmrs.plm.precision import DTYPES

    place = torch.device(devices.names[0])
    block = min(1, plm.n_blocks - 1)
    piece = load_piece(plm, block, block + 1, DTYPES[precision], place, embeddings=False)
    texts = max(1, TOKENS // length)
    states = torch.randn(texts, length, plm.hidden_size).to(place, state_dtype(plm, DTYPES[precision]))
    times = []
    with torch.inference_mode():
        for _ in range(3):
            start = time.perf_counter()
            piece(states)
            if place.type == "cuda":
                torch.cuda.synchronize(place)
            times.append(time.perf_counter() - start)
    return float(np.median(times)) / (texts * length)
