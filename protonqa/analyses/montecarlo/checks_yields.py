"""Acceptance checks of the positron emitters that protons make in water and PMMA."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.interface import Check
from protonqa.analyses.montecarlo.expected import O15_OVER_C11, block, slowing_down_yields
from protonqa.analyses.montecarlo.trials import Trials
from protonqa.physics.emission import cross_section_set, nuclides_from_channels
from protonqa.physics.materials import material
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import Table

YIELD_MEV, QUICK_MEV = (110.0, 140.0, 175.0), (140.0,)
MATERIALS, SETS = ("water", "pmma"), ("recommended", "gate")
LABELS = {"c11": "11C", "o15": "15O", "n13": "13N"}
YIELD_LIMIT_PERCENT, RATIO_LIMIT = 2.0, 0.02
#: Ratios of nuclides are stated for this material.
RATIO_MATERIAL = "pmma"
_PROTONS, _QUICK_PROTONS = 100_000, 20_000
_WIDTH_MM, _BEHIND_MM = 120.0, 10.0

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class YieldTrial:
    """Nuclei per proton, (7,) in ``NUCLIDE_KEYS`` order: of primaries, by the slowing-down integral, of all protons."""

    material: str
    energy_mev: float
    cross_sections: str
    primary: FloatArray
    integral: FloatArray
    whole: FloatArray

    def of(self, key: str) -> tuple[float, float, float]:
        """Primary, integral and whole of one nuclide."""
        i = NUCLIDE_KEYS.index(key)
        return float(self.primary[i]), float(self.integral[i]), float(self.whole[i])


def yield_trials(trials: Trials) -> list[YieldTrial]:
    """Every material, energy and set of cross sections."""
    energies = QUICK_MEV if trials.quick else YIELD_MEV
    return [_trial(trials, name, energy, which) for name in MATERIALS for energy in energies for which in SETS]


def _trial(trials: Trials, name: str, energy_mev: float, cross_sections: str) -> YieldTrial:
    depth_mm = 2.0 * round(0.5 * (float(csda_range_water_mm(energy_mev)) + _BEHIND_MM))
    medium = block(name, size_mm=(_WIDTH_MM, _WIDTH_MM, depth_mm), spacing_mm=(4.0, 4.0, 2.0))
    protons = trials.fewer(_PROTONS, _QUICK_PROTONS)
    result = trials.run(medium, energy_mev, protons, cross_sections=cross_sections)
    integral = slowing_down_yields(material(name), energy_mev, cross_section_set(cross_sections))
    return YieldTrial(
        material=name,
        energy_mev=energy_mev,
        cross_sections=cross_sections,
        primary=nuclides_from_channels(result.primary_channels_per_mm).sum(axis=1),
        integral=nuclides_from_channels(integral[:, None])[:, 0],
        whole=result.nuclides_per_mm.sum(axis=1),
    )


def yield_checks(many: list[YieldTrial]) -> list[Check]:
    """Primary yields against a slowing-down integral of the same tables, ratios of nuclides, share of secondaries."""
    checks = []
    for trial in many:
        checks += [_integral_check(trial, key) for key in LABELS]
        if trial.material == RATIO_MATERIAL:
            checks.append(_ratio_check(trial))
        if trial.cross_sections == SETS[0]:
            checks.append(_secondary_check(trial))
    return checks


def _integral_check(trial: YieldTrial, key: str) -> Check:
    primary, integral, _ = trial.of(key)
    return Check(
        name=f"yield-{key}-{_name(trial)}",
        title=f"Primary {LABELS[key]} less the slowing-down integral, {_text(trial)}",
        value=100.0 * (primary / integral - 1.0),
        unit="%",
        limit=YIELD_LIMIT_PERCENT,
        comparison="abs<=",
    )


def _ratio_check(trial: YieldTrial) -> Check:
    ratio, expected = trial.of("o15")[0] / trial.of("c11")[0], O15_OVER_C11[trial.cross_sections]
    return Check(
        name=f"ratio-o15-c11-{_name(trial)}",
        title=f"15O over 11C ({ratio:.3f}) less {expected:g}, {_text(trial)}",
        value=ratio - expected,
        unit="",
        limit=RATIO_LIMIT,
        comparison="abs<=",
    )


def _secondary_check(trial: YieldTrial) -> Check:
    made = np.array([trial.of(key) for key in LABELS]).sum(axis=0)
    return Check(
        name=f"secondaries-{_name(trial)}",
        title=f"Nuclei of secondary protons, share of those of primaries, {_text(trial)}",
        value=100.0 * float(made[2] / made[0] - 1.0),
        unit="%",
        limit=0.0,
        comparison=">",
    )


def yield_table(many: list[YieldTrial]) -> Table:
    """All yields in one table."""
    return Table(
        name="yields",
        title="Nuclei per 100 protons: of primary protons, by the slowing-down integral, of all protons",
        columns=("material", "energy_mev", "cross_sections", "nuclide", "primary", "integral", "all"),
        rows=tuple(
            (trial.material, trial.energy_mev, trial.cross_sections, label, *(100.0 * v for v in trial.of(key)))
            for trial in many
            for key, label in LABELS.items()
        ),
    )


def _name(trial: YieldTrial) -> str:
    return f"{trial.material}-{trial.energy_mev:g}mev-{trial.cross_sections}"


def _text(trial: YieldTrial) -> str:
    return f"{trial.material}, {trial.energy_mev:g} MeV, {trial.cross_sections}"
