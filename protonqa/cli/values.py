"""Parameters of an analysis that come as NAME=VALUE or from a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from protonqa.errors import InputError


def pair_values(pairs: Iterable[str], *, option: str = "--param", plain: bool = False) -> dict[str, Any]:
    """NAME=VALUE each; the value is JSON where it is JSON, else text. `plain` leaves every value as text.

    Raises
    ------
    InputError
        Not a pair.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (equals and name.strip()):
            raise InputError(f"{option} is not a pair", got=repr(pair[:40]), expected="NAME=VALUE")
        values[name.strip().replace("-", "_")] = text if plain else _value(text)
    return values


def file_values(path: Path | None) -> dict[str, Any]:
    """The values of a parameter file; none without a file."""
    if path is None:
        return {}
    from protonqa.app.param_file import read_param_file

    return read_param_file(path)


def _value(text: str) -> Any:
    """Numbers, lists, true, null, else the text itself; the schema converts the rest."""
    try:
        return json.loads(text)
    except ValueError:
        return text
