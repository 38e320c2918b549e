"""What inspect tells, on a workspace with one of each."""

import json
import shutil
from pathlib import Path
from typing import ClassVar

import pytest

from plmrs.cli import main
from plmrs.config import EvaluateConfig, InspectConfig, PrepareConfig, TrainConfig
from plmrs.errors import UserError
from plmrs.evaluate.command import evaluate
from plmrs.inspect.command import inspect
from plmrs.prepare.command import prepare
from plmrs.report import Silent, Table
from plmrs.train.command import train


@pytest.fixture(scope="module")
def places(tmp_path_factory, tiny_opt: Path) -> dict[str, Path]:
    """A workspace with the data set `shop`, a cache of it, and a run."""
    folder = tmp_path_factory.mktemp("inspected")
    where = {"root": folder / "data", "runs": folder / "runs"}
    (folder / "items.csv").write_text("item_id,text\n" + "".join(f"0{i},the river number {i}\n" for i in range(30)))
    rows = [f"u{user},0{(user + 3 * step) % 30},{step}" for user in range(12) for step in range(6)]
    (folder / "clicks.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    tables = {"items": folder / "items.csv", "interactions": folder / "clicks.csv"}
    prepare("shop", PrepareConfig.from_flat({**where, **tables}), Silent())
    options = {"plm_name": str(tiny_opt), "max_epochs": 1, "sasrec_hidden_size": 8, "accelerator": "cpu", "lr": 0.01}
    train(TrainConfig.from_flat({**where, **options}, {"lr": "flag"}), Silent())
    return where


def tables(places: dict[str, Path], *what: str, **options: object) -> list[Table]:
    return inspect(what, InspectConfig.from_flat({**places, **options}), Silent())


def titled(found: list[Table], title: str) -> Table:
    return next(table for table in found if table.title.startswith(title))


def facts(table: Table) -> dict[str, object]:
    return {str(row[0]): row[1] for row in table.rows}


def test_without_an_argument_it_lists_what_there_is(places):
    prepared, cached, trained = tables(places)
    assert prepared.rows[0][:5] == ["shop", 12, 30, 72, "leave_one_out"]
    assert cached.rows[0][0] == "shop"
    assert cached.rows[0][1:3] == ["tiny-opt", "final"]
    assert cached.rows[0][4:6] == [30, "complete"]
    assert trained.rows[0][0] == "shop-text-tiny-opt"
    assert trained.rows[0][4] == "1 of 1"


def test_an_empty_workspace_has_no_tables(tmp_path):
    assert inspect([], InspectConfig.from_flat({"root": tmp_path / "a", "runs": tmp_path / "b"}), Silent()) == []


def test_a_data_set_by_name_and_by_path(places):
    told = tables(places, "shop")
    assert facts(told[0])["users"] == 12
    assert [table.title.split()[0] for table in told] == ["Data", "Quantiles", "Tokens", "Split", "Times", "Samples:"]
    assert tables(places, str(places["root"] / "prepared" / "shop")) == told


def test_a_cache_by_name_and_by_path(places):
    (path,) = places["root"].glob("cache/shop/*/*.zarr")
    found = facts(tables(places, str(path))[0])
    assert found["data set"] == "shop"
    assert found["state"] == "complete"
    for name in (path.stem, path.name, path.stem.removeprefix("final-"), f"{path}/", f"file://{path}"):
        assert {**facts(tables(places, name)[0]), "MiB on disk": ""} == {**found, "MiB on disk": ""}


def test_a_run_by_name_and_by_path_with_the_origins_of_its_options(places):
    details = tables(places, "shop-text-tiny-opt")
    assert facts(details[0])["input"] == "text"
    origins = {row[0]: (row[1], row[2]) for row in titled(details, "Configuration").rows}
    assert origins["lr"] == ("0.01", "flag")
    assert origins["sasrec_n_layers"] == ("2", "default")
    assert {"python", "torch", "devices"} <= set(facts(titled(details, "Environment")))
    assert tables(places, str(places["runs"] / "shop-text-tiny-opt"))[-1] == details[-1]


def test_what_evaluate_found_of_a_run(places):
    assert titled(tables(places, "shop-text-tiny-opt"), "Metrics").rows[0][2] is None
    evaluate("shop-text-tiny-opt", EvaluateConfig.from_flat({**places, "accelerator": "cpu"}), Silent())
    try:
        found = titled(tables(places, "shop-text-tiny-opt"), "Metrics")
        assert all(0 <= low <= value <= high <= 1 for _, _, value, low, high in found.rows)
        assert any(note.startswith("candidates: all 30 items") for note in found.notes)
        groups = titled(tables(places, "shop-text-tiny-opt"), "Groups of users, test")
        assert [row[2] for row in groups.rows if row[0] == "all"] == [12]
    finally:
        (places["runs"] / "shop-text-tiny-opt" / "test_metrics.json").unlink()


def test_plot_has_nothing_to_draw_of_a_run(places):
    class Heard(Silent):
        said: ClassVar[list[str]] = []

        def warn(self, line: str) -> None:
            self.said.append(line)

    config = InspectConfig.from_flat({**places, "plot": True})
    assert inspect(["shop-text-tiny-opt"], config, Heard()) == tables(places, "shop-text-tiny-opt")
    assert Heard.said == ["--plot draws data sets only."]


def test_an_unknown_name_is_an_error_that_lists_what_there_is(places):
    with pytest.raises(UserError, match="no data set, cache or run shoe") as error:
        tables(places, "shoe")
    assert "shop" in error.value.remedy


@pytest.mark.parametrize(
    ("what", "near"),
    [("shpo", "Did you mean shop"), ("shop-text-tinyopt", "shop-text-tiny-opt"), ("minlim", "Did you mean minilm?")],
)
def test_an_unknown_name_gets_a_close_match(places, what, near):
    with pytest.raises(UserError, match=f"no data set, cache or run {what}") as error:
        tables(places, what)
    assert near in error.value.remedy


def test_two_caches_of_one_name_are_told_apart_by_their_paths(places):
    (path,) = places["root"].glob("cache/shop/*/*.zarr")
    other = shutil.copytree(path, places["root"] / "cache" / "copy" / path.parent.name / path.name)
    try:
        with pytest.raises(UserError, match=f"2 caches are called {path.stem}") as error:
            tables(places, path.stem)
        assert str(other) in error.value.remedy
        assert str(other) in tables(places, str(other))[0].notes[0]
    finally:
        shutil.rmtree(places["root"] / "cache" / "copy")


@pytest.mark.parametrize("flag", ["plot", "verify", "repair"])
def test_what_is_done_to_one_thing_needs_its_name(places, flag):
    with pytest.raises(UserError, match=f"--{flag} .*: which one?"):
        inspect([], InspectConfig.from_flat({**places, flag: True}), Silent())


@pytest.mark.parametrize("what", ["shop", "shop-text-tiny-opt"])
def test_what_is_done_to_caches_is_refused_elsewhere(places, what):
    with pytest.raises(UserError, match=f"--repair is for caches; {what} is a"):
        inspect([what], InspectConfig.from_flat({**places, "repair": True}), Silent())


def test_the_path_of_a_cache_that_is_absent(places):
    with pytest.raises(UserError, match=r"no cache at .*absent"):
        tables(places, str(places["root"] / "absent.zarr"))


def test_a_damaged_thing_hides_no_other(places):
    shop = places["root"] / "prepared" / "shop"
    cut, shorter = shop.with_name("cut"), shop.with_name("shorter")
    cut.mkdir()
    (cut / "manifest.json").write_text('{"format": 1,')
    shutil.copytree(shop, shorter)
    (shorter / "histories.feather").write_bytes((shop / "histories.feather").read_bytes()[:-1])
    try:
        assert [row[0] for row in tables(places)[0].rows] == ["shop"]
    finally:
        shutil.rmtree(cut)
        shutil.rmtree(shorter)


def test_a_damaged_manifest_is_one_line(places, tmp_path):
    folder = tmp_path / "data" / "prepared" / "cut"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"format": 1,')
    with pytest.raises(UserError, match="is damaged"):
        inspect(["cut"], InspectConfig.from_flat({"root": tmp_path / "data", "runs": tmp_path / "runs"}), Silent())


def test_json_is_all_that_standard_output_gets(places, tiny_opt, capsys):
    where = ["--root", str(places["root"]), "--runs", str(places["runs"])]
    assert main(["inspect", "--json", "--sort", "data set", *where]) == 0
    found = {table["title"]: table for table in json.loads(capsys.readouterr().out)["tables"]}
    assert found["Prepared"]["rows"][0][:5] == ["shop", 12, 30, 72, "leave_one_out"]
    (path,) = places["root"].glob("cache/shop/*/*.zarr")
    assert main(["inspect", str(path), "--neighbours", "07", "--verify", "--json", *where]) == 0
    captured = capsys.readouterr()
    *_, near, _, _ = json.loads(captured.out)["tables"]
    assert near["title"].startswith("Nearest to 07")
    assert isinstance(near["rows"][0][1], float)
    # On the screen a name of a folder stands without those around it.
    assert found["Cached"]["rows"][0][1] == str(tiny_opt)
    assert "Verifying" in captured.err
    assert main(["inspect", "--json", "--root", "/nowhere", "--runs", "/nowhere"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"tables": []}
    assert "Nothing is prepared" in captured.err


def test_several_runs_are_named_on_the_command_line(places, capsys):
    where = ["--root", str(places["root"]), "--runs", str(places["runs"])]
    assert main(["inspect", "shop-text-tiny-opt", "shop", *where]) == 2
    assert "Only runs are compared; shop is none." in capsys.readouterr().err
