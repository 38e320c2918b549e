"""Which devices a command computes on: ids are checked against what the machine has, before anything long starts."""

from typing import Literal, NamedTuple

from plmrs.config import DeviceOptions
from plmrs.errors import UserError


class Devices(NamedTuple):
    """Devices of one kind; on the CPU an id stands for a process."""

    accelerator: Literal["cpu", "gpu"]
    ids: list[int]

    @property
    def names(self) -> list[str]:
        """What PyTorch calls them."""
        return ["cpu" if self.accelerator == "cpu" else f"cuda:{i}" for i in self.ids]


def resolve_devices(device: DeviceOptions) -> Devices:
    """The devices that `--accelerator` and `--devices` mean on this machine: without ids, its first one.

    Raises:
        UserError: a device does not exist here, or is named twice.
    """
    ids = list(device.devices or (0,))
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise UserError(f"--devices names device {twice[0]} twice.", "Each device is named once, as in --devices 0 1.")
    if device.accelerator == "cpu":
        return Devices("cpu", ids)

    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count:
        absent = [i for i in ids if i >= count]
        if absent:
            gpus = "GPU 0" if count == 1 else f"GPUs {', '.join(map(str, range(count)))}"
            raise UserError(
                f"--devices: there is no GPU {absent[0]}; this machine has {gpus}.",
                "Ids are no count: --devices 2 is the third device.",
            )
        return Devices("gpu", ids)
    if device.accelerator == "gpu":
        raise UserError("--accelerator gpu: this machine has no GPU that PyTorch can use.", "Use --accelerator cpu.")
    if ids != [0]:
        absent = [i for i in ids if i > 0]
        raise UserError(
            f"--devices: there is no device {absent[0]}; this machine has device 0, the CPU, and no GPU.",
            "`--accelerator cpu --devices 0 1` starts two processes on the CPU.",
        )
    return Devices("cpu", ids)
