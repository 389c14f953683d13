"""Stored pixel values of one file: sizes are compared with the bytes that are there before anything is allocated."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from protonqa.dicom.attributes import Attributes, guarded
from protonqa.dicom.limits import ReadLimits
from protonqa.dicom.structure import BIG_ENDIAN, EXPLICIT, IMPLICIT, Layout
from protonqa.errors import DicomError, InputError

_NATIVE = frozenset({IMPLICIT, EXPLICIT, BIG_ENDIAN})
_JPEG_2000 = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
_J2K_START = b"\xff\x4f\xff\x51"


def check_matrix(file: Attributes, limits: ReadLimits) -> tuple[int, int, int]:
    """Frames, rows and columns of a file, within the limits.

    Raises
    ------
    DicomError
        Absent or not positive, colour, bits that no image of this kind has.
    InputError
        Above a limit; the message has need and limit.
    """
    file.require("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation")
    frames = file.optional_integer("NumberOfFrames", 1)
    rows, columns = file.integer("Rows"), file.integer("Columns")
    if min(frames, rows, columns) < 1:
        raise DicomError(
            f"{file.label} has an empty image",
            got=f"{frames} frames of {rows} x {columns}",
            expected="at least one pixel",
        )
    if max(rows, columns) > limits.max_rows_columns:
        raise InputError(
            f"{file.label} declares an image matrix above the limit",
            got=f"{rows} x {columns}",
            expected=f"at most {limits.max_rows_columns} x {limits.max_rows_columns}",
        )
    if frames > limits.max_frames:
        raise InputError(
            f"{file.label} declares more frames than the limit",
            got=str(frames),
            expected=f"at most {limits.max_frames}",
        )
    check_voxels(frames, rows, columns, limits, file.label)
    if file.optional_integer("SamplesPerPixel", 1) != 1:
        raise DicomError(f"{file.label} is a colour image", expected="one sample per pixel")
    bits = file.integer("BitsAllocated"), file.integer("BitsStored")
    if bits[0] not in (8, 16, 32) or not 1 <= bits[1] <= bits[0]:
        raise DicomError(
            f"{file.label} has an unusable pixel depth",
            got=f"{bits[1]} bits stored in {bits[0]}",
            expected="8, 16 or 32 bits allocated",
        )
    return frames, rows, columns


def check_voxels(frames: int, rows: int, columns: int, limits: ReadLimits, label: str) -> None:
    """Raise InputError when a volume of this size is above the limit."""
    voxels = frames * rows * columns
    if voxels > limits.max_voxels:
        raise InputError(
            f"{label} is larger than the limit",
            got=f"{frames} x {rows} x {columns} = {voxels} voxels",
            expected=f"at most {limits.max_voxels} voxels",
            remedy="crop or resample it, or raise the limit",
        )


def check_pixel_bytes(file: Attributes, layout: Layout, matrix: tuple[int, int, int]) -> None:
    """Compare the declared length of uncompressed PixelData with what rows, columns and frames need."""
    if not layout.has_pixels:
        raise file.missing("PixelData")
    if layout.value_bytes is None:
        if layout.meta.transfer_syntax in _NATIVE:
            raise DicomError(f"attribute PixelData of {file.label} has no length though it is not compressed")
        return
    need = matrix[0] * matrix[1] * matrix[2] * file.integer("BitsAllocated") // 8
    if layout.value_bytes not in (need, need + need % 2):
        raise DicomError(
            f"attribute PixelData of {file.label} does not match its rows, columns and frames",
            got=f"{layout.value_bytes} bytes at byte {layout.pixel_element}",
            expected=f"{need} bytes for {matrix[0]} x {matrix[1]} x {matrix[2]} pixels",
            remedy="the file is cut off or damaged; export it again",
        )


def check_decoder(file: Attributes, layout: Layout) -> None:
    """Raise DicomError when no decoder for this file's compression is installed."""
    syntax = layout.meta.transfer_syntax
    if syntax in _NATIVE:
        return
    with guarded(file.label, "TransferSyntaxUID"):
        name = UID(syntax).name
        try:
            available = get_decoder(UID(syntax)).is_available
        except NotImplementedError:
            available = False
    if not available:
        raise DicomError(
            f"{file.label} is compressed in a way that is not read",
            got=str(name),
            expected="uncompressed, JPEG 2000 or RLE",
            remedy="export the series uncompressed (Explicit VR Little Endian)",
        )


def stored_values(data: bytes, layout: Layout, file: Attributes, matrix: tuple[int, int, int]) -> NDArray[Any]:
    """Stored integers, shape (frames, rows, columns), before any rescale.

    Raises
    ------
    DicomError
        Damaged or undecodable pixels, sizes that contradict the header, values beyond BitsStored.
    """
    check_pixel_bytes(file, layout, matrix)
    check_decoder(file, layout)
    if layout.meta.transfer_syntax in _NATIVE:
        values = _native(data, layout, file, matrix)
    else:
        values = _decoded(data, layout, file, matrix)
    return _fit_bits(values, file)


def _native(data: bytes, layout: Layout, file: Attributes, matrix: tuple[int, int, int]) -> NDArray[Any]:
    kind = "i" if file.integer("PixelRepresentation") else "u"
    dtype = np.dtype(f"{layout.byte_order}{kind}{file.integer('BitsAllocated') // 8}")
    count = matrix[0] * matrix[1] * matrix[2]
    values = np.frombuffer(data, dtype=dtype, count=count, offset=layout.value_start)
    return values.reshape(matrix).astype(dtype.newbyteorder("="), copy=False)


def _decoded(data: bytes, layout: Layout, file: Attributes, matrix: tuple[int, int, int]) -> NDArray[Any]:
    _check_codestreams(data, layout, file, matrix)
    with guarded(file.label, "PixelData"):
        dataset = pydicom.dcmread(io.BytesIO(data))
        values = np.asarray(dataset.pixel_array)
    if values.size != matrix[0] * matrix[1] * matrix[2]:
        raise DicomError(
            f"attribute PixelData of {file.label} does not match its rows, columns and frames",
            got=f"{values.size} decoded pixels",
            expected=str(matrix[0] * matrix[1] * matrix[2]),
        )
    return values.reshape(matrix)


def _check_codestreams(data: bytes, layout: Layout, file: Attributes, matrix: tuple[int, int, int]) -> None:
    """A JPEG 2000 stream states its own size: a small file must not unpack into another matrix than declared."""
    if layout.meta.transfer_syntax not in _JPEG_2000:
        return
    for start, length in layout.fragments:
        at = data.find(_J2K_START, start, start + min(length, 4096))
        if at < 0:
            continue  # the offset table, or the continuation of a frame
        if at + 24 > start + length:
            raise DicomError(f"attribute PixelData of {file.label} is cut off inside its compressed image")
        x1, y1, x0, y0 = struct.unpack_from(">IIII", data, at + 8)
        if (y1 - y0, x1 - x0) != matrix[1:]:
            raise DicomError(
                f"attribute PixelData of {file.label} unpacks to another size than declared",
                got=f"{y1 - y0} x {x1 - x0}",
                expected=f"{matrix[1]} x {matrix[2]}",
            )


def _fit_bits(values: NDArray[Any], file: Attributes) -> NDArray[Any]:
    """Values within BitsStored; signed values whose sign was not extended to the allocated bits are extended."""
    stored, signed = file.integer("BitsStored"), bool(file.integer("PixelRepresentation"))
    width = values.dtype.itemsize * 8
    if stored >= width:
        return values
    low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if signed else (0, (1 << stored) - 1)
    if int(values.min()) >= low and int(values.max()) <= high:
        return values
    if signed and int(values.min()) >= 0 and int(values.max()) < 1 << stored:
        shift = width - stored
        return np.asarray((values << shift) >> shift)
    raise DicomError(
        f"pixel values of {file.label} do not fit the declared bits",
        got=f"{int(values.min())} to {int(values.max())}",
        expected=f"{low} to {high} for {stored} bits stored",
    )
