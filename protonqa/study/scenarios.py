"""The scenarios of a study, listed from its conditions: named ones, the base, its grid, its variations."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, Literal

from pydantic import Field

from protonqa.range_model.config import Settings
from protonqa.range_model.scenarios import NAMED_SCENARIOS, WINDOW_ROWS_MM, ScenarioConfig
from protonqa.study.conditions import STORED, Condition
from protonqa.study.settings import StudyConfig


class StudyScenario(Settings):
    """One scenario of a study, complete: a cell holds it and needs nothing else to draw its rays.

    Parameters
    ----------
    key : str
        Short name in cells and files: ``s000``.
    name : str
        Words in the tables.
    group : {"named", "base", "grid", "vary"}
    levels : dict
        Level of each axis that is varied, as text.
    config : ScenarioConfig
    window_mm : float or None
        Only rays deeper than this are scored.
    proximal : bool
        The window keeps the first ``window_mm`` instead of the last.
    hu_bias_percent : float
    cross_sections : str
    """

    key: str
    name: str
    group: Literal["named", "base", "grid", "vary"]
    levels: dict[str, str] = Field(default_factory=dict)
    config: ScenarioConfig
    window_mm: float | None = None
    proximal: bool = False
    hu_bias_percent: float = 0.0
    cross_sections: str = STORED


def scenarios_of(study: StudyConfig) -> tuple[StudyScenario, ...]:
    """All scenarios in the order of the report: named ones, the base, its grid, its one-at-a-time variations."""
    found: list[dict[str, Any]] = [
        {"name": name, "group": "named", "config": NAMED_SCENARIOS[name], "window_mm": WINDOW_ROWS_MM.get(name)}
        for name in study.named
    ]
    base = study.base
    if study.grid or study.vary:
        found.append({"name": "base", "group": "base", **_parts(base)})
    axes = list(study.grid)
    for combination in product(*study.grid.values()) if axes else ():
        levels = dict(zip(axes, combination, strict=True))
        found.append(_varied(base, levels, "grid"))
    for axis, values in study.vary.items():
        for level in values:
            if _same(getattr(base, axis), level):
                continue
            found.append(_varied(base, {axis: level}, "vary"))
    return tuple(StudyScenario(key=f"s{number:03d}", **one) for number, one in enumerate(found))


def level_text(level: object) -> str:
    """A level for people: ``whole`` for no window, ``300`` for 300.0."""
    if level is None:
        return "whole"
    if isinstance(level, bool):
        return "yes" if level else "no"
    if isinstance(level, tuple | list):
        return " to ".join(level_text(one) for one in level)
    return f"{level:g}" if isinstance(level, float | int) else str(level)


def _varied(base: Condition, levels: Mapping[str, Any], group: str) -> dict[str, Any]:
    texts = {axis: level_text(level) for axis, level in levels.items()}
    name = ", ".join(f"{axis} {text}" for axis, text in texts.items())
    return {"name": f"{group}: {name}", "group": group, "levels": texts, **_parts(base.changed(levels))}


def _parts(condition: Condition) -> dict[str, Any]:
    return {
        "config": condition.scenario(),
        "window_mm": condition.window_mm,
        "proximal": condition.window_mm is not None and condition.window_anchor == "proximal",
        "hu_bias_percent": condition.hu_bias_percent,
        "cross_sections": condition.cross_sections,
    }


def _same(a: object, b: object) -> bool:
    return level_text(a) == level_text(b)
