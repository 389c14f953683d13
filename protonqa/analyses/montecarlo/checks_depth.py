"""Acceptance checks along the depth: range, energy, and the depth doses of an independent code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protonqa.analyses.interface import Check
from protonqa.analyses.montecarlo.depth_curves import CurveFacts, curve_facts, gamma_share
from protonqa.analyses.montecarlo.expected import NOT_DEPOSITED_PERCENT, block, independent_depth_dose
from protonqa.analyses.montecarlo.outputs import BALANCE_LIMIT_PERCENT, balance_error_percent, balance_noise_percent
from protonqa.analyses.montecarlo.trials import Trials
from protonqa.montecarlo.result import MonteCarloResult
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import Table

#: Energies with a depth dose of an independent code, and further ones for the range alone.
DEPTH_DOSE_MEV = (70.0, 100.0, 150.0, 200.0, 230.0)
RANGE_MEV = (80.0, 90.0, 110.0, 120.0, 130.0, 140.0, 160.0, 175.0, 190.0, 215.0)
QUICK_MEV = (70.0, 150.0)
#: Most that R80 may lie before the CSDA range; it must not lie behind it.
R80_LIMIT_MM = 0.6
#: Most that R80 may stray from a smooth curve through all energies.
SMOOTH_LIMIT_MM = 0.1
#: Differences to an independent code.
SAME_R80_MM, SAME_FALLOFF_MM, SAME_PEAK_PERCENT, SAME_ENERGY_PERCENT, GAMMA_PERCENT = 0.3, 0.2, 3.0, 1.0, 99.0
PEAK_RATIO_MEV = (100.0, 150.0, 200.0)
_SPOT_MM, _WIDTH_MM, _BEHIND_MM = 3.0, 160.0, 20.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthTrial:
    """One energy in water: the simulation, the CSDA range, and what the curve says."""

    energy_mev: float
    csda_mm: float
    result: MonteCarloResult
    facts: CurveFacts

    @property
    def deficit_mm(self) -> float | None:
        """CSDA range less R80."""
        found = self.result.range_mm()
        return None if found is None else self.csda_mm - found

    @property
    def not_deposited_percent(self) -> float:
        """Share of the energy that does not stay in the block."""
        return 100.0 * (1.0 - self.result.energy_balance["deposited"])


def depth_trial(trials: Trials, energy_mev: float, protons: int) -> DepthTrial:
    """A pencil beam, 3 mm wide (1 SD), into 160 mm x 160 mm of water."""
    csda_mm = float(csda_range_water_mm(energy_mev))
    depth_mm = 4.0 * np.ceil((csda_mm + _BEHIND_MM) / 4.0)
    medium = block("water", size_mm=(_WIDTH_MM, _WIDTH_MM, depth_mm), spacing_mm=(4.0, 4.0, 1.0))
    result = trials.run(medium, energy_mev, protons, spot_sigma_mm=_SPOT_MM)
    facts = curve_facts(result.fine_depth_mm, result.fine_idd_mev_per_mm)
    return DepthTrial(energy_mev=energy_mev, csda_mm=csda_mm, result=result, facts=facts)


def range_checks(trial: DepthTrial) -> list[Check]:
    """R80 against the CSDA range of the table in use."""
    name = f"r80-water-{trial.energy_mev:g}mev"
    title = f"CSDA range less R80, water, {trial.energy_mev:g} MeV"
    return [
        Check(name=f"{name}-least", title=title, value=trial.deficit_mm, unit="mm", limit=0.0, comparison=">="),
        Check(name=f"{name}-most", title=title, value=trial.deficit_mm, unit="mm", limit=R80_LIMIT_MM),
    ]


def smoothness_check(many: list[DepthTrial]) -> list[Check]:
    """How far the ranges stray from a parabola through all energies; no check of fewer than five."""
    known = [(one.energy_mev, one.deficit_mm) for one in many if one.deficit_mm is not None]
    if len(known) < 5:
        return []
    energy, deficit = np.array(known).T
    stray = np.abs(deficit - np.polyval(np.polyfit(energy, deficit, 2), energy)).max()
    return [
        Check(
            name="r80-water-smooth",
            title="Farthest that CSDA range less R80 lies from a parabola in energy",
            value=float(stray),
            unit="mm",
            limit=SMOOTH_LIMIT_MM,
        )
    ]


def energy_checks(trial: DepthTrial) -> list[Check]:
    """The energy book, and what is not deposited against independent codes.

    The book's noise is far below its limit (``commissioning.DEPTH_PROTONS``), so that the limit stands without it.
    """
    energy, noise = f"{trial.energy_mev:g}", balance_noise_percent(trial.result.protons)
    checks = [
        Check(
            name=f"energy-balance-{energy}mev",
            title=f"Energy not accounted for (noise at most {noise:.3f} %, 1 SD), water, {energy} MeV",
            value=balance_error_percent(trial.result),
            unit="%",
            limit=BALANCE_LIMIT_PERCENT,
        )
    ]
    others = NOT_DEPOSITED_PERCENT.get(trial.energy_mev)
    if others is not None:
        checks.append(
            Check(
                name=f"not-deposited-{energy}mev",
                title=f"Energy not deposited ({trial.not_deposited_percent:.2f} %) less that of independent codes "
                f"({others:.1f} %), {energy} MeV",
                value=trial.not_deposited_percent - others,
                unit="%",
                limit=SAME_ENERGY_PERCENT,
                comparison="abs<=",
            )
        )
    return checks


def independent_checks(trial: DepthTrial) -> list[Check]:
    """The depth dose against that of an independent code with the same stopping powers."""
    depth, dose = independent_depth_dose(trial.energy_mev)
    theirs, ours = curve_facts(depth, dose), trial.facts
    met = gamma_share(trial.result.fine_depth_mm, trial.result.fine_idd_mev_per_mm, depth, dose)
    rows = [
        ("r80", "R80", _less(ours.r80_mm, theirs.r80_mm), "mm", SAME_R80_MM),
        ("falloff", "80-20 fall-off", _less(ours.falloff_mm, theirs.falloff_mm), "mm", SAME_FALLOFF_MM),
        ("deposited", "energy deposited", _percent(ours.deposited_mev, theirs.deposited_mev), "%", SAME_ENERGY_PERCENT),
    ]
    if trial.energy_mev in PEAK_RATIO_MEV:
        peak = _percent(ours.peak_to_entrance, theirs.peak_to_entrance)
        rows.append(("peak", "peak over entrance", peak, "%", SAME_PEAK_PERCENT))
    energy = f"{trial.energy_mev:g}"
    checks = [
        Check(
            name=f"independent-{key}-{energy}mev",
            title=f"Difference to an independent code: {text}, water, {energy} MeV",
            value=value,
            unit=unit,
            limit=limit,
            comparison="abs<=",
        )
        for key, text, value, unit, limit in rows
    ]
    title = f"Depth dose that meets an independent code (gamma 1 %/1 mm), water, {energy} MeV"
    gamma = Check(
        name=f"independent-gamma-{energy}mev",
        title=title,
        value=100.0 * met,
        unit="%",
        limit=GAMMA_PERCENT,
        comparison=">=",
    )
    return [*checks, gamma]


def depth_table(many: list[DepthTrial]) -> Table:
    """All energies in one table."""
    rows = [
        (
            one.energy_mev,
            one.csda_mm,
            one.result.range_mm(),
            one.deficit_mm,
            one.facts.falloff_mm,
            one.facts.peak_to_entrance,
            *(100.0 * one.result.energy_balance[key] for key in ("deposited", "escaped", "neutral", "binding")),
            one.result.protons,
        )
        for one in sorted(many, key=lambda trial: trial.energy_mev)
    ]
    return Table(
        name="depth-doses",
        title="Depth doses in water",
        columns=(
            "energy_mev",
            "csda_mm",
            "r80_mm",
            "deficit_mm",
            "falloff_mm",
            "peak_to_entrance",
            "deposited_percent",
            "escaped_percent",
            "neutral_percent",
            "binding_percent",
            "protons",
        ),
        rows=tuple(rows),
    )


def _less(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours - theirs


def _percent(ours: float, theirs: float) -> float:
    return 100.0 * (ours / theirs - 1.0)
