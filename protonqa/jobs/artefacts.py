"""The folder of a cell: written in private, moved into place whole, or thrown away."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from protonqa.durable import replace, store_error, sync_file, sync_folder
from protonqa.errors import PluginError
from protonqa.jobs.outcome import CellFile

CELLS = "cells"
STAGING = ".staging"
_BLOCK_BYTES = 1 << 20


def finished_files(folder: Path) -> tuple[CellFile, ...]:
    """Put every file of a work folder on the disk and list it by name; none when the folder was never used.

    Raises
    ------
    PluginError
        Something that is not a plain file or folder: a link would lead elsewhere after the move.
    StoreError
        The disk refuses.
    """
    if not folder.is_dir():
        return ()
    files = []
    try:
        for path in _walk(folder):
            size, digest = _size_and_hash(path, flush=True)
            files.append(CellFile(name=path.relative_to(folder).as_posix(), size_bytes=size, sha256=digest))
    except OSError as error:
        raise store_error("folder of a cell", "flush to disk", error) from error
    return tuple(sorted(files, key=lambda one: one.name))


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
            else:
                raise PluginError("the folder of the cell holds a link or a device", expected="files and folders")
    sync_folder(folder)


def _size_and_hash(path: Path, *, flush: bool = False) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
        if flush and os.name == "posix":
            # Also files that their writer made read-only can be flushed.
            os.fsync(stream.fileno())
    if flush and os.name != "posix":
        sync_file(path)
    return size, digest.hexdigest()


class CellFolders:
    """The folders of a job: finished ones under `name`, those being written in a private place of this run."""

    def __init__(self, folder: Path, name: str = CELLS) -> None:
        self.cells = folder / name
        self._staging = folder / STAGING
        self._run = self._staging / secrets.token_hex(6)

    def prepare(self, committed: Iterable[str], known: Iterable[str]) -> None:
        """Throw away what killed runs left: staged folders, and folders of cells that were never committed.

        Parameters
        ----------
        committed : names of cells whose folder counts
        known : names of all cells of the table; folders of other names are not ours

        Raises
        ------
        StoreError
            The folder of the job cannot be written.
        """
        shutil.rmtree(self._staging, ignore_errors=True)
        kept = set(committed)
        try:
            self._run.mkdir(parents=True)
            present = {one.name for one in self.cells.iterdir()} if self.cells.is_dir() else set()
            for name in present.intersection(known) - kept:
                self._to_trash(self.cells / name)
        except OSError as error:
            raise store_error("folder of the job", "prepare", error) from error

    def work_folder(self, position: int) -> Path:
        """Where the cell in row `position` may write; not made yet."""
        return self._run / str(position)

    def publish(self, position: int, cell_id: str) -> None:
        """Move a finished work folder to its place.

        Raises
        ------
        StoreError
            The disk refuses.
        """
        final = self.cells / cell_id
        try:
            self.cells.mkdir(exist_ok=True)
            if final.exists():
                self._to_trash(final)
            replace(self.work_folder(position), final)
            sync_folder(self.cells)
        except OSError as error:
            raise store_error("folder of a cell", "move", error) from error

    def discard(self, position: int) -> None:
        """Throw a work folder away; what cannot be removed now goes with the next run."""
        shutil.rmtree(self.work_folder(position), ignore_errors=True)

    def lost(self, cell_id: str, files: Iterable[CellFile]) -> bool:
        """True when a file of a committed cell is absent or of another size."""
        root = self.cells / cell_id
        try:
            return any((root / one.name).stat().st_size != one.size_bytes for one in files)
        except OSError:
            return True

    def close(self) -> None:
        """Remove the private place of this run."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def _to_trash(self, path: Path) -> None:
        trash = self._run / f"old-{secrets.token_hex(6)}"
        replace(path, trash)
        shutil.rmtree(trash, ignore_errors=True)


def changed_files(folder: Path, cell_id: str, files: Iterable[CellFile]) -> tuple[str, ...]:
    """Names of the files of a committed cell that are absent or whose content is not what was committed.

    Parameters
    ----------
    folder : Path
        Of the job.
    """
    changed = []
    for one in files:
        try:
            same = _size_and_hash(folder / CELLS / cell_id / one.name) == (one.size_bytes, one.sha256)
        except OSError:
            same = False
        if not same:
            changed.append(one.name)
    return tuple(changed)
