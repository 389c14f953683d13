"""Scenarios: drawn first, stored, the same when read back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from protonqa.activity.scenario import (
    ActivityScenario,
    ScenarioRanges,
    activity_findings,
    activity_scenario,
    draw_scenarios,
)
from protonqa.errors import InputError
from protonqa.values import Timeline

RANGES = ScenarioRanges(
    washout="toramatsu-o15",
    irradiation_s=(30, 120),
    delay_s=(0, 600),
    acquisition_s=(300, 1800),
    positrons=True,
    positron_range=True,
    psf_fwhm_mm=(3, 7),
    noise="poisson",
    counts=(1e3, 1e5),
    window_lengths_mm=(100.0, 125.0, 150.0, float("inf")),
)
ONE_MINUTE = Timeline(irradiation_s=60, delay_s=120, acquisition_s=300)


def same(a: ActivityScenario, b: ActivityScenario) -> bool:
    return json.dumps(a.to_json()) == json.dumps(b.to_json())


def test_same_generator_same_scenarios() -> None:
    one, two = (draw_scenarios(RANGES, np.random.default_rng(3), n=50) for _ in range(2))
    assert same(one, two)
    assert not same(one, draw_scenarios(RANGES, np.random.default_rng(4), n=50))


def test_draws_fill_their_ranges() -> None:
    drawn = draw_scenarios(RANGES, np.random.default_rng(0), n=5000)
    assert drawn.n == 5000
    for name in ("irradiation_s", "delay_s", "acquisition_s", "psf_fwhm_mm", "counts"):
        low, high = getattr(RANGES, name)
        values = getattr(drawn, name)
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
    # Counts are even in their logarithm: half of them below the geometric mean.
    assert np.mean(drawn.counts < 1e4) == pytest.approx(0.5, abs=0.03)
    assert set(drawn.window_length_mm) == {100.0, 125.0, 150.0, np.inf}
    assert np.abs(drawn.window_jitter_mm).max() == pytest.approx(10, abs=0.02)
    assert np.unique(drawn.noise_seed).size == 5000


def test_json_round_trip_is_exact() -> None:
    drawn = draw_scenarios(RANGES, np.random.default_rng(1), n=4)
    text = json.dumps(drawn.to_json(), allow_nan=False)
    back = ActivityScenario.from_json(json.loads(text))
    assert same(drawn, back)
    np.testing.assert_array_equal(back.noise_seed, drawn.noise_seed)
    np.testing.assert_array_equal(back.washout.parameters()[0], drawn.washout.parameters()[0])


def test_a_row_can_be_taken_out() -> None:
    drawn = draw_scenarios(RANGES, np.random.default_rng(2), n=6)
    row = drawn.row(4)
    assert row.n == 1
    assert row.delay_s[0] == drawn.delay_s[4]
    assert row.noise_seed[0] == drawn.noise_seed[4]
    assert row.psf_fwhm_mm[0] == drawn.psf_fwhm_mm[4]
    np.testing.assert_array_equal(row.washout.parameters()[1][0], drawn.washout.parameters()[1][4])
    assert same(activity_scenario(ONE_MINUTE).row(0), activity_scenario(ONE_MINUTE))


def test_plain_numbers_make_one_row() -> None:
    scenario = activity_scenario(ONE_MINUTE, washout="mizuno-brain", counts=1e4, window_length_mm=125, seed=9)
    assert scenario.n == 1
    assert scenario.noise == "poisson"
    assert (scenario.irradiation_s[0], scenario.delay_s[0], scenario.acquisition_s[0]) == (60, 120, 300)
    assert activity_scenario(ONE_MINUTE).noise == "none"
    assert activity_scenario(None).raw
    assert np.isinf(activity_scenario(None).window_length_mm[0])


def test_scenarios_cannot_be_changed_behind_the_back() -> None:
    drawn = draw_scenarios(RANGES, np.random.default_rng(2), n=2)
    with pytest.raises(ValueError, match="read-only"):
        drawn.delay_s[0] = 1.0


def test_findings_name_what_is_assumed() -> None:
    codes = [f.code for f in activity_findings(draw_scenarios(RANGES, np.random.default_rng(0), n=1))]
    assert "WASHOUT-BORROWED" in codes
    assert "POSITRON-RANGE-WATER" in codes
    assert activity_findings(activity_scenario(ONE_MINUTE)) == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"noise": "gauss"}, "unknown noise"),
        ({"edge": "wrap"}, "unknown edge"),
        ({"window_anchor": "middle"}, "unknown window anchor"),
        ({"delay_s": np.array([-1.0])}, "delay_s is out of range"),
        ({"delay_s": np.array([np.nan])}, "delay_s is out of range"),
        ({"counts": np.array([0.0])}, "counts is out of range"),
        ({"counts": np.array([np.inf])}, "counts is out of range"),
        ({"window_length_mm": np.array([0.0])}, "window_length_mm is out of range"),
        ({"window_jitter_mm": np.array([np.inf])}, "window_jitter_mm is out of range"),
        ({"background_fraction": -0.1}, "background_fraction is out of range"),
        ({"smoothing_fwhm_mm": np.inf}, "smoothing_fwhm_mm is out of range"),
        ({"delay_s": np.zeros(2), "snr": np.ones(3)}, "does not match the rows"),
        ({"delay_s": np.zeros(2), "noise": "poisson"}, "own noise seed"),
        ({"noise_seed": np.zeros(3)}, "own noise seed"),
        ({"raw": True, "delay_s": np.ones(1)}, "raw activity"),
        ({"raw": True, "positrons": True}, "raw activity"),
    ],
)
def test_unusable_scenarios_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ActivityScenario(**fields)  # type: ignore[arg-type]


def test_more_refusals() -> None:
    with pytest.raises(InputError, match="raw activity"):
        activity_scenario(None, washout="parodi-hu")
    with pytest.raises(InputError, match="without a number of counts"):
        activity_scenario(ONE_MINUTE, noise="poisson")
    with pytest.raises(InputError, match="reaches zero"):
        draw_scenarios(ScenarioRanges(counts=(0, 10)), np.random.default_rng(0), n=1)
    washout = draw_scenarios(RANGES, np.random.default_rng(0), n=3).washout
    with pytest.raises(InputError, match="washout draws"):
        ActivityScenario(washout=washout, delay_s=np.zeros(4))
