"""A run's model card: a README.md that says what was trained on what, how well it does, and how it is loaded."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from plmrs.config import TrainConfig
from plmrs.data.dataset import Dataset, open_dataset
from plmrs.errors import UserError
from plmrs.model.run import Run
from plmrs.plm.checkpoint import find_same
from plmrs.workspace import Workspace, atomic_file

CARD = "README.md"
NOWHERE = {
    "root",
    "runs",
    "resume",
    "accelerator",
    "devices",
    "num_workers",
    "log_to",
    "name",
    "dry_run",
    "dataset",
    "plm_name",
}
"""Options that say where a run was made, or what the card says above."""


def write_card(workspace: Workspace, run: Run) -> Path:
    """Write a run's model card into its folder, over an older one; gives its path."""
    path = run.folder / CARD
    with atomic_file(path) as temporary:
        temporary.write_text(model_card(workspace, run), encoding="utf-8")
    return path


def model_card(workspace: Workspace, run: Run) -> str:
    """The card of a run as Markdown, with what is known of it by now."""
    parts = [
        _front(run),
        f"# {run.name}",
        f"SASRec over {_vectors(run)}, trained with plmrs {run.manifest['plmrs']}.",
        "## Data",
        _grid(["", ""], _data(workspace, run)),
        *_language_model(run),
        "## Options",
        "Those that are not plmrs' defaults; `config.yaml` has all.",
        _grid(["option", "value", "from"], _options(run)),
        *_metrics(run),
        "## Use",
        "It lies in a run's folder of plmrs; the data set it names has to be prepared, as its items' ids and texts are"
        " there. Frozen weights of a language model are not in the folder.",
        f'```python\nimport plmrs\n\nmodel = plmrs.load("{run.name}")\nmodel.recommend(users=["…"], k=10)\n```',
        f"```\nplmrs recommend {run.name} --output recommendations.parquet\nplmrs evaluate {run.name}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(run: Run) -> str:
    """What the Hugging Face hub reads of a card."""
    lines = ["library_name: plmrs", "tags: [recommendation, sequential-recommendation, sasrec]"]
    if str(run.manifest.get("plm_identity")).startswith("hub:"):
        lines.append(f"base_model: {run.manifest['plm']}")
    return "\n".join(["---", *lines, "---"])


def _vectors(run: Run) -> str:
    kinds = {
        "text": "the vectors that a language model gives of the items' texts",
        "id": "learned item vectors",
        "text+id": "the sum of learned item vectors and those that a language model gives of the items' texts",
    }
    return kinds[run.config.model.input_type]


def _data(workspace: Workspace, run: Run) -> list[Sequence[Any]]:
    name, mark = run.manifest["dataset"], run.manifest["dataset_fingerprint"]
    rows: list[Sequence[Any]] = [("data set", name), ("fingerprint", mark)]
    dataset: Dataset | None = None
    try:
        dataset = open_dataset(workspace, name)
    except UserError:
        return rows
    if dataset.fingerprint != mark:
        return rows
    rows += [(what, f"{count:,}") for what, count in _counts(dataset)]
    return [*rows, ("split", dataset.manifest["split"]["method"].replace("_", "-"))]


def _counts(dataset: Dataset) -> Iterable[tuple[str, int]]:
    yield "users", dataset.n_users
    yield "items", dataset.n_items
    yield "interactions", len(dataset.histories.items)


def _language_model(run: Run) -> list[str]:
    if run.manifest.get("plm") is None:
        return []
    name, identity = run.manifest["plm"], run.manifest["plm_identity"]
    try:
        licence = find_same(name, identity).licence or "not named"
    except UserError:
        licence = "not known: its files are gone"
    kind, _, revision = identity.rpartition("@") if identity.startswith("hub:") else ("", "", identity)
    boundary = run.config.boundary.plm_last_n_unfreeze
    named = {0: "frozen", 1: "its last block trained", -1: "all of it trained"}
    use = named.get(boundary, f"its last {boundary} blocks trained")
    rows = [
        ("name", name),
        ("licence", licence),
        ("revision" if kind else "identity", revision),
        ("use", use + (", with a trained prompt" if run.config.prompt.use_prompt else "")),
        ("pooling", run.config.cached.pooling_method),
        ("tokens of a text", f"at most {run.config.plm.tokenized_len}"),
    ]
    return ["## Language model", _grid(["", ""], rows)]


def _options(run: Run) -> list[Sequence[Any]]:
    values, defaults = run.config.flat(), TrainConfig().flat()
    chosen = [key for key in values if values[key] != defaults[key] and key not in NOWHERE]
    return [(f"`{key}`", values[key], run.config.origins.get(key, "")) for key in chosen]


def _metrics(run: Run) -> list[str]:
    trained, test = run.metrics, run.test_metrics
    parts: list[str] = []
    if trained is not None:
        found = {name: value for name, value in trained["validation"].items() if name != "loss"}
        seen = "masked, except the target" if run.config.protocol.mask_seen else "not masked"
        best = (
            f"Validation, all items ranked, seen ones {seen}, at epoch {trained['best_epoch']} of {trained['epochs']}:"
        )
        parts += ["## Metrics", best, _grid(list(found), [[f"{value:.4f}" for value in found.values()]])]
    if test is None or not test.get("groups"):
        return parts
    every = test["groups"][0]
    names = list(next(iter(every["metrics"].values())))
    rows = [[method, *(f"{row[name]:.4f}" for name in names)] for method, row in every["metrics"].items()]
    parts += [f"Test, over {every['users']:,} users:", _grid(["method", *names], rows)]
    intervals = every.get("intervals", {}).get(test["methods"][0], {})
    if intervals:
        shown = [f"{name} {low:.4f} to {high:.4f}" for name, (low, high) in intervals.items()]
        parts.append(f"95 % intervals of {test['methods'][0]}: {', '.join(shown)}.")
    measured = {"weights": Path(test["weights"]).name} if "weights" in test else {}
    parts.append("\n".join(f"- {key}: {value}" for key, value in {**measured, **test["protocol"]}.items()))
    return parts


def _grid(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown; nothing without rows."""
    lines = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in [columns, *rows]]
    if len(lines) == 1:
        return "None."
    lines.insert(1, ["---"] * len(columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
