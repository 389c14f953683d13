"""The compiler decorator of the kernels, with a cache that notices every edit.

numba's own cache only watches the file of the cached function: an edited physics law that a cached kernel calls would
give the old number. The cache folder is therefore named by a hash over all sources of this package and all tables.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config


def source_hash() -> str:
    """Hash of the Monte Carlo sources, the physics tables and the numba and numpy versions."""
    import numpy

    digest = hashlib.sha256(f"{numba.__version__} {numpy.__version__} {sys.version_info[:2]}".encode())
    for package in ("protonqa.montecarlo", "protonqa.physics", "protonqa.tables"):
        for entry in sorted(files(package).iterdir(), key=lambda e: e.name):
            if entry.name.endswith((".py", ".csv")):
                digest.update(entry.name.encode())
                digest.update(entry.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Where compiled kernels of this very source are kept (PROTONQA_CACHE, else the user's cache folder)."""
    root = os.environ.get("PROTONQA_CACHE")
    if root:
        return Path(root) / source_hash()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "protonqa" / "kernels" / source_hash()


def _use_own_cache() -> bool:
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False  # read-only home: compile in memory, slower to start and otherwise the same
    numba_config.CACHE_DIR = str(folder)
    return True


_CACHE = _use_own_cache()

# Arrays only pass through: without reference counts, which cost more than a whole step, and so without allocation.
_OPTIONS: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "arcp"}, "_nrt": False,
}  # fmt: skip
#: Physics laws: functions that CPU and CUDA kernels call alike. They become part of their caller: handing a scene or a
#: table over to a call costs more than most of them do.
law: Any = numba.njit(forceinline=True, **_OPTIONS)
#: The same for what happens rarely.
rare: Any = numba.njit(**_OPTIONS)
#: Kernels: compiled once per computer, run without the interpreter's lock.
kernel: Any = numba.njit(cache=_CACHE, **_OPTIONS)
