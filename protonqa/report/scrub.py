"""Withholding identity from a finished document: every text of every block, figure labels included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

import numpy as np

from protonqa.report.text import withheld

T = TypeVar("T")


def scrubbed(value: T, secrets: Iterable[str]) -> T:
    """`value` with each of `secrets` replaced in all texts inside it, at any depth."""
    return _walk(value, frozenset(secrets))  # type: ignore[no-any-return]


def _walk(value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, (Enum, np.ndarray)):
        return value
    if isinstance(value, str):
        return withheld(value, secrets)
    if isinstance(value, tuple):
        return tuple(_walk(one, secrets) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {one.name: _walk(getattr(value, one.name), secrets) for one in fields(value)}
        return replace(value, **changed)
    return value
