"""Scenarios: drawn first, applied second; each perturbation does what its name says."""

from __future__ import annotations

from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from protonqa.activity.washout import washout_names
from protonqa.errors import InputError
from protonqa.physics.nuclides import NUCLIDES
from protonqa.range_model.augmentation import apply_scenarios
from protonqa.range_model.dataset import Channel, RayTable, SetSchema
from protonqa.range_model.rays import RAW_ACQUISITION_S, WORKING_BINS
from protonqa.range_model.scenarios import NAMED_SCENARIOS, ScenarioConfig, ScenarioDraw, draw_scenarios


@pytest.fixture(scope="module")
def table(toy: SimpleNamespace) -> RayTable:
    return RayTable.from_rays(toy.rays(4, 8, seed=21), SetSchema())


ROWS = np.arange(32)


def quiet(**changes: object) -> ScenarioConfig:
    return ScenarioConfig.model_validate({**NAMED_SCENARIOS["raw"].model_dump(), **changes})


def drawn(config: ScenarioConfig, n: int = 32, seed: int = 1) -> ScenarioDraw:
    return draw_scenarios(config, np.random.default_rng(seed), n)


def test_the_same_seed_draws_and_gives_the_same(table: RayTable) -> None:
    config = ScenarioConfig()
    one, two = (apply_scenarios(table, ROWS, drawn(config)) for _ in range(2))
    for field in fields(one):
        assert torch.equal(getattr(one, field.name), getattr(two, field.name)), field.name
    other = apply_scenarios(table, ROWS, drawn(config, seed=2))
    assert not torch.equal(one.activity, other.activity)


def test_the_default_scenarios_cover_everything_that_differs_between_clinics() -> None:
    draw = drawn(ScenarioConfig(), n=2000)
    assert set(draw.washout_name.tolist()) == set(washout_names())
    assert set(draw.noise.tolist()) == {"none", "poisson", "snr-multiplicative", "snr-additive"}
    for flags in (draw.raw, draw.show_ct, draw.show_timeline, draw.show_psf, draw.window_cuts_ct):
        assert 0.05 < flags.mean() < 0.95
    assert draw.psf_fwhm_mm.max() <= 7
    assert (draw.psf_fwhm_mm == 0).any()
    assert np.abs(draw.rsp_factor - 1).max() <= 0.035
    assert np.abs(draw.channel_gain - 1).max() <= 0.2
    assert draw.times_s[draw.raw].max() == 0
    assert (draw.times_s[:, 1] <= 1500).all()


def test_raw_is_the_sum_of_the_nuclei_with_the_endless_frame(table: RayTable) -> None:
    rays = apply_scenarios(table, ROWS, drawn(quiet()))
    assert torch.allclose(rays.activity, torch.from_numpy(table.production.sum(axis=1)).double(), rtol=1e-5)
    assert bool(rays.usable.all())
    assert bool(rays.times_known.all())
    assert rays.times_s[0].tolist() == [0.0, 0.0, RAW_ACQUISITION_S]


def test_five_minutes_of_decay_alone_leave_what_the_half_lives_say(table: RayTable) -> None:
    config = quiet(raw_share=0.0, instant_share=1.0, delay_s=(300.0, 300.0), washout={"none": 1.0})
    rays = apply_scenarios(table, ROWS, drawn(config))
    weight = [n.decay_per_s * np.exp(-n.decay_per_s * 300) for n in NUCLIDES]
    expected = np.einsum("k,nkd->nd", np.array(weight), table.production)
    assert np.allclose(rays.activity.numpy(), expected, rtol=1e-5)
    assert rays.times_s[0].tolist() == [0.0, 300.0, 0.0]


def test_washout_is_drawn_for_each_ray_and_the_model_is_not_told(table: RayTable) -> None:
    same = RayTable.from_rays([table_ray(table, 0)] * 16, SetSchema())
    config = quiet(raw_share=0.0, instant_share=1.0, delay_s=(300.0, 300.0), washout={"mizuno-brain": 1.0})
    rays = apply_scenarios(same, np.arange(16), drawn(config, n=16))
    total = rays.activity.sum(dim=1)
    assert float(total.std() / total.mean()) > 0.05


def table_ray(table: RayTable, row: int) -> object:
    from protonqa.range_model.dataset import COLUMNS, TrainingRay

    return TrainingRay(**{name: getattr(table, name)[row] for name in COLUMNS})


def test_a_window_keeps_the_depths_of_the_definition(table: RayTable) -> None:
    draw = drawn(NAMED_SCENARIOS["125 mm"])
    rays = apply_scenarios(table, ROWS, draw)
    assert ((draw.window_end_mm >= 10) & (draw.window_end_mm <= 30)).all()
    centre = np.arange(WORKING_BINS) + 0.5
    for row in range(32):
        end = table.planned_r80_mm[row] + draw.window_end_mm[row]
        inside = (centre <= end) & (centre >= end - 125)
        assert np.array_equal(rays.usable[row].numpy(), inside)
    assert float(rays.activity[~rays.usable].abs().max()) == 0


def test_the_window_follows_the_plan_not_the_truth(table: RayTable) -> None:
    moved = replace(table, planned_r80_mm=table.planned_r80_mm - 9.0)
    draw = drawn(NAMED_SCENARIOS["125 mm"])
    one, two = apply_scenarios(table, ROWS, draw), apply_scenarios(moved, ROWS, draw)
    assert torch.equal(one.usable[:, 9:], two.usable[:, :-9])


def test_training_windows_tell_nothing_about_the_range() -> None:
    draw = drawn(ScenarioConfig(window_share=1.0), n=4000)
    # Were R80 guessed from the end of the window, the guess would be off by this much at best.
    assert draw.window_end_mm.std() > 12


def test_what_is_hidden_is_zero_and_flagged(table: RayTable) -> None:
    config = quiet(no_ct_share=1.0, no_timeline_share=1.0, no_psf_share=1.0)
    rays = apply_scenarios(table, ROWS, drawn(config))
    for known, value in (
        (rays.rsp_known, rays.rsp),
        (rays.times_known, rays.times_s),
        (rays.psf_known, rays.psf_mm),
    ):
        assert not bool(known.any())
        assert float(value.abs().max()) == 0


def test_a_window_may_cut_the_ct_as_well(table: RayTable) -> None:
    config = quiet(**{**NAMED_SCENARIOS["100 mm"].model_dump(), "window_cuts_ct_share": 1.0})
    rays = apply_scenarios(table, ROWS, drawn(config))
    assert torch.equal(rays.rsp_known, rays.usable)


def test_rsp_error_moves_the_planning_ct_only(table: RayTable) -> None:
    draw = drawn(quiet(rsp_error_percent=3.5))
    rays = apply_scenarios(table, ROWS, draw)
    assert np.allclose(rays.rsp.numpy(), table.rsp * draw.rsp_factor[:, None], rtol=1e-6)
    assert torch.allclose(rays.activity, apply_scenarios(table, ROWS, drawn(quiet())).activity)


def test_counting_noise_keeps_the_mean_and_has_the_spread_of_its_counts(table: RayTable) -> None:
    many = RayTable.from_rays([table_ray(table, 0)] * 300, SetSchema())
    config = quiet(noise={"poisson": 1.0}, counts=(5000.0, 5000.0), background_fraction=0.0)
    rays = apply_scenarios(many, np.arange(300), drawn(config, n=300))
    clean = many.production[0].sum(axis=0)
    scale = 5000 / clean.sum()
    counts = rays.activity.numpy() * scale
    bright = clean * scale > 10
    assert counts.mean(axis=0)[bright].sum() == pytest.approx((clean * scale)[bright].sum(), rel=0.01)
    ratio = counts.var(axis=0)[bright] / (clean * scale)[bright]
    assert ratio.mean() == pytest.approx(1.0, abs=0.05)


def test_voxels_average_and_keep_the_integral(table: RayTable) -> None:
    fine = apply_scenarios(table, ROWS, drawn(quiet(raw_share=0.0, instant_share=1.0, washout={"none": 1.0})))
    config = quiet(raw_share=0.0, instant_share=1.0, washout={"none": 1.0}, voxel_share=1.0, voxel_mm=(4.0, 4.0))
    coarse = apply_scenarios(table, ROWS, drawn(config))
    # The same draw but for the voxels: delays are the first numbers drawn.
    total = fine.activity.sum(dim=1)
    assert torch.allclose(coarse.activity.sum(dim=1), total, rtol=0.03)
    assert float((coarse.activity - fine.activity).abs().max() / fine.activity.max()) > 1e-3


def test_a_gain_changes_the_unit_and_nothing_else(table: RayTable) -> None:
    draw = drawn(quiet(gain_decades=6.0))
    rays = apply_scenarios(table, ROWS, draw)
    base = apply_scenarios(table, ROWS, drawn(quiet()))
    assert torch.allclose(rays.activity, base.activity * torch.from_numpy(draw.gain)[:, None], rtol=1e-6)


def test_channels_by_reaction_and_tissue_add_up_to_the_nuclides(table: RayTable) -> None:
    """11C split over two reactions and two tissues, each washed out with its own tissue."""
    ray = table_ray(table, 0)
    # Nothing of the plan: its production has the channels of the set that the ray comes from.
    ray = replace(ray, planned_production=None)
    flat = replace(ray, hu_true=np.full(WORKING_BINS, 40.0))
    channels = (
        Channel(name="c11 a", nuclide="c11"),
        Channel(name="c11 b", nuclide="c11", hu=40.0),
        Channel(name="o15", nuclide="o15"),
    )
    schema = SetSchema(channels=channels)
    split = np.stack([0.25 * ray.production[0], 0.75 * ray.production[0], ray.production[2]])
    whole = ray.production * np.array([1, 0, 1, 0, 0, 0, 0])[:, None]
    config = quiet(raw_share=0.0, instant_share=1.0, delay_s=(120.0, 120.0), washout={"parodi-hu": 1.0})
    by_channel = RayTable.from_rays([replace(flat, production=split)], schema)
    by_nuclide = RayTable.from_rays([replace(flat, production=whole)], SetSchema())
    draw = drawn(config, n=1)
    three = replace(draw, channel_gain=np.ones((1, 3)))
    one = apply_scenarios(by_nuclide, np.array([0]), draw).activity
    assert torch.allclose(apply_scenarios(by_channel, np.array([0]), three).activity, one, rtol=1e-5)
    other = RayTable.from_rays([replace(ray, production=split, hu_true=np.full(WORKING_BINS, -90.0))], schema)
    assert not torch.allclose(apply_scenarios(other, np.array([0]), three).activity, one, rtol=1e-2)


def test_scenarios_must_match_the_rays(table: RayTable) -> None:
    with pytest.raises(InputError, match="match"):
        apply_scenarios(table, ROWS, drawn(quiet(), n=5))


@pytest.mark.parametrize(
    "change",
    [
        {"washout": {"nowhere": 1.0}},
        {"noise": {}},
        {"delay_s": (10.0, 5.0)},
        {"counts": (0.0, 5.0)},
        {"energy_mev": 1.0},
    ],
)
def test_scenario_settings_are_checked(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        ScenarioConfig.model_validate(change)
