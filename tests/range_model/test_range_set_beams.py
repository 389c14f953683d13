"""Beams, simulations and truth of the training set: what is cut out is what the Monte Carlo and closed forms say."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import Cancelled
from protonqa.montecarlo.medium import Medium, medium_from_hu
from protonqa.montecarlo.simulation import simulate
from protonqa.physics.bragg import depth_dose_mev_cm2_per_g
from protonqa.physics.curves import NotEvaluable, distal_range_mm
from protonqa.physics.emission import cross_section_set, nuclides_from_channels
from protonqa.physics.materials import schneider_materials
from protonqa.physics.rsp import material_rsp, rsp_from_hu
from protonqa.physics.stopping import csda_range_water_mm, energy_from_range_water_mev
from protonqa.range_model.beam_draws import BeamDraw, layer_ranges_and_weights, source_of
from protonqa.range_model.beam_runs import run_columns, run_depth, set_alternatives, set_channels
from protonqa.range_model.ray_cuts import is_heterogeneous
from protonqa.range_model.scenes import _mass_ratios, _wepl_spread, delivered_medium
from protonqa.range_model.truth import smoothed, truth_of
from protonqa.values import Grid, Volume

RANGE_MM = 60.0


def beam(**changes: object) -> BeamDraw:
    plain: dict[str, object] = {
        "kind": "pencil",
        "treatment_seed": 0,
        "gantry_deg": 0.0,
        "couch_deg": 0.0,
        "aim_share": (0.0, 0.0, 0.0),
        "range_share": 0.5,
        "modulation": 0.0,
        "half_mm": 0.0,
        "spread_percent": 0.5,
        "spot_sigma_mm": 3.0,
        "tilt_mrad": 1.0,
        "soft_factor": 1.0,
        "bone_factor": 1.0,
        "composition_hu": 0.0,
        "seed": 5,
    }
    return BeamDraw.model_validate({**plain, **changes})


def block(*, half_mm: float = 16.0, hu: float = 0.0, step_mm: float = 1.0) -> Medium:
    n = round(2 * half_mm / 2.0)
    grid = Grid(
        shape=(round(80 / step_mm), n, n), spacing_mm=(2.0, 2.0, step_mm), origin_mm=(1.0 - half_mm, 1.0 - half_mm, 0.0)
    )
    return medium_from_hu(Volume(grid=grid, array=np.full(grid.shape, hu, dtype=np.float32), unit="HU"))


def test_a_pencil_is_what_the_monte_carlo_gives() -> None:
    """Another seeding, another scale or another order of channels would show in every bin."""
    medium = block()
    source, low, high = source_of(medium.grid, beam(), RANGE_MM)
    assert low == high == pytest.approx(float(energy_from_range_water_mev(RANGE_MM)))
    mine = run_depth(medium, source, protons=3000, seed=5, batches=3)
    theirs = simulate(medium=medium, source=source, protons=3000, seed=5, threads=1)
    assert np.allclose(mine.dose.mean(axis=0), theirs.fine_dose_mev_cm2_per_g, rtol=1e-12)
    assert np.allclose(mine.nuclei[: len(set_channels())], theirs.channels_per_mm, rtol=1e-12, atol=1e-30)
    assert nuclides_from_channels(mine.nuclei[:11]).sum() > 0


def test_columns_of_a_field_are_the_voxels_of_the_monte_carlo() -> None:
    medium = block()
    source, _, _ = source_of(medium.grid, beam(kind="field", half_mm=8.0), RANGE_MM)
    columns = np.array([(5, 6), (8, 8), (9, 11)])
    mine = run_columns(medium, source, columns, protons=3000, seed=5, batches=2)
    theirs = simulate(medium=medium, source=source, protons=3000, seed=5, threads=1)
    for i, (x, y) in enumerate(columns):
        assert np.allclose(nuclides_from_channels(mine.nuclei[:11, i]), theirs.nuclei[:, :, y, x], rtol=1e-4)
        dose = mine.dose[:, i].mean(axis=0)
        there = theirs.dose_water_gy[:, y, x]
        assert np.allclose(dose / dose.sum(), there / there.sum(), rtol=1e-4, atol=1e-9)


def test_the_other_table_stands_beside_the_first() -> None:
    """The alternatives are the channels of a run with that table, history by history."""
    medium = block()
    source, _, _ = source_of(medium.grid, beam(), RANGE_MM)
    mine = run_depth(medium, source, protons=1500, seed=5, batches=1)
    gate = simulate(
        medium=medium, source=source, protons=1500, seed=5, threads=1, cross_sections=cross_section_set("gate")
    )
    names = [c.name for c in set_channels()]
    assert {one.channel for one in set_alternatives()} == {"p+12C->11C", "p+16O->11C", "p+16O->15O"}
    for i, one in enumerate(set_alternatives()):
        row = mine.nuclei[len(names) + i]
        assert np.allclose(row, gate.channels_per_mm[names.index(one.channel)], rtol=1e-6)
        assert not np.allclose(row, mine.nuclei[names.index(one.channel)], rtol=1e-3)


def test_every_column_of_a_field_gets_its_protons() -> None:
    """Spots visited at random would leave the columns of 4 mm at the surface 5 % apart with these histories."""
    medium = block(half_mm=20.0)
    source, _, _ = source_of(medium.grid, beam(kind="field", half_mm=16.0, tilt_mrad=0.0), RANGE_MM)
    line = np.arange(4, 16)
    columns = np.array([(x, y) for y in line for x in line])
    run = run_columns(medium, source, columns, protons=25_600, seed=1, batches=1)
    surface = run.dose[0, :, :2].sum(axis=1).reshape(12, 12)
    rays = surface.reshape(6, 2, 6, 2).sum(axis=(1, 3))
    assert rays.std() / rays.mean() < 0.03


def test_a_cancelled_run_stops() -> None:
    medium = block()
    source, _, _ = source_of(medium.grid, beam(), RANGE_MM)
    with pytest.raises(Cancelled):
        run_depth(medium, source, protons=100_000, seed=5, cancelled=lambda: True)


@pytest.mark.parametrize(("range_mm", "modulation"), [(45.0, 0.3), (100.0, 0.4), (220.0, 0.6)])
@pytest.mark.parametrize("spread_percent", [0.2, 1.2])
def test_spread_out_peaks_are_flat(range_mm: float, modulation: float, spread_percent: float) -> None:
    """Layers farther apart than their peaks are wide leave ripples, and R80 jumps from one to the next."""
    ranges, weights = layer_ranges_and_weights(range_mm, modulation, spread_percent)
    depth = np.arange(0.0, 1.2 * range_mm, 0.1)
    dose = sum(
        w * depth_dose_mev_cm2_per_g(depth, float(energy_from_range_water_mev(r)), energy_spread_percent=spread_percent)
        for r, w in zip(ranges, weights, strict=True)
    )
    top = dose[(depth > range_mm * (1 - modulation) + 3) & (depth < range_mm - 5)]
    assert np.ptp(top) / top.mean() < 0.12
    assert distal_range_mm(depth, dose) == pytest.approx(range_mm, abs=1.0)
    assert weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("step_mm", [0.25, 0.5])
@pytest.mark.parametrize("range_mm", [60.0, 110.0])
def test_smoothing_leaves_r80_where_it_is(range_mm: float, step_mm: float) -> None:
    fine = np.arange(0.025, 160.0, 0.05)
    curve = depth_dose_mev_cm2_per_g(fine, float(energy_from_range_water_mev(range_mm)), energy_spread_percent=0.3)
    bins = curve.reshape(-1, round(step_mm / 0.05)).mean(axis=1)
    depth = (np.arange(bins.size) + 0.5) * step_mm
    assert distal_range_mm(depth, smoothed(bins, step_mm, range_mm)) == pytest.approx(
        distal_range_mm(fine, curve), abs=0.02
    )


def truth(batches: np.ndarray, range_mm: float = 110.0):
    ones = np.ones(batches.shape[1])
    return truth_of(batches, 0.25, range_mm, wepl_mm=np.cumsum(ones) * 0.25, rsp=ones, spread_percent=0.3)


def test_noise_of_the_truth_is_the_spread_of_repeated_runs() -> None:
    """An error bar that is half or twice the truth would pass or drop the wrong rays."""
    rng = np.random.default_rng(2)
    depth = np.arange(0.125, 150.0, 0.25)
    curve = depth_dose_mev_cm2_per_g(depth, float(energy_from_range_water_mev(110.0)), energy_spread_percent=0.3)
    runs = [truth(curve * (1 + 0.06 * rng.standard_normal((10, depth.size)))) for _ in range(30)]
    spread = np.std([one.r80_mm for one in runs])
    stated = np.sqrt(np.mean([one.r80_noise_mm**2 for one in runs]))
    assert stated == pytest.approx(spread, rel=0.35)
    quiet = truth(np.tile(curve, (10, 1)))
    assert quiet.r80_noise_mm < 1e-9
    assert quiet.dose_noise_percent < 1e-9
    assert not quiet.falloff.is_range_mixed()
    # 6 % a bin and batch are 1.9 % in the mean of ten, less what the local cubic takes off.
    assert 0.8 < np.mean([one.dose_noise_percent for one in runs]) < 1.9


def test_two_peaks_are_range_mixed() -> None:
    depth = np.arange(0.125, 150.0, 0.25)
    curve = sum(
        depth_dose_mev_cm2_per_g(depth, float(energy_from_range_water_mev(r)), energy_spread_percent=0.3)
        for r in (100.0, 108.0)
    )
    assert truth(np.tile(curve, (10, 1))).falloff.is_range_mixed()


def test_a_ray_without_dose_or_fall_off_has_no_truth() -> None:
    assert isinstance(truth(np.zeros((10, 400))), NotEvaluable)
    assert isinstance(truth(np.ones((10, 400))), NotEvaluable)


def test_stopping_power_and_composition_are_changed_apart() -> None:
    """A composition that moved the range, or a factor that did not, would mix two errors into one."""
    hu = np.array([-1000.0, -700.0, -60.0, 0.0, 60.0, 120.0, 900.0], dtype=np.float32).reshape(7, 1, 1)
    grid = Grid(shape=hu.shape, spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0))
    ct = Volume(grid=grid, array=hu, unit="HU")
    nominal, plain = medium_from_hu(ct), delivered_medium(ct, beam())
    assert np.array_equal(plain.material, nominal.material)
    assert np.allclose(plain.density, nominal.density, rtol=1e-5, atol=2e-6)
    other = delivered_medium(ct, beam(soft_factor=1.03, bone_factor=0.98, composition_hu=25.0))
    wanted = rsp_from_hu(hu) * np.array([1.03, 1.03, 1.03, 1.03, 1.0275, 1.0125, 0.98]).reshape(7, 1, 1)
    assert np.allclose(other.rsp, wanted, rtol=1e-5)
    ratio = np.array([material_rsp(m) / m.density_g_per_cm3 for m in schneider_materials()])
    assert np.allclose(_mass_ratios(), ratio)
    assert np.allclose(other.density * ratio[other.material], other.rsp, rtol=1e-5, atol=2e-6)
    changed = (other.material != nominal.material).ravel()
    assert changed[2:5].all()
    assert not changed[[0, 1, 6]].any()


def test_a_pencil_in_water_ends_at_its_range() -> None:
    medium = block(hu=0.0)
    rsp = float(medium.rsp.mean())
    source, _, _ = source_of(medium.grid, beam(spread_percent=0.2), RANGE_MM)
    run = run_depth(medium, source, protons=6000, seed=2)
    n = run.dose.shape[1]
    known = truth_of(
        run.dose, 0.25, RANGE_MM, wepl_mm=np.arange(1, n + 1) * 0.25 * rsp, rsp=np.full(n, rsp), spread_percent=0.2
    )
    energy = float(energy_from_range_water_mev(RANGE_MM))
    assert known.r80_mm == pytest.approx(float(csda_range_water_mm(energy)) / rsp, abs=0.4)
    assert 0.0 < known.r80_noise_mm < 0.1
    assert not known.falloff.is_range_mixed()


def test_a_step_beside_a_ray_makes_it_heterogeneous() -> None:
    rsp = np.ones((100, 40, 40), dtype=np.float32)
    assert _wepl_spread(rsp, 1.0).max() == 0.0
    rsp[20:40, :, 20:] = 1.5
    spread = _wepl_spread(rsp, 1.0)
    # On the edge: half the neighbours are 10 mm ahead of the other half.
    assert spread[-1, 20, 20] == pytest.approx(5.0, abs=0.15)
    assert spread[10].max() < 1e-3
    assert spread[-1, 20, 0] < 0.05
    soft = np.zeros(448)
    assert not is_heterogeneous(soft, np.zeros(448), 80.0)
    assert is_heterogeneous(soft, np.full(448, 2.5), 80.0)
    bone = soft.copy()
    bone[30:37] = 900.0
    assert is_heterogeneous(bone, np.zeros(448), 80.0)
    assert not is_heterogeneous(bone, np.zeros(448), 25.0)
