"""MetaImage volumes (`.mha`, `.mhd`): read and written by SimpleITK with its MetaImage reader only, never as DICOM.

The header is read here first, so that a hostile file is refused before anything is allocated for it.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 (the name everyone knows it by)

from protonqa.durable import atomic_path, write_bytes_atomic, write_text_atomic
from protonqa.errors import InputError, StoreError, UnitsError
from protonqa.files.csv_table import printable
from protonqa.values.grid import Grid, Volume

_UNIT_KEY = "Unit"
_HEADER_BYTES = 64 * 1024
_BLOCK = 1 << 20
#: Bytes per voxel of the element types that are a scalar number.
_ELEMENT_BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """Largest volume that is read; 2^28 voxels are 1 GiB as float32."""

    max_voxels: int = 2**28


def read_metaimage(
    path: str | os.PathLike[str], *, unit: str | None = None, limits: ImageLimits | None = None
) -> Volume:
    """Read a 3-D scalar MetaImage.

    Parameters
    ----------
    path : path of a ``.mha`` or ``.mhd`` file
    unit : str, optional
        Unit to assume when the file names none (one of ``protonqa.values.UNITS``). A file that names another unit is
        refused.
    limits : ImageLimits, optional

    Returns
    -------
    Volume
        float32 values on the grid of the file (LPS, mm).

    Raises
    ------
    InputError
        Not a MetaImage, truncated, not 3-D or not scalar, data outside the folder, too large, NaN.
    GeometryError
        Directions that are no rotation.
    UnitsError
        No unit, or one that contradicts `unit`.
    """
    file = Path(path)
    image, header = _load(file, limits or ImageLimits())
    stored = header.fields.get(_UNIT_KEY, "")
    if stored and unit and stored != unit:
        raise UnitsError("the volume has another unit than expected", got=repr(stored[:20]), expected=repr(unit))
    if not (stored or unit):
        raise UnitsError("the MetaImage names no unit", expected="a 'Unit' line in its header", remedy="say the unit")
    nx, ny, nz = image.GetSize()
    grid = Grid(
        shape=(nz, ny, nx),
        spacing_mm=image.GetSpacing(),
        origin_mm=image.GetOrigin(),
        direction=np.array(image.GetDirection()).reshape(3, 3),
    )
    # Doubles beyond float32 become infinite here and are refused by Volume.
    with np.errstate(over="ignore"):
        array = sitk.GetArrayViewFromImage(image).astype(np.float32)
    return Volume(grid=grid, array=array, unit=stored or str(unit))


def write_metaimage(volume: Volume, path: str | os.PathLike[str], *, compress: bool = True) -> None:
    """Write a volume as float32 MetaImage, all or nothing, its unit in the header.

    ``.mhd`` is two files: its values go to a ``.raw`` file named by their content, the header is replaced last, so
    that an old header never points to new values.

    Raises
    ------
    InputError
        Another suffix than ``.mha`` or ``.mhd``.
    StoreError
        The file cannot be written; the old one is unchanged.
    """
    final = Path(path)
    suffix = final.suffix.lower()
    if suffix not in (".mha", ".mhd"):
        raise InputError("a volume is written as MetaImage", got=repr(suffix), expected="a name ending in .mha or .mhd")
    if suffix == ".mha":
        with atomic_path(final, label="MetaImage volume") as temporary:
            _save(volume, temporary, compress=compress)
        return
    values = np.ascontiguousarray(volume.array, dtype="<f4").tobytes()
    name = f"{hashlib.sha256(values).hexdigest()[:16]}.raw"
    write_bytes_atomic(final.with_name(name), values, label="MetaImage values")
    write_text_atomic(final, _header_text(volume, name), label="MetaImage header")


def _save(volume: Volume, path: Path, *, compress: bool) -> None:
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.grid.spacing_mm)
    image.SetOrigin(volume.grid.origin_mm)
    image.SetDirection([float(v) for v in volume.grid.direction.ravel()])
    image.SetMetaData(_UNIT_KEY, volume.unit)
    try:
        sitk.WriteImage(image, str(path), imageIO="MetaImageIO", useCompression=compress)
    except RuntimeError as error:
        raise _write_failed() from error
    # The library does not report a full disk: what stands there must be as long as its own header says.
    try:
        header = _header(path)
        _check_length(header, _Element.of(header), path)
    except InputError as error:
        raise _write_failed() from error


def _write_failed() -> StoreError:
    return StoreError(
        "could not write the MetaImage volume",
        got="an incomplete file",
        remedy="free space on the disk and run again; the old file, if any, is unchanged",
    )


def _header_text(volume: Volume, data_file: str) -> str:
    def numbers(values: Any) -> str:
        return " ".join(repr(float(v)) for v in values)

    grid = volume.grid
    lines = (
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = False",
        # MetaImage lists one axis after the other: the transpose of the matrix whose columns are the axes.
        f"TransformMatrix = {numbers(grid.direction.T.ravel())}",
        f"Offset = {numbers(grid.origin_mm)}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {numbers(grid.spacing_mm)}",
        f"{_UNIT_KEY} = {volume.unit}",
        f"DimSize = {' '.join(str(n) for n in reversed(grid.shape))}",
        "ElementType = MET_FLOAT",
        f"ElementDataFile = {data_file}",
    )
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """Fields of the header as text, and where the header ends in the file."""

    fields: dict[str, str]
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Element:
    """What the header promises: voxels along x, y, z and bytes of a voxel."""

    size: tuple[int, int, int]
    voxel_bytes: int

    @classmethod
    def of(cls, header: _Header) -> _Element:
        fields = header.fields
        dims = fields.get("DimSize", "").split()
        if fields.get("NDims") != "3" or len(dims) != 3 or not all(d.isascii() and d.isdigit() for d in dims):
            raise InputError("the MetaImage is not a volume", got=" ".join(dims)[:40], expected="three dimensions")
        size = (int(dims[0]), int(dims[1]), int(dims[2]))
        kind = fields.get("ElementType", "")
        if kind not in _ELEMENT_BYTES or fields.get("ElementNumberOfChannels", "1") != "1":
            raise InputError(
                "the MetaImage does not hold one number a voxel", got=printable(kind), expected="a scalar MET_ type"
            )
        return cls(size=size, voxel_bytes=_ELEMENT_BYTES[kind])

    @property
    def voxels(self) -> int:
        return self.size[0] * self.size[1] * self.size[2]


def _header(file: Path) -> _Header:
    try:
        with file.open("rb") as stream:
            start = stream.read(_HEADER_BYTES)
    except OSError as error:
        raise InputError("the MetaImage cannot be read", got=error.strerror or type(error).__name__) from error
    fields: dict[str, str] = {}
    end = 0
    for raw in start.splitlines(keepends=True):
        end += len(raw)
        key, equals, value = raw.decode("latin-1").partition("=")
        key = key.strip()
        if not equals or key in fields or not raw.endswith(b"\n"):
            break
        fields[key] = value.strip()
        if key == "ElementDataFile":
            return _Header(fields=fields, end=end)
    raise InputError(
        "the file is not a MetaImage",
        got="a header without its end or with a field twice",
        expected="text lines 'key = value' up to ElementDataFile",
    )


def _data_file(file: Path, header: _Header) -> Path:
    """The file that holds the values: the header's own, or one beside it."""
    name = header.fields["ElementDataFile"]
    if name.upper() == "LOCAL":
        return file
    plain = PurePosixPath(name).name == name and not any(c in name for c in "\\:%*?\0") and name not in ("", ".", "..")
    if not plain or name.upper().startswith("LIST") or " " in name:
        raise InputError(
            "the MetaImage takes its values from elsewhere",
            expected="LOCAL or the name of one file in the same folder",
            remedy="save it as .mha",
        )
    return file.with_name(name)


def _check_length(header: _Header, element: _Element, file: Path) -> None:
    """Refuse a file that is shorter than its own header says."""
    data = _data_file(file, header)
    try:
        have = data.stat().st_size - (header.end if data == file else 0)
    except OSError as error:
        raise InputError("the values of the MetaImage cannot be read", got=error.strerror or "") from error
    need = element.voxels * element.voxel_bytes
    if header.fields.get("CompressedData", "").lower() == "true":
        start = header.end if data == file else 0
        _check_deflated(data, start, need, header.fields.get("CompressedDataSize", ""))
        return
    if header.fields.get("BinaryData", "").lower() != "true":
        need = element.voxels
    if have < need:
        raise InputError("the MetaImage is truncated", got=f"{have} bytes of values", expected=f"{need} bytes")


def _check_deflated(data: Path, start: int, need: int, declared: str) -> None:
    """Inflate once, in pieces, only to see that it is whole: the library prints an error and returns rubbish."""
    inflater = zlib.decompressobj()
    have = 0
    try:
        with data.open("rb") as stream:
            stream.seek(start)
            while not inflater.eof and have <= need and (block := inflater.unconsumed_tail or stream.read(_BLOCK)):
                have += len(inflater.decompress(block, _BLOCK))
            used = stream.tell() - start - len(inflater.unused_data)
            there = data.stat().st_size - start
    except (zlib.error, OSError) as error:
        raise InputError(
            "the MetaImage is damaged", got="values that do not inflate", remedy="export it again"
        ) from error
    # The library allocates and reads as much as the header declares.
    size = int(declared) if declared.isascii() and declared.isdigit() else -1
    if have != need or not inflater.eof or (declared and not used <= size <= there):
        raise InputError(
            "the MetaImage is truncated or damaged", got=f"{have} inflated bytes", expected=f"{need} bytes"
        )


def _load(file: Path, limits: ImageLimits) -> tuple[sitk.Image, _Header]:
    """Check the promises of the header, then let SimpleITK read."""
    header = _header(file)
    if header.fields.get("ObjectType") != "Image":
        raise InputError("the MetaImage is not an image", got=printable(header.fields.get("ObjectType", "")))
    element = _Element.of(header)
    if element.voxels > limits.max_voxels or element.voxels == 0:
        raise InputError(
            "the volume is too large or empty", got=f"{element.voxels} voxels", expected=f"1 to {limits.max_voxels}"
        )
    _check_length(header, element, file)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("MetaImageIO")
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
        if tuple(reader.GetSize()) != element.size:
            raise InputError("the MetaImage contradicts itself", got=str(reader.GetSize()), expected=str(element.size))
        return reader.Execute(), header
    except RuntimeError as error:
        raise InputError(
            "the MetaImage is damaged", got="a header or values that SimpleITK cannot read", remedy="export it again"
        ) from error
