"""On which device the Monte Carlo runs: its kernels are those of the CPU."""

from __future__ import annotations

from protonqa.device import Device, cpu_label
from protonqa.errors import DeviceError


def transport_device(device: Device) -> Device:
    """The device that protons are transported on.

    Raises
    ------
    DeviceError
        A GPU was asked for by name; nothing is moved to the CPU behind the user's back.
    """
    if device.kind == "cpu":
        return device
    if device.requested == device.kind:
        raise DeviceError(
            "the Monte Carlo does not run on this device",
            got=device.kind,
            expected="cpu",
            remedy="use --device cpu or --device auto",
        )
    return Device(
        kind="cpu", label=cpu_label(), requested=device.requested, note="the Monte Carlo runs on the CPU only"
    )
