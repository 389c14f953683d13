"""The training set as a job: a cell a patient, a shard a cell, on whatever computes cells.

The table is drawn first (`cell_draws`) and kept in the journal of the job; each cell is computed from its row alone, so
the set is the same for any number of workers and interruptions. Rays are columns of a grid laid along the beam: depth
bins start at the surface of the planning body and no interpolation stands between transport and truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import protonqa
from protonqa.errors import InputError, StoreError
from protonqa.jobs.cell import CellContext
from protonqa.jobs.crew import Backend
from protonqa.jobs.journal import read_outcomes
from protonqa.jobs.runner import run_job
from protonqa.jobs.table import Job, cell
from protonqa.range_model.beam_draws import BeamDraw, source_of
from protonqa.range_model.cell_draws import CellDraw, draw_cells
from protonqa.range_model.dataset import TrainingRay
from protonqa.range_model.set_config import TrainingSetConfig
from protonqa.range_model.shards import MANIFEST, Manifest, read_manifest, write_manifest, write_shard

__all__ = ["TrainingSetConfig", "compute_cell", "make_training_set", "set_job"]

Progress = Callable[[float, float, str], None]
_FUNCTION = "protonqa.range_model.training_set:compute_cell"


def set_job(config: TrainingSetConfig) -> Job:
    """The table of a training set, ready to be run."""
    from protonqa.montecarlo.compiling import source_hash

    shared = config.model_dump(mode="json", include={"protons_per_ray", "protons_per_pencil", "rays_per_field"})
    shared |= config.model_dump(mode="json", include={"seed", "test_factor", "worst_noise_mm"})
    rows = tuple(
        cell(one.name, {"settings": shared, "draw": one.model_dump(mode="json")}) for one in draw_cells(config)
    )
    return Job(name="training set", function=_FUNCTION, cells=rows, version=f"{protonqa.__version__} {source_hash()}")


def make_training_set(
    config: TrainingSetConfig,
    folder: Path,
    *,
    on: Backend | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Manifest:
    """Compute the patients that have no shard yet, then close the set with its manifest and data card.

    A set that is closed already and was made by the same recipe is not touched.

    Parameters
    ----------
    on : Backend, optional
        Who computes: `jobs.runner.backend_for`; one local worker a core by default. Each cell uses one thread.

    Raises
    ------
    StoreError
        A folder with a set of another recipe, or begun by another version of the physics; disk full.
    InputError
        Patients that failed: which and why.
    Cancelled
    """
    from protonqa.range_model.ray_cuts import set_schema
    from protonqa.range_model.set_card import write_card

    recipe = config.model_dump(mode="json")
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        # Settings that did not exist yet when it was made stand at their defaults.
        if TrainingSetConfig.model_validate(manifest.recipe) != config:
            raise StoreError("folder holds a training set of another recipe", remedy="choose another folder")
        return manifest
    job = set_job(config)
    report = run_job(
        job,
        folder,
        on=on,
        progress=None if progress is None else lambda now: progress(now.finished, now.total, now.text()),
        cancelled=cancelled,
    )
    if report.failed:
        failures = [f"{one.cell_id}: {one.message}" for one in read_outcomes(folder) if not one.done]
        raise InputError(
            "patients of the training set could not be computed",
            got=f"{report.failed} of {report.total}, first {failures[0][:200]}",
            remedy="run again; a patient that fails again needs a look at its message",
        )
    manifest = write_manifest(folder, set_schema(), recipe)
    write_card(folder, manifest, [one.value() for one in read_outcomes(folder)], job.version)
    return manifest


def compute_cell(parameters: dict[str, Any], context: CellContext) -> dict[str, Any]:
    """The cell function: one patient to a shard in the cell's folder; returns what the data card counts."""
    from protonqa.range_model.ray_cuts import set_schema

    draw = CellDraw.model_validate(parameters["draw"])
    lost: Counter[str] = Counter()
    rays = list(rays_of_cell(draw, parameters["settings"], context, lost))
    content = ""
    if rays:
        content = write_shard(context.folder, draw.name, rays, set_schema())
    return {
        "patient": draw.name,
        "site": draw.site,
        "part": draw.part,
        "rays": len(rays),
        "beams": len(draw.beams),
        "lost": dict(sorted(lost.items())),
        "content_hash": content,
    }


def rays_of_cell(
    cell_draw: CellDraw, settings: dict[str, Any], context: CellContext, lost: Counter[str]
) -> Iterator[TrainingRay]:
    """All rays of one patient; `lost` counts beams and rays that could not be used, by reason."""
    from protonqa.range_model.patients import make_patient
    from protonqa.range_model.scenes import aim_beam, make_scene

    patient = make_patient(cell_draw)
    for draw in cell_draw.beams:
        context.check_cancelled()
        try:
            aim = aim_beam(patient, draw)
            scene = None if aim is None else make_scene(patient, aim, draw)
        except InputError as error:
            # Such as: no drawn target of this patient fits the machine.
            lost[f"beam: {error.what}"] += 1
            continue
        if scene is None:
            lost["beam: no range of 70 to 230 MeV ends in the body"] += 1
            continue
        yield from _rays_of_beam(scene, cell_draw, draw, settings, context, lost)


def _rays_of_beam(
    scene: Any,
    cell_draw: CellDraw,
    draw: BeamDraw,
    settings: dict[str, Any],
    context: CellContext,
    lost: Counter[str],
) -> Iterator[TrainingRay]:
    from protonqa.range_model import beam_runs, ray_cuts

    source, low, high = source_of(scene.grid, draw, scene.range_mm)
    beam = ray_cuts.Beam(
        anatomy=cell_draw.name,
        site=cell_draw.site,
        part=cell_draw.part,
        energy_low_mev=low,
        energy_high_mev=high,
        draw=draw,
    )
    factor = settings["test_factor"] if cell_draw.part in ("test", "held") else 1.0
    common: dict[str, Any] = {"seed": draw.seed, "threads": context.threads, "cancelled": context.cancelled}
    # Another seed: a planned profile with the noise of the delivered one would match it too well.
    again = {**common, "seed": draw.seed + 2**31, "batches": 1}
    if draw.kind == "field":
        rng = np.random.default_rng([settings["seed"], draw.seed])
        corners = ray_cuts.ray_corners(scene, draw, settings["rays_per_field"], rng)
        area = (2.0 * draw.half_mm / ray_cuts.RAY_MM) ** 2
        protons = round(settings["protons_per_ray"] * area * factor)
        where = ray_cuts.voxel_columns(corners)
        run = beam_runs.run_columns(scene.delivered, source, where, protons=protons, **common)
        planned = None
        if cell_draw.planned:
            planned = beam_runs.run_columns(scene.planned, source, where, protons=round(protons / factor), **again)
        columns = ray_cuts.field_columns(scene, draw, corners, run, planned, protons)
    else:
        protons = round(settings["protons_per_pencil"] * factor)
        single = beam_runs.run_depth(scene.delivered, source, protons=protons, **common)
        expected = None
        if cell_draw.planned:
            expected = beam_runs.run_depth(scene.planned, source, protons=round(protons / factor), **again)
        columns = iter([ray_cuts.pencil_column(scene, single, expected, protons)])
    for column in columns:
        ray = ray_cuts.cut_ray(scene, column, beam, settings["worst_noise_mm"], lost)
        if ray is not None:
            yield ray
