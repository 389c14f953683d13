"""On which device the Monte Carlo runs, and what a result says when it is not the one that was there to use."""

from __future__ import annotations

from dataclasses import replace

from protonqa.device import Device, cpu_label
from protonqa.errors import DeviceError
from protonqa.values import Finding, Severity


def transport_device(device: Device) -> Device:
    """The device that protons are transported on: a GPU only after its self-test, which takes some seconds once.

    Raises
    ------
    DeviceError
        A GPU was asked for by name and cannot be used; nothing is moved to the CPU behind the user's back.
    """
    if device.kind == "cpu":
        return device
    from protonqa.montecarlo.agreement import obstacle

    reason = obstacle()
    if not reason:
        return device
    if device.requested == device.kind:
        raise DeviceError(
            "the Monte Carlo does not run on this device",
            got=f"{device.kind}: {reason}",
            remedy="use --device cpu or --device auto",
        )
    return replace(device, kind="cpu", label=cpu_label(), note=f"the Monte Carlo runs on the CPU: {reason}")


def device_findings(asked: Device, used: Device) -> tuple[Finding, ...]:
    """What a result says whose protons did not run on the GPU that the rest of the program uses."""
    if asked.kind == used.kind:
        return ()
    return (Finding(severity=Severity.INFO, code="SIM-ON-CPU", text=f"{used.note[:1].upper()}{used.note[1:]}."),)
