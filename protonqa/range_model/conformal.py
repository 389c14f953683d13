"""Split-conformal intervals: asymmetric, scaled by the predicted spread, calibrated group by group.

Source: the finite-sample quantile of split conformal prediction, rank ceil((n + 1)(1 - alpha)); each side gets half of
alpha because the residuals are not symmetric (a biased predictor widens a symmetric interval by its bias). Rays of one
anatomy err together: where anatomies are named, a margin is the upper bound of that quantile over anatomies drawn anew.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from protonqa.errors import InputError
from protonqa.range_model.config import Settings
from protonqa.range_model.observables import OBSERVABLES

Floats = NDArray[np.float64]

#: Draws of the anatomies behind an upper bound, and their seed.
RESAMPLES, RESAMPLING_SEED = 200, 20

#: Names a group axis may carry: the observables and what the ensemble predicts.
PREDICTED = ("spread_mm", "disagreement_mm", "mixing")
AXIS_NAMES = (*OBSERVABLES, *PREDICTED)


class GroupAxis(Settings):
    """One observable cut into bins at inner `edges` (increasing)."""

    name: str
    edges: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> GroupAxis:
        if self.name not in AXIS_NAMES:
            raise ValueError(f"unknown group axis {self.name}, known are {AXIS_NAMES}")
        if any(b <= a for a, b in zip(self.edges[:-1], self.edges[1:], strict=True)):
            raise ValueError("group edges do not increase")
        return self


class GroupQuantiles(Settings):
    """Calibrated multiples of the spread below and above the prediction."""

    n: int = Field(ge=1)
    below: float
    above: float


class ConformalTable(Settings):
    """Quantiles by group. A group too small to be calibrated uses the group with its last axis left out, and so on."""

    alpha: float = Field(0.05, gt=0.0, lt=1.0)
    axes: tuple[GroupAxis, ...] = ()
    groups: dict[str, GroupQuantiles]

    def intervals(
        self, predicted_mm: Floats, below_mm: Floats, above_mm: Floats, observed: dict[str, Floats]
    ) -> tuple[Floats, Floats]:
        """Low and high R80 of each ray; `observed` holds a column per axis."""
        below, above = np.empty_like(predicted_mm), np.empty_like(predicted_mm)
        for row, key in enumerate(group_keys(self.axes, observed, predicted_mm.size)):
            entry = self.groups[self.resolve(key)]
            below[row], above[row] = entry.below, entry.above
        return predicted_mm - below * below_mm, predicted_mm + above * above_mm

    def resolve(self, key: tuple[int, ...]) -> str:
        """The calibrated group that serves `key`."""
        for length in range(len(key), -1, -1):
            name = group_name(key[:length])
            if name in self.groups:
                return name
        raise InputError("interval table has no group", expected="at least the group of all rays")


def group_name(key: tuple[int, ...]) -> str:
    """Text key of a group: ``all`` or bin numbers joined by ``/``."""
    return "/".join(str(k) for k in key) or "all"


def group_keys(axes: tuple[GroupAxis, ...], observed: dict[str, Floats], n: int) -> list[tuple[int, ...]]:
    """Bin numbers of each ray along the axes."""
    columns = [np.searchsorted(np.asarray(a.edges), observed[a.name], side="right") for a in axes]
    return [tuple(int(c[row]) for c in columns) for row in range(n)]


def rank_quantile(scores: Floats, miss: float) -> float:
    """The ceil((n + 1)(1 - miss))-th smallest score; infinite when n is too small to promise it."""
    n = scores.size
    rank = math.ceil((n + 1) * (1.0 - miss))
    if rank > n:
        return math.inf
    return float(np.partition(scores, rank - 1)[rank - 1])


def bounded_quantile(scores: Floats, anatomy: NDArray[np.int64], miss: float, confidence: float) -> float:
    """Upper bound of ``rank_quantile`` at a one-sided `confidence`, by drawing the anatomies anew.

    `anatomy` (n_ray,) numbers the anatomy of each score. Never below the quantile of the scores themselves.
    """
    own = rank_quantile(scores, miss)
    names, which = np.unique(anatomy, return_inverse=True)
    order = np.argsort(scores)
    rng = np.random.default_rng(RESAMPLING_SEED)
    counts = rng.multinomial(names.size, np.full(names.size, 1.0 / names.size), size=RESAMPLES)
    # Rank of each sorted score among the rays that a draw holds.
    held = np.cumsum(counts[:, which[order]], axis=1)
    wanted = np.ceil((held[:, -1] + 1) * (1.0 - miss))
    place = np.minimum((held < wanted[:, None]).sum(axis=1), scores.size - 1)
    return max(own, float(np.quantile(scores[order][place], confidence)))


def quantile_edges(values: Floats, count: int) -> tuple[float, ...]:
    """Inner edges that cut `values` into `count` bins of equal number; fewer where values repeat."""
    cuts = np.quantile(values, np.arange(1, count) / count) if count > 1 else np.empty(0)
    return tuple(float(c) for c in np.unique(cuts))


def fit_conformal(
    predicted_mm: Floats,
    below_mm: Floats,
    above_mm: Floats,
    true_mm: Floats,
    observed: dict[str, Floats],
    *,
    axes: tuple[GroupAxis, ...],
    alpha: float = 0.05,
    smallest_group: int = 200,
    shrinkage: float = 0.0,
    anatomy: NDArray[np.int64] | None = None,
    confidence: float = 0.5,
) -> ConformalTable:
    """Calibrate on rays of anatomies that training never saw.

    Parameters
    ----------
    predicted_mm, below_mm, above_mm, true_mm : (n_ray,)
        Prediction, its spread below and above (positive), truth.
    observed : column per axis, (n_ray,)
    smallest_group : int
        Groups with fewer rays fall back.
    shrinkage : float
        Rays that the group with its last axis left out counts for in a group's quantiles: a group of a few anatomies
        then neither promises too much nor hides behind one bad anatomy. 0 leaves each group to itself.
    anatomy : (n_ray,) int or None
        Number of the anatomy of each ray: margins are then bounded with `confidence` (one-sided) over the anatomies.

    Raises
    ------
    InputError
        Too few rays for the level asked.
    """
    if (below_mm <= 0).any() or (above_mm <= 0).any():
        raise InputError("predicted spread is not positive", expected="spreads above 0 mm")
    score_below = (predicted_mm - true_mm) / below_mm
    score_above = (true_mm - predicted_mm) / above_mm
    members: dict[str, list[int]] = {}
    for row, key in enumerate(group_keys(axes, observed, predicted_mm.size)):
        for length in range(len(key) + 1):
            members.setdefault(group_name(key[:length]), []).append(row)
    groups: dict[str, GroupQuantiles] = {}
    for name in sorted(members):
        rows = np.asarray(members[name])
        below, above = (
            rank_quantile(side[rows], alpha / 2)
            if anatomy is None
            else bounded_quantile(side[rows], anatomy[rows], alpha / 2, confidence)
            for side in (score_below, score_above)
        )
        if not (math.isfinite(below) and math.isfinite(above)) or (name != "all" and rows.size < smallest_group):
            continue
        groups[name] = GroupQuantiles(n=int(rows.size), below=below, above=above)
    if shrinkage > 0:
        groups = _shrunk(groups, shrinkage)
    if "all" not in groups:
        raise InputError(
            "too few calibration rays for the interval",
            got=f"{predicted_mm.size} rays",
            expected=f"at least {math.ceil(2 / alpha) - 1}",
        )
    return ConformalTable(alpha=alpha, axes=axes, groups=groups)


def _shrunk(groups: dict[str, GroupQuantiles], strength: float) -> dict[str, GroupQuantiles]:
    """Each group pulled towards the one with its last axis left out, outer groups first."""
    done: dict[str, GroupQuantiles] = {}
    for name in sorted(groups, key=lambda key: 0 if key == "all" else key.count("/") + 1):
        own = groups[name]
        if name == "all":
            done[name] = own
            continue
        parts = name.split("/")
        outer = next(done[key] for n in range(len(parts) - 1, -1, -1) if (key := "/".join(parts[:n]) or "all") in done)
        share = own.n / (own.n + strength)
        done[name] = GroupQuantiles(
            n=own.n,
            below=share * own.below + (1.0 - share) * outer.below,
            above=share * own.above + (1.0 - share) * outer.above,
        )
    return done
