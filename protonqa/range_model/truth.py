"""The truth of a ray and how well it is known: R80, dose and fall-off from the batches of its simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from protonqa.physics.curves import (
    Falloff,
    NotEvaluable,
    distal_range,
    distal_ranges,
    falloff_width,
    homogeneous_falloff_mm,
)

Floats = NDArray[np.float64]

#: Length of the local cubic that smooths a dose, in widths (R20 - R80) of its own fall-off. On analytic depth doses it
#: moves R80 proximal, by less than 0.01 mm for mono-energetic beams and by up to 0.03 mm for spread-out peaks.
_SMOOTHING_WIDTHS = 1.3
_LEAST_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """What is known of a ray.

    Parameters
    ----------
    dose : (n,)
        Smoothed, in units of its maximum.
    r80_mm : float, falloff : Falloff
        From the near edge of the first bin.
    r80_noise_mm, dose_noise_percent : float
        Standard errors; see `dataset.TrainingRay`.
    """

    dose: Floats
    r80_mm: float
    falloff: Falloff
    r80_noise_mm: float
    dose_noise_percent: float


def truth_of(
    batches: Floats, step_mm: float, range_mm: float, *, wepl_mm: Floats, rsp: Floats, spread_percent: float
) -> Truth | NotEvaluable:
    """R80, fall-off and their noise from the depth doses of equal batches.

    Parameters
    ----------
    batches : (n_batch, n)
        Dose along depth from depth 0 on, one row a batch.
    step_mm : float
        Width of a bin: 0.25, 0.5 or 1 mm.
    range_mm : float
        Range of the beam in water: how sharp the curve may be.
    wepl_mm, rsp : (n,)
        Water-equivalent depth at the end of each bin and RSP of the bin in the delivered anatomy.
    spread_percent : float
        Energy spread of the beam, 1 SD.
    """
    depth = np.asarray((np.arange(batches.shape[1]) + 0.5) * step_mm, dtype=np.float64)
    whole = np.asarray(batches.mean(axis=0), dtype=np.float64)
    if whole.max() <= 0:
        return NotEvaluable(code="no-dose", reason="no dose reaches the ray")
    bins = smoothing_bins(whole, step_mm, range_mm)
    total = _cubic(whole, bins)
    mark = distal_range(depth, total)
    if isinstance(mark, NotEvaluable):
        return mark
    place = min(int(mark.value_mm / step_mm), rsp.size - 1)
    # The fall-off takes place in the tissue around R80.
    reach = slice(max(place - round(2 / step_mm), 0), place + round(4 / step_mm))
    local = max(float(rsp[reach].mean()), 0.05)
    width = falloff_width(
        depth, total, wepl_mm=max(float(wepl_mm[place]), 1.0), rsp=local, energy_spread_percent=spread_percent
    )
    if isinstance(width, NotEvaluable):
        return width
    r80_noise, dose_noise = _noise(batches, depth, bins, mark.value_mm)
    return Truth(
        dose=np.maximum(total, 0.0) / total.max(),
        r80_mm=mark.value_mm,
        falloff=width,
        r80_noise_mm=r80_noise,
        dose_noise_percent=dose_noise,
    )


def smoothed(dose: Floats, step_mm: float, range_mm: float) -> Floats:
    """A depth dose without the noise of its bins: a local cubic over about its own fall-off."""
    return _cubic(dose, smoothing_bins(dose, step_mm, range_mm))


def smoothing_bins(dose: Floats, step_mm: float, range_mm: float) -> int:
    """Bins of the local cubic: for the fall-off in water of this range first, then for the one that is found."""
    width = homogeneous_falloff_mm(range_mm)
    found = falloff_width((np.arange(dose.size) + 0.5) * step_mm, _cubic(dose, _odd(width, step_mm)))
    return _odd(width if isinstance(found, NotEvaluable) else max(width, found.width_mm), step_mm)


def _odd(width_mm: float, step_mm: float) -> int:
    return 2 * int(_SMOOTHING_WIDTHS * width_mm / step_mm / 2) + 1


def _cubic(dose: Floats, bins: int) -> Floats:
    return np.asarray(savgol_filter(dose, bins, polyorder=3)) if 5 <= bins < dose.size else dose


def _noise(batches: Floats, depth: Floats, bins: int, r80_mm: float) -> tuple[float, float]:
    """Standard errors of R80 (mm) and of the dose in a bin (percent), by leaving out one batch after the other."""
    n = len(batches)
    if n < 3:
        return float("nan"), float("nan")
    total = batches.sum(axis=0)
    left = np.stack([_cubic((total - one) / (n - 1), bins) for one in batches])
    ranges = distal_ranges(depth, left).value_mm
    scale = (n - 1) / np.sqrt(n)
    r80_noise = scale * float(np.std(ranges)) if np.isfinite(ranges).all() else float("nan")
    curves = left / left.max(axis=1, keepdims=True)
    mean = curves.mean(axis=0)
    used = (depth <= r80_mm) & (mean >= _LEAST_SHARE)
    relative = scale * np.std(curves[:, used], axis=0) / mean[used]
    return r80_noise, 100.0 * float(np.sqrt(np.mean(relative**2))) if used.any() else float("nan")
