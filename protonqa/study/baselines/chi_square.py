"""Profile match by maximum likelihood: the expected profile, moved and scaled, against the measured one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.physics.curve_marks import NotEvaluable
from protonqa.study.baselines.cramer_rao import (
    MULTIPLICATIVE_FLOOR,
    POISSON_FLOOR,
    AdditiveNoise,
    MultiplicativeNoise,
    Noise,
    Nuisance,
    PoissonNoise,
    remaining_information,
    shift_information,
)
from protonqa.study.baselines.interface import (
    KnownProfiles,
    Needs,
    Profiles,
    RangeEstimates,
    RayProfiles,
    estimates,
    matched,
)
from protonqa.study.baselines.screening import first_of
from protonqa.study.baselines.search import DISTAL_WINDOW, ShiftFits, Window, best_shifts, ray_size

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
NoiseKind = Literal["additive", "multiplicative", "poisson"]

_TITLES = {
    "additive": "Chi-square profile match",
    "multiplicative": "Profile match, relative noise",
    "poisson": "Poisson profile match",
}
_SCORING_STEPS = 8
_TINY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileMatch:
    """The shift of maximum likelihood, with free gain and, where asked for, a free pedestal.

    The mean of a bin is gain times expected(z - d) plus pedestal; the range is the planned R80 plus d. The size of
    Gaussian noise is free too, so that only its shape along the profile is assumed:

    - ``additive``: the same in every bin (least squares, chi-square);
    - ``multiplicative``: proportional to the bin, with a floor of 1 % of the maximum;
    - ``poisson``: counts, where the profile is proportional to them once its `background` is added back.

    Each ray carries the standard deviation of the Cramer-Rao bound at the fit, with the noise that is left over there.
    """

    needs: ClassVar[Needs] = Needs(expected=True)

    noise: NoiseKind = "additive"
    offset: bool = False
    window: Window = DISTAL_WINDOW

    def __post_init__(self) -> None:
        if self.noise not in _TITLES:
            raise InputError("unknown noise of a profile match", got=repr(self.noise), expected=", ".join(_TITLES))
        if self.window.follows:
            # With a free gain the best fit would be the empty tail.
            raise InputError("likelihoods of other bins cannot be compared", expected="a window that stands still")

    @property
    def name(self) -> str:
        """Key in tables and files."""
        return f"profile-match-{self.noise}" + ("-offset" if self.offset else "")

    @property
    def title(self) -> str:
        """Words for people."""
        return _TITLES[self.noise] + (" with pedestal" if self.offset else "")

    @property
    def nuisance(self) -> tuple[Nuisance, ...]:
        """What the fit leaves free beside the shift: hand it to `shift_bounds_mm` for the bound of this method."""
        return ("gain", "offset", "level") if self.offset else ("gain", "level")

    def range_mm(self, profiles: Profiles, expected: KnownProfiles | None = None) -> RangeEstimates:
        """Planned R80 plus the shift; `poisson` refuses rays with fewer than zero counts in a bin.

        Raises
        ------
        InputError
            No expected profiles, or of other rays or depths; bins that are not equal.
        """
        measured, reference, known = matched(profiles, expected)
        background = np.zeros(measured.n_ray)
        if measured.background is not None and self.noise == "poisson":
            background = measured.background / ray_size(measured)
        law = _Likelihood(noise=self.noise, offset=self.offset, background=background)
        fits = best_shifts(measured, reference, law.cost, self.window)
        missing = first_of(_negative_counts(measured), fits.missing) if self.noise == "poisson" else fits.missing
        sigma = np.full(measured.n_ray, np.nan)
        sigma[fits.rows] = law.sigma_bins(fits, self.nuisance) * measured.step_mm
        return estimates(known.r80_mm + fits.shift_mm, missing, expected=known, sigma_mm=sigma)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Likelihood:
    """Minus the logarithm of the likelihood, gain, pedestal and noise level at their best; background (n_ray,)."""

    noise: NoiseKind
    offset: bool
    background: Floats

    def cost(self, measured: Floats, model: Floats, weight: Floats, rows: Indices) -> Floats:
        """(n_ray, n) -> (n_ray,); infinite where the best gain is not positive."""
        count = weight.sum(axis=1)
        if self.noise == "poisson":
            gain, mean = self._counts(measured, model, weight, rows)
            drawn = measured + self.background[rows, None]
            value = (weight * (mean - drawn * np.log(mean))).sum(axis=1)
        else:
            spread = self._spread(model, weight)
            gain, offset = linear_fit(measured, model, weight / spread, offset=self.offset)
            rest = measured - gain[:, None] * model - offset[:, None]
            chi2 = (weight / spread * rest**2).sum(axis=1)
            value = 0.5 * count * np.log(chi2 + _TINY) + 0.5 * (weight * np.log(spread)).sum(axis=1)
        return np.where((gain > 0) & (count > 0), value, np.inf)

    def sigma_bins(self, fits: ShiftFits, nuisance: tuple[Nuisance, ...]) -> Floats:
        """Standard deviation of the shift at the fit, (n_fit,), in bins."""
        measured, model, weight = fits.measured, fits.model, fits.weight
        free = 2 + int(self.offset)
        left = np.maximum(weight.sum(axis=1) - free, 1.0)
        noise: Noise
        if self.noise == "poisson":
            gain, mean = self._counts(measured, model, weight, fits.rows)
            # The scale of the counts is not known: it follows from how much the residuals vary. Sums, not a mean of
            # ratios: empty bins behind the fall-off have nothing to say.
            rest = measured + self.background[fits.rows, None] - mean
            total = (weight * mean).sum(axis=1)
            bins = total**2 / np.maximum((weight * mean**2).sum(axis=1), _TINY)
            level = (weight * rest**2).sum(axis=1) / np.maximum(total, _TINY) * bins / np.maximum(bins - free, 1.0)
            gain = np.where(gain > 0, gain, np.nan)
            bright = np.maximum(model, POISSON_FLOOR * _top(model, weight))
            pedestal = np.maximum((mean - gain[:, None] * bright).min(axis=1), 0.0) / gain
            noise = PoissonNoise(
                counts_per_unit=np.clip(np.nan_to_num(gain / np.maximum(level, 1e-24), nan=1.0), 1e-24, 1e24),
                background=np.nan_to_num(pedestal),
            )
        else:
            spread = self._spread(model, weight)
            gain, offset = linear_fit(measured, model, weight / spread, offset=self.offset)
            gain = np.where(gain > 0, gain, np.nan)
            rest = measured - gain[:, None] * model - offset[:, None]
            sd = np.sqrt((weight / spread * rest**2).sum(axis=1) / left) / gain
            sd = np.clip(np.nan_to_num(sd, nan=1.0), 1e-12, 1e24)
            noise = AdditiveNoise(sd=sd) if self.noise == "additive" else MultiplicativeNoise(snr=1.0 / sd)
        information = remaining_information(shift_information(model, fits.slope, weight, noise, nuisance))
        return np.where(np.isfinite(gain), np.sqrt(1.0 / np.where(information > 0, information, np.nan)), np.nan)

    def _spread(self, model: Floats, weight: Floats) -> Floats:
        """Variance of each bin up to a factor."""
        if self.noise == "additive":
            return np.ones(model.shape)
        bright = np.maximum(model, 0.0)
        return bright**2 + (MULTIPLICATIVE_FLOOR * _top(bright, weight)) ** 2

    def _counts(self, measured: Floats, model: Floats, weight: Floats, rows: Indices) -> tuple[Floats, Floats]:
        """Gain and mean counts per bin of maximum likelihood, by Fisher scoring."""
        bright = np.maximum(model, POISSON_FLOOR * _top(model, weight))
        known = self.background[rows, None]
        mean = bright
        steps = 1 if not self.offset and not known.any() else _SCORING_STEPS
        gain, offset = np.ones(rows.size), np.zeros(rows.size)
        for _ in range(steps):
            gain, offset = linear_fit(measured, bright, weight / mean, offset=self.offset)
            below = offset < -known[:, 0]
            if self.offset and below.any():
                # A mean cannot be negative: the pedestal stops at no background at all.
                fixed, _ = linear_fit(measured + known, bright, weight / mean, offset=False)
                gain, offset = np.where(below, fixed, gain), np.where(below, -known[:, 0], offset)
            gain = np.where(gain > 0, gain, 0.0)
            mean = np.maximum(gain[:, None] * bright + offset[:, None] + known, 1e-12)
        return gain, mean


def linear_fit(measured: Floats, model: Floats, weight: Floats, *, offset: bool) -> tuple[Floats, Floats]:
    """Weighted least squares of `measured` = gain model + offset, ray by ray; gain 0 where it is not determined."""
    total = weight.sum(axis=1)
    safe = np.where(total > 0, total, 1.0)
    m0 = (weight * measured).sum(axis=1) / safe if offset else np.zeros(total.shape)
    e0 = (weight * model).sum(axis=1) / safe if offset else np.zeros(total.shape)
    e = model - e0[:, None]
    square = (weight * e**2).sum(axis=1)
    cross = (weight * e * (measured - m0[:, None])).sum(axis=1)
    gain = np.divide(cross, square, out=np.zeros(total.shape), where=square > 0)
    return gain, m0 - gain * e0


def _top(bright: Floats, weight: Floats) -> Floats:
    top = (bright * weight).max(axis=1, keepdims=True, initial=0.0)
    return np.where(top > 0, top, 1.0)


def _negative_counts(rays: RayProfiles) -> list[NotEvaluable | None]:
    """Counts are not negative: a bin below zero shows a background that was taken off and is not known."""
    background = np.zeros(rays.n_ray) if rays.background is None else rays.background
    # Activity and background may have been counted in single precision.
    slack = 1e-6 * ray_size(rays)
    counts = np.where(rays.usable, rays.activity, 0.0) + (background + slack)[:, None]
    return [
        NotEvaluable(code="negative", reason=f"{n} bins are negative: no counts, and no background is known")
        if n
        else None
        for n in (counts < 0).sum(axis=1)
    ]
