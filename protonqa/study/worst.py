"""The worst cases of a study as figures: what was shown, what was true, what the model said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.study.columns import RayFacts, ScenarioAnswers
from protonqa.study.methods import MODEL, TITLES, true_dose
from protonqa.study.run import StudyOutcome, cell_rays
from protonqa.values import LineFigure, Mark, Series

Floats = NDArray[np.float64]
#: Depth shown before and behind the true R80.
BEFORE_MM, BEHIND_MM = 120.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCase:
    """One ray that a method got wrong."""

    scenario: str
    key: str
    anatomy: str
    ray: int
    tissue: str
    error_mm: float


def worst_cases(answers: Iterable[ScenarioAnswers], facts: RayFacts, method: str, count: int) -> tuple[WorstCase, ...]:
    """The largest errors among answered, scored rays of the named scenarios; range-mixed rays are left out.

    A ray counts once, in the scenario it is worst in, and a scenario gives at most a third of the cases (two at least).
    """
    found: dict[int, WorstCase] = {}
    for one in answers:
        if one.scenario.group != "named" or method not in one.methods:
            continue
        m = one.method(method)
        good = one.scored & one.answered[m] & ~facts.mixed[one.rows]
        error = one.numbers["r80_mm"][m] - facts.true_mm[one.rows]
        for place in np.argsort(-np.where(good, np.abs(error), -1.0), kind="stable")[:count]:
            ray = int(one.rows[place])
            if good[place] and (ray not in found or abs(error[place]) > abs(found[ray].error_mm)):
                found[ray] = WorstCase(
                    scenario=one.scenario.name,
                    key=one.scenario.key,
                    anatomy=str(facts.anatomy[ray]),
                    ray=ray,
                    tissue=str(facts.group[ray]),
                    error_mm=float(error[place]),
                )
    return tuple(_spread(sorted(found.values(), key=lambda case: (-abs(case.error_mm), case.ray)), count))


def _spread(cases: list[WorstCase], count: int) -> Iterator[WorstCase]:
    most, taken = max(2, -(-count // 3)), dict[str, int]()
    given = 0
    for case in cases:
        if given < count and taken.get(case.scenario, 0) < most:
            taken[case.scenario] = taken.get(case.scenario, 0) + 1
            given += 1
            yield case


def worst_figures(outcome: StudyOutcome, cases: Iterable[WorstCase], method: str = MODEL) -> tuple[LineFigure, ...]:
    """A figure a case, computed anew from its cell."""
    return tuple(_figure(outcome, case, number, method) for number, case in enumerate(cases))


def _figure(outcome: StudyOutcome, case: WorstCase, number: int, method: str) -> LineFigure:
    cell = cell_rays(outcome, f"{case.key}.{case.anatomy}", (method,))
    i = int(np.flatnonzero(cell.rows == case.ray)[0])
    shown, answer = cell.shown, cell.answers[method]
    true_mm = float(outcome.rays.true_mm[case.ray])
    depth = shown.rays.depth_mm
    near = (depth > true_mm - BEFORE_MM) & (depth < true_mm + BEHIND_MM)
    measured = near & shown.rays.usable[i] & np.isfinite(shown.rays.activity[i])
    top = max(float(shown.clean[i].max()), 1e-300)
    series = [
        Series(label="activity shown", x=depth[measured], y=shown.rays.activity[i, measured] / top, style="points"),
        Series(label="activity without noise", x=depth[near], y=shown.clean[i, near] / top),
        Series(label="true dose", x=depth[near], y=_scaled(true_dose(shown.table)[i])[near], axis="right"),
    ]
    if answer.dose is not None:
        dose = _scaled(answer.dose[i])[near]
        series.append(Series(label="predicted dose", x=depth[near], y=dose, style="dashed", axis="right"))
    said = float(answer.r80_mm[i])
    low, high = float(answer.low_mm[i]), float(answer.high_mm[i])
    band = bool(np.isfinite(low) and np.isfinite(high))
    marks = (
        Mark(label="R80 true", x=true_mm),
        Mark(label="R80 predicted", x=said, low=low if band else None, high=high if band else None),
    )
    return LineFigure(
        name=f"worst-{number + 1}",
        title=f"{case.scenario}, {case.tissue}, {TITLES[method].lower()} {case.error_mm:+.1f} mm, ray {case.ray}",
        x_label="depth from the body surface (mm)",
        y_label="activity (scaled)",
        series=tuple(series),
        marks=marks,
        y2_label="dose (scaled)",
    )


def _scaled(curve: Floats) -> Floats:
    top = float(curve.max())
    return curve / top if top > 0 else curve
