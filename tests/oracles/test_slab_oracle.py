"""The oracle itself: closed forms, conservation, independence of its own settings, published figures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from protonqa.physics.curves import distal_range_mm
from protonqa.physics.emission import CHANNEL_NAMES, cross_section_set
from protonqa.physics.materials import material
from protonqa.physics.stopping import csda_range_water_mm, energy_from_range_water_mev, mass_stopping_power
from tests.oracles.fermi_eyges import lateral_moments, scattering_power
from tests.oracles.slab_transport import transport
from tests.oracles.slowing_down import collisions, mean_energy_mev, primary_yields, slab, straggling_moments

SANDWICH = (slab("water", 30.0), slab("bone", 20.0), slab("lung", 40.0), slab("water", 60.0))


def r80_mm(result, end_mm):
    edges = np.arange(0.0, end_mm + 0.01, 0.25)
    return distal_range_mm(0.5 * (edges[1:] + edges[:-1]), result.depth_dose(edges))


@pytest.mark.parametrize("energy_mev", [70.0, 150.0])
def test_without_chance_a_proton_ends_at_its_csda_range(energy_mev):
    """Steps that err in the mean loss would shift every range the kernels are held to."""
    whole = float(csda_range_water_mm(energy_mev))
    at = round(0.7 * whole)
    result = transport(
        [slab("water", whole + 5.0)],
        energy_mev,
        protons=2,
        seed=0,
        planes_mm=(at,),
        straggling=False,
        scattering=False,
    )
    assert result.planes[0].energy_mev[0] == pytest.approx(float(energy_from_range_water_mev(whole - at)), abs=2e-3)
    # The walk ends at 2 MeV, 0.08 mm before the range.
    last = result.edge_mm[1 + np.flatnonzero(result.deposited_mev).max()]
    assert whole - 0.1 <= last <= whole + 0.25
    assert mean_energy_mev([slab("water", whole)], energy_mev, [at])[0] == pytest.approx(
        float(energy_from_range_water_mev(whole - at)), abs=2e-3
    )


def test_energy_is_deposited_or_leaves():
    stopped = transport(SANDWICH, 100.0, protons=600, seed=1)
    assert stopped.deposited_mev.sum() == pytest.approx(100.0, abs=1e-9)
    assert stopped.escaped_mev == 0.0
    through = transport(SANDWICH, 160.0, protons=600, seed=1)
    assert through.deposited_mev.sum() + through.escaped_mev == pytest.approx(160.0, abs=1e-9)
    assert through.escaped_mev > 50.0


@pytest.mark.parametrize("order", [1, 2, 3])
def test_moments_of_collisions_are_integrals_of_the_spin_half_law(order):
    hits = collisions(material("bone"), 120.0)
    top, beta2, total, xi = (float(v) for v in (hits.top_mev, hits.beta2, hits.total_mev, hits.xi_mev_cm2_per_g))
    law = lambda t: t**order * xi / t**2 * (1.0 - beta2 * t / top + t**2 / (2.0 * total**2))  # noqa: E731
    assert float(hits.moment(order, 0.01, top)) == pytest.approx(quad(law, 0.01, top)[0], rel=1e-9)


@pytest.mark.parametrize(("name", "thickness_mm"), [("water", 10.0), ("air", 300.0)])
def test_a_thin_slab_gives_the_mean_variance_and_skewness_of_single_collisions(name, thickness_mm):
    """Restricted stopping and sampled collisions together are the whole stopping power, in gas as in water."""
    n, energy = 30000, 180.0
    layer = slab(name, thickness_mm)
    result = transport(
        [layer], energy, protons=n, seed=2, step_mm=0.5, planes_mm=(thickness_mm,), scattering=False, centred=False
    )
    loss = energy - result.planes[0].energy_mev
    path = layer.thickness_g_per_cm2
    hits = collisions(layer.medium, energy - 0.5 * loss.mean())
    mean = float(mass_stopping_power(layer.medium, energy - 0.5 * loss.mean())) * path
    second, third = (float(hits.moment(k, 1e-9, hits.top_mev)) * path for k in (2, 3))
    assert loss.min() > 0.0
    assert abs(loss.mean() - mean) < 4.0 * np.sqrt(second / n)
    # Sampling errors: 0.5 to 1.2 % of the SD, 0.02 to 0.1 of the skewness.
    assert loss.std() == pytest.approx(np.sqrt(second), rel=0.03)
    assert float(((loss - loss.mean()) ** 3).mean()) / loss.std() ** 3 == pytest.approx(third / second**1.5, rel=0.15)


@pytest.mark.parametrize(("energy_mev", "thickness_mm"), [(70.0, 25.0), (150.0, 100.0)])
def test_straggling_behind_a_thick_slab_follows_the_moment_equations(energy_mev, thickness_mm):
    """Sampling errors at 25000 protons: SD 0.45 %, skewness 0.016."""
    layers = [slab("water", thickness_mm)]
    result = transport(
        layers, energy_mev, protons=25000, seed=3, step_mm=thickness_mm / 100.0, planes_mm=(thickness_mm,)
    )
    mean, sd, skewness = result.planes[0].energy_moments
    expected = straggling_moments(layers, energy_mev)
    # Scattered protons have a longer way: up to 0.04 MeV here.
    assert -0.06 < mean - expected[0] < 0.01
    assert sd == pytest.approx(expected[1], rel=0.012)
    assert skewness == pytest.approx(expected[2], abs=0.045)
    assert skewness < 0.0


def test_steps_and_the_threshold_of_single_collisions_do_not_move_the_result():
    layers = [slab("water", 50.0)]
    settings = ({}, {"step_mm": 0.125}, {"delta_cut_mev": 0.06})
    runs = [transport(layers, 70.0, protons=4000, seed=4 + k, planes_mm=(30.0,), **s) for k, s in enumerate(settings)]
    ranges = [r80_mm(r, 50.0) for r in runs]
    spreads = [r.planes[0].energy_moments[1] for r in runs]
    assert np.ptp(ranges) < 0.03
    assert np.ptp(spreads) < 0.04 * spreads[0]  # sampling error of each 1.1 %
    assert ranges[0] == pytest.approx(float(csda_range_water_mm(70.0)), abs=0.12)


@pytest.mark.parametrize(
    ("layers", "energy_mev", "depths_mm"),
    [((slab("water", 160.0),), 150.0, (50.0, 100.0, 145.0)), (SANDWICH, 140.0, (30.0, 50.0, 90.0, 125.0))],
    ids=["water", "sandwich"],
)
def test_lateral_spread_of_the_walk_is_the_fermi_eyges_integral(layers, energy_mev, depths_mm):
    """Sampling error of each sigma 0.6 %."""
    result = transport(layers, energy_mev, protons=7000, seed=5, step_mm=0.8, planes_mm=depths_mm)
    sigma = [plane.sigma_mm for plane in result.planes]
    assert sigma == pytest.approx(lateral_moments(layers, energy_mev).sigma_mm(depths_mm), rel=0.015)


def test_moments_are_the_integral_over_the_scattering_power():
    """A2 = integral of T (z - z')^2, by another quadrature; at the entrance alone nothing has spread yet."""
    moments = lateral_moments(SANDWICH, 140.0)
    z = (np.arange(20000) + 0.5) * 100.0 / 20000
    energy = mean_energy_mev(SANDWICH, 140.0, z)
    per_mm, entry = np.zeros_like(z), 0.0
    for layer in SANDWICH:
        inside = (z >= entry) & (z < entry + layer.thickness_mm)
        per_mm[inside] = scattering_power(layer.medium, energy[inside], 140.0) * 0.1 * layer.density_g_per_cm3
        entry += layer.thickness_mm
    direct = np.sqrt(np.sum(per_mm * (100.0 - z) ** 2) * (100.0 / 20000))
    assert float(moments.sigma_mm(100.0)) == pytest.approx(direct, rel=1e-3)
    assert float(moments.sigma_mm(0.0)) == 0.0


@pytest.mark.parametrize(("energy_mev", "sigma_mm"), [(100.0, 1.8), (150.0, 3.5), (200.0, 5.4)])
def test_spread_at_the_end_of_range_in_water_is_the_published_one(energy_mev, sigma_mm):
    """About 2 % of the range (Preston and Koehler 1968; Gottschalk 2010)."""
    moments = lateral_moments([slab("water", 300.0)], energy_mev)
    assert float(np.sqrt(moments.position_mm2[-1])) == pytest.approx(sigma_mm, rel=0.06)


@pytest.mark.parametrize(("energy_mev", "c11", "o15"), [(110.0, 2.00, 0.61), (140.0, 2.82, 0.84), (175.0, 3.74, 1.08)])
def test_primary_yields_in_pmma_are_the_reference_figures(energy_mev, c11, o15):
    """Per 100 protons, recommended cross sections, ICRU 63 attenuation."""
    layers = [slab("pmma", 80.0), slab("pmma", 140.0)]
    made = 100.0 * primary_yields(layers, energy_mev, cross_section_set("recommended"), [60.0, 220.0])
    by_name = dict(zip(CHANNEL_NAMES, made[:, 1], strict=True))
    assert by_name["p+12C->11C"] + by_name["p+16O->11C"] == pytest.approx(c11, rel=0.02)
    assert by_name["p+16O->15O"] == pytest.approx(o15, rel=0.02)
    assert np.all(made[:, 0] <= made[:, 1])
    bare = 100.0 * primary_yields(layers, energy_mev, cross_section_set("recommended"), [220.0], attenuated=False)
    assert np.all(bare[made[:, 1] > 0, 0] > made[made[:, 1] > 0, 1])
