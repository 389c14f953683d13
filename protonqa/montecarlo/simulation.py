"""One entry to the Monte Carlo: medium + source -> dose and positron emitters."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.montecarlo import cpu
from protonqa.montecarlo.medium import Medium, all_materials
from protonqa.montecarlo.result import MEV_TO_JOULE, MonteCarloResult
from protonqa.montecarlo.source import Source
from protonqa.montecarlo.step_tables import StepTables, build_step_tables
from protonqa.montecarlo.transport import (
    BOOK_BINDING,
    BOOK_DEPOSIT,
    BOOK_ESCAPED,
    BOOK_IN,
    BOOK_MISSED,
    BOOK_NEUTRAL,
    BOOK_STUCK,
    ENERGY_SCALE,
    FINE_BIN_MM,
    NUCLIDE_SCALE,
    WATER_DOSE_SCALE,
)
from protonqa.physics.emission import CrossSections, cross_section_set
from protonqa.values import Finding, Grid, Severity

MAX_PROTONS = 2_000_000_000


def simulate(
    *,
    medium: Medium,
    source: Source,
    protons: int,
    seed: int = 0,
    cross_sections: CrossSections | None = None,
    box: Grid | None = None,
    threads: int | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> MonteCarloResult:
    """Transport protons through a voxel medium.

    Parameters
    ----------
    medium : Medium
    source : Source
        From ``pencil_beam`` or ``field_source`` on the medium's grid.
    protons : int
        Histories, 1 to 2e9.
    seed : int
        Same seed, same bits, for any number of threads.
    cross_sections : CrossSections, optional
        Production of positron emitters; ``recommended`` when absent.
    box : Grid, optional
        Crop of the medium's grid on which volumes are tallied; the whole grid when absent.

    Raises
    ------
    InputError
        Unusable number of protons, a beam that misses the grid, too little memory.
    Cancelled
        The caller asked to stop.
    """
    if not 1 <= protons <= MAX_PROTONS:
        raise InputError("unusable number of protons", got=str(protons), expected=f"1 to {MAX_PROTONS:.0e}")
    if seed < 0:
        raise InputError("seed is negative", got=str(seed), expected="0 or more")
    chosen = cross_sections or cross_section_set("recommended")
    tables = build_step_tables(all_materials(), chosen) if cross_sections else _standard_tables(chosen.name)
    grid = box or medium.grid
    start, shape = _box_of(medium.grid, grid)
    depth_first, depth_bins = _depth_extent(medium.grid, source)
    shifted = Source(
        spots=source.spots,
        weights=source.weights,
        axis=source.axis,
        reference=source.reference + depth_first * source.axis,
        protons=source.protons,
    )
    began = time.perf_counter()
    tallies = cpu.run(
        medium=medium,
        source=shifted,
        tables=tables,
        box_start=start,
        box_shape=shape,
        depth_bins=depth_bins,
        protons=protons,
        seed=seed,
        threads=threads or cpu.default_threads(),
        progress=progress,
        cancelled=cancelled,
    )
    seconds = time.perf_counter() - began
    return _assemble(medium, source, grid, tallies, depth_first, protons, seconds, seed, device, chosen.name)


@lru_cache(maxsize=2)
def _standard_tables(name: str) -> StepTables:
    return build_step_tables(all_materials(), cross_section_set(name))


def compile_kernels() -> None:
    """Compile (or load) the kernels by a run of one history, so that a timing does not contain it."""
    from protonqa.montecarlo.medium import medium_from_hu
    from protonqa.montecarlo.source import pencil_beam
    from protonqa.values import Volume

    grid = Grid(shape=(2, 1, 1), spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0))
    medium = medium_from_hu(Volume(grid=grid, array=np.zeros((2, 1, 1), dtype=np.float32), unit="HU"))
    source = pencil_beam(
        grid,
        position_mm=np.array([0.0, 0.0, -0.5]),
        direction=np.array([0.0, 0.0, 1.0]),
        energy_mev=10.0,
        spot_sigma_mm=0.0,
        energy_spread_percent=0.0,
    )
    simulate(medium=medium, source=source, protons=1, threads=1)


def _box_of(grid: Grid, box: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    start = np.rint(grid.index_from_world(box.origin_mm)).astype(np.int64)
    nz, ny, nx = box.shape
    inside = np.all(start >= 0) and np.all(start + np.array((nx, ny, nz)) <= np.array(grid.shape[::-1]))
    if not inside or not grid.crop(tuple(start[::-1]), tuple((start + np.array((nx, ny, nz)))[::-1])).matches(box):
        raise InputError("the tally box is not a crop of the simulated grid")
    return start, np.array([nx, ny, nz], dtype=np.int64)


def _depth_extent(grid: Grid, source: Source) -> tuple[float, int]:
    """Depth (mm, whole) of the first bin and number of 1 mm bins that cover the grid along the depth axis."""
    corners = np.array([(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * np.asarray(grid.size_mm)
    depth = (corners - source.reference) @ source.axis
    first = float(np.floor(depth.min() + 1e-9))
    return first, int(np.ceil(depth.max() - first - 1e-9))


def _axis_values(
    volume: NDArray[np.float32], grid: Grid, source: Source, depth_mm: NDArray[np.float64], outside: float
) -> NDArray[np.float64]:
    """Voxel values on the central axis, averaged over each 1 mm bin."""
    fine = depth_mm[:, None] + (np.arange(10) + 0.5) / 10.0 - 0.5
    center = np.average(source.spots[:, :3], axis=0, weights=source.weights)
    offset = center - source.reference
    center = center - (offset @ source.axis) * source.axis
    points = center + fine[..., None] * source.axis
    index = np.floor(points / np.asarray(grid.spacing_mm) + 1e-9).astype(np.int64)
    inside = np.all((index >= 0) & (index < np.array(grid.shape[::-1])), axis=-1)
    index = np.where(inside[..., None], index, 0)
    values = np.where(inside, volume[index[..., 2], index[..., 1], index[..., 0]], outside)
    return np.asarray(values.mean(axis=1), dtype=np.float64)


def _assemble(
    medium: Medium,
    source: Source,
    grid: Grid,
    tallies: cpu.Tallies,
    depth_first: float,
    protons: int,
    seconds: float,
    seed: int,
    device: str,
    cross_sections: str,
) -> MonteCarloResult:
    book = tallies.book
    if book[BOOK_MISSED] == protons:
        raise InputError("the beam misses the volume", got="0 protons inside", remedy="check isocentre and angles")
    shape = grid.shape
    voxels = tallies.voxels.reshape(*shape, -1)
    start, (nx, ny, nz) = _box_of(medium.grid, grid)
    rho = medium.density[start[2] : start[2] + nz, start[1] : start[1] + ny, start[0] : start[0] + nx]
    gy_per_mev = MEV_TO_JOULE / (rho.astype(np.float64) * grid.voxel_ml * 1e-3)
    per_proton = 1.0 / protons
    bins = tallies.depth_coarse.shape[1]
    depth = depth_first + np.arange(bins, dtype=np.float64) + 0.5
    fine_depth = depth_first + (np.arange(tallies.depth_fine.shape[1], dtype=np.float64) + 0.5) * FINE_BIN_MM
    fine = tallies.depth_fine.sum(axis=0)
    incident = float(book[BOOK_IN])
    return MonteCarloResult(
        grid=grid,
        dose_medium_gy=(voxels[..., 0] * (per_proton / ENERGY_SCALE) * gy_per_mev).astype(np.float32),
        dose_water_gy=(voxels[..., 1] * (per_proton / ENERGY_SCALE) * gy_per_mev).astype(np.float32),
        nuclei=np.moveaxis(voxels[..., 2:] * (per_proton / NUCLIDE_SCALE), -1, 0).astype(np.float32),
        depth_mm=depth,
        fine_depth_mm=fine_depth,
        fine_idd_mev_per_mm=fine[:, 0] * (per_proton / ENERGY_SCALE / FINE_BIN_MM),
        # MeV over g/cm3 and mm is MeV cm2/g times cm/mm.
        fine_dose_mev_cm2_per_g=fine[:, 1] * (per_proton / WATER_DOSE_SCALE / FINE_BIN_MM * 10.0),
        channels_per_mm=tallies.depth_coarse.sum(axis=0).T * (per_proton / NUCLIDE_SCALE),
        primary_channels_per_mm=tallies.depth_coarse[0].T * (per_proton / NUCLIDE_SCALE),
        hu_on_axis=_axis_values(medium.hu, medium.grid, source, depth, -1000.0),
        rsp_on_axis=_axis_values(medium.rsp, medium.grid, source, depth, 0.001),
        energy_balance={
            "deposited": float(book[BOOK_DEPOSIT]) / incident,
            "escaped": float(book[BOOK_ESCAPED]) / incident,
            "neutral": float(book[BOOK_NEUTRAL]) / incident,
            "binding": float(book[BOOK_BINDING]) / incident,
        },
        protons=protons,
        seconds=seconds,
        seed=seed,
        device=device,
        cross_sections=cross_sections,
        field_protons=source.protons,
        findings=medium.findings + _transport_findings(book, protons),
    )


def _transport_findings(book: NDArray[np.int64], protons: int) -> tuple[Finding, ...]:
    findings = []
    if book[BOOK_STUCK]:
        findings.append(
            Finding(
                severity=Severity.WARNING,
                code="MC-STOPPED-EARLY",
                text=f"{int(book[BOOK_STUCK])} particles reached the step limit and stopped where they were.",
            )
        )
    missed = int(book[BOOK_MISSED])
    if missed > 0.01 * protons:
        findings.append(
            Finding(
                severity=Severity.WARNING,
                code="MC-BEAM-MISSES",
                text=f"{100.0 * missed / protons:.1f} % of the protons never enter the volume.",
            )
        )
    return tuple(findings)
