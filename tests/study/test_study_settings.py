"""The study file: what is wrong in it is named with its line, and the template is a study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from protonqa.errors import InputError
from protonqa.range_model.scenarios import NAMED_SCENARIOS
from protonqa.study.conditions import Condition
from protonqa.study.perturb import draw_for, measured_rays
from protonqa.study.scenarios import scenarios_of
from protonqa.study.settings import METHODS, StudyConfig, load_study, study_from_text, study_template

RAYS = "rays: {set: training-set}\n"


def study(text: str, folder: Path = Path("/somewhere")) -> StudyConfig:
    return study_from_text(text, folder)


def test_template_is_a_study_whose_values_are_the_defaults():
    """A comment that promises another default than the program has would mislead every reader of the file."""
    shown = study(study_template())
    plain = study("rays: {twins: {seed: 1}}")
    for name in ("title", "seed", "methods", "named", "base", "tornado", "bootstrap", "line_rays", "worst_cases"):
        assert getattr(shown, name) == getattr(plain, name), name
    assert set(shown.methods) == set(METHODS)
    assert set(shown.named) == set(NAMED_SCENARIOS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RAYS + "sede: 3\n", ("'sede'", "line 2", "did you mean 'seed'")),
        ("rays: {set: a}\nbase:\n  delay: 3\n", ("'delay'", "base", "line 3", "did you mean 'delay_s'")),
        ("rays:\n  set: a\n  parts: test\n", ("'parts'", "line 3", "did you mean 'part'")),
        ("rays:\n  set: a\n  part: tset\n", ("part", "line 3")),
        (RAYS + "named: [raw, row]\n", ("row", "line 2")),
        (RAYS + "methods: [model, a50]\n", ("a50", "line 2")),
        (RAYS + "vary:\n  psf: [3]\n", ("unknown axis 'psf'", "psf_mm")),
        (RAYS + "vary:\n  psf_mm:\n    - 3\n    - -4\n", ("level 2 of axis 'psf_mm'", "line 5")),
        (RAYS + "grid:\n  washout: [none, toramatsu]\n", ("level 2 of axis 'washout'", "toramatsu-o15")),
        (RAYS + "base: {activity: frame}\n", ("acquisition_s above 0",)),
        (RAYS + "bootstrap: {resamples: 5}\n", ("resamples", "line 2")),
        ("rays: {set: a, twins: {seed: 1}}\n", ("exactly one of set, twins and profiles",)),
        ("seed: 1\n", ("'rays' is missing",)),
        (RAYS + "expected_washout: some\n", ("parodi-hu",)),
        (RAYS + "vary: {delay_s: !!python/object:os.system [1]}\n", ("tag", "line 2")),
        (RAYS + "grid: {delay_s: [1, 2], delay_s: [3]}\n", ("line 2",)),
    ],
)
def test_a_slip_is_named_with_its_line_and_what_would_be_right(text, words):
    with pytest.raises(InputError) as error:
        study(text)
    assert [word for word in words if word not in error.value.line()] == []


def test_a_grid_that_nobody_can_read_is_refused():
    many = ", ".join(str(i) for i in range(50))
    with pytest.raises(InputError, match="too large"):
        study(RAYS + f"grid: {{delay_s: [{many}], counts: [{many.replace('0,', '51,', 1)}]}}\n")


def test_paths_count_from_the_folder_of_the_file(tmp_path):
    tmp_path.joinpath("s.yaml").write_text("rays: {set: ../sets/a, lines: b}\nmodel: /m\n")
    found = load_study(tmp_path / "s.yaml")
    assert found.rays.set == (tmp_path.parent / "sets" / "a").resolve()
    assert (found.rays.lines, found.model, found.paper_protocol) == (tmp_path / "b", Path("/m"), None)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_study(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("raw", Condition()),
        ("raw, cross sections +-20 %", Condition(cross_section_error_percent=20.0, other_table_percent=50.0)),
        ("SNR 4 additive", Condition(noise="snr-additive")),
        ("SNR 4 multiplicative", Condition(noise="snr-multiplicative")),
        ("washout 5 min", Condition(activity="moment", washout="drawn", delay_s=300.0)),
        ("125 mm", Condition(window_mm=125.0)),
        ("125 mm + 5 min", Condition(activity="moment", washout="drawn", delay_s=300.0, window_mm=125.0)),
        ("no CT, raw", Condition(ct=False)),
    ],
)
def test_a_condition_means_what_the_named_scenario_means(name, condition, water_table):
    """Else a row of the grid and the row of the same name would be two different things."""
    both = scenarios_of(StudyConfig(rays={"set": "x"}, named=(name,), base=condition, vary={"delay_s": (9999.0,)}))
    draws = [draw_for(one, water_table, "a", 3) for one in both[:2]]
    named, base = (measured_rays(one, water_table, draw) for one, draw in zip(both, draws, strict=False))
    for field in type(base).__slots__:
        assert np.array_equal(getattr(base, field).numpy(), getattr(named, field).numpy()), field
    for field in ("noise", "channel_gain", "other_table", "rsp_factor"):
        assert np.array_equal(getattr(draws[0], field), getattr(draws[1], field)), field


def test_scenarios_come_in_the_order_of_the_report_and_without_the_base_twice():
    found = scenarios_of(
        StudyConfig(
            rays={"set": "x"},
            named=("raw",),
            base=Condition(snr=4.0),
            grid={"snr": (4.0, 8.0), "window_mm": (None, 125.0)},
            vary={"snr": (4.0, 20.0), "ct": (False,)},
        )
    )
    assert [one.name for one in found] == [
        "raw",
        "base",
        "grid: snr 4, window_mm whole",
        "grid: snr 4, window_mm 125",
        "grid: snr 8, window_mm whole",
        "grid: snr 8, window_mm 125",
        "vary: snr 20",
        "vary: ct no",
    ]
    assert [one.key for one in found] == [f"s{i:03d}" for i in range(8)]


def test_one_patient_meets_the_same_draws_in_every_scenario_and_another_meets_others(water_table):
    """Differences between scenarios are then differences of scenarios and not of draws."""
    noisy = Condition(noise="snr-additive", hu_error_percent=3.5, window_mm=125.0)
    found = scenarios_of(StudyConfig(rays={"set": "x"}, named=(), base=noisy, vary={"snr": (10.0,)}))
    one, other = (draw_for(scenario, water_table, "a", 3) for scenario in found)
    foreign = draw_for(found[0], water_table, "b", 3)
    for field in ("noise_seed", "rsp_factor", "window_end_mm"):
        assert np.array_equal(getattr(one, field), getattr(other, field))
        assert not np.array_equal(getattr(one, field), getattr(foreign, field))
    assert one.snr == pytest.approx(4.0)
    assert other.snr == pytest.approx(10.0)


def test_washout_models_are_varied_without_moving_any_other_draw(water_table):
    base = Condition(activity="moment", washout="drawn", delay_s=300.0, hu_error_percent=3.5)
    found = scenarios_of(StudyConfig(rays={"set": "x"}, named=(), base=base, vary={"washout": ("parodi-hu",)}))
    drawn, fixed = (draw_for(scenario, water_table, "a", 3) for scenario in found)
    assert np.array_equal(drawn.rsp_factor, fixed.rsp_factor)
    assert set(fixed.washout_name.tolist()) == {"parodi-hu"}
    assert set(drawn.washout_name.tolist()) > {"parodi-hu"}
    assert "none" not in set(drawn.washout_name.tolist())
    assert np.array_equal(drawn.washout["parodi-hu"].fraction_factors, fixed.washout["parodi-hu"].fraction_factors)


def test_a_proximal_window_keeps_the_first_millimetres_and_a_bias_moves_the_planning_ct(water_table):
    condition = Condition(window_mm=100.0, window_anchor="proximal", hu_bias_percent=-3.5)
    (scenario, *_) = scenarios_of(StudyConfig(rays={"set": "x"}, named=(), base=condition, vary={"ct": (False,)}))
    draw = draw_for(scenario, water_table, "a", 3)
    assert np.allclose(draw.window_end_mm + water_table.planned_r80_mm, 100.0)
    assert np.isneginf(draw.window_start_mm).all()
    assert np.allclose(draw.rsp_factor, 0.965)


def test_levels_are_checked_against_the_base():
    with pytest.raises(ValidationError):
        Condition().changed({"window_mm": -1.0})


@pytest.fixture(scope="module")
def water_table(water_set):
    from protonqa.range_model.shards import read_training_set

    return read_training_set(water_set)
