"""Durable writing: a file is either the old one, whole, or the new one, whole; never half of either.

Write to a temporary name in the same folder, flush, fsync, replace, fsync the folder.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from protonqa.errors import StoreError

#: Windows: access denied, sharing violation, lock violation; a virus scanner or viewer holds the file for a moment.
_WINDOWS_BUSY = (5, 32, 33)
_WINDOWS_PATIENCE_S = 5.0
#: File systems without fsync on folders answer one of these; the file itself is already safe.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)
_REMEDY = {
    errno.ENOSPC: "free space on the disk and run again",
    errno.EDQUOT: "free space in your quota and run again",
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "choose a folder you may write to",
    errno.EISDIR: "choose the name of a file, not of a folder",
    errno.ENOTDIR: "choose a folder, not a file",
    errno.EEXIST: "choose a folder, not a file",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def store_error(label: str, step: str, error: OSError) -> StoreError:
    """What went wrong while writing, in one line without the path (a folder may be named after a patient)."""
    number = error.errno or 0
    return StoreError(
        f"could not write the {label}",
        got=f"{error.strerror or type(error).__name__} at step '{step}'",
        remedy=_REMEDY.get(number, "check the disk or share and run again") + "; the old file, if any, is unchanged",
    )


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, label: str = "file") -> Iterator[Path]:
    """A temporary path beside `path`; leaving the block without an error puts it in place of `path`.

    Parameters
    ----------
    path : path
        Final name; its folder is made when absent.
    label : str
        What the file is, for messages.

    Yields
    ------
    Path
        An existing empty file with the same suffix, to be overwritten.

    Raises
    ------
    StoreError
        Any operating system error, also of the block itself. The old file is unchanged, the temporary one removed.
    """
    final = Path(path)
    step = "make the temporary file"
    temporary = final.with_name(f".{secrets.token_hex(6)}.tmp{final.suffix}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        step = "write"
        yield temporary
        step = "flush to disk"
        sync_file(temporary)
        step = "replace"
        replace(temporary, final)
        step = "flush the folder"
        sync_folder(final.parent)
    except OSError as error:
        raise store_error(label, step, error) from error
    finally:
        _remove(temporary)


def write_bytes_atomic(path: str | os.PathLike[str], content: bytes, *, label: str = "file") -> None:
    """Write `content` to `path`, all or nothing.

    Raises
    ------
    StoreError
        The disk is full, the folder is read-only, ...; the old file is unchanged.
    """
    with atomic_path(path, label=label) as temporary, temporary.open("wb") as stream:
        stream.write(content)


def write_text_atomic(path: str | os.PathLike[str], text: str, *, label: str = "file") -> None:
    """Write `text` as UTF-8 with its line ends as they are, all or nothing; raises StoreError."""
    write_bytes_atomic(path, text.encode("utf-8"), label=label)


def replace(
    source: Path,
    target: Path,
    *,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Replace `target` by `source`; waits up to 5 s while Windows reports the target as in use."""
    deadline = clock() + _WINDOWS_PATIENCE_S
    pause_s = 0.02
    while True:
        try:
            source.replace(target)
        except OSError as error:
            if getattr(error, "winerror", None) not in _WINDOWS_BUSY or clock() >= deadline:
                raise
            wait(pause_s)
            pause_s = min(2 * pause_s, 0.5)
        else:
            return


def sync_file(path: Path) -> None:
    """Ask the system to put the content of a file on the disk."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk (POSIX; Windows does it with the file)."""
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def _remove(temporary: Path) -> None:
    """Remove what is left of a temporary file; failing to do so must not hide the first error."""
    try:
        temporary.unlink(missing_ok=True)
    except OSError:
        return
