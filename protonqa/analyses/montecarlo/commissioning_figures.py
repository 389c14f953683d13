"""Figures of the acceptance test, as data. NaN between the parts of a curve is a gap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.montecarlo.checks_depth import DEPTH_DOSE_MEV, R80_LIMIT_MM, DepthTrial
from protonqa.analyses.montecarlo.checks_spread import SpreadTrial
from protonqa.analyses.montecarlo.checks_yields import LABELS, SETS, YieldTrial
from protonqa.analyses.montecarlo.expected import independent_depth_dose, slowing_down_yields
from protonqa.physics.bragg import lateral_sigma_mm
from protonqa.physics.emission import cross_section_set, nuclides_from_channels
from protonqa.physics.materials import material
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import LineFigure, Series

FloatArray = NDArray[np.float64]
Curve = tuple[FloatArray, FloatArray]
_DEPTH = "depth (mm)"
_FINE_PER_MM = 4


def figures(
    depths: Sequence[DepthTrial], spreads: Sequence[SpreadTrial], yields: Sequence[YieldTrial]
) -> tuple[LineFigure, ...]:
    """Depth doses with the independent code over them, what is left, ranges, lateral spread, yields."""
    compared = [trial for trial in depths if trial.energy_mev in DEPTH_DOSE_MEV]
    return (
        _depth_doses(compared),
        _residuals(compared),
        _ranges(depths),
        _spread(spreads),
        *(_yields(yields, name) for name in dict.fromkeys(trial.material for trial in yields)),
    )


def _depth_doses(compared: Sequence[DepthTrial]) -> LineFigure:
    ours = [(trial.result.fine_depth_mm, trial.result.fine_idd_mev_per_mm) for trial in compared]
    theirs = [
        (x[: depth.size], y[: depth.size])
        for trial, (depth, _) in zip(compared, ours, strict=True)
        for x, y in [independent_depth_dose(trial.energy_mev)]
    ]
    energies = ", ".join(f"{trial.energy_mev:g}" for trial in compared)
    return LineFigure(
        name="depth-doses",
        title=f"Depth doses in water, {energies} MeV, laterally integrated",
        x_label=_DEPTH,
        y_label="energy (MeV/mm per proton)",
        series=(_series("protonqa", ours), _series("independent code", theirs, "dashed")),
    )


def _residuals(compared: Sequence[DepthTrial]) -> LineFigure:
    return LineFigure(
        name="depth-dose-residuals",
        title="Depth dose less that of the independent code, in 1 mm bins, in percent of its maximum",
        x_label=_DEPTH,
        y_label="difference (%)",
        series=tuple(
            Series(label=f"{trial.energy_mev:g} MeV", x=x, y=y)
            for trial in compared
            for x, y in [_residual(trial, *independent_depth_dose(trial.energy_mev))]
        ),
    )


def _residual(trial: DepthTrial, depth_mm: FloatArray, theirs: FloatArray) -> Curve:
    """In bins of a voxel: inside one, the energy that a proton loses on its way through is spread evenly."""
    bins = min(depth_mm.size, trial.result.fine_depth_mm.size) // _FINE_PER_MM
    depth, other, mine = (
        v[: bins * _FINE_PER_MM].reshape(bins, _FINE_PER_MM).mean(axis=1)
        for v in (depth_mm, theirs, trial.result.fine_idd_mev_per_mm)
    )
    return depth, 100.0 * (mine - other) / theirs.max()


def _ranges(depths: Sequence[DepthTrial]) -> LineFigure:
    known = sorted((trial.energy_mev, trial.deficit_mm) for trial in depths if trial.deficit_mm is not None)
    energy, deficit = np.array(known).reshape(-1, 2).T
    edges = np.array([60.0, 240.0])
    return LineFigure(
        name="ranges",
        title="CSDA range less R80 in water",
        x_label="energy (MeV)",
        y_label="CSDA range less R80 (mm)",
        series=(
            Series(label="protonqa", x=energy, y=deficit, style="points"),
            _series("limits", [(edges, np.zeros(2)), (edges, np.full(2, R80_LIMIT_MM))], "dashed"),
        ),
    )


def _spread(spreads: Sequence[SpreadTrial]) -> LineFigure:
    energies = ", ".join(f"{trial.energy_mev:g}" for trial in spreads)
    depth = [np.linspace(0.0, csda_range_water_mm(trial.energy_mev) - 1.0, 200) for trial in spreads]
    theory = [(z, lateral_sigma_mm(z, trial.energy_mev)) for z, trial in zip(depth, spreads, strict=True)]
    return LineFigure(
        name="lateral-spread",
        title=f"Lateral spread of a beam of no width in water, {energies} MeV",
        x_label=_DEPTH,
        y_label="1 SD (mm)",
        series=(
            _series("Fermi-Eyges, differential Molière", theory),
            _series(
                "protonqa, multiple scattering alone", [(trial.depth_mm, trial.sigma_mm) for trial in spreads], "points"
            ),
            _series("protonqa, nuclear events too", [(trial.depth_mm, trial.whole_mm) for trial in spreads], "points"),
        ),
    )


def _yields(yields: Sequence[YieldTrial], name: str) -> LineFigure:
    mine = [trial for trial in yields if trial.material == name and trial.cross_sections == SETS[0]]
    energy = np.array([trial.energy_mev for trial in mine])
    through = np.arange(energy.min() - 10.0, energy.max() + 11.0, 5.0)
    integral = nuclides_from_channels(
        np.stack([slowing_down_yields(material(name), e, cross_section_set(SETS[0])) for e in through], axis=1)
    )
    rows = {key: NUCLIDE_KEYS.index(key) for key in LABELS}
    lines = [
        Series(label=f"{label}, integral", x=through, y=100.0 * integral[rows[key]]) for key, label in LABELS.items()
    ]
    points = [
        Series(
            label=f"{label}, protonqa",
            x=energy,
            y=np.array([100.0 * trial.of(key)[0] for trial in mine]),
            style="points",
        )
        for key, label in LABELS.items()
    ]
    return LineFigure(
        name=f"yields-{name}",
        title=f"Nuclei that primary protons make in {name}, {SETS[0]} cross sections",
        x_label="energy (MeV)",
        y_label="nuclei per 100 protons",
        series=(*lines, *points),
    )


def _series(label: str, curves: Iterable[Curve], style: str = "line") -> Series:
    """Several curves under one label."""
    gap = np.full(1, np.nan)
    parts = [(np.append(x, gap), np.append(y, gap)) for x, y in curves]
    x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Series(label=label, x=x, y=y, style=style)
