"""Profiles between their bins: cubic splines on equal bins, each ray read at its own shift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter1d

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# The influence of a value on the spline falls by 0.27 a bin: 16 bins further it is gone.
_PAD = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplineProfiles:
    """Cubic splines through (n_ray, n_depth) values; outside of what is known the last value holds."""

    coefficients: Floats

    @classmethod
    def through(cls, values: Floats, usable: NDArray[np.bool_]) -> SplineProfiles:
        """Interpolate `values`; bins that are not usable take the value of the nearest usable one."""
        padded = np.pad(_held(values, usable), ((0, 0), (_PAD, _PAD)), mode="edge")
        return cls(coefficients=np.asarray(spline_filter1d(padded, order=3, axis=1, mode="mirror"), dtype=np.float64))

    def at(self, shift_bins: Floats, first: Indices, n: int) -> Floats:
        """Profiles moved distally by `shift_bins`, in bins `first` to `first` + n; (n_ray,) -> (n_ray, n)."""
        block, t = self._block(shift_bins, first, n)
        weights = ((1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3)
        return _combined(block, weights) / 6.0

    def slope_at(self, shift_bins: Floats, first: Indices, n: int) -> Floats:
        """Derivative of `at` by depth, per bin."""
        block, t = self._block(shift_bins, first, n)
        return _combined(block, (-((1 - t) ** 2), 3 * t**2 - 4 * t, 1 + 2 * t - 3 * t**2, t**2)) / 2.0

    def _block(self, shift_bins: Floats, first: Indices, n: int) -> tuple[Floats, Floats]:
        """The n + 3 coefficients each ray needs, and its place between two bins."""
        place = first - shift_bins
        whole = np.floor(place)
        index = (whole.astype(np.intp) + (_PAD - 1))[:, None] + np.arange(n + 3)
        clipped = np.clip(index, 0, self.coefficients.shape[1] - 1)
        return np.take_along_axis(self.coefficients, clipped, axis=1), (place - whole)[:, None]


def _combined(block: Floats, weights: tuple[Floats, ...]) -> Floats:
    n = block.shape[1] - 3
    total = weights[0] * block[:, :n]
    for j in (1, 2, 3):
        total += weights[j] * block[:, j : j + n]
    return np.asarray(total)


def _held(values: Floats, usable: NDArray[np.bool_]) -> Floats:
    """Values with the gaps filled by the nearest usable bin on the left, in front of the first one by that one."""
    index = np.where(usable, np.arange(values.shape[1]), -1)
    last = np.maximum.accumulate(index, axis=1)
    last = np.where(last < 0, usable.argmax(axis=1)[:, None], last)
    return np.take_along_axis(np.where(usable, values, 0.0), last, axis=1)


def gathered_bins(values: NDArray[Any], first: Indices, n: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Bins `first` to `first` + n of each ray, and which of them exist; the others repeat the end."""
    index = first[:, None] + np.arange(n)
    exists = (index >= 0) & (index < values.shape[1])
    return np.take_along_axis(values, np.clip(index, 0, values.shape[1] - 1), axis=1), exists
