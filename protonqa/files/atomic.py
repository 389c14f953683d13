"""Durable writing, and the manifest that makes a folder a result: no manifest, not a result."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from protonqa.durable import atomic_path, store_error, write_bytes_atomic, write_text_atomic
from protonqa.errors import StoreError

__all__ = [
    "MANIFEST_NAME",
    "Manifest",
    "ManifestEntry",
    "atomic_path",
    "check_manifest",
    "read_manifest",
    "write_bytes_atomic",
    "write_manifest",
    "write_text_atomic",
]

MANIFEST_NAME = "manifest.json"
_FORMAT = "protonqa-manifest"
_VERSION = 1
_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestEntry:
    """One file of a result folder: its name with forward slashes, its size and its SHA-256 in hex."""

    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All files of a result folder, sorted by name."""

    entries: tuple[ManifestEntry, ...]


def write_manifest(
    folder: str | os.PathLike[str], files: Iterable[str] | None = None, *, flush: bool = True
) -> Manifest:
    """List the files of a result folder with size and SHA-256; call it last.

    Parameters
    ----------
    folder : path
    files : names relative to the folder, optional
        Default: every file below the folder except the manifest and hidden or temporary files.
    flush : bool
        False for a folder that is still private: whoever publishes it puts its files on the disk.

    Raises
    ------
    StoreError
        A named file is absent, leaves the folder, or the manifest cannot be written.
    """
    root = Path(folder)
    names = sorted(_all_files(root) if files is None else set(files))
    entries = tuple(_entry(root, name) for name in names)
    rows = [{"file": e.file, "bytes": e.size_bytes, "sha256": e.sha256} for e in entries]
    text = json.dumps({"format": _FORMAT, "version": _VERSION, "files": rows}, indent=1, ensure_ascii=False)
    if flush:
        write_text_atomic(root / MANIFEST_NAME, text + "\n", label="manifest")
        return Manifest(entries=entries)
    try:
        (root / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise store_error("manifest", "write", error) from error
    return Manifest(entries=entries)


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """The manifest of a result folder.

    Raises
    ------
    StoreError
        No manifest (then it is not a result), or a damaged one.
    """
    path = Path(folder) / MANIFEST_NAME
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise StoreError("the manifest is too large", got=f"{path.stat().st_size} bytes", expected=f"{_MAX_BYTES}")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(
            "the folder has no manifest, so it is not a finished result", remedy="run the analysis again"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError("the manifest cannot be read", got=type(error).__name__, remedy="run it again") from error
    try:
        version = content["version"]
        if (content["format"], version) != (_FORMAT, _VERSION):
            raise StoreError("the manifest has another format", got=str(version)[:20], expected=str(_VERSION))
        entries = tuple(
            ManifestEntry(file=str(r["file"]), size_bytes=int(r["bytes"]), sha256=str(r["sha256"]))
            for r in content["files"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError("the manifest is damaged", got=f"{type(error).__name__}", remedy="run it again") from error
    for entry in entries:
        _inside(entry.file)
    return Manifest(entries=entries)


def check_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Read the manifest and compare every file with it.

    Raises
    ------
    StoreError
        A file is absent or differs; the message counts them.
    """
    manifest = read_manifest(folder)
    bad = [e.file for e in manifest.entries if not _same(Path(folder), e)]
    if bad:
        raise StoreError(
            "files of the result are absent or were changed",
            got=f"{len(bad)} of {len(manifest.entries)}",
            expected="the files of the manifest",
            remedy="run the analysis again",
        )
    return manifest


def _same(root: Path, entry: ManifestEntry) -> bool:
    try:
        return _entry(root, entry.file) == entry
    except StoreError:
        return False


def _entry(root: Path, name: str) -> ManifestEntry:
    path = root / _inside(name)
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise StoreError("a file of the result cannot be read", got=error.strerror or type(error).__name__) from error
    return ManifestEntry(file=name, size_bytes=size, sha256=digest.hexdigest())


def _inside(name: str) -> PurePosixPath:
    """A relative name that stays in the folder on every system, or StoreError."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise StoreError("a name of the manifest leaves the result folder", expected="names inside the folder")
    return path


def _all_files(root: Path) -> set[str]:
    found = set()
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and not path.is_symlink() and not hidden and relative.as_posix() != MANIFEST_NAME:
            found.add(relative.as_posix())
    return found
