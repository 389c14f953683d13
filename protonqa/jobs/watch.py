"""Watching a folder: which cases have arrived whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from protonqa.errors import InputError, StoreError
from protonqa.jobs.canonical import canonical_json, sha256_text

#: A file that still has such a name is being written by its sender.
_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A file or folder that has arrived and been quiet long enough.

    Parameters
    ----------
    path : Path
        Directly below the watched folder. Its name may be a patient's: cells are better named by the fingerprint.
    fingerprint : str
        SHA-256 over the names, sizes and times of change of its files: the same case sent again is new work.
    files, size_bytes : int
    """

    path: Path
    fingerprint: str
    files: int
    size_bytes: int


class FolderWatch:
    """Tells each case in a folder once, when nothing in it has changed for a while.

    Parameters
    ----------
    folder : Path
    quiet_s : float
        How long nothing may have changed. Senders pause between files: longer than the longest pause.
    clock : callable
        Seconds that never go backwards.

    Raises
    ------
    InputError
        No folder, or a negative time.
    """

    def __init__(self, folder: Path, *, quiet_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        if not folder.is_dir():
            raise InputError("the folder to watch is not there", remedy="make it, or name another one")
        if not 0.0 <= quiet_s < float("inf"):
            raise InputError("unusable quiet time", got=f"{quiet_s} s", expected="0 s or more")
        self._folder, self._quiet_s, self._clock = folder, quiet_s, clock
        self._seen: dict[str, tuple[str, float]] = {}
        self._told: dict[str, str] = {}

    def poll(self) -> tuple[Arrival, ...]:
        """Look once; what has settled since the last look, by name.

        Raises
        ------
        StoreError
            The folder has vanished or cannot be read.
        """
        try:
            names = sorted(one.name for one in self._folder.iterdir() if not one.name.startswith("."))
        except OSError as error:
            raise StoreError(
                "the watched folder cannot be read",
                got=error.strerror or type(error).__name__,
                remedy="check the disk or share and start again",
            ) from error
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        self._told = {name: told for name, told in self._told.items() if name in names}
        arrived = [self._look(name) for name in names]
        return tuple(one for one in arrived if one is not None)

    def batches(
        self, *, every_s: float = 10.0, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[Arrival, ...]]:
        """What has arrived, again and again, until cancelled; never an empty tuple."""
        next_s = self._clock()
        while not cancelled():
            if self._clock() >= next_s:
                next_s = self._clock() + every_s
                if arrived := self.poll():
                    yield arrived
            else:
                time.sleep(min(0.1, every_s))

    def _look(self, name: str) -> Arrival | None:
        path = self._folder / name
        try:
            rows = sorted(_rows(path, ""))
        except OSError:
            self._seen.pop(name, None)  # it changes under our eyes
            return None
        fingerprint = _hash(rows)
        before, since_s = self._seen.get(name, ("", 0.0))
        if fingerprint != before:
            since_s = self._clock()
            self._seen[name] = (fingerprint, since_s)
        whole = rows and not any(row[0].lower().endswith(_UNFINISHED) for row in rows)
        if not whole or self._clock() - since_s < self._quiet_s or self._told.get(name) == fingerprint:
            return None
        self._told[name] = fingerprint
        return Arrival(path=path, fingerprint=fingerprint, files=len(rows), size_bytes=sum(row[1] for row in rows))


def fingerprint_of(*paths: Path) -> str:
    """SHA-256 over the names below each path, sizes and times of change of all files; contents are not read.

    Raises
    ------
    InputError
        A path is not there or cannot be looked at.
    """
    try:
        if not all(path.exists() for path in paths):
            raise InputError("a file or folder of a case is not there", remedy="check the paths")
        return _hash([list(row) for path in paths for row in sorted(_rows(path, ""))])
    except OSError as error:
        raise InputError("a folder of a case cannot be read", got=error.strerror or type(error).__name__) from error


def _hash(rows: Sequence[Sequence[object]]) -> str:
    return sha256_text(canonical_json([list(row) for row in rows]))


def _rows(path: Path, name: str) -> Iterator[tuple[str, int, int]]:
    """Name below the case, size and time of change of each file; links are not followed."""
    if path.is_symlink():
        return
    if path.is_dir():
        with os.scandir(path) as entries:
            for entry in entries:
                yield from _rows(Path(entry.path), f"{name}/{entry.name}")
    elif path.is_file():
        facts = path.stat()
        yield name or path.name, facts.st_size, facts.st_mtime_ns
