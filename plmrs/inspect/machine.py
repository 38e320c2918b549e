"""Where a PLM would run when `inspect` is asked of it."""

from plmrs.config import DeviceOptions, InspectOptions
from plmrs.devices import Devices, resolve_devices
from plmrs.preinfer.memory import device_memory


def this_machine(options: InspectOptions) -> tuple[Devices, int]:
    """This machine's first device, and the bytes that a PLM may take there."""
    devices = resolve_devices(DeviceOptions())
    return devices, device_memory(devices) if options.max_memory is None else int(options.max_memory)
