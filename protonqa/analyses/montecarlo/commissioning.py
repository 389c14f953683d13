"""Acceptance checks of the Monte Carlo in water and PMMA, measured against stated limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.interface import Check, Commissioning, Context
from protonqa.analyses.montecarlo.beams import PencilBeam, into_face
from protonqa.analyses.montecarlo.expected import block, gaussian_core_sigma_mm, slowing_down_yields
from protonqa.analyses.montecarlo.outputs import balance_error_percent
from protonqa.analyses.montecarlo.params import MonteCarloParams
from protonqa.montecarlo.medium import Medium
from protonqa.montecarlo.result import MonteCarloResult
from protonqa.montecarlo.simulation import simulate
from protonqa.physics.bragg import lateral_sigma_mm
from protonqa.physics.emission import CHANNELS, cross_section_set
from protonqa.physics.materials import material
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import Table

#: Most that R80 may lie before the CSDA range; it must not lie behind it.
R80_LIMIT_MM = 0.6
BALANCE_LIMIT_PERCENT = 0.5
YIELD_LIMIT_PERCENT = 2.0
SIGMA_LIMIT_PERCENT = 3.0
R80_ENERGIES_MEV = (70.0, 110.0, 150.0, 190.0, 230.0)
QUICK_ENERGIES_MEV = (70.0, 150.0)
YIELD_ENERGIES_MEV = (110.0, 150.0)
SIGMA_ENERGY_MEV, SIGMA_DEPTHS_MM = 150.0, (100.0, 140.0)
_BEHIND_MM, _LONGEST_MM = 20.0, 330.0

#: Known answers of Philox4x32-10: counter, key, output. Source: Random123 1.09, kat_vectors.
PHILOX_ANSWERS = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


def commission(context: Context[MonteCarloParams]) -> Commissioning:
    """All checks; `quick` takes fewer protons and energies and the same limits."""
    energies = QUICK_ENERGIES_MEV if context.quick else R80_ENERGIES_MEV
    parts = len(energies) + 4
    checks: list[Check] = list(random_checks())
    rows: list[tuple[float | None, ...]] = []
    for done, energy_mev in enumerate(energies):
        context.progress(done, parts, f"range at {energy_mev:g} MeV")
        made, row = _range_checks(context, energy_mev)
        checks += made
        rows.append(row)
    context.progress(len(energies), parts, "nuclide yields")
    checks += _yield_checks(context)
    context.progress(len(energies) + 2, parts, "lateral spread")
    checks += _lateral_checks(context)
    context.progress(len(energies) + 3, parts, "threads")
    checks.append(_thread_check(context))
    table = Table(
        name="ranges",
        title="R80 in water against the CSDA range",
        columns=("energy_mev", "csda_mm", "r80_mm", "deficit_mm"),
        rows=tuple(rows),
    )
    return Commissioning(checks=tuple(checks), tables=(table,))


def random_checks() -> tuple[Check, ...]:
    """The random generator against its published known answers."""
    from protonqa.montecarlo.philox import philox4x32

    word = np.uint64
    wrong = sum(
        tuple(int(v) for v in philox4x32(*(word(c) for c in counter), *(word(k) for k in key))) != answer
        for counter, key, answer in PHILOX_ANSWERS
    )
    return (
        Check(
            name="philox-known-answers",
            title="Wrong known answers of the random generator",
            value=float(wrong),
            unit="",
            limit=0.0,
            comparison="==",
        ),
    )


def _protons(context: Context[MonteCarloParams], full: int) -> int:
    return full // 4 if context.quick else full


def _run(
    context: Context[MonteCarloParams],
    medium: Medium,
    energy_mev: float,
    *,
    protons: int,
    spot_sigma_mm: float = 0.0,
    threads: int | None = None,
) -> MonteCarloResult:
    beam = PencilBeam(energy_mev=energy_mev, spot_sigma_mm=spot_sigma_mm)
    return simulate(
        medium=medium,
        source=into_face(medium.grid, beam).source,
        protons=protons,
        seed=context.seed,
        threads=threads,
        cancelled=_cancelled(context),
    )


def _cancelled(context: Context[MonteCarloParams]) -> Callable[[], bool]:
    return context.is_cancelled or (lambda: False)


def _range_checks(
    context: Context[MonteCarloParams], energy_mev: float
) -> tuple[list[Check], tuple[float | None, ...]]:
    csda_mm = float(csda_range_water_mm(energy_mev))
    medium = block("water", size_mm=(120.0, 120.0, np.ceil(csda_mm) + _BEHIND_MM), spacing_mm=(4.0, 4.0, 1.0))
    # Short ranges cost little and their limit is the nearest: more protons there.
    protons = round(40_000 * min(4.0, _LONGEST_MM / csda_mm))
    result = _run(context, medium, energy_mev, protons=_protons(context, protons))
    r80_mm = result.range_mm()
    deficit_mm = None if r80_mm is None else csda_mm - r80_mm
    name, title = f"r80-water-{energy_mev:g}mev", f"CSDA range less R80, water, {energy_mev:g} MeV"
    checks = [
        Check(name=f"{name}-least", title=title, value=deficit_mm, unit="mm", limit=0.0, comparison=">="),
        Check(name=f"{name}-most", title=title, value=deficit_mm, unit="mm", limit=R80_LIMIT_MM),
        Check(
            name=f"energy-balance-{energy_mev:g}mev",
            title=f"Energy not accounted for, water, {energy_mev:g} MeV",
            value=balance_error_percent(result),
            unit="%",
            limit=BALANCE_LIMIT_PERCENT,
        ),
    ]
    row = (energy_mev, csda_mm, r80_mm, deficit_mm)
    return checks, row


def _yield_checks(context: Context[MonteCarloParams]) -> list[Check]:
    checks = []
    cross_sections = cross_section_set("recommended")
    for energy_mev in YIELD_ENERGIES_MEV[-1:] if context.quick else YIELD_ENERGIES_MEV:
        medium = block("pmma", size_mm=(120.0, 120.0, 180.0), spacing_mm=(4.0, 4.0, 2.0))
        result = _run(context, medium, energy_mev, protons=_protons(context, 20_000))
        found = result.primary_channels_per_mm.sum(axis=1)
        expected = slowing_down_yields(material("pmma"), energy_mev, cross_sections)
        for key, label in (("c11", "11C"), ("o15", "15O")):
            mine = np.array([channel.nuclide == key for channel in CHANNELS])
            checks.append(
                Check(
                    name=f"yield-{key}-pmma-{energy_mev:g}mev",
                    title=f"Primary {label} in PMMA less the slowing-down integral, {energy_mev:g} MeV",
                    value=100.0 * float(found[mine].sum() / expected[mine].sum() - 1.0),
                    unit="%",
                    limit=YIELD_LIMIT_PERCENT,
                    comparison="abs<=",
                )
            )
    return checks


def _lateral_checks(context: Context[MonteCarloParams]) -> list[Check]:
    # Thin columns across, thick slices along; the variance of a column is taken off.
    width_mm, slice_mm = 0.5, 4.0
    medium = block("water", size_mm=(60.0, 60.0, 160.0), spacing_mm=(width_mm, 60.0, slice_mm))
    energy = _energy_without_nuclear_events(context, medium, protons=_protons(context, 80_000))
    columns = medium.grid.shape[2]
    x_mm = np.asarray((np.arange(columns) - 0.5 * (columns - 1)) * width_mm, dtype=np.float64)
    checks = []
    for depth_mm in SIGMA_DEPTHS_MM:
        # The two slices that meet at this depth.
        last = round(depth_mm / slice_mm)
        across = energy[last - 1 : last + 1].sum(axis=(0, 1), dtype=np.float64)
        found_mm = np.sqrt(max(gaussian_core_sigma_mm(across, x_mm) ** 2 - width_mm**2 / 12.0, 0.0))
        expected_mm = float(lateral_sigma_mm(depth_mm, SIGMA_ENERGY_MEV))
        checks.append(
            Check(
                name=f"lateral-sigma-{depth_mm:g}mm",
                title=f"Multiple scattering less Fermi-Eyges, water, {SIGMA_ENERGY_MEV:g} MeV, depth {depth_mm:g} mm",
                value=100.0 * float(found_mm / expected_mm - 1.0),
                unit="%",
                limit=SIGMA_LIMIT_PERCENT,
                comparison="abs<=",
            )
        )
    return checks


def _energy_without_nuclear_events(
    context: Context[MonteCarloParams], medium: Medium, *, protons: int
) -> NDArray[np.int64]:
    """Energy left in each voxel with nuclear events off: their halo and their deflections are no multiple scattering.

    The kernels are the same; only the nuclear cross section of their tables is zero. Any unit, (nz, ny, nx).
    """
    from protonqa.montecarlo import cpu
    from protonqa.montecarlo.medium import all_materials
    from protonqa.montecarlo.step_tables import SIGMA, build_step_tables

    tables = build_step_tables(all_materials(), cross_section_set("recommended"))
    step = tables.step.copy()
    step[:, :, SIGMA] = 0.0
    nz, ny, nx = medium.grid.shape
    tallies = cpu.run(
        medium=medium,
        source=into_face(medium.grid, PencilBeam(energy_mev=SIGMA_ENERGY_MEV, spot_sigma_mm=0.0)).source,
        tables=replace(tables, step=step),
        box_start=np.zeros(3, dtype=np.int64),
        box_shape=np.array([nx, ny, nz], dtype=np.int64),
        depth_bins=int(np.ceil(medium.grid.size_mm[2])),
        protons=protons,
        seed=context.seed,
        threads=cpu.default_threads(),
        cancelled=_cancelled(context),
    )
    return tallies.voxels[:, 0].reshape(medium.grid.shape)


def _thread_check(context: Context[MonteCarloParams]) -> Check:
    medium = block("water", size_mm=(60.0, 60.0, 80.0), spacing_mm=(4.0, 4.0, 4.0))
    one, two = (
        _run(context, medium, 90.0, protons=_protons(context, 20_000), spot_sigma_mm=3.0, threads=threads)
        for threads in (1, 2)
    )
    different = sum(
        int(np.count_nonzero(getattr(one, name) != getattr(two, name)))
        for name in ("dose_water_gy", "nuclei", "fine_idd_mev_per_mm", "channels_per_mm")
    )
    return Check(
        name="same-bits-1-and-2-threads",
        title="Tallies that differ between one and two threads",
        value=float(different),
        unit="",
        limit=0.0,
        comparison="==",
    )
