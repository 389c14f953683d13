"""Rays that no method can judge, and why."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protonqa.physics.curve_marks import NotEvaluable
from protonqa.physics.curve_points import why_flat
from protonqa.study.baselines.interface import RayProfiles

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Usable bins that a profile needs.
LEAST_BINS = 10

_CUT_BINS = 5
_CUT_REACH = 20


def unusable(rays: RayProfiles) -> list[NotEvaluable | None]:
    """Why a ray cannot be looked at, None where it can.

    Reasons: too few bins, values that are not finite, negative, all zero, constant, cut off before its fall-off.
    """
    inside = rays.usable
    count = inside.sum(axis=1)
    broken = (inside & ~np.isfinite(rays.activity)).sum(axis=1)
    high = np.where(inside, rays.activity, -np.inf).max(axis=1, initial=-np.inf)
    low = np.where(inside, rays.activity, np.inf).min(axis=1, initial=np.inf)
    found = [
        _reason(int(n), int(b), float(lowest), float(highest))
        for n, b, lowest, highest in zip(count, broken, low, high, strict=True)
    ]
    rows = free(found)
    if rows.size:
        for row in rows[_cut_off(rays.activity[rows], inside[rows])]:
            found[row] = NotEvaluable(
                code="truncated", reason="the profile breaks off: from high activity to zero within one bin"
            )
    return found


def _reason(count: int, broken: int, low: float, high: float) -> NotEvaluable | None:
    if count < LEAST_BINS:
        return NotEvaluable(
            code="too-few-points", reason=f"the profile has {count} usable bins, at least {LEAST_BINS} needed"
        )
    if broken:
        return NotEvaluable(code="not-finite", reason=f"the profile holds {broken} values that are not finite")
    if low < 0 and high <= 0:
        return NotEvaluable(code="negative", reason="the profile is negative and nowhere above zero")
    return why_flat(np.array([low, high]))


def _cut_off(activity: Floats, usable: Flags) -> Flags:
    """True where activity stops within one bin and nothing but zeros follow: a window, not a fall-off.

    The last five bins before the zeros are then all above half the maximum of the last twenty.
    """
    values = np.where(usable, activity, 0.0)
    index = np.arange(values.shape[1])
    last = np.where(values != 0, index, -1).max(axis=1)
    zeros = (usable & (index > last[:, None])).sum(axis=1)
    back = np.maximum(last[:, None] - np.arange(_CUT_REACH), 0)
    tail = np.take_along_axis(values, back, axis=1)
    high = (tail[:, :_CUT_BINS] > 0.5 * tail.max(axis=1, keepdims=True)).all(axis=1)
    return np.asarray(high & (zeros >= _CUT_BINS) & (last >= _CUT_BINS))


def first_of(*reasons: list[NotEvaluable | None]) -> list[NotEvaluable | None]:
    """The first reason of each ray."""
    return [next((r for r in of_ray if r is not None), None) for of_ray in zip(*reasons, strict=True)]


def free(reasons: list[NotEvaluable | None]) -> NDArray[np.intp]:
    """Rows without a reason."""
    return np.flatnonzero([r is None for r in reasons])
