"""The folder of a training: a new one, or that of the run it continues."""

from pathlib import Path
from typing import Any

from torch import Tensor

from plmrs.cache.store import Cache
from plmrs.config import TrainConfig
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.model.run import METRICS, WEIGHTS, Run, open_run, run_names
from plmrs.model.source import PlmSource
from plmrs.model.weights import are_in
from plmrs.report import Progress

MAY_CHANGE = {
    "max_epochs", "early_stop_patience", "resume", "accelerator", "devices", "root", "runs", "num_workers", "log_to",
    "dry_run",
}  # fmt: skip
"""Options that may be given anew when a run is continued."""


def continued(config: TrainConfig, run: Run) -> TrainConfig:
    """The configuration of the run to continue, with what may change taken from the command line.

    Raises:
        UserError: an option that decides the result is given another value than the run has.
    """
    given = {key for key, origin in config.origins.items() if origin != "default"}
    now, before = config.flat(), run.config.flat()
    for key in sorted(given - MAY_CHANGE):
        if now[key] != before[key]:
            flag = "--" + key.replace("_", "-")
            raise UserError(
                f"Run {run.name} was begun with {flag} {before[key]}; it cannot go on with {now[key]}.",
                f"Leave {flag} out, or begin another run.",
            )
    values = before | {key: now[key] for key in given & MAY_CHANGE} | {"root": now["root"], "runs": now["runs"]}
    return TrainConfig.from_flat(values, {**run.config.origins, **{key: config.origins[key] for key in given}})


def run_to_continue(config: TrainConfig, name: str) -> Run | None:
    """The run that `--resume` means; None where `auto` finds none to continue.

    Args:
        config: The options; `auto` takes the last unfinished run that has the same, but for those that may change.
        name: What a new run would be called.

    Raises:
        UserError: there is no run of the name that is given.
    """
    wanted, workspace = config.trainer.resume, config.workspace.open()
    if wanted is None:
        return None
    if wanted != "auto":
        return open_run(workspace, None if wanted == "last" else wanted)
    same = _decisive(config)
    for known in run_names(workspace):
        numbered = known == name or (known.startswith(f"{name}-") and known.removeprefix(f"{name}-").isdigit())
        if numbered and not (workspace.run(known) / METRICS).is_file():
            run = open_run(workspace, known)
            if _decisive(run.config) == same:
                return run
    return None


def _decisive(config: TrainConfig) -> dict[str, Any]:
    return {key: value for key, value in config.flat().items() if key not in MAY_CHANGE | {"name"}}


def resolved(config: TrainConfig, dataset: Dataset, source: PlmSource | None) -> TrainConfig:
    """The configuration with the data set and PLM that were last when it ran, so that it means the same later on."""
    last: dict[str, Any] = {"dataset": dataset.name}
    if source is not None:
        last["plm_name"] = plm_name(source)
    values = config.flat()
    last = {key: value for key, value in last.items() if values[key] is None}
    return TrainConfig.from_flat({**values, **last}, {**config.origins, **dict.fromkeys(last, "the last one")})


def plm_name(source: PlmSource) -> str:
    """The name of the PLM a model uses."""
    if source.plm is not None:
        return source.plm.name
    assert source.cache is not None
    return source.cache.plm


def base_name(config: TrainConfig, dataset: Dataset, source: PlmSource | None) -> str:
    """What a run is called: the name that was given, or one from data set, input and PLM."""
    if config.trainer.name is not None:
        return config.trainer.name
    parts = [dataset.name, config.model.input_type.replace("+", "-")]
    if source is not None:
        parts.append(Path(plm_name(source)).name)
        trained = source.use.trained
        parts += [] if not trained else ["whole"] if trained < 0 else [f"top{trained}"]
        parts += ["prompt"] if source.use.prompted else []
    return "-".join(parts)


def new_folder(config: TrainConfig, name: str) -> Path:
    """A folder no run has; a name that is taken gets a number.

    Raises:
        UserError: the name was given on the command line, and a run has it.
    """
    runs = config.workspace.open()
    # A run that is repeated from its configuration gets a number; who names one on the command line means that one.
    meant = config.origins.get("name") == "flag" and config.trainer.resume != "auto"
    if config.trainer.name is not None and meant and runs.run(name).exists():
        raise UserError(
            f"There is a run {name} already.", f"Continue it with --resume {name}, or choose another --name."
        )
    return next(path for n in range(1, 1_000_000) if not (path := runs.run(name if n == 1 else f"{name}-{n}")).exists())


def forget_evaluations(folder: Path, weights: dict[str, Tensor], progress: Progress) -> None:
    """Remove what evaluations found of a run's weights, before a training that went on replaces them by others."""
    found = sorted(folder.glob("*_metrics.json"))
    if not found or are_in(folder / WEIGHTS, weights):
        return
    for path in found:
        path.unlink()
    names = " and ".join(path.name for path in found)
    progress.say(f"Removed {names} of the weights before. Again: plmrs evaluate {folder.name}")


def facts(
    dataset: Dataset,
    source: PlmSource | None,
    trained: dict[str, int],
    frozen: dict[str, int],
    environment: dict[str, str],
) -> dict[str, Any]:
    """What the run's manifest says it is trained on and with; `trained` and `frozen` count parameters by part."""
    found: dict[str, Any] = {
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "plm": None,
        "plm_identity": None,
        "cache": None,
        "parameters": trained,
        "frozen": frozen,
        "environment": environment,
    }
    if source is not None:
        cache: Cache | None = source.cache
        found["plm"] = plm_name(source)
        if source.plm is not None:
            found["plm_identity"] = source.plm.identity
        if cache is not None:
            found["plm_identity"] = found["plm_identity"] or cache.manifest["plm_identity"]
            made_with = {key: cache.manifest[key] for key in ("precision", "dtype", "tokenized_len", "keeps_tokens")}
            found["cache"] = {"path": str(cache.place), "fingerprint": cache.fingerprint, **made_with}
    return found
