"""Whole simulations against closed forms and integrals of the same tables."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.montecarlo.simulation import simulate
from protonqa.physics.emission import CHANNEL_NAMES, cross_section_set, nuclides_from_channels
from protonqa.physics.materials import material
from protonqa.physics.nuclear import macroscopic_per_g
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.physics.scattering import scattering_power_per_g
from protonqa.physics.stopping import csda_range_water_mm, energy_from_range_water_mev, mass_stopping_power


@pytest.mark.parametrize("energy_mev", [70.0, 110.0, 150.0, 190.0, 230.0])
def test_r80_in_water_is_the_csda_range_less_a_little_scattering(make_medium, make_beam, energy_mev):
    """R80 = CSDA - (0.0 to 0.6 mm): outside it the energy loss or the range table is wrong."""
    medium = make_medium(size_mm=(80, 80, 360), spacing_mm=(4.0, 4.0, 2.0))
    result = simulate(medium=medium, source=make_beam(medium, energy_mev), protons=12000, seed=4)
    # statistical error of R80 with this many protons: up to 0.05 mm
    assert -0.65 < result.range_mm() - float(csda_range_water_mm(energy_mev)) < 0.05


def _gaussian_sigma(row, x):
    """Width of a Gaussian fitted within two of its own sigmas."""
    sigma = float(np.sqrt((row * x**2).sum() / row.sum()))
    for _ in range(20):
        core = np.abs(x) <= 2.0 * sigma
        weight = row[core]
        slope, _ = np.polyfit(x[core] ** 2, np.log(weight), 1, w=np.sqrt(weight))
        sigma = float(np.sqrt(-0.5 / slope))
    return sigma


@pytest.mark.parametrize("energy_mev", [100.0, 150.0, 200.0])
def test_lateral_spread_follows_the_fermi_eyges_integral(make_medium, make_beam, energy_mev):
    """Too much or too little scattering shows in the spread of a zero-width beam (Gottschalk's T_dM).

    Nuclear events are switched off: their halo is another thing than multiple scattering.
    """
    range_mm = float(csda_range_water_mm(energy_mev))
    medium = make_medium(size_mm=(60, 60, 4 * (int(range_mm) // 4)), spacing_mm=(0.5, 0.5, 4.0))
    result = simulate(medium=medium, source=make_beam(medium, energy_mev), protons=20000, seed=2, nuclear=False)
    x = (np.arange(120) - 59.5) * 0.5
    for share in (0.5, 0.75, 0.92):
        plane = int(share * range_mm / 4)
        depth = 4.0 * plane + 2.0
        sigma = _gaussian_sigma(result.dose_medium_gy[plane].sum(axis=0, dtype=np.float64) + 1e-30, x)
        z = np.linspace(0.0, depth, 4001)
        energy = energy_from_range_water_mev(range_mm - z)
        power = scattering_power_per_g(energy, energy_mev, material("water")) * 0.1
        expected = np.sqrt(np.trapezoid(power * (depth - z) ** 2, z) + 0.5**2 / 12)
        assert sigma == pytest.approx(expected, rel=0.03)


def _slowing_down_yield(name, energy_mev, cross_sections):
    """Nuclei per proton by integrating production over the slowing down, with non-elastic attenuation."""
    medium = material(name)
    energy = np.linspace(energy_mev, 1.0, 6000)
    stopping = mass_stopping_power(medium, energy)
    _, _, nonelastic = macroscopic_per_g(medium, energy)
    step = -np.diff(energy)
    middle = lambda v: 0.5 * (v[..., 1:] + v[..., :-1])  # noqa: E731
    lost = np.concatenate(([0.0], np.cumsum(middle(nonelastic / stopping) * step)))
    made = cross_sections.production_per_g(medium, energy) / stopping * np.exp(-lost)
    return (middle(made) * step).sum(axis=1)


@pytest.mark.parametrize(
    ("energy_mev", "c11", "o15"), [(110.0, 2.00e-2, 0.61e-2), (140.0, 2.82e-2, 0.84e-2), (175.0, 3.74e-2, 1.08e-2)]
)
def test_primary_yields_in_pmma_equal_the_slowing_down_integral(make_medium, make_beam, energy_mev, c11, o15):
    """The engine's tally against an integral of the same tables (2 %), and against its published evaluation."""
    medium = make_medium("pmma", size_mm=(80, 80, 200), spacing_mm=(4.0, 4.0, 2.0))
    result = simulate(medium=medium, source=make_beam(medium, energy_mev), protons=5000, seed=5)
    expected = _slowing_down_yield("pmma", energy_mev, cross_section_set("recommended"))
    primary = result.primary_channels_per_mm.sum(axis=1)
    for i, name in enumerate(CHANNEL_NAMES):
        if expected[i] > 1e-4:
            assert primary[i] == pytest.approx(expected[i], rel=0.02), name
    carbon = primary[CHANNEL_NAMES.index("p+12C->11C")] + primary[CHANNEL_NAMES.index("p+16O->11C")]
    oxygen = primary[CHANNEL_NAMES.index("p+16O->15O")]
    assert carbon == pytest.approx(c11, rel=0.02)
    assert oxygen == pytest.approx(o15, rel=0.03)
    assert oxygen / carbon == pytest.approx(0.29, abs=0.02)
    # Secondary protons make some more; a few percent of all.
    total = float(result.channels_per_mm.sum())
    assert 1.005 < total / float(primary.sum()) < 1.10


def test_other_cross_sections_change_the_emitters_and_nothing_else(make_medium, make_beam):
    """The set of GATE gives more 15O: 0.35 +- 0.02 per 11C in PMMA, from the same histories."""
    medium = make_medium("pmma", size_mm=(80, 80, 140), spacing_mm=(4.0, 4.0, 2.0))
    request = {"medium": medium, "source": make_beam(medium, 140.0), "protons": 3000, "seed": 5}
    ours, theirs = simulate(**request), simulate(**request, cross_sections=cross_section_set("gate"))
    assert np.array_equal(ours.dose_water_gy, theirs.dose_water_gy)
    assert theirs.cross_sections == "gate"
    carbon, oxygen = NUCLIDE_KEYS.index("c11"), NUCLIDE_KEYS.index("o15")
    made = nuclides_from_channels(theirs.primary_channels_per_mm).sum(axis=1)
    assert made[oxygen] / made[carbon] == pytest.approx(0.35, abs=0.02)


def test_unusable_requests_are_one_clear_error(make_medium, make_beam):
    from protonqa.montecarlo.source import pencil_beam

    medium = make_medium()
    for energy in (0.5, 400.0, float("nan")):
        with pytest.raises(InputError, match="energy"):
            make_beam(medium, energy)
    with pytest.raises(InputError, match="number of protons"):
        simulate(medium=medium, source=make_beam(medium, 70.0), protons=0)
    aside = pencil_beam(
        medium.grid,
        position_mm=np.array([500.0, 0.0, 0.0]),
        direction=np.array([0.0, 0.0, 1.0]),
        energy_mev=70.0,
        spot_sigma_mm=1.0,
        energy_spread_percent=0.0,
    )
    with pytest.raises(InputError, match="misses"):
        simulate(medium=medium, source=aside, protons=100)
