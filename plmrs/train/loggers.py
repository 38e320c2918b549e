"""Where the curves go: TensorBoard in the run's folder, and Weights & Biases or MLflow beside it."""

import os
from importlib.util import find_spec
from pathlib import Path

from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from plmrs.config import TrainConfig
from plmrs.errors import UserError
from plmrs.model.run import MANIFEST
from plmrs.workspace import atomic_file, fingerprint, read_json

MLFLOW_RUN = "mlflow_run"
"""File that keeps the id which MLflow gave the run, so that it goes on when training does."""

REMEDIES = {
    "wandb": "Log in with `wandb login`, or set WANDB_MODE=offline.",
    "mlflow": "MLFLOW_TRACKING_URI says where curves go; without it, mlflow.db in the folder of runs.",
}


def check_loggers(names: tuple[str, ...]) -> None:
    """Refuse what is not installed.

    Raises:
        UserError: it is not.
    """
    for name in names:
        if find_spec(name) is None:
            raise UserError(f"--log-to {name}: {name} is not installed.", f"Install it: pip install 'plmrs[{name}]'")


def new_loggers(folder: Path, config: TrainConfig) -> list[Logger]:
    """TensorBoard's logger and those that `--log-to` names; a run that goes on, goes on there too.

    Raises:
        UserError: one of them cannot start.
    """
    loggers: list[Logger] = [TensorBoardLogger(folder, name="tensorboard", version="")]
    for name in config.trainer.log_to:
        try:
            loggers.append(_wandb(folder, config) if name == "wandb" else _mlflow(folder, config))
        except Exception as error:  # of any kind: settings, network, the account
            said = (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0].rstrip(".")
            remedy = f"{REMEDIES[name]} Then: plmrs train --resume {folder.name}"
            raise UserError(f"--log-to {name}: {said}.", remedy) from error
    return loggers


def _wandb(folder: Path, config: TrainConfig) -> Logger:
    from pytorch_lightning.loggers import WandbLogger

    # The same folder made at the same time is the same run.
    made = fingerprint({"name": folder.name, "created": read_json(folder / MANIFEST)["created"]})
    project = os.environ.get("WANDB_PROJECT", "plmrs")
    logger = WandbLogger(name=folder.name, project=project, id=made, save_dir=folder)
    logger.log_hyperparams(config.flat())
    return logger


def _mlflow(folder: Path, config: TrainConfig) -> Logger:
    from pytorch_lightning.loggers import MLFlowLogger

    kept, runs = folder / MLFLOW_RUN, folder.absolute().parent
    known = kept.read_text(encoding="utf-8").strip() if kept.is_file() else None
    logger = MLFlowLogger(
        os.environ.get("MLFLOW_EXPERIMENT_NAME", "plmrs"),
        folder.name,
        os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{runs / 'mlflow.db'}"),
        artifact_location=str(runs / "mlruns"),
        run_id=known,
    )
    if known is None:  # MLflow refuses to have a parameter changed
        logger.log_hyperparams(config.flat())
        _keep(kept, str(logger.run_id))
    return logger


@rank_zero_only
def _keep(path: Path, run: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(run, encoding="utf-8")
