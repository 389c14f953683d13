"""Estimates of the time left: none without evidence, none that flatters."""

from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protonqa.jobs.progress import JobProgress, Pace, duration_text

SECONDS = st.floats(0.0, 1e5)


def pace_of(*durations_s: float) -> Pace:
    pace = Pace()
    for one in durations_s:
        pace.add(one)
    return pace


def test_no_estimate_before_the_first_cell():
    assert pace_of().remaining_s(10, (3.0,), 1, 1) is None


def test_equal_cells_take_their_time_divided_among_the_workers():
    pace = pace_of(2.0, 2.0)
    assert pace.remaining_s(10, (), 0, 1) == pytest.approx(20.0)
    assert pace.remaining_s(10, (), 0, 4) == pytest.approx(5.0)
    assert pace.remaining_s(10, (1.0, 1.5), 2, 2) == pytest.approx((20.0 + 1.0 + 0.5) / 2)


def test_the_last_cell_takes_its_whole_time_however_many_workers_there_are():
    pace = pace_of(60.0)
    assert pace.remaining_s(1, (), 0, 16) == pytest.approx(60.0)
    assert pace.remaining_s(0, (10.0,), 1, 16) == pytest.approx(50.0)
    assert pace.remaining_s(0, (), 2, 16) == pytest.approx(60.0)


def test_one_outlier_does_not_move_the_estimate():
    assert pace_of(*[1.0] * 20, 3600.0).median_s() == 1.0


def test_running_cells_that_take_longer_than_the_finished_ones_count():
    """At the beginning only the quickest cells have finished: their median alone would promise too much."""
    assert pace_of(1.0).median_s((50.0, 60.0)) == 50.0


@given(done=st.lists(SECONDS, min_size=1, max_size=12), ages=st.lists(SECONDS, max_size=6))
def test_median_is_that_of_finished_and_late_cells_together(done, ages):
    plain = median(done)
    together = median(done + [age for age in ages if age > plain])
    assert pace_of(*done).median_s(ages) == pytest.approx(together)


@given(done=st.lists(SECONDS, min_size=1, max_size=9), ages=st.lists(SECONDS, max_size=4), waiting=st.integers(0, 50))
def test_estimates_are_never_negative_and_grow_with_the_work(done, ages, waiting):
    pace = pace_of(*done)
    now = pace.remaining_s(waiting, ages, len(ages), 4)
    more = pace.remaining_s(waiting + 4, ages, len(ages), 4)
    assert 0.0 <= now <= more + 1e-6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (44.6, "45 s"),
        (89.9, "90 s"),
        (90.0, "2 min"),
        (3000.0, "50 min"),
        (5400.0, "1.5 h"),
        (86400.0, "24.0 h"),
    ],
)
def test_durations_read_like_estimates(seconds, text):
    assert duration_text(seconds) == text


def test_text_of_a_running_and_of_a_finished_job():
    now = JobProgress(total=9, done=3, failed=1, running=2, elapsed_s=5.0, remaining_s=130.0)
    assert now.text() == "4 of 9 cells, 1 failed, about 2 min left"
    assert JobProgress(total=2, done=2, failed=0, running=0, elapsed_s=5.0, remaining_s=0.0).text() == "2 of 2 cells"
