"""The three charts of one series of results: limits from its baseline, and every point with the rules that flag it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protonqa.errors import InputError, NotEvaluableError
from protonqa.store.trend.cusum import DEFAULT_H, DEFAULT_K, cusum
from protonqa.store.trend.individuals import (
    RULES,
    BoolArray,
    FloatArray,
    Limits,
    baseline_limits,
    lag_one_correlation,
    moving_ranges,
    range_flags,
    rule_flags,
)

#: Fewer points say next to nothing about a spread; below the second number a finding says how uncertain limits are.
LEAST_BASELINE, GOOD_BASELINE = 8, 20
MOVING_RANGE, CUSUM_UP, CUSUM_DOWN = "moving-range", "cusum-up", "cusum-down"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartSettings:
    """How points are judged.

    Parameters
    ----------
    rules : names of `RULES`
    ranges : bool
        Moving ranges are judged too.
    k, h : float
        Reference value and decision level of the CUSUM, SD.
    recent : int
        The verdict rests on the last `recent` points after the baseline; older flags are shown, not judged again.
    """

    rules: tuple[str, ...] = tuple(RULES)
    ranges: bool = True
    k: float = DEFAULT_K
    h: float = DEFAULT_H
    recent: int = 5

    def __post_init__(self) -> None:
        unknown = [name for name in self.rules if name not in RULES]
        if unknown:
            raise InputError("unknown rule of a control chart", got=unknown[0][:40], expected=", ".join(RULES))
        if not (0.0 < self.k <= 3.0 and 1.0 <= self.h <= 10.0):
            raise InputError(
                "the CUSUM cannot use these numbers", got=f"k {self.k:g}, h {self.h:g}", expected="k 0 to 3, h 1 to 10"
            )
        if self.recent < 1:
            raise InputError("the verdict needs a point", got=str(self.recent), expected="1 or more recent points")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ControlCharts:
    """Values (n,), their limits, and what was found.

    Parameters
    ----------
    values, z : (n,)
        In the unit of the measurement, and in SD from the centre.
    ranges : (n - 1,)
        Moving ranges, in the unit.
    upper, lower : (n,)
        Sums of the CUSUM, SD.
    flags : n tuples of str
        Names of the rules that flag each point.
    baseline_correlation : float
        Of neighbours within the baseline.
    """

    values: FloatArray
    z: FloatArray
    ranges: FloatArray
    upper: FloatArray
    lower: FloatArray
    limits: Limits
    flags: tuple[tuple[str, ...], ...]
    settings: ChartSettings
    baseline_correlation: float

    @property
    def flagged_recently(self) -> tuple[int, ...]:
        """Places of flagged points among the recent ones after the baseline."""
        first = max(self.limits.points, len(self.flags) - self.settings.recent)
        return tuple(index for index in range(first, len(self.flags)) if self.flags[index])

    @property
    def in_control(self) -> bool:
        """True when no recent point is flagged."""
        return not self.flagged_recently


def control_charts(values: FloatArray, baseline: int, settings: ChartSettings) -> ControlCharts:
    """Judge a series of values in order of time.

    Parameters
    ----------
    values : (n,)
    baseline : int
        The first `baseline` values set centre and limits.
    settings : ChartSettings

    Raises
    ------
    NotEvaluableError
        Too few points in or after the baseline, or a baseline that does not vary.
    """
    if baseline < LEAST_BASELINE:
        raise NotEvaluableError(
            "the baseline has too few points for limits", got=str(baseline), expected=f"{LEAST_BASELINE} or more"
        )
    if values.size <= baseline:
        raise NotEvaluableError(
            "there is no point after the baseline", got=f"{values.size} points, {baseline} of them in the baseline"
        )
    own = np.asarray(values[:baseline], dtype=np.float64)
    limits = baseline_limits(own)
    # Values that repeat but for rounding have a spread of rounding alone.
    if limits.sd <= 1e-12 * max(abs(limits.centre), float(np.abs(own).max())):
        raise NotEvaluableError("the baseline does not vary, so it sets no limits", got=f"{baseline} equal values")
    z = (values - limits.centre) / limits.sd
    upper, lower, alarms = cusum(z, settings.k, settings.h)
    found = {name: rule_flags(z, RULES[name]) for name in settings.rules}
    if settings.ranges:
        found[MOVING_RANGE] = range_flags(moving_ranges(z))
    found[CUSUM_UP] = alarms & (upper > settings.h)
    found[CUSUM_DOWN] = alarms & (lower > settings.h)
    return ControlCharts(
        values=values,
        z=z,
        ranges=moving_ranges(values),
        upper=upper,
        lower=lower,
        limits=limits,
        flags=_names(found, values.size),
        settings=settings,
        baseline_correlation=lag_one_correlation(own),
    )


def _names(found: dict[str, BoolArray], size: int) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(name for name, flags in found.items() if flags[index]) for index in range(size))
