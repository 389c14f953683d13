"""protonqa: did the protons stop where the plan says?

The public names load on first use, so that ``import protonqa`` stays light: no torch, no numba, no Qt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from protonqa.app.api import read_case, simulate, verify

__all__ = ["__version__", "read_case", "simulate", "verify"]

_LAZY = {"read_case", "simulate", "verify"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from protonqa.app import api

        return getattr(api, name)
    raise AttributeError(f"module 'protonqa' has no attribute {name!r}")
