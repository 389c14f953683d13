"""The bootstrap over anatomies: how far a statistic would move with other patients.

Rays of one patient resemble each other, so anatomies are drawn anew, not rays. Intervals are bias-corrected and
accelerated (BCa; Efron, J Am Stat Assoc 82:171, 1987) unless percentile intervals are asked for, and both are widened
for the small number of anatomies by Student's t (Hesterberg, Am Stat 69:371, 2015).

Measured on synthetic anatomies of unequal size, nominal 95 %: the mean is held by 92 % of the intervals with 10
anatomies, 93 % with 30 and 94 % with 60. The SD and the 95th percentile of long-tailed errors, which few anatomies
decide, are held by 70 to 80 % with 15 anatomies and by 82 to 87 % with 30: the number of anatomies stands beside every
interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtrit

from protonqa.errors import InputError

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Method = Literal["bca", "percentile"]

#: Statistics of the rays in some rows, (n_statistic,).
Statistic = Callable[[Rows], Floats]
#: Statistics when each anatomy counts so often, (n_draw, n_anatomy) -> (n_draw, n_statistic).
CountStatistic = Callable[[Floats], Floats]

LEVEL = 0.95
RESAMPLES = 2000
# Sign patterns of up to this many anatomies are gone through one by one.
_EXACT_ANATOMIES = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A statistic with its interval over anatomies; NaN bounds where one anatomy is all there is."""

    value: float
    low: float
    high: float


def cluster_bootstrap(
    statistic: Statistic,
    anatomy: ArrayLike,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    method: Method = "bca",
) -> tuple[Interval, ...]:
    """Intervals of statistics when anatomies are drawn anew, all from the same draws.

    Parameters
    ----------
    statistic : Statistic
        Of an array of row numbers (with repetitions), some numbers.
    anatomy : (n_ray,)
        Name of the anatomy of each ray; the draws depend on the sorted names, not on the order of the rays.
    method : {"bca", "percentile"}

    Returns
    -------
    tuple of Interval
        One for each statistic. The bounds are NaN with a single anatomy.

    Raises
    ------
    InputError
        No rays, fewer than 100 resamples, a level outside 0 to 1, an unknown method.
    """
    members = rows_by_anatomy(anatomy)

    def by_counts(counts: Floats) -> Floats:
        picked = [np.repeat(np.arange(len(members)), row.astype(np.intp)) for row in counts]
        return np.array([statistic(np.concatenate([members[c] for c in some])) for some in picked])

    return counts_bootstrap(by_counts, len(members), seed=seed, resamples=resamples, level=level, method=method)


def counts_bootstrap(
    statistic: CountStatistic,
    n: int,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    method: Method = "bca",
) -> tuple[Interval, ...]:
    """As `cluster_bootstrap`, of a statistic that is told how often each of `n` anatomies counts.

    ``resamples`` 0 gives the values without intervals.

    Raises
    ------
    InputError
        Fewer than 100 resamples, a level outside 0 to 1, an unknown method.
    """
    if method not in ("bca", "percentile") or 0 < resamples < 100 or resamples < 0 or not 0 < level < 1:
        raise InputError(
            "bootstrap cannot be done so",
            got=f"{method}, {resamples} resamples, level {level:g}",
            expected="bca or percentile, 100 resamples or more, a level between 0 and 1",
        )
    value = statistic(np.ones((1, n)))[0]
    if n < 2 or resamples == 0:
        return tuple(Interval(value=float(v), low=np.nan, high=np.nan) for v in value)
    picked = np.random.default_rng(seed).integers(0, n, (resamples, n))
    counts = np.zeros((resamples, n))
    np.add.at(counts, (np.arange(resamples)[:, None], picked), 1.0)
    drawn = statistic(counts)
    z = _reach(level, n) * np.array([-1.0, 1.0])
    tails = np.tile(ndtr(z), (value.size, 1))
    if method == "bca":
        tails = _bca_tails(drawn, value, statistic(np.ones((n, n)) - np.eye(n)), z)
    bounds = [_bounds(drawn[:, k], tails[k]) for k in range(value.size)]
    return tuple(
        Interval(value=float(v), low=float(b[0]), high=float(b[1])) for v, b in zip(value, bounds, strict=True)
    )


def _bounds(drawn: Floats, tails: Floats) -> Floats:
    """Quantiles of the draws that gave a number: a few anatomies can be without any plateau."""
    finite = drawn[np.isfinite(drawn)]
    usable = finite.size > 0 and bool(np.isfinite(tails).all())
    return np.quantile(finite, tails) if usable else np.full(2, np.nan)


def sign_flip_p(sums: Floats, *, seed: int, resamples: int = RESAMPLES) -> float:
    """Share of sign patterns of the anatomies' sums whose total is at least as far from zero; two-sided.

    All patterns are gone through up to 14 anatomies, `resamples` drawn ones beyond.
    """
    n = sums.size
    if n <= _EXACT_ANATOMIES:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        exact = np.abs(signs @ sums) >= np.abs(sums.sum()) * (1 - 1e-12)
        return float(exact.mean())
    signs = np.random.default_rng([seed, 1]).choice([-1.0, 1.0], size=(resamples, n))
    extreme = np.abs(signs @ sums) >= np.abs(sums.sum()) * (1 - 1e-12)
    # The pattern that was observed is one of all.
    return float((extreme.sum() + 1) / (resamples + 1))


def rows_by_anatomy(anatomy: ArrayLike) -> list[Rows]:
    """Rows of each anatomy, anatomies in the order of their names.

    Raises
    ------
    InputError
        No rays, or names that are not one for each.
    """
    names = np.asarray(anatomy)
    if names.ndim != 1 or names.size == 0:
        raise InputError("no rays to make statistics of", expected="at least one ray with its anatomy")
    return [np.flatnonzero(names == name) for name in sorted(set(names.tolist()))]


def _reach(level: float, n: int) -> float:
    """Half the interval in standard deviations of the draws: as wide as Student's t asks for with `n` anatomies."""
    return float(np.sqrt(n / (n - 1)) * stdtrit(n - 1, 0.5 * (1 + level)))


def _bca_tails(drawn: Floats, value: Floats, left_out: Floats, z: Floats) -> Floats:
    """Quantiles to be read from the draws, corrected for median bias and for variance that follows the value."""
    below = (drawn < value).mean(axis=0) + 0.5 * (drawn == value).mean(axis=0)
    edge = 0.5 / drawn.shape[0]
    z0 = ndtri(np.clip(below, edge, 1 - edge))
    gap = left_out.mean(axis=0) - left_out
    scale = (gap**2).sum(axis=0) ** 1.5
    acceleration = np.divide((gap**3).sum(axis=0), 6.0 * scale, out=np.zeros(scale.shape), where=scale > 0)
    moved = z0[:, None] + z
    return np.asarray(ndtr(z0[:, None] + moved / np.maximum(1.0 - acceleration[:, None] * moved, 1e-6)))
