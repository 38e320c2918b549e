"""What a training reads: its data set and its cache, made first where they are missing."""

from difflib import get_close_matches

from plmrs.cache.integrity import check_cache
from plmrs.cache.store import Cache, find_cache, open_cache
from plmrs.config import PreinferOptions, PrepareConfig, TrainConfig
from plmrs.data.dataset import Dataset, open_dataset, prepared_names
from plmrs.errors import UserError
from plmrs.plm.checkpoint import find_plm
from plmrs.preinfer.command import make_cache
from plmrs.prepare.command import prepare
from plmrs.prepare.reader import KNOWN
from plmrs.report import Progress


def training_dataset(config: TrainConfig, progress: Progress) -> Dataset:
    """The data set to train on; one that needs nothing but its name is prepared first, with default options.

    Raises:
        UserError: there is none of that name.
    """
    workspace, name = config.workspace.open(), config.data.dataset
    prepared = prepared_names(workspace)
    if name is not None and name not in prepared:
        if name not in KNOWN:
            near = get_close_matches(name, [*prepared, *KNOWN], 1)
            hint = f"Did you mean {near[0]}?" if near else "`plmrs inspect` lists what is prepared."
            raise UserError(f"There is no data set {name}.", hint)
        progress.say(f"Data set {name} is not prepared; preparing it first, as `plmrs prepare {name}` does.")
        prepare(name, PrepareConfig(workspace=config.workspace), progress)
    dataset = open_dataset(workspace, name)
    if name is None:
        progress.say(f"Training on {dataset.name}, the data set prepared last.")
    return dataset


def training_cache(config: TrainConfig, dataset: Dataset, progress: Progress) -> Cache | None:
    """The cache of PLM vectors to train on, made or completed first where it is missing; None for input type id."""
    if config.model.input_type == "id":
        return None
    workspace, plm = config.workspace.open(), config.plm
    if config.cached.cache is not None:
        cache = open_cache(config.cached.cache)
        # A cache says itself what it was made from; it is compared with what the user asked for besides.
        named = find_plm(plm.plm_name, progress) if plm.plm_name else None
        asked = config.origins.get("tokenized_len", "default") != "default"
        check_cache(cache, dataset, named, plm.tokenized_len if asked else None)
        return cache
    found = find_cache(workspace, dataset, plm.plm_name, plm.tokenized_len)
    if found is not None:
        progress.say(f"Item vectors: the cache {found.path}.")
        return found
    progress.say(f"No cache of item vectors fits data set {dataset.name}; making it first, as `plmrs preinfer` does.")
    return make_cache(workspace, dataset, plm.plm_name, plm.tokenized_len, PreinferOptions(), config.device, progress)
