"""Baselines that shift an expected profile: what was imposed is found, and what cannot be judged is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize
from scipy.special import erfc

from protonqa.errors import InputError
from protonqa.physics.curves import a50_mm
from protonqa.study.baselines.catalogue import shift_baselines
from protonqa.study.baselines.chi_square import ProfileMatch
from protonqa.study.baselines.cramer_rao import AdditiveNoise, MultiplicativeNoise, PoissonNoise, shift_bounds_mm
from protonqa.study.baselines.interface import Baseline, KnownProfiles, RangeEstimates, RayProfiles
from protonqa.study.baselines.most_likely_shift import MostLikelyShift
from protonqa.study.baselines.pearson import PearsonMatch
from protonqa.study.baselines.search import Window
from protonqa.values import ProfileSet

DEPTH_MM = np.arange(320) + 0.5
FINE = 20
ALL = (
    *shift_baselines(),
    *(ProfileMatch(noise=kind, offset=True) for kind in ("additive", "multiplicative", "poisson")),
)
LIKELIHOODS = tuple(b for b in ALL if isinstance(b, ProfileMatch))
FREE_OF_PEDESTAL = (*(b for b in LIKELIHOODS if b.offset), PearsonMatch())


def by_name(baseline: Baseline) -> str:
    return baseline.name


def profiles(edge_mm: object, width_mm: object = 3.5) -> np.ndarray:
    """Means over 1 mm bins of an activity with a hump before its fall-off; it moves rigidly with the edge."""
    edge = np.atleast_1d(edge_mm).astype(float)[:, None]
    width = np.broadcast_to(np.atleast_1d(width_mm).astype(float)[:, None], edge.shape)
    beyond = (np.arange(DEPTH_MM.size * FINE) + 0.5) / FINE - edge
    plateau = 1 + 0.004 * beyond + 0.3 * np.exp(-0.5 * ((beyond + 18) / 6) ** 2)
    fine = np.maximum(0.5 * erfc(beyond / width / np.sqrt(2)) * plateau, 0.0)
    return fine.reshape(edge.size, DEPTH_MM.size, FINE).mean(axis=2)


def rays(activity: np.ndarray, **more: object) -> RayProfiles:
    return RayProfiles(depth_mm=DEPTH_MM, activity=activity, **more)


def expected(edge_mm: object, width_mm: object = 3.5) -> KnownProfiles:
    edge = np.atleast_1d(edge_mm).astype(float)
    return KnownProfiles(profiles=rays(profiles(edge, width_mm)), r80_mm=edge + 5.0)


def codes(found: RangeEstimates) -> set[str]:
    return {"" if m is None else m.code for m in found.missing}


@pytest.mark.parametrize("baseline", ALL, ids=by_name)
@settings(max_examples=8, deadline=None)
@given(
    edge_mm=st.floats(60, 250),
    width_mm=st.floats(2.2, 6.0),
    shift_mm=st.floats(-12, 12),
    log_gain=st.floats(-25, 25),
)
def test_a_shift_that_is_imposed_is_found_whatever_the_unit(baseline, edge_mm, width_mm, shift_mm, log_gain):
    measured = rays(10.0**log_gain * profiles(edge_mm + shift_mm, width_mm))
    found = baseline.range_mm(measured, expected(edge_mm, width_mm))
    assert found.reason == ("",)
    assert found.shift_mm[0] == pytest.approx(shift_mm, abs=0.02)
    assert found.r80_mm[0] == pytest.approx(edge_mm + 5.0 + shift_mm, abs=0.02)


@pytest.mark.parametrize("baseline", FREE_OF_PEDESTAL, ids=by_name)
@pytest.mark.parametrize("pedestal", [0.05, 0.4])
def test_a_pedestal_moves_no_method_that_allows_for_one(baseline, pedestal):
    edge, shift = np.linspace(80, 240, 40), np.linspace(-9, 9, 40)
    found = baseline.range_mm(rays(3.0 * (profiles(edge + shift) + pedestal)), expected(edge))
    assert found.valid.all()
    assert np.abs(found.shift_mm - shift).max() < 0.03


def test_a_pedestal_moves_the_methods_that_do_not_allow_for_it():
    """The test above would prove nothing if a pedestal moved nobody."""
    edge = np.linspace(80, 240, 10)
    for baseline in (MostLikelyShift(), ProfileMatch()):
        found = baseline.range_mm(rays(profiles(edge) + 0.4), expected(edge))
        assert (np.abs(found.shift_mm[found.valid]) > 0.1).all()


@pytest.mark.parametrize("baseline", [MostLikelyShift, PearsonMatch])
def test_the_published_window_that_follows_finds_a_clean_shift_too(baseline):
    edge, shift = np.linspace(80, 240, 33), np.linspace(-9.7, 9.7, 33)
    window = Window(proximal_mm=20.0, distal_mm=20.0, follows=True)
    found = baseline(window=window).range_mm(rays(profiles(edge + shift)), expected(edge))
    assert found.valid.all()
    assert np.abs(found.shift_mm - shift).max() < 0.02


def test_a_window_that_follows_biases_the_most_likely_shift_under_noise():
    """Why the window stands still by default: where bins come and go, a larger mean looks like a better fit."""
    rng = np.random.default_rng(4)
    edge = rng.uniform(80, 240, 400)
    clean = profiles(edge)
    noisy = rays(clean + 0.25 * clean.max() * rng.normal(size=clean.shape))
    moving = MostLikelyShift(window=Window(proximal_mm=20.0, distal_mm=20.0, follows=True))
    assert np.nanmean(moving.range_mm(noisy, expected(edge)).shift_mm) < -0.7
    assert abs(np.nanmean(MostLikelyShift().range_mm(noisy, expected(edge)).shift_mm)) < 0.25


def with_noise(kind: str, clean: np.ndarray, background: float, rng: np.random.Generator) -> tuple[object, np.ndarray]:
    """Noise as the bounds take it, and noisy profiles."""
    if kind == "additive":
        return AdditiveNoise(sd=0.05), clean + 0.05 * rng.normal(size=clean.shape)
    if kind == "multiplicative":
        sd = 0.1 * np.hypot(clean, 0.01 * clean.max())
        return MultiplicativeNoise(snr=10.0), clean + sd * rng.normal(size=clean.shape)
    drawn = rng.poisson(100.0 * (clean + background)) / 100.0 - background
    return PoissonNoise(counts_per_unit=100.0, background=background), drawn


@pytest.mark.parametrize(
    ("kind", "offset", "background"),
    [
        ("additive", False, 0.0),
        ("additive", True, 0.0),
        ("multiplicative", False, 0.0),
        ("multiplicative", True, 0.0),
        ("poisson", False, 0.0),
        ("poisson", False, 0.1),
        ("poisson", True, 0.1),
    ],
)
def test_maximum_likelihood_reaches_the_cramer_rao_bound(kind, offset, background):
    """At moderate noise: scatter within 7 % of the bound (Monte Carlo error 1.8 %), no bias, honest own sigma."""
    n, shift_mm = 1500, 0.37
    rng = np.random.default_rng(11)
    top = profiles(120.3).max()
    noise, drawn = with_noise(kind, np.repeat(profiles(120.3 + shift_mm) / top, n, axis=0), background, rng)
    baseline = ProfileMatch(noise=kind, offset=offset)
    reference = rays(profiles(120.3) / top)
    bound = shift_bounds_mm(reference, noise, window=baseline.window, nuisance=baseline.nuisance)[0]
    many = KnownProfiles(profiles=rays(np.repeat(reference.activity, n, axis=0)), r80_mm=np.full(n, 125.3))
    found = baseline.range_mm(rays(drawn, background=np.full(n, background)), many)
    assert found.valid.all()
    assert found.shift_mm.std() == pytest.approx(bound, rel=0.07)
    assert found.shift_mm.mean() == pytest.approx(shift_mm, abs=4 * bound / np.sqrt(n) + 0.1 * bound)
    assert found.sigma_mm.mean() == pytest.approx(bound, rel=0.07)


def test_no_method_beats_the_bound_on_additive_noise():
    rng = np.random.default_rng(6)
    n = 500
    clean = np.repeat(profiles(140.0), n, axis=0)
    noisy = rays(clean + 0.06 * rng.normal(size=clean.shape))
    many = expected(np.full(n, 140.0))
    for baseline in (MostLikelyShift(), PearsonMatch(), ProfileMatch(), ProfileMatch(offset=True)):
        bound = shift_bounds_mm(
            rays(profiles(140.0)), AdditiveNoise(sd=0.06), window=baseline.window, nuisance=("gain",)
        )[0]
        assert baseline.range_mm(noisy, many).shift_mm.std() > 0.92 * bound, baseline.name


@pytest.mark.parametrize(("offset", "background"), [(False, 0.0), (False, 0.2), (True, 0.2)])
def test_poisson_fit_is_that_of_a_general_minimiser(offset, background):
    """An independent fit of shift, gain and pedestal: other interpolation, other minimiser, same likelihood."""
    rng = np.random.default_rng(8)
    clean = profiles(150.0)[0]
    counts = rng.poisson(60 * (profiles(152.3)[0] + background), size=(4, clean.size))
    given = np.full(4, 60 * (0.0 if offset else background))
    baseline = ProfileMatch(noise="poisson", offset=offset)
    measured = rays(counts - given[:, None], background=given)
    found = baseline.range_mm(measured, expected(np.full(4, 150.0)))
    spline = CubicSpline(DEPTH_MM, clean)

    def minus_log(parameters: np.ndarray, drawn: np.ndarray, known: float, where: np.ndarray) -> float:
        shift, gain = parameters[:2]
        pedestal = parameters[2] if offset else 0.0
        mean = np.maximum(gain * np.maximum(spline(DEPTH_MM[where] - shift), 1e-4) + pedestal + known, 1e-9)
        return float((mean - drawn[where] * np.log(mean)).sum())

    window = baseline.window
    first = np.round(a50_mm(DEPTH_MM, clean) - window.proximal_mm - 0.5)
    inside = (np.arange(DEPTH_MM.size) >= first) & (np.arange(DEPTH_MM.size) < first + window.bins(1.0))
    for row in range(4):
        start = np.array([1.5, 60.0, 10.0][: 3 if offset else 2])
        best = minimize(
            minus_log,
            start,
            args=(counts[row], given[row], inside),
            method="Nelder-Mead",
            options={"xatol": 1e-5, "fatol": 1e-9, "maxiter": 4000},
        )
        assert found.shift_mm[row] == pytest.approx(best.x[0], abs=0.01)


BAD = {
    "flat": ("constant", lambda p: np.full_like(p, 2.0)),
    "all zero": ("all-zero", np.zeros_like),
    "negative": ("negative", lambda p: -p),
    "one NaN": ("not-finite", lambda p: np.where(DEPTH_MM == 40.5, np.nan, p)),
    "infinite": ("not-finite", lambda p: np.where(DEPTH_MM == 40.5, np.inf, p)),
    "filled with zeros before its fall-off": ("truncated", lambda p: np.where(DEPTH_MM > 112, 0.0, p)),
}


@pytest.mark.parametrize("baseline", ALL, ids=by_name)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_profile_is_refused_with_its_reason_and_harms_no_other(baseline, kind):
    code, spoil = BAD[kind]
    good = profiles([120.0, 122.0, 119.0])
    activity = np.concatenate([good[:2], spoil(good[:1]), good[2:]])
    found = baseline.range_mm(rays(activity), expected(np.full(4, 120.0)))
    assert found.valid.tolist() == [True, True, False, True]
    assert found.missing[2].code == code
    assert len(found.reason[2]) > 10
    assert np.isnan([found.r80_mm[2], found.shift_mm[2], found.sigma_mm[2]]).all()
    assert np.allclose(found.shift_mm[[0, 1, 3]], [0.0, 2.0, -1.0], atol=0.02)


@pytest.mark.parametrize("baseline", ALL, ids=by_name)
def test_a_window_that_ends_before_the_fall_off_is_refused(baseline):
    for end in (100, 117, 124):
        mask = (np.arange(DEPTH_MM.size) < end)[None]
        assert codes(baseline.range_mm(rays(profiles(120.0), mask=mask), expected(120.0))) == {"truncated"}
    deeper = rays(profiles(130.0), mask=(DEPTH_MM < 131.0)[None])
    assert codes(baseline.range_mm(deeper, expected(120.0))) <= {"truncated", "unlike", "beyond-reach"}


@pytest.mark.parametrize("baseline", ALL, ids=by_name)
def test_what_lies_outside_the_window_does_not_count(baseline):
    clean = profiles([120.0])
    mask = (np.abs(DEPTH_MM - 110.0) < 45)[None]
    spoiled = np.where(mask, clean, np.nan)
    found = baseline.range_mm(rays(spoiled, mask=mask), expected(121.5))
    assert found.shift_mm[0] == pytest.approx(-1.5, abs=0.02)


@pytest.mark.parametrize("baseline", ALL, ids=by_name)
def test_a_shift_beyond_reach_or_noise_alone_is_refused(baseline):
    far = baseline.range_mm(rays(profiles([150.0, 90.0])), expected([120.0, 120.0]))
    assert not far.valid.any()
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(300, DEPTH_MM.size))
    for activity in (noise, noise + 6.0):
        found = baseline.range_mm(rays(activity), expected(rng.uniform(80, 240, 300)))
        assert found.valid.mean() < 0.01, baseline.name


def test_negative_bins_stop_the_poisson_match_unless_the_background_is_known():
    measured = profiles(120.0) - 0.02
    refused = ProfileMatch(noise="poisson").range_mm(rays(measured), expected(120.0))
    assert codes(refused) == {"negative"}
    known = rays(profiles(120.0), background=np.array([0.02]))
    assert ProfileMatch(noise="poisson").range_mm(known, expected(120.0)).shift_mm[0] == pytest.approx(0.0, abs=0.02)


def test_an_expected_profile_that_cannot_serve_is_named():
    known = KnownProfiles(profiles=rays(np.full((1, DEPTH_MM.size), 1.0)), r80_mm=np.array([100.0]))
    found = MostLikelyShift().range_mm(rays(profiles(100.0)), known)
    assert "expected profile" in found.reason[0]


@pytest.mark.parametrize("baseline", ALL, ids=by_name)
def test_neither_order_nor_company_of_the_rays_changes_an_answer(baseline):
    rng = np.random.default_rng(5)
    edge = rng.uniform(80, 240, 60)
    noisy = np.abs(profiles(edge + 1.0) * (1 + 0.05 * rng.normal(size=(60, DEPTH_MM.size))))
    noisy[7] = np.nan
    every = baseline.range_mm(rays(noisy), expected(edge))
    order = rng.permutation(60)
    mixed = baseline.range_mm(rays(noisy[order]), expected(edge[order]))
    assert np.allclose(mixed.r80_mm, every.r80_mm[order], atol=1e-9, equal_nan=True)
    assert mixed.reason == tuple(every.reason[i] for i in order)
    alone = baseline.range_mm(rays(noisy[3:4]), expected(edge[3:4]))
    assert alone.r80_mm[0] == pytest.approx(every.r80_mm[3], abs=1e-9)


def test_no_rays_give_no_answers():
    nothing = rays(np.empty((0, DEPTH_MM.size)))
    for baseline in ALL:
        found = baseline.range_mm(nothing, KnownProfiles(profiles=nothing, r80_mm=np.empty(0)))
        assert found.r80_mm.shape == (0,)


def test_a_profile_set_serves_as_well_and_needs_are_named():
    measured = ProfileSet(depth_mm=DEPTH_MM, activity=profiles(121.0))
    reference = KnownProfiles(
        profiles=ProfileSet(depth_mm=DEPTH_MM, activity=profiles(120.0)), r80_mm=np.array([125.0])
    )
    for baseline in shift_baselines():
        assert baseline.needs.expected
        assert baseline.range_mm(measured, reference).r80_mm[0] == pytest.approx(126.0, abs=0.02)
        with pytest.raises(InputError, match="expected profiles"):
            baseline.range_mm(measured)
    assert len({b.name for b in ALL}) == len(ALL)


def test_wrong_use_is_an_error():
    with pytest.raises(InputError, match="do not match"):
        MostLikelyShift().range_mm(rays(profiles([100.0, 100.0])), expected(100.0))
    with pytest.raises(InputError, match="unknown noise"):
        ProfileMatch(noise="laplace")
    with pytest.raises(InputError, match="window"):
        Window(proximal_mm=5.0, distal_mm=20.0)
    with pytest.raises(InputError, match="cannot be compared"):
        ProfileMatch(window=Window(proximal_mm=20.0, distal_mm=20.0, follows=True))
    uneven = np.append(DEPTH_MM[:-1], DEPTH_MM[-1] + 3)
    crooked = RayProfiles(depth_mm=uneven, activity=profiles(100.0))
    with pytest.raises(InputError, match="equally spaced"):
        PearsonMatch().range_mm(crooked, KnownProfiles(profiles=crooked, r80_mm=np.array([105.0])))
    for wrong in ({"depth_mm": DEPTH_MM[::-1]}, {"mask": np.ones((2, 3), dtype=bool)}, {"background": [-1.0]}):
        with pytest.raises(InputError):
            RayProfiles(**{"depth_mm": DEPTH_MM, "activity": profiles(100.0), **wrong})
    with pytest.raises(InputError, match="R80"):
        KnownProfiles(profiles=rays(profiles(100.0)), r80_mm=np.array([np.nan]))
