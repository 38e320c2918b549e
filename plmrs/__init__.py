"""plmrs: recommending with text, from raw logs to full-ranking metrics.

From Python a trained model takes three lines, the last of which gives a pandas DataFrame:

    import plmrs
    model = plmrs.load("demo-text-minilm")
    model.recommend(histories=[["n12", "n7"]])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from os import PathLike

    from plmrs.recommend.trained import TrainedModel

__version__ = "0.1.0"


def load(
    run: str | PathLike[str] | None = None,
    root: str | PathLike[str] | None = None,
    runs: str | PathLike[str] | None = None,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    device: int = 0,
) -> TrainedModel:
    """A trained model, ready to recommend.

    Args:
        run: A run's name or folder, or a checkpoint. Default: the run begun last.
        root: Folder of data and caches. Default: that of PLMRS_ROOT, else data.
        runs: Folder of runs. Default: that of PLMRS_RUNS, else runs.
        accelerator: Where it computes.
        device: Its number there.

    Raises:
        plmrs.errors.UserError: there is no such run, or what it was trained on is gone or has changed.
    """
    # Torch and pandas take seconds to import, and `plmrs --help` imports this module.
    import os

    from plmrs.config import RecommendConfig
    from plmrs.origins import configure
    from plmrs.recommend.trained import load_model

    given = {"root": root, "runs": runs, "accelerator": accelerator, "devices": (device,)}
    environment = {
        key: os.environ[f"PLMRS_{key.upper()}"] for key in ("root", "runs") if f"PLMRS_{key.upper()}" in os.environ
    }
    config = configure(RecommendConfig, {key: value for key, value in given.items() if value is not None}, environment)
    return load_model(None if run is None else str(run), config.workspace, config.device)
