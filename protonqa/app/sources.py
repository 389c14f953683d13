"""What protons are sent into: a phantom by name or YAML, a CT (DICOM folder or zip), or a MetaImage volume."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from protonqa.errors import InputError
from protonqa.values import Finding, Hlut, SeriesInfo, Volume

if TYPE_CHECKING:
    from protonqa.montecarlo.medium import Medium

SourceKind = Literal["phantom", "volume", "ct"]
_YAML, _METAIMAGE = (".yaml", ".yml"), (".mha", ".mhd")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Anatomy:
    """A medium for protons and where it came from.

    Parameters
    ----------
    kind : "phantom", "volume" or "ct"
    name : str
        Name of the phantom; empty for files, whose names may be those of patients.
    ct : Volume
        HU.
    medium : Medium
    info : SeriesInfo or None
        Of a DICOM series.
    findings : tuple of Finding
    """

    kind: SourceKind
    name: str
    ct: Volume
    medium: Medium
    info: SeriesInfo | None = None
    findings: tuple[Finding, ...] = ()


def source_kind(source: str) -> SourceKind:
    """What a source is, by its name and what lies there; the name of a packaged phantom goes before a folder.

    Raises
    ------
    InputError
        A path with nothing there.
    """
    from protonqa.phantom import phantom_names

    if source in phantom_names() or source.lower().startswith("twin:"):
        return "phantom"
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix in _YAML:
        return "phantom"
    if suffix in _METAIMAGE:
        if not path.is_file():
            raise InputError("the volume is not there", expected="a readable .mha file", remedy="check the path")
        return "volume"
    if path.exists():
        return "ct"
    if "/" in source or os.sep in source:
        raise InputError(
            "there is nothing at the path of the source",
            expected="a phantom name, a phantom .yaml, a .mha volume or a DICOM folder",
            remedy="check the path",
        )
    return "phantom"


def load_anatomy(source: str, *, hlut: Hlut | None = None, spacing_mm: Sequence[float] | None = None) -> Anatomy:
    """Read a source and make its medium.

    Parameters
    ----------
    source : str
        Phantom name, ``twin:SEED``, phantom YAML, ``.mha`` in HU, or DICOM CT folder or zip.
    hlut : Hlut, optional
        HU calibration; without one, a finding for images.
    spacing_mm : (x, y, z), optional
        Voxel size of a phantom.

    Raises
    ------
    InputError
        Unknown phantom (with the nearest name), a file that cannot be used, a voxel size for an image.
    """
    kind = source_kind(source)
    if kind == "phantom":
        return _phantom(source, hlut, spacing_mm)
    if spacing_mm is not None:
        raise InputError("a voxel size is for phantoms only", got="an image", remedy="leave --spacing-mm out")
    return _volume(Path(source), hlut) if kind == "volume" else _ct(Path(source), hlut)


def anatomy_of_ct(
    ct: Volume, *, hlut: Hlut | None, info: SeriesInfo | None = None, findings: tuple[Finding, ...] = ()
) -> Anatomy:
    """The medium of a CT that is already read; `findings` are those of its reader."""
    from protonqa.analyses.montecarlo import generic_hlut_finding
    from protonqa.montecarlo.medium import medium_from_hu

    if hlut is None:
        findings = (*findings, generic_hlut_finding())
    return Anatomy(
        kind="volume" if info is None else "ct",
        name="",
        ct=ct,
        medium=medium_from_hu(ct, hlut=hlut),
        info=info,
        findings=findings,
    )


def _phantom(source: str, hlut: Hlut | None, spacing_mm: Sequence[float] | None) -> Anatomy:
    from protonqa.montecarlo.medium import medium_from_hu
    from protonqa.phantom import voxel_phantom

    phantom = voxel_phantom(source, spacing_mm)
    ct = phantom.volume()
    reference = np.asarray(phantom.material_index, dtype=np.int64)
    medium = medium_from_hu(ct, hlut=hlut, reference_index=reference)
    return Anatomy(kind="phantom", name=phantom.name, ct=ct, medium=medium, findings=phantom.findings)


def _volume(path: Path, hlut: Hlut | None) -> Anatomy:
    from protonqa.files.metaimage import read_metaimage

    return anatomy_of_ct(read_metaimage(path, unit="HU"), hlut=hlut)


def _ct(path: Path, hlut: Hlut | None) -> Anatomy:
    from protonqa.dicom import read_ct

    ct, info, findings = read_ct(path)
    return anatomy_of_ct(ct, hlut=hlut, info=info, findings=findings)
