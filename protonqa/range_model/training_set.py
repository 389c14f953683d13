"""The training set: random twins and phantoms, random beams, Monte Carlo, rays with their truth.

Every cell (one patient) is drawn from the seed and its index first and computed second; a cell is one shard, so an
interrupted set goes on where it stopped. Rays are columns of a grid laid along the beam: depth bins start exactly at
the planning body's surface and no interpolation stands between the transport and the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.signal import savgol_filter

from protonqa.errors import InputError
from protonqa.geometry.body import body_mask
from protonqa.geometry.frames import BeamFrame, beam_frame
from protonqa.geometry.resample import bev_grid, resample
from protonqa.montecarlo.medium import Medium, medium_from_hu
from protonqa.montecarlo.result import MonteCarloResult
from protonqa.montecarlo.simulation import simulate
from protonqa.phantom.twins import draw_twin, perturb_twin, voxelise_twin
from protonqa.physics.curves import Falloff, NotEvaluable, distal_range, falloff_width
from protonqa.range_model.beam_draws import RANGE_HIGH_MM, RANGE_LOW_MM, BeamDraw, broad_source, draw_beam
from protonqa.range_model.config import Settings
from protonqa.range_model.dataset import SetSchema, TrainingRay
from protonqa.range_model.rays import WORKING_BINS
from protonqa.range_model.shards import Manifest, write_manifest, write_shard
from protonqa.values import Grid, Volume

Floats = NDArray[np.float64]

COLUMN_MM = 2.0  # lateral voxel of the beam's-eye grid; a ray averages 2 x 2 of them
RAY_MM = 4.0
AIR_HU = -1000.0


class TrainingSetConfig(Settings):
    """What is simulated. `seed` and these numbers fix the set to the bit."""

    seed: int = 1
    twins: int = Field(40, ge=3)
    fields_per_twin: int = Field(3, ge=0)
    pencils_per_twin: int = Field(5, ge=0)
    slab_phantoms: int = Field(40, ge=0)
    pencils_per_slab: int = Field(5, ge=0)
    protons_per_field: int = Field(80_000, ge=1000)
    protons_per_pencil: int = Field(8_000, ge=500)
    field_half_mm: float = Field(18.0, ge=8.0, le=60.0)
    rays_per_field: int = Field(48, ge=1)
    sobp_share: float = Field(0.5, ge=0.0, le=1.0)
    #: Share of beams whose patient is treated on another day than the planning CT shows.
    other_day_share: float = Field(0.6, ge=0.0, le=1.0)
    #: Largest relative error of the planning CT's stopping power.
    rsp_error: float = Field(0.035, ge=0.0, le=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDraw:
    """One patient (twin or slab phantom) of the set: which beams, which day and stopping-power error for each."""

    index: int
    kind: str
    twin_seed: int
    beams: tuple[BeamDraw, ...]
    day_seeds: tuple[int, ...]
    rsp_factors: tuple[float, ...]
    simulation_seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the shard."""
        return f"{self.kind}-{self.index:05d}"


def draw_cell(config: TrainingSetConfig, index: int) -> CellDraw:
    """Draw patient `index`: twins first, slab phantoms after; depends on the seed and the index alone."""
    rng = np.random.default_rng([config.seed, index])
    twin = index < config.twins
    n_field, n_pencil = (config.fields_per_twin, config.pencils_per_twin) if twin else (0, config.pencils_per_slab)
    beams = [draw_beam(rng, half_mm=config.field_half_mm, sobp_share=config.sobp_share) for _ in range(n_field)]
    beams += [draw_beam(rng, half_mm=0.0, sobp_share=config.sobp_share) for _ in range(n_pencil)]
    if not twin:
        beams = [replace(b, gantry_deg=0.0, couch_deg=0.0, aim_share=(0.0, 0.0, 0.0)) for b in beams]
    n = len(beams)
    other = rng.uniform(size=n) < config.other_day_share
    days = np.where(other, rng.integers(1, 2**31, n), 0)
    factors = 1.0 + np.clip(rng.normal(0.0, config.rsp_error / 2, n), -config.rsp_error, config.rsp_error)
    return CellDraw(
        index=index,
        kind="twin" if twin else "slab",
        twin_seed=int(rng.integers(2**31)),
        beams=tuple(beams),
        day_seeds=tuple(int(d) for d in days),
        rsp_factors=tuple(float(f) for f in factors),
        simulation_seeds=tuple(int(s) for s in rng.integers(0, 2**31, n)),
    )


def make_training_set(
    config: TrainingSetConfig,
    folder: Path,
    *,
    progress: Callable[[int, int, str], None] | None = None,
    check_cancelled: Callable[[], None] | None = None,
    threads: int | None = None,
) -> Manifest:
    """Simulate every patient that has no shard yet, then close the set with its manifest."""
    schema = SetSchema(dose_bin_mm=1.0)
    folder.mkdir(parents=True, exist_ok=True)
    n_cell = config.twins + config.slab_phantoms
    for index in range(n_cell):
        cell = draw_cell(config, index)
        if check_cancelled is not None:
            check_cancelled()
        if not (folder / f"{cell.name}.npz").exists():
            rays = list(rays_of_cell(config, cell, schema, threads=threads))
            if rays:
                write_shard(folder, cell.name, rays, schema)
        if progress is not None:
            progress(index + 1, n_cell, "simulating patients")
    return write_manifest(folder, schema, config.model_dump(mode="json"))


def rays_of_cell(
    config: TrainingSetConfig, cell: CellDraw, schema: SetSchema, *, threads: int | None = None
) -> Iterator[TrainingRay]:
    """All rays of one patient."""
    patient = _twin_patient(cell) if cell.kind == "twin" else _slab_patient(cell)
    for i, draw in enumerate(cell.beams):
        scene = _scene(patient, patient.on_day(cell.day_seeds[i]), draw, cell.rsp_factors[i])
        if scene is None:
            continue
        protons = config.protons_per_field if draw.half_mm > 0 else config.protons_per_pencil
        source, low, high = broad_source(scene.delivered.grid, scene.frame, draw, scene.range_mm)
        result = simulate(
            medium=scene.delivered,
            source=source,
            protons=protons,
            seed=cell.simulation_seeds[i],
            threads=threads,
        )
        base = _RayBase(
            anatomy=cell.name, energy_low_mev=low, energy_high_mev=high, sobp=draw.modulation > 0, schema=schema
        )
        if draw.half_mm > 0:
            rng = np.random.default_rng([config.seed, cell.index, i])
            yield from _field_rays(scene, result, base, draw, config.rays_per_field, rng)
        else:
            yield from _pencil_ray(scene, result, base)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Patient:
    """Planning CT with its body, and the anatomy of any day (0: the planning anatomy without scanner noise)."""

    planned: Volume
    body: Volume
    on_day: Callable[[int], Volume]


def _twin_patient(cell: CellDraw) -> _Patient:
    twin = draw_twin(cell.twin_seed)
    planned = voxelise_twin(twin, 2.0, ct_noise=True).volume()
    quiet = voxelise_twin(twin, 2.0).volume()

    def on_day(day: int) -> Volume:
        return voxelise_twin(perturb_twin(twin, day), 2.0).volume() if day else quiet

    body = Volume(grid=planned.grid, array=body_mask(planned).astype(np.float32), unit="1")
    return _Patient(planned=planned, body=body, on_day=on_day)


def _slab_patient(cell: CellDraw) -> _Patient:
    """A box of one soft tissue with random slabs and half slabs of bone, lung, fat and muscle across the beam."""
    rng = np.random.default_rng([0x51AB, cell.twin_seed])
    grid = Grid(shape=(50, 200, 50), spacing_mm=(2.0, 2.0, 2.0), origin_mm=(-49.0, -9.0, -49.0))
    hu = np.full(grid.shape, AIR_HU, dtype=np.float32)
    first, last = 5, 195
    hu[:, first:last] = rng.uniform(-60.0, 60.0)
    for _ in range(int(rng.integers(0, 4))):
        start, depth = int(rng.integers(first, last - 20)), int(rng.integers(2, 14))
        side = slice(None) if rng.uniform() < 0.6 else slice(25, None)
        hu[:, start : start + depth, side] = rng.choice([-750.0, -90.0, 50.0, 400.0, 1000.0, 1300.0])
    volume = Volume(grid=grid, array=hu, unit="HU")
    inside = np.zeros(grid.shape, dtype=np.float32)
    inside[:, first:last] = 1.0
    return _Patient(planned=volume, body=Volume(grid=grid, array=inside, unit="1"), on_day=lambda _day: volume)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scene:
    """Planning and delivered anatomy on one grid along the beam, z index along the travel of the protons."""

    frame: BeamFrame
    planned: Medium
    delivered: Medium
    body: NDArray[np.bool_]
    range_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _RayBase:
    anatomy: str
    energy_low_mev: float
    energy_high_mev: float
    sobp: bool
    schema: SetSchema


def _scene(patient: _Patient, delivered: Volume, draw: BeamDraw, rsp_factor: float) -> _Scene | None:
    """Both anatomies along the beam; None when no range between 70 and 230 MeV stops in the body."""
    planned, body = patient.planned, patient.body
    inside = np.argwhere(body.array > 0.5)
    middle = inside.mean(axis=0)[::-1]
    extent = inside.max(axis=0)[::-1] - inside.min(axis=0)[::-1]
    # Stay away from the ends of the volume, where a field would leave it sideways.
    aim = middle + np.asarray(draw.aim_share) * extent * np.array([0.5, 0.5, 0.5])
    frame = beam_frame("HFS", draw.gantry_deg, draw.couch_deg, planned.grid.world_from_index(aim))
    half = max(draw.half_mm, 20.0) + 12.0
    reach = 0.5 * float(np.linalg.norm(planned.grid.size_mm)) + 60.0
    grid = bev_grid(
        frame,
        x_mm=(-half, half),
        y_mm=(-half, half),
        along_mm=(-reach, reach),
        spacing_mm=(COLUMN_MM, COLUMN_MM, 1.0),
    )
    mask = resample(body, grid, outside=0.0).array > 0.5
    axis_column = mask[:, grid.shape[1] // 2, grid.shape[2] // 2]
    if np.count_nonzero(axis_column) < 60:
        return None
    first, last = int(np.argmax(axis_column)), int(axis_column.size - np.argmax(axis_column[::-1]))
    start, stop = max(first - 60, 0), min(last + 40, grid.shape[0])
    box = ((start, 0, 0), (stop, grid.shape[1], grid.shape[2]))
    cropped = grid.crop(*box)
    planned_medium = medium_from_hu(resample(planned, cropped, outside=AIR_HU))
    delivered_medium = medium_from_hu(resample(delivered, cropped, outside=AIR_HU))
    delivered_medium = replace(
        delivered_medium, density=(delivered_medium.density * np.float32(rsp_factor)).astype(np.float32)
    )
    rsp = planned_medium.rsp[:, cropped.shape[1] // 2, cropped.shape[2] // 2]
    water = float(rsp[: last - start].sum())
    low, high = max(RANGE_LOW_MM, float(rsp[: first - start].sum()) + 30.0), min(RANGE_HIGH_MM, water - 15.0)
    if high <= low:
        return None
    return _Scene(
        frame=frame,
        planned=planned_medium,
        delivered=delivered_medium,
        body=mask[start:stop],
        range_mm=low + draw.range_share * (high - low),
    )


def _padded(column: Floats, first: int, fill: float, bins: int = WORKING_BINS) -> Floats:
    """A column from its entry on, cut or filled to the working depth."""
    out = np.full(bins, fill)
    part = column[first : first + bins]
    out[: part.size] = part
    return out


def _columns(array: NDArray[Any], ix: int, iy: int) -> Floats:
    """Mean over the 2 x 2 columns of a ray; the depth axis is the third from the end."""
    return np.asarray(array[..., iy : iy + 2, ix : ix + 2].mean(axis=(-1, -2)), dtype=np.float64)


def _field_rays(
    scene: _Scene,
    result: MonteCarloResult,
    base: _RayBase,
    draw: BeamDraw,
    n_ray: int,
    rng: np.random.Generator,
) -> Iterator[TrainingRay]:
    """Rays inside the field's plateau, in random order up to `n_ray`."""
    grid: Grid = result.grid
    corner = np.arange(0, grid.shape[2] - 1, 2)
    center = (corner + 1 - grid.shape[2] / 2) * COLUMN_MM
    # One spot size inside the edge the field is even.
    usable = corner[np.abs(center) <= draw.half_mm - draw.spot_sigma_mm]
    lattice = np.array([(x, y) for x in usable for y in usable])
    for ix, iy in rng.permutation(lattice)[:n_ray]:
        entered = _columns(scene.body, ix, iy) >= 0.5
        if not entered.any():
            continue
        first = int(np.argmax(entered))
        area_mm2 = RAY_MM**2
        ray = _ray(
            base,
            kind="bev",
            first=first,
            production=_columns(result.nuclei, ix, iy) * 4.0,
            dose=_columns(result.dose_water_gy, ix, iy),
            media=tuple(_columns(a, ix, iy) for a in (scene.planned.hu, scene.planned.rsp, scene.delivered.hu)),
            true_rsp=_columns(_true_rsp(scene), ix, iy),
            protons=result.protons * area_mm2 / (2.0 * draw.half_mm) ** 2,
        )
        if ray is not None:
            yield ray


def _pencil_ray(scene: _Scene, result: MonteCarloResult, base: _RayBase) -> Iterator[TrainingRay]:
    """The laterally integrated profile, with the CT on the axis."""
    ix, iy = result.grid.shape[2] // 2 - 1, result.grid.shape[1] // 2 - 1
    entered = _columns(scene.body, ix, iy) >= 0.5
    first = int(np.argmax(entered))
    # The depth tally has 1 mm bins along the same axis; its first bin is the first plane of the grid.
    ray = _ray(
        base,
        kind="pencil",
        first=first,
        production=result.nuclides_per_mm,
        dose=result.dose_mev_cm2_per_g,
        media=tuple(_columns(a, ix, iy) for a in (scene.planned.hu, scene.planned.rsp, scene.delivered.hu)),
        true_rsp=_columns(_true_rsp(scene), ix, iy),
        protons=float(result.protons),
    )
    if ray is not None:
        yield ray


def _true_rsp(scene: _Scene) -> NDArray[np.float32]:
    """RSP of the delivered anatomy, its stopping-power error included (the error scales density)."""
    nominal = medium_density(scene.delivered)
    return np.asarray(scene.delivered.rsp * (scene.delivered.density / nominal), dtype=np.float32)


def medium_density(medium: Medium) -> NDArray[np.float32]:
    """The density that the HU alone would give."""
    from protonqa.physics.materials import density_from_hu

    return np.asarray(density_from_hu(medium.hu), dtype=np.float32)


def _ray(
    base: _RayBase,
    *,
    kind: Any,
    first: int,
    production: Floats,
    dose: Floats,
    media: tuple[Floats, ...],
    true_rsp: Floats,
    protons: float,
) -> TrainingRay | None:
    """One training ray from depth 0 on; None when its dose has no range inside the body."""
    bins = min(WORKING_BINS, dose.size - first)
    curve = dose[first : first + bins]
    if curve.max() <= 0:
        return None
    curve = np.asarray(savgol_filter(curve, 5, polyorder=3))
    depth = np.arange(bins) + 0.5
    mark = distal_range(depth, curve)
    width = falloff_width(depth, curve)
    if isinstance(mark, NotEvaluable) or not isinstance(width, Falloff):
        return None
    hu, rsp, hu_true = media
    reached = int(mark.value_mm)
    if mark.value_mm < 15.0 or true_rsp[first + reached] < 0.1:
        return None  # a range that ends in air or lung gas is not a number
    planned = _planned_range_mm(true_rsp, rsp, first, mark.value_mm)
    return TrainingRay(
        anatomy=base.anatomy,
        site="abdomen" if base.anatomy.startswith("twin") else "slab",
        kind=kind,
        production=np.stack([_padded(p, first, 0.0) for p in np.maximum(production, 0.0)]),
        hu_true=_padded(hu_true, first, AIR_HU),
        hu=_padded(hu, first, AIR_HU),
        rsp=_padded(rsp, first, 0.001),
        dose=_padded(np.maximum(dose, 0.0) / float(curve.max()), first, 0.0, base.schema.n_dose),
        r80_mm=float(mark.value_mm),
        planned_r80_mm=planned,
        energy_low_mev=base.energy_low_mev,
        energy_high_mev=base.energy_high_mev,
        falloff_mm=float(width.width_mm),
        range_mixed=bool(width.is_range_mixed()),
        heterogeneous=_is_heterogeneous(hu[first : first + reached]),
        sobp=base.sobp,
        protons=protons,
    )


def _planned_range_mm(true_rsp: Floats, rsp: Floats, first: int, r80_mm: float) -> float:
    """Where the planning CT has the water-equivalent depth that the delivered anatomy has at the true R80."""
    edges = np.arange(true_rsp.size + 1) - float(first)
    true_water = np.concatenate(([0.0], np.cumsum(true_rsp)))
    plan_water = np.concatenate(([0.0], np.cumsum(rsp)))
    water = float(np.interp(r80_mm, edges, true_water))
    return float(np.clip(np.interp(water, plan_water, edges), 1.0, WORKING_BINS - 1.0))


def _is_heterogeneous(hu: Floats) -> bool:
    """More than 5 mm of bone (above 200 HU) or of lung or gas (below -200 HU) before the range."""
    if hu.size == 0:
        raise InputError("ray without tissue")
    return bool(np.count_nonzero(hu[3:] > 200.0) > 5 or np.count_nonzero(hu[3:] < -200.0) > 5)
