"""Ranges on depth curves: R80 and its kin of dose, A50 of activity, the fall-off width. Pure functions.

Every rule here has three answers: a `RangeMark`, a `NotEvaluable` with its reason, or (the ``*_mm`` functions) a
number or `NotEvaluableError`. A curve is never guessed beyond its window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from protonqa.errors import InputError, NotEvaluableError
from protonqa.values._arrays import require_finite

FloatArray = NDArray[np.float64]
Interpolation = Literal["auto", "cubic", "linear"]

#: Bins up to this width are joined by straight lines, wider ones by a cubic spline.
FINE_BIN_MM = 0.25
_FINE_STEP_MM = 0.1
_RAYS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeMark:
    """A range found on a curve.

    Parameters
    ----------
    value_mm : float
        Depth of the most distal crossing of the level.
    crossings : int
        Falling crossings of the level on the whole curve; 1 means there was nothing to choose.
    peak_mm, reference : float
        Where the reference maximum stands, and its height.
    level : float
        Fraction of the reference that was looked for.
    """

    value_mm: float
    crossings: int
    peak_mm: float
    reference: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEvaluable:
    """Why a curve has no such range.

    ``code`` is one of ``too-few-points``, ``all-zero``, ``constant``, ``too-few-counts``, ``too-noisy``,
    ``truncated``; ``reason`` says it for people, with the numbers.
    """

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeMarks:
    """Ranges of many curves.

    Parameters
    ----------
    value_mm, peak_mm, reference : (n_ray,)
        As in `RangeMark`; NaN where there is none.
    crossings : (n_ray,) int
        0 where there is no mark.
    missing : (n_ray,) of NotEvaluable or None
        None where the mark was found.
    """

    value_mm: FloatArray
    crossings: NDArray[np.int64]
    peak_mm: FloatArray
    reference: FloatArray
    missing: tuple[NotEvaluable | None, ...]

    @property
    def found(self) -> NDArray[np.bool_]:
        """(n_ray,) True where the range was found."""
        return np.array([reason is None for reason in self.missing], dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Falloff:
    """Distal fall-off of a depth dose: R80, R20, their distance and the distance expected in one material."""

    r80_mm: float
    r20_mm: float
    width_mm: float
    homogeneous_mm: float

    def is_range_mixed(self, margin_mm: float = 3.0) -> bool:
        """True when the fall-off is wider than in one material by more than `margin_mm`."""
        return self.width_mm - self.homogeneous_mm > margin_mm


def distal_range(
    depth_mm: ArrayLike, dose: ArrayLike, level: float = 0.8, *, interpolation: Interpolation = "auto"
) -> RangeMark | NotEvaluable:
    """Distal range of one depth dose, R80 by default.

    The rule: find the most distal crossing of 50 % of the curve's maximum; the reference is the maximum in the 30 mm
    proximal to it; the range is the most distal crossing of `level` times the reference.

    Parameters
    ----------
    depth_mm : (n_depth,)
        Increasing depths (bin centres).
    dose : (n_depth,)
        Any linear unit.
    level : float
        Fraction of the reference, above 0 and below 1.
    interpolation : {"auto", "cubic", "linear"}
        "auto" joins bins up to 0.25 mm by straight lines and wider ones by a cubic spline.

    Returns
    -------
    RangeMark or NotEvaluable
        ``truncated`` when the curve ends before it has fallen below the level.

    Raises
    ------
    InputError
        NaN or infinity, depths not increasing, shapes that differ, level outside 0 to 1.

    Notes
    -----
    Accuracy of the interpolation for mono-energetic beams in water, 1 mm bins: cubic spline within 0.05 mm from
    70 MeV up, straight lines within 0.26 mm.
    """
    return _one(distal_ranges(depth_mm, np.asarray(dose)[None], level, interpolation=interpolation), level)


def distal_range_mm(
    depth_mm: ArrayLike, dose: ArrayLike, level: float = 0.8, *, interpolation: Interpolation = "auto"
) -> float:
    """As `distal_range`, as a number.

    Raises
    ------
    NotEvaluableError
        The curve has no such range.
    InputError
        As `distal_range`.
    """
    return _number(distal_range(depth_mm, dose, level, interpolation=interpolation), f"R{round(level * 100)}")


def distal_ranges(
    depth_mm: ArrayLike,
    dose: ArrayLike,
    level: float = 0.8,
    *,
    mask: ArrayLike | None = None,
    interpolation: Interpolation = "auto",
) -> RangeMarks:
    """As `distal_range` for (n_ray, n_depth) curves; `mask` is True inside the usable window of each ray."""
    depth, curves = _checked(depth_mm, dose, level)
    marks: list[RangeMark | NotEvaluable] = [_NO_WINDOW] * len(curves)
    for rows, window in _windows(mask, curves.shape):
        fine_depth, fine = _joined(depth[window], curves[rows, window], interpolation)
        for row, curve in zip(rows, fine, strict=True):
            marks[row] = _distal_mark(fine_depth, curve, level)
    return _gathered(marks)


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

    1. *Tail.* The pedestal is the mean of the last 4 mm; the noise is the RMS of the second differences in the last
       15 mm, divided by the square root of 6 and multiplied by what the smoothing leaves of white noise.
    2. *End of the activity.* The foot level is the pedestal plus the larger of 5 % of (maximum - pedestal) and
       4 times the noise. The end is the most distal falling crossing of it.
    3. *Reference.* The maximum in the 20 mm proximal to the end.
    4. *A50.* The most distal falling crossing of `level` times the reference. Where that level lies below the foot
       level (a noisy tail), only crossings up to the first one distal to the end are taken: what comes later is noise.

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
        ``too-few-counts``; ``too-noisy`` when the foot level reaches half the maximum; ``truncated`` when the profile
        ends before, or within 1 mm after, the fall-off; ``all-zero``; ``constant``.

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
    return _one(found, level)


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
    return _number(mark, f"A{round(level * 100)}")


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
    depth, curves = _checked(depth_mm, activity, level)
    marks: list[RangeMark | NotEvaluable] = [_NO_WINDOW] * len(curves)
    for rows, window in _windows(mask, curves.shape):
        raw = curves[rows, window]
        smooth, kept_noise = _smoothed(depth[window], raw, smooth_fwhm_mm)
        pedestal, noise = _tail(depth[window], raw)
        fine_depth, fine = _joined(depth[window], smooth, interpolation)
        for i, row in enumerate(rows):
            marks[row] = _activity_mark(fine_depth, fine[i], level, float(pedestal[i]), float(noise[i]) * kept_noise)
    if counts is not None:
        for row, count in enumerate(np.broadcast_to(np.asarray(counts, dtype=np.float64), (len(curves),))):
            if not count >= min_counts:
                marks[row] = NotEvaluable(
                    code="too-few-counts", reason=f"{count:.0f} counts in the profile, at least {min_counts:.0f} needed"
                )
    return _gathered(marks)


def falloff_width(
    depth_mm: ArrayLike,
    dose: ArrayLike,
    *,
    wepl_mm: float | None = None,
    rsp: float = 1.0,
    energy_spread_percent: float = 0.0,
) -> Falloff | NotEvaluable:
    """R80, R20 and their distance, beside the distance expected in one material.

    Parameters
    ----------
    depth_mm, dose : (n_depth,)
        As `distal_range`.
    wepl_mm : float or None
        Water-equivalent depth of R80, where known; None takes `rsp` times R80.
    rsp : float
        Relative stopping power at the fall-off: the same straggling is wider in light tissue.
    energy_spread_percent : float
        Energy spread of the beam (1 SD).
    """
    r80 = distal_range(depth_mm, dose, 0.8)
    r20 = distal_range(depth_mm, dose, 0.2)
    if isinstance(r80, NotEvaluable):
        return r80
    if isinstance(r20, NotEvaluable):
        return r20
    in_water_mm = homogeneous_falloff_mm(
        rsp * r80.value_mm if wepl_mm is None else wepl_mm, energy_spread_percent=energy_spread_percent
    )
    return Falloff(
        r80_mm=r80.value_mm,
        r20_mm=r20.value_mm,
        width_mm=r20.value_mm - r80.value_mm,
        homogeneous_mm=in_water_mm / rsp,
    )


def is_range_mixed(
    depth_mm: ArrayLike,
    dose: ArrayLike,
    *,
    margin_mm: float = 3.0,
    wepl_mm: float | None = None,
    rsp: float = 1.0,
    energy_spread_percent: float = 0.0,
) -> bool:
    """True when R20 - R80 exceeds the value of one material at that range by more than `margin_mm`.

    Raises
    ------
    NotEvaluableError
        The curve has no R80 or no R20.
    """
    falloff = falloff_width(depth_mm, dose, wepl_mm=wepl_mm, rsp=rsp, energy_spread_percent=energy_spread_percent)
    if isinstance(falloff, NotEvaluable):
        raise NotEvaluableError("the curve has no fall-off width", got=falloff.reason, expected="an R80 and an R20")
    return falloff.is_range_mixed(margin_mm)


def homogeneous_falloff_mm(range_mm: float, *, energy_spread_percent: float = 0.0) -> float:
    """Distance from R80 to R20 of a mono-energetic beam in water of this range (R80).

    A power law through Monte Carlo depth doses in water: 0.73, 1.26, 2.31 and 3.71 mm at R80 of 40.8, 77, 158 and
    260 mm (70, 100, 150, 200 MeV); it meets them within 0.1 mm. An energy spread adds in quadrature: the range changes
    by 1.77 times the relative energy (Bragg-Kleeman, exponent 1.77), and 80-20 is 1.47 standard deviations.
    """
    if not range_mm > 0:
        raise InputError("range is not a depth", got=f"{range_mm} mm", expected="above 0 mm")
    straggling_mm = _FALLOFF_AT_100_MM * (range_mm / 100.0) ** _FALLOFF_EXPONENT
    spread_mm = _WIDTH_PER_SD * _RANGE_ENERGY_EXPONENT * energy_spread_percent / 100.0 * range_mm
    return float(np.hypot(straggling_mm, spread_mm))


# Least squares in the logarithm through the four points above.
_FALLOFF_AT_100_MM = 1.586
_FALLOFF_EXPONENT = 0.873
_RANGE_ENERGY_EXPONENT = 1.77
_WIDTH_PER_SD = 1.47

_HALF = 0.5
_PROXIMAL_MM = 30.0
_ACTIVITY_REACH_MM = 20.0
_TAIL_MM = 4.0
_NOISE_REACH_MM = 15.0
_FOOT = 0.05
_NOISE_FACTOR = 4.0
_CUT_LEVEL = 0.25
_EDGE_MM = 1.0
_LEAST_POINTS = 5
_NO_WINDOW = NotEvaluable(code="too-few-points", reason=f"fewer than {_LEAST_POINTS} points in the window")


def _distal_mark(depth: FloatArray, curve: FloatArray, level: float) -> RangeMark | NotEvaluable:
    flat = _flat(curve)
    if flat is not None:
        return flat
    half = _last_fall(depth, curve, _HALF * float(curve.max()))
    if half is None:
        return _truncated(depth, curve)
    window = np.flatnonzero((depth >= half - _PROXIMAL_MM) & (depth <= half))
    peak = int(window[np.argmax(curve[window])])
    reference = float(curve[peak])
    value = _last_fall(depth, curve, level * reference)
    if value is None:
        return _truncated(depth, curve)
    return RangeMark(
        value_mm=value,
        crossings=_falls(curve, level * reference).size,
        peak_mm=float(depth[peak]),
        reference=reference,
        level=level,
    )


def _activity_mark(
    depth: FloatArray, curve: FloatArray, level: float, pedestal: float, noise: float
) -> RangeMark | NotEvaluable:
    flat = _flat(curve)
    if flat is not None:
        return flat
    maximum = float(curve.max())
    if pedestal >= _CUT_LEVEL * maximum:
        return _truncated(depth, curve)
    foot = pedestal + max(_FOOT * (maximum - pedestal), _NOISE_FACTOR * noise)
    if foot >= _HALF * maximum:
        return NotEvaluable(
            code="too-noisy",
            reason=f"noise in the tail is {100 * noise / maximum:.0f} % of the maximum, at most about 10 % can be read",
        )
    end = _last_fall(depth, curve, foot)
    if end is None:
        return _truncated(depth, curve)
    window = np.flatnonzero((depth >= end - _ACTIVITY_REACH_MM) & (depth <= end))
    peak = int(window[np.argmax(curve[window])])
    reference = float(curve[peak])
    falls = _falls(curve, level * reference)
    values = np.array([_crossing(depth, curve, int(k), level * reference) for k in falls])
    if level * reference < foot:
        beyond = np.flatnonzero(values >= end)
        values = values[: beyond[0] + 1] if beyond.size else values
    if values.size == 0 or values[-1] > depth[-1] - _EDGE_MM:
        return _truncated(depth, curve)
    return RangeMark(
        value_mm=float(values[-1]),
        crossings=int(falls.size),
        peak_mm=float(depth[peak]),
        reference=reference,
        level=level,
    )


def _falls(curve: FloatArray, height: float) -> NDArray[np.intp]:
    """Indices k with the curve at or above `height` at k and below it at k + 1."""
    above = curve >= height
    return np.flatnonzero(above[:-1] & ~above[1:])


def _crossing(depth: FloatArray, curve: FloatArray, k: int, height: float) -> float:
    share = (curve[k] - height) / (curve[k] - curve[k + 1])
    return float(depth[k] + share * (depth[k + 1] - depth[k]))


def _last_fall(depth: FloatArray, curve: FloatArray, height: float) -> float | None:
    """The most distal falling crossing; None when the curve still stands at or above `height` at its end."""
    if curve[-1] >= height:
        return None
    falls = _falls(curve, height)
    return _crossing(depth, curve, int(falls[-1]), height) if falls.size else None


def _flat(curve: FloatArray) -> NotEvaluable | None:
    maximum, minimum = float(curve.max()), float(curve.min())
    if maximum <= 0:
        return NotEvaluable(code="all-zero", reason="the curve is nowhere above zero")
    if maximum - minimum <= 1e-9 * maximum:
        return NotEvaluable(code="constant", reason="the curve is constant: it has no fall-off")
    return None


def _truncated(depth: FloatArray, curve: FloatArray) -> NotEvaluable:
    return NotEvaluable(
        code="truncated",
        reason=f"the fall-off is cut by the edge of the window at {depth[-1]:.1f} mm, "
        f"where the curve is at {100 * curve[-1] / curve.max():.0f} % of its maximum",
    )


def _joined(depth: FloatArray, curves: FloatArray, interpolation: Interpolation) -> tuple[FloatArray, FloatArray]:
    """The curves (n_ray, n) between their points: as they are for straight lines, finely sampled for a spline."""
    step = np.diff(depth)
    coarse = float(step.max()) > FINE_BIN_MM + 1e-9
    if interpolation == "linear" or (interpolation == "auto" and not coarse):
        return depth, curves
    parts = int(np.ceil(float(step.max()) / _FINE_STEP_MM))
    fine = np.append((depth[:-1, None] + step[:, None] * (np.arange(parts) / parts)).ravel(), depth[-1])
    joined = np.empty((len(curves), fine.size))
    for first in range(0, len(curves), _RAYS_AT_ONCE):
        block = slice(first, first + _RAYS_AT_ONCE)
        joined[block] = CubicSpline(depth, curves[block], axis=1)(fine)
    return fine, joined


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


def _tail(depth: FloatArray, curves: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pedestal and white noise (SD) at the distal end of each curve; second differences do not see a slope."""
    pedestal = curves[:, depth > depth[-1] - _TAIL_MM].mean(axis=1)
    first = min(int(np.searchsorted(depth, depth[-1] - _NOISE_REACH_MM)), depth.size - _LEAST_POINTS)
    bend = np.diff(curves[:, first:], n=2, axis=1)
    return pedestal, np.sqrt((bend**2).mean(axis=1) / 6.0)


def _checked(depth_mm: ArrayLike, curves: ArrayLike, level: float) -> tuple[FloatArray, FloatArray]:
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


def _windows(mask: ArrayLike | None, shape: tuple[int, ...]) -> list[tuple[NDArray[np.intp], slice]]:
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
    return [(rows, window) for rows, window in groups if window.stop - window.start >= _LEAST_POINTS]


def _gathered(marks: list[RangeMark | NotEvaluable]) -> RangeMarks:
    def column(name: str, absent: float) -> list[float]:
        return [getattr(m, name) if isinstance(m, RangeMark) else absent for m in marks]

    return RangeMarks(
        value_mm=np.array(column("value_mm", np.nan), dtype=np.float64),
        crossings=np.array(column("crossings", 0), dtype=np.int64),
        peak_mm=np.array(column("peak_mm", np.nan), dtype=np.float64),
        reference=np.array(column("reference", np.nan), dtype=np.float64),
        missing=tuple(m if isinstance(m, NotEvaluable) else None for m in marks),
    )


def _one(marks: RangeMarks, level: float) -> RangeMark | NotEvaluable:
    missing = marks.missing[0]
    if missing is not None:
        return missing
    return RangeMark(
        value_mm=float(marks.value_mm[0]),
        crossings=int(marks.crossings[0]),
        peak_mm=float(marks.peak_mm[0]),
        reference=float(marks.reference[0]),
        level=level,
    )


def _number(mark: RangeMark | NotEvaluable, name: str) -> float:
    if isinstance(mark, NotEvaluable):
        raise NotEvaluableError(f"the curve has no {name}", got=mark.reason, expected="a fall-off inside the window")
    return mark.value_mm
