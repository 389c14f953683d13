"""What two depth doses of one beam have in common: marks, energy, gamma."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from protonqa.physics.curves import NotEvaluable, distal_range, falloff_width, homogeneous_falloff_mm

FloatArray = NDArray[np.float64]

#: Depths (mm) over which the entrance is averaged: behind the build-up of nuclear secondaries' first millimetres.
ENTRANCE_MM = (2.0, 8.0)
_GAMMA_STEP_MM = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveFacts:
    """R80 and 80-20 fall-off (mm; None where there is none), peak over entrance, and area (MeV per proton)."""

    r80_mm: float | None
    falloff_mm: float | None
    peak_to_entrance: float
    deposited_mev: float


def curve_facts(depth_mm: FloatArray, idd_mev_per_mm: FloatArray) -> CurveFacts:
    """Facts of a depth dose in equal bins from the surface on; (n,) each."""
    smooth = smoothed(depth_mm, idd_mev_per_mm)
    width = falloff_width(depth_mm, smooth)
    entrance = idd_mev_per_mm[(depth_mm > ENTRANCE_MM[0]) & (depth_mm < ENTRANCE_MM[1])].mean()
    return CurveFacts(
        r80_mm=None if isinstance(width, NotEvaluable) else width.r80_mm,
        falloff_mm=None if isinstance(width, NotEvaluable) else width.width_mm,
        peak_to_entrance=float(smooth.max() / entrance),
        deposited_mev=float(idd_mev_per_mm.sum() * (depth_mm[1] - depth_mm[0])),
    )


def smoothed(depth_mm: FloatArray, curve: FloatArray) -> FloatArray:
    """The curve after a local cubic over 0.6 of the fall-off width: the maximum of noisy bins lies above the curve."""
    mark = distal_range(depth_mm, curve)
    if isinstance(mark, NotEvaluable):
        return curve
    bins = 2 * int(0.3 * homogeneous_falloff_mm(mark.value_mm) / (depth_mm[1] - depth_mm[0])) + 1
    return curve if bins <= 3 else np.asarray(savgol_filter(curve, bins, polyorder=3))


def gamma_share(
    depth_mm: FloatArray,
    dose: FloatArray,
    reference_depth_mm: FloatArray,
    reference: FloatArray,
    *,
    percent: float = 1.0,
    distance_mm: float = 1.0,
    cut: float = 0.1,
) -> float:
    """Share of the points of a reference curve that another curve meets within a percentage or a distance (0 to 1).

    One-dimensional gamma index, dose relative to the maximum of the reference, points below `cut` of it left out.
    Source: Low et al., Med Phys 25:656 (1998).
    """
    top = float(reference.max())
    counts = reference >= cut * top
    offset = np.arange(-2.0 * distance_mm, 2.0 * distance_mm + 1e-9, _GAMMA_STEP_MM)
    place = reference_depth_mm[counts][:, None] + offset
    away = (np.interp(place, depth_mm, dose) - reference[counts][:, None]) / (0.01 * percent * top)
    gamma2 = (away**2 + (offset / distance_mm) ** 2).min(axis=1)
    return float(np.mean(gamma2 <= 1.0))
