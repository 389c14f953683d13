"""Sums and quantiles by anatomy are those of the rays repeated one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.errors import InputError
from protonqa.study.bootstrap import cluster_bootstrap, counts_bootstrap
from protonqa.study.resampling import Anatomies, Quantiles


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(-5, 5)), min_size=1, max_size=30),
    st.lists(st.integers(0, 4), min_size=5, max_size=5),
)
def test_quantiles_by_counts_are_those_of_the_repeated_rays(rays, times):
    names, values = np.array([name for name, _ in rays]), np.array([value for _, value in rays])
    anatomies = Anatomies.of(names)
    counts = np.array(times, dtype=float)[np.unique(names)]
    if counts.sum() == 0:
        counts[0] = 1.0
    repeated = np.repeat(values, counts[anatomies.number].astype(int))
    found = Quantiles.of(values, anatomies).at(counts[None], (0.5, 0.95))[0]
    assert found == pytest.approx(np.quantile(repeated, [0.5, 0.95]), abs=1e-12)
    assert float(counts @ anatomies.sums(values)) == pytest.approx(repeated.sum(), abs=1e-9)


def test_many_draws_are_taken_in_pieces(monkeypatch, clustered):
    values, names = clustered
    anatomies = Anatomies.of(names)
    counts = np.random.default_rng(0).integers(0, 3, (40, anatomies.count)).astype(float) + 1
    whole = Quantiles.of(values, anatomies).at(counts, (0.95,))
    monkeypatch.setattr("protonqa.study.resampling._AT_ONCE", 7 * values.size)
    assert np.array_equal(Quantiles.of(values, anatomies).at(counts, (0.95,)), whole)


def test_both_ways_of_the_bootstrap_agree(clustered):
    values, names = clustered
    anatomies = Anatomies.of(names)
    sums, sizes = anatomies.sums(values), anatomies.sums(np.ones(values.size))
    (by_rows,) = cluster_bootstrap(lambda rows: np.array([values[rows].mean()]), names, seed=4, resamples=300)
    (by_counts,) = counts_bootstrap(
        lambda counts: (counts @ sums / (counts @ sizes))[:, None], anatomies.count, seed=4, resamples=300
    )
    assert (by_counts.value, by_counts.low, by_counts.high) == pytest.approx(
        (by_rows.value, by_rows.low, by_rows.high), rel=1e-9
    )


def test_no_resamples_gives_values_without_intervals_and_too_few_are_refused():
    (plain,) = counts_bootstrap(lambda counts: counts.sum(axis=1)[:, None], 4, seed=0, resamples=0)
    assert plain.value == 4.0
    assert np.isnan([plain.low, plain.high]).all()
    with pytest.raises(InputError, match="100 resamples or more"):
        counts_bootstrap(lambda counts: counts, 4, seed=0, resamples=20)
