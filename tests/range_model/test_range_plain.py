"""Rays of the straight-ahead model: Bortfeld's curve in water, the columns they are made in, their neighbours."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.physics.bragg import depth_dose_mev_cm2_per_g, range_sigma_mm
from protonqa.physics.curves import distal_range_mm
from protonqa.physics.emission import CHANNELS
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.range_model.beam_runs import set_alternatives, set_channels
from protonqa.range_model.dataset import RayTable, SetSchema
from protonqa.range_model.plain_rays import STEP_MM, _curves, plain_rays
from protonqa.range_model.rays import WORKING_BINS


@pytest.fixture(scope="module")
def table(toy: SimpleNamespace) -> RayTable:
    """Columns of invented tissue in the schema of a simulated set."""
    schema = SetSchema(channels=set_channels(), alternatives=set_alternatives(), dose_bin_mm=1.0)
    rays = []
    for i, ray in enumerate(toy.rays(6, 3, seed=5)):
        spread = np.linspace(0.0, 3.0 * (i % 3), WORKING_BINS)
        rays.append(
            replace(
                ray,
                production=np.zeros((len(CHANNELS), WORKING_BINS)),
                dose=ray.dose.reshape(-1, 2).mean(axis=1),
                wepl_spread_mm=spread,
            )
        )
    return RayTable.from_rays(rays, schema)


@pytest.fixture(scope="module")
def plain(table: RayTable) -> RayTable:
    return plain_rays(table, np.arange(12), rays=60, seed=3)


@pytest.mark.parametrize("energy_mev", [90.0, 150.0, 210.0])
def test_the_dose_in_water_is_bortfelds(energy_mev: float) -> None:
    curve = _curves(np.array([float(csda_range_water_mm(energy_mev))]), np.ones(1), 0.8)[0]
    depth = np.arange(curve.size) * STEP_MM
    expected = depth_dose_mev_cm2_per_g(depth, energy_mev, energy_spread_percent=0.8)
    assert distal_range_mm(depth, curve) == pytest.approx(distal_range_mm(depth, expected), abs=0.08)
    inside = depth < csda_range_water_mm(energy_mev) - 4 * range_sigma_mm(energy_mev, 0.8)
    ratio = (curve[inside] / curve.max()) / (expected[inside] / expected.max())
    # Bortfeld's stopping power is a power law, that of the tables is not quite.
    assert np.abs(ratio - 1).max() < 0.06


def test_the_same_seed_makes_the_same_rays(table: RayTable, plain: RayTable) -> None:
    again = plain_rays(table, np.arange(12), rays=60, seed=3)
    assert np.array_equal(again.production, plain.production)
    assert np.array_equal(again.r80_mm, plain.r80_mm)
    assert not np.array_equal(plain_rays(table, np.arange(12), rays=60, seed=4).r80_mm, plain.r80_mm)


def test_rays_stand_in_the_columns_that_were_given(table: RayTable, plain: RayTable) -> None:
    assert len(plain) == 60
    assert set(plain.anatomy.tolist()) <= set(table.anatomy[:12].tolist())
    assert plain.production.shape == (60, len(CHANNELS), WORKING_BINS)
    assert plain.alternative.shape == (60, len(set_alternatives()), WORKING_BINS)


def test_r80_is_that_of_the_dose_and_the_activity_ends_before_it(plain: RayTable) -> None:
    depth = np.arange(WORKING_BINS) + 0.5
    for row in range(0, 60, 5):
        if not plain.range_mixed[row]:
            assert distal_range_mm(depth, plain.dose[row].astype(float)) == pytest.approx(plain.r80_mm[row], abs=0.4)
        made = plain.production[row].sum(axis=0)
        behind = made[int(plain.r80_mm[row] + plain.falloff_mm[row]) + 8 :]
        assert behind.sum() < 0.01 * made.sum()


def test_neighbours_of_other_depths_widen_the_fall_off(table: RayTable) -> None:
    even = replace(table, wepl_spread_mm=np.zeros_like(table.wepl_spread_mm))
    rough = replace(table, wepl_spread_mm=np.full_like(table.wepl_spread_mm, 8.0))
    rows = np.arange(len(table))
    sharp, blurred = (plain_rays(one, rows, rays=40, seed=1) for one in (even, rough))
    assert np.median(blurred.falloff_mm) > np.median(sharp.falloff_mm) + 1.0
    # Some of them so much that the protons stop at two depths; in even tissue none do.
    assert not sharp.range_mixed.any()
    assert 0.1 < blurred.range_mixed.mean() < 0.9


def test_sets_without_reaction_channels_are_refused(toy_table: RayTable) -> None:
    with pytest.raises(InputError, match="no rays can be made"):
        plain_rays(toy_table, np.arange(3), rays=2, seed=1)
