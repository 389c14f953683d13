"""Canonical JSON: one text, and so one hash, for one value, on every computer."""

from __future__ import annotations

import hashlib
import json
import math

from protonqa.errors import InputError


def canonical_json(value: object, *, what: str = "value") -> str:
    """`value` as JSON with sorted keys, no spaces and ASCII only.

    Parameters
    ----------
    value : None, bool, int, finite float, str, and lists, tuples and str-keyed dicts of these
    what : str
        What it is, for messages.

    Raises
    ------
    InputError
        Anything else; the message names the place and the type, never the content.
    """
    try:
        fault = _fault(value, "")
        if not fault:
            return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (RecursionError, ValueError) as error:
        fault = f"{type(error).__name__}"
    raise InputError(
        f"{what} is not plain JSON",
        got=fault,
        expected="null, true, false, finite numbers, text, and lists and objects of these",
    )


def sha256_text(text: str) -> str:
    """SHA-256 of ASCII text, in hex."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _fault(value: object, place: str) -> str:
    """Where and what the first thing is that JSON has no word for; empty when there is none."""
    if value is None or isinstance(value, bool | int | str):
        return ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"a number that is not finite at {place or 'the top'}"
    if isinstance(value, dict):
        for key, one in value.items():
            if not isinstance(key, str):
                return f"a key of type {type(key).__name__} at {place or 'the top'}"
            if fault := _fault(one, f"{place}.{key[:40]}" if place else key[:40]):
                return fault
        return ""
    if isinstance(value, list | tuple):
        for index, one in enumerate(value):
            if fault := _fault(one, f"{place}[{index}]"):
                return fault
        return ""
    return f"{type(value).__name__} at {place or 'the top'}"
