"""Cramer-Rao bounds of a shift against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erfc

from protonqa.errors import InputError
from protonqa.study.baselines.cramer_rao import (
    AdditiveNoise,
    MultiplicativeNoise,
    PoissonNoise,
    remaining_information,
    shift_bounds_mm,
    shift_information,
)
from protonqa.study.baselines.interface import RayProfiles
from protonqa.study.baselines.search import Window

DEPTH_MM = np.arange(300) + 0.5


def rays(*activity: np.ndarray, **more: object) -> RayProfiles:
    return RayProfiles(depth_mm=DEPTH_MM, activity=np.stack(activity), **more)


def edge(sd_mm: float, at_mm: float = 150.2, height: float = 1.0) -> np.ndarray:
    return height * 0.5 * erfc((DEPTH_MM - at_mm) / sd_mm / np.sqrt(2))


def peak(sd_mm: float, at_mm: float = 150.2, height: float = 1.0) -> np.ndarray:
    return height * np.exp(-0.5 * ((DEPTH_MM - at_mm) / sd_mm) ** 2)


@pytest.mark.parametrize("sd_mm", [2.5, 4.0, 6.0])
def test_additive_noise_on_a_gaussian_edge(sd_mm):
    """The integral of the squared slope of a Gaussian edge is 1 / (2 s sqrt(pi))."""
    bound = shift_bounds_mm(rays(edge(sd_mm), edge(sd_mm, height=7.0)), AdditiveNoise(sd=[0.1, 0.7]), nuisance=())
    assert bound == pytest.approx(0.1 * np.sqrt(2 * sd_mm * np.sqrt(np.pi)), rel=3e-3)


@pytest.mark.parametrize("sd_mm", [3.0, 8.0])
def test_counts_in_a_gaussian_peak_have_the_bound_of_their_centroid(sd_mm):
    """s / sqrt(N); a gain that is not known takes nothing, by symmetry."""
    profile = rays(peak(sd_mm))
    total = 40.0 * peak(sd_mm).sum()
    for nuisance in ((), ("gain",)):
        bound = shift_bounds_mm(profile, PoissonNoise(counts_per_unit=40.0, floor=1e-9), nuisance=nuisance)
        assert bound[0] == pytest.approx(sd_mm / np.sqrt(total), rel=2e-3)


def test_relative_noise_on_an_exponential():
    """Slope over value is constant: n bins tell n (snr^2 + 2) / length^2, and a free gain takes it all away."""
    length, n, snr = 9.0, 40, 4.0
    model = np.exp(-np.arange(n) / length)[None]
    noise = MultiplicativeNoise(snr=snr, floor=1e-9)
    weight = np.ones((1, n))
    known = shift_information(model, -model / length, weight, noise, ())
    assert remaining_information(known)[0] == pytest.approx(n * (snr**2 + 2) / length**2, rel=1e-9)
    free = shift_information(model, -model / length, weight, noise, ("gain",))
    assert remaining_information(free)[0] == 0.0


def test_background_in_counts_lowers_what_an_edge_tells():
    """Against the sum over bins, written out: slope squared over mean."""
    profile = edge(3.0)
    slope = np.gradient(profile)
    bound = shift_bounds_mm(rays(profile), PoissonNoise(counts_per_unit=50.0, background=0.3), nuisance=())
    assert bound[0] == pytest.approx(1 / np.sqrt((50.0 * slope**2 / (profile + 0.3)).sum()), rel=0.04)


def test_the_bound_follows_from_the_whole_fisher_matrix():
    """Schur complement against the inverse of the matrix, written out for shift, gain and pedestal."""
    profile = edge(4.0)[None] * (1 + 0.002 * (DEPTH_MM - 150))
    slope = np.gradient(profile, axis=1)
    for noise in (
        AdditiveNoise(sd=0.1),
        MultiplicativeNoise(snr=6.0),
        PoissonNoise(counts_per_unit=30.0, background=0.1),
    ):
        matrix = shift_information(profile, slope, np.ones_like(profile), noise, ("gain", "offset"))
        inverse = np.linalg.inv(matrix[0])
        assert 1 / remaining_information(matrix)[0] == pytest.approx(inverse[0, 0], rel=1e-9)


def test_what_is_not_known_never_sharpens_the_bound():
    profile = rays(edge(3.0) * (1 + 0.003 * (DEPTH_MM - 150)))
    for noise in (AdditiveNoise(sd=0.1), MultiplicativeNoise(snr=4.0), PoissonNoise(counts_per_unit=30.0)):
        steps = [(), ("gain",), ("gain", "offset"), ("gain", "offset", "level")]
        bounds = [shift_bounds_mm(profile, noise, nuisance=n)[0] for n in steps]
        assert bounds == sorted(bounds)


@pytest.mark.parametrize(
    ("noise", "power"),
    [
        (lambda f: AdditiveNoise(sd=0.02 * f), 1.0),
        (lambda f: PoissonNoise(counts_per_unit=900.0 / f**2), 1.0),
    ],
)
def test_the_bound_grows_with_the_noise(noise, power):
    bounds = [shift_bounds_mm(rays(edge(3.0)), noise(f))[0] for f in (1.0, 3.0)]
    assert bounds[1] == pytest.approx(3.0**power * bounds[0], rel=1e-6)


def test_a_floor_is_what_bounds_relative_noise():
    """Without it the tail would tell the shift exactly: each deeper bin has a steeper logarithm."""
    bounds = [
        shift_bounds_mm(rays(edge(3.0)), MultiplicativeNoise(snr=4.0, floor=f))[0] for f in (0.05, 0.01, 1e-3, 1e-6)
    ]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > 3 * bounds[-1]


def test_only_usable_bins_of_the_window_tell_anything():
    profile = edge(3.0)
    whole = shift_bounds_mm(rays(profile), AdditiveNoise(sd=0.1))[0]
    window = Window(proximal_mm=30.0, distal_mm=30.0)
    part = shift_bounds_mm(rays(profile), AdditiveNoise(sd=0.1), window=window)[0]
    mask = (np.abs(DEPTH_MM - 150) < 28)[None]
    masked = shift_bounds_mm(rays(profile, mask=mask), AdditiveNoise(sd=0.1))[0]
    assert whole < part < masked


def test_bounds_of_profiles_that_tell_nothing_or_cannot_be_read():
    flat, zero, broken = np.ones(300), np.zeros(300), np.where(DEPTH_MM < 20, np.nan, edge(3.0))
    bound = shift_bounds_mm(rays(flat, zero, broken, edge(3.0)), AdditiveNoise(sd=0.1))
    assert np.isposinf(bound[0])
    assert np.isnan(bound[1:3]).all()
    assert np.isfinite(bound[3])


def test_wrong_noise_is_an_error():
    profile = rays(edge(3.0), edge(3.0))
    for noise in (
        AdditiveNoise(sd=0.0),
        AdditiveNoise(sd=[1.0, np.nan]),
        AdditiveNoise(sd=[1.0, 1.0, 1.0]),
        MultiplicativeNoise(snr=-1.0),
        PoissonNoise(counts_per_unit=0.0),
        PoissonNoise(counts_per_unit=1.0, background=-1.0),
    ):
        with pytest.raises(InputError):
            shift_bounds_mm(profile, noise)
    for nuisance in (("gain", "gain"), ("tilt",)):
        with pytest.raises(InputError, match="nuisance"):
            shift_bounds_mm(profile, AdditiveNoise(sd=1.0), nuisance=nuisance)
