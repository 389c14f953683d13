"""The A50 line as a baseline and the paper's protocol: in heterogeneous tissue whose ranges are known."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.range_model.a50line import fit_a50_lines, reported_a50_mm
from protonqa.range_model.config import FeatureConfig
from protonqa.range_model.edge import find_edge
from protonqa.range_model.rays import RAW_ACQUISITION_S, rays_from_profiles
from protonqa.range_model.scenarios import draw_scenarios
from protonqa.study.baselines.a50_line import A50Line
from protonqa.study.baselines.catalogue import trainable_baselines
from protonqa.study.baselines.interface import KnownProfiles, RayProfiles, as_rays
from protonqa.study.baselines.paper_protocol import PaperProtocol, paper_training_scenario
from protonqa.study.baselines.wepl_axis import WeplAxis, on_wepl_axis
from protonqa.values import ProfileSet, Timeline

DEPTH_MM = np.arange(448) + 0.5
FINE = 4
TISSUES = np.array([0.95, 1.04, 1.35, 0.7, 1.1])


def ray(rng: np.random.Generator, lag_mm: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Activity, RSP and R80 of one ray: production per mm of water depends on the residual range alone."""
    depth = (np.arange(448 * FINE) + 0.5) / FINE
    rsp = rng.choice(TISSUES, 6)[np.searchsorted(np.sort(rng.uniform(10, 230, 5)), depth)]
    wepl = np.cumsum(rsp) / FINE
    reach = rng.uniform(60, 200)
    width = 1.5 + 0.008 * reach
    residual = reach - wepl
    rate = 0.3 * (1 + np.tanh((residual - lag_mm) / width)) + 0.2 * (1 + np.tanh((residual - lag_mm - 3) / width))
    return (
        (rsp * rate).reshape(448, FINE).mean(axis=1),
        rsp.reshape(448, FINE).mean(axis=1),
        np.interp(reach, wepl, depth),
    )


def many(n: int, seed: int, lag_mm: float = 6.0, **more: object) -> KnownProfiles:
    rng = np.random.default_rng(seed)
    activity, rsp, r80 = (np.array(c) for c in zip(*(ray(rng, lag_mm) for _ in range(n)), strict=True))
    return KnownProfiles(profiles=RayProfiles(depth_mm=DEPTH_MM, activity=activity, rsp=rsp, **more), r80_mm=r80)


@pytest.fixture(scope="module")
def training() -> KnownProfiles:
    return many(250, seed=1)


@pytest.fixture(scope="module")
def tested() -> KnownProfiles:
    return many(120, seed=2)


def error_mm(fitted, known: KnownProfiles) -> np.ndarray:
    found = fitted.range_mm(known.profiles)
    assert found.valid.all()
    return np.abs(found.r80_mm - known.r80_mm)


def test_rsp_helps_and_the_water_equivalent_line_sees_through_the_tissue(training, tested):
    """Production follows the residual range: on the water-equivalent axis the line is all but exact."""
    mean = {line.name: error_mm(line.fit(training), tested).mean() for line in trainable_baselines()}
    assert mean["a50-line-rsp"] < 0.75 * mean["a50-line"]
    assert mean["a50-line-density"] < 0.75 * mean["a50-line"]
    assert mean["a50-line-wepl"] < 0.15 * mean["a50-line"]
    assert mean["a50-line-wepl"] < 0.1


def test_the_plain_line_is_the_one_on_the_models_card(training, tested):
    """Same A50, same fit: study and card must not speak of two baselines."""

    def read(known: KnownProfiles) -> np.ndarray:
        rays = as_rays(known.profiles)
        batch = rays_from_profiles(ProfileSet(depth_mm=DEPTH_MM, activity=rays.activity))
        return reported_a50_mm(batch, find_edge(batch.activity, batch.usable, sd_mm=FeatureConfig().smoothing_sd_mm))

    n = training.r80_mm.size
    lines = fit_a50_lines(read(training), np.zeros(n), np.zeros(n, dtype=bool), ["unknown"] * n, training.r80_mm)
    m = tested.r80_mm.size
    want = lines.predict(read(tested), np.zeros(m), np.zeros(m, dtype=bool), ["unknown"] * m)
    assert np.allclose(A50Line().fit(training).range_mm(tested.profiles).r80_mm, want)


@pytest.mark.parametrize("line", trainable_baselines(), ids=lambda b: b.name)
def test_each_time_line_has_its_own_line(line):
    early = np.tile([0.0, 0.0, RAW_ACQUISITION_S], (60, 1))
    late = np.tile([60.0, 300.0, 60.0], (60, 1))
    parts = [many(60, seed=3, lag_mm=6.0, times_s=early), many(60, seed=4, lag_mm=11.0, times_s=late)]
    both = [as_rays(p.profiles) for p in parts]
    pooled = RayProfiles(
        depth_mm=DEPTH_MM,
        **{name: np.concatenate([getattr(b, name) for b in both]) for name in ("activity", "rsp", "times_s")},
    )
    fitted = line.fit(KnownProfiles(profiles=pooled, r80_mm=np.concatenate([p.r80_mm for p in parts])))
    told = [np.abs(fitted.range_mm(p.profiles).r80_mm - p.r80_mm).mean() for p in parts]
    swapped = RayProfiles(depth_mm=DEPTH_MM, activity=both[0].activity, rsp=both[0].rsp, times_s=late)
    assert max(told) < 1.6
    assert np.mean(fitted.range_mm(swapped).r80_mm - parts[0].r80_mm) > 3.0


@pytest.mark.parametrize("variant", ["rsp", "density", "wepl"])
def test_without_a_ct_the_plain_line_answers(variant, training, tested):
    fitted = A50Line(variant=variant).fit(training)
    rays = as_rays(tested.profiles)
    blind = RayProfiles(depth_mm=DEPTH_MM, activity=rays.activity)
    assert np.allclose(fitted.range_mm(blind).r80_mm, A50Line().fit(training).range_mm(blind).r80_mm)
    with pytest.raises(InputError, match="too few"):
        A50Line(variant=variant).fit(
            KnownProfiles(profiles=as_rays(training.profiles).select(np.arange(5)), r80_mm=np.ones(5))
        )


@pytest.mark.parametrize("variant", ["rsp", "density", "wepl"])
def test_a_ct_that_is_known_only_near_the_fall_off_still_helps(variant, training, tested):
    rays = as_rays(tested.profiles)
    near = np.where(DEPTH_MM[None] > tested.r80_mm[:, None] - 60, rays.rsp, np.nan)
    part = KnownProfiles(
        profiles=RayProfiles(depth_mm=DEPTH_MM, activity=rays.activity, rsp=near), r80_mm=tested.r80_mm
    )
    fitted = A50Line(variant=variant).fit(training)
    assert error_mm(fitted, part).mean() < 0.8 * error_mm(A50Line().fit(training), tested).mean()


@pytest.mark.parametrize("line", trainable_baselines(), ids=lambda b: b.name)
def test_a_line_refuses_what_has_no_fall_off_and_answers_beside_it(line, training, tested):
    fitted = line.fit(training)
    rays = as_rays(tested.profiles).select(np.arange(7))
    rng = np.random.default_rng(0)
    activity, mask = np.array(rays.activity), np.array(rays.usable)
    activity[0] = 1.0
    activity[1] = 0.0
    activity[2, 30] = np.nan
    activity[3] = -activity[3]
    mask[4, round(tested.r80_mm[4] - 15) :] = False
    activity[5] = rng.normal(size=448)
    found = fitted.range_mm(RayProfiles(depth_mm=DEPTH_MM, activity=activity, mask=mask, rsp=rays.rsp))
    assert found.valid.tolist() == [False] * 6 + [True]
    assert [m.code for m in found.missing[:5]] == ["constant", "all-zero", "not-finite", "negative", "truncated"]
    assert np.isnan(found.r80_mm[:6]).all()
    alone = fitted.range_mm(as_rays(tested.profiles).select(np.array([6])))
    assert found.r80_mm[6] == pytest.approx(alone.r80_mm[0], abs=1e-9)


@pytest.mark.parametrize("line", trainable_baselines(), ids=lambda b: b.name)
def test_order_and_unit_change_nothing(line, training, tested):
    order = np.random.default_rng(1).permutation(training.r80_mm.size)
    shuffled = KnownProfiles(profiles=as_rays(training.profiles).select(order), r80_mm=training.r80_mm[order])
    rays = as_rays(tested.profiles)
    first = line.fit(training).range_mm(rays)
    again = line.fit(shuffled).range_mm(
        RayProfiles(depth_mm=DEPTH_MM, activity=1e12 * rays.activity[::-1], rsp=rays.rsp[::-1])
    )
    assert np.allclose(again.r80_mm[::-1], first.r80_mm, atol=1e-6)


def test_the_water_equivalent_axis_conserves_activity_and_leads_back():
    rays = as_rays(many(20, seed=7).profiles)
    axis = WeplAxis.of(rays)
    activity, usable = on_wepl_axis(rays, axis, int(np.ceil(axis.wepl_mm.max())))
    assert np.allclose(activity.sum(axis=1), rays.activity.sum(axis=1), rtol=1e-9)
    assert usable[:, :200].all()
    depth = np.linspace(5, 300, 20)
    assert np.allclose(axis.to_depth_mm(axis.to_wepl_mm(depth)), depth, atol=1e-9)
    water = RayProfiles(depth_mm=DEPTH_MM, activity=rays.activity[:1], rsp=np.ones((1, 448)))
    same, _ = on_wepl_axis(water, WeplAxis.of(water), 448)
    assert np.allclose(same, water.activity)


def test_lines_stand_beside_the_expected_range(training, tested):
    fitted = A50Line().fit(training)
    found = fitted.range_mm(tested.profiles, expected=tested)
    assert np.allclose(found.shift_mm, found.r80_mm - tested.r80_mm)
    assert np.isnan(fitted.range_mm(tested.profiles).shift_mm).all()


def test_rays_of_the_range_model_keep_their_own_time_line_and_ct():
    timeline = Timeline(irradiation_s=60, delay_s=300, acquisition_s=600)
    rays = as_rays(many(3, seed=5).profiles)
    batch = rays_from_profiles(ProfileSet(depth_mm=DEPTH_MM, activity=rays.activity, rsp=rays.rsp, timeline=timeline))
    taken = RayProfiles.from_batch(batch)
    assert np.allclose(taken.activity, rays.activity / rays.activity.max(axis=1, keepdims=True))
    assert np.allclose(taken.rsp, rays.rsp)
    assert taken.times_s.tolist() == [[60, 300, 600]] * 3
    untold = RayProfiles.from_batch(rays_from_profiles(ProfileSet(depth_mm=DEPTH_MM, activity=rays.activity)))
    assert np.isnan(untold.rsp).all()
    assert np.isnan(untold.times_s).all()


def test_the_papers_network_learns_from_nothing_but_raw_activity():
    draw = draw_scenarios(paper_training_scenario(), np.random.default_rng(0), 500)
    assert draw.raw.all()
    assert set(draw.noise.tolist()) == {"none"}
    assert np.isposinf(draw.window_end_mm).all()
    for told in (draw.psf_fwhm_mm, draw.voxel_mm, draw.show_timeline, draw.show_psf, draw.show_ct):
        assert not told.any()
    assert (draw.channel_gain == 1).all()
    assert draw_scenarios(paper_training_scenario(with_ct=True), np.random.default_rng(0), 9).show_ct.all()


def test_any_predictor_can_stand_for_the_paper_and_sees_only_what_it_may(tested):
    seen: list[ProfileSet] = []

    def predictor(profiles: ProfileSet) -> SimpleNamespace:
        seen.append(profiles)
        value = profiles.activity.sum(axis=1)
        reason = tuple("too odd" if i == 0 else "" for i in range(profiles.n_ray))
        return SimpleNamespace(r80_mm=value, reason=reason)

    rays = as_rays(tested.profiles).select(np.arange(4))
    activity = np.array(rays.activity)
    activity[1] = np.nan
    given = RayProfiles(depth_mm=DEPTH_MM, activity=activity, rsp=rays.rsp, times_s=np.full((4, 3), 60.0))
    found = PaperProtocol(predictor=predictor).range_mm(given)
    assert seen[0].n_ray == 3
    assert (seen[0].timeline, seen[0].psf_fwhm_mm, seen[0].rsp, seen[0].hu) == (None, None, None, None)
    assert found.reason[0] == "too odd"
    assert found.missing[1].code == "not-finite"
    assert np.isnan(found.r80_mm[:2]).all()
    assert np.allclose(found.r80_mm[2:], rays.activity[2:].sum(axis=1))
    PaperProtocol(predictor=predictor, with_ct=True).range_mm(given)
    assert np.allclose(seen[1].rsp, rays.rsp[[0, 2, 3]])
    with pytest.raises(InputError, match="CT"):
        PaperProtocol(predictor=predictor, with_ct=True).range_mm(RayProfiles(depth_mm=DEPTH_MM, activity=activity))


def test_a_predictor_that_skips_rays_is_an_error(tested):
    silent = PaperProtocol(predictor=lambda _: SimpleNamespace(r80_mm=np.zeros(1), reason=("",)))
    with pytest.raises(InputError, match="each ray"):
        silent.range_mm(tested.profiles)


def test_listing_the_baselines_loads_no_torch():
    code = (
        "import sys\nfrom protonqa.study.baselines.catalogue import shift_baselines, trainable_baselines\n"
        "import protonqa.study.baselines.paper_protocol, protonqa.study.statistics, protonqa.study.tornado\n"
        "shift_baselines(), trainable_baselines()\nsys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
