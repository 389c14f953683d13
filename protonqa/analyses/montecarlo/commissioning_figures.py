"""Figures of the acceptance test, as data. NaN between the parts of a curve is a gap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.montecarlo.checks_depth import DEPTH_DOSE_MEV, DepthTrial
from protonqa.analyses.montecarlo.checks_spread import SpreadTrial
from protonqa.analyses.montecarlo.checks_yields import LABELS, SETS, YieldTrial
from protonqa.analyses.montecarlo.expected import independent_depth_dose
from protonqa.values import LineFigure, Series

FloatArray = NDArray[np.float64]
Curve = tuple[FloatArray, FloatArray]
_DEPTH = "depth (mm)"


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
    theirs = [independent_depth_dose(trial.energy_mev) for trial in compared]
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
        title="Depth dose less that of the independent code, in percent of its maximum",
        x_label=_DEPTH,
        y_label="difference (%)",
        series=tuple(
            Series(label=f"{trial.energy_mev:g} MeV", x=x, y=y)
            for trial in compared
            for x, y in [_residual(trial, *independent_depth_dose(trial.energy_mev))]
        ),
    )


def _residual(trial: DepthTrial, depth_mm: FloatArray, theirs: FloatArray) -> Curve:
    ours = np.interp(depth_mm, trial.result.fine_depth_mm, trial.result.fine_idd_mev_per_mm)
    return depth_mm, 100.0 * (ours - theirs) / theirs.max()


def _ranges(depths: Sequence[DepthTrial]) -> LineFigure:
    known = sorted((trial.energy_mev, trial.deficit_mm) for trial in depths if trial.deficit_mm is not None)
    energy, deficit = np.array(known).reshape(-1, 2).T
    return LineFigure(
        name="ranges",
        title="CSDA range less R80 in water",
        x_label="energy (MeV)",
        y_label="CSDA range less R80 (mm)",
        series=(Series(label="water", x=energy, y=deficit, style="points"),),
    )


def _spread(spreads: Sequence[SpreadTrial]) -> LineFigure:
    energies = ", ".join(f"{trial.energy_mev:g}" for trial in spreads)
    return LineFigure(
        name="lateral-spread",
        title=f"Lateral spread of a beam of no width in water, {energies} MeV",
        x_label=_DEPTH,
        y_label="1 SD (mm)",
        series=(
            _series("Fermi-Eyges, differential Molière", _both(spreads, "theory_mm")),
            _series("protonqa, multiple scattering alone", _both(spreads, "sigma_mm"), "points"),
            _series("protonqa, nuclear events too", _both(spreads, "whole_mm"), "points"),
        ),
    )


def _both(spreads: Sequence[SpreadTrial], name: str) -> list[Curve]:
    return [(trial.depth_mm, getattr(trial, name)) for trial in spreads]


def _yields(yields: Sequence[YieldTrial], name: str) -> LineFigure:
    mine = [trial for trial in yields if trial.material == name and trial.cross_sections == SETS[0]]
    energy = np.array([trial.energy_mev for trial in mine])
    lines = [
        Series(label=f"{label}, integral", x=energy, y=np.array([100.0 * trial.of(key)[1] for trial in mine]))
        for key, label in LABELS.items()
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
