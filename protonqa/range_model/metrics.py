"""How wrong the model is: range error, dose error, coverage and width, each as the definitions say."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeErrors:
    """Predicted minus true R80 over rays, mm."""

    n: int
    mean_mm: float
    sd_mm: float
    mae_mm: float
    median_mm: float
    p95_mm: float

    def as_dict(self) -> dict[str, float]:
        """Plain numbers for JSON."""
        return asdict(self)


def range_errors(predicted_mm: Floats, true_mm: Floats) -> RangeErrors:
    """Mean, SD (n - 1), mean and median and 95th percentile of the absolute error.

    Raises
    ------
    InputError
        Shapes that differ, no ray, or values that are not finite: refused rays are left out by the caller.
    """
    error = np.asarray(predicted_mm, dtype=np.float64) - np.asarray(true_mm, dtype=np.float64)
    if error.ndim != 1 or error.size == 0 or not np.isfinite(error).all():
        raise InputError("range errors need at least one ray and finite values", got=f"{error.shape} values")
    size = np.abs(error)
    return RangeErrors(
        n=int(error.size),
        mean_mm=float(error.mean()),
        sd_mm=float(error.std(ddof=1)) if error.size > 1 else 0.0,
        mae_mm=float(size.mean()),
        median_mm=float(np.median(size)),
        p95_mm=float(np.percentile(size, 95)),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DoseErrors:
    """Per ray, curves scaled to their own maximum; MRE in percent.

    Parameters
    ----------
    mae : (n_ray,)
        Mean |d - d_true| over 0 .. R80 + 10 mm.
    mre_percent : (n_ray,)
        Mean of |d - d_true| / d_true where d_true is at least 10 % of its maximum.
    mre_without_falloff_percent : (n_ray,)
        The same up to the depth where the true dose last reaches 90 % of the maximum near its end.
    """

    mae: Floats
    mre_percent: Floats
    mre_without_falloff_percent: Floats


def dose_errors(
    depth_mm: Floats, predicted: Floats, true: Floats, r80_mm: Floats, *, falloff_start_mm: Floats | None = None
) -> DoseErrors:
    """Errors of depth doses on a shared depth grid; arrays (n_ray, n_depth), `r80_mm` true, (n_ray,).

    The distal fall-off begins at `falloff_start_mm`, by default where the true dose last reaches 90 % of its maximum
    in the 30 mm before R80.

    Raises
    ------
    InputError
        Shapes that differ or a true dose without a positive maximum.
    """
    predicted, true = np.atleast_2d(predicted), np.atleast_2d(true)
    if predicted.shape != true.shape or true.shape != (r80_mm.size, depth_mm.size):
        raise InputError("dose curves do not match", got=f"{predicted.shape} and {true.shape}")
    top, true_top = predicted.max(axis=1, keepdims=True), true.max(axis=1, keepdims=True)
    if not (true_top > 0).all():
        raise InputError("true dose has no positive maximum", expected="a dose above zero on each ray")
    p = predicted / np.where(top > 0, top, 1.0)
    t = true / true_top
    gap = np.abs(p - t)
    early = (depth_mm >= 0) & (depth_mm[None] <= r80_mm[:, None] + 10.0)
    bright = t >= 0.1
    start = _falloff_start(depth_mm, t, r80_mm) if falloff_start_mm is None else falloff_start_mm
    plateau = bright & (depth_mm[None] <= start[:, None])
    relative = gap / np.where(bright, t, 1.0)
    return DoseErrors(
        mae=_mean(gap, early),
        mre_percent=100.0 * _mean(relative, bright),
        mre_without_falloff_percent=100.0 * _mean(relative, plateau),
    )


def coverage(low_mm: Floats, high_mm: Floats, true_mm: Floats) -> float:
    """Share of rays whose true R80 lies inside [low, high]."""
    inside = (np.asarray(low_mm) <= true_mm) & (np.asarray(true_mm) <= high_mm)
    return float(inside.mean())


def interval_width_mm(low_mm: Floats, high_mm: Floats) -> float:
    """Mean width of the intervals."""
    return float(np.mean(np.asarray(high_mm) - np.asarray(low_mm)))


def _falloff_start(depth_mm: Floats, t: Floats, r80_mm: Floats) -> Floats:
    near = (depth_mm[None] > r80_mm[:, None] - 30.0) & (depth_mm[None] <= r80_mm[:, None] + 10.0)
    local = np.where(near, t, 0.0).max(axis=1, keepdims=True)
    high = near & (t >= 0.9 * local)
    last = depth_mm.size - 1 - np.argmax(high[:, ::-1], axis=1)
    return np.asarray(depth_mm[last], dtype=np.float64)


def _mean(values: Floats, where: NDArray[np.bool_]) -> Floats:
    count = where.sum(axis=1)
    total = np.where(where, values, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))
