"""Curves for TensorBoard, Weights & Biases and MLflow."""

import sys
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
from pytorch_lightning.loggers import mlflow as lightning_mlflow
from pytorch_lightning.loggers import wandb as lightning_wandb
from tiny import TINY

from plmrs.errors import UserError
from plmrs.train import callbacks, loggers

OPTIONS = {**TINY, "input_type": "id", "windows": "last", "max_epochs": 1, "batch_size": 8, "lr": 0.01}


@pytest.fixture
def trained(training):
    """Train with some options."""
    return partial(training, OPTIONS)


@pytest.fixture
def package(monkeypatch):
    """Have a package that holds these things installed."""

    def put(name: str, **content) -> None:
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)

    return put


class FakeWandb:
    """As much of wandb as Lightning's logger talks to."""

    def __init__(self):
        self.begun, self.logged, self.settings = [], [], {}
        self.config = SimpleNamespace(update=lambda values, **_: self.settings.update(values))

    def init(self, **options):
        self.begun.append(options)
        return self

    def log(self, values, **_):
        self.logged.append(values)


@pytest.fixture
def wandb(package, monkeypatch):
    fake = FakeWandb()
    package("wandb", init=fake.init, run=None)
    package("wandb.sdk")
    package("wandb.sdk.lib", RunDisabled=type("RunDisabled", (), {}))
    package("wandb.wandb_run", Run=type("Run", (), {}))
    monkeypatch.setattr(lightning_wandb, "_WANDB_AVAILABLE", True)
    return fake


class FakeMlflow:
    """As much of MLflow's client as Lightning's logger talks to."""

    def __init__(self):
        self.made, self.params, self.metrics, self.places = [], {}, [], []

    def client(self, place):
        self.places.append(place)
        return self

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id="1", lifecycle_stage="active", name=name)

    def create_run(self, experiment_id, tags):
        self.made.append(tags)
        return self.get_run("the-run")

    def get_run(self, run):
        assert run == "the-run"
        return SimpleNamespace(info=SimpleNamespace(run_id=run, experiment_id="1"))

    def log_batch(self, run_id, params=(), metrics=()):
        self.params.update({each.key: each.value for each in params})
        self.metrics += [(each.key, each.step) for each in metrics]

    def set_terminated(self, run, status):
        return None


@pytest.fixture
def mlflow(package, monkeypatch):
    fake = FakeMlflow()
    package("mlflow", set_tracking_uri=lambda place: None)
    package("mlflow.tracking", MlflowClient=fake.client, context=SimpleNamespace())
    package("mlflow.tracking.context", registry=SimpleNamespace(resolve_tags=lambda tags: tags))
    package("mlflow.entities", Param=SimpleNamespace, Metric=SimpleNamespace)
    package("mlflow.utils")
    package("mlflow.utils.mlflow_tags", MLFLOW_RUN_NAME="name")
    monkeypatch.setattr(lightning_mlflow, "_MLFLOW_AVAILABLE", True)
    monkeypatch.setattr(lightning_mlflow, "_get_resolve_tags", lambda: lambda tags: tags)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return fake


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_package_that_is_missing_is_named_before_anything_is_made(trained, tmp_path, monkeypatch, name):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"--log-to {name}: {name} is not installed") as caught:
        trained(log_to=name)
    assert caught.value.remedy == f"Install it: pip install 'plmrs[{name}]'"
    assert not (tmp_path / "runs").exists()


def test_wandb_gets_options_and_curves_and_goes_on_with_the_run(trained, tmp_path, wandb):
    trained(name="mine", log_to="wandb")
    begun = wandb.begun[0]
    assert (begun["name"], begun["project"], begun["dir"]) == ("mine", "plmrs", str(tmp_path / "runs" / "mine"))
    assert wandb.settings["sasrec_hidden_size"] == 16
    seen = {name for values in wandb.logged for name in values}
    assert {"step_loss", "lr", "loss", "NDCG@10", "trainer/global_step"} <= seen
    trained(resume="mine", max_epochs=2)
    assert wandb.begun[1]["id"] == begun["id"]
    trained(name="other", log_to="wandb")
    assert wandb.begun[2]["id"] != begun["id"]


def test_mlflow_gets_options_and_curves_and_goes_on_with_the_run(trained, tmp_path, mlflow):
    trained(name="mine", log_to="mlflow")
    assert mlflow.places == [f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}"]
    assert mlflow.params["sasrec_hidden_size"] == "16"
    assert ("step_loss", 1) in mlflow.metrics
    assert "NDCG10" in {name for name, _ in mlflow.metrics}
    trained(resume="mine", max_epochs=2)
    assert mlflow.made == [{"name": "mine"}]
    assert max(step for name, step in mlflow.metrics if name == "step_loss") == 6


def test_a_logger_that_cannot_start_is_one_line(trained, wandb, monkeypatch):
    def refuse(**_):
        raise RuntimeError("api_key not configured (no-tty). call wandb.login(key=[your_api_key])\nMore.")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    with pytest.raises(UserError) as caught:
        trained(name="mine", log_to="wandb")
    assert caught.value.message == "--log-to wandb: api_key not configured (no-tty)."
    assert caught.value.remedy.endswith("WANDB_MODE=offline. Then: plmrs train --resume mine")


def test_tensorboard_has_the_loss_and_the_rate_of_steps(trained, tmp_path, monkeypatch, tiny_bert):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(callbacks, "LOG_STEPS", 2)
    plm = {"input_type": "text", "plm_name": str(tiny_bert), "plm_last_n_unfreeze": 1, "plm_lr": 0.002, "whitening": 8}
    trained(name="mine", warmup_steps=4, **plm)
    events = EventAccumulator(str(tmp_path / "runs" / "mine" / "tensorboard"))
    events.Reload()
    points = {
        name: [(each.step, each.value) for each in events.Scalars(name)] for name in ("step_loss", "lr", "plm_lr")
    }
    assert [step for step, _ in points["step_loss"]] == [1, 3, 5]  # of 5 steps of 8 users each
    assert [rate for _, rate in points["lr"]] == pytest.approx([0.0025, 0.0075, 0.01])
    assert [rate for _, rate in points["plm_lr"]] == pytest.approx([0.0005, 0.0015, 0.002])
    assert len(events.Scalars("NDCG@10")) == 1
