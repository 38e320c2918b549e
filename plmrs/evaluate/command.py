"""plmrs evaluate: runs' full ranking of held-out targets, beside rows to compare with, the protocol beneath."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plmrs import __version__
from plmrs.config import EvaluateConfig
from plmrs.data.dataset import Dataset
from plmrs.data.splits import HeldOut, split_of, training_counts
from plmrs.devices import resolve_devices
from plmrs.errors import UserError
from plmrs.evaluate.candidates import Candidates, candidates_of
from plmrs.evaluate.groups import groups_of
from plmrs.evaluate.lists import list_metrics
from plmrs.evaluate.measure import measured, of_methods
from plmrs.evaluate.methods import Method, baselines
from plmrs.evaluate.output import output_paths, write_output, write_per_user
from plmrs.evaluate.protocol import protocol_of
from plmrs.evaluate.rank import Ranked, Task, rank, rank_in_processes
from plmrs.evaluate.report.write import check_report, write_report
from plmrs.evaluate.runs import models_of, named, row_name
from plmrs.evaluate.significance import Pair, compare
from plmrs.evaluate.tables import tables_of
from plmrs.links import check_links
from plmrs.model.card import write_card
from plmrs.model.run import TEST_FORMAT, Run, open_run
from plmrs.report import Progress, Table
from plmrs.workspace import write_json

METRICS = "{}_metrics.json"


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation works on.

    Attributes:
        runs: By the name of their row.
        dataset: What all of them were trained on.
        counts: Interactions of each item in training. [items]
        users: Whose targets are ranked.
        candidates: What they are ranked among.
        protocol: What the numbers depend on.
    """

    runs: dict[str, Run]
    dataset: Dataset
    counts: NDArray[np.int64]
    users: HeldOut
    candidates: Candidates
    protocol: dict[str, str]


def evaluate(what: str | Sequence[str] | None, config: EvaluateConfig, progress: Progress) -> list[Table]:
    """Rank the target of every held-out user, by runs' models and by methods without training.

    Args:
        what: Runs by name or folder, or checkpoints by file or folder; none is the run begun last.
        config: Protocol, devices, files to write.
        progress: Where it tells what it does.

    Returns:
        Metrics of all users, of groups of them, of the lists, and where there are several runs how they differ.

    Raises:
        UserError: there is no such run, what it was trained on is gone or has changed, runs were trained on different
            data sets, or an option does not fit.
    """
    paths = output_paths(config.results)
    check_report(config.results)
    devices = [torch.device(name) for name in resolve_devices(config.device).names]
    workspace = config.workspace.open()
    wanted: Sequence[str | None] = [what] if isinstance(what, str) else list(what or []) or [None]
    runs = named([open_run(workspace, each) for each in wanted])
    for run in runs.values():
        check_links(run.folder)
    models, cosines, dataset = models_of(workspace, runs, devices[0], progress)
    evaluated = _evaluated(runs, dataset, config)
    methods = {**models, **baselines(split_of(dataset).train, evaluated.counts, cosines)}
    task = _task(evaluated, methods, config)
    ranked = _ranked(task, devices, progress)

    pairs = compare({name: ranked[name].ranks for name in runs}) if len(runs) > 1 else []
    content = _content(evaluated, ranked, pairs, config)
    for name, run in runs.items():
        _write_of_run(name, run, content)
        write_card(workspace, run)
    drawn = write_report(config.results, content, runs, dataset, evaluated.counts, task, devices[0])
    notes = [f"{key}: {value}" for key, value in evaluated.protocol.items()]
    if pairs:
        notes.append("p: two-sided randomisation test on each user's NDCG@10; Holm: corrected for the number of pairs")
    places = [str(run.folder / METRICS.format(config.ranking.split)) for run in runs.values()]
    places += [str(path) for path in paths] + ([config.results.per_user] if config.results.per_user else [])
    places += [str(path) for path in drawn]
    notes.append(f"written to {', '.join(dict.fromkeys(places))}")
    of_what = "Test" if config.ranking.split == "test" else "Validation"
    title = f"{of_what} metrics of {', '.join(run.name for run in runs.values())} on {dataset.name}"
    tables = tables_of(title, content, pairs, notes)
    for path in paths:
        write_output(path, content, tables)
    if config.results.per_user is not None:
        own = {name: ranked[name].ranks for name in runs}
        write_per_user(Path(config.results.per_user), own, evaluated.users, dataset)
    return tables


def _evaluated(runs: dict[str, Run], dataset: Dataset, config: EvaluateConfig) -> Evaluated:
    """Whose targets are ranked among what."""
    split = split_of(dataset)
    counts = training_counts(split.train, dataset.n_items)
    held_out = split.test if config.ranking.split == "test" else split.val
    candidates = candidates_of(config.ranking.candidates, dataset, counts)
    users = held_out
    if candidates.allowed is not None:
        users = held_out.take(np.flatnonzero(candidates.allowed[held_out.targets - 1]))
    if not len(users):
        raise UserError(
            f"--candidates {config.ranking.candidates}: the target of none of {len(held_out):,} users is among them.",
            "Name items that users took.",
        )
    protocol = protocol_of(config, dataset, split.rule, len(users), len(held_out), candidates.told)
    return Evaluated(runs, dataset, counts, users, candidates, protocol)


def _task(evaluated: Evaluated, methods: dict[str, Method], config: EvaluateConfig) -> Task:
    allowed = evaluated.candidates.allowed
    return Task(
        methods,
        evaluated.users,
        evaluated.dataset.n_items,
        config.protocol.mask_seen,
        None if allowed is None else ~allowed,
        min(max(config.protocol.topk_list), evaluated.dataset.n_items),
        int(config.ranking.memory),
    )


def _ranked(task: Task, devices: Sequence[torch.device], progress: Progress) -> dict[str, Ranked]:
    """Rank by every method, on one device or several."""
    label = f"Ranking by {len(task.methods)} methods"
    with progress.track(label, len(task.methods) * len(task.users), "ranks") as advance:
        if len(devices) > 1:
            return rank_in_processes(task, devices, advance)
        return rank(task, devices[0], advance)


def _content(
    evaluated: Evaluated, ranked: dict[str, Ranked], pairs: Sequence[Pair], config: EvaluateConfig
) -> dict[str, Any]:
    """All that was found, as `--output FILE.json` has it."""
    topk = sorted(set(config.protocol.topk_list))
    groups = groups_of(evaluated.users, evaluated.counts, evaluated.dataset)
    allowed = evaluated.candidates.allowed
    return {
        "format": TEST_FORMAT,
        "plmrs": __version__,
        "evaluated": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "split": config.ranking.split,
        "protocol": evaluated.protocol,
        "runs": {name: {"run": run.name, "weights": str(run.weights)} for name, run in evaluated.runs.items()},
        "methods": list(ranked),
        "groups": measured(groups, ranked, topk, config.ranking.bootstrap),
        "lists": {name: list_metrics(each.shown, evaluated.counts, allowed, topk[-1]) for name, each in ranked.items()},
        "significance": [
            {"runs": [p.first, p.second], "NDCG@10": p.difference, "p": p.p, "p_holm": p.adjusted} for p in pairs
        ],
    }


def _write_of_run(name: str, run: Run, content: dict[str, Any]) -> None:
    """Leave a run's part of what was found in its folder, as if it had been evaluated alone."""
    others = [each for each in content["methods"] if each not in content["runs"]]
    own = of_methods(content, {name: row_name(run), **{each: each for each in others}})
    kept = {key: value for key, value in own.items() if key not in {"format", "runs", "significance"}}
    path = run.folder / METRICS.format(content["split"])
    write_json(path, {"format": TEST_FORMAT, **content["runs"][name], **kept})
