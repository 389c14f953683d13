"""Features: what the network may see, and laws of putting rays on its grid."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.errors import InputError
from protonqa.physics.curves import a50_mm
from protonqa.physics.rsp import rsp_from_hu
from protonqa.range_model.config import CHANNELS, OPTIONAL_CHANNELS, FeatureConfig
from protonqa.range_model.edge import find_edge, noise_level, smooth
from protonqa.range_model.features import at_positions, build_features, cumulative
from protonqa.range_model.observables import OBSERVABLES, column, edge_shape, observe
from protonqa.range_model.rays import WORKING_BINS, RayBatch, depth_edges_mm, overlap_mm, rays_from_profiles
from protonqa.values import ProfileSet, Timeline

CONFIG = FeatureConfig()


def one_edge(at_mm: float, sd_mm: float = 2.0, n: int = WORKING_BINS) -> np.ndarray:
    depth = np.arange(n) + 0.5
    return 0.5 * (1 - np.tanh((depth - at_mm) / sd_mm))


def test_no_channel_comes_from_the_plan() -> None:
    allowed = {
        "activity", "activity_over_rsp", "usable", "rsp", "rsp_known", "wepl", "wepl_known", "in_body", "offset",
        "bin_width", "depth", "noise", "log_irradiation", "log_delay", "log_acquisition", "timeline_known", "psf",
        "psf_known",
    }  # fmt: skip
    assert set(CHANNELS) == allowed
    # Of the planning CT beside the ray: nothing of the beam.
    assert set(OPTIONAL_CHANNELS) == {"wepl_spread", "spread_known"}
    held = {f.name for f in dataclasses.fields(RayBatch)}
    assert held == {
        "activity", "usable", "rsp", "rsp_known", "times_s", "times_known", "psf_mm", "psf_known", "wepl_spread",
        "spread_known",
    }  # fmt: skip
    for word in ("energy", "planned", "plan", "dose", "mev", "r80", "spot"):
        assert not any(word in name for name in (*CHANNELS, *OPTIONAL_CHANNELS, *held, *OBSERVABLES))


def test_schema_hash_changes_with_every_setting() -> None:
    base = CONFIG.schema_hash()
    others = [
        FeatureConfig(anchor="surface", segments=((0.0, 400.0, 2.0),)),
        FeatureConfig(channels=("activity", "offset")),
        FeatureConfig(segments=((-100.0, 40.0, 2.0),)),
        FeatureConfig(smoothing_sd_mm=2.0),
    ]
    assert len({base, *(o.schema_hash() for o in others)}) == 5
    assert FeatureConfig().schema_hash() == base


@pytest.mark.parametrize(
    "segments",
    [(), ((0.0, 10.0, 3.0),), ((0.0, 10.0, 2.0), (12.0, 20.0, 2.0)), ((0.0, 10.0, -1.0),)],
)
def test_segments_that_do_not_fit_are_refused(segments: tuple[tuple[float, float, float], ...]) -> None:
    with pytest.raises(ValueError, match="segment"):
        FeatureConfig(segments=segments)


def test_a_channel_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="energy"):
        FeatureConfig(channels=("activity", "offset", "energy"))


@given(st.integers(0, 2**32 - 1), st.integers(3, 60))
@settings(max_examples=25, deadline=None)
def test_rebinning_conserves_the_integral(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    depth = np.cumsum(rng.uniform(0.4, 5.0, n)) + 3.0
    values = rng.random((2, n))
    edges = depth_edges_mm(depth)
    assert edges[0] > -3
    moved = values @ overlap_mm(edges, np.arange(0.0, WORKING_BINS + 1))
    assert np.allclose(moved.sum(axis=1), values @ np.diff(edges))


def test_irregular_depths_give_the_profile_back_where_it_is_flat() -> None:
    depth = np.concatenate([np.arange(0.75, 60, 1.5), np.arange(61.0, 200, 2.0)])
    batch = rays_from_profiles(ProfileSet(depth_mm=depth, activity=np.full((1, depth.size), 3.0)))
    inside = batch.usable[0].numpy()
    assert inside.sum() == pytest.approx(200, abs=1)
    assert np.allclose(batch.activity[0].numpy()[inside], 1.0)


def test_one_millimetre_bins_pass_unchanged_whatever_the_unit() -> None:
    profile = one_edge(120.0)
    for unit in (1e-30, 1.0, 1e30):
        batch = rays_from_profiles(ProfileSet(depth_mm=np.arange(WORKING_BINS) + 0.5, activity=(profile * unit)[None]))
        assert np.allclose(batch.activity[0].numpy(), profile / profile.max())


def test_depths_before_the_skin_and_beyond_the_grid_are_dropped() -> None:
    depth = np.arange(-20, 520) + 0.5
    batch = rays_from_profiles(ProfileSet(depth_mm=depth, activity=np.ones((1, depth.size))))
    assert bool(batch.usable.all())
    assert float(batch.activity.sum()) == pytest.approx(WORKING_BINS)


def test_hu_alone_becomes_rsp_and_no_ct_stays_unknown() -> None:
    hu = np.full((1, WORKING_BINS), 40.0)
    depth = np.arange(WORKING_BINS) + 0.5
    with_hu = rays_from_profiles(ProfileSet(depth_mm=depth, activity=one_edge(100)[None], hu=hu))
    assert float(with_hu.rsp[0, 50]) == pytest.approx(float(rsp_from_hu(np.array([40.0]))[0]))
    without = rays_from_profiles(ProfileSet(depth_mm=depth, activity=one_edge(100)[None]))
    assert not bool(without.rsp_known.any())
    assert float(without.rsp.abs().sum()) == 0


def test_a_profile_that_starts_deep_knows_no_rsp_in_front() -> None:
    depth = np.arange(80, 200) + 0.5
    shape = (1, depth.size)
    profiles = ProfileSet(depth_mm=depth, activity=one_edge(150)[None, 80:200], rsp=np.ones(shape))
    batch = rays_from_profiles(profiles)
    assert not bool(batch.rsp_known[0, :80].any())
    x = build_features(batch, CONFIG).x[0]
    assert float(x[:, CHANNELS.index("wepl_known")].abs().max()) == 0
    assert float(x[:, CHANNELS.index("rsp_known")].max()) == 1


@given(st.floats(60, 300), st.floats(1.0, 6.0))
@settings(max_examples=25, deadline=None)
def test_the_anchor_is_a50_of_a_clean_smooth_profile(at_mm: float, sd_mm: float) -> None:
    activity = torch.from_numpy(one_edge(at_mm, sd_mm)[None].copy())
    usable = torch.ones_like(activity, dtype=torch.bool)
    plain = find_edge(activity, usable, sd_mm=0.0)
    assert float(plain.a50_mm) == pytest.approx(at_mm, abs=0.15)
    assert float(find_edge(activity, usable, sd_mm=2.5).a50_mm) == pytest.approx(at_mm, abs=0.25)


def test_the_anchor_follows_the_rule_of_a50_on_layered_tissue(toy: SimpleNamespace) -> None:
    rays = toy.rays(12, 1, seed=5)
    batch = rays_from_profiles(toy.profiles(rays))
    edge = find_edge(batch.activity, batch.usable, sd_mm=0.0)
    depth = np.arange(WORKING_BINS) + 0.5
    rule = [a50_mm(depth, r.production.sum(axis=0)) for r in rays]
    assert np.allclose(edge.a50_mm.numpy(), rule, atol=0.3)


def test_the_local_maximum_decides_not_the_global_one() -> None:
    activity = one_edge(150.0) * np.where(np.arange(WORKING_BINS) < 60, 1.0, 0.3)
    edge = find_edge(torch.from_numpy(activity[None]), torch.ones((1, WORKING_BINS), dtype=torch.bool), sd_mm=0.0)
    assert float(edge.a50_mm) == pytest.approx(150.0, abs=0.2)
    assert float(edge.local) == pytest.approx(0.3, rel=0.02)


def test_edges_cut_by_the_window_and_missing_edges_are_told_apart() -> None:
    activity = torch.from_numpy(np.stack([one_edge(150.0), one_edge(150.0), np.zeros(WORKING_BINS)]))
    usable = torch.ones_like(activity, dtype=torch.bool)
    usable[1, 140:] = False
    edge = find_edge(activity, usable, sd_mm=2.5)
    assert edge.truncated.tolist() == [False, True, False]
    assert edge.found.tolist() == [True, False, False]
    assert math.isnan(float(edge.a50_mm[2]))


def test_two_bumps_give_the_distal_one_and_are_counted() -> None:
    depth = np.arange(WORKING_BINS) + 0.5
    activity = np.exp(-0.5 * ((depth - 80) / 6) ** 2) + np.exp(-0.5 * ((depth - 160) / 6) ** 2)
    edge = find_edge(torch.from_numpy(activity[None]), torch.ones((1, WORKING_BINS), dtype=torch.bool), sd_mm=0.0)
    assert float(edge.a50_mm) == pytest.approx(160 + 6 * math.sqrt(2 * math.log(2)), abs=0.2)
    assert int(edge.crossings) == 2


@pytest.mark.parametrize("sd", [0.02, 0.1, 0.25])
def test_the_noise_estimate_finds_the_noise_and_not_the_tissue(sd: float) -> None:
    rng = np.random.default_rng(1)
    clean = one_edge(220.0) * np.where(np.arange(WORKING_BINS) < 100, 1.0, 0.7)
    noisy = torch.from_numpy(clean + rng.normal(0, sd, (60, WORKING_BINS)))
    usable = torch.ones_like(noisy, dtype=torch.bool)
    assert float(noise_level(noisy, usable).mean()) == pytest.approx(sd, rel=0.08)
    assert float(noise_level(torch.from_numpy(clean[None]), usable[:1])) < 0.01


def test_smoothing_keeps_a_constant_up_to_the_window_edge() -> None:
    activity = torch.full((1, WORKING_BINS), 2.0, dtype=torch.float64)
    usable = torch.zeros_like(activity, dtype=torch.bool)
    usable[:, 50:120] = True
    assert torch.allclose(smooth(activity, usable, 2.5)[0, 50:120], torch.tensor(2.0, dtype=torch.float64))


def test_cumulative_positions_are_exact_between_edges() -> None:
    values = torch.tensor([[1.0, 3.0, 2.0]], dtype=torch.float64)
    at = at_positions(cumulative(values)[:, None], torch.tensor([[-1.0, 0.5, 1.5, 3.0, 9.0]], dtype=torch.float64))
    assert at[0, 0].tolist() == [0.0, 0.5, 2.5, 6.0, 6.0]


def test_features_do_not_know_the_unit_of_activity(toy: SimpleNamespace) -> None:
    rays = toy.rays(6, 1, seed=2)
    base = build_features(rays_from_profiles(toy.profiles(rays)), CONFIG)
    activity = np.stack([r.production.sum(axis=0) for r in rays])
    for gain in (2.0**-40, 1e12):
        other = build_features(rays_from_profiles(toy.profiles(rays, activity=activity * gain)), CONFIG)
        assert torch.allclose(other.x, base.x, atol=1e-6)


def test_features_follow_activity_and_rsp_that_move_together(toy: SimpleNamespace) -> None:
    rays = toy.rays(5, 1, seed=3)
    activity = np.stack([r.production.sum(axis=0) for r in rays])
    rsp = np.stack([r.rsp for r in rays])
    shift = 7
    moved = toy.profiles(
        rays,
        activity=np.concatenate([activity[:, :shift], activity[:, :-shift]], axis=1),
        rsp=np.concatenate([rsp[:, :shift], rsp[:, :-shift]], axis=1),
    )
    base = build_features(rays_from_profiles(toy.profiles(rays)), CONFIG)
    other = build_features(rays_from_profiles(moved), CONFIG)
    assert np.allclose((other.anchor_mm - base.anchor_mm).numpy(), shift)
    near = slice(CONFIG.n_bin - 40, None)
    for name in ("activity", "activity_over_rsp", "rsp", "offset", "usable"):
        c = CHANNELS.index(name)
        assert torch.allclose(other.x[:, near, c], base.x[:, near, c], atol=1e-6), name


def test_time_line_and_psf_are_flagged_and_masked(toy: SimpleNamespace) -> None:
    rays = toy.rays(3, 1, seed=4)
    told = toy.profiles(rays, timeline=Timeline(irradiation_s=60, delay_s=300, acquisition_s=600), psf_fwhm_mm=5.0)
    x = build_features(rays_from_profiles(told), CONFIG).x[0, 0]
    assert float(x[CHANNELS.index("log_delay")]) == pytest.approx(math.log1p(300) / 10)
    assert float(x[CHANNELS.index("timeline_known")]) == 1
    assert float(x[CHANNELS.index("psf")]) == 1
    bare = build_features(rays_from_profiles(toy.profiles(rays)), CONFIG).x[0, 0]
    for name in ("log_irradiation", "log_delay", "log_acquisition", "timeline_known", "psf", "psf_known"):
        assert float(bare[CHANNELS.index(name)]) == 0


def test_activity_outside_the_window_has_no_influence(toy: SimpleNamespace) -> None:
    rays = toy.rays(4, 1, seed=6)
    activity = np.stack([r.production.sum(axis=0) for r in rays])
    mask = np.zeros_like(activity, dtype=bool)
    for row, ray in enumerate(rays):
        mask[row, max(0, int(ray.r80_mm) - 90) : int(ray.r80_mm) + 25] = True
    spoiled = np.where(mask, activity, 1e3)
    base = build_features(rays_from_profiles(toy.profiles(rays, mask=mask)), CONFIG)
    other = build_features(rays_from_profiles(toy.profiles(rays, activity=spoiled, mask=mask)), CONFIG)
    assert torch.equal(base.x, other.x)


def test_a_grid_from_the_surface_sees_the_same_depths(toy: SimpleNamespace) -> None:
    config = FeatureConfig(anchor="surface", segments=((0.0, 400.0, 2.0),))
    features = build_features(rays_from_profiles(toy.profiles(toy.rays(3, 1, seed=7))), config)
    offset = 100 * features.x[:, :, CHANNELS.index("offset")].double()
    assert torch.allclose(offset[:, 0] + features.anchor_mm, torch.tensor(1.0, dtype=torch.float64), atol=1e-3)
    assert float(features.origin_mm.abs().max()) == 0


def test_observables_are_what_they_say() -> None:
    depth = np.arange(WORKING_BINS) + 0.5
    rng = np.random.default_rng(0)
    clean = one_edge(150.0)
    profiles = ProfileSet(
        depth_mm=depth,
        activity=np.stack([clean, clean + rng.normal(0, 0.1, depth.size), clean]),
        rsp=np.where(depth < 120, 1.0, 1.2) * np.ones((3, 1)),
        mask=np.stack([depth > 0, depth > 0, (depth > 100) & (depth < 170)]),
    )
    batch = rays_from_profiles(profiles)
    edge = find_edge(batch.activity, batch.usable, sd_mm=2.5)
    seen = observe(batch, edge).numpy()
    assert seen[0, column("noise")] < 0.005
    assert seen[1, column("noise")] == pytest.approx(0.1, rel=0.3)
    assert seen[0, column("edge_contrast")] > 10 * seen[1, column("edge_contrast")] > 40
    assert seen[0, column("rsp_at_edge")] == pytest.approx(1.2)
    assert seen[0, column("rsp_spread")] == pytest.approx(0.1, abs=0.01)
    assert seen[2, column("proximal_mm")] == pytest.approx(50, abs=1)
    assert seen[2, column("distal_mm")] == pytest.approx(20, abs=1)
    assert seen[1, column("negative_fraction")] > 0.2
    assert seen[0, column("delay_s")] == -1
    shape = edge_shape(batch, edge)
    assert shape.shape == (3, 40)
    assert float(shape[0, 0]) == pytest.approx(1.0, abs=0.01)
    assert float(shape[0, -1]) == pytest.approx(0.0, abs=0.01)


def test_depths_that_do_not_increase_are_refused() -> None:
    for depth in ([1.0, 1.0, 2.0], [3.0, 2.0], [1.0]):
        with pytest.raises(InputError, match="increas"):
            depth_edges_mm(np.array(depth))
