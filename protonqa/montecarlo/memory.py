"""What a run needs of memory and what the computer has, said before it starts."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from protonqa.errors import InputError
from protonqa.montecarlo.plan import TransportPlan

_GIB = 2.0**30
#: Share of the free memory that a run may take.
USABLE = 0.9
#: Limits of control groups, version 2 and 1, and what is used of them.
_CGROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes that a run can need at most, and bytes that are free (None where the system does not tell)."""

    need_bytes: int
    have_bytes: int | None

    def line(self) -> str:
        """One line for people."""
        free = "" if self.have_bytes is None else f", {self.have_bytes / _GIB:.1f} GiB are free"
        return f"memory: at most {self.need_bytes / _GIB:.2f} GiB needed{free}"

    def check(self) -> None:
        """Raise InputError where the need exceeds 90 % of what is free."""
        if self.have_bytes is not None and self.need_bytes > USABLE * self.have_bytes:
            raise InputError(
                "the tallies of this simulation do not fit into memory",
                got=f"{self.need_bytes / _GIB:.1f} GiB needed",
                expected=f"at most {USABLE * self.have_bytes / _GIB:.1f} GiB free",
                remedy="use larger voxels, a smaller box or fewer threads",
            )


def memory_of(plan: TransportPlan, *, sets: int, with_error: bool, have_bytes: int | None) -> Memory:
    """Memory of a run with `sets` of tallies: one a thread on a CPU."""
    need = plan.tally_bytes * sets
    if with_error:
        # Sums of the last batch, squares, and the error itself.
        need += plan.n_voxel * 24
    # Volumes of the result, float32: doses, nuclides, beam quality.
    need += plan.n_voxel * 4 * (plan.scene.n_slot + 1)
    return Memory(need_bytes=need, have_bytes=have_bytes)


def available_bytes() -> int | None:
    """Memory that a program can take now: what the system calls available, within the limit of a container."""
    have = _available()
    for limit, used in _CGROUPS:
        top, now = _number(limit), _number(used)
        if top is not None and now is not None:
            left = max(top - now, 0)
            have = left if have is None else min(have, left)
    return have


def _available() -> int | None:
    if sys.platform == "win32":
        return _available_windows()
    try:
        # Linux: pages that hold files can be given up, and count.
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _available_windows() -> int | None:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong), *((n, ctypes.c_ulonglong) for n in "abcdefg")]

    status = Status(length=ctypes.sizeof(Status))
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - only there on Windows
    # The second number of bytes is the available physical memory.
    return int(status.b) if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
