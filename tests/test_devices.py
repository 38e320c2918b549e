"""Device ids against what a machine has; torch is a stand-in that says how many GPUs there are."""

import sys
from types import SimpleNamespace

import pytest

from plmrs.config import DeviceOptions
from plmrs.devices import resolve_devices
from plmrs.errors import UserError


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch):
    def give(count: int) -> None:
        cuda = SimpleNamespace(is_available=lambda: count > 0, device_count=lambda: count)
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))

    return give


def resolve(accelerator: str = "auto", devices: object = None):
    return resolve_devices(DeviceOptions(accelerator=accelerator, devices=devices))


def test_auto_takes_the_first_gpu_or_else_the_cpu(gpus) -> None:
    gpus(2)
    assert resolve() == ("gpu", [0])
    gpus(0)
    assert resolve() == ("cpu", [0])
    assert resolve(devices="0") == ("cpu", [0])


def test_ids_are_ids_not_a_count(gpus) -> None:
    gpus(4)
    assert resolve(devices="2") == ("gpu", [2])
    assert resolve("gpu", "1 3") == ("gpu", [1, 3])


@pytest.mark.parametrize("accelerator", ["auto", "gpu"])
def test_an_absent_gpu_is_named_with_those_that_exist(gpus, accelerator: str) -> None:
    gpus(2)
    with pytest.raises(UserError, match="there is no GPU 3; this machine has GPUs 0, 1"):
        resolve(accelerator, "0 3")
    gpus(1)
    with pytest.raises(UserError, match="there is no GPU 1; this machine has GPU 0"):
        resolve(accelerator, "1")


def test_without_a_gpu_the_cpu_is_offered(gpus) -> None:
    gpus(0)
    with pytest.raises(UserError) as error:
        resolve("gpu")
    assert "no GPU" in error.value.message
    assert "--accelerator cpu" in error.value.remedy


def test_ids_without_a_gpu_need_the_cpu_chosen(gpus) -> None:
    gpus(0)
    with pytest.raises(UserError, match="there is no device 1; this machine has device 0, the CPU") as error:
        resolve(devices="0 1")
    assert "--accelerator cpu --devices 0 1" in error.value.remedy


def test_on_the_cpu_ids_are_processes_and_torch_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it would fail
    assert resolve("cpu", "0 1") == ("cpu", [0, 1])
    assert resolve("cpu") == ("cpu", [0])


def test_a_device_is_named_once() -> None:
    with pytest.raises(UserError, match="device 1 twice"):
        resolve("cpu", "0 1 1")
