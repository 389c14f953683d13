"""Charts of single values: individuals with limits from moving ranges, the moving ranges, and runs of points.

Sources: W. A. Shewhart, Economic Control of Quality of Manufactured Product (1931); Western Electric, Statistical
Quality Control Handbook (1956), for the run rules; D. C. Montgomery, Introduction to Statistical Quality Control, for
the constants of ranges of two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

#: Mean and SD of the range of two independent normal values of SD one: 1.128 and 0.853, in closed form.
RANGE_MEAN = 2.0 / math.sqrt(math.pi)
RANGE_SD = math.sqrt(2.0 - 4.0 / math.pi)
#: Upper limit of a range over the mean range (D4 of the tables, 3.267).
RANGE_LIMIT = 1.0 + 3.0 * RANGE_SD / RANGE_MEAN
SIGMAS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRule:
    """`count` of the last `of` points, the newest among them, beyond `beyond` SD on the same side of the centre."""

    name: str
    count: int
    of: int
    beyond: float
    text: str


RULES: Mapping[str, RunRule] = MappingProxyType(
    {
        one.name: one
        for one in (
            RunRule(name="beyond-3", count=1, of=1, beyond=3.0, text="one point beyond 3 SD"),
            RunRule(name="2-of-3-beyond-2", count=2, of=3, beyond=2.0, text="2 of 3 points beyond 2 SD, same side"),
            RunRule(name="4-of-5-beyond-1", count=4, of=5, beyond=1.0, text="4 of 5 points beyond 1 SD, same side"),
            RunRule(name="8-on-one-side", count=8, of=8, beyond=0.0, text="8 points in a row on the same side"),
        )
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Centre and spread of a baseline; the limits of both charts follow.

    Parameters
    ----------
    centre : float
        Mean of the baseline, in the unit of the values.
    sd : float
        Mean moving range over 1.128: the spread from one point to the next, which a slow drift in the baseline does
        not widen.
    points : int
        Values in the baseline.
    """

    centre: float
    sd: float
    points: int

    @property
    def low(self) -> float:
        """Centre minus 3 SD."""
        return self.centre - SIGMAS * self.sd

    @property
    def high(self) -> float:
        """Centre plus 3 SD."""
        return self.centre + SIGMAS * self.sd

    @property
    def range_mean(self) -> float:
        """Mean moving range."""
        return RANGE_MEAN * self.sd

    @property
    def range_high(self) -> float:
        """Upper limit of the moving ranges; the lower one is zero."""
        return RANGE_LIMIT * self.range_mean


def moving_ranges(values: FloatArray) -> FloatArray:
    """Absolute differences of neighbours along the last axis: (..., n) -> (..., n - 1)."""
    return np.abs(np.diff(values, axis=-1))


def baseline_limits(values: FloatArray) -> Limits:
    """Limits from the values of a baseline: (n,) with n of two or more."""
    return Limits(
        centre=float(values.mean()), sd=float(moving_ranges(values).mean() / RANGE_MEAN), points=int(values.size)
    )


def rule_flags(z: FloatArray, rule: RunRule) -> BoolArray:
    """Points at which `rule` speaks: (..., n) values in SD from the centre -> (..., n).

    A point is flagged only where it lies in the zone of the rule itself.
    """
    flagged = np.zeros(z.shape, dtype=bool)
    for side in (z, -z):
        inside = side > rule.beyond
        flagged |= inside & (_counts(inside, rule.of) >= rule.count)
    return flagged


def range_flags(ranges_in_sd: FloatArray) -> BoolArray:
    """Moving ranges beyond their upper limit: (..., n - 1) in SD -> (..., n), the later point of a pair flagged."""
    flagged = ranges_in_sd > RANGE_LIMIT * RANGE_MEAN
    return np.concatenate([np.zeros((*flagged.shape[:-1], 1), dtype=bool), flagged], axis=-1)


def range_false_alarms() -> float:
    """Share of moving ranges beyond their limit in control, 0.0092, for known mean and SD: a range of two is
    sqrt(2) |N(0, 1)|.
    """
    return math.erfc(RANGE_LIMIT * RANGE_MEAN / 2.0)


def lag_one_correlation(values: FloatArray) -> float:
    """Correlation of neighbours, (n,); zero for values that do not vary."""
    apart = values - values.mean()
    whole = float((apart * apart).sum())
    return float((apart[1:] * apart[:-1]).sum()) / whole if whole > 0 else 0.0


def _counts(inside: BoolArray, window: int) -> NDArray[np.int64]:
    """How many of the last `window` are True, fewer at the beginning."""
    total = np.cumsum(inside, axis=-1, dtype=np.int64)
    total[..., window:] -= total[..., :-window].copy()
    return total
