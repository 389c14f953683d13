"""Rays of a simulated beam: profiles from depth 0 on, with their truth and their marks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.physics.curves import NotEvaluable, distal_range
from protonqa.range_model.beam_draws import BeamDraw
from protonqa.range_model.beam_runs import ColumnRun, DepthRun, set_alternatives, set_channels
from protonqa.range_model.dataset import RayKind, SetSchema, TrainingRay
from protonqa.range_model.patients import AIR_HU
from protonqa.range_model.rays import WORKING_BINS
from protonqa.range_model.scenes import Scene
from protonqa.range_model.truth import Truth, smoothed, truth_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RAY_MM = 4.0
DOSE_BIN_MM = 1.0
#: A range in lighter matter is not a number (gas, sinus, outside), nor one before this depth.
LEAST_RSP, LEAST_R80_MM = 0.1, 15.0
#: Heterogeneous: more than this of bone or of lung and gas before R80, or neighbours whose ranges spread by more.
BONE_HU, LUNG_HU, CROSSED_MM, SPREAD_MM = 200.0, -200.0, 5.0, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beam:
    """What all rays of a beam share."""

    anatomy: str
    site: str
    part: str
    energy_low_mev: float
    energy_high_mev: float
    draw: BeamDraw


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """One ray before it is cut: everything along the whole grid, first plane first.

    Parameters
    ----------
    dose : (n_batch, nz * step / dose_step)
        Dose by batch in bins of `dose_step_mm`.
    nuclei : (n_row, nz)
        Nuclei per mm and proton.
    planned_dose, planned_nuclei : as `dose` summed over batches, and `nuclei`, or None
        The same beam on the planning CT.
    ix, iy : int
        Lower corner of its 2 x 2 voxels.
    """

    kind: RayKind
    ix: int
    iy: int
    dose: Floats
    dose_step_mm: float
    nuclei: Floats
    protons: float
    planned_dose: Floats | None = None
    planned_nuclei: Floats | None = None


def set_schema() -> SetSchema:
    """The schema of every set made here."""
    return SetSchema(channels=set_channels(), alternatives=set_alternatives(), dose_bin_mm=DOSE_BIN_MM)


def ray_corners(scene: Scene, draw: BeamDraw, n_ray: int, rng: np.random.Generator) -> Ints:
    """Lower corners (x, y) of up to `n_ray` rays on a lattice of 4 mm inside a field, in random order.

    Rays within 3 mm of the field's edge are left out: a verification does not judge them either.
    """
    n = int((2.0 * draw.half_mm - 6.0) / RAY_MM)
    line = scene.grid.shape[2] // 2 - n + 2 * np.arange(n)
    lattice = np.array([(x, y) for x in line for y in line], dtype=np.int64)
    return np.asarray(rng.permutation(lattice)[:n_ray])


def voxel_columns(corners: Ints) -> Ints:
    """The four voxel columns of each ray, one ray after the other; (n_ray, 2) -> (4 n_ray, 2)."""
    shift = np.array([(0, 0), (1, 0), (0, 1), (1, 1)])
    return np.asarray((corners[:, None] + shift[None]).reshape(-1, 2))


def field_columns(
    scene: Scene, draw: BeamDraw, corners: Ints, run: ColumnRun, planned: ColumnRun | None, protons: int
) -> Iterator[Column]:
    """The rays of a field."""
    share = RAY_MM**2 / (2.0 * draw.half_mm) ** 2

    def dose_of(one: ColumnRun) -> Floats:
        return np.asarray(one.dose.reshape(len(one.dose), len(corners), 4, -1).mean(axis=2))

    def nuclei_of(one: ColumnRun) -> Floats:
        # Per proton that enters through the ray's own cross section.
        made = one.nuclei.reshape(len(one.nuclei), len(corners), 4, -1).sum(axis=2)
        return np.asarray(made / (share * scene.step_mm))

    dose, nuclei = dose_of(run), nuclei_of(run)
    planned_dose = None if planned is None else dose_of(planned).mean(axis=0)
    planned_nuclei = None if planned is None else nuclei_of(planned)
    for i, (ix, iy) in enumerate(corners):
        yield Column(
            kind="bev",
            ix=int(ix),
            iy=int(iy),
            dose=dose[:, i],
            dose_step_mm=scene.step_mm,
            nuclei=nuclei[:, i],
            protons=protons * share,
            planned_dose=None if planned_dose is None else planned_dose[i],
            planned_nuclei=None if planned_nuclei is None else planned_nuclei[:, i],
        )


def pencil_column(scene: Scene, run: DepthRun, planned: DepthRun | None, protons: int) -> Column:
    """The laterally integrated profile of a pencil beam, with the CT on its axis."""
    return Column(
        kind="pencil",
        ix=scene.grid.shape[2] // 2 - 1,
        iy=scene.grid.shape[1] // 2 - 1,
        dose=run.dose,
        dose_step_mm=0.25,
        nuclei=run.nuclei,
        protons=float(protons),
        planned_dose=None if planned is None else planned.dose.mean(axis=0),
        planned_nuclei=None if planned is None else planned.nuclei,
    )


def cut_ray(scene: Scene, column: Column, beam: Beam, worst_noise_mm: float, lost: Counter[str]) -> TrainingRay | None:
    """One training ray from depth 0 on; None, and why in `lost`, when it has no range inside the body."""
    line = _Line(scene, column.ix, column.iy)
    if line.first is None:
        lost["misses the body"] += 1
        return None
    true_rsp = line.mean(scene.delivered.rsp)
    step = column.dose_step_mm
    rsp_bins = _rebinned(true_rsp[line.first :], scene.step_mm, step)
    truth = truth_of(
        column.dose[:, round(line.first * scene.step_mm / step) :],
        step,
        scene.range_mm,
        wepl_mm=(true_rsp[: line.first].sum() * scene.step_mm) + np.cumsum(rsp_bins) * step,
        rsp=rsp_bins,
        spread_percent=beam.draw.spread_percent,
    )
    why = _unusable(truth, line, true_rsp, worst_noise_mm)
    if why or isinstance(truth, NotEvaluable):
        lost[why] += 1
        return None
    return _assembled(line, column, beam, truth, true_rsp)


class _Line:
    """The 2 x 2 voxel columns of a ray, averaged, and the plane of its depth 0."""

    def __init__(self, scene: Scene, ix: int, iy: int) -> None:
        self.scene, self._y, self._x = scene, slice(iy, iy + 2), slice(ix, ix + 2)
        inside = np.flatnonzero(scene.body[:, self._y, self._x].mean(axis=(1, 2)) >= 0.5)
        self.first = int(inside[0]) if inside.size else None
        self.last = int(inside[-1]) if inside.size else 0

    def mean(self, volume: NDArray[np.float32]) -> Floats:
        return np.asarray(volume[:, self._y, self._x].mean(axis=(1, 2)), dtype=np.float64)

    def working(self, values: Floats, fill: float) -> Floats:
        """`values` (..., nz) from depth 0 on, as means over the 1 mm bins of the working grid."""
        part = values[..., self.first or 0 :]
        per_bin = round(1.0 / self.scene.step_mm)
        whole = part.shape[-1] // per_bin
        bins = part[..., : whole * per_bin].reshape(*part.shape[:-1], whole, per_bin).mean(axis=-1)
        return _fitted(bins, fill)


def _unusable(truth: Truth | NotEvaluable, line: _Line, true_rsp: Floats, worst_noise_mm: float) -> str:
    """Why a ray cannot be used; empty when it can."""
    if isinstance(truth, NotEvaluable):
        return truth.code
    step = line.scene.step_mm
    place = (line.first or 0) + int(truth.r80_mm / step)
    if truth.r80_mm < LEAST_R80_MM:
        return "shallow"
    if truth.r80_mm > WORKING_BINS - 20.0:
        return "too deep"
    if place > line.last or place + 1 >= true_rsp.size:
        return "leaves the body"
    if true_rsp[max(place - round(2 / step), 0) : place + round(2 / step) + 1].min() < LEAST_RSP:
        return "ends in air"
    if not truth.r80_noise_mm <= worst_noise_mm:
        return "noise"
    return ""


def _assembled(line: _Line, column: Column, beam: Beam, truth: Truth, true_rsp: Floats) -> TrainingRay:
    scene, n_channel = line.scene, len(set_channels())
    hu, rsp = line.mean(scene.planned.hu), line.mean(scene.planned.rsp)
    spread = line.working(line.mean(scene.wepl_spread_mm), 0.0)
    nuclei = line.working(np.maximum(column.nuclei, 0.0), 0.0)
    planned_r80 = _planned_r80_mm(line, column)
    known = planned_r80 is not None and column.planned_nuclei is not None
    if planned_r80 is None:
        planned_r80 = _same_water_mm(true_rsp, rsp, line, truth.r80_mm)
    hu_working = line.working(hu, AIR_HU)
    return TrainingRay(
        anatomy=beam.anatomy,
        site=beam.site,
        part=beam.part,
        kind=column.kind,
        production=nuclei[:n_channel],
        alternative=nuclei[n_channel:],
        planned_production=line.working(column.planned_nuclei[:n_channel], 0.0)
        if known and column.planned_nuclei is not None
        else None,
        planned_known=known,
        hu_true=line.working(line.mean(scene.delivered.hu), AIR_HU),
        hu=hu_working,
        rsp=line.working(rsp, 0.001),
        wepl_spread_mm=spread,
        dose=_fitted(_rebinned(truth.dose, column.dose_step_mm, DOSE_BIN_MM), 0.0),
        r80_mm=truth.r80_mm,
        planned_r80_mm=planned_r80,
        energy_low_mev=beam.energy_low_mev,
        energy_high_mev=beam.energy_high_mev,
        falloff_mm=truth.falloff.width_mm,
        range_mixed=truth.falloff.is_range_mixed(),
        heterogeneous=is_heterogeneous(hu_working, spread, truth.r80_mm),
        sobp=beam.draw.modulation > 0,
        protons=column.protons,
        r80_noise_mm=truth.r80_noise_mm,
        dose_noise_percent=truth.dose_noise_percent,
    )


def is_heterogeneous(hu: Floats, spread_mm: Floats, r80_mm: float) -> bool:
    """Whether a ray is heterogeneous, from the planning CT alone.

    More than 5 mm of bone (above 200 HU), or of lung and gas (below -200 HU), between 3 mm depth and R80; or a
    water-equivalent depth at R80 that differs among the neighbours of the ray by more than 2 mm (SD, weighted by a
    Gaussian of 5 mm).

    Parameters
    ----------
    hu, spread_mm : (448,)
    """
    before = hu[3 : max(int(r80_mm), 4)]
    crossed = max(np.count_nonzero(before > BONE_HU), np.count_nonzero(before < LUNG_HU))
    return bool(crossed > CROSSED_MM or spread_mm[min(int(r80_mm), spread_mm.size - 1)] > SPREAD_MM)


def _planned_r80_mm(line: _Line, column: Column) -> float | None:
    """R80 of the same ray on the planning CT, where it was simulated and has one."""
    if column.planned_dose is None or line.first is None:
        return None
    step = column.dose_step_mm
    dose = column.planned_dose[round(line.first * line.scene.step_mm / step) :]
    depth = (np.arange(dose.size) + 0.5) * step
    mark = distal_range(depth, smoothed(dose, step, line.scene.range_mm)) if dose.max() > 0 else None
    if mark is None or isinstance(mark, NotEvaluable) or not 1.0 <= mark.value_mm <= WORKING_BINS - 1.0:
        return None
    return mark.value_mm


def _same_water_mm(true_rsp: Floats, rsp: Floats, line: _Line, r80_mm: float) -> float:
    """Where the planning CT has the water-equivalent depth that the delivered anatomy has at the true R80."""
    edges = (np.arange(true_rsp.size + 1) - float(line.first or 0)) * line.scene.step_mm
    true_water = np.concatenate(([0.0], np.cumsum(true_rsp)))
    plan_water = np.concatenate(([0.0], np.cumsum(rsp)))
    water = float(np.interp(r80_mm, edges, true_water))
    return float(np.clip(np.interp(water, plan_water, edges), 1.0, WORKING_BINS - 1.0))


def _rebinned(values: Floats, from_mm: float, to_mm: float) -> Floats:
    """Means over wider bins, or each value several times over narrower ones."""
    if from_mm <= to_mm:
        n = round(to_mm / from_mm)
        whole = values.size // n
        return np.asarray(values[: whole * n].reshape(whole, n).mean(axis=1))
    return np.repeat(values, round(from_mm / to_mm))


def _fitted(values: Floats, fill: float) -> Floats:
    """Cut or filled to the working depth, along the last axis."""
    out = np.full((*values.shape[:-1], WORKING_BINS), fill)
    part = values[..., :WORKING_BINS]
    out[..., : part.shape[-1]] = part
    return out
