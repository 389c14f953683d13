"""The rays of a study: opened from where they come, chosen, and laid out so that a cell reads only its own anatomy."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from protonqa.durable import write_bytes_atomic, write_text_atomic
from protonqa.errors import InputError, StoreError
from protonqa.jobs.crew import Backend
from protonqa.range_model.dataset import RayTable, SetSchema, Split, arrays_hash, split_of
from protonqa.range_model.set_config import TrainingSetConfig
from protonqa.range_model.shards import Manifest, read_manifest, read_training_set
from protonqa.range_model.training_set import make_training_set
from protonqa.study.profile_rays import table_of_profiles
from protonqa.values import Finding, Severity

if TYPE_CHECKING:
    from protonqa.range_model.card import ModelCard
    from protonqa.study.settings import RaySource

Progress = Callable[[float, float, str], None]
LAYOUT = "rays.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyRays:
    """Rays to study, rays the A50 lines are fitted on (None: those of the model's card), and what to say about them."""

    table: RayTable
    lines: RayTable | None
    facts: Mapping[str, Any]
    findings: tuple[Finding, ...] = ()


def open_rays(
    source: RaySource,
    card: ModelCard,
    work: Path,
    *,
    seed: int,
    line_rays: int,
    on: Backend | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> StudyRays:
    """Read, simulate or convert the rays of a study.

    Parameters
    ----------
    card : ModelCard
        Of the model under study: it knows which anatomies it learned from.
    work : Path
        Twins are simulated into ``work/twins``; a killed simulation goes on there.
    on : Backend, optional
        Who simulates twins.

    Raises
    ------
    InputError
        Anatomies of the training, or files that cannot be used.
    StoreError
        A damaged set.
    """
    if source.set is not None:
        found = _of_set(source, source.set, card)
    elif source.twins is not None:
        recipe = recipe_of_twins(source.twins, card)
        manifest = make_training_set(recipe, work / "twins", on=on, progress=progress, cancelled=cancelled)
        facts = {"source": "twins simulated for this study", "set_hash": manifest.set_hash, "recipe": manifest.recipe}
        found = StudyRays(table=read_training_set(work / "twins"), lines=None, facts=facts)
    else:
        table = table_of_profiles(source.profiles)
        found = StudyRays(table=table, lines=None, facts={"source": "profile tables", "set_hash": table.content_hash})
    if source.lines is not None:
        found = replace(found, lines=_line_rows(source.lines, card))
    table = _thinned(found.table, source, seed)
    lines = None if found.lines is None else _some(found.lines, line_rays, seed)
    counts = {"rays": len(table), "anatomies": len(set(table.anatomy.tolist()))}
    return replace(found, table=table, lines=lines, facts={**found.facts, **counts})


def _of_set(source: RaySource, folder: Path, card: ModelCard) -> StudyRays:
    manifest, table = _read(folder)
    facts = {"source": "closed set", "set_hash": manifest.set_hash}
    if not _is_own(manifest.set_hash, manifest.recipe, card):
        return StudyRays(table=table, lines=None, facts={**facts, "part": "all; the model was not trained on this set"})
    learned = source.part in ("train", "all")
    if learned and not source.allow_training:
        raise InputError(
            "these anatomies were seen by the training of the model",
            got=f"part {source.part}",
            expected="part test, held or unseen",
            remedy="set allow_training: true to study them nevertheless",
        )
    split = _split(table, card)
    rows = {
        "test": split.test,
        "held": split.held,
        "unseen": np.sort(np.concatenate([split.test, split.held])),
        "calibrate": split.calibrate,
        "train": split.train,
        "all": np.arange(len(table)),
    }[source.part]
    if rows.size == 0:
        raise InputError("the set has no rays of this part", got=f"part {source.part}", expected="part test")
    text = "Anatomies of the training are among these rays: errors and intervals flatter the model."
    seen = Finding(severity=Severity.CRITICAL, code="STUDY-TRAINING-RAYS", text=text)
    return StudyRays(
        table=table.select(rows),
        lines=table.select(split.train),
        facts={**facts, "part": source.part},
        findings=(seen,) if learned else (),
    )


def recipe_of_twins(given: Mapping[str, Any], card: ModelCard) -> TrainingSetConfig:
    """The recipe of fresh twins: all of them for the study, so all are held out and simulated on the planning CT too.

    Raises
    ------
    InputError
        A recipe that is wrong, or the seed of the training.
    """
    try:
        config = TrainingSetConfig.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(one) for one in first["loc"])
        raise InputError(
            f"recipe of the twins is wrong at {place}",
            got=str(first["msg"])[:120],
            expected=", ".join(TrainingSetConfig.model_fields),
        ) from error
    if _is_own("", {"seed": config.seed}, card):
        raise InputError(
            "these twins are those the model was trained on", got=f"seed {config.seed}", remedy="choose another seed"
        )
    sites = {name: site.model_copy(update={"held_out": True}) for name, site in config.sites.items()}
    return config.model_copy(update={"sites": sites})


def _is_own(set_hash: str, recipe: Mapping[str, Any], card: ModelCard) -> bool:
    """True where the model was trained on this set, or on one drawn from the same seed: the anatomies are the same."""
    trained = card.training.recipe.get("training_set", {})
    return set_hash == card.training.set_hash or (
        isinstance(trained, Mapping) and "seed" in recipe and trained.get("seed") == recipe["seed"]
    )


def _split(table: RayTable, card: ModelCard) -> Split:
    """The split of the training, as the card remembers it."""
    config = card.training.config
    return split_of(
        table,
        seed=card.training.seed,
        calibrate=float(config["calibrate_share"]),
        test=float(config["test_share"]),
    )


def _read(folder: Path) -> tuple[Manifest, RayTable]:
    if not folder.is_dir():
        raise InputError("the set of rays is not there", expected="a folder that protonqa train wrote (training-set)")
    return read_manifest(folder), read_training_set(folder)


def _line_rows(folder: Path, card: ModelCard) -> RayTable:
    manifest, table = _read(folder)
    own = _is_own(manifest.set_hash, manifest.recipe, card)
    return table.select(_split(table, card).train) if own else table


def _thinned(table: RayTable, source: RaySource, seed: int) -> RayTable:
    """At most so many anatomies, and so many rays of each, drawn with the seed; the order of the set stays."""
    names = np.asarray(table.anatomy)
    rng = np.random.default_rng([seed, 0x7A])
    unique = np.array(sorted(set(names.tolist())))
    if source.most_anatomies is not None and unique.size > source.most_anatomies:
        unique = np.sort(rng.choice(unique, source.most_anatomies, replace=False))
    rows = []
    for name in unique:
        mine = np.flatnonzero(names == name)
        if source.most_rays_per_anatomy is not None and mine.size > source.most_rays_per_anatomy:
            mine = np.sort(rng.choice(mine, source.most_rays_per_anatomy, replace=False))
        rows.append(mine)
    return table.select(np.concatenate(rows))


def _some(table: RayTable, count: int, seed: int) -> RayTable:
    rng = np.random.default_rng([seed, 0x11])
    return table.select(np.sort(rng.permutation(len(table))[:count]))


def lay_out(table: RayTable, folder: Path) -> str:
    """Write a table as one array file a column, to be read in parts; returns the hash of its content.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    arrays = {f.name: np.ascontiguousarray(getattr(table, f.name)) for f in _columns(table)}
    digest = arrays_hash(arrays)
    layout = {"hash": digest, "columns": sorted(arrays), "schema": table.schema.model_dump(mode="json")}
    if _layout(folder).get("hash") == digest:
        return digest
    for name, array in arrays.items():
        write_bytes_atomic(folder / f"{name}.npy", _npy(array), label="rays of the study")
    write_text_atomic(folder / LAYOUT, json.dumps(layout, sort_keys=True), label="rays of the study")
    return digest


@lru_cache(maxsize=4)
def laid_out(folder: Path, digest: str) -> RayTable:
    """The table that `lay_out` wrote; its arrays stay on the disk until they are read.

    Raises
    ------
    StoreError
        Another table, or a damaged one.
    """
    layout = _layout(folder)
    if layout.get("hash") != digest:
        raise StoreError("the rays of the study are not there or were changed", remedy="run the study again")
    known = {f.name for f in fields(RayTable)}
    try:
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in layout["columns"]
            if name in known
        }
    except (OSError, ValueError) as error:
        raise StoreError("the rays of the study cannot be read", got=type(error).__name__) from error
    return RayTable(schema=SetSchema.model_validate(layout["schema"]), content_hash=digest, **arrays)


def rays_of(table: RayTable, anatomy: str) -> tuple[NDArray[np.int64], RayTable]:
    """Rows of one anatomy, and its rays in memory.

    Raises
    ------
    InputError
        No such anatomy.
    """
    rows = np.flatnonzero(np.asarray(table.anatomy) == anatomy)
    if rows.size == 0:
        raise InputError("the study has no rays of this anatomy", got=anatomy[:40])
    kept: dict[str, Any] = {f.name: np.array(getattr(table, f.name)[rows]) for f in _columns(table)}
    return rows, replace(table, **kept)


def _columns(table: RayTable) -> list[Any]:
    """Fields of a table that hold a value for each ray."""
    return [f for f in fields(table) if isinstance(getattr(table, f.name), np.ndarray)]


def _layout(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / LAYOUT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError("the rays of the study cannot be read", got=type(error).__name__) from error
    return found if isinstance(found, dict) else {}


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
