"""A50: the distal 50 % depth of an activity profile against the local maximum of its last 20 mm."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from protonqa.errors import InputError
from protonqa.physics.curve_marks import NotEvaluable, RangeMark, RangeMarks, gathered, number, one
from protonqa.physics.curve_points import (
    LEAST_POINTS,
    NO_WINDOW,
    Interpolation,
    checked,
    crossing_mm,
    falling,
    joined,
    truncated,
    why_flat,
    windows,
)

FloatArray = NDArray[np.float64]

_HALF = 0.5
_REACH_MM = 20.0
_TAIL_MM = 4.0
_NOISE_REACH_MM = 15.0
_FOOT = 0.05
_NOISE_FACTOR = 3.0
_SHORTEST_MM = 3.0
_CUT_LEVEL = 0.25
_EDGE_MM = 1.0


def a50(
    depth_mm: ArrayLike,
    activity: ArrayLike,
    *,
    level: float = 0.5,
    smooth_fwhm_mm: float = 0.0,
    counts: float | None = None,
    min_counts: float = 50.0,
    interpolation: Interpolation = "auto",
) -> RangeMark | NotEvaluable:
    """Distal 50 % depth of one activity profile, against the local maximum of its last 20 mm.

    The rule, on the profile smoothed by a Gaussian of `smooth_fwhm_mm` (0: not smoothed):

    1. *Tail.* The pedestal is the mean of the last 4 mm, at least 0; the noise is the RMS of the second differences in
       the last 15 mm, divided by the square root of 6: the white noise of one point.
    2. *End of the activity.* The foot level is the pedestal plus the larger of 5 % of (maximum - pedestal) and 3 times
       the error of (smoothed profile - pedestal) in that noise. The end is where the most distal stretch above the foot
       level that is at least 3 mm + `smooth_fwhm_mm` long falls below it; shorter ones are noise.
    3. *Reference.* The maximum in the 20 mm proximal to the end.
    4. *A50.* The most distal falling crossing of `level` times the reference up to the end; where that level lies
       below the foot level, the first one behind the end.

    Parameters
    ----------
    depth_mm, activity : (n_depth,)
        Increasing depths in mm; activity in any linear unit, negative values allowed.
    level : float
        Fraction of the local maximum.
    smooth_fwhm_mm : float
        Width of the smoothing; it widens the fall-off, so compare only profiles smoothed alike.
    counts, min_counts : float
        Detected counts of the profile, where known, and how many are needed.

    Returns
    -------
    RangeMark or NotEvaluable
        ``too-few-counts``; ``too-noisy`` when the foot level reaches half the maximum or no stretch is long enough;
        ``truncated`` when the profile ends before, or within 1 mm after, the fall-off; ``all-zero``; ``constant``.

    Raises
    ------
    InputError
        As `distal_range`; smoothing of depths that are not equally spaced.
    """
    found = a50s(
        depth_mm,
        np.asarray(activity)[None],
        level=level,
        smooth_fwhm_mm=smooth_fwhm_mm,
        counts=None if counts is None else [counts],
        min_counts=min_counts,
        interpolation=interpolation,
    )
    return one(found, level)


def a50_mm(
    depth_mm: ArrayLike,
    activity: ArrayLike,
    *,
    level: float = 0.5,
    smooth_fwhm_mm: float = 0.0,
    interpolation: Interpolation = "auto",
) -> float:
    """As `a50`, as a number.

    Raises
    ------
    NotEvaluableError
        The profile has no such depth.
    InputError
        As `a50`.
    """
    mark = a50(depth_mm, activity, level=level, smooth_fwhm_mm=smooth_fwhm_mm, interpolation=interpolation)
    return number(mark, f"A{round(level * 100)}")


def a50s(
    depth_mm: ArrayLike,
    activity: ArrayLike,
    *,
    level: float = 0.5,
    mask: ArrayLike | None = None,
    smooth_fwhm_mm: float = 0.0,
    counts: ArrayLike | None = None,
    min_counts: float = 50.0,
    interpolation: Interpolation = "auto",
) -> RangeMarks:
    """As `a50` for (n_ray, n_depth) profiles; `mask` is True inside the usable window, `counts` is (n_ray,)."""
    depth, curves = checked(depth_mm, activity, level)
    marks: list[RangeMark | NotEvaluable] = [NO_WINDOW] * len(curves)
    for rows, window in windows(mask, curves.shape):
        raw = curves[rows, window]
        smooth, kept = _smoothed(depth[window], raw, smooth_fwhm_mm)
        pedestal, error = _tail(depth[window], raw, kept)
        fine_depth, fine = joined(depth[window], smooth, interpolation)
        shortest_mm = _SHORTEST_MM + smooth_fwhm_mm
        for i, row in enumerate(rows):
            marks[row] = _activity_mark(fine_depth, fine[i], level, float(pedestal[i]), float(error[i]), shortest_mm)
    if counts is not None:
        for row, count in enumerate(np.broadcast_to(np.asarray(counts, dtype=np.float64), (len(curves),))):
            if not count >= min_counts:
                marks[row] = NotEvaluable(
                    code="too-few-counts", reason=f"{count:.0f} counts in the profile, at least {min_counts:.0f} needed"
                )
    return gathered(marks)


def _activity_mark(
    depth: FloatArray, curve: FloatArray, level: float, pedestal: float, error: float, shortest_mm: float
) -> RangeMark | NotEvaluable:
    flat = why_flat(curve)
    if flat is not None:
        return flat
    maximum = float(curve.max())
    if pedestal >= _CUT_LEVEL * maximum:
        return truncated(depth, curve)
    foot = pedestal + max(_FOOT * (maximum - pedestal), _NOISE_FACTOR * error)
    if foot >= _HALF * maximum:
        return _too_noisy(error, maximum)
    stretches = _stretches(depth, curve, foot, shortest_mm)
    if stretches.size == 0:
        return _too_noisy(error, maximum)
    last = int(stretches[-1])
    if last == depth.size - 1:
        return truncated(depth, curve)
    end = crossing_mm(depth, curve, last, foot)
    window = np.flatnonzero((depth >= end - _REACH_MM) & (depth <= end))
    peak = int(window[np.argmax(curve[window])])
    reference = float(curve[peak])
    falls = falling(curve, level * reference)
    chosen = falls[falls <= last][-1:] if level * reference >= foot else falls[falls >= last][:1]
    if chosen.size == 0:
        return truncated(depth, curve)
    value = crossing_mm(depth, curve, int(chosen[0]), level * reference)
    if value > depth[-1] - _EDGE_MM:
        return truncated(depth, curve)
    return RangeMark(value_mm=value, crossings=falls.size, peak_mm=float(depth[peak]), reference=reference, level=level)


def _stretches(depth: FloatArray, curve: FloatArray, foot: float, shortest_mm: float) -> NDArray[np.intp]:
    """Last indices of the stretches at or above `foot` that are long enough, in order."""
    above = np.concatenate([[False], curve >= foot, [False]])
    turns = np.flatnonzero(above[1:] != above[:-1])
    first, last = turns[::2], turns[1::2] - 1
    # A stretch of n points stands for n bins; the spline's fine points make the difference small.
    length = depth[last] - depth[first] + (depth[-1] - depth[0]) / (depth.size - 1)
    return np.asarray(last[length >= shortest_mm])


def _too_noisy(error: float, maximum: float) -> NotEvaluable:
    return NotEvaluable(
        code="too-noisy",
        reason=f"noise in the tail is {100 * error / maximum:.0f} % of the maximum: activity and noise do not part",
    )


def _smoothed(depth: FloatArray, curves: FloatArray, fwhm_mm: float) -> tuple[FloatArray, float]:
    """Curves after a Gaussian, and the share of white noise (SD) that it leaves."""
    if not (np.isfinite(fwhm_mm) and fwhm_mm >= 0):
        raise InputError("smoothing width is not a length", got=f"{fwhm_mm} mm", expected="0 mm or more")
    if fwhm_mm == 0:
        return curves, 1.0
    step = np.diff(depth)
    if np.ptp(step) > 1e-3 * step.mean():
        raise InputError("depths are not equally spaced", expected="equal bins where a profile is smoothed")
    sigma = fwhm_mm / np.sqrt(8.0 * np.log(2.0)) / float(step.mean())
    impulse = np.zeros(2 * int(4 * sigma + 1) + 1)
    impulse[impulse.size // 2] = 1.0
    kept = float(np.linalg.norm(gaussian_filter1d(impulse, sigma)))
    return np.asarray(gaussian_filter1d(curves, sigma, axis=1, mode="nearest")), kept


def _tail(depth: FloatArray, curves: FloatArray, kept: float) -> tuple[FloatArray, FloatArray]:
    """Pedestal at the distal end of each curve, and the error (SD) of a smoothed point less this pedestal.

    Second differences do not see a slope.
    """
    end = depth > depth[-1] - _TAIL_MM
    # Activity is not negative; a reconstruction can be.
    pedestal = np.maximum(curves[:, end].mean(axis=1), 0.0)
    first = min(int(np.searchsorted(depth, depth[-1] - _NOISE_REACH_MM)), depth.size - LEAST_POINTS)
    bend = np.diff(curves[:, first:], n=2, axis=1)
    return pedestal, np.sqrt((bend**2).mean(axis=1) / 6.0 * (kept**2 + 1.0 / end.sum()))
