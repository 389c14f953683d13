"""What an analysis of somebody else may take of a computer before it is ended: time and memory."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from protonqa.analyses.registry import LoadedAnalysis
from protonqa.errors import PluginError

#: Longest run of a third-party analysis that names no ``deadline_s`` of its own.
DEFAULT_DEADLINE_S = 3600.0
#: An acceptance test runs an analysis on many cases.
RUNS_OF_AN_ACCEPTANCE_TEST = 20
#: Share of the memory that all workers of a third-party analysis may take together.
MEMORY_SHARE = 0.75
_LEAST_MIB = 512
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def deadline_s_of(loaded: LoadedAnalysis) -> float | None:
    """The deadline of one run: the analysis's own ``deadline_s``, else an hour; built-in ones have none.

    Raises
    ------
    PluginError
        Its deadline is not a positive number.
    """
    own = getattr(loaded.analysis, "deadline_s", None)
    if own is None:
        return None if loaded.built_in else DEFAULT_DEADLINE_S
    if isinstance(own, bool) or not isinstance(own, (int, float)) or not (math.isfinite(own) and own > 0):
        raise PluginError(
            f"analysis {loaded.analysis.name} has an unusable deadline", got=repr(own)[:40], expected="seconds above 0"
        )
    return float(own)


def commission_deadline_s_of(loaded: LoadedAnalysis) -> float | None:
    """The deadline of an acceptance test: as long as many runs, and an hour at least; built-in ones have none."""
    own = deadline_s_of(loaded)
    return None if loaded.built_in or own is None else max(RUNS_OF_AN_ACCEPTANCE_TEST * own, DEFAULT_DEADLINE_S)


def memory_mib_of(loaded: LoadedAnalysis, workers: int) -> int | None:
    """What one of `workers` processes may allocate; None for built-in analyses, and where the system has no limits."""
    if loaded.built_in or sys.platform == "win32":
        return None
    have = memory_bytes()
    return None if have is None else max(int(MEMORY_SHARE * have / max(workers, 1)) >> 20, _LEAST_MIB)


def memory_bytes() -> int | None:
    """Memory of the computer, or of the container this process runs in; None where the system does not say."""
    found = []
    try:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return None
    for name in _CONTAINER_LIMITS:
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text.isdigit():
            found.append(int(text))
    return min(found)
