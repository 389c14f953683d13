"""What this computer has: device self-test, libraries, write access, window toolkit, database, memory, cores."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import secrets
import sqlite3
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from protonqa import __version__
from protonqa.analyses.registry import describe, listed_analyses
from protonqa.analyses.self_test import compute_self_test
from protonqa.device import Device, cuda_driver, usable_cores
from protonqa.errors import ProtonQAError
from protonqa.tables import TABLES_VERSION, table_rows

REQUIRED = (
    "numpy",
    "scipy",
    "numba",
    "torch",
    "safetensors",
    "pydicom",
    "SimpleITK",
    "pydantic",
    "cyclopts",
    "rich",
    "ruamel.yaml",
    "matplotlib",
    "reportlab",
    "jinja2",
    "SQLAlchemy",
    "alembic",
    "platformdirs",
    "pyarrow",
)
#: Distribution -> what it is for.
OPTIONAL = {
    "PySide6-Essentials": "the window (extra gui)",
    "pyqtgraph": "the window (extra gui)",
    "numba-cuda": "Monte Carlo on a GPU (extra cuda)",
    "distributed": "a cluster (extra cluster)",
    "psycopg": "a results store on PostgreSQL (extra postgres)",
}
_LEAST_MEMORY_GIB = 4.0
_LEAST_FREE_GIB = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One thing looked at: ``ok``, ``missing`` (optional and absent), ``warning`` or ``failed``."""

    name: str
    state: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorReport:
    """All probes and the plain facts of the computer."""

    probes: tuple[Probe, ...]
    facts: dict[str, Any]

    @property
    def ok(self) -> bool:
        """True when nothing that protonqa needs has failed."""
        return all(probe.state != "failed" for probe in self.probes)

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        checks = [{"name": one.name, "state": one.state, "detail": one.detail} for one in self.probes]
        return {"ok": self.ok, **self.facts, "checks": checks}


def examine(device: Device, *, out: Path | None = None) -> DoctorReport:
    """Look at this computer.

    Parameters
    ----------
    device : Device
        The device to test; its outcome is compared with NumPy.
    out : Path or None
        A folder whose write access is proved besides the working and the temporary folder.
    """
    libraries = {name: _version(name) for name in REQUIRED}
    optional = {name: _version(name) for name in OPTIONAL}
    memory_gib = total_memory_gib()
    test = compute_self_test(device)
    probes = [
        Probe(name="python", state="ok", detail=platform.python_version()),
        Probe(name="device", state="ok", detail=f"{device.kind}: {device.label}" + _note(device)),
        Probe(name="device self-test", state="ok" if test.passed else "failed", detail=test.detail),
        *_cuda_probe(),
        montecarlo_probe(device),
        *(_library_probe(name, version, required=True) for name, version in libraries.items()),
        *(_library_probe(name, version, required=False) for name, version in optional.items()),
        _qt_probe(),
        _database_probe(),
        _store_probe(),
        _tables_probe(),
        _analyses_probe(),
        *_write_probes(out),
        _memory_probe(memory_gib),
        Probe(name="cores", state="ok", detail=f"{usable_cores()} usable of {os.cpu_count() or 1}"),
    ]
    facts = {
        "version": __version__,
        "tables": TABLES_VERSION,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "device": device.label,
        "device_kind": device.kind,
        "self_test_passed": test.passed,
        "self_test_relative_error": test.relative_error,
        "cores": usable_cores(),
        "memory_gib": None if memory_gib is None else round(memory_gib, 1),
        "libraries": libraries | optional,
    }
    return DoctorReport(probes=tuple(probes), facts=facts)


def _note(device: Device) -> str:
    return f" ({device.note})" if device.note else ""


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _library_probe(name: str, version: str | None, *, required: bool) -> Probe:
    if version is not None:
        return Probe(name=name, state="ok", detail=version)
    if required:
        return Probe(name=name, state="failed", detail="not installed; reinstall protonqa")
    return Probe(name=name, state="missing", detail=f"not installed; needed for {OPTIONAL[name]}")


def _cuda_probe() -> list[Probe]:
    driver = cuda_driver()
    if driver.reason:
        return [Probe(name="cuda driver", state="missing", detail=driver.reason)]
    return [Probe(name="cuda driver", state="ok", detail=f"{driver.version}, {', '.join(driver.devices)}")]


def montecarlo_probe(device: Device) -> Probe:
    """Whether the Monte Carlo counts on the GPU what it counts on the CPU; asked only where the GPU would be used."""
    name = "monte carlo self-test"
    if device.kind != "cuda":
        return Probe(name=name, state="missing", detail="no GPU in use; protons are transported on the CPU")
    from protonqa.montecarlo.agreement import obstacle

    reason = obstacle()
    if not reason:
        return Probe(name=name, state="ok", detail="the GPU follows the histories of the CPU")
    # Asked for by name, the GPU is needed; else the CPU takes its place and every result says so.
    return Probe(name=name, state="failed" if device.requested == "cuda" else "warning", detail=reason)


def _qt_probe() -> Probe:
    """Presence only: the library never imports Qt."""
    absent = [name for name in ("PySide6", "pyqtgraph") if find_spec(name) is None]
    if absent:
        return Probe(name="window", state="missing", detail=f"{', '.join(absent)} absent; pip install 'protonqa[gui]'")
    needs_display = sys.platform.startswith("linux")
    display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if needs_display and not display:
        return Probe(name="window", state="warning", detail="Qt is installed, but there is no display")
    return Probe(name="window", state="ok", detail="Qt is installed")


def _database_probe() -> Probe:
    """A round trip through SQLite in memory, and which drivers for a shared database are there."""
    try:
        connection = sqlite3.connect(":memory:")
        try:
            value = connection.execute("select 6 * 7").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Probe(name="database", state="failed", detail=f"SQLite fails: {type(error).__name__}")
    state = "ok" if value == 42 else "failed"
    return Probe(name="database", state=state, detail=f"SQLite {sqlite3.sqlite_version}")


def _store_probe() -> Probe:
    """The results store as configured; one that does not exist yet is not made here."""
    from protonqa.app.store_address import store_address
    from protonqa.store import open_store
    from protonqa.store.location import file_of, is_file, store_url
    from protonqa.store.reading import count_results

    name = "results store"
    try:
        address = store_address()
        if address is None:
            return Probe(name=name, state="missing", detail="switched off")
        url = store_url(address)
        if is_file(url) and not file_of(url).exists():
            return Probe(name=name, state="ok", detail="none yet; the first result makes it")
        with open_store(address, create=False, patience_s=5.0) as store:
            return Probe(name=name, state="ok", detail=f"{store.spoken}, {count_results(store)} results")
    except ProtonQAError as error:
        return Probe(name=name, state="warning", detail=error.line())


def _tables_probe() -> Probe:
    try:
        rows = len(table_rows("pstar.csv"))
    except ProtonQAError as error:
        return Probe(name="data tables", state="failed", detail=error.line())
    return Probe(name="data tables", state="ok", detail=f"version {TABLES_VERSION}, {rows} stopping powers")


def _analyses_probe() -> Probe:
    try:
        listed = listed_analyses()
    except ProtonQAError as error:
        return Probe(name="analyses", state="warning", detail=error.line())
    if not any(one.built_in for one in listed):
        return Probe(name="analyses", state="warning", detail="none found; install protonqa as a package")
    enabled = [one for one in listed if one.enabled and not one.obstacle]
    broken = [facts["name"] for facts in map(describe, enabled) if facts["problem"]]
    if broken:
        return Probe(name="analyses", state="failed", detail=f"cannot be loaded: {', '.join(broken)}")
    off = len(listed) - len(enabled)
    names = ", ".join(one.name for one in enabled)
    return Probe(name="analyses", state="ok", detail=names + (f"; {off} plugins off" if off else ""))


def _write_probes(out: Path | None) -> list[Probe]:
    folders = {"working folder": Path.cwd(), "temporary folder": Path(tempfile.gettempdir())}
    if out is not None:
        folders["output folder"] = out
    return [_write_probe(name, folder) for name, folder in folders.items()]


def _write_probe(name: str, folder: Path) -> Probe:
    """Write, read back and remove a small file; the folder's name is not told, it may name a patient."""
    probe = folder / f".protonqa-{secrets.token_hex(6)}"
    try:
        try:
            probe.write_bytes(b"protonqa")
            whole = probe.read_bytes() == b"protonqa"
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        state = "failed" if name == "output folder" else "warning"
        return Probe(name=name, state=state, detail=f"not writable: {error.strerror or type(error).__name__}")
    if not whole:
        return Probe(name=name, state="failed", detail="what was written is not what was read")
    free_gib = _free_gib(folder)
    if free_gib is not None and free_gib < _LEAST_FREE_GIB:
        return Probe(name=name, state="warning", detail=f"writable, but only {free_gib:.1f} GiB free")
    return Probe(name=name, state="ok", detail="writable" + ("" if free_gib is None else f", {free_gib:.0f} GiB free"))


def _free_gib(folder: Path) -> float | None:
    import shutil

    try:
        return shutil.disk_usage(folder).free / 2**30
    except OSError:
        return None


def _memory_probe(memory_gib: float | None) -> Probe:
    if memory_gib is None:
        return Probe(name="memory", state="warning", detail="unknown")
    state = "ok" if memory_gib >= _LEAST_MEMORY_GIB else "warning"
    return Probe(name="memory", state=state, detail=f"{memory_gib:.1f} GiB")


def total_memory_gib() -> float | None:
    """Physical memory of the computer, or None where the system does not say."""
    if hasattr(os, "sysconf"):
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        except (ValueError, OSError):
            return None
    return _windows_memory_gib()


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_ulong),
        ("load", ctypes.c_ulong),
        *(
            (name, ctypes.c_ulonglong)
            for name in ("total", "free", "page", "free_page", "virtual", "free_virtual", "ext")
        ),
    )


def _windows_memory_gib() -> float | None:
    windows = getattr(ctypes, "windll", None)
    if windows is None:
        return None
    status = _MemoryStatus()
    status.length = ctypes.sizeof(_MemoryStatus)
    if not windows.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return float(status.total) / 2**30
