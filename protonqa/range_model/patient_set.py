"""Rays of one patient's digital twins as a job: a cell a twin, a shard a cell, as a training set is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import protonqa
from protonqa.errors import InputError, StoreError
from protonqa.jobs.cell import CellContext
from protonqa.jobs.crew import Backend
from protonqa.jobs.journal import read_outcomes
from protonqa.jobs.runner import run_job
from protonqa.jobs.table import Job, cell
from protonqa.range_model import ray_cuts
from protonqa.range_model.beam_draws import BeamDraw
from protonqa.range_model.beam_runs import run_columns
from protonqa.range_model.dataset import TrainingRay
from protonqa.range_model.patient_case import PatientBeam, PatientCase, read_patient, write_patient
from protonqa.range_model.patient_config import PatientTwinsConfig, TwinDraw, draw_patient_twins
from protonqa.range_model.patient_days import day_of
from protonqa.range_model.patients import Patient
from protonqa.range_model.scenes import BLUR_MM, COLUMN_MM, Scene, scene_on
from protonqa.range_model.shards import MANIFEST, Manifest, read_manifest, write_manifest, write_shard

Progress = Callable[[float, float, str], None]
#: In a folder of its own: what lies beside the manifest is a shard.
PATIENT_FILE, SITE = "patient/patient.npz", "one patient"
#: Rays are laid where at least this share of the greatest fluence goes in: elsewhere a verification judges none.
LEAST_FLUENCE = 0.5
_SETTINGS = {"seed", "rays_per_beam", "protons_per_ray", "test_factor", "worst_noise_mm"}
_FUNCTION = "protonqa.range_model.patient_set:compute_twin"


def make_patient_set(
    patient: PatientCase,
    config: PatientTwinsConfig,
    folder: Path,
    *,
    on: Backend | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Manifest:
    """Simulate the twins that have no shard yet, then close the set with its manifest.

    Raises
    ------
    StoreError
        The folder holds twins of another patient or other settings; disk full.
    InputError
        Twins that failed.
    Cancelled
    """
    from protonqa.montecarlo.compiling import source_hash

    recipe: dict[str, Any] = {"patient": patient.identity, "beams": [b.facts.number for b in patient.beams]}
    recipe["twins"] = config.model_dump(mode="json")
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        if manifest.recipe != recipe:
            raise StoreError("folder holds twins of another patient or other settings", remedy="choose another folder")
        return manifest
    file = folder / PATIENT_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    content = write_patient(file, patient)
    shared = {"file": str(file.resolve()), "content": content}
    shared |= config.model_dump(mode="json", include=_SETTINGS)
    rows = tuple(
        cell(one.name, {"settings": shared, "draw": one.model_dump(mode="json")}) for one in draw_patient_twins(config)
    )
    job = Job(name="patient's twins", function=_FUNCTION, cells=rows, version=f"{protonqa.__version__} {source_hash()}")
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
            "twins of the patient could not be computed", got=f"{report.failed} of {report.total}, {failures[0][:200]}"
        )
    return write_manifest(folder, ray_cuts.set_schema(), recipe)


def compute_twin(parameters: dict[str, Any], context: CellContext) -> dict[str, Any]:
    """The cell function: one twin to a shard; returns its counts."""
    settings = parameters["settings"]
    draw = TwinDraw.model_validate(parameters["draw"])
    patient = _patient(settings["file"], settings["content"])
    lost: Counter[str] = Counter()
    rays = list(rays_of_twin(patient, draw, settings, context, lost))
    if rays:
        write_shard(context.folder, draw.name, rays, ray_cuts.set_schema())
    return {"twin": draw.name, "part": draw.part, "rays": len(rays), "lost": dict(sorted(lost.items()))}


@lru_cache(maxsize=1)
def _patient(path: str, content: str) -> PatientCase:
    return read_patient(Path(path), content)


def rays_of_twin(
    patient: PatientCase, draw: TwinDraw, settings: dict[str, Any], context: CellContext, lost: Counter[str]
) -> Iterator[TrainingRay]:
    """Rays of every beam through one twin; `lost` counts those that could not be used."""
    for number, beam in enumerate(patient.beams):
        context.check_cancelled()
        delivered = day_of(patient.ct, patient.body, beam.isocenter_mm, draw)
        both = Patient(planned=patient.ct, body=patient.body, delivered=delivered)
        rng = np.random.default_rng([settings["seed"], draw.seed, number])
        corners, area_mm2 = field_corners(beam)
        drawn = as_beam_draw(beam, draw, area_mm2, number)
        scene = scene_on(both, beam.grid, beam.facts.range_mm, drawn, hlut=patient.hlut)
        if scene is None:
            lost["beam: meets nothing"] += 1
            continue
        corners = rng.permutation(corners)[: settings["rays_per_beam"]]
        yield from _rays(scene, beam, drawn, corners, area_mm2, draw, settings, context, lost)


def _rays(
    scene: Scene,
    beam: PatientBeam,
    drawn: BeamDraw,
    corners: NDArray[np.int64],
    area_mm2: float,
    draw: TwinDraw,
    settings: dict[str, Any],
    context: CellContext,
    lost: Counter[str],
) -> Iterator[TrainingRay]:
    factor = settings["test_factor"] if draw.part == "test" else 1.0
    protons = round(settings["protons_per_ray"] * factor * area_mm2 / ray_cuts.RAY_MM**2)
    run = run_columns(
        scene.delivered,
        beam.source_on(scene.grid),
        ray_cuts.voxel_columns(corners),
        protons=protons,
        seed=drawn.seed,
        threads=context.threads,
        cancelled=context.cancelled,
    )
    shared = ray_cuts.Beam(
        anatomy=draw.name,
        site=SITE,
        part=draw.part,
        energy_low_mev=beam.facts.energy_low_mev,
        energy_high_mev=beam.facts.energy_high_mev,
        draw=drawn,
    )
    for column in ray_cuts.field_columns(scene, drawn, corners, run, None, protons):
        ray = ray_cuts.cut_ray(scene, column, shared, settings["worst_noise_mm"], lost)
        if ray is not None:
            yield ray


def field_corners(beam: PatientBeam) -> tuple[NDArray[np.int64], float]:
    """Lower corners (x, y) of the rays inside the field on a lattice of 4 mm, and the area they stand for (mm2)."""
    spots, weights = beam.source.spots, beam.source.weights
    _, ny, nx = beam.grid.shape
    x, y = np.arange(0, nx - 1, 2), np.arange(0, ny - 1, 2)
    sigma = np.hypot(spots[:, 12:14].mean(axis=1), BLUR_MM)[:, None]
    # Places of the spots in the isocentre plane: columns spread from the source by little over a body.
    gx = np.exp(-0.5 * ((COLUMN_MM * (x + 1.0) - spots[:, :1]) / sigma) ** 2) / sigma
    gy = np.exp(-0.5 * ((COLUMN_MM * (y + 1.0) - spots[:, 1:2]) / sigma) ** 2) / sigma
    fluence = np.einsum("s,sy,sx->yx", weights, gy, gx)
    rows, columns = np.nonzero(fluence >= LEAST_FLUENCE * fluence.max())
    # All protons over the mean fluence of the rays.
    area = fluence.sum() / fluence[rows, columns].mean() * ray_cuts.RAY_MM**2
    return np.stack([x[columns], y[rows]], axis=1).astype(np.int64), float(area)


def as_beam_draw(beam: PatientBeam, draw: TwinDraw, area_mm2: float, number: int) -> BeamDraw:
    """What scenes and rays need to know of a planned beam on a twin."""
    return BeamDraw(
        kind="field",
        treatment_seed=0,
        gantry_deg=0.0,
        couch_deg=0.0,
        aim_share=(0.0, 0.0, 0.0),
        range_share=0.0,
        modulation=0.5 if beam.facts.layers > 1 else 0.0,
        half_mm=0.5 * float(np.sqrt(area_mm2)),
        spread_percent=beam.facts.spread_percent,
        spot_sigma_mm=0.0,
        tilt_mrad=0.0,
        soft_factor=draw.soft_factor,
        bone_factor=draw.bone_factor,
        composition_hu=draw.composition_hu,
        seed=(draw.seed + number) % 2**31,
    )
