"""Laws of a single step: random numbers, energy loss, turns and nuclear kinematics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtri

from protonqa.montecarlo import laws
from protonqa.montecarlo.leg_tables import cumulant_rates, straggling
from protonqa.montecarlo.philox import draw_of, normal_of, normal_quantiles, philox4x32
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
    draws = np.array([draw_of(U(h), U(0), U(1), U(2)) for h in range(500)])
    assert draws.min() > 0.0
    assert draws.max() < 1.0
    assert np.unique(draws).size == draws.size
    assert abs(draws.mean() - 0.5) < 0.02


def test_numbers_drawn_ahead_are_those_of_their_draws():
    """A back end that fills blocks must not change the physics: same counter, same number, beyond the first block."""
    from protonqa.montecarlo.philox import BLOCK, draw_block

    drawn = np.zeros(4 * BLOCK)
    for first in (0, BLOCK, 3 * BLOCK):
        draw_block(U(77), U(first), U(5), U(6), drawn)
        expected = [draw_of(U(77), U(first + k), U(5), U(6)) for k in range(BLOCK)]
        assert np.array_equal(drawn, np.ravel(expected))


def test_normal_numbers_have_the_quantiles_of_the_normal_law():
    """Into the tail: a rare large deflection or loss must not be cut off."""
    table = normal_quantiles()
    for u in (2.0**-33, 1e-9, 1e-6, 1e-3, 0.02, 0.2, 0.4999, 0.5001, 0.9, 1.0 - 1e-7):
        x = normal_of(u, table)
        assert x == pytest.approx(float(ndtri(u)), abs=2e-3 * max(1.0, abs(float(ndtri(u)))))
    x = np.array([normal_of((i + 0.5) / 20000, table) for i in range(20000)])
    assert abs(x.mean()) < 1e-9
    assert x.std() == pytest.approx(1.0, abs=1e-3)


def _losses(path_g_per_cm2, energy_mev, n, name="water", seed=3, pieces=1):
    """Sampled losses on a path, drift and fluctuation, and the stopping power."""
    medium, table = material(name), normal_quantiles()
    energy = np.array([energy_mev])
    jump, shape = (float(v[0]) for v in straggling(medium, energy))
    stopping = float(mass_stopping_power(medium, energy)[0])
    out, path = np.zeros(n), path_g_per_cm2 / pieces
    for i in range(n):
        for k in range(pieces):
            a, b, _, _ = draw_of(U(i), U(k), U(seed), U(0))
            out[i] += path * (stopping - jump + jump * laws.fluctuation(shape * path, normal_of(a, table), b))
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
    jump, shape = straggling(medium, energy)
    # Inverse Gaussian of mean m and shape m * shape per unit path: cumulants m^2 / shape and 3 m^3 / shape^2.
    assert jump**2 / shape == pytest.approx(second)
    assert 3.0 * jump**3 / shape**2 == pytest.approx(third)


@pytest.mark.parametrize("shape", [1e-6, 0.01, 1.0, 50.0, 1e4])
def test_the_fluctuation_has_mean_1_for_any_shape(shape):
    """Given the normal number it is one of a pair, x and 1/x, with the chances that make the mean 1.

    A thin step of air may neither lose nor win energy.
    """
    for normal in (1e-3, 0.3, 1.0, 4.0):
        low = laws.fluctuation(shape, normal, 1e-12)
        high = laws.fluctuation(shape, normal, 1.0 - 1e-12)
        chance = 1.0 / (1.0 + low)
        assert high * low == pytest.approx(1.0)
        assert high * (1.0 - chance) + low * chance == pytest.approx(1.0)
        assert laws.fluctuation(shape, normal, chance * (1.0 - 1e-9)) == low
        assert laws.fluctuation(shape, normal, chance + 1e-6 * (1.0 - chance)) == high
        # The pair's sum fixes the law: x + 1/x - 2 = normal^2 / shape, for every inverse Gaussian of mean 1.
        assert shape * (high - 1.0) ** 2 / high == pytest.approx(normal**2, rel=1e-6)


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


def test_nuclear_elastic_scattering_conserves_energy_and_momentum():
    mass = 15.999 * 931.494
    for energy, cos_cm in ((100.0, 0.99), (200.0, 0.5), (7.0, -1.0), (60.0, 1.0)):
        transfer, cos_theta = laws.elastic_recoil(energy, mass, cos_cm)
        left = energy - transfer
        recoil2 = _momentum(energy) ** 2 + _momentum(left) ** 2 - 2 * _momentum(energy) * _momentum(left) * cos_theta
        assert recoil2 == pytest.approx(transfer * (transfer + 2 * mass), rel=1e-9, abs=1e-6)
    # Backwards in the centre of mass: the largest transfer, 2 M p^2 / s.
    transfer, cos_theta = laws.elastic_recoil(7.0, mass, -1.0)
    s = (7.0 + PROTON_MASS_MEV + mass) ** 2 - _momentum(7.0) ** 2
    assert transfer == pytest.approx(2.0 * mass * _momentum(7.0) ** 2 / s)
    assert cos_theta == pytest.approx(-1.0)


@pytest.mark.parametrize("slope", [-3.0, 0.0, 1e-4, 0.7, 12.0])
def test_secondaries_leave_at_the_mean_angle_of_their_law(slope):
    """exp(a cos): all directions for a = 0, forward for large a; mean cosine coth(a) - 1/a."""
    from protonqa.physics.nuclear_events import mean_cosine

    draws = np.array([laws.forward_cosine(slope, (i + 0.5) / 4000) for i in range(4000)])
    assert draws.min() >= -1.0
    assert draws.max() <= 1.0
    assert draws.mean() == pytest.approx(float(mean_cosine(slope)), abs=2e-3)


def test_a_small_kick_is_a_turn_by_its_two_angles():
    for start in ((0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (0.6, -0.48, 0.64)):
        for a, b in ((1e-3, 0.0), (0.02, -0.03), (0.2, 0.1)):
            v = np.array(laws.kicked(*start, a, b))
            assert np.linalg.norm(v) == pytest.approx(1.0, abs=1e-6)
            angle = math.acos(min(float(v @ start), 1.0))
            assert math.tan(angle) == pytest.approx(math.hypot(a, b), rel=1e-3, abs=1e-6)


def test_moliere_factor_matches_the_vector_form():
    from protonqa.physics.scattering import moliere_correction, pv_mev

    logs = laws.log_table()
    for energy, first in ((100.0, 150.0), (10.0, 150.0), (149.9, 150.0)):
        pair = float(pv_mev(energy)), float(pv_mev(first))
        assert laws.pv(energy) == pytest.approx(pair[0])
        found = laws.moliere_factor(pair[0] / pair[1], math.log10(pair[0]), logs)
        assert found == pytest.approx(float(moliere_correction(*pair)), rel=1e-3)
