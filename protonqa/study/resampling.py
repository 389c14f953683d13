"""Statistics of rays when whole anatomies are counted several times or not at all: sums and quantiles by anatomy.

A bootstrap over anatomies asks for the same statistics under thousands of counts; with sums by anatomy each costs as
much as there are anatomies, not rays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
#: Rays times draws held in memory at once by a quantile.
_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Anatomies:
    """Which anatomy each ray belongs to: (n_ray,) numbers of the sorted names."""

    number: NDArray[np.intp]
    count: int

    @classmethod
    def of(cls, names: ArrayLike) -> Anatomies:
        """Anatomies by their names, in sorted order."""
        unique, number = np.unique(np.asarray(names), return_inverse=True)
        return cls(number=np.asarray(number, dtype=np.intp).ravel(), count=int(unique.size))

    def sums(self, values: ArrayLike) -> Floats:
        """Sum of a value over the rays of each anatomy; (n_ray,) -> (n_anatomy,)."""
        return np.asarray(np.bincount(self.number, weights=np.asarray(values, dtype=np.float64), minlength=self.count))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantiles:
    """Quantiles of a value over rays, each ray as often as its anatomy counts; straight lines between order numbers."""

    ordered: Floats
    anatomy: NDArray[np.intp]

    @classmethod
    def of(cls, values: Floats, anatomies: Anatomies) -> Quantiles:
        """Sort once, ask often."""
        order = np.argsort(values, kind="stable")
        return cls(ordered=values[order], anatomy=anatomies.number[order])

    def at(self, counts: Floats, shares: tuple[float, ...]) -> Floats:
        """(n_draw, n_anatomy) counts -> (n_draw, n_share), as `numpy.quantile` of the repeated rays."""
        found = np.empty((counts.shape[0], len(shares)))
        step = max(1, _AT_ONCE // max(self.ordered.size, 1))
        for start in range(0, counts.shape[0], step):
            reached = np.cumsum(counts[start : start + step, self.anatomy], axis=1)
            for column, share in enumerate(shares):
                place = share * (reached[:, -1] - 1.0)
                below = np.floor(place)
                low, high = self._number(reached, below), self._number(reached, np.ceil(place))
                found[start : start + step, column] = low + (place - below) * (high - low)
        return found

    def _number(self, reached: Floats, place: Floats) -> Floats:
        """The ray at an order number, from 0, of each draw."""
        return np.asarray(self.ordered[np.argmax(reached > place[:, None] + 0.5, axis=1)])
