"""The files of an import, from a folder, a single file or a zip archive; nothing is ever unpacked to disk."""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from protonqa.dicom.attributes import clean_text
from protonqa.dicom.limits import ReadLimits
from protonqa.dicom.structure import Damage
from protonqa.errors import InputError

_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file: its name inside the import, its size and how to get its bytes.

    ``problem`` says why there are no bytes to get (a device, a broken link); empty for a plain file.
    """

    name: str
    size: int
    problem: str = ""
    path: Path | None = field(default=None, repr=False)
    archive: zipfile.ZipFile | None = field(default=None, repr=False)
    entry: zipfile.ZipInfo | None = field(default=None, repr=False)

    def read(self, count: int = -1) -> bytes:
        """The first `count` bytes, or all of them.

        Raises
        ------
        Damage
            The file vanished, cannot be opened or is damaged inside its archive.
        """
        try:
            if self.archive is not None and self.entry is not None:
                with self.archive.open(self.entry) as stream:
                    return stream.read(count if count >= 0 else self.size)
            if self.path is None:
                return b""
            with self.path.open("rb") as file:
                # Never more than the size that was checked, should the file grow meanwhile.
                return file.read(count if count >= 0 else self.size)
        except OSError as error:
            raise Damage(f"the file cannot be opened ({error.strerror or 'input error'})") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise Damage(f"the zip archive is damaged inside this file ({type(error).__name__})") from None


@contextmanager
def open_sources(path: str | Path, what: str, limits: ReadLimits) -> Iterator[tuple[Source, ...]]:
    """All files of a folder (with its sub-folders), of a zip archive, or the one file named; sorted by name.

    Parameters
    ----------
    path : str or Path
        Folder, file or zip archive.
    what : str
        What is looked for there, for messages: the path itself may name a patient and is never repeated.
    limits : ReadLimits

    Raises
    ------
    InputError
        Nothing there, a limit exceeded, an archive with links, absolute names, names that climb out, or encryption.
    """
    place = Path(path)
    try:
        mode = place.stat().st_mode
    except (OSError, ValueError):
        raise InputError(f"there is no file or folder for the {what}", remedy="check the path") from None
    if stat.S_ISDIR(mode):
        yield _folder_sources(place, what, limits)
    elif not stat.S_ISREG(mode):
        raise InputError(f"the {what} is neither a file nor a folder", expected="a folder, a file or a zip archive")
    elif _is_zip(place, what):
        with _open_zip(place, what, limits) as archive:
            yield _zip_sources(archive, what, limits)
    else:
        yield (Source(name=place.name, size=place.stat().st_size, path=place),)


def _is_zip(place: Path, what: str) -> bool:
    try:
        with place.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError as error:
        raise InputError(f"the {what} cannot be read", got=error.strerror or "an input error") from None


def _folder_sources(place: Path, what: str, limits: ReadLimits) -> tuple[Source, ...]:
    found: list[Source] = []
    # Links to folders are not followed: a loop would never end.
    for folder, folders, names in os.walk(place):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            found.append(_file_source(path, path.relative_to(place).as_posix()))
            _check_count(len(found), what, limits)
    return tuple(sorted(found, key=lambda source: source.name))


def _file_source(path: Path, name: str) -> Source:
    try:
        facts = path.stat()
    except OSError as error:
        return Source(name=name, size=0, problem=f"cannot be opened ({error.strerror or 'input error'})")
    if not stat.S_ISREG(facts.st_mode):
        return Source(name=name, size=0, problem="not a plain file")  # a device or a pipe could block for ever
    return Source(name=name, size=facts.st_size, path=path)


def _check_count(count: int, what: str, limits: ReadLimits) -> None:
    if count > limits.max_files:
        raise InputError(
            f"too many files for the {what}",
            got=f"at least {count}",
            expected=f"at most {limits.max_files}",
            remedy="name the folder of the one study",
        )


@contextmanager
def _open_zip(place: Path, what: str, limits: ReadLimits) -> Iterator[zipfile.ZipFile]:
    try:
        _check_directory_size(place, what, limits)
        archive = zipfile.ZipFile(place)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, struct.error):
        raise InputError(
            f"the zip archive of the {what} is cut off or damaged", remedy="pack the archive again"
        ) from None
    with archive:
        yield archive


def _check_directory_size(place: Path, what: str, limits: ReadLimits) -> None:
    """Look at the declared size of the list of entries before the library loads all of it."""
    with place.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65_600))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(tail):
        raise zipfile.BadZipFile
    directory_bytes = struct.unpack_from("<I", tail, at + 12)[0]
    if directory_bytes > limits.max_files * 1024:
        raise InputError(
            f"the zip archive of the {what} lists too many files",
            got=f"a list of {directory_bytes} bytes",
            expected=f"at most {limits.max_files} files",
        )


def _zip_sources(archive: zipfile.ZipFile, what: str, limits: ReadLimits) -> tuple[Source, ...]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    _check_count(len(archive.infolist()), what, limits)
    for entry in archive.infolist():
        _check_entry(entry, what)
    inflated, packed = sum(e.file_size for e in entries), sum(e.compress_size for e in entries)
    if inflated > limits.max_total_bytes:
        raise InputError(
            f"the zip archive of the {what} inflates beyond the limit",
            got=f"{inflated} bytes",
            expected=f"at most {limits.max_total_bytes} bytes",
        )
    if inflated > limits.zip_ratio_from_bytes and inflated > limits.max_zip_ratio * max(packed, 1):
        raise InputError(
            f"the zip archive of the {what} is packed too densely to be images",
            got=f"a ratio of {inflated / max(packed, 1):.0f}",
            expected=f"at most {limits.max_zip_ratio:g}",
            remedy="unpack it yourself and name the folder",
        )
    sources = [
        Source(name=clean_text(entry.filename, 255), size=entry.file_size, archive=archive, entry=entry)
        for entry in entries
    ]
    return tuple(sorted(sources, key=lambda source: source.name))


def _check_entry(entry: zipfile.ZipInfo, what: str) -> None:
    name = entry.orig_filename
    parts = re.split(r"[\\/]", name)
    if not name or name[0] in "/\\" or _DRIVE.match(name) or ".." in parts or "\0" in name:
        raise InputError(
            f"the zip archive of the {what} holds a name that leaves the archive",
            expected="plain relative names",
            remedy="do not use this archive; ask where it comes from",
        )
    kind = (entry.external_attr >> 16) & 0o170000
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(
            f"the zip archive of the {what} holds a link or a special file", expected="plain files and folders"
        )
    if entry.flag_bits & 0x1:
        raise InputError(f"the zip archive of the {what} is encrypted", remedy="unpack it and name the folder")
    # The other methods of the format can inflate without any bound in one call.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(
            f"the zip archive of the {what} uses an unusual compression", expected="deflate or no compression"
        )
