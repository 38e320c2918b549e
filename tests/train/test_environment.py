"""What a run's manifest says it was made with."""

import platform

import torch
import transformers

from plmrs.devices import Devices
from plmrs.train.environment import environment


def test_versions_and_devices() -> None:
    found = environment(Devices("cpu", [0, 1]))
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__
    assert found["transformers"] == transformers.__version__
    assert found["devices"] == f"cpu (processes: 2, threads of each: {torch.get_num_threads()})"
