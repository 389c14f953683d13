"""Changing every text of a finished document, figure labels included: to make it printable, to withhold identity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

import numpy as np

from protonqa.report.text import withheld

T = TypeVar("T")


def each_text(value: T, change: Callable[[str], str]) -> T:
    """`value` with `change` applied to all texts inside it, at any depth."""
    return _walk(value, change)  # type: ignore[no-any-return]


def scrubbed(value: T, secrets: Iterable[str]) -> T:
    """`value` with each of `secrets` withheld in all texts inside it."""
    known = frozenset(secrets)
    return each_text(value, lambda text: withheld(text, known))


def _walk(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, (Enum, np.ndarray)):
        return value
    if isinstance(value, str):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_walk(one, change) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {one.name: _walk(getattr(value, one.name), change) for one in fields(value)}
        return replace(value, **changed)
    return value
