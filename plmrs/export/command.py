"""plmrs export: a folder with item vectors, their ids, the user encoder and a model card, for programs without plmrs.

A verb of its own: `recommend --output` names a table of rows, this one a folder of a model's parts, and none of the
other options of `recommend` means anything here.
"""

import torch

from plmrs import __version__
from plmrs.config import ExportConfig
from plmrs.errors import UserError
from plmrs.export.encoder import export_encoder
from plmrs.export.vectors import write_items, write_vectors
from plmrs.model.card import CARD, model_card
from plmrs.recommend.trained import load_model
from plmrs.report import Progress, Table
from plmrs.workspace import atomic_folder, write_json

FOLDER, MARK, ENCODER = "export", "export.json", "user_encoder.pt2"
FORMAT = 1

USE = """## Files of the export

| file | what it holds |
| --- | --- |
| {vectors} | `candidates` and `inputs`, [items, H] float32, row i of item i |
| items.parquet | item_id, text, count_in_training; row i of item i |
| user_encoder.pt2 | from `inputs` of a history to the vector that is multiplied with `candidates` |
| export.json | sizes and versions |

A score is the inner product of a user's vector and an item's row of `candidates`{unit}: an index by inner product ranks
as the model does. Neither plmrs nor the data set is needed:

```python
{read}
encoder = torch.export.load("user_encoder.pt2").module()

history = [17, 4, 256]  # rows of items.parquet, oldest first; at most the last {length}
window = torch.zeros(1, {length}, inputs.shape[1])
window[0, : len(history)] = inputs[history]
query = encoder(window, torch.tensor([len(history)]))  # [1, H]
best = (query @ candidates.T).topk(10)
```
"""
READ = {
    "safetensors": """import torch
from safetensors.torch import load_file

inputs, candidates = (load_file("item_vectors.safetensors")[name] for name in ("inputs", "candidates"))""",
    "npy": """import numpy as np
import torch

inputs, candidates = (torch.from_numpy(np.load(f"{name}.npy")) for name in ("inputs", "candidates"))""",
}


def export(what: str | None, config: ExportConfig, progress: Progress) -> list[Table]:
    """Write a run's parts into a folder; one that plmrs exported before is replaced once the new one is whole.

    Args:
        what: A run's name or folder, or a checkpoint's file or folder; None is the run begun last.
        config: Where to, and the vectors' format.
        progress: Where it tells what it does.

    Raises:
        UserError: there is no such run, the folder is another's, several devices are named, or the exported encoder
            would not be exact.
    """
    named = config.device.devices or ()
    if len(named) > 1:
        raise UserError("export runs on one device.", f"Name one, as in --devices {named[0]}.")
    if config.parts.output is not None and config.parts.output.name in {"", ".."}:
        raise UserError(f"--output {config.parts.output} has no name of its own.", "Name a folder to be made.")
    model = load_model(what, config.workspace, config.device, progress)
    folder, kind = config.parts.output or model.run.folder / FOLDER, config.parts.vectors
    if folder.exists() and not (folder / MARK).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--output {folder} is there already, and no export of plmrs.", "Name a new folder.")
    similarity, length = model.run.config.model.similarity, model.encoder.length
    with atomic_folder(folder) as temporary:
        files = [*write_vectors(temporary, model.items, kind), write_items(temporary, model.dataset)]
        export_encoder(model.encoder, model.items.vectors, temporary / ENCODER)
        unit = ", which have length 1" if similarity == "cosine" else ""
        vectors = ", ".join(files[:-1])
        use = USE.format(vectors=vectors, unit=unit, length=length, read=READ[kind])
        card = f"{model_card(config.workspace.open(), model.run)}\n{use}"
        (temporary / CARD).write_text(card, encoding="utf-8")
        facts = {
            "format": FORMAT,
            "plmrs": __version__,
            "torch": torch.__version__,
            "run": model.run.name,
            "weights": model.run.weights.name,
            "dataset": model.dataset.name,
            "dataset_fingerprint": model.dataset.fingerprint,
            "similarity": similarity,
            "items": len(model.items),
            "width": model.items.vectors.shape[1],
            "history": length,
        }
        write_json(temporary / MARK, facts)
    rows = [(name, (folder / name).stat().st_size) for name in [*files, ENCODER, CARD, MARK]]
    notes = [f"They lie in {folder}. The user encoder's numbers are those of the model, compared bit by bit."]
    return [Table(f"Export of {model.run.name}", ("file", "bytes"), rows, notes)]
