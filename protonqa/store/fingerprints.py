"""SHA-256 and size of what a result was computed from and of what it left behind; no name of a file enters."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from protonqa.errors import InputError, StoreError
from protonqa.files.atomic import read_manifest
from protonqa.store.values import StoredFile

_BLOCK = 1 << 20


def input_fingerprints(paths: Mapping[str, Path]) -> tuple[StoredFile, ...]:
    """Each input by its name in the analysis; a folder counts as one, by the sorted hashes of its files.

    Raises
    ------
    InputError
        A path can no longer be read.
    """
    return tuple(_input(name, paths[name]) for name in sorted(paths))


def artefact_fingerprints(folder: Path, descriptions: Mapping[str, str]) -> tuple[StoredFile, ...]:
    """The files of a result folder, as its manifest lists them; none where the folder has no manifest."""
    try:
        entries = read_manifest(folder).entries
    except StoreError:
        return ()
    return tuple(
        StoredFile(
            name=one.file, size_bytes=one.size_bytes, sha256=one.sha256, description=str(descriptions.get(one.file, ""))
        )
        for one in entries
    )


def _input(name: str, path: Path) -> StoredFile:
    try:
        if path.is_file():
            digest, size = _file(path)
            return StoredFile(name=name, size_bytes=size, sha256=digest.hex())
        found = [_file(one) for one in _files(path)]
    except OSError as error:
        raise InputError(
            f"input {name} cannot be read again", got=os.strerror(error.errno) if error.errno else type(error).__name__
        ) from error
    whole = hashlib.sha256(b"".join(sorted(digest for digest, _ in found)))
    return StoredFile(name=name, size_bytes=sum(size for _, size in found), sha256=whole.hexdigest(), files=len(found))


def _files(folder: Path) -> list[Path]:
    return [Path(root) / name for root, _, names in os.walk(folder) for name in names]


def _file(path: Path) -> tuple[bytes, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return digest.digest(), size
