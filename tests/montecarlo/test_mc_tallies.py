"""Tallies in voxels: boxes, tiles, directions and voxel shapes must not change what is counted."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.montecarlo.medium import medium_from_hu
from protonqa.montecarlo.simulation import simulate
from protonqa.physics.emission import CHANNEL_NAMES
from protonqa.physics.materials import material, material_index
from protonqa.physics.stopping import csda_range_water_mm, energy_from_range_water_mev, stopping_power_water
from protonqa.values import Grid, Volume

VOLUMES = ("dose_water_gy", "dose_medium_gy", "nuclei")


@pytest.mark.parametrize("name", ["water", "pmma", "bone"])
def test_volumes_and_depth_curves_hold_the_same_nuclei(make_medium, make_beam, name):
    medium = make_medium(name)
    result = simulate(medium=medium, source=make_beam(medium, 110.0, sigma_mm=4.0), protons=2000, seed=1)
    by_volume = result.nuclei.reshape(7, -1).sum(axis=1, dtype=np.float64)
    assert by_volume == pytest.approx(result.nuclides_per_mm.sum(axis=1), rel=1e-5, abs=1e-12)
    assert by_volume.max() > 0.005


def test_volume_and_depth_curve_agree_plane_by_plane(make_medium, make_beam):
    """Planes of 1 mm across the beam are the 1 mm bins of depth: a voxel counted one plane off would show."""
    medium = make_medium("pmma", size_mm=(48, 48, 120), spacing_mm=(4.0, 4.0, 1.0))
    result = simulate(medium=medium, source=make_beam(medium, 100.0), protons=2000, seed=1)
    planes = result.nuclei.sum(axis=(2, 3), dtype=np.float64)
    assert planes == pytest.approx(result.nuclides_per_mm, rel=1e-4, abs=1e-9)
    energy = result.dose_medium_gy.sum(axis=(1, 2), dtype=np.float64)
    assert energy / energy.max() == pytest.approx(result.idd_mev_per_mm / result.idd_mev_per_mm.max(), abs=1e-4)


@pytest.mark.parametrize(
    ("start", "stop"), [((0, 0, 0), (60, 30, 30)), ((7, 3, 5), (36, 28, 19)), ((14, 14, 14), (15, 15, 15))]
)
def test_a_box_holds_the_bits_of_the_whole_grid(make_medium, make_beam, start, stop):
    """Odd starts and lengths: tiles that stick out of the box or lie across its edge must not lose a voxel."""
    medium = make_medium("bone")
    source = make_beam(medium, 90.0, sigma_mm=5.0, spread_percent=1.0)
    whole = simulate(medium=medium, source=source, protons=1500, seed=5, beam_quality=True, uncertainty=True)
    box = medium.grid.crop(start, stop)
    part = simulate(medium=medium, source=source, protons=1500, seed=5, beam_quality=True, uncertainty=True, box=box)
    here = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    for name in (*VOLUMES, "let_kev_per_um", "mean_energy_mev", "dose_error"):
        assert np.array_equal(getattr(whole, name)[(..., *here)], getattr(part, name)), name
    assert np.array_equal(whole.fine_idd_mev_per_mm, part.fine_idd_mev_per_mm)
    assert np.array_equal(whole.channels_per_mm, part.channels_per_mm)
    assert whole.energy_balance == part.energy_balance
    assert part.dose_water_gy.any()


def test_a_box_that_is_no_crop_of_the_grid_is_refused(make_medium, make_beam):
    medium = make_medium()
    shifted = Grid(shape=(4, 4, 4), spacing_mm=(2.0, 2.0, 2.0), origin_mm=(0.5, 0.0, 1.0))
    coarse = Grid(shape=(4, 4, 4), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(1.0, 1.0, 1.0))
    beyond = Grid(shape=(4, 4, 4), spacing_mm=(2.0, 2.0, 2.0), origin_mm=(25.0, 1.0, 1.0))
    for box in (shifted, coarse, beyond):
        with pytest.raises(InputError, match="tally box"):
            simulate(medium=medium, source=make_beam(medium, 70.0), protons=10, box=box)


def cube(name: str, edge_mm: float, spacing_mm: tuple[float, float, float]):
    """A cube of one material about the origin."""
    shape = tuple(round(edge_mm / s) for s in reversed(spacing_mm))
    origin = tuple(0.5 * (s - edge_mm) for s in spacing_mm)
    grid = Grid(shape=shape, spacing_mm=spacing_mm, origin_mm=origin)
    empty = Volume(grid=grid, array=np.zeros(grid.shape, dtype=np.float32), unit="HU")
    return medium_from_hu(empty, reference_index=np.full(grid.shape, material_index(name)))


def unit(*vector: float) -> np.ndarray:
    return np.array(vector) / np.linalg.norm(vector)


DIRECTIONS = {
    "z": unit(0, 0, 1),
    "-z": unit(0, 0, -1),
    "x": unit(1, 0, 0),
    "-y": unit(0, -1, 0),
    "diagonal": unit(1, 1, 1),
    "oblique": unit(-0.9, 0.3, 0.5),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("spacing_mm", [(2.0, 2.0, 2.0), (1.0, 3.0, 5.0)], ids=["cubes", "bricks"])
def test_a_beam_is_the_same_from_every_side(make_beam, direction, spacing_mm):
    """Range, energy and where it is left follow the beam into a cube, whatever the voxels."""
    medium, along = cube("water", 150.0, spacing_mm), DIRECTIONS[direction]
    entry = -75.0 / np.abs(along).max() * along
    result = simulate(
        medium=medium, source=make_beam(medium, 100.0, position_mm=entry, direction=along), protons=3000, seed=6
    )
    assert result.range_mm() == pytest.approx(float(csda_range_water_mm(100.0)), abs=0.3)
    assert sum(result.energy_balance[k] for k in ("deposited", "neutral", "binding")) == pytest.approx(1.0, abs=0.01)
    kg = medium.density.astype(np.float64) * medium.grid.voxel_ml * 1e-3
    left = result.dose_medium_gy * kg / 1.602176634e-13
    assert left.sum() / 100.0 == pytest.approx(result.energy_balance["deposited"], rel=1e-5)
    index = np.indices(medium.grid.shape).reshape(3, -1).T[:, ::-1]
    place = left.ravel() @ (medium.grid.world_from_index(index) - entry) / left.sum()
    depth = float(result.idd_mev_per_mm @ result.depth_mm / result.idd_mev_per_mm.sum())
    assert place @ along == pytest.approx(depth, abs=0.1)
    assert np.linalg.norm(place - (place @ along) * along) < 0.2
    made = result.nuclei.reshape(7, -1).sum(axis=1, dtype=np.float64)
    assert made == pytest.approx(result.nuclides_per_mm.sum(axis=1), rel=1e-5, abs=1e-12)


def test_nothing_is_counted_in_channels_a_material_cannot_have(make_medium, make_beam):
    medium = make_medium("water", size_mm=(40, 40, 80))
    result = simulate(medium=medium, source=make_beam(medium, 80.0), protons=500, seed=1)
    made = dict(zip(CHANNEL_NAMES, result.channels_per_mm.sum(axis=1), strict=True))
    assert made["p+16O->15O"] > 0.0
    assert all(total == 0.0 for name, total in made.items() if "16O" not in name)


def test_let_at_the_entrance_is_the_stopping_power_and_rises_to_the_end(make_medium, make_beam):
    """Dose-averaged LET in a thin slice is S(E) of the mean energy there, which is that of the depth."""
    medium = make_medium(size_mm=(40, 40, 160), spacing_mm=(4.0, 4.0, 1.0))
    result = simulate(
        medium=medium, source=make_beam(medium, 150.0), protons=2000, seed=2, nuclear=False, beam_quality=True
    )
    assert result.let_kev_per_um is not None
    assert result.mean_energy_mev is not None
    dose = result.dose_medium_gy.sum(axis=(1, 2), dtype=np.float64)
    # Planes: dose-weighted LET over the voxels of each.
    let = (result.let_kev_per_um * result.dose_medium_gy).sum(axis=(1, 2), dtype=np.float64) / np.maximum(dose, 1e-30)
    for plane in (0, 40, 100):
        energy = float(energy_from_range_water_mev(float(csda_range_water_mm(150.0)) - plane - 0.5))
        assert let[plane] == pytest.approx(0.1 * float(stopping_power_water(energy)), rel=0.02)
        axis = result.mean_energy_mev[plane, 4:6, 4:6]
        assert axis == pytest.approx(np.full((2, 2), energy), rel=0.01)
    rise = let[[100, 130, 150, 156, 159]]
    assert np.all(np.diff(rise) > 0.0)
    assert rise[-1] > 8.0
    assert np.all(result.let_kev_per_um[result.dose_medium_gy == 0.0] == 0.0)


def test_beam_quality_in_bone_is_let_in_water(make_medium, make_beam):
    """LET is stated in water whatever the voxel holds: dividing by the density of bone would halve or double it."""
    medium = make_medium("bone", size_mm=(40, 40, 40), spacing_mm=(4.0, 4.0, 1.0))
    result = simulate(
        medium=medium, source=make_beam(medium, 150.0), protons=1000, seed=2, nuclear=False, beam_quality=True
    )
    assert result.let_kev_per_um is not None
    here = result.let_kev_per_um[0][result.dose_medium_gy[0] > 0.0]
    assert here.mean() == pytest.approx(0.1 * float(stopping_power_water(149.5)), rel=0.02)
    assert material("bone").density_g_per_cm3 > 1.5
