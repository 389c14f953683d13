"""Laws of a single step: random numbers, energy loss, turns and nuclear kinematics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from protonqa.montecarlo import laws
from protonqa.montecarlo.philox import normal_pair, philox4x32, uniforms
from protonqa.montecarlo.step_tables import _straggling, cumulant_rates
from protonqa.physics.constants import PROTON_MASS_MEV
from protonqa.physics.materials import material
from protonqa.physics.stopping import mass_stopping_power

U = np.uint64


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_known_answers(counter, key, answer):
    """Random123 known-answer vectors: another answer means another, untested generator."""
    assert tuple(int(v) for v in philox4x32(*(U(c) for c in counter), *(U(k) for k in key))) == answer


def test_uniforms_never_touch_zero_or_one_and_differ_between_histories():
    draws = np.array([uniforms(U(h), U(0), U(1), U(2)) for h in range(500)])
    assert draws.min() > 0.0
    assert draws.max() < 1.0
    assert np.unique(draws).size == draws.size
    assert abs(draws.mean() - 0.5) < 0.02


def _losses(path_g_per_cm2, energy_mev, n, name="water", seed=3, pieces=1):
    medium = material(name)
    energy = np.array([energy_mev])
    jump, shape = (float(v[0]) for v in _straggling(medium, energy))
    stopping = float(mass_stopping_power(medium, energy)[0])
    out = np.zeros(n)
    for i in range(n):
        for k in range(pieces):
            a, b, c, _ = uniforms(U(i), U(k), U(seed), U(0))
            out[i] += laws.straggled_loss(stopping, jump, shape, path_g_per_cm2 / pieces, normal_pair(a, b)[0], c)
    return out, stopping


@pytest.mark.parametrize(
    ("path", "energy", "name"), [(0.1, 150.0, "water"), (0.2, 60.0, "bone"), (1.2e-4, 150.0, "air")]
)
def test_straggling_has_the_mean_and_variance_of_single_collisions(path, energy, name):
    """A biased mean moves every range; a wrong variance changes the fall-off. Air is the thin-step trap."""
    losses, stopping = _losses(path, energy, 20000, name)
    second, _ = (float(v[0]) for v in cumulant_rates(material(name), np.array([energy])))
    spread = math.sqrt(second * path)
    assert losses.min() > 0.0
    assert abs(losses.mean() - stopping * path) < 4.0 * spread / math.sqrt(losses.size)
    if name != "air":  # in air a single rare collision rules the variance of any sample
        assert losses.std() == pytest.approx(spread, rel=0.05)


def test_straggling_does_not_depend_on_how_a_path_is_cut():
    """Quantiles of one 2 mm step and of eight 0.25 mm steps agree: voxel size must not change the physics."""
    whole, _ = _losses(0.2, 120.0, 8000)
    cut, _ = _losses(0.2, 120.0, 8000, seed=9, pieces=8)
    quantiles = np.linspace(0.05, 0.95, 10)
    scale = whole.std()
    assert np.abs(np.quantile(whole, quantiles) - np.quantile(cut, quantiles)).max() < 0.08 * scale


def test_third_cumulant_is_that_of_the_collision_spectrum():
    """The skewness of thin steps comes from hard collisions; it fixes the random part's rate."""
    medium, energy = material("water"), np.array([150.0])
    second, third = cumulant_rates(medium, energy)
    jump, shape = _straggling(medium, energy)
    # inverse Gaussian with mean m and shape l = m^2 * shape: cumulants m^3/l and 3 m^5/l^2 per unit path
    assert jump**2 / shape == pytest.approx(second)
    assert 3.0 * jump**3 / shape**2 == pytest.approx(third)


@pytest.mark.parametrize("start", [(0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (0.6, 0.0, -0.8), (1.0, 0.0, 0.0)])
def test_a_turn_keeps_length_and_makes_the_asked_angle(start):
    for theta in (1e-6, 0.02, 1.0, 3.0):
        for phi in (0.0, 1.0, 4.0):
            v = laws.turned(*start, math.cos(theta), math.sin(theta), math.cos(phi), math.sin(phi))
            assert np.linalg.norm(v) == pytest.approx(1.0, abs=1e-12)
            assert np.dot(v, start) == pytest.approx(math.cos(theta), abs=1e-9)


def _momentum(energy):
    return math.sqrt(energy * (energy + 2.0 * PROTON_MASS_MEV))


@pytest.mark.parametrize("u", [0.01, 0.3, 0.77, 0.999])
def test_pp_scattering_conserves_energy_and_momentum(u):
    first, second, cos1, cos2 = laws.pp_elastic(150.0, u)
    assert first + second == pytest.approx(150.0)
    along = _momentum(first) * cos1 + _momentum(second) * cos2
    across = _momentum(first) * math.sqrt(1 - cos1**2) - _momentum(second) * math.sqrt(1 - cos2**2)
    assert along == pytest.approx(_momentum(150.0), rel=1e-9)
    assert across == pytest.approx(0.0, abs=1e-6)


def test_nuclear_elastic_scattering_conserves_momentum_and_has_the_stated_mean():
    mass = 15.999 * 931.494
    draws = (np.arange(2000) + 0.5) / 2000
    given = np.array([laws.nucleus_elastic(100.0, 0.45, mass, u)[0] for u in draws])
    assert given.mean() == pytest.approx(0.45, rel=0.02)
    transfer, cos_theta = laws.nucleus_elastic(100.0, 0.45, mass, 0.6)
    left = 100.0 - transfer
    recoil2 = _momentum(100.0) ** 2 + _momentum(left) ** 2 - 2 * _momentum(100.0) * _momentum(left) * cos_theta
    assert recoil2 == pytest.approx(transfer * (transfer + 2 * mass), rel=1e-9)


def test_moliere_factor_matches_the_vector_form():
    from protonqa.physics.scattering import moliere_correction, pv_mev

    for energy, first in ((100.0, 150.0), (10.0, 150.0), (149.9, 150.0)):
        pair = float(pv_mev(energy)), float(pv_mev(first))
        assert laws.pv(energy) == pytest.approx(pair[0])
        assert laws.moliere_factor(*pair) == pytest.approx(float(moliere_correction(*pair)))
