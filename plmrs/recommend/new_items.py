"""New items: read as `prepare` reads items, encoded as the run's own were, and brought to vectors by its layers.

They are a small data set of their own, whose texts go through the same job that makes a cache. So precision, rounding,
pooling and the tokens kept are those of the run, and a PLM that does not fit in memory runs in pieces here too.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from plmrs.cache.store import Cache
from plmrs.config import DeviceOptions, NewItemOptions, PreinferOptions, RawOptions
from plmrs.data.checksums import checksums
from plmrs.data.dataset import Dataset, write_items
from plmrs.data.sources.columns import ITEMS, item_columns
from plmrs.data.sources.files import column_names
from plmrs.data.sources.raw import raw_file
from plmrs.data.sources.table import read_items
from plmrs.data.sources.texts import Wording, tidy
from plmrs.devices import resolve_devices
from plmrs.errors import UserError
from plmrs.model.inputs import ItemInputs, cached_states, token_ids
from plmrs.model.items import ItemVectors
from plmrs.model.load import pooled_vectors
from plmrs.model.recommender import Recommender
from plmrs.model.run import Run
from plmrs.model.source import check_blocks, plm_use
from plmrs.plm.checkpoint import Plm, find_same
from plmrs.plm.tokenizer import plm_tokens
from plmrs.preinfer.job import new_job
from plmrs.preinfer.nodes import Node
from plmrs.preinfer.run import run_job
from plmrs.recommend.catalogue import Catalogue
from plmrs.report import Progress, Silent, counted
from plmrs.workspace import Workspace, fingerprint


def read_new(path: Path, options: NewItemOptions, dataset: Dataset, progress: Progress) -> pa.Table:
    """A table of new items: columns item_id and text, each id once.

    Args:
        path: The table, in any format that `prepare` reads.
        options: Its columns; those left out are the data set's own, where the table has them, else guessed.
        dataset: Whose items they join.
        progress: Is told what is left out.

    Raises:
        UserError: the file is damaged, or a column is missing.
    """
    file = raw_file(path)
    names = column_names(file)
    own = dataset.manifest.get("effective", {}).get("columns") or {}
    asked = RawOptions(
        item_column=options.item_column or (own["item"] if own.get("item") in names else None),
        text_fields=options.text_fields,
        text_template=options.text_template,
    )
    as_before = not (options.text_fields or options.text_template) and set(own.get("texts", ["?"])) <= set(names)
    if as_before:
        asked = asked.model_copy(update={"text_fields": tuple(own["texts"])})
    item, words, _ = item_columns(file, asked, ITEMS)
    if as_before:
        words = Wording(words.fields, tuple(own["between_texts"]))
    items, nameless, repeated = read_items(file, item, words, None)
    for count, why in ((nameless, "there is no id"), (repeated, "the id stands in an earlier row")):
        if count:
            progress.warn(f"Left out of {file}: {counted(count, 'row')}, because {why}.")
    return items


def table_of(texts: Mapping[str, str]) -> pa.Table:
    """Columns item_id and text of new items, from ids to texts; white space as `read_new` leaves it.

    Raises:
        UserError: an id or a text is no text.
    """
    try:
        ids, words = pa.array(list(texts), pa.string()), pa.array(list(texts.values()), pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        raise UserError("items: ids and texts are text.", "Give them as strings.") from None
    return pa.table({"item_id": ids, "text": tidy(words)})


def new_vectors(
    run: Run,
    model: Recommender,
    cache: Cache | None,
    items: Catalogue,
    ids: pa.Array,
    texts: pa.Array,
    progress: Progress,
) -> Tensor:
    """The vectors of new items, as the model would have them for items that training never saw. [n, H]

    Args:
        run: The model's run.
        model: What was trained.
        cache: The run's cache, where it has one.
        items: The items that are there.
        ids: The new ones' ids. [n]
        texts: Their texts. [n]
        progress: Is told how far encoding is.

    Raises:
        UserError: an id is there already, the model reads no texts, or its PLM is gone or has changed.
    """
    use = plm_use(run.config)
    if use is None:
        raise UserError(
            f"Run {run.name} knows items by their ids alone: of a new one it has nothing to go by.",
            "Train with --input-type text or text+id.",
        )
    known = ids.filter(pc.is_in(ids, value_set=items.ids))
    if len(known):
        more = f", and {len(known) - 1:,} more" if len(known) > 1 else ""
        raise UserError(f"New item {known[0].as_py()!r} is an item already{more}.", "Give only ids that are new.")
    textless = int(pc.sum(pc.equal(texts, "")).as_py() or 0)
    if textless:
        progress.warn(f"{textless:,} of {len(ids):,} new items have no text: they are all alike to the model.")
    plm = find_same(run.manifest["plm"], run.manifest["plm_identity"])
    with tempfile.TemporaryDirectory(prefix="plmrs-items-") as folder:
        place = Workspace(Path(folder), Path(folder))
        dataset = _dataset(place, ids, texts)
        if cache is None:
            tokens = plm_tokens(dataset, plm, run.config.plm.tokenized_len, Silent())
            return _vectors(run, model, len(ids), inputs=token_ids(tokens))
        boundary = check_blocks(plm, use) if use.live else plm.n_blocks
        made = _encoded(place, dataset, plm, cache, boundary, model.items.in_training.device, progress)
        if use.live:
            return _vectors(run, model, len(ids), inputs=cached_states(made))
        return _vectors(run, model, len(ids), constant=pooled_vectors(made, run.config.cached.pooling_method))


def _dataset(place: Workspace, ids: pa.Array, texts: pa.Array) -> Dataset:
    """The items as a data set that nobody took anything of."""
    folder = place.prepared("new-items")
    folder.mkdir(parents=True)
    write_items(folder, ids, texts, None, np.zeros(len(ids), np.int64))
    mark = fingerprint({"ids": ids.to_pylist(), "texts": texts.to_pylist()})
    marks = {"fingerprint": mark, "texts_fingerprint": mark, "files": checksums(folder)}
    return Dataset("new-items", folder, marks)


def _encoded(
    place: Workspace, dataset: Dataset, plm: Plm, cache: Cache, boundary: int, device: torch.device, progress: Progress
) -> Cache:
    """A cache of the new items like the run's own."""
    kept = cache.manifest
    compute = PreinferOptions(precision=kept["precision"], dtype=kept["dtype"])
    where = DeviceOptions(accelerator="cpu") if device.type == "cpu" else DeviceOptions(devices=(device.index or 0,))
    devices, alone = resolve_devices(where), Node(0, 1)
    job = new_job(place, dataset, plm, kept["tokenized_len"], boundary, compute, devices, alone, Silent())
    progress.say(f"Encoding {counted(dataset.n_items, 'new item')} with {plm.name}, as the run's own were.")
    run_job(job, progress)
    return job.wanted


@torch.inference_mode()
def _vectors(
    run: Run, model: Recommender, n: int, constant: Tensor | None = None, inputs: ItemInputs | None = None
) -> Tensor:
    """The text's part of the model's item vectors, for other texts. [n, H]"""
    options = run.config.model.model_copy(update={"input_type": "text"})
    device = model.items.in_training.device
    mean_last = constant is not None and run.config.cached.pooling_method == "mean_last"
    never = torch.zeros(n, dtype=torch.bool)
    layers = ItemVectors(options, never, constant, model.items.plm, inputs, mean_last).to(device).eval()
    state = {name: tensor for name, tensor in model.items.state_dict().items() if not name.startswith("table.")}
    layers.load_state_dict(state)
    vectors: Tensor = layers()
    return vectors
