"""Whole simulations against closed forms and integrals of the same tables."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import Cancelled, InputError
from protonqa.montecarlo.simulation import simulate
from protonqa.physics.emission import CHANNEL_NAMES, cross_section_set
from protonqa.physics.materials import material
from protonqa.physics.nuclear import macroscopic_per_g
from protonqa.physics.scattering import scattering_power_per_g
from protonqa.physics.stopping import csda_range_water_mm, energy_from_range_water_mev, mass_stopping_power


@pytest.mark.parametrize("energy_mev", [70.0, 110.0, 150.0, 190.0, 230.0])
def test_r80_in_water_is_the_csda_range_less_a_little_scattering(make_medium, make_beam, energy_mev):
    """R80 = CSDA - (0.0 to 0.6 mm): outside it the energy loss or the range table is wrong."""
    medium = make_medium(size_mm=(80, 80, 360), spacing_mm=(4.0, 4.0, 2.0))
    result = simulate(medium=medium, source=make_beam(medium, energy_mev), protons=12000, seed=4)
    # statistical error of R80 with this many protons: up to 0.05 mm
    assert -0.65 < result.range_mm() - float(csda_range_water_mm(energy_mev)) < 0.05


def test_energy_is_conserved_and_every_term_is_booked(make_medium, make_beam):
    medium = make_medium()
    result = simulate(medium=medium, source=make_beam(medium, 120.0), protons=4000, seed=1)
    assert sum(result.energy_balance.values()) == pytest.approx(1.0, abs=1e-5)
    assert result.energy_balance["neutral"] > 0.005
    deposited = result.fine_idd_mev_per_mm.sum() * 0.25 / 120.0
    assert deposited == pytest.approx(result.energy_balance["deposited"], abs=2e-4)
    in_voxels = result.dose_medium_gy.sum(dtype=np.float64) * (medium.grid.voxel_ml * 1e-3) / 1.602176634e-13 / 120.0
    assert in_voxels == pytest.approx(result.energy_balance["deposited"], abs=2e-4)


def test_volume_and_depth_tallies_hold_the_same_nuclei(make_medium, make_beam):
    medium = make_medium("pmma")
    result = simulate(medium=medium, source=make_beam(medium, 110.0), protons=2000, seed=1)
    by_volume = result.nuclei.reshape(7, -1).sum(axis=1, dtype=np.float64)
    assert by_volume == pytest.approx(result.nuclides_per_mm.sum(axis=1), rel=1e-4, abs=1e-12)


def test_same_seed_gives_the_same_bits_for_any_number_of_threads(make_medium, make_beam):
    medium = make_medium()
    source = make_beam(medium, 90.0, sigma_mm=3.0, spread_percent=1.0)
    one = simulate(medium=medium, source=source, protons=6000, seed=7, threads=1)
    three = simulate(medium=medium, source=source, protons=6000, seed=7, threads=3)
    other = simulate(medium=medium, source=source, protons=6000, seed=8, threads=2)
    assert np.array_equal(one.dose_water_gy, three.dose_water_gy)
    assert np.array_equal(one.channels_per_mm, three.channels_per_mm)
    assert not np.array_equal(one.dose_water_gy, other.dose_water_gy)


def _gaussian_sigma(row, x):
    """Width of a Gaussian fitted within two of its own sigmas."""
    sigma = float(np.sqrt((row * x**2).sum() / row.sum()))
    for _ in range(20):
        core = np.abs(x) <= 2.0 * sigma
        weight = row[core]
        slope, _ = np.polyfit(x[core] ** 2, np.log(weight), 1, w=np.sqrt(weight))
        sigma = float(np.sqrt(-0.5 / slope))
    return sigma


def test_lateral_spread_follows_the_fermi_eyges_integral(make_medium, make_beam, monkeypatch):
    """Too much or too little scattering shows in the spread of a zero-width beam (Gottschalk's T_dM).

    Nuclear events are switched off: their halo is another thing than multiple scattering.
    """
    import dataclasses

    from protonqa.montecarlo import simulation, step_tables

    tables = simulation._standard_tables("recommended")
    step = tables.step.copy()
    step[:, :, step_tables.SIGMA] = 0.0
    monkeypatch.setattr(simulation, "_standard_tables", lambda _: dataclasses.replace(tables, step=step))
    medium = make_medium(size_mm=(60, 60, 160), spacing_mm=(0.5, 0.5, 4.0))
    result = simulate(medium=medium, source=make_beam(medium, 150.0), protons=20000, seed=2)
    x = (np.arange(120) - 59.5) * 0.5
    for depth in (118.0, 146.0):
        sigma = _gaussian_sigma(result.dose_medium_gy[int(depth / 4)].sum(axis=0, dtype=np.float64) + 1e-30, x)
        z = np.linspace(0.0, depth, 4001)
        energy = energy_from_range_water_mev(float(csda_range_water_mm(150.0)) - z)
        power = scattering_power_per_g(energy, 150.0, material("water")) * 0.1
        expected = np.sqrt(np.trapezoid(power * (depth - z) ** 2, z) + 0.5**2 / 12)
        assert sigma == pytest.approx(expected, rel=0.015)


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


@pytest.mark.parametrize(("energy_mev", "c11", "o15"), [(110.0, 2.00e-2, 0.61e-2), (140.0, 2.82e-2, 0.84e-2)])
def test_primary_yields_in_pmma_equal_the_slowing_down_integral(make_medium, make_beam, energy_mev, c11, o15):
    """The engine's tally against an integral of the same tables (2 %), and against its published evaluation."""
    medium = make_medium("pmma", size_mm=(80, 80, 140), spacing_mm=(4.0, 4.0, 2.0))
    result = simulate(medium=medium, source=make_beam(medium, energy_mev), protons=4000, seed=5)
    expected = _slowing_down_yield("pmma", energy_mev, cross_section_set("recommended"))
    primary = result.primary_channels_per_mm.sum(axis=1)
    for i, name in enumerate(CHANNEL_NAMES):
        if expected[i] > 1e-4:
            assert primary[i] == pytest.approx(expected[i], rel=0.02), name
    carbon = primary[CHANNEL_NAMES.index("p+12C->11C")] + primary[CHANNEL_NAMES.index("p+16O->11C")]
    assert carbon == pytest.approx(c11, rel=0.02)
    assert primary[CHANNEL_NAMES.index("p+16O->15O")] == pytest.approx(o15, rel=0.03)
    assert result.channels_per_mm.sum() > primary.sum()


def test_the_range_does_not_depend_on_the_voxels(make_medium, make_beam):
    ranges = []
    for spacing in ((4.0, 4.0, 1.0), (4.0, 4.0, 4.0)):
        medium = make_medium(size_mm=(80, 80, 120), spacing_mm=spacing)
        ranges.append(simulate(medium=medium, source=make_beam(medium, 110.0), protons=10000, seed=3).range_mm())
    assert abs(ranges[0] - ranges[1]) < 0.1


def test_depth_and_dose_follow_the_beam_when_it_comes_from_the_side(make_medium):
    """The same block hit along +x gives the same range: an axis mix-up would not."""
    from protonqa.montecarlo.source import pencil_beam

    medium = make_medium(size_mm=(120, 60, 60))
    source = pencil_beam(
        medium.grid,
        position_mm=np.array([-60.0, 0.0, 30.0]),
        direction=np.array([1.0, 0.0, 0.0]),
        energy_mev=100.0,
        spot_sigma_mm=0.0,
        energy_spread_percent=0.0,
    )
    result = simulate(medium=medium, source=source, protons=5000, seed=1)
    assert result.range_mm() == pytest.approx(float(csda_range_water_mm(100.0)), abs=0.3)
    profile = result.dose_medium_gy.sum(axis=(0, 1))
    assert 2.0 * np.argmax(profile) == pytest.approx(76.0, abs=3.0)


def test_cancel_stops_between_chunks_and_returns_nothing(make_medium, make_beam):
    medium = make_medium()
    with pytest.raises(Cancelled):
        simulate(medium=medium, source=make_beam(medium, 70.0), protons=50000, seed=1, cancelled=lambda: True)


def test_progress_reaches_the_end(make_medium, make_beam):
    medium = make_medium()
    seen = []
    simulate(
        medium=medium, source=make_beam(medium, 30.0), protons=5000, seed=1, progress=lambda a, b: seen.append((a, b))
    )
    assert seen[-1] == (5000, 5000)


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
