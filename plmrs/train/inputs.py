"""What a training reads: its data set and its PLM, prepared and cached first where they are not."""

from difflib import get_close_matches
from pathlib import Path

from plmrs.cache.find import find_cache, open_cache
from plmrs.cache.integrity import check_cache
from plmrs.cache.store import Cache
from plmrs.config import BoundaryOptions, DeviceOptions, PreinferOptions, PrepareConfig, TrainConfig
from plmrs.data.dataset import Dataset, open_dataset, prepared_names
from plmrs.errors import UserError
from plmrs.model.source import PlmSource, check_blocks, plm_use
from plmrs.plm.checkpoint import Plm, find_plm
from plmrs.plm.tokenizer import plm_tokens
from plmrs.preinfer.command import chosen_plm, make_cache
from plmrs.report import Progress


def training_dataset(config: TrainConfig, progress: Progress) -> Dataset:
    """The data set to train on; one that needs nothing but its name is prepared first, with default options.

    Raises:
        UserError: there is none of that name, or a dry run would have to prepare it.
    """
    workspace, name = config.workspace.open(), config.data.dataset
    prepared = prepared_names(workspace)
    if name is not None and name not in prepared:
        from plmrs.prepare.command import prepare  # pandas and every raw layout, which a training seldom needs
        from plmrs.prepare.reader import KNOWN

        if name not in KNOWN:
            near = get_close_matches(name, [*prepared, *KNOWN], 1)
            hint = f"Did you mean {near[0]}?" if near else "`plmrs inspect` lists what is prepared."
            raise UserError(f"There is no data set {name} below {workspace.root}.", hint)
        if config.trainer.dry_run:
            remedy = f"Prepare it first: `plmrs prepare {name}`."
            raise UserError(f"Data set {name} is not prepared, and a dry run writes nothing.", remedy)
        progress.say(f"Data set {name} is not prepared; preparing it first, as `plmrs prepare {name}` does.")
        prepare(name, PrepareConfig(workspace=config.workspace), progress)
    dataset = open_dataset(workspace, name)
    if name is None:
        progress.say(f"Training on {dataset.name}, the data set prepared last.")
    return dataset


def training_source(config: TrainConfig, dataset: Dataset, progress: Progress) -> PlmSource | None:
    """The PLM to train on, its cache made or completed first where it is missing; None for input type id.

    Raises:
        UserError: options contradict each other, there is no such PLM, or its cache does not fit.
    """
    use = plm_use(config)
    if use is None:
        return None
    if not use.live:
        cache = _cache(config, dataset, None, 0, progress)
        if cache is not None:
            return PlmSource(use, cache)
    plm = find_plm(chosen_plm(config.workspace.open(), dataset, config.plm.plm_name, progress), progress)
    boundary = check_blocks(plm, use)
    if not use.live:
        return PlmSource(use, None, plm)
    if use.reads == "states":
        return PlmSource(use, _cache(config, dataset, plm, boundary, progress), plm)
    tokens = None if config.trainer.dry_run else plm_tokens(dataset, plm, config.plm.tokenized_len, progress)
    return PlmSource(use, None, plm, tokens)


def _cache(config: TrainConfig, dataset: Dataset, plm: Plm | None, boundary: int, progress: Progress) -> Cache | None:
    """The cache of pooled vectors, or of the states behind the first `boundary` blocks of a PLM.

    None where it would have to be made and only a plan is asked for.
    """
    workspace, options = config.workspace.open(), config.plm
    if config.cached.cache is not None:
        place = config.cached.cache
        cache = open_cache(place if "://" in place else Path(place))
        # A cache says itself what it was made from; it is compared with what the user asked for besides.
        named = find_plm(options.plm_name, progress) if options.plm_name and plm is None else plm
        asked = config.origins.get("tokenized_len", "default") != "default"
        check_cache(cache, dataset, named, options.tokenized_len if asked else None)
        if plm is not None and (cache.blocks != boundary or "hidden" not in cache.arrays):
            raise UserError(
                f"The cache {cache.place} holds states behind block {cache.blocks}; with --plm-last-n-unfreeze"
                f" {config.boundary.plm_last_n_unfreeze} those behind block {boundary} are read.",
                "Leave --cache out, or give the option the number of blocks behind it.",
            )
        return cache
    name = options.plm_name if plm is None else plm.name
    where = "final" if plm is None else f"block{boundary}"
    given = config.pre_inference
    precision = None if given.pre_inference_precision == "auto" else given.pre_inference_precision
    found = find_cache(workspace, dataset, name, options.tokenized_len, precision, boundary=where)
    if found is not None:
        progress.say(f"{'Item vectors' if plm is None else 'States of the frozen blocks'}: the cache {found.path}.")
        return found
    if config.trainer.dry_run:
        return None
    what = "item vectors" if plm is None else f"states behind block {boundary}"
    progress.say(f"No cache of {what} fits data set {dataset.name}; making it first, as `plmrs preinfer` does.")
    compute = PreinferOptions(
        batch_size=given.pre_inference_batch_size,
        precision=given.pre_inference_precision,
        num_workers=given.pre_inference_num_workers,
    )
    device = config.device
    if given.pre_inference_devices is not None:
        device = DeviceOptions(accelerator=device.accelerator, devices=given.pre_inference_devices)
    last_n = BoundaryOptions(plm_last_n_unfreeze=config.boundary.plm_last_n_unfreeze)
    return make_cache(workspace, dataset, name, options.tokenized_len, compute, device, progress, last_n)
