"""Which factor matters most: one-at-a-time sensitivity from a table of scenario rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from protonqa.errors import InputError

Level = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRow:
    """A figure of merit under one scenario: the level of each factor, and the value reached."""

    levels: Mapping[str, Level]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TornadoBar:
    """What one factor does when all others stay at the base.

    Parameters
    ----------
    base_value : float
        Value of the base scenario.
    low_level, low_value, high_level, high_value
        Levels at which the value is least and greatest, the base among them.
    swing : float
        Greatest minus least value.
    levels : int
        Levels tried, the base included.
    """

    factor: str
    base_level: Level
    base_value: float
    low_level: Level
    low_value: float
    high_level: Level
    high_value: float
    swing: float
    levels: int


def tornado(rows: Iterable[ScenarioRow], base: Mapping[str, Level]) -> tuple[TornadoBar, ...]:
    """Bars of all factors that were varied alone, widest first, equal ones by name.

    A row counts for a factor when it differs from `base` in that factor only; rows of the same levels (seeds) are
    averaged; rows that differ in several factors are left out, and so are factors without a level beside the base.

    Raises
    ------
    InputError
        No row of the base scenario, rows with other factors than `base`, values that are not finite.
    """
    names = sorted(base)
    at_base: list[float] = []
    found: dict[str, dict[Level, list[float]]] = {name: {} for name in names}
    for row in rows:
        if sorted(row.levels) != names:
            raise InputError(
                "scenario row has other factors than the base",
                got=", ".join(sorted(row.levels)),
                expected=", ".join(names),
            )
        if not np.isfinite(row.value):
            raise InputError("scenario row has a value that is not finite", got=str(row.value))
        changed = [name for name in names if row.levels[name] != base[name]]
        if not changed:
            at_base.append(row.value)
        elif len(changed) == 1:
            found[changed[0]].setdefault(row.levels[changed[0]], []).append(row.value)
    if not at_base:
        raise InputError("no row of the base scenario", expected="the scenario all others are compared with")
    base_value = _mean(at_base)
    bars = [
        _bar(name, base[name], base_value, {level: _mean(values) for level, values in levels.items()})
        for name, levels in found.items()
        if levels
    ]
    return tuple(sorted(bars, key=lambda bar: (-bar.swing, bar.factor)))


def _mean(values: list[float]) -> float:
    # Sorted: the order of the rows must not change the last digit.
    return float(np.mean(sorted(values)))


def _bar(factor: str, base_level: Level, base_value: float, others: dict[Level, float]) -> TornadoBar:
    values = sorted([(base_value, str(base_level), base_level), *((v, str(k), k) for k, v in others.items())])
    low, high = values[0], values[-1]
    return TornadoBar(
        factor=factor,
        base_level=base_level,
        base_value=base_value,
        low_level=low[2],
        low_value=low[0],
        high_level=high[2],
        high_value=high[0],
        swing=high[0] - low[0],
        levels=len(values),
    )
