"""What a run is made with: versions, and the devices."""

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from plmrs.devices import Devices

PACKAGES = ("torch", "transformers", "pytorch-lightning", "numpy")


def environment(devices: Devices) -> dict[str, str]:
    """Versions of Python and of what decides numbers, the system, and the devices that are used."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # It was put on the path by hand.
            continue
    found["torch"] = str(torch.__version__)  # Names the build, CUDA or not, also where the package's version does not.
    return {**found, "system": f"{platform.system()} {platform.machine()}", "devices": _told(devices)}


def _told(devices: Devices) -> str:
    """The devices in words: `2 × NVIDIA H100`, or `cpu (processes: 1, threads of each: 2)`."""
    if devices.accelerator == "cpu":
        return f"cpu (processes: {len(devices.ids)}, threads of each: {torch.get_num_threads()})"
    names = [torch.cuda.get_device_name(device) for device in devices.ids]
    return ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
