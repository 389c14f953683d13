"""Control charts against published figures, closed forms, hand calculation and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protonqa.errors import InputError, NotEvaluableError
from protonqa.store.trend.charts import CUSUM_DOWN, CUSUM_UP, MOVING_RANGE, ChartSettings, control_charts
from protonqa.store.trend.cusum import cusum, cusum_run_length
from protonqa.store.trend.individuals import (
    RANGE_LIMIT,
    RANGE_MEAN,
    RANGE_SD,
    RULES,
    baseline_limits,
    lag_one_correlation,
    moving_ranges,
    range_false_alarms,
    range_flags,
    rule_flags,
)
from protonqa.store.trend.run_length import false_alarms, run_length

ONE, TWO, FOUR, EIGHT = RULES.values()


@pytest.mark.parametrize(
    ("rules", "in_control", "shifted"),
    [
        ((ONE,), 370.40, 43.89),
        ((ONE, TWO), 225.44, 20.01),
        ((ONE, FOUR), 166.05, 12.66),
        ((ONE, EIGHT), 152.73, 14.58),
        ((ONE, TWO, FOUR), 132.89, None),
        ((ONE, TWO, EIGHT), 122.05, None),
        ((ONE, FOUR, EIGHT), 105.78, None),
        ((ONE, TWO, FOUR, EIGHT), 91.75, 9.22),
    ],
)
def test_run_lengths_are_those_of_champ_and_woodall(rules, in_control, shifted):
    """Technometrics 29 (1987) 393, table 1: no shift, and a shift of one SD."""
    assert run_length(rules) == pytest.approx(in_control, abs=0.006)
    if shifted is not None:
        assert run_length(rules, 1.0) == pytest.approx(shifted, abs=0.006)


@pytest.mark.parametrize(
    ("h", "lengths"),
    [
        (4.0, {0.0: 168, 0.25: 74.2, 0.5: 26.6, 0.75: 13.3, 1.0: 8.38, 1.5: 4.75, 2.0: 3.34, 3.0: 2.19}),
        (5.0, {0.0: 465, 0.25: 139, 0.5: 38.0, 0.75: 17.0, 1.0: 10.4, 1.5: 5.75, 2.0: 4.01, 3.0: 2.57}),
    ],
)
def test_cusum_run_lengths_are_those_of_lucas_and_crosier(h, lengths):
    """Technometrics 24 (1982) 199, two-sided, k = 0.5, no head start; given to three digits."""
    for shift, length in lengths.items():
        assert cusum_run_length(0.5, h, shift) == pytest.approx(length, rel=0.005)
        assert cusum_run_length(0.5, h, -shift) == pytest.approx(cusum_run_length(0.5, h, shift))


def test_run_length_of_one_rule_is_one_over_its_probability():
    assert run_length([ONE]) == pytest.approx(1.0 / math.erfc(3.0 / math.sqrt(2.0)))


def test_constants_of_ranges_of_two_are_those_of_the_tables():
    """d2, d3 and D4 for n = 2 as every table of control charts has them."""
    assert (round(RANGE_MEAN, 3), round(RANGE_SD, 3), round(RANGE_LIMIT, 3)) == (1.128, 0.853, 3.267)


def first_flags(flagged):
    """Mean place of the first flag of each row, and its standard error."""
    assert flagged.any(axis=1).all()
    places = flagged.argmax(axis=1) + 1.0
    return places.mean(), places.std() / math.sqrt(len(places))


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_flags_come_as_often_as_the_chain_of_states_says(shift):
    """The rules as they judge real points, against the rules as the chain counts them."""
    z = np.random.default_rng(5).normal(shift, 1.0, (4000, 150))
    flagged = np.logical_or.reduce([rule_flags(z, rule) for rule in RULES.values()])
    mean, error = first_flags(flagged)
    assert mean == pytest.approx(run_length(list(RULES.values()), shift), abs=5 * error)
    mean, error = first_flags(cusum(z, 0.5, 5.0)[2])
    assert mean == pytest.approx(cusum_run_length(0.5, 5.0, shift), abs=5 * error)


def test_false_alarms_in_control_come_as_often_as_stated():
    """Gaps between alarms that begin anew are nearly exponential, so few are lost at the end of a series."""
    z = np.random.default_rng(6).standard_normal((400, 1000))
    alarms = cusum(z, 0.5, 4.0)[2].sum()
    assert z.size / alarms == pytest.approx(cusum_run_length(0.5, 4.0), rel=5 / math.sqrt(alarms))
    beyond = rule_flags(z, ONE).mean()
    assert beyond == pytest.approx(1 / run_length([ONE]), rel=5 / math.sqrt(z.size * beyond))
    ranges = range_flags(moving_ranges(z))[:, 1:].mean()
    assert ranges == pytest.approx(range_false_alarms(), rel=8 / math.sqrt(z.size * ranges))


def test_first_alarms_in_control_are_those_of_the_chain():
    """Run lengths are skewed: the mean needs series long enough for nearly all to end."""
    z = np.random.default_rng(7).standard_normal((1500, 700))
    flagged = np.logical_or.reduce([rule_flags(z, rule) for rule in RULES.values()])
    flagged[:, -1] = True
    mean, error = first_flags(flagged)
    assert mean == pytest.approx(run_length(list(RULES.values())), abs=5 * error)


def test_limits_from_few_points_raise_more_false_alarms_than_known_ones():
    few, many = (false_alarms(size, 20, 5) for size in (10, 400))
    assert few.per_point > 2 * many.per_point
    # With a long baseline the share nears that of known limits: rules, ranges and CUSUM overlap a little.
    known = 1 / run_length(list(RULES.values())) + range_false_alarms() + 1 / cusum_run_length(0.5, 5.0)
    assert 0.6 * known < many.per_point < 1.6 * known
    assert many.per_window < 5 * many.per_point
    assert false_alarms(10, 20, 5) == few


def test_rules_flag_by_hand():
    """A point is flagged where the rule is fulfilled and the point itself lies in its zone."""
    assert rule_flags(np.array([3.0, 3.01, -3.5]), ONE).tolist() == [False, True, True]
    assert rule_flags(np.array([2.1, 0.0, 2.1, 0.0, 2.1]), TWO).tolist() == [False, False, True, False, True]
    assert rule_flags(np.array([2.1, -2.1, 2.1, 1.9]), TWO).tolist() == [False, False, True, False]
    assert rule_flags(np.array([1.1, 1.1, 0.0, 1.1, 1.1, 0.0]), FOUR).tolist() == [False] * 4 + [True, False]
    assert rule_flags(np.array([0.1] * 9 + [-0.1]), EIGHT).tolist() == [False] * 7 + [True, True, False]
    assert rule_flags(np.array([0.1] * 4 + [0.0] + [0.1] * 7), EIGHT).tolist() == [False] * 12


def test_cusum_by_hand():
    """Page's sums with k = 0.5 and h = 2; after the alarm both begin at zero again."""
    upper, lower, alarms = cusum(np.array([1.0, 2.0, 1.0, 1.0, -1.0, -3.0]), 0.5, 2.0)
    assert upper.tolist() == [0.5, 2.0, 2.5, 0.5, 0.0, 0.0]
    assert lower.tolist() == [0.0, 0.0, 0.0, 0.0, 0.5, 3.0]
    assert alarms.tolist() == [False, False, True, False, False, True]


def test_limits_by_hand():
    limits = baseline_limits(np.array([1.0, 2.0, 4.0, 3.0]))
    assert limits.centre == 2.5
    assert limits.range_mean == pytest.approx(4.0 / 3.0)
    assert limits.sd == pytest.approx(4.0 / 3.0 / 1.1283792)
    assert limits.high - limits.centre == pytest.approx(2.66 * 4.0 / 3.0, rel=1e-3)
    assert limits.range_high == pytest.approx(3.267 * 4.0 / 3.0, rel=1e-3)
    assert limits.centre - limits.low == pytest.approx(limits.high - limits.centre)


SERIES = hnp.arrays(np.float64, st.integers(12, 40), elements=st.floats(-100, 100).map(lambda x: round(x, 2)))


@given(values=SERIES, factor=st.floats(0.01, 100), offset=st.floats(-1000, 1000))
def test_a_change_of_unit_or_origin_changes_no_verdict(values, factor, offset):
    try:
        charts = control_charts(values, 10, ChartSettings())
    except NotEvaluableError:
        return
    if _near_an_edge(charts):
        return
    other = control_charts(factor * values + offset, 10, ChartSettings())
    assert other.flags == charts.flags
    mirrored = control_charts(-values, 10, ChartSettings())
    swap = {CUSUM_UP: CUSUM_DOWN, CUSUM_DOWN: CUSUM_UP}
    assert [{swap.get(name, name) for name in flags} for flags in mirrored.flags] == [set(one) for one in charts.flags]


def _near_an_edge(charts):
    """Rounding decides there, and may decide differently in another unit."""
    edges = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
    near = np.abs(charts.z[:, None] - edges).min() < 1e-6
    sums = np.concatenate([charts.upper, charts.lower])
    ranges = charts.ranges / charts.limits.sd - RANGE_LIMIT * RANGE_MEAN
    return near or np.abs(sums - charts.settings.h).min() < 1e-6 or np.abs(ranges).min() < 1e-6


def test_a_shift_after_the_baseline_is_found_and_its_rules_named():
    rng = np.random.default_rng(1)
    values = rng.normal(0.2, 0.5, 60)
    values[50:] += 2.0
    charts = control_charts(values, 40, ChartSettings())
    assert not charts.in_control
    names = {name for index in charts.flagged_recently for name in charts.flags[index]}
    assert CUSUM_UP in names or "beyond-3" in names
    assert CUSUM_DOWN not in names
    assert MOVING_RANGE in charts.flags[50]


def test_the_verdict_rests_on_recent_points_alone():
    values = np.tile([0.0, 1.0, 0.5, -0.5, -1.0], 6)
    values[12] = 30.0
    charts = control_charts(values, 10, ChartSettings(recent=5))
    assert "beyond-3" in charts.flags[12]
    assert charts.in_control
    assert not control_charts(values, 10, ChartSettings(recent=18)).in_control


def test_flags_within_the_baseline_never_decide():
    values = np.tile([0.0, 1.0, 0.5, -0.5, -1.0], 5)
    values[3] = 9.0
    charts = control_charts(values, 20, ChartSettings(recent=1000))
    assert charts.flags[3]
    assert charts.in_control


@pytest.mark.parametrize(
    ("values", "baseline", "line"),
    [
        (np.arange(7.0), 7, "too few points for limits, got 7, expected 8 or more"),
        (np.arange(8.0), 8, "no point after the baseline"),
        (np.full(30, 0.1), 20, "does not vary"),
        (np.append(0.3 + 1e-16 * np.arange(20), 5.0), 20, "does not vary"),
    ],
)
def test_what_sets_no_limits_gives_no_verdict(values, baseline, line):
    with pytest.raises(NotEvaluableError, match=line):
        control_charts(values, baseline, ChartSettings())


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="unknown rule"):
        ChartSettings(rules=("beyond-4",))
    for wrong in ({"k": 0.0}, {"h": 0.5}, {"recent": 0}):
        with pytest.raises(InputError):
            ChartSettings(**wrong)


def test_neighbours_that_follow_each_other_are_noticed():
    rng = np.random.default_rng(2)
    assert abs(lag_one_correlation(rng.standard_normal(2000))) < 0.1
    assert lag_one_correlation(np.cumsum(rng.standard_normal(2000))) > 0.9
    assert lag_one_correlation(np.zeros(5)) == 0.0
