"""`plmrs evaluate --plot`: the files, and what is drawn in them."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from plmrs.evaluate.report.plots import write_plots

NAMES = {
    "test_metrics", "test_by_popularity_of_the_target", "test_by_history_length", "test_by_category", "training",
    "items_by_category", "items_by_popularity",
}  # fmt: skip


@pytest.fixture
def figures(shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures by name, drawn again."""
    kept: list[Figure] = []

    def keep(figure: Figure, path: Path, **_: Any) -> None:
        kept.append(figure)
        Path(path).touch()

    monkeypatch.setattr(Figure, "savefig", keep)
    paths = write_plots(tmp_path, shown.content, "HR@10")
    return {path.stem: figure for path, figure in zip(paths, kept, strict=True)}


def test_pictures_lie_in_the_runs_folder(shown: Any) -> None:
    folder = shown.workspace.run("shop-id") / "plots"
    assert {path.name for path in folder.iterdir()} == {f"{name}.png" for name in NAMES}
    for path in folder.iterdir():
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", content[16:24]) == (1600, 900)


def test_bars_are_as_long_as_the_metric(shown: Any, figures: dict[str, Figure]) -> None:
    (axes,) = figures["test_metrics"].axes
    wanted = [shown.content["groups"][0]["metrics"][method]["HR@10"] for method in shown.content["methods"]]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(wanted)  # type: ignore[attr-defined]
    assert [text.get_text() for text in axes.texts] == [f"{value:.4f}" for value in wanted]


def test_marks_of_groups_stand_at_the_metric(shown: Any, figures: dict[str, Figure]) -> None:
    (axes,) = figures["test_by_history_length"].axes
    groups = [group for group in shown.content["groups"] if group["by"] == "history length"]
    drawn = {container.get_label(): container.lines[0].get_xdata() for container in axes.containers}  # type: ignore[attr-defined]
    for method in shown.content["methods"]:
        assert list(drawn[method]) == pytest.approx([group["metrics"][method]["HR@10"] for group in groups])
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"{group['group']}\n{group['users']:,} users" for group in groups]


def test_a_category_may_be_called_anything(shown: Any, tmp_path: Path) -> None:
    colours = [
        {**each, "groups": [f"${number}_$" for number, _ in enumerate(each["groups"])]}
        for each in shown.content["map"]["colours"]
    ]
    changed = {"groups": shown.content["groups"][:1], "map": {**shown.content["map"], "colours": colours}}
    paths = write_plots(tmp_path, {**shown.content, **changed}, "HR@10")
    assert [path.name for path in paths][-2:] == ["items_by_category.png", "items_by_popularity.png"]


def test_every_item_is_a_point(shown: Any, figures: dict[str, Figure]) -> None:
    (axes,) = figures["items_by_popularity"].axes
    points = np.concatenate([np.asarray(some.get_offsets()) for some in axes.collections])
    assert sorted(points[:, 0].tolist()) == sorted(shown.content["map"]["x"])


def test_curves_are_those_of_the_epochs(shown: Any, figures: dict[str, Figure]) -> None:
    loss, ndcg = figures["training"].axes
    series = shown.content["curves"][0]["series"]
    assert list(loss.lines[0].get_ydata()) == pytest.approx(series["loss"])  # type: ignore[arg-type]
    assert list(ndcg.lines[0].get_ydata()) == pytest.approx(series["NDCG@10"])  # type: ignore[arg-type]
