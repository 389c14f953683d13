"""NPZ archives of plain arrays, read without pickle and without trusting a declared size; written reproducibly."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.durable import write_bytes_atomic
from protonqa.errors import InputError
from protonqa.files.csv_table import FileLimits, printable, read_bytes

#: Inflated size over the size of the file that a table of numbers may reach.
_MAX_RATIO = 200
_EPOCH = (1980, 1, 1, 0, 0, 0)


def read_npz(path: str | os.PathLike[str], *, what: str, limits: FileLimits | None = None) -> dict[str, NDArray[Any]]:
    """Arrays of numbers or text of an NPZ file, by name.

    Raises
    ------
    InputError
        Not an NPZ, damaged, too large when inflated, objects (pickle) inside.
    """
    limits = limits or FileLimits()
    content = read_bytes(path, what=what, limits=limits, kind=InputError)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            inflated = sum(m.file_size for m in members)
            if len(members) > limits.max_columns or inflated > min(_MAX_RATIO * len(content), 4 * limits.max_bytes):
                raise InputError(f"the {what} inflates to too much", got=f"{len(members)} arrays, {inflated} bytes")
            return {_name(m.filename, what): _array(archive.read(m), m.filename, what) for m in members}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise InputError(
            f"the {what} is a damaged NPZ file", got=type(error).__name__, remedy="write it again"
        ) from error


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], *, label: str) -> None:
    """Write arrays as compressed NPZ, all or nothing; the same arrays give the same bytes.

    Raises
    ------
    StoreError
        The file cannot be written; the old one is unchanged.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    write_bytes_atomic(path, buffer.getvalue(), label=label)


def _name(filename: str, what: str) -> str:
    stem, dot, suffix = filename.rpartition(".")
    if not dot or suffix != "npy" or not stem.isidentifier():
        raise InputError(f"the {what} holds something that is not an array", got=repr(printable(filename)))
    return stem


def _array(raw: bytes, filename: str, what: str) -> NDArray[Any]:
    stream = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError("version")
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise InputError(f"the {what} has a damaged array", got=printable(filename), remedy="write it again") from error
    if dtype.hasobject or dtype.kind not in "fiubU":
        raise InputError(
            f"the {what} holds objects", got=f"type {dtype.kind!r}", expected="numbers and text; nothing is unpickled"
        )
    count = 1
    for length in shape:
        count *= length
    if count * dtype.itemsize != len(raw) - stream.tell():
        raise InputError(f"the {what} has a truncated array", got=printable(filename), remedy="write it again")
    flat = np.frombuffer(raw, dtype=dtype, count=count, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")
