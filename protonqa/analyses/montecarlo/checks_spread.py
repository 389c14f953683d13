"""Acceptance checks across the beam, and that neither spread nor range depend on how space is cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.interface import Check
from protonqa.analyses.montecarlo.expected import PEAK_SIGMA_MM, block, gaussian_core_sigma_mm
from protonqa.analyses.montecarlo.trials import Trials, lateral_profile
from protonqa.montecarlo.result import MonteCarloResult
from protonqa.physics.bragg import lateral_sigma_mm
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import Table

FloatArray = NDArray[np.float64]

#: Depths as shares of the CSDA range; before the first that is checked the columns are wide against the beam.
DEPTH_SHARES = (0.5, 0.6, 0.7, 0.8, 0.86, 0.92, 0.96)
_CHECKED_FROM = 0.6
SIGMA_LIMIT_PERCENT, PEAK_LIMIT_PERCENT = 3.0, 6.0
#: Voxels (across, along the beam; mm) that must give what cubes of 1 mm give.
CUTS_MM = ((2.0, 2.0), (4.0, 4.0), (1.0, 0.25))
CUT_R80_LIMIT_MM, CUT_SIGMA_LIMIT_PERCENT = 0.2, 2.0
_PROTONS, _QUICK_PROTONS, _QUICK_MEV = 400_000, 80_000, 150.0
_COLUMN_MM, _SLICE_MM, _WIDTH_MM = 0.5, 1.0, 80.0
_CUT_PROTONS, _QUICK_CUT_PROTONS = 200_000, 60_000
_CUT_MEV, _CUT_DEPTH_MM, _CUT_WIDTH_MM = 150.0, 176.0, 80.0
_CUT_SLICES_MM = (136.0, 144.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpreadTrial:
    """A beam of no width in water: lateral SD of the Gaussian core by depth.

    depth_mm, sigma_mm, whole_mm, theory_mm : (n,)
        Of multiple scattering alone, of the whole beam with its nuclear events, and by theory, which knows none.
    peak_mm, published_mm : float
        SD of the whole beam at its peak, and what is published for it.
    """

    energy_mev: float
    depth_mm: FloatArray
    sigma_mm: FloatArray
    whole_mm: FloatArray
    theory_mm: FloatArray
    peak_mm: float
    published_mm: float


def spread_trials(trials: Trials) -> list[SpreadTrial]:
    """Multiple scattering alone, and the whole beam, at every energy whose spread is published."""
    made = []
    for energy_mev, published_mm in PEAK_SIGMA_MM.items():
        if trials.quick and energy_mev != _QUICK_MEV:
            continue
        alone, whole = (_narrow_beam(trials, energy_mev, nuclear=nuclear) for nuclear in (False, True))
        plane = np.rint(np.array(DEPTH_SHARES) * float(csda_range_water_mm(energy_mev)) / _SLICE_MM).astype(int)
        made.append(
            SpreadTrial(
                energy_mev=energy_mev,
                depth_mm=plane * _SLICE_MM,
                sigma_mm=_sigmas_mm(alone, plane),
                whole_mm=_sigmas_mm(whole, plane),
                theory_mm=lateral_sigma_mm(plane * _SLICE_MM, energy_mev),
                peak_mm=float(_sigmas_mm(whole, _peak(whole))[0]),
                published_mm=published_mm,
            )
        )
    return made


def spread_checks(many: list[SpreadTrial]) -> list[Check]:
    """Multiple scattering alone against Fermi-Eyges, and the whole beam at its peak against published widths."""
    return [check for trial in many for check in (*_scattering_checks(trial), _peak_check(trial))]


def _narrow_beam(trials: Trials, energy_mev: float, *, nuclear: bool) -> MonteCarloResult:
    depth_mm = np.ceil(float(csda_range_water_mm(energy_mev))) + 10.0
    # Columns that reach across the whole of y: the sum over y is all that is looked at.
    medium = block("water", size_mm=(_WIDTH_MM, _WIDTH_MM, depth_mm), spacing_mm=(_COLUMN_MM, _WIDTH_MM, _SLICE_MM))
    return trials.run(medium, energy_mev, trials.fewer(_PROTONS, _QUICK_PROTONS), nuclear=nuclear)


def _scattering_checks(trial: SpreadTrial) -> list[Check]:
    return [
        Check(
            name=f"lateral-sigma-{trial.energy_mev:g}mev-{depth:g}mm",
            title=f"Scattering alone ({found:.2f} mm) less Fermi-Eyges, {trial.energy_mev:g} MeV, depth {depth:g} mm",
            value=100.0 * (found / expected - 1.0),
            unit="%",
            limit=SIGMA_LIMIT_PERCENT,
            comparison="abs<=",
        )
        for share, depth, found, expected in zip(
            DEPTH_SHARES, trial.depth_mm, trial.sigma_mm, trial.theory_mm, strict=True
        )
        if share >= _CHECKED_FROM
    ]


def _sigmas_mm(result: MonteCarloResult, planes: NDArray[np.int64]) -> FloatArray:
    """SD at the planes between two slices, from both."""
    return np.array([gaussian_core_sigma_mm(*lateral_profile(result, k - 1, k + 1)) for k in planes])


def _peak(result: MonteCarloResult) -> NDArray[np.int64]:
    return np.atleast_1d(np.argmax(result.dose_medium_gy.sum(axis=(1, 2), dtype=np.float64)))


def _peak_check(trial: SpreadTrial) -> Check:
    text = f"({trial.peak_mm:.2f} mm) less the published {trial.published_mm:g} mm"
    return Check(
        name=f"peak-sigma-{trial.energy_mev:g}mev",
        title=f"Spread at the peak {text}, {trial.energy_mev:g} MeV",
        value=100.0 * (trial.peak_mm / trial.published_mm - 1.0),
        unit="%",
        limit=PEAK_LIMIT_PERCENT,
        comparison="abs<=",
    )


def spread_table(many: list[SpreadTrial]) -> Table:
    """All depths in one table."""
    return Table(
        name="lateral-spread",
        title="Lateral spread (1 SD, mm) of a beam of no width in water",
        columns=("energy_mev", "depth_mm", "scattering_alone_mm", "fermi_eyges_mm", "whole_beam_mm"),
        rows=tuple(
            (trial.energy_mev, *(float(v) for v in row))
            for trial in many
            for row in zip(trial.depth_mm, trial.sigma_mm, trial.theory_mm, trial.whole_mm, strict=True)
        ),
    )


def cut_checks(trials: Trials) -> list[Check]:
    """R80 and spread with other voxels; those set the stretches over which energy is lost, too."""
    protons = trials.fewer(_CUT_PROTONS, _QUICK_CUT_PROTONS)
    r80_mm, sigma_mm = _cut(trials, (1.0, 1.0), protons)
    checks = []
    for cut in CUTS_MM[1:2] if trials.quick else CUTS_MM:
        other_r80_mm, other_sigma_mm = _cut(trials, cut, protons)
        name, text = f"{cut[0]:g}x{cut[1]:g}mm", f"voxels {cut[0]:g} mm across and {cut[1]:g} mm along less 1 mm cubes"
        moved = None if r80_mm is None or other_r80_mm is None else other_r80_mm - r80_mm
        checks += [
            Check(
                name=f"voxels-r80-{name}",
                title=f"R80, {text}",
                value=moved,
                unit="mm",
                limit=CUT_R80_LIMIT_MM,
                comparison="abs<=",
            ),
            Check(
                name=f"voxels-sigma-{name}",
                title=f"Lateral spread, {text}",
                value=100.0 * (other_sigma_mm / sigma_mm - 1.0),
                unit="%",
                limit=CUT_SIGMA_LIMIT_PERCENT,
                comparison="abs<=",
            ),
        ]
    return checks


def _cut(trials: Trials, cut_mm: tuple[float, float], protons: int) -> tuple[float | None, float]:
    """R80 and lateral SD between two depths at 150 MeV, without nuclear events: no halo, so the plain second moment."""
    across_mm, along_mm = cut_mm
    medium = block(
        "water",
        size_mm=(_CUT_WIDTH_MM, _CUT_WIDTH_MM, _CUT_DEPTH_MM),
        spacing_mm=(across_mm, across_mm, along_mm),
    )
    result = trials.run(medium, _CUT_MEV, protons, nuclear=False)
    first, last = (round(edge / along_mm) for edge in _CUT_SLICES_MM)
    counts, x_mm = lateral_profile(result, first, last)
    variance = float((counts * x_mm**2).sum() / counts.sum()) - across_mm**2 / 12.0
    return result.range_mm(), float(np.sqrt(variance))
