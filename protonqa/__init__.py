"""protonqa: did the protons stop where the plan says?

The public names load on first use, so that ``import protonqa`` stays light: no torch, no numba, no Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "read_case", "simulate", "verify"]

_PUBLIC = {"read_case": "protonqa.app.api", "simulate": "protonqa.app.api", "verify": "protonqa.app.api"}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'protonqa' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
