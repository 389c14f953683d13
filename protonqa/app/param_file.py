"""Parameters of an analysis from a YAML or JSON file; text only, no tag of YAML is ever run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from protonqa.errors import InputError

_MAX_BYTES = 1_000_000


def read_param_file(path: Path) -> dict[str, Any]:
    """Names and values of a parameter file.

    Raises
    ------
    InputError
        Not readable, too large, not YAML or JSON, a key twice, or not a mapping; the line is named where there is one.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError("the parameter file is too large", expected=f"at most {_MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "not UTF-8") or type(error).__name__
        raise InputError("the parameter file cannot be read", got=reason) from error
    values = _parsed(text, is_json=path.suffix.lower() == ".json")
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError("the parameter file is not a list of names and values", expected="lines of 'name: value'")
    return values


def _parsed(text: str, *, is_json: bool) -> Any:
    try:
        if is_json:
            return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
        loaded = YAML(typ="safe", pure=True).load(text)
        return {} if loaded is None else loaded
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise InputError("the parameter file is not valid YAML", got=f"{error.problem or 'an error'}{line}") from error
    except json.JSONDecodeError as error:
        raise InputError("the parameter file is not valid JSON", got=f"{error.msg} in line {error.lineno}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputError("the parameter file cannot be understood", got=type(error).__name__) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InputError("the parameter file has a name twice")
    return found


def _refuse(constant: str) -> Any:
    raise InputError("the parameter file holds a number that is not finite", got=constant)
