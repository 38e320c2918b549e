"""What `--report` and `--plot` ask for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plmrs.config import ResultOptions
from plmrs.data.dataset import Dataset
from plmrs.errors import UserError
from plmrs.evaluate.rank import Task
from plmrs.evaluate.report.content import page_content
from plmrs.evaluate.report.page import write_page
from plmrs.evaluate.report.plots import write_plots
from plmrs.evaluate.tables import headline
from plmrs.model.run import Run

PLOTS = "plots"
SUFFIXES = (".html", ".htm")


def check_report(results: ResultOptions) -> None:
    """Check the name of the page, before anything long starts.

    Raises:
        UserError: it is none of a page.
    """
    if results.report is not None and results.report.suffix not in SUFFIXES:
        raise UserError(f"--report {results.report} is written as HTML.", "Name a file that ends in .html.")


def write_report(
    results: ResultOptions,
    found: Mapping[str, Any],
    runs: Mapping[str, Run],
    dataset: Dataset,
    counts: NDArray[np.int64],
    task: Task,
    device: torch.device,
) -> list[Path]:
    """Write the page, and the plots into the folder of the first run, where they are asked for; and give the files.

    Args:
        results: What is asked for.
        found: What was found, as `--output FILE.json` has it.
        runs: By the name of their row.
        dataset: What they were trained on.
        counts: Interactions of each item in training. [items]
        task: What was ranked.
        device: Where the users' recommendations are computed.
    """
    if results.report is None and not results.plot:
        return []
    content = page_content(found, runs, dataset, counts, task, device)
    paths = []
    if results.report is not None:
        write_page(results.report, content)
        paths.append(results.report)
    if results.plot:
        first = next(iter(runs))
        metric = headline(list(found["groups"][0]["metrics"][first]))
        paths += write_plots(runs[first].folder / PLOTS, content, metric)
    return paths
