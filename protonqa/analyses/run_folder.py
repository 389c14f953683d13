"""The folder of a run: a new result takes the place of an old one only when it is whole.

Everything is written into a hidden folder beside the old files; at the end the files are moved and the manifest is
written last. A run that fails, is cancelled or finds the disk full leaves the old result as it was.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protonqa.durable import replace, store_error, sync_file, sync_folder
from protonqa.errors import StoreError
from protonqa.files.atomic import MANIFEST_NAME, read_manifest, write_manifest

RESULT = "result.json"
TRACEBACK = "traceback.txt"


def prove_writable(folder: Path) -> None:
    """Make the folder and write, sync and remove a small file in it, before any computing.

    Raises
    ------
    StoreError
        Not a folder, or not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{secrets.token_hex(4)}"
        try:
            probe.write_bytes(b"protonqa")
            sync_file(probe)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            "the output folder cannot be written",
            got=os.strerror(error.errno) if error.errno else type(error).__name__,
            expected="a folder with write access",
            remedy="choose another --out",
        ) from error


def write_staged(folder: Path, name: str, text: str) -> None:
    """Write a file of a folder that is still private; whoever publishes the folder puts it on the disk.

    Raises
    ------
    StoreError
    """
    try:
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise store_error(name, "write", error) from error


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """A hidden folder inside `out` to write a result into; leaving the block without an error publishes it.

    Raises
    ------
    StoreError
        `out` cannot be written, or the result cannot be published.
    """
    prove_writable(out)
    staging = out / f".partial-{secrets.token_hex(6)}"
    try:
        staging.mkdir()
        yield staging
        _publish(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _publish(staging: Path, out: Path) -> None:
    """Move all files of `staging` to `out`; what belonged to the old result and not to the new one goes."""
    names = sorted(path.relative_to(staging).as_posix() for path in staging.rglob("*") if path.is_file())
    old = _old_names(out)
    step = "move"
    try:
        for name in names:
            sync_file(staging / name)
        # Without its manifest the folder is no result; from here until the new one it says so.
        (out / MANIFEST_NAME).unlink(missing_ok=True)
        for name in names:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            replace(staging / name, out / name)
        for name in old - set(names):
            (out / name).unlink(missing_ok=True)
        sync_folder(out)
    except OSError as error:
        raise store_error("result", step, error) from error
    write_manifest(out, names)


def _old_names(out: Path) -> set[str]:
    try:
        return {entry.file for entry in read_manifest(out).entries}
    except StoreError:
        return set()
