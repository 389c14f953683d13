"""The training set on disk: shards of rays as NPZ (no pickle) and a manifest with hashes.

A shard is written by whoever simulated it, whole or not at all; the manifest is written last from the shards that are
there. Hashes are taken over the arrays, not over the files, so that a set made again is the same set.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from protonqa.durable import write_bytes_atomic, write_text_atomic
from protonqa.errors import InputError, StoreError
from protonqa.jobs.artefacts import CELLS
from protonqa.range_model.config import Settings, canonical_hash
from protonqa.range_model.dataset import (
    COLUMNS,
    LATER_COLUMNS,
    RayTable,
    SetSchema,
    TrainingRay,
    arrays_hash,
    completed,
    stack_rays,
)

SET_VERSION = 1
MANIFEST = "manifest.json"


def write_shard(folder: Path, name: str, rays: Sequence[TrainingRay], schema: SetSchema) -> str:
    """Write the rays of one piece of work as ``NAME.npz``; returns the hash of its content.

    The file appears whole or not at all; writing the same rays again gives the same bytes.

    Raises
    ------
    InputError
        A ray that does not fit, or a name that is not plain.
    """
    if not name.replace("-", "").replace("_", "").isalnum():
        raise InputError("shard name is not plain", got=repr(name), expected="letters, digits, - and _")
    if not rays:
        raise InputError("shard without rays", got=name, expected="at least one ray")
    arrays = stack_rays([ray.checked(schema) for ray in rays], schema)
    arrays["schema_hash"] = np.array(schema.identity())
    write_bytes_atomic(folder / f"{name}.npz", _npz_bytes(arrays), label="training set shard")
    return arrays_hash(arrays)


class Shard(Settings):
    """A shard in the manifest."""

    name: str
    n_ray: int
    content_hash: str


class Manifest(Settings):
    """What a training set is made of; `set_hash` stands in the card of every model trained on it."""

    version: int = SET_VERSION
    schema_: SetSchema = Field(alias="schema")
    recipe: dict[str, Any]
    shards: tuple[Shard, ...]
    set_hash: str

    @property
    def n_ray(self) -> int:
        """Number of rays."""
        return sum(s.n_ray for s in self.shards)


def write_manifest(folder: Path, schema: SetSchema, recipe: dict[str, Any]) -> Manifest:
    """Close a set: check every shard that is there and list them by name. No manifest: not a set.

    Parameters
    ----------
    recipe : dict
        How the set was made (seed, sites, beams, tables, versions): plain JSON, printed in the card.
    """
    shards = []
    for path in shard_files(folder):
        arrays = _read_shard(path, schema)
        shards.append(Shard(name=path.stem, n_ray=int(arrays["r80_mm"].size), content_hash=arrays_hash(arrays)))
    if not shards:
        raise InputError("training set has no shards", expected="at least one .npz shard")
    identity = {
        "version": SET_VERSION,
        "schema": schema.model_dump(mode="json"),
        "shards": [s.model_dump(mode="json") for s in shards],
    }
    manifest = Manifest(schema=schema, recipe=recipe, shards=tuple(shards), set_hash=canonical_hash(identity))
    write_text_atomic(
        folder / MANIFEST, manifest.model_dump_json(indent=1, by_alias=True), label="training set manifest"
    )
    return manifest


def shard_files(folder: Path) -> list[Path]:
    """Every shard of a set by name: in the folder itself, or each in the folder of its cell."""
    found = [*folder.glob("*.npz"), *folder.glob(f"{CELLS}/*/*.npz")]
    return sorted(found, key=lambda path: path.stem)


def _shard_path(folder: Path, name: str) -> Path:
    plain = folder / f"{name}.npz"
    return plain if plain.is_file() else folder / CELLS / name / f"{name}.npz"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a closed set.

    Raises
    ------
    StoreError
        No manifest, damaged, or of another version.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise StoreError("training set has no manifest", remedy="finish making the set first") from error
    except ValidationError as error:
        raise StoreError("training set manifest cannot be read", got=f"{error.error_count()} faults") from error
    if manifest.version != SET_VERSION:
        raise StoreError("training set is of another version", got=str(manifest.version), expected=str(SET_VERSION))
    return manifest


def read_training_set(folder: Path) -> RayTable:
    """All rays of a closed set, each shard checked against the manifest.

    Raises
    ------
    StoreError
        A shard is missing, damaged or not the one the manifest lists.
    """
    manifest = read_manifest(folder)
    parts: list[dict[str, NDArray[Any]]] = []
    for shard in manifest.shards:
        arrays = _read_shard(_shard_path(folder, shard.name), manifest.schema_)
        if arrays_hash(arrays) != shard.content_hash:
            raise StoreError("training set shard is not the one in the manifest", got=shard.name)
        parts.append(arrays)
        parts[-1] = completed(arrays, manifest.schema_)
    joined = {name: np.concatenate([p[name] for p in parts]) for name in COLUMNS}
    return RayTable(schema=manifest.schema_, content_hash=manifest.set_hash, **joined)


def _npz_bytes(arrays: dict[str, NDArray[Any]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in sorted(arrays):
            part = io.BytesIO()
            np.save(part, arrays[name], allow_pickle=False)
            # A fixed date: the same rays are the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), part.getvalue())
    return out.getvalue()


def _read_shard(path: Path, schema: SetSchema) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            names = [name for name in COLUMNS if name not in LATER_COLUMNS or name in archive.files]
            arrays = {name: np.asarray(archive[name]) for name in (*names, "schema_hash")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise StoreError(
            "training set shard cannot be read", got=f"{path.stem}, {type(error).__name__}", remedy="make it again"
        ) from error
    if str(arrays["schema_hash"]) != schema.identity():
        raise StoreError("training set shard has another schema", got=path.stem)
    del arrays["schema_hash"]
    return arrays
