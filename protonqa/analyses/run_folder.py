"""The folder of a run: proved writable before any computing, a result only once its manifest is written."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from protonqa.errors import StoreError
from protonqa.files.atomic import MANIFEST_NAME

RESULT = "result.json"
TRACEBACK = "traceback.txt"


def open_run_folder(folder: Path) -> Path:
    """Make the folder and prove that it can be written; an older result in it ends here.

    Raises
    ------
    StoreError
        Not a folder, or not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{secrets.token_hex(4)}"
        probe.write_bytes(b"protonqa")
        probe.unlink()
        # The manifest goes first: from here on the folder is not a result until the new one is written.
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
        (folder / TRACEBACK).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            "the output folder cannot be written",
            got=os.strerror(error.errno) if error.errno else type(error).__name__,
            expected="a folder with write access",
            remedy="choose another --out",
        ) from error
    return folder
