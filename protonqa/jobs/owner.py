"""One writer a job: a lock that the system gives back by itself when its owner dies."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from protonqa.durable import store_error
from protonqa.errors import StoreError

LOCK = "job.lock"
#: Windows locks bytes, and locked bytes cannot be read: lock one far behind the text.
_LOCKED_BYTE = 1 << 20


class OwnerLock:
    """The right to write into a job's folder; held until `release` or the end of the process.

    Raises
    ------
    StoreError
        Another process has it; the message says which. Or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise store_error("lock of the job", "open", error) from error
        try:
            _lock(self._handle)
        except OSError as error:
            os.close(self._handle)
            raise StoreError(
                "another run is working on this job",
                got=_owner(path),
                expected="one writer",
                remedy="wait until it has ended, or stop it; results can be read meanwhile",
            ) from error
        text = json.dumps({"process": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")})
        with suppress(OSError):  # only a courtesy to the next one who asks
            os.ftruncate(self._handle, 0)
            os.write(self._handle, text.encode())

    def release(self) -> None:
        """Give the right back."""
        with suppress(OSError):
            os.close(self._handle)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _owner(path: Path) -> str:
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        return f"process {int(text['process'])} since {text['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that did not say its name"
