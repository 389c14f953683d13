"""Phantoms by name (packaged) or by YAML file."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from protonqa.errors import InputError
from protonqa.phantom.schema import PhantomDefinition, parse_definition
from protonqa.phantom.yaml_lines import MAX_BYTES, nearest

_PACKAGE = "protonqa_phantoms"
_SUFFIXES = (".yaml", ".yml")


def phantom_names() -> tuple[str, ...]:
    """Names of the packaged phantoms, sorted."""
    names = (entry.name for entry in files(_PACKAGE).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load_phantom(name_or_path: str | os.PathLike[str]) -> PhantomDefinition:
    """A packaged phantom by name, or a phantom YAML by path.

    Parameters
    ----------
    name_or_path : str or path
        A name of ``phantom_names()``; anything that ends in .yaml or .yml or holds a folder separator is a path.

    Raises
    ------
    InputError
        Unknown name (with the nearest known one), no such file, or a wrong file (with the line).
    """
    text = os.fspath(name_or_path)
    names = phantom_names()
    if text in names:
        return parse_definition(files(_PACKAGE).joinpath(f"{text}.yaml").read_text(encoding="utf-8"))
    if text.lower().endswith(_SUFFIXES) or isinstance(name_or_path, os.PathLike) or "/" in text or os.sep in text:
        return parse_definition(_read(Path(text)))
    raise InputError(
        "unknown phantom",
        got=repr(text[:60]),
        expected=f"one of {', '.join(names)}, or a path to a .yaml file",
        remedy=nearest(text, names),
    )


def _read(path: Path) -> str:
    # Only regular files: a pipe or device never ends.
    if not path.is_file():
        raise InputError("phantom file is not there", got=repr(path.name), expected="a readable .yaml file")
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        return content.decode("utf-8")
    except OSError as error:
        raise InputError("phantom file cannot be read", got=f"{path.name!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        if len(content) > MAX_BYTES:
            raise InputError("phantom file is too large", expected=f"at most {MAX_BYTES} bytes") from None
        raise InputError("phantom file is not UTF-8 text", got=f"byte {error.start}") from None
