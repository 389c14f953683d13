"""R80 and its kin: distal ranges of depth doses, and how wide the fall-off is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import InputError, NotEvaluableError
from protonqa.physics.curve_marks import NotEvaluable, RangeMark, RangeMarks, gathered, number, one
from protonqa.physics.curve_points import (
    NO_WINDOW,
    Interpolation,
    checked,
    falling,
    joined,
    last_fall_mm,
    truncated,
    why_flat,
    windows,
)

FloatArray = NDArray[np.float64]

_HALF = 0.5
_PROXIMAL_MM = 30.0
# Least squares in the logarithm through the points that `homogeneous_falloff_mm` names.
_FALLOFF_AT_100_MM = 1.586
_FALLOFF_EXPONENT = 0.873
_RANGE_ENERGY_EXPONENT = 1.77
_WIDTH_PER_SD = 1.47


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Falloffs:
    """Distal fall-offs of many depth doses; (n_ray,) each, NaN where a curve has no R80 or no R20."""

    r80: RangeMarks
    r20: RangeMarks
    width_mm: FloatArray
    homogeneous_mm: FloatArray

    def is_range_mixed(self, margin_mm: float = 3.0) -> NDArray[np.bool_]:
        """(n_ray,) as in `Falloff`; False where there is no width."""
        return np.asarray(np.nan_to_num(self.width_mm - self.homogeneous_mm, nan=-np.inf) > margin_mm)


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
    Accuracy of the interpolation from 1 mm bins, over all positions of the bins on analytic depth doses of
    mono-energetic beams in water: cubic spline within 0.12 mm at 70 MeV, 0.04 mm at 100 MeV and 0.003 mm at 150 MeV;
    straight lines within 0.26, 0.15 and 0.07 mm. From 0.25 mm bins straight lines stay within 0.015 mm. At 70 MeV the
    fall-off is narrower than the bin: take finer bins where that matters.
    """
    return one(distal_ranges(depth_mm, np.asarray(dose)[None], level, interpolation=interpolation), level)


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
    return number(distal_range(depth_mm, dose, level, interpolation=interpolation), f"R{round(level * 100)}")


def distal_ranges(
    depth_mm: ArrayLike,
    dose: ArrayLike,
    level: float = 0.8,
    *,
    mask: ArrayLike | None = None,
    interpolation: Interpolation = "auto",
) -> RangeMarks:
    """As `distal_range` for (n_ray, n_depth) curves; `mask` is True inside the usable window of each ray."""
    depth, curves = checked(depth_mm, dose, level)
    marks: list[RangeMark | NotEvaluable] = [NO_WINDOW] * len(curves)
    for rows, window in windows(mask, curves.shape):
        fine_depth, fine = joined(depth[window], curves[rows, window], interpolation)
        for row, curve in zip(rows, fine, strict=True):
            marks[row] = _distal_mark(fine_depth, curve, level)
    return gathered(marks)


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

    Raises
    ------
    InputError
        As `distal_range`; RSP or water-equivalent depth not above 0.
    """
    many = falloff_widths(
        depth_mm, np.asarray(dose)[None], wepl_mm=wepl_mm, rsp=rsp, energy_spread_percent=energy_spread_percent
    )
    for missing in (many.r80.missing[0], many.r20.missing[0]):
        if missing is not None:
            return missing
    return Falloff(
        r80_mm=float(many.r80.value_mm[0]),
        r20_mm=float(many.r20.value_mm[0]),
        width_mm=float(many.width_mm[0]),
        homogeneous_mm=float(many.homogeneous_mm[0]),
    )


def falloff_widths(
    depth_mm: ArrayLike,
    dose: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    wepl_mm: ArrayLike | None = None,
    rsp: ArrayLike = 1.0,
    energy_spread_percent: float = 0.0,
) -> Falloffs:
    """As `falloff_width` for (n_ray, n_depth) curves; `wepl_mm` and `rsp` are (n_ray,) or one number."""
    r80 = distal_ranges(depth_mm, dose, 0.8, mask=mask)
    r20 = distal_ranges(depth_mm, dose, 0.2, mask=mask)
    local_rsp = np.broadcast_to(np.asarray(rsp, dtype=np.float64), r80.value_mm.shape)
    if not (local_rsp > 0).all():
        raise InputError("RSP at a fall-off is not positive", got=f"{local_rsp.min():g}", expected="above 0")
    range_mm = local_rsp * r80.value_mm if wepl_mm is None else np.asarray(wepl_mm, dtype=np.float64)
    found = r80.found & r20.found
    homogeneous = np.full(found.shape, np.nan)
    homogeneous[found] = _homogeneous_mm(np.broadcast_to(range_mm, found.shape)[found], energy_spread_percent)
    return Falloffs(r80=r80, r20=r20, width_mm=r20.value_mm - r80.value_mm, homogeneous_mm=homogeneous / local_rsp)


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
    return float(_homogeneous_mm(np.array([range_mm]), energy_spread_percent)[0])


def _homogeneous_mm(range_mm: FloatArray, energy_spread_percent: float) -> FloatArray:
    if not (range_mm > 0).all():
        raise InputError("range is not a depth", got=f"{range_mm.min():g} mm", expected="above 0 mm")
    straggling_mm = _FALLOFF_AT_100_MM * (range_mm / 100.0) ** _FALLOFF_EXPONENT
    spread_mm = _WIDTH_PER_SD * _RANGE_ENERGY_EXPONENT * energy_spread_percent / 100.0 * range_mm
    return np.asarray(np.hypot(straggling_mm, spread_mm))


def _distal_mark(depth: FloatArray, curve: FloatArray, level: float) -> RangeMark | NotEvaluable:
    flat = why_flat(curve)
    if flat is not None:
        return flat
    half = last_fall_mm(depth, curve, _HALF * float(curve.max()))
    if half is None:
        return truncated(depth, curve)
    window = np.flatnonzero((depth >= half - _PROXIMAL_MM) & (depth <= half))
    peak = int(window[np.argmax(curve[window])])
    reference = float(curve[peak])
    value = last_fall_mm(depth, curve, level * reference)
    if value is None:
        return truncated(depth, curve)
    return RangeMark(
        value_mm=value,
        crossings=falling(curve, level * reference).size,
        peak_mm=float(depth[peak]),
        reference=reference,
        level=level,
    )
