"""Washout parameters: the published numbers, tissue edges, draws."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.activity import washout as module
from protonqa.activity.washout import (
    COMPONENTS,
    WashoutScenario,
    draw_washout,
    tissue_classes,
    tissue_index,
    washout_findings,
    washout_model,
    washout_names,
)
from protonqa.errors import CalibrationError, InputError
from protonqa.physics.nuclides import NUCLIDE_KEYS

CARBON = [NUCLIDE_KEYS.index(k) for k in ("c11", "c10")]
OTHERS = [NUCLIDE_KEYS.index(k) for k in ("n13", "o15", "o14", "p30", "k38")]


def half_lives_s(model: str, tissue: int = 0, nuclide: int = 0) -> np.ndarray:
    return np.log(2) / washout_model(model).rates_per_s[tissue, nuclide]


def test_all_models_of_the_definitions_exist() -> None:
    assert washout_names() == ("none", "mizuno-brain", "mizuno-muscle", "parodi-hu", "toramatsu-o15")


def test_mizuno_brain_is_the_abstract_of_mizuno_2003() -> None:
    np.testing.assert_allclose(washout_model("mizuno-brain").fractions, np.broadcast_to([0.35, 0.30, 0.35], (1, 7, 3)))
    np.testing.assert_allclose(half_lives_s("mizuno-brain"), [2.0, 140.0, 10191.0])


def test_mizuno_muscle_is_rescaled_from_101_percent() -> None:
    expected = np.array([30, 19, 52]) / 101
    np.testing.assert_allclose(washout_model("mizuno-muscle").fractions, np.broadcast_to(expected, (1, 7, 3)))
    np.testing.assert_allclose(half_lives_s("mizuno-muscle"), [10.0, 195.0, 3175.0])


@pytest.mark.parametrize(
    ("tissue", "slow", "half_life_s"),
    [("fat", 0.90, 15000), ("soft", 0.35, 10000), ("soft-bone", 0.60, 8000), ("compact-bone", 0.90, 15000)],
)
def test_parodi_slow_part_and_rescaled_fast_and_medium(tissue: str, slow: float, half_life_s: float) -> None:
    model = washout_model("parodi-hu")
    t = tissue_classes()[0].index(tissue)
    expected = [0.20 / 0.52 * (1 - slow), 0.32 / 0.52 * (1 - slow), slow]
    np.testing.assert_allclose(model.fractions[t], np.broadcast_to(expected, (7, 3)), rtol=1e-12)
    np.testing.assert_allclose(
        model.rates_per_s[t], np.broadcast_to([21.04 / 60, 0.30 / 60, np.log(2) / half_life_s], (7, 3)), rtol=1e-12
    )


def test_nothing_washes_out_of_air_in_parodi() -> None:
    model = washout_model("parodi-hu")
    np.testing.assert_array_equal(model.fractions[0], np.broadcast_to([0.0, 0.0, 1.0], (7, 3)))
    assert np.all(model.rates_per_s[0, :, 2] == 0)


def test_toramatsu_treats_carbon_like_parodi_and_the_rest_like_oxygen_in_all_tissue() -> None:
    model, parodi = washout_model("toramatsu-o15"), washout_model("parodi-hu")
    np.testing.assert_array_equal(model.fractions[:, CARBON], parodi.fractions[:, CARBON])
    np.testing.assert_array_equal(model.rates_per_s[:, CARBON], parodi.rates_per_s[:, CARBON])
    np.testing.assert_allclose(model.fractions[:, OTHERS], np.broadcast_to([0, 0.62, 0.38], (5, 5, 3)))
    np.testing.assert_allclose(model.rates_per_s[:, OTHERS, 1:], np.broadcast_to([0.72 / 60, 0.024 / 60], (5, 5, 2)))
    assert model.n_group == 2
    assert len(set(model.group[CARBON])) == len(set(model.group[OTHERS])) == 1


def test_table_agrees_with_the_independent_list_of_constants(reference_data: Path) -> None:
    tissues = {"fat": 1, "brain": 2, "soft bone": 3, "compact bone": 4}
    with (reference_data / "physics" / "washout_constants.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        model = washout_model("toramatsu-o15")
        nuclide = CARBON[0] if row["isotope_group"].startswith("C11") else OTHERS[1]
        component = COMPONENTS.index(row["component"])
        for tissue in [tissues[row["tissue"]]] if row["tissue"] in tissues else range(5):
            assert model.fractions[tissue, nuclide, component] == pytest.approx(float(row["fraction"]), abs=6e-5)
            rate_per_min = model.rates_per_s[tissue, nuclide, component] * 60
            assert rate_per_min == pytest.approx(float(row["rate_per_min"]), rel=2e-4)


def test_hu_on_an_edge_belongs_to_the_denser_tissue() -> None:
    names, edges = tissue_classes()
    assert names == ("air", "fat", "soft", "soft-bone", "compact-bone")
    assert edges == (-150.0, -30.0, 200.0, 1000.0)
    hu = [-1000, -150.001, -150, -30.001, -30, 0, 199.999, 200, 999.999, 1000, 3000]
    assert tissue_index(hu).tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4]


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean mizuno-brain") as caught:
        washout_model("mizuno_brian")
    assert "parodi-hu" in caught.value.expected


def test_models_that_borrow_values_say_so() -> None:
    assert washout_findings("none") == ()
    for name in washout_names()[1:]:
        assert washout_findings(name)
        assert all(name in finding.text for finding in washout_findings(name))
    assert "liver, bowel, muscle" in " ".join(f.text for f in washout_findings("parodi-hu"))
    with pytest.raises(InputError):
        washout_findings("parodi")


@given(
    model=st.sampled_from(washout_names()),
    seed=st.integers(0, 2**32),
    n=st.integers(1, 4),
    spread=st.floats(0, 0.99),
)
@settings(max_examples=60, deadline=None)
def test_drawn_fractions_stay_shares_of_one_whole(model: str, seed: int, n: int, spread: float) -> None:
    scenario = draw_washout(model, np.random.default_rng(seed), n=n, spread=spread)
    fractions, rates = scenario.parameters()
    np.testing.assert_allclose(fractions.sum(axis=-1), 1.0, rtol=1e-12)
    assert fractions.min() >= 0
    nominal = washout_model(model).rates_per_s
    assert np.all(rates >= nominal / (1 + spread) * (1 - 1e-12))
    assert np.all(rates <= nominal / (1 - spread) * (1 + 1e-12))
    seconds = np.linspace(0, 4000, 30)
    alive = (fractions[..., None] * np.exp(-rates[..., None] * seconds)).sum(axis=-2)
    assert np.all(np.diff(alive, axis=-1) <= 1e-15)


def test_draw_covers_its_range_evenly_and_repeats_with_its_seed() -> None:
    one = draw_washout("toramatsu-o15", np.random.default_rng(5), n=4000)
    again = draw_washout("toramatsu-o15", np.random.default_rng(5), n=4000)
    factors = np.asarray(one.half_life_factors)
    np.testing.assert_array_equal(factors, np.asarray(again.half_life_factors))
    assert factors.shape == (4000, 5, 2, 3)
    # Uniform on 0.5 to 1.5: mean 1, SD 1/sqrt(12); 1.2e5 draws.
    assert factors.mean() == pytest.approx(1.0, abs=0.004)
    assert factors.std() == pytest.approx(12**-0.5, abs=0.003)
    assert 0.5 <= factors.min() < 0.501
    assert 1.499 < factors.max() <= 1.5


def test_nominal_scenario_is_the_model_and_rows_can_be_cut_out() -> None:
    fractions, rates = WashoutScenario(model="parodi-hu").parameters()
    np.testing.assert_allclose(fractions[0], washout_model("parodi-hu").fractions, rtol=1e-14)
    np.testing.assert_array_equal(rates[0], washout_model("parodi-hu").rates_per_s)
    drawn = draw_washout("parodi-hu", np.random.default_rng(1), n=5)
    np.testing.assert_array_equal(drawn.rows(2, 4).parameters()[1], drawn.parameters()[1][2:4])


def test_a_longer_half_life_is_a_slower_rate() -> None:
    factors = np.ones((1, 1, 1, 3))
    factors[..., 2] = 1.5
    _, rates = WashoutScenario(model="mizuno-brain", half_life_factors=factors).parameters()
    assert np.log(2) / rates[0, 0, 0, 2] == pytest.approx(1.5 * 10191)


def test_unusable_draws_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="spread"):
        draw_washout("parodi-hu", rng, spread=1.0)
    with pytest.raises(InputError, match="not positive"):
        WashoutScenario(model="mizuno-brain", fraction_factors=np.zeros((1, 1, 1, 3)))
    with pytest.raises(InputError, match="wrong shape"):
        WashoutScenario(model="mizuno-brain", fraction_factors=np.ones((1, 5, 1, 3)))
    with pytest.raises(InputError, match="number of rows"):
        WashoutScenario(model="none", fraction_factors=np.ones((2, 1, 1, 3)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("fast", "1", "total", "2", "3")], "half-life or a rate"),
        ([("fast", "1", "total", "2", ""), ("fast", "1", "total", "2", "")], "repeats or lacks"),
        ([], "repeats or lacks"),
    ],
)
def test_inconsistent_table_is_refused(rows: list[tuple[str, ...]], message: str) -> None:
    names = ("component", "weight", "basis", "half_life_s", "rate_per_min")
    with pytest.raises(CalibrationError, match=message):
        module._components([dict(zip(names, row, strict=True)) for row in rows], "test")
