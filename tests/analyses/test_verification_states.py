"""Range verification on a small phantom: what must never pass, and what cannot be evaluated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from protonqa.analyses.forward import pet_grid, pet_of_field, simulate_field
from protonqa.analyses.interface import Context
from protonqa.analyses.range_verification import RangeVerification
from protonqa.phantom.field_maker import make_field
from protonqa.values import Case, Grid, PetImage, PetTiming, SeriesInfo, State, Timeline, Volume

TIMELINE = Timeline(irradiation_s=60.0, delay_s=120.0, acquisition_s=600.0)
PROTONS = 40_000


@pytest.fixture(scope="module")
def scene():
    """A soft-tissue block in air, a field of 70 mm diameter into it, and the PET it leaves."""
    grid = Grid(shape=(44, 60, 44), spacing_mm=(3.0, 3.0, 3.0), origin_mm=(-64.5, -30.0, -64.5))
    hu = np.full(grid.shape, -1000.0, dtype=np.float32)
    hu[2:-2, 8:-4, 2:-2] = 40.0
    ct = Volume(grid=grid, array=hu, unit="HU")
    plan = make_field(
        ct, patient_position="HFS", target_center_mm=(0.0, 70.0, 0.0), target_radius_mm=26.0, gantry_deg=0.0
    )
    simulation = simulate_field(ct, plan, plan.beams[0], protons=PROTONS, seed=5)
    pet = pet_of_field(simulation, pet_grid(grid), TIMELINE, washout="parodi-hu", psf_mm=5.0, counts=5e5, seed=1)
    return ct, plan, pet


def case_of(ct, plan, pet, timeline=TIMELINE):
    image = PetImage(volume=pet, timing=PetTiming(decay_correction="NONE"), info=SeriesInfo(modality="PT"))
    return Case(ct=ct, ct_info=SeriesInfo(modality="CT"), plan=plan, pet=image, timeline=timeline)


def run(case, **params):
    checked = RangeVerification.Params(protons=PROTONS, psf_mm=5.0, systematic_draws=3, ray_pitch_mm=5.0, **params)
    return RangeVerification().run(Context(inputs={"case": case}, params=checked, seed=3))


def test_an_unchanged_block_passes(scene):
    result = run(case_of(*scene))
    assert result.state is State.PASS
    assert abs(result.value("mean_shift")) < 1.0
    interval = result.measurements["mean_shift"]
    assert interval.low < interval.value < interval.high
    assert {"HLUT-GENERIC", "BEAM-MODEL-GENERIC"} <= {f.code for f in result.findings}


def test_without_any_time_line_it_is_not_evaluable(scene):
    result = run(case_of(*scene, timeline=None))
    assert result.state is State.NOT_EVALUABLE
    assert "time line" in result.reason


def test_an_empty_pet_is_not_evaluable(scene):
    ct, plan, pet = scene
    result = run(case_of(ct, plan, pet.with_array(np.zeros(pet.grid.shape))))
    assert result.state is State.NOT_EVALUABLE
    assert "0 voxels" in result.reason


def test_a_beam_whose_range_shifter_changes_is_not_evaluable(scene):
    ct, plan, pet = scene
    beam = replace(plan.beams[0], unsupported=("range shifter RS changes",))
    result = run(case_of(ct, replace(plan, beams=(beam,)), pet))
    assert result.state is State.NOT_EVALUABLE
    assert "range shifter" in result.reason


def test_the_activity_of_several_fields_is_not_taken_for_one(scene):
    ct, plan, pet = scene
    both = replace(plan, beams=(plan.beams[0], replace(plan.beams[0], number=2)))
    assert run(case_of(ct, both, pet)).state is State.NOT_EVALUABLE
    assert run(case_of(ct, both, pet), beam=2).state is State.PASS


def test_pure_noise_never_passes(scene):
    ct, plan, pet = scene
    for seed, level in ((1, 0.5), (2, 5.0), (3, 200.0)):
        noise = np.random.default_rng(seed).poisson(level, pet.grid.shape).astype(np.float32)
        assert run(case_of(ct, plan, pet.with_array(noise))).state is not State.PASS


def test_the_pet_of_another_field_never_passes(scene):
    """The same plan's activity, but 20 mm deeper, or from the other side: plausible nonsense must not pass."""
    ct, plan, pet = scene
    for other in (np.roll(pet.array, 7, axis=1), pet.array[:, ::-1]):
        assert run(case_of(ct, plan, pet.with_array(np.ascontiguousarray(other)))).state is not State.PASS


def test_a_pet_that_ends_before_the_range_is_not_answered_with_its_edge(scene):
    """A field of view that cuts the fall-off must not become a range at the cut (FAULTS: truncated window)."""
    ct, plan, pet = scene
    cut = int(np.ceil(pet.grid.index_from_world((0.0, 60.0, 0.0))[1]))
    nz, _, nx = pet.grid.shape
    short = Volume(grid=pet.grid.crop((0, 0, 0), (nz, cut, nx)), array=pet.array[:, :cut], unit="Bq/ml")
    assert run(case_of(ct, plan, short)).state is State.NOT_EVALUABLE
