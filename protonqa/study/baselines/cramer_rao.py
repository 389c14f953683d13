"""How well a shift can be known at all: Cramer-Rao bounds from the slope of the expected profile.

With mean g e(z - d) + c in each bin the Fisher information of d is the sum of (g e')^2 / variance over the bins, plus
what the variance itself tells where it follows the profile; gain g, pedestal c and noise level, where they are not
known, take their share of it (Schur complement). An unbiased estimator cannot have a smaller variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import InputError
from protonqa.study.baselines.interface import Profiles, as_rays
from protonqa.study.baselines.screening import free
from protonqa.study.baselines.search import Window, expected_a50_mm
from protonqa.study.baselines.shifted import SplineProfiles

Floats = NDArray[np.float64]
Nuisance = Literal["gain", "offset", "level"]

#: A profile is not known below this fraction of its maximum: the tail of multiplicative noise would otherwise tell all.
MULTIPLICATIVE_FLOOR = 0.01
#: The same for counts, where a bin without any expected count would forbid every count.
POISSON_FLOOR = 1e-4
# Information on the shift below this share of what there is without nuisances is rounding.
_NOTHING = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdditiveNoise:
    """Gaussian noise of the same `sd` in every bin, in the unit of the profile: a number or (n_ray,)."""

    sd: ArrayLike


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MultiplicativeNoise:
    """Gaussian noise of `1 / snr` of the bin, plus as much of `floor` times the maximum, in quadrature.

    ``snr`` is a number or (n_ray,). Without a floor the bound would fall to zero with the tail of the profile.
    """

    snr: ArrayLike
    floor: float = MULTIPLICATIVE_FLOOR


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoissonNoise:
    """Counting noise: `counts_per_unit` counts for one unit of the profile, `background` in that unit per bin.

    Numbers or (n_ray,). The mean is nowhere taken to be below ``floor`` times its maximum.
    """

    counts_per_unit: ArrayLike
    background: ArrayLike = 0.0
    floor: float = POISSON_FLOOR


Noise = AdditiveNoise | MultiplicativeNoise | PoissonNoise


def shift_bounds_mm(
    expected: Profiles,
    noise: Noise,
    *,
    window: Window | None = None,
    nuisance: Sequence[Nuisance] = ("gain",),
) -> Floats:
    """Smallest standard deviation of a shift of `expected`, mm; (n_ray,).

    Parameters
    ----------
    expected : Profiles
        Noise-free, in the unit of the noise; its mask says which bins are measured.
    noise : Noise
    window : Window or None
        Only the bins of this window around A50 count; None counts all usable ones.
    nuisance : sequence of {"gain", "offset", "level"}
        What is not known either; ``level`` is the size of Gaussian noise.

    Returns
    -------
    (n_ray,)
        Infinite where the profile tells nothing of the shift (flat, or no bins); NaN where it cannot be looked at.

    Raises
    ------
    InputError
        Noise that is not positive, an unknown nuisance, bins that are not equal.
    """
    rays = as_rays(expected)
    a50, reasons = expected_a50_mm(rays)
    bound = np.full(rays.n_ray, np.nan)
    for row, reason in enumerate(reasons):
        if reason is not None and reason.code == "constant":
            bound[row] = np.inf
    rows = free(reasons)
    if rows.size == 0:
        return bound
    part = rays.select(rows)
    values = np.where(part.usable, part.activity, 0.0)
    splines = SplineProfiles.through(values, part.usable)
    first, n, zero = np.zeros(rows.size, dtype=np.intp), rays.depth_mm.size, np.zeros(rows.size)
    weight = part.usable.astype(np.float64)
    if window is not None:
        start = window.first_bin(a50[rows], rays.depth_mm, rays.step_mm)[:, None]
        index = np.arange(n)[None]
        weight = weight * ((index >= start) & (index < start + window.bins(rays.step_mm)))
    model, slope = splines.at(zero, first, n), splines.slope_at(zero, first, n) / rays.step_mm
    matrix = shift_information(model, slope, weight, _of_rows(noise, rows, rays.n_ray), nuisance)
    bound[rows] = 1.0 / np.sqrt(remaining_information(matrix))
    return bound


def shift_information(
    model: Floats, slope: Floats, weight: Floats, noise: Noise, nuisance: Sequence[Nuisance]
) -> Floats:
    """Fisher matrix of the shift (first) and the nuisances, at gain 1 and no pedestal; (n_ray, n) -> (n_ray, p, p).

    The pedestal counts in units of the maximum. `weight` is 1 for bins that are measured.
    """
    unknown = [name for name in nuisance if name not in ("gain", "offset", "level")]
    if unknown or len(set(nuisance)) != len(nuisance):
        raise InputError(
            "unknown nuisance of a bound", got=", ".join(nuisance), expected="gain, offset, level, once each"
        )
    top = (np.abs(model) * weight).max(axis=1, keepdims=True, initial=0.0)
    top = np.where(top > 0, top, 1.0)
    kept = [name for name in nuisance if name != "level" or not isinstance(noise, PoissonNoise)]
    columns = {"gain": model, "offset": np.broadcast_to(top, model.shape), "level": np.zeros(model.shape)}
    mean = np.stack([-slope, *(columns[name] for name in kept)], axis=2)
    variance, log_columns = _variance(model, slope, top, noise)
    matrix = np.einsum("rip,riq,ri->rpq", mean, mean, weight / variance)
    if log_columns:
        log = np.stack([log_columns["shift"], *(log_columns[name] for name in kept)], axis=2)
        matrix = matrix + 0.5 * np.einsum("rip,riq,ri->rpq", log, log, weight)
    return np.asarray(matrix)


def remaining_information(matrix: Floats) -> Floats:
    """Information on the first parameter when the others are not known; (n_ray, p, p) -> (n_ray,), 0 where none."""
    alone = matrix[:, 0, 0]
    left = alone.copy()
    if matrix.shape[1] > 1:
        side, block = matrix[:, 1:, 0], matrix[:, 1:, 1:]
        # Scaled to a unit diagonal; a nuisance without any trace in the profile takes nothing.
        size = np.sqrt(np.einsum("rpp->rp", block))
        size = np.where(size > 0, size, 1.0)
        unit = block / (size[:, :, None] * size[:, None, :])
        share = np.einsum("rpq,rq->rp", np.linalg.pinv(unit, hermitian=True), side / size)
        left = alone - (side / size * share).sum(axis=1)
    return np.where((left > _NOTHING * alone) & (alone > 0), left, 0.0)


def _variance(model: Floats, slope: Floats, top: Floats, noise: Noise) -> tuple[Floats, dict[str, Floats]]:
    """Variance of each bin, and the derivatives of its logarithm; none for counts, whose mean tells all."""
    ones = np.ones(model.shape)
    if isinstance(noise, AdditiveNoise):
        sd = _positive(noise.sd, "noise")
        return sd**2 * ones, {"shift": 0.0 * ones, "gain": 0.0 * ones, "offset": 0.0 * ones, "level": 2.0 * ones}
    bright = np.maximum(model, 0.0)
    if isinstance(noise, MultiplicativeNoise):
        spread = bright**2 + (noise.floor * top) ** 2
        logs = {"shift": -2.0 * bright * slope / spread, "gain": 2.0 * ones, "offset": 0.0 * ones, "level": 2.0 * ones}
        return spread / _positive(noise.snr, "signal-to-noise ratio") ** 2, logs
    background = np.asarray(noise.background, dtype=np.float64).reshape(-1, 1)
    if not (background >= 0).all():
        raise InputError("background of a bound is negative or not a number", expected="0 or more")
    mean = np.maximum(bright, noise.floor * top) + background
    return mean / _positive(noise.counts_per_unit, "number of counts"), {}


def _positive(value: ArrayLike, what: str) -> Floats:
    """(n_ray or 1, 1)."""
    array = np.asarray(value, dtype=np.float64).reshape(-1, 1)
    if not (np.isfinite(array) & (array > 0)).all():
        raise InputError(f"{what} of a bound is not positive", expected="a number above 0")
    return array


def _of_rows(noise: Noise, rows: NDArray[np.intp], n_ray: int) -> Noise:
    """The noise of some rays."""

    def picked(value: ArrayLike) -> Floats:
        array = np.asarray(value, dtype=np.float64)
        if array.ndim > 1 or array.size not in (1, n_ray):
            raise InputError("noise does not fit the rays", got=str(array.shape), expected=f"one number or {n_ray}")
        return array.ravel() if array.size == 1 else array[rows]

    if isinstance(noise, AdditiveNoise):
        return AdditiveNoise(sd=picked(noise.sd))
    if isinstance(noise, MultiplicativeNoise):
        return MultiplicativeNoise(snr=picked(noise.snr), floor=noise.floor)
    return PoissonNoise(
        counts_per_unit=picked(noise.counts_per_unit), background=picked(noise.background), floor=noise.floor
    )
