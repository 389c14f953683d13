"""Curves between their points: checks, windows, interpolation, crossings."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from protonqa.errors import InputError
from protonqa.physics.curve_marks import NotEvaluable
from protonqa.values._arrays import require_finite

FloatArray = NDArray[np.float64]
Interpolation = Literal["auto", "cubic", "linear"]

#: Bins up to this width are joined by straight lines, wider ones by a cubic spline.
FINE_BIN_MM = 0.25
LEAST_POINTS = 5
NO_WINDOW = NotEvaluable(code="too-few-points", reason=f"fewer than {LEAST_POINTS} points in the window")
_FINE_STEP_MM = 0.1
_RAYS_AT_ONCE = 256


def falling(curve: FloatArray, height: float) -> NDArray[np.intp]:
    """Indices k with the curve at or above `height` at k and below it at k + 1."""
    above = curve >= height
    return np.flatnonzero(above[:-1] & ~above[1:])


def crossing_mm(depth: FloatArray, curve: FloatArray, k: int, height: float) -> float:
    """Depth of a crossing found by `falling`."""
    share = (curve[k] - height) / (curve[k] - curve[k + 1])
    return float(depth[k] + share * (depth[k + 1] - depth[k]))


def last_fall_mm(depth: FloatArray, curve: FloatArray, height: float) -> float | None:
    """The most distal falling crossing; None when the curve still stands at or above `height` at its end."""
    if curve[-1] >= height:
        return None
    falls = falling(curve, height)
    return crossing_mm(depth, curve, int(falls[-1]), height) if falls.size else None


def why_flat(curve: FloatArray) -> NotEvaluable | None:
    """Why no rule can be applied to this curve at all; None when there is something to look at."""
    maximum, minimum = float(curve.max()), float(curve.min())
    if maximum <= 0:
        return NotEvaluable(code="all-zero", reason="the curve is nowhere above zero")
    if maximum - minimum <= 1e-9 * maximum:
        return NotEvaluable(code="constant", reason="the curve is constant: it has no fall-off")
    return None


def truncated(depth: FloatArray, curve: FloatArray) -> NotEvaluable:
    """The answer for a curve that ends too early."""
    return NotEvaluable(
        code="truncated",
        reason=f"the fall-off is cut by the edge of the window at {depth[-1]:.1f} mm, "
        f"where the curve is at {100 * curve[-1] / curve.max():.0f} % of its maximum",
    )


def joined(depth: FloatArray, curves: FloatArray, interpolation: Interpolation) -> tuple[FloatArray, FloatArray]:
    """The curves (n_ray, n) between their points: as they are for straight lines, finely sampled for a spline."""
    step = np.diff(depth)
    coarse = float(step.max()) > FINE_BIN_MM + 1e-9
    if interpolation == "linear" or (interpolation == "auto" and not coarse):
        return depth, curves
    # Rounding of the depths must not change the number of parts.
    parts = int(np.ceil(float(step.max()) / _FINE_STEP_MM - 1e-6))
    fine = np.append((depth[:-1, None] + step[:, None] * (np.arange(parts) / parts)).ravel(), depth[-1])
    values = np.empty((len(curves), fine.size))
    for first in range(0, len(curves), _RAYS_AT_ONCE):
        block = slice(first, first + _RAYS_AT_ONCE)
        values[block] = CubicSpline(depth, curves[block], axis=1)(fine)
    return fine, values


def checked(depth_mm: ArrayLike, curves: ArrayLike, level: float) -> tuple[FloatArray, FloatArray]:
    """Depths (n_depth,) and curves (n_ray, n_depth) as float64, fit to be looked at; InputError otherwise."""
    depth = np.asarray(depth_mm, dtype=np.float64)
    values = np.asarray(curves, dtype=np.float64)
    if depth.ndim != 1 or values.ndim != 2 or values.shape[1] != depth.size:
        raise InputError(
            "curves do not fit their depths", got=f"{values.shape} over {depth.shape}", expected="(n_ray, n_depth)"
        )
    require_finite(depth, "depth of a curve")
    require_finite(values, "curve")
    if not np.all(np.diff(depth) > 0):
        raise InputError("depths of a curve do not increase", expected="increasing depths in mm")
    if not 0.0 < level < 1.0:
        raise InputError("level of a range is not a fraction", got=f"{level}", expected="above 0 and below 1")
    return depth, values


def windows(mask: ArrayLike | None, shape: tuple[int, ...]) -> list[tuple[NDArray[np.intp], slice]]:
    """Rays that share a window, with that window; rays with fewer than the least points are left out."""
    n_ray, n_depth = shape
    if mask is None:
        spans = np.tile([0, n_depth], (n_ray, 1))
    else:
        inside = np.asarray(mask, dtype=bool)
        if inside.shape != shape:
            raise InputError("window mask does not fit the curves", got=str(inside.shape), expected=str(shape))
        start = inside.argmax(axis=1)
        spans = np.stack([start, start + inside.sum(axis=1)], axis=1)
        whole = (np.arange(n_depth) >= spans[:, :1]) & (np.arange(n_depth) < spans[:, 1:])
        if not np.array_equal(whole, inside):
            raise InputError("window of a ray has gaps", expected="one unbroken stretch of depth per ray")
    kinds, member = np.unique(spans, axis=0, return_inverse=True)
    groups = [(np.flatnonzero(member.ravel() == k), slice(int(a), int(b))) for k, (a, b) in enumerate(kinds)]
    return [(rows, window) for rows, window in groups if window.stop - window.start >= LEAST_POINTS]
