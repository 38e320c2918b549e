"""A quick start: Lightning asks torchmetrics for two classes, and gets them without all the metrics.

Importing all of torchmetrics loads SciPy's signal processing and transformers as well, and takes a third of the time
from the command line to the first step.
"""

import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from logging import getLogger
from typing import Any

WANTED = {"Metric": "torchmetrics.metric", "MetricCollection": "torchmetrics.collections"}


def defer_torchmetrics() -> None:
    """Import torchmetrics when something else than `WANTED` is asked of it; call this before importing Lightning."""
    spec = find_spec("torchmetrics")
    if "torchmetrics" in sys.modules or spec is None or spec.loader is None:
        return
    loader, package = spec.loader, module_from_spec(spec)
    package.__dict__["__version__"] = version("torchmetrics")
    package.__dict__["_logger"] = getLogger("torchmetrics")

    def attribute(name: str) -> Any:
        if name in WANTED:
            # Its modules import one another in a circle, which only opens here.
            import_module("torchmetrics.utilities")
            return getattr(import_module(WANTED[name]), name)
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        if package.__dict__.pop("__getattr__", None) is not None:
            loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__getattr__"] = attribute
    sys.modules["torchmetrics"] = package
