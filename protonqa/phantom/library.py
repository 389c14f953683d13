"""Phantoms by name (packaged) or by YAML file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from protonqa.errors import InputError
from protonqa.phantom.schema import PhantomDefinition, parse_definition
from protonqa.phantom.voxelise import VoxelPhantom, voxelise
from protonqa.yaml_lines import MAX_BYTES, nearest

_PACKAGE = "protonqa_phantoms"
_TWIN = "twin:"
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


def voxel_phantom(source: str | os.PathLike[str], spacing_mm: Sequence[float] | None = None) -> VoxelPhantom:
    """The voxels of a packaged phantom, of a phantom YAML, or of the digital twin ``twin:SEED`` or ``twin:SITE:SEED``.

    Parameters
    ----------
    source : str or path
        As ``load_phantom``; or ``twin:42``, the abdomen drawn from seed 42, ``twin:head:42``, ``twin:pelvis:42``.
    spacing_mm : (x, y, z), optional
        Voxel size instead of the definition's; 2 mm for twins.

    Raises
    ------
    InputError
        As ``load_phantom``; a twin of an unknown site or whose seed is not a whole number; a size that is not whole
        voxels.
    """
    text = os.fspath(source)
    if not text.lower().startswith(_TWIN):
        return voxelise(load_phantom(source), spacing_mm)
    site, _, seed = text[len(_TWIN) :].lower().rpartition(":")
    if not (seed.isascii() and seed.isdigit() and len(seed) <= 18):
        raise InputError(
            "the seed of a twin is not a whole number", got=repr(text[:60]), expected="twin:42 or twin:head:42"
        )
    from protonqa.phantom.twins import draw_twin, voxelise_twin  # loads SciPy

    return voxelise_twin(draw_twin(int(seed), site=site or None), spacing_mm or (2.0, 2.0, 2.0))


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
