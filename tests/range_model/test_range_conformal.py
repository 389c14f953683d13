"""Conformal intervals: the promise, the ranks, the groups."""

from __future__ import annotations

import math

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.range_model.conformal import (
    GroupAxis,
    bounded_quantile,
    fit_conformal,
    quantile_edges,
    rank_quantile,
)


def skewed(rng: np.random.Generator, n: int) -> tuple[np.ndarray, ...]:
    """Prediction, spreads, truth, noise level: biased, skewed, of unequal width."""
    noise = rng.random(n)
    truth = rng.uniform(50, 250, n)
    residual = (0.2 + noise) * (rng.exponential(1.0, n) - 0.3)
    spread = 0.3 + 0.7 * noise
    return truth - residual, spread, 0.5 * spread, truth, noise


@pytest.mark.parametrize("seed", [1, 2])
def test_coverage_on_exchangeable_data_is_what_was_promised(seed: int) -> None:
    rng = np.random.default_rng(seed)
    axes = (GroupAxis(name="noise", edges=(0.25, 0.5, 0.75)),)
    predicted, below, above, truth, noise = skewed(rng, 4000)
    table = fit_conformal(predicted, below, above, truth, {"noise": noise}, axes=axes)
    predicted, below, above, truth, noise = skewed(rng, 20_000)
    low, high = table.intervals(predicted, below, above, {"noise": noise})
    inside = (low <= truth) & (truth <= high)
    # Four binomial SDs of calibration (1000 a group) and test together.
    sd = math.sqrt(0.05 * 0.95 * (1 / 4000 + 1 / 20_000))
    assert abs(inside.mean() - 0.95) < 4 * sd
    for part in range(4):
        rows = (noise >= part / 4) & (noise < (part + 1) / 4)
        assert abs(inside[rows].mean() - 0.95) < 4 * math.sqrt(0.05 * 0.95 * (1 / 1000 + 1 / rows.sum()))


def test_intervals_are_asymmetric_where_the_residuals_are() -> None:
    predicted, below, _, truth, noise = skewed(np.random.default_rng(3), 4000)
    one = np.ones_like(below)
    table = fit_conformal(predicted, one, one, truth, {"noise": noise}, axes=())
    assert table.groups["all"].above > 3 * table.groups["all"].below


@pytest.mark.parametrize(("n", "miss", "rank"), [(99, 0.05, 95), (39, 0.025, 39), (199, 0.025, 195), (9, 0.1, 9)])
def test_the_rank_is_that_of_split_conformal(n: int, miss: float, rank: int) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert rank_quantile(scores, miss) == rank


def test_too_few_rays_promise_nothing() -> None:
    assert rank_quantile(np.arange(38.0), 0.025) == math.inf
    few = np.arange(10.0)
    with pytest.raises(InputError, match="too few"):
        fit_conformal(few, few + 1, few + 1, few, {}, axes=())


def test_few_anatomies_whose_rays_err_together_get_wider_margins() -> None:
    """Pooled rays of 24 anatomies promise too much for a new anatomy; bounded margins keep the promise on average."""

    def anatomies(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        which = np.repeat(np.arange(n), 30)
        return which, rng.normal(0, 1, n)[which] + 0.7 * rng.normal(0, 1, which.size)

    covered: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        which, error = anatomies(rng, 24)
        _, fresh = anatomies(rng, 200)
        zero, one = np.zeros_like(error), np.ones_like(error)
        for bounded in (False, True):
            table = fit_conformal(
                zero, one, one, error, {}, axes=(), anatomy=which if bounded else None, confidence=0.8
            )
            low, high = table.intervals(np.zeros(fresh.size), np.ones(fresh.size), np.ones(fresh.size), {})
            covered[bounded].append(float(((low <= fresh) & (fresh <= high)).mean()))
    assert np.mean(covered[False]) < 0.94
    assert np.mean(covered[True]) > np.mean(covered[False]) + 0.01
    assert 0.94 < np.mean(covered[True]) < 0.975


def test_many_anatomies_need_no_wider_margins() -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(0.0, 1.0, 20_000)
    own = rank_quantile(scores, 0.025)
    assert own <= bounded_quantile(scores, np.arange(20_000), 0.025, 0.8) < 1.02 * own


def test_a_small_group_uses_the_group_it_belongs_to() -> None:
    rng = np.random.default_rng(4)
    n = 2000
    spread, noise = rng.random(n), rng.random(n)
    predicted, truth = np.zeros(n), rng.normal(0, 1 + 3 * (spread > 0.5), n)
    axes = (GroupAxis(name="spread_mm", edges=(0.5,)), GroupAxis(name="noise", edges=(0.99,)))
    one = np.ones(n)
    table = fit_conformal(predicted, one, one, truth, {"spread_mm": spread, "noise": noise}, axes=axes)
    assert set(table.groups) == {"all", "0", "1", "0/0", "1/0"}
    assert table.resolve((1, 1)) == "1"
    assert table.resolve((7, 0)) == "all"
    assert table.groups["1"].above > 2 * table.groups["0"].above


def test_axes_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown"):
        GroupAxis(name="energy_mev", edges=(1.0,))
    with pytest.raises(ValueError, match="increase"):
        GroupAxis(name="noise", edges=(2.0, 1.0))
    with pytest.raises(InputError, match="spread"):
        fit_conformal(np.zeros(100), np.zeros(100), np.ones(100), np.zeros(100), {}, axes=())


def test_quantile_edges_cut_into_equal_parts() -> None:
    values = np.arange(100.0)
    edges = quantile_edges(values, 4)
    counts = np.bincount(np.searchsorted(np.array(edges), values, side="right"))
    assert counts.tolist() == [25, 25, 25, 25]
    assert quantile_edges(np.zeros(50), 4) == (0.0,)
    assert quantile_edges(values, 1) == ()
