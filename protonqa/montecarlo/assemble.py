"""From raw sums to a result per proton."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.montecarlo.batches import Progress, high_dose_error_percent
from protonqa.montecarlo.medium import Medium
from protonqa.montecarlo.plan import TransportPlan
from protonqa.montecarlo.result import MEV_TO_JOULE, MonteCarloResult
from protonqa.montecarlo.source import Source
from protonqa.montecarlo.tallies import (
    BOOK_BINDING,
    BOOK_DEPOSIT,
    BOOK_ESCAPED,
    BOOK_IN,
    BOOK_MISSED,
    BOOK_NEUTRAL,
    BOOK_STUCK,
    BOOK_VISITS,
    CHANNEL_SLOT,
    ENERGY_SCALE,
    FINE_BIN_MM,
    FINE_PER_COARSE,
    MEDIUM_SLOT,
    N_BOOK,
    N_CHANNEL,
    NUCLIDE_SCALE,
    QUALITY_ENERGY,
    QUALITY_LET,
    QUALITY_LOSS,
    QUALITY_TRACK,
    WATER_DOSE_SCALE,
    WATER_SLOT,
    Tally,
)
from protonqa.montecarlo.tiles import volume_of
from protonqa.physics.emission import CHANNEL_NUCLIDE
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.values import Finding, Grid, Severity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A finished run, raw."""

    medium: Medium
    source: Source
    grid: Grid
    plan: TransportPlan
    tally: Tally
    progress: Progress
    depth_first_mm: float
    seconds: float
    seed: int
    device: str
    cross_sections: str


def assemble(run: Run) -> MonteCarloResult:
    """The result of a run.

    Raises
    ------
    InputError
        No proton entered the volume.
    """
    book, shifted = _books(run.tally.book)
    protons = run.progress.done
    if book[BOOK_MISSED] == protons or book[BOOK_VISITS] == 0:
        raise InputError("the beam misses the volume", got="0 protons inside", remedy="check isocentre and angles")
    per_proton = 1.0 / protons
    first = run.depth_first_mm
    bins = run.plan.scene.n_coarse
    depth = first + np.arange(bins, dtype=np.float64) + 0.5
    fine = run.tally.fine.reshape(2, FINE_PER_COARSE * bins, 2).sum(axis=0)
    channels = np.zeros((2, bins, N_CHANNEL))
    opened = run.plan.channels
    channels[:, :, opened] = run.tally.coarse.reshape(2, bins, -1)[:, :, : opened.size] * (per_proton / NUCLIDE_SCALE)
    error = run.progress.error(run.tally)
    medium_gy, water_gy = _doses(run)
    incident = float(book[BOOK_IN])
    let, energy = _beam_quality(run)
    terms = (
        ("deposited", BOOK_DEPOSIT), ("escaped", BOOK_ESCAPED), ("neutral", BOOK_NEUTRAL), ("binding", BOOK_BINDING),
    )  # fmt: skip
    return MonteCarloResult(
        grid=run.grid,
        dose_medium_gy=medium_gy,
        dose_water_gy=water_gy,
        nuclei=_nuclei(run),
        dose_error=None if error is None else volume_of(error, run.tally.rank, run.plan.tiles, run.grid.shape),
        high_dose_error_percent=None
        if error is None
        else high_dose_error_percent(error, run.tally, run.plan.scene.n_slot),
        let_kev_per_um=let,
        mean_energy_mev=energy,
        depth_mm=depth,
        fine_depth_mm=first + (np.arange(fine.shape[0], dtype=np.float64) + 0.5) * FINE_BIN_MM,
        fine_idd_mev_per_mm=fine[:, 0] * (per_proton / ENERGY_SCALE / FINE_BIN_MM),
        # MeV over g/cm3 and mm is MeV cm2/g times cm/mm.
        fine_dose_mev_cm2_per_g=fine[:, 1] * (per_proton / WATER_DOSE_SCALE / FINE_BIN_MM * 10.0),
        channels_per_mm=channels.sum(axis=0).T,
        primary_channels_per_mm=channels[0].T,
        hu_on_axis=_axis_values(run.medium.hu, run.medium.grid, run.source, depth, -1000.0),
        rsp_on_axis=_axis_values(run.medium.rsp, run.medium.grid, run.source, depth, 0.001),
        energy_balance={name: float(book[slot]) / incident for name, slot in terms} | shifted,
        protons=protons,
        seconds=run.seconds,
        seed=run.seed,
        device=run.device,
        cross_sections=run.cross_sections,
        field_protons=run.source.protons,
        findings=run.medium.findings + run.source.findings + _findings(book, protons),
    )


def _books(book: NDArray[np.int64]) -> tuple[NDArray[np.int64], dict[str, float]]:
    """The energy book of all that happened, and the share of the incident energy that stayed in a range shifter."""
    if book.size == N_BOOK:
        return book, {}
    total, slab = book[:N_BOOK].copy(), book[N_BOOK:]
    for slot in (BOOK_ESCAPED, BOOK_NEUTRAL, BOOK_BINDING, BOOK_STUCK):
        total[slot] += slab[slot]
    return total, {"range_shifter": float(slab[BOOK_DEPOSIT]) / float(total[BOOK_IN])}


def _volume(run: Run, slot: int, scale: float) -> NDArray[np.float32]:
    stride = run.plan.scene.n_slot
    return volume_of(
        run.tally.voxels, run.tally.rank, run.plan.tiles, run.grid.shape, stride=stride, slot=slot, scale=scale
    )


def _doses(run: Run) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Dose to medium and to water per proton (Gy)."""
    start = np.rint(run.medium.grid.index_from_world(run.grid.origin_mm)).astype(int)
    nz, ny, nx = run.grid.shape
    rho = run.medium.density[start[2] : start[2] + nz, start[1] : start[1] + ny, start[0] : start[0] + nx]
    scale = MEV_TO_JOULE / (run.grid.voxel_ml * 1e-3) / (run.progress.done * ENERGY_SCALE)
    medium, water = _volume(run, MEDIUM_SLOT, scale), _volume(run, WATER_SLOT, scale)
    np.divide(medium, rho, out=medium)
    np.divide(water, rho, out=water)
    return medium, water


def _nuclei(run: Run) -> NDArray[np.float32]:
    out = np.zeros((len(NUCLIDE_KEYS), *run.grid.shape), dtype=np.float32)
    scale = 1.0 / (run.progress.done * NUCLIDE_SCALE)
    for i, channel in enumerate(run.plan.channels):
        out[CHANNEL_NUCLIDE[channel]] += _volume(run, CHANNEL_SLOT + i, scale)
    return out


def _beam_quality(run: Run) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """Dose-averaged LET (keV/um) and fluence-weighted energy (MeV) of the protons; 0 where none came."""
    first = run.plan.scene.first_quality
    if not first:
        return None, None
    sums = {slot: _volume(run, first + slot, 1.0).astype(np.float64) for slot in range(4)}
    out = []
    for top, bottom in ((QUALITY_LET, QUALITY_LOSS), (QUALITY_ENERGY, QUALITY_TRACK)):
        # The weighted sums are kept 64 times smaller.
        ratio = np.divide(64.0 * sums[top], sums[bottom], out=np.zeros_like(sums[top]), where=sums[bottom] > 0)
        out.append(ratio.astype(np.float32))
    return out[0], out[1]


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


def _findings(book: NDArray[np.int64], protons: int) -> tuple[Finding, ...]:
    findings = []
    if book[BOOK_STUCK]:
        text = f"{int(book[BOOK_STUCK])} particles reached the step limit and stopped where they were."
        findings.append(Finding(severity=Severity.WARNING, code="MC-STOPPED-EARLY", text=text))
    missed = int(book[BOOK_MISSED])
    if missed > 0.01 * protons:
        text = f"{100.0 * missed / protons:.1f} % of the protons never enter the volume."
        findings.append(Finding(severity=Severity.WARNING, code="MC-BEAM-MISSES", text=text))
    return tuple(findings)
