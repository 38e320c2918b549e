"""Runs that are evaluated together."""

from collections.abc import Sequence

import torch

from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.evaluate.methods import COSINE, KNN_DECAYED, KNN_LAST, POPULARITY, Method, cosine_method, model_method
from plmrs.model.load import load_run
from plmrs.model.run import Run
from plmrs.report import Progress
from plmrs.workspace import Workspace


def named(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by the names of their rows: what it is where there is one, else their own names.

    Raises:
        UserError: one is named twice, or two were trained on different data sets.
    """
    if len(runs) == 1:
        return {row_name(runs[0]): runs[0]}
    weights = [run.weights.resolve() for run in runs]
    twice = next((run.name for run in runs if weights.count(run.weights.resolve()) > 1), None)
    if twice is not None:
        raise UserError(f"Run {twice} is named twice.", "Name each run once.")
    first, *others = runs
    for other in others:
        facts = [(run.manifest["dataset"], run.manifest["dataset_fingerprint"]) for run in (first, other)]
        if facts[0] != facts[1]:
            raise UserError(
                f"Runs {first.name} and {other.name} were trained on different data sets"
                f" ({' and '.join(f'{name} {fingerprint}' for name, fingerprint in facts)}).",
                "Numbers of different data sets are not to be compared: evaluate each run by itself.",
            )
    return dict(zip(_row_names(runs), runs, strict=True))


def _row_names(runs: Sequence[Run]) -> list[str]:
    """The runs' names, made longer where two are alike: several checkpoints of one, or runs of several folders."""
    names = [run.name for run in runs]
    for longer in ([f"{run.name} {run.weights.name}" for run in runs], [str(run.weights) for run in runs]):
        names = [name if names.count(name) == 1 else more for name, more in zip(names, longer, strict=True)]
    # A run may be called as a row is that it is compared with.
    others = {POPULARITY, KNN_LAST, KNN_DECAYED}
    return [f"run {name}" if name in others or name.startswith(COSINE) else name for name in names]


def row_name(run: Run) -> str:
    """What the row of a run is called that is evaluated alone."""
    return f"SASRec {run.config.model.input_type}"


def models_of(
    workspace: Workspace, runs: dict[str, Run], device: torch.device, progress: Progress
) -> tuple[dict[str, Method], dict[str, Method], Dataset]:
    """The models of runs, and the cosines of the PLMs that they read; and the runs' data set.

    Raises:
        UserError: what a run was trained on is gone or has changed.
    """
    models: dict[str, Method] = {}
    cosines: dict[tuple[str, ...], Method] = {}
    for name, run in runs.items():
        model, dataset, cache = load_run(workspace, run)
        progress.say(f"Run {run.name} ({run.weights.name}) on {dataset.name}.")
        models[name] = model_method(model, device)
        cosine = cosine_method(run, cache)
        if cosine is not None:
            cosines.setdefault(*cosine)
    # As much of what tells them apart is named as is needed.
    n = next(n for n in range(4) if len({about[:n] for about in cosines}) == len(cosines))
    by_name = {", ".join([COSINE, *about[:n]]): method for about, method in cosines.items()}
    return models, by_name, dataset
