"""The kernels against the plain oracle of tests/oracles: other steps, other straggling, other random numbers.

Depth doses, energies and spreads are compared without nuclear events, which the oracle does not have; yields of
emitters with them, against a slowing-down integral.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import savgol_filter

from protonqa.montecarlo.medium import medium_from_hu
from protonqa.montecarlo.simulation import simulate
from protonqa.montecarlo.tallies import BOOK_ESCAPED
from protonqa.physics.curves import distal_range_mm
from protonqa.physics.emission import CHANNEL_NAMES, CrossSections, cross_section_set
from protonqa.physics.materials import material, material_index
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import Grid, Volume
from tests.oracles.fermi_eyges import lateral_moments
from tests.oracles.slab_transport import transport
from tests.oracles.slowing_down import mean_energy_mev, primary_yields, slab, straggling_moments

BONE = (slab("water", 40.0), slab("bone", 20.0), slab("water", 90.0))
LUNG = (slab("water", 40.0), slab("lung", 60.0), slab("water", 100.0))
AIR_GAP = (slab("water", 42.0), slab("air", 200.0), slab("water", 20.0))


def medium_of(slabs, *, width_mm, voxel_mm):
    """The slabs as voxels; beam along +z, face at z = 0."""
    depth_mm = sum(layer.thickness_mm for layer in slabs)
    x, _, z = voxel_mm
    grid = Grid(
        shape=(round(depth_mm / z), round(width_mm / x), round(width_mm / x)),
        spacing_mm=voxel_mm,
        origin_mm=(0.5 * (x - width_mm), 0.5 * (x - width_mm), 0.5 * z),
    )
    by_plane = np.concatenate(
        [np.full(round(layer.thickness_mm / z), material_index(layer.medium.name)) for layer in slabs]
    )
    index = np.broadcast_to(by_plane[:, None, None], grid.shape)
    return medium_from_hu(
        Volume(grid=grid, array=np.zeros(grid.shape, dtype=np.float32), unit="HU"), reference_index=index
    )


def fitted(depth_mm, dose, oracle, falloff_mm):
    """R80 of `dose`, by how much that of `oracle` lies deeper (mm), and the ratios of fall-off and of height.

    The oracle's curve is laid over the other by least squares: height, shift and stretch about R80, over the peak and
    the fall-off. The crossing of one level would see the noise of a few bins and of the maximum.
    """
    bins = 2 * int(max(0.6 * falloff_mm, 1.25) / 0.5) + 1
    smooth = savgol_filter(dose, bins, polyorder=3) if bins > 3 else dose
    r80 = distal_range_mm(depth_mm, smooth)
    here = np.abs(depth_mm - r80) < 1.6 * falloff_mm
    about = (depth_mm - r80)[here]
    slope = np.gradient(smooth, depth_mm)[here]
    terms = np.stack([smooth[here], -slope, -slope * about], axis=1)
    height, shift, stretch = np.linalg.lstsq(terms, (oracle - smooth)[here], rcond=None)[0]
    return r80, float(shift), 1.0 + float(stretch), 1.0 + float(height)


def against_oracle(layers, energy_mev, falloff_mm, make_beam, *, seed):
    """`fitted` of a simulation and the oracle, and the ratio oracle to simulation of the dose from 5 to 25 mm."""
    medium = medium_of(layers, width_mm=80.0, voxel_mm=(4.0, 4.0, 2.0))
    result = simulate(medium=medium, source=make_beam(medium, energy_mev), protons=50000, seed=seed, nuclear=False)
    depth, dose = result.fine_depth_mm, result.fine_dose_mev_cm2_per_g
    oracle = transport(layers, energy_mev, protons=5000, seed=seed).depth_dose(
        np.append(depth - 0.125, depth[-1] + 0.125)
    )
    plateau = (depth > 5.0) & (depth < 25.0)
    return *fitted(depth, dose, oracle, falloff_mm), float(oracle[plateau].sum() / dose[plateau].sum())


@pytest.mark.parametrize(("energy_mev", "falloff_mm"), [(70.0, 0.65), (100.0, 1.1), (150.0, 2.2), (200.0, 3.5)])
def test_depth_dose_in_water_is_that_of_the_oracle(make_beam, energy_mev, falloff_mm):
    """Sampling errors: R80 0.01 to 0.04 mm, fall-off 1.2 %, height 0.5 %."""
    layers = [slab("water", 4.0 * np.ceil((float(csda_range_water_mm(energy_mev)) + 10.0) / 4.0))]
    _, deeper_mm, wider, higher, plateau = against_oracle(layers, energy_mev, falloff_mm, make_beam, seed=1)
    assert abs(deeper_mm) < 0.1
    assert wider == pytest.approx(1.0, abs=0.05)
    assert higher == pytest.approx(1.0, abs=0.03)
    assert plateau == pytest.approx(1.0, abs=0.01)


def energy_moments_behind(slabs, energy_mev, make_beam, *, protons, seed):
    """Mean, SD and skewness of the energy behind slabs, from a simulation.

    A layer of air behind them holds channels whose "cross sections" are powers of the energy: their yields are moments
    of the spectrum. They are large, so that the fixed point of the tallies does not round the third moment away.
    """
    mean, sd, _ = straggling_moments(slabs, energy_mev)
    low, high = mean - 12.0 * sd, mean + 8.0 * sd
    energy = np.linspace(low, high, 4001)
    share = (energy - low) / (high - low)
    names = ("p+14N->11C", "p+14N->13N", "p+16O->13N", "p+16O->15O")
    curves = {name: (energy, 1e6 * share**k) for k, name in enumerate(names)}
    meter = CrossSections(name="powers of energy", curves=curves)
    everywhere = CrossSections(name="one", curves={n: (np.array([1.0, 300.0]), np.full(2, 1e6)) for n in names})
    air = [slab("air", 10.0)]
    medium = medium_of([*slabs, *air], width_mm=80.0, voxel_mm=(4.0, 4.0, 2.0))
    source = make_beam(medium, energy_mev)
    result = simulate(medium=medium, source=source, protons=protons, seed=seed, cross_sections=meter, nuclear=False)
    unit = everywhere.production_per_g(material("air"), mean)
    rows = [CHANNEL_NAMES.index(n) for n in names]
    inside = result.depth_mm > sum(layer.thickness_mm for layer in slabs) + 2.0
    raw = result.channels_per_mm[rows][:, inside].sum(axis=1) / unit[rows]
    m1, m2, m3 = raw[1:] / raw[0]
    variance = m2 - m1**2
    third = m3 - 3.0 * m1 * variance - m1**3
    return low + m1 * (high - low), np.sqrt(variance) * (high - low), third / variance**1.5


@pytest.mark.parametrize(("energy_mev", "thickness_mm"), [(100.0, 50.0), (150.0, 50.0), (150.0, 100.0)])
def test_energy_spectrum_behind_water_has_the_moments_of_single_collisions(make_beam, energy_mev, thickness_mm):
    """By the moment equations, which the oracle's walk meets within 1 %. Sampling errors: SD 0.3 %, skewness 0.01."""
    layers = [slab("water", thickness_mm)]
    mean, sd, skewness = energy_moments_behind(layers, energy_mev, make_beam, protons=60000, seed=3)
    expected = straggling_moments(layers, energy_mev)
    assert mean == pytest.approx(expected[0], abs=0.1)  # detours cost up to 0.05 MeV
    assert sd == pytest.approx(expected[1], rel=0.02)
    assert skewness < 0.0
    assert skewness == pytest.approx(expected[2], rel=0.25)


@pytest.mark.parametrize(
    ("name", "thickness_mm", "energy_mev"),
    [("air", 40.0, 150.0), ("air", 400.0, 70.0), ("lung", 4.0, 100.0), ("lung", 40.0, 100.0), ("water", 2.0, 200.0)],
)
def test_mean_loss_in_thin_slabs_is_the_stopping_power(make_beam, name, thickness_mm, energy_mev):
    """The trap of thin steps: a straggling law that is cut at zero deposits too much in air and lung."""
    layers = [slab(name, thickness_mm)]
    medium = medium_of(layers, width_mm=40.0, voxel_mm=(4.0, 4.0, 2.0))
    result = simulate(medium=medium, source=make_beam(medium, energy_mev), protons=60000, seed=5, nuclear=False)
    expected = energy_mev - float(mean_energy_mev(layers, energy_mev, [thickness_mm])[0])
    # Sampling error of the mean of single collisions: 0.1 to 0.5 %.
    assert result.energy_balance["deposited"] * energy_mev == pytest.approx(expected, rel=0.015)


@pytest.mark.parametrize("layers", [BONE, LUNG], ids=["water-bone-water", "water-lung-water"])
def test_range_behind_bone_and_lung_is_that_of_the_oracle(make_beam, layers):
    """Sampling errors: R80 0.03 mm, fall-off 1.2 %."""
    _, deeper_mm, wider, _, plateau = against_oracle(layers, 130.0, 1.7, make_beam, seed=2)
    assert abs(deeper_mm) < 0.15
    assert wider == pytest.approx(1.0, abs=0.05)
    assert plateau == pytest.approx(1.0, abs=0.01)


def lateral_sigma_mm(plane, spacing_mm):
    """Root mean square of the lateral position in a plane of voxels, both axes together.

    Without nuclear events there is no halo, and the second moment is the width of the Gaussian.
    """
    weight = plane.astype(np.float64) / plane.sum(dtype=np.float64)
    x = (np.arange(plane.shape[0]) - 0.5 * (plane.shape[0] - 1)) * spacing_mm
    across = 0.5 * (weight.sum(axis=0) + weight.sum(axis=1)) @ x**2
    return float(np.sqrt(across - spacing_mm**2 / 12.0))


@pytest.mark.parametrize(
    ("layers", "depths_mm"),
    [
        ((slab("water", 130.0),), (40.0, 80.0, 116.0)),
        (BONE, (40.0, 60.0, 80.0, 100.0)),
        (LUNG, (40.0, 100.0, 130.0, 158.0)),
        (AIR_GAP, (242.0, 252.0)),
    ],
    ids=["water", "water-bone-water", "water-lung-water", "water-air-water"],
)
def test_lateral_spread_by_depth_is_the_fermi_eyges_integral(make_beam, layers, depths_mm):
    """Within 3 %; sampling error of each sigma 0.3 %, and 1 mm of voxel depth to 0.3 %."""
    medium = medium_of(layers, width_mm=40.0, voxel_mm=(0.5, 0.5, 2.0))
    result = simulate(medium=medium, source=make_beam(medium, 130.0), protons=30000, seed=4, nuclear=False)
    sigma = [lateral_sigma_mm(result.dose_medium_gy[int(depth / 2.0)], 0.5) for depth in depths_mm]
    expected = lateral_moments(layers, 130.0).sigma_mm(np.array(depths_mm) + 1.0)
    assert sigma == pytest.approx(list(expected), rel=0.03)


def test_lateral_spread_behind_a_thin_plate_and_an_air_gap(make_beam):
    """A plate far from the patient: what it scatters is read off where its drift has made it large."""
    layers = (slab("water", 6.0), slab("air", 200.0), slab("water", 4.0))
    medium = medium_of(layers, width_mm=60.0, voxel_mm=(1.0, 1.0, 2.0))
    result = simulate(medium=medium, source=make_beam(medium, 150.0), protons=20000, seed=4, nuclear=False)
    expected = float(lateral_moments(layers, 150.0).sigma_mm(207.0))
    assert lateral_sigma_mm(result.dose_medium_gy[103], 1.0) == pytest.approx(expected, rel=0.03)


def test_straggling_behind_a_thin_layer_is_that_of_single_collisions(make_beam, books):
    """Energies of single protons behind 2 mm of water, from their books. Sampling error of their SD: 2 %."""
    layers = [slab("water", 2.0)]
    medium = medium_of(layers, width_mm=40.0, voxel_mm=(4.0, 4.0, 2.0))
    left = books(medium, make_beam(medium, 150.0), 6000, seed=3, nuclear=False)[:, BOOK_ESCAPED]
    mean, sd, _ = straggling_moments(layers, 150.0)
    assert left.mean() == pytest.approx(mean, abs=0.01)
    assert left.std() == pytest.approx(sd, rel=0.06)


@pytest.mark.parametrize("nuclear", [True, False], ids=["attenuated", "not attenuated"])
def test_primary_yields_in_pmma_are_the_slowing_down_integral(make_beam, nuclear):
    """Channel by channel and down to each of three depths, with and without loss of protons to nuclear events."""
    layers = [slab("pmma", 140.0)]
    medium = medium_of(layers, width_mm=80.0, voxel_mm=(4.0, 4.0, 2.0))
    result = simulate(medium=medium, source=make_beam(medium, 140.0), protons=8000, seed=6, nuclear=nuclear)
    recommended = cross_section_set("recommended")
    ends = np.array([40, 80, 140])
    expected = primary_yields(layers, 140.0, recommended, ends, attenuated=nuclear)
    made = np.cumsum(result.primary_channels_per_mm, axis=1)[:, ends - 1]
    large = expected[:, -1] > 1e-4
    assert large.sum() >= 4
    for i in np.flatnonzero(large):
        assert made[i] == pytest.approx(expected[i], rel=0.02, abs=1e-5), CHANNEL_NAMES[i]
