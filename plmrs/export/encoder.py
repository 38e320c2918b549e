"""The user encoder as a program that torch alone loads and runs.

`torch.export` keeps the very operations of the model, so the program's numbers are the model's to the bit; this is
looked at before anything is handed out. ONNX would round elsewhere, and needs packages that plmrs does without.
"""

import copy
from pathlib import Path

import torch
from torch import Tensor

from plmrs.errors import UserError
from plmrs.model.encoder import UserEncoder

SAMPLES = (1, 2, 17)
"""Users of the batches that the program is compared on."""
MOST = 2**31 - 1
"""Users of a batch at most; without an end to them torch 2.6 cannot tell that a slice holds them all."""


def export_encoder(encoder: UserEncoder, vectors: Tensor, path: Path) -> None:
    """Write the program, and compare it with the model.

    Args:
        encoder: The model's.
        vectors: Item vectors to compare on. [items, H]
        path: A file that ends in .pt2.

    Raises:
        UserError: the program's numbers are not the model's.
    """
    portable = copy.deepcopy(encoder).cpu().eval().requires_grad_(False)
    users = torch.export.Dim("users", min=1, max=MOST)
    example = _windows(portable, vectors, 2)
    with torch.no_grad():
        program = torch.export.export(portable, example, dynamic_shapes=({0: users}, {0: users}))
    torch.export.save(program, path)
    loaded = torch.export.load(path).module()
    for n in SAMPLES:
        windows, lengths = _windows(portable, vectors, n)
        with torch.no_grad():
            same = torch.equal(loaded(windows, lengths), portable(windows, lengths))
        if not same:
            raise UserError(
                f"The exported user encoder gives other numbers than the model, with torch {torch.__version__}.",
                "Nothing was exported. Another version of torch may do better.",
            )


def _windows(encoder: UserEncoder, vectors: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Histories of items by chance. ([n, L, H], [n])"""
    drawn = torch.Generator().manual_seed(n)
    items = torch.randint(len(vectors), (n, encoder.length), generator=drawn)
    lengths = torch.randint(1, encoder.length + 1, (n,), generator=drawn)
    return vectors.cpu()[items].clone(), lengths
