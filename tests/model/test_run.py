import pytest

from plmrs.config import TrainConfig
from plmrs.errors import UserError
from plmrs.model.run import create_run, open_run, run_names
from plmrs.workspace import Workspace


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    places = Workspace(tmp_path / "data", tmp_path / "runs")
    create_run(places.run("one"), TrainConfig.from_flat({"lr": 0.5}, {"lr": "flag"}), {"dataset": "d", "plm": None})
    return places


def test_a_run_reads_back_its_options_and_their_origins(workspace):
    run = open_run(workspace, "one")
    assert run.config.optimiser.lr == 0.5
    assert run.config.origins["lr"] == "flag"
    assert run.metrics is None
    assert run_names(workspace) == ["one"]
    assert open_run(workspace).name == "one"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lr: [1", "is damaged"),
        ("- lr", "is damaged"),
        ("lr: -1", "does not fit this plmrs: lr: Input should be greater"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_one_line(workspace, text, says):
    (workspace.run("one") / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=says) as error:
        open_run(workspace, "one")
    assert "\n" not in error.value.message


def test_a_configuration_that_was_changed_since_names_the_option(workspace):
    path = workspace.run("one") / "config.yaml"
    text = path.read_text()
    path.write_text("\n".join(line.split("  #")[0] for line in text.splitlines()))
    assert open_run(workspace, "one").config.optimiser.lr == 0.5  # remarks are nobody's options
    path.write_text(text.replace("lr: 0.5", "lr: 0.25"))
    with pytest.raises(UserError, match=r"config\.yaml says lr: 0\.25; the run was begun with lr: 0\.5\.$"):
        open_run(workspace, "one")
    path.write_text(text.replace("similarity: cosine", ""))  # what is left out has its default
    assert open_run(workspace, "one").config.model.similarity == "cosine"


def test_the_best_checkpoint_serves_until_the_weights_are_written(workspace):
    folder = workspace.run("one")
    (folder / "checkpoints" / "best.ckpt").write_bytes(b"")
    assert open_run(workspace, "one").weights.name == "best.ckpt"
    (folder / "model.safetensors").write_bytes(b"")
    assert open_run(workspace, "one").weights.name == "model.safetensors"
    assert open_run(workspace, str(folder / "checkpoints")).weights.name == "best.ckpt"


def test_without_runs_there_is_none_to_open(tmp_path):
    with pytest.raises(UserError, match="There is no run below"):
        open_run(Workspace(tmp_path / "data", tmp_path / "runs"))
