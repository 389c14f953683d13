"""Inputs of an analysis from files: the options they make, and the values behind the paths that were given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protonqa.analyses.interface import Input
from protonqa.app.input_sources import SOURCES
from protonqa.errors import InputError, PluginError
from protonqa.values import Finding

#: A path, or several for an input with ``many``.
Paths = Mapping[str, Path | tuple[Path, ...]]


def absolute(paths: Paths) -> dict[str, str | list[str]]:
    """Paths as text that means the same in another process."""
    return {
        option: [str(one.resolve()) for one in path] if isinstance(path, tuple) else str(path.resolve())
        for option, path in paths.items()
    }


def input_paths(inputs: tuple[Input, ...]) -> dict[str, tuple[str, str, str]]:
    """Options for the inputs of an analysis: option -> (input, path of its source, help).

    Options of a source with several paths carry the name of the input where two inputs would share them.

    Raises
    ------
    PluginError
        A kind that cannot be read from files.
    """
    kinds = [one.kind_name for one in inputs]
    options: dict[str, tuple[str, str, str]] = {}
    for one in inputs:
        source = SOURCES.get(one.kind_name)
        if source is None:
            if one.optional:
                continue
            raise PluginError(
                f"input {one.name} cannot be read from a file", got=one.kind_name, expected=", ".join(sorted(SOURCES))
            )
        shared = kinds.count(one.kind_name) > 1
        for path, text in source.paths.items():
            option = one.name if not path else f"{one.name}_{path}" if shared else path
            options[option] = (one.name, path, one.title if one.title and not path else text)
    return options


def load_inputs(inputs: tuple[Input, ...], paths: Paths) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """Values for the inputs of an analysis, and what the readers noticed.

    Parameters
    ----------
    inputs : tuple of Input
    paths : mapping of option to path
        Options as `input_paths` names them; a tuple of paths for an input with ``many``.

    Raises
    ------
    InputError
        A required path is missing, or a reader refuses a file.
    """
    options = input_paths(inputs)
    given: dict[str, dict[str, Path | tuple[Path, ...]]] = {}
    for option, path in paths.items():
        if option not in options:
            raise InputError("unknown input", got=option, expected=", ".join(options) or "no inputs")
        name, key, _ = options[option]
        given.setdefault(name, {})[key] = path
    values: dict[str, Any] = {}
    findings: tuple[Finding, ...] = ()
    for one in inputs:
        if one.name not in given:
            if one.optional:
                continue
            needed = next(option for option, target in options.items() if target[0] == one.name)
            raise InputError(f"input {one.name} is missing", expected=f"--{needed.replace('_', '-')} PATH")
        values[one.name], found = _loaded(one, given[one.name])
        findings += found
    return values, findings


def _loaded(one: Input, given: Mapping[str, Path | tuple[Path, ...]]) -> tuple[Any, tuple[Finding, ...]]:
    """The value of one input, or the tuple of its values."""
    source = SOURCES[one.kind_name]
    first = next(iter(source.paths))
    if first not in given:
        raise InputError(f"input {one.name} is incomplete", expected=f"--{first.replace('_', '-')} PATH")
    several = {key: path if isinstance(path, tuple) else (path,) for key, path in given.items()}
    counts = {len(path) for path in several.values()}
    if not one.many and counts != {1}:
        raise InputError(f"input {one.name} was given several times", got=str(max(counts)), expected="one path")
    if len(counts) != 1 or 0 in counts:
        raise InputError(f"input {one.name} is incomplete", expected="as many paths of each kind")
    values = []
    findings: tuple[Finding, ...] = ()
    for index in range(counts.pop()):
        value, found = source.load(**{key or "path": path[index] for key, path in several.items()})
        values.append(value)
        findings += found
    return (tuple(values) if one.many else values[0]), findings
