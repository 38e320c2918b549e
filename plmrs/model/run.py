"""A run's folder: what was trained, on what, with which options, and where its weights lie.

config.yaml        every option with its effective value and where that came from; `--config` reads it back
manifest.json      the same options, by which a change of them is noticed; data set and cache by fingerprint, versions
metrics.csv        a row an epoch
tensorboard/       the same as curves, and the loss and rates of steps
checkpoints/       best.ckpt, last.ckpt
model.safetensors  the best epoch's weights, written when training has ended
metrics.json       the training's result, written last: a run that has it is finished
test_metrics.json  what `plmrs evaluate` found
"""

import csv
import datetime
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from plmrs import __version__
from plmrs.config import TrainConfig
from plmrs.errors import UserError
from plmrs.plain_yaml import YamlError, read_yaml
from plmrs.workspace import PARTIAL, Workspace, atomic_folder, check_format, newest_first, read_json, write_json

FORMAT = 2
TEST_FORMAT = 2
"""Of `test_metrics.json` and `val_metrics.json`."""
EPOCHS = "metrics.csv"
MANIFEST, CONFIG, METRICS, TEST_METRICS = "manifest.json", "config.yaml", "metrics.json", "test_metrics.json"
WEIGHTS, CHECKPOINTS, BEST, LAST = "model.safetensors", "checkpoints", "best.ckpt", "last.ckpt"


@dataclass(frozen=True)
class Run:
    """A run on disk.

    Attributes:
        folder: Its folder.
        manifest: What it was trained on and with.
        config: Its options.
        weights: The weights it is read with: the best epoch's unless another checkpoint was named.
    """

    folder: Path
    manifest: dict[str, Any]
    config: TrainConfig
    weights: Path

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def metrics(self) -> dict[str, Any] | None:
        """The result of its training; None while it is unfinished."""
        return self._read(METRICS)

    @property
    def test_metrics(self) -> dict[str, Any] | None:
        """What its last evaluation found; None before, or where another version of plmrs evaluated it."""
        found = self._read(TEST_METRICS)
        return found if found is not None and found.get("format") == TEST_FORMAT else None

    @property
    def is_evaluated_otherwise(self) -> bool:
        """Whether another version of plmrs evaluated it."""
        return self.test_metrics is None and (self.folder / TEST_METRICS).is_file()

    @property
    def epochs(self) -> dict[str, list[float]]:
        """The columns of its metrics.csv, a value an epoch; nothing before the first epoch has ended."""
        path = self.folder / EPOCHS
        if not path.is_file():
            return {}
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.folder / name
        return read_json(path) if path.is_file() else None


def create_run(folder: Path, config: TrainConfig, facts: dict[str, Any]) -> None:
    """Make a run's folder with its configuration and manifest; `facts` says what it is trained on."""
    lines = [f"# plmrs {__version__}; repeat with: plmrs train --config {CONFIG}"]
    options = config.flat()
    for section in config.sections().values():
        lines += ["", f"# {section.panel}"]
        lines += [f"{_line(key, options[key])}  # {config.origins.get(key, 'default')}" for key in section.model_fields]
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    told = {"options": options, "origins": dict(config.origins)}
    manifest = {"format": FORMAT, "plmrs": __version__, "created": now, **facts, **told}
    # A folder without a manifest would be no run, and keep its name from one.
    with atomic_folder(folder) as temporary:
        (temporary / CHECKPOINTS).mkdir()
        (temporary / CONFIG).write_text("\n".join(lines) + "\n", encoding="utf-8")
        write_json(temporary / MANIFEST, manifest)


def _line(key: str, value: Any) -> str:
    """An option as a line of YAML: `lr: 0.001`."""
    return yaml.safe_dump({key: value}, default_flow_style=True, allow_unicode=True, width=10_000).strip()[1:-1]


def run_names(workspace: Workspace) -> list[str]:
    """The runs, the one begun last first."""
    manifests = workspace.runs.glob(f"*/{MANIFEST}")
    return [path.parent.name for path in newest_first(manifests) if PARTIAL not in path.parent.name]


def open_run(workspace: Workspace, what: str | None = None) -> Run:
    """Open a run by its name, its folder, a folder of checkpoints or a checkpoint's file; None is the one begun last.

    Raises:
        UserError: nothing there is a run of this plmrs.
    """
    if what is None:
        return _last_run(workspace)
    named = [path for path in (Path(what), workspace.run(what)) if path.exists()]
    known = run_names(workspace)
    if not named:
        close = get_close_matches(what, known, 1)
        have = f"The runs below {workspace.runs} are: {', '.join(known[:8])}." if known else "Train one: `plmrs train`."
        raise UserError(f"There is no run or checkpoint {what}.", f"Did you mean {close[0]}?" if close else have)
    for path in named:
        folder = next((place for place in (path, *path.absolute().parents[:2]) if (place / MANIFEST).is_file()), None)
        if folder is not None and (folder / CONFIG).is_file():
            return _open(folder, path)
    raise UserError(
        f"{named[0]} belongs to no run: no {CONFIG} lies beside or above it.", "Name a run or its checkpoint."
    )


def _last_run(workspace: Workspace) -> Run:
    names = run_names(workspace)
    if not names:
        raise UserError(f"There is no run below {workspace.runs}.", "Train one: `plmrs train`.")
    return _open(workspace.run(names[0]), workspace.run(names[0]))


def _open(folder: Path, named: Path) -> Run:
    manifest = read_json(folder / MANIFEST)
    check_format(folder, manifest.get("format"), FORMAT, "train it again")
    try:
        options = read_yaml((folder / CONFIG).read_text(encoding="utf-8"))
        config = TrainConfig.from_flat(options, manifest.get("origins"))
    except ValidationError as error:
        first = error.errors()[0]
        key, rule = ".".join(map(str, first["loc"])), first["msg"]
        raise UserError(f"{folder / CONFIG} does not fit this plmrs: {key}: {rule}.", "Train the run again.") from None
    except (YamlError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0].strip(" :")
        raise UserError(f"{folder / CONFIG} is damaged: {reason}", "Train the run again.") from None
    _check_options(folder, manifest["options"], config.flat())
    # A folder that is named is the run's own, that of its checkpoints, or a checkpoint of several files.
    places = (named, named / WEIGHTS, named / BEST, folder / WEIGHTS, folder / CHECKPOINTS / BEST)
    weights = next((place for place in places if place.is_file()), folder / WEIGHTS)
    return Run(folder, manifest, config, weights)


def _check_options(folder: Path, begun: dict[str, Any], found: dict[str, Any]) -> None:
    """Refuse a run whose config.yaml says something else than it was begun with: its weights know nothing of that."""
    for key, value in begun.items():
        if found.get(key) != value:
            raise UserError(
                f"{folder / CONFIG} says {_line(key, found.get(key))}; the run was begun with {_line(key, value)}.",
                "Put it back; to train otherwise, give a changed copy to `plmrs train --config`.",
            )
