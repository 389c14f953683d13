"""Where the arithmetic runs: ``cpu``, ``cuda`` or ``auto``, resolved once and recorded in every result.

Nothing here imports torch or numba or creates a context on a GPU: the CUDA driver is only asked how many devices it
has. That the device computes correctly is shown by the self-test of ``protonqa doctor``, not here.
"""

from __future__ import annotations

import ctypes
import difflib
import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from protonqa.errors import DeviceError

DEVICE_NAMES = ("cpu", "cuda", "auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A resolved device.

    Parameters
    ----------
    kind : str
        ``cpu`` or ``cuda``; also the name torch knows it by.
    label : str
        Model name of the processor, as printed in reports.
    requested : str
        What the user asked for.
    note : str
        Why ``auto`` chose this device; empty where there was no choice.
    """

    kind: str
    label: str
    requested: str = ""
    note: str = ""


#: The processor, for callers that need a device before one was resolved.
CPU = Device(kind="cpu", label="CPU")


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaDriver:
    """What the CUDA driver library answers: names of the devices, or why there are none."""

    devices: tuple[str, ...] = ()
    version: str = ""
    reason: str = ""


def resolve_device(name: str = "auto") -> Device:
    """The device for a name, decided once per command.

    ``auto`` is CUDA where a driver answers with at least one device and the installed torch can use it, else the
    CPU; which of both, and why, stands in the answer. A device asked for by name is never replaced by another.

    Raises
    ------
    DeviceError
        Unknown name, or ``cuda`` asked for on a computer that cannot do it.
    """
    wanted = name.strip().lower()
    if wanted not in DEVICE_NAMES:
        near = difflib.get_close_matches(wanted, DEVICE_NAMES, n=1)
        raise DeviceError(
            "unknown device",
            got=repr(name[:40]),
            expected=", ".join(DEVICE_NAMES),
            remedy=f"did you mean {near[0]}?" if near else "",
        )
    if wanted == "cpu":
        return Device(kind="cpu", label=cpu_label(), requested=wanted)
    driver = cuda_driver()
    obstacle = driver.reason or ("" if torch_has_cuda() else "the installed torch is built without CUDA")
    if not obstacle:
        return Device(kind="cuda", label=driver.devices[0], requested=wanted, note="a CUDA driver answers")
    if wanted == "cuda":
        raise DeviceError(
            "no usable CUDA device",
            got=obstacle,
            expected="an NVIDIA GPU, its driver and a torch built for CUDA",
            remedy="use --device cpu or --device auto",
        )
    return Device(kind="cpu", label=cpu_label(), requested=wanted, note=obstacle)


@cache
def cuda_driver() -> CudaDriver:
    """Ask the CUDA driver library for its devices; no context is created and no memory is taken."""
    library = _load_cuda_library()
    if library is None:
        return CudaDriver(reason="no CUDA driver on this computer")
    if (status := library.cuInit(0)) != 0:
        return CudaDriver(reason=f"the CUDA driver does not start (status {status})")
    count = ctypes.c_int(0)
    if library.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value < 1:
        return CudaDriver(reason="the CUDA driver finds no device")
    version = ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(version))
    return CudaDriver(
        devices=tuple(_cuda_name(library, index) for index in range(count.value)),
        version=f"{version.value // 1000}.{version.value % 1000 // 10}",
    )


def _load_cuda_library() -> Any:
    names = {"win32": ("nvcuda.dll",), "darwin": ()}.get(sys.platform, ("libcuda.so.1", "libcuda.so"))
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _cuda_name(library: Any, index: int) -> str:
    handle = ctypes.c_int(0)
    text = ctypes.create_string_buffer(128)
    failed = library.cuDeviceGet(ctypes.byref(handle), index) or library.cuDeviceGetName(text, len(text), handle)
    return "CUDA device" if failed else text.value.decode("utf-8", "replace")


def torch_has_cuda() -> bool:
    """True when the installed torch ships its CUDA library. Looks at files; torch is not imported."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    folder = Path(spec.origin).parent / "lib"
    return any((folder / name).is_file() for name in ("libtorch_cuda.so", "torch_cuda.dll"))


@cache
def cpu_label() -> str:
    """Model name of the processor and the number of cores this process may use."""
    cores = usable_cores()
    return f"{_cpu_model()}, {cores} {'core' if cores == 1 else 'cores'}"


def usable_cores() -> int:
    """Cores this process may run on (affinity counts, hyper-threads count as cores)."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip().lower() in ("model name", "cpu model") and value.strip():
                return " ".join(value.split())
    except OSError:
        pass
    return platform.processor() or platform.machine() or "CPU"
