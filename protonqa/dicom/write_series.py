"""A series of slices: where each slice lies in the patient, and a folder that gets all files or none."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from protonqa.dicom.write_dataset import IMPLEMENTATION_CLASS_UID, Required, required
from protonqa.dicom.write_text import decimal, decimals
from protonqa.durable import replace, store_error, sync_folder
from protonqa.errors import StoreError
from protonqa.values import Grid

_SLICE_NAME = re.compile(r"IM\d{4,}\.dcm", re.IGNORECASE)

SLICE_REQUIRED: Required = required(
    "ImageType",
    "FrameOfReferenceUID",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelData",
    "RescaleIntercept",
    "RescaleSlope",
)


def slice_name(index: int) -> str:
    """File name of the slice with this index: IM0001.dcm is the first."""
    return f"IM{index + 1:04d}.dcm"


def place_slice(dataset: Dataset, grid: Grid, index: int) -> None:
    """Image plane module of slice `index`: rows run along the y axis of the grid, columns along its x axis."""
    sx, sy, sz = grid.spacing_mm
    dataset.PixelSpacing = decimals((sy, sx))
    dataset.SliceThickness = decimal(sz)
    dataset.SpacingBetweenSlices = decimal(sz)
    dataset.ImageOrientationPatient = decimals((*grid.direction[:, 0], *grid.direction[:, 1]))
    dataset.ImagePositionPatient = decimals(grid.world_from_index((0, 0, index)))
    dataset.InstanceNumber = index + 1


def store_series(
    folder: str | os.PathLike[str], files: Iterable[bytes], *, sop_class: str, label: str, overwrite: bool
) -> None:
    """Write the slices of a series into `folder` as IM0001.dcm, ..., all or none.

    Parameters
    ----------
    files : iterable of bytes
        Encoded slices, taken one after the other.
    sop_class : str
        With `overwrite`, only slices that protonqa wrote as this class are replaced, and all of them: a shorter
        series must not leave the end of a longer one behind.
    label : str
        What it is, for messages.

    Raises
    ------
    StoreError
        Slices are there already, are somebody else's, or a file cannot be written; the folder is as before.
    """
    root = Path(folder)
    old = _old_slices(root, sop_class, label, overwrite=overwrite)
    staging = root / f".{secrets.token_hex(6)}.tmp"
    step = "make the folder"
    try:
        staging.mkdir(parents=True)
        step = "write"
        names = [_stage(staging, index, content) for index, content in enumerate(files)]
        step = "put in place"
        with _undone_on_error() as moves:
            for name in old:
                moves.append(_move(root / name, staging / f"old-{name}"))
            for name in names:
                moves.append(_move(staging / name, root / name))
            sync_folder(root)
    except OSError as error:
        raise store_error(label, step, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _stage(staging: Path, index: int, content: bytes) -> str:
    name = slice_name(index)
    with (staging / name).open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    return name


def _move(source: Path, target: Path) -> tuple[Path, Path]:
    replace(source, target)
    return source, target


@contextmanager
def _undone_on_error() -> Iterator[list[tuple[Path, Path]]]:
    """Collects moves; when the block fails, they are taken back in reverse order."""
    moves: list[tuple[Path, Path]] = []
    try:
        yield moves
    except BaseException:
        for source, target in reversed(moves):
            replace(target, source)
        raise


def _old_slices(root: Path, sop_class: str, label: str, *, overwrite: bool) -> list[str]:
    """Names of slices in the folder that may be replaced; StoreError when there are others."""
    try:
        names = sorted(p.name for p in root.iterdir() if _SLICE_NAME.fullmatch(p.name)) if root.is_dir() else []
    except OSError as error:
        raise store_error(label, "list the folder", error) from error
    if names and not overwrite:
        raise StoreError(
            f"the folder for the {label} already holds slices",
            got=f"{len(names)} files named like {slice_name(0)}",
            expected="a folder without them",
            remedy="choose another folder",
        )
    foreign = sum(not _is_ours(root / name, sop_class) for name in names)
    if foreign:
        raise StoreError(
            f"the folder for the {label} holds slices of another origin or kind",
            got=f"{foreign} of {len(names)} slices",
            expected="slices that protonqa wrote as the same kind of image",
            remedy="choose another folder; nothing was replaced",
        )
    return names


def _is_ours(path: Path, sop_class: str) -> bool:
    try:
        meta = read_file_meta_info(path)
    except (OSError, InvalidDicomError, ValueError, KeyError, AttributeError, EOFError):
        return False
    ours = meta.get("ImplementationClassUID") == IMPLEMENTATION_CLASS_UID
    return ours and meta.get("MediaStorageSOPClassUID") == sop_class
