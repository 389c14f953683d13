"""How sure the mean shift is: rays that are not independent, and what all rays share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.range_verification.estimates import RangeEstimates
from protonqa.analyses.range_verification.planning import PlannedField
from protonqa.values import ProfileSet, Timeline

Floats = NDArray[np.float64]
NUCLIDE_YIELD_SD = 0.15
WASHOUT_SPREAD = 0.5
RSP_SD_GENERIC, RSP_SD_CALIBRATED = 0.02, 0.01
_FWHM_TO_SD = 1.0 / 2.3548


def statistical_sd_mm(shift_mm: Floats, lateral_mm: Floats, *, psf_mm: float, width_mm: float) -> float:
    """Standard error of the mean of correlated rays.

    Neighbouring rays share the blur of PET and ray cross section: two rays at distance d correlate by
    exp(-d^2 / 4 s^2), s the SD of that blur across the beam.
    """
    if shift_mm.size < 2:
        return float("inf")
    blur2 = (psf_mm * _FWHM_TO_SD) ** 2 + width_mm**2 / 12.0
    distance2 = ((lateral_mm[:, None] - lateral_mm[None]) ** 2).sum(axis=-1)
    correlation = np.exp(-distance2 / (4.0 * max(blur2, 1e-6)))
    n = shift_mm.size
    shared = float(correlation.sum()) / n**2
    # The sample SD of correlated values falls short of the true one.
    spread2 = float(shift_mm.var(ddof=1)) / max(1.0 - shared, 1.0 / n)
    return float(np.sqrt(spread2 * shared))


def systematic_sd_mm(
    field: PlannedField,
    nuclides: Floats,
    nominal: RangeEstimates,
    profiles: ProfileSet,
    timeline: Timeline,
    *,
    washout: str,
    psf_mm: float,
    draws: int,
    rng: np.random.Generator,
    calibrated: bool,
    judge: Callable[[ProfileSet], RangeEstimates],
    rays: NDArray[np.bool_],
) -> float:
    """SD of the mean shift from what all rays share.

    Washout fractions and half-lives (+-50 %) and the yield of each nuclide (15 % SD) are drawn; the expected activity
    made with them is judged like the nominal one. An RSP error moves the distance between A50 and R80.
    """
    import torch

    from protonqa.activity.chain import apply_chain
    from protonqa.activity.scenario import activity_scenario
    from protonqa.activity.washout import draw_washout

    means: list[float] = []
    base: RangeEstimates | None = None
    for draw in range(draws + 1):
        scenario = activity_scenario(
            timeline,
            washout=washout if draw == 0 else draw_washout(washout, rng, n=1, spread=WASHOUT_SPREAD),
            positrons=True,
            positron_range=True,
            psf_fwhm_mm=psf_mm,
            edge="open",
        )
        yields = np.ones(len(nuclides)) if draw == 0 else _drawn_yields(rng, len(nuclides))
        nuclei = torch.tensor(nuclides * yields[:, None, None])
        seen = apply_chain(nuclei, scenario, spacing_mm=(1.0,), hu=torch.tensor(field.hu)).activity.numpy()
        drawn = judge(_with_activity(profiles, seen))
        if base is None:
            base = drawn  # the nominal case, made the same way as the draws
            continue
        both = rays & drawn.answered & base.answered
        if both.any():
            means.append(float((drawn.r80_mm - base.r80_mm)[both].mean()))
    # About the nominal case, not about their own mean: a common offset of the draws is an error too.
    activity_sd = float(np.sqrt(np.mean(np.square(means)))) if len(means) > 1 else float("inf")
    offset = field.planned_r80_mm - nominal.a50_mm
    usable = rays & np.isfinite(offset)
    rsp_sd = RSP_SD_CALIBRATED if calibrated else RSP_SD_GENERIC
    hlut_sd = rsp_sd * abs(float(offset[usable].mean())) if usable.any() else 0.0
    return float(np.hypot(activity_sd, hlut_sd))


def _drawn_yields(rng: np.random.Generator, n: int) -> Floats:
    return np.clip(rng.normal(1.0, NUCLIDE_YIELD_SD, n), 0.5, 1.5)


def _with_activity(profiles: ProfileSet, activity: Floats) -> ProfileSet:
    return ProfileSet(
        depth_mm=profiles.depth_mm,
        activity=activity,
        mask=profiles.mask,
        rsp=profiles.rsp,
        hu=profiles.hu,
        timeline=profiles.timeline,
        psf_fwhm_mm=profiles.psf_fwhm_mm,
        ray=profiles.ray,
    )
