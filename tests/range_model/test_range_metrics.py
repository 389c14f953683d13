"""Metrics against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.range_model.metrics import coverage, dose_errors, interval_width_mm, range_errors


def test_range_errors_by_hand() -> None:
    errors = range_errors(np.array([101.0, 98.0, 103.0, 100.0]), np.array([100.0, 100.0, 100.0, 100.0]))
    assert errors.n == 4
    assert errors.mean_mm == pytest.approx(0.5)
    # Deviations from the mean 0.5, -2.5, 2.5, -0.5: squares 0.25 + 6.25 + 6.25 + 0.25 = 13, over n - 1 = 3.
    assert errors.sd_mm == pytest.approx((13 / 3) ** 0.5)
    assert errors.mae_mm == pytest.approx(1.5)
    assert errors.median_mm == pytest.approx(1.5)
    assert errors.p95_mm == pytest.approx(2.85)


def test_the_sign_is_predicted_minus_true() -> None:
    assert range_errors(np.array([9.0, 9.0]), np.array([10.0, 10.0])).mean_mm == -1.0


def test_refused_rays_must_be_left_out_by_the_caller() -> None:
    with pytest.raises(InputError):
        range_errors(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(InputError):
        range_errors(np.array([]), np.array([]))


def test_dose_errors_by_hand() -> None:
    depth = np.arange(0.5, 40.0)
    true = np.where(depth < 20, 0.5, 0.0)
    true[19] = 1.0
    predicted = true * 3.0
    predicted[5] = 0.6 * 3.0
    found = dose_errors(depth, predicted[None], true[None], np.array([20.0]))
    # Scaled to their maxima the curves differ in one bin by 0.1, of 30 bins up to R80 + 10 mm.
    assert found.mae[0] == pytest.approx(0.1 / 30)
    # Relative: 0.1 / 0.5 in one of 20 bins above 10 %.
    assert found.mre_percent[0] == pytest.approx(100 * 0.2 / 20)
    assert found.mre_without_falloff_percent[0] == pytest.approx(100 * 0.2 / 20)


def test_a_shift_shows_in_the_falloff_only() -> None:
    depth = np.arange(0.25, 150, 0.5)
    true = 1 / (1 + np.exp((depth - 100) / 1.0))
    moved = 1 / (1 + np.exp((depth - 100.5) / 1.0))
    found = dose_errors(depth, moved[None], true[None], np.array([98.6]))
    assert found.mre_percent[0] > 5 * found.mre_without_falloff_percent[0]


def test_dose_curves_must_match() -> None:
    with pytest.raises(InputError, match="match"):
        dose_errors(np.arange(3.0), np.ones((1, 3)), np.ones((1, 4)), np.ones(1))
    with pytest.raises(InputError, match="maximum"):
        dose_errors(np.arange(3.0), np.ones((1, 3)), np.zeros((1, 3)), np.ones(1))


def test_coverage_and_width() -> None:
    low, high = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 3.0, 3.0, 7.0])
    assert coverage(low, high, np.array([0.5, 3.5, 2.0, 7.0])) == 0.75
    assert interval_width_mm(low, high) == 2.0
