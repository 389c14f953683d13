"""Statistics of the tables: by hand, against another implementation, and at their nominal rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, norm
from scipy.stats import t as student

from protonqa.errors import InputError
from protonqa.range_model.metrics import dose_errors, range_errors
from protonqa.study.bootstrap import cluster_bootstrap, sign_flip_p
from protonqa.study.statistics import compare, coverage_by_subgroup, method_statistics
from protonqa.study.tornado import ScenarioRow, tornado


def clustered(rng: np.random.Generator, n_anatomy: int, mean: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Values that share an effect of their anatomy, of unequal numbers of rays."""
    size = rng.integers(2, 9, n_anatomy)
    names = np.repeat(np.array([f"a{i:03d}" for i in range(n_anatomy)]), size)
    return mean + np.repeat(rng.normal(size=n_anatomy), size) + 0.4 * rng.normal(size=names.size), names


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_intervals_over_anatomies_hold_a_known_mean_at_the_nominal_rate(method):
    """95 %, of which 40 anatomies cost a percent or two; rays as if they were independent hold it far too seldom."""
    held, naive, n = 0, 0, 300
    for trial in range(n):
        values, names = clustered(np.random.default_rng([2, trial]), 40)

        def mean(rows: np.ndarray, values: np.ndarray = values) -> np.ndarray:
            return np.array([values[rows].mean()])

        (over,) = cluster_bootstrap(mean, names, seed=trial, resamples=300, method=method)
        held += over.low <= 0.7 <= over.high
        half = 1.96 * values.std(ddof=1) / np.sqrt(values.size)
        naive += abs(values.mean() - 0.7) <= half
    assert 0.91 <= held / n <= 0.98
    assert naive / n < 0.8


def test_bca_agrees_with_an_independent_implementation():
    """One ray per anatomy is the ordinary bootstrap, at the level that Student's t asks of 60 values.

    A skewed sample parts BCa from percentile.
    """
    values = np.random.default_rng(0).exponential(size=60)
    names = np.arange(60)

    def mean(rows: np.ndarray) -> np.ndarray:
        return np.array([values[rows].mean()])

    (ours,) = cluster_bootstrap(mean, names, seed=1, resamples=20000)
    (plain,) = cluster_bootstrap(mean, names, seed=1, resamples=20000, method="percentile")
    level = 2 * norm.cdf(np.sqrt(60 / 59) * student.ppf(0.975, 59)) - 1
    theirs = bootstrap(
        (values,), np.mean, method="BCa", confidence_level=level, n_resamples=20000, rng=np.random.default_rng(2)
    )
    low, high = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.01)
    assert abs(plain.high - high) > 0.02


def test_draws_follow_the_seed_and_not_the_order_of_the_rays():
    rng = np.random.default_rng(3)
    values, names = clustered(rng, 12)
    order = rng.permutation(values.size)
    zero = np.zeros(values.size)
    first = method_statistics(values, zero, names, seed=5, resamples=300)
    again = method_statistics(values[order], zero, names[order], seed=5, resamples=300)
    other = method_statistics(values, zero, names, seed=6, resamples=300)
    for name, interval in first.values.items():
        same = again.values[name]
        assert (interval.value, interval.low, interval.high) == pytest.approx(
            (same.value, same.low, same.high), rel=1e-9
        )
    assert first.values["mean_mm"].low != other.values["mean_mm"].low


def test_a_row_of_the_table_by_hand():
    true = np.full(6, 100.0)
    predicted = np.array([101.0, 98.0, 103.0, 100.0, 110.0, np.nan])
    answered = np.array([True, True, True, True, False, False])
    row = method_statistics(
        predicted,
        true,
        np.array(list("aabbcc")),
        answered=answered,
        low_mm=predicted - 1.5,
        high_mm=predicted + 1.5,
        seed=0,
        resamples=200,
    )
    assert (row.n_ray, row.n_anatomy) == (6, 3)
    assert row.answered == pytest.approx(4 / 6)
    assert row.refused_mae_mm == pytest.approx(10.0)
    errors = range_errors(predicted[:4], true[:4])
    assert row.values["mean_mm"].value == pytest.approx(errors.mean_mm)
    assert row.values["sd_mm"].value == pytest.approx((13 / 3) ** 0.5)
    assert row.values["p95_mm"].value == pytest.approx(2.85)
    assert row.values["coverage"].value == pytest.approx(0.5)
    assert row.values["width_mm"].value == pytest.approx(3.0)
    assert all(i.low <= i.value <= i.high for k, i in row.values.items() if k in ("mean_mm", "mae_mm", "width_mm"))


def test_dose_errors_join_the_row():
    depth = np.arange(0.5, 150.0)
    true = 1 / (1 + np.exp((depth - 100) / 1.5))[None].repeat(4, axis=0)
    moved = 1 / (1 + np.exp((depth[None] - 100 - np.array([[0.0], [0.5], [1.0], [-1.0]])) / 1.5))
    dose = dose_errors(depth, moved, true, np.full(4, 98.0))
    row = method_statistics(np.zeros(4), np.zeros(4), list("abcd"), dose=dose, seed=0, resamples=200)
    assert row.values["dose_mae"].value == pytest.approx(dose.mae.mean())
    assert row.values["dose_mre_percent"].value == pytest.approx(dose.mre_percent.mean())
    assert row.values["dose_mre_without_falloff_percent"].value < row.values["dose_mre_percent"].value


def test_nothing_answered_is_a_row_without_numbers_and_one_anatomy_has_no_interval():
    none = method_statistics(np.full(3, np.nan), np.zeros(3), list("abc"), seed=0)
    assert (none.answered, none.values, none.refused_mae_mm) == (0.0, {}, None)
    alone = method_statistics(np.arange(3.0), np.zeros(3), list("aaa"), seed=0).values["mae_mm"]
    assert alone.value == pytest.approx(1.0)
    assert np.isnan([alone.low, alone.high]).all()


def test_coverage_and_width_of_each_subgroup():
    rng = np.random.default_rng(4)
    n = 400
    true = rng.normal(size=n)
    group = np.array(["flat", "heterogeneous"])[np.arange(n) % 2]
    wide = np.where(group == "flat", 2.0, 0.5)
    anatomy = np.array([f"a{i % 25}" for i in range(n)])
    rows = coverage_by_subgroup(-wide, wide, true, group, anatomy, seed=1, resamples=300)
    assert [r.subgroup for r in rows] == ["flat", "heterogeneous"]
    assert [r.width_mm.value for r in rows] == pytest.approx([4.0, 1.0])
    assert rows[0].coverage.value == pytest.approx(0.954, abs=0.03)
    assert rows[1].coverage.value == pytest.approx(0.383, abs=0.08)
    assert all(r.coverage.low <= r.coverage.value <= r.coverage.high for r in rows)
    assert (rows[0].n_ray, rows[0].n_anatomy) == (200, 25)


def test_methods_are_compared_on_the_rays_that_both_answered():
    true = np.zeros(5)
    first = np.array([1.0, -1.0, 1.0, np.nan, 9.0])
    second = np.array([2.0, -2.0, 3.0, 1.0, np.nan])
    found = compare(first, second, true, list("abccc"), seed=0, resamples=200)
    assert (found.n_ray, found.n_anatomy) == (3, 3)
    assert found.difference_mm.value == pytest.approx(1.0 - 7 / 3)
    assert found.ratio.value == pytest.approx(7 / 3)
    # Three anatomies, all for the first: 2 of 8 sign patterns are as extreme.
    assert found.p_value == pytest.approx(0.25)


def test_sign_flips_by_hand_and_at_their_nominal_rate():
    assert sign_flip_p(np.array([3.0, -1.0]), seed=0) == pytest.approx(1.0)
    assert sign_flip_p(np.array([3.0, 1.0]), seed=0) == pytest.approx(0.5)
    rng = np.random.default_rng(7)
    few = np.array([sign_flip_p(rng.normal(size=10), seed=i) for i in range(300)])
    many = np.array([sign_flip_p(rng.normal(size=40), seed=i, resamples=200) for i in range(300)])
    for p in (few, many):
        assert (p <= 0.1).mean() == pytest.approx(0.1, abs=0.055)


def test_a_better_method_is_called_better_and_equal_ones_are_not():
    rng = np.random.default_rng(8)
    anatomy = np.repeat(np.arange(25), 8)
    good, bad, same = (s * rng.normal(size=200) for s in (0.3, 1.0, 0.3))
    better = compare(good, bad, np.zeros(200), anatomy, seed=2, resamples=500)
    assert better.difference_mm.high < 0
    assert better.ratio.low > 2
    assert better.p_value < 0.01
    equal = compare(good, same, np.zeros(200), anatomy, seed=2, resamples=500)
    assert equal.difference_mm.low < 0 < equal.difference_mm.high
    assert equal.p_value > 0.05


def test_wrong_use_of_the_statistics_is_an_error():
    ok = np.zeros(3)
    with pytest.raises(InputError, match="do not match"):
        method_statistics(ok, np.zeros(4), list("abc"), seed=0)
    with pytest.raises(InputError):
        method_statistics(np.array([1.0, np.nan, 2.0]), ok, list("abc"), answered=np.ones(3, dtype=bool), seed=0)
    with pytest.raises(InputError, match="not finite"):
        coverage_by_subgroup(ok, np.array([1.0, np.nan, 1.0]), ok, list("ggg"), list("abc"), seed=0)
    with pytest.raises(InputError, match="both"):
        compare(ok * np.nan, ok, ok, list("abc"), seed=0)
    with pytest.raises(InputError, match="bootstrap"):
        method_statistics(ok, ok, list("abc"), seed=0, resamples=10)
    with pytest.raises(InputError, match="no rays"):
        cluster_bootstrap(lambda _: np.zeros(1), [], seed=0)


BASE = {"delay_s": 300, "psf_mm": 0, "washout": "none"}


def rows() -> list[ScenarioRow]:
    return [
        ScenarioRow(levels=BASE, value=0.5),
        ScenarioRow(levels={**BASE, "delay_s": 900}, value=0.9),
        ScenarioRow(levels={**BASE, "delay_s": 0}, value=0.4),
        ScenarioRow(levels={**BASE, "psf_mm": 7}, value=0.52),
        ScenarioRow(levels={**BASE, "washout": "mizuno-brain"}, value=1.4),
        ScenarioRow(levels={**BASE, "washout": "mizuno-brain"}, value=1.6),
        ScenarioRow(levels={**BASE, "washout": "mizuno-brain", "delay_s": 900}, value=9.0),
    ]


def test_tornado_orders_factors_by_what_each_does_alone():
    bars = tornado(rows(), BASE)
    assert [(b.factor, pytest.approx(b.swing)) for b in bars] == [("washout", 1.0), ("delay_s", 0.5), ("psf_mm", 0.02)]
    delay = bars[1]
    assert (delay.low_level, delay.low_value, delay.high_level, delay.high_value) == (0, 0.4, 900, 0.9)
    assert (delay.base_value, delay.base_level, delay.levels) == (0.5, 300, 3)
    assert (bars[0].low_level, bars[0].high_level) == ("none", "mizuno-brain")
    assert tornado(rows()[::-1], BASE) == bars


def test_tornado_needs_its_base_and_whole_rows():
    with pytest.raises(InputError, match="base"):
        tornado(rows()[1:], BASE)
    with pytest.raises(InputError, match="other factors"):
        tornado([ScenarioRow(levels={"delay_s": 1}, value=0.0)], BASE)
    with pytest.raises(InputError, match="finite"):
        tornado([ScenarioRow(levels=BASE, value=np.nan)], BASE)
