"""What protonqa writes, protonqa reads: one case of CT, PET, plan and dose that belongs together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protonqa.dicom import read_case, read_ct, read_dose, read_pet, read_plan, timeline_from_pet
from protonqa.dicom.write_ct import write_ct
from protonqa.dicom.write_dose import write_dose
from protonqa.dicom.write_identity import DicomIdentity
from protonqa.dicom.write_pet import write_pet
from protonqa.dicom.write_plan import write_plan
from protonqa.values import (
    PATIENT_POSITIONS,
    Beam,
    EnergyLayer,
    Grid,
    IonPlan,
    PatientIdentity,
    RangeShifter,
    Severity,
    Timeline,
    Volume,
)

END = datetime(2026, 3, 14, 23, 58, 0, tzinfo=UTC)
TIMELINE = Timeline(irradiation_s=45.0, delay_s=360.0, acquisition_s=1800.0)
PATIENT = PatientIdentity(patient_id="P 1", name="Größe^Ä", birth_date="19500102")


def grid(seed: int = 0, direction=None, shape=(6, 5, 7)) -> Grid:
    rng = np.random.default_rng(seed)
    direction = np.linalg.qr(rng.normal(size=(3, 3)))[0] if direction is None else direction
    return Grid(shape=shape, spacing_mm=(2, 3, 4), origin_mm=tuple(rng.uniform(-200, 200, 3)), direction=direction)


def sampled(volume: Volume, at: Grid) -> np.ndarray:
    """Values of a volume at the voxels of another grid of the same places, whatever its index order."""
    z, y, x = np.indices(at.shape)
    index = volume.grid.index_from_world(at.world_from_index(np.stack([x, y, z], axis=-1)))
    nearest = np.rint(index).astype(int)
    assert np.abs(index - nearest).max() < 1e-3
    return volume.array[nearest[..., 2], nearest[..., 1], nearest[..., 0]]


def plan(isocenter_mm=(10.0, -20.0, 30.0)) -> IonPlan:
    rng = np.random.default_rng(5)
    layers = tuple(
        EnergyLayer(
            energy_mev=e, spot_xy_mm=rng.uniform(-30, 30, (n, 2)), meterset_mu=rng.random(n), spot_fwhm_mm=(8, 9)
        )
        for e, n in ((150.5, 6), (140.0, 1), (120.25, 3))
    )
    beam = Beam(
        number=2,
        name="Field A",
        gantry_deg=270.0,
        couch_deg=10.0,
        isocenter_mm=isocenter_mm,
        layers=layers,
        virtual_sad_mm=(1950.0, 2250.0),
    )
    return IonPlan(patient_position="HFS", beams=(beam,), label="LIVER", fractions=3)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_volumes_come_back_at_their_places_for_any_grid(tmp_path, seed):
    rng = np.random.default_rng(seed)
    identity = DicomIdentity.new(patient_position="HFS")
    g = grid(seed)
    ct = Volume(grid=g, array=rng.integers(-1000, 2000, g.shape), unit="HU")
    pet = Volume(grid=g, array=rng.random(g.shape) * 4000, unit="Bq/ml")
    dose = Volume(grid=g, array=rng.random(g.shape) * 2, unit="Gy")
    write_ct(ct, tmp_path / "ct", identity=identity, overwrite=True)
    write_pet(pet, tmp_path / "pet", identity=identity, timeline=TIMELINE, irradiation_end=END, overwrite=True)
    write_dose(dose, tmp_path / "dose.dcm", identity=identity, plan_uid="1.2.3", beam_number=2)
    assert np.abs(sampled(read_ct(tmp_path / "ct")[0], g) - ct.array).max() <= 0.5
    assert np.abs(sampled(read_pet(tmp_path / "pet")[0].volume, g) - pet.array).max() <= 4000 / 65535
    assert np.abs(sampled(read_dose(tmp_path / "dose.dcm")[0].volume, g) - dose.array).max() <= 1e-6


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_patient_positions_come_back(tmp_path, position):
    g = grid(direction=np.eye(3))
    ct = Volume(grid=g, array=np.zeros(g.shape), unit="HU")
    write_ct(ct, tmp_path, identity=DicomIdentity.new(patient_position=position))
    volume, info, _ = read_ct(tmp_path)
    assert info.patient_position == position
    assert volume.grid.matches(g)


@pytest.mark.parametrize("timeline", [TIMELINE, Timeline(irradiation_s=0.0, delay_s=0.0, acquisition_s=0.5)])
def test_the_time_line_comes_back_through_midnight(tmp_path, timeline):
    g = grid()
    pet = Volume(grid=g, array=np.random.default_rng(0).random(g.shape), unit="Bq/ml")
    write_pet(pet, tmp_path, identity=DicomIdentity.new(), timeline=timeline, irradiation_end=END)
    image, _ = read_pet(tmp_path)
    assert image.timing.decay_correction == "NONE"
    assert image.timing.irradiation_end == END
    assert timeline_from_pet(image.timing) == timeline


def test_a_plan_comes_back_with_its_spots_and_metersets(tmp_path):
    original = plan()
    info = write_plan(original, tmp_path / "plan.dcm", identity=DicomIdentity.new())
    back, back_info, _ = read_plan(tmp_path / "plan.dcm")
    assert (back.patient_position, back.label, back.fractions) == ("HFS", "LIVER", 3)
    assert back.approval_status == "UNAPPROVED"
    assert (back.sop_instance_uid,) == info.sop_instance_uids
    assert back_info.study_uid == info.study_uid
    one, two = original.beams[0], back.beams[0]
    for name in ("number", "name", "gantry_deg", "couch_deg", "isocenter_mm", "virtual_sad_mm", "unsupported"):
        assert getattr(one, name) == getattr(two, name)
    assert len(two.layers) == 3
    for a, b in zip(one.layers, two.layers, strict=True):
        assert a.energy_mev == b.energy_mev
        assert a.spot_fwhm_mm == b.spot_fwhm_mm
        assert b.spot_xy_mm == pytest.approx(a.spot_xy_mm, abs=1e-5)
        assert b.meterset_mu == pytest.approx(a.meterset_mu, rel=1e-6)
    # Written once more, the plan says the same in every bit: 32-bit floats lose nothing the second time.
    write_plan(back, tmp_path / "again.dcm", identity=DicomIdentity.new())
    again = read_plan(tmp_path / "again.dcm")[0].beams[0]
    for b, c in zip(two.layers, again.layers, strict=True):
        assert np.array_equal(b.spot_xy_mm, c.spot_xy_mm)
        assert c.meterset_mu == pytest.approx(b.meterset_mu, rel=1e-7)


@pytest.mark.parametrize(
    "shifter",
    [
        RangeShifter(name="RS 4", wet_mm=40.125, distance_mm=155.5, material="pmma"),
        RangeShifter(name="A", wet_mm=None, distance_mm=80.0, material="polyethylene"),
    ],
)
def test_a_range_shifter_comes_back(tmp_path, shifter):
    original = plan()
    moved = replace(original, beams=(replace(original.beams[0], range_shifter=shifter), *original.beams[1:]))
    write_plan(moved, tmp_path / "plan.dcm", identity=DicomIdentity.new())
    back, _, findings = read_plan(tmp_path / "plan.dcm")
    assert back.beams[0].range_shifter == shifter
    assert back.beams[0].unsupported == ()
    assert "PLAN-RANGE-SHIFTER" not in {one.code for one in findings}


def test_a_whole_case_of_one_identity_belongs_together(tmp_path):
    identity = DicomIdentity.new(seed="case", patient=PATIENT, study_time=END)
    g = grid(direction=np.eye(3), shape=(20, 30, 40))
    ramp = np.arange(np.prod(g.shape), dtype=float).reshape(g.shape)
    isocenter = tuple(g.center_mm)
    write_ct(Volume(grid=g, array=ramp % 2000 - 1000, unit="HU"), tmp_path / "ct", identity=identity)
    pet = Volume(grid=g, array=ramp, unit="Bq/ml")
    write_pet(pet, tmp_path / "pet", identity=identity, timeline=TIMELINE, irradiation_end=END)
    plan_info = write_plan(plan(isocenter), tmp_path / "plan.dcm", identity=identity)
    dose = Volume(grid=g, array=ramp / ramp.max(), unit="Gy")
    plan_uid = plan_info.sop_instance_uids[0]
    write_dose(dose, tmp_path / "dose.dcm", identity=identity, plan_uid=plan_uid, beam_number=2)
    case = read_case(tmp_path / "ct", tmp_path / "pet", tmp_path / "plan.dcm", tmp_path / "dose.dcm")
    assert case.timeline == TIMELINE
    assert case.ct_info.patient == PATIENT
    assert case.ct.grid.matches(g)
    assert case.dose is not None
    assert (case.dose.summation_type, case.dose.referenced_beam) == ("BEAM", 2)
    assert case.dose.referenced_plan_uid == case.plan.sop_instance_uid == plan_uid
    # The only doubt about what we wrote is that nobody has approved the plan.
    doubts = [f.code for f in case.findings if f.severity is not Severity.INFO]
    assert doubts == ["PLAN-APPROVAL"]


def test_a_pet_written_for_a_ct_that_was_read_belongs_to_it(tmp_path):
    g = grid(direction=np.eye(3), shape=(6, 20, 20))
    ct = Volume(grid=g, array=np.zeros(g.shape), unit="HU")
    write_ct(ct, tmp_path / "ct", identity=DicomIdentity.new(patient=PATIENT, patient_position="FFS"))
    _, info, _ = read_ct(tmp_path / "ct")
    pet = Volume(grid=g, array=np.arange(g.shape[0] * 400.0).reshape(g.shape), unit="Bq/ml")
    identity = DicomIdentity.of_series(info)
    write_pet(pet, tmp_path / "pet", identity=identity, timeline=TIMELINE, irradiation_end=END)
    case = read_case(tmp_path / "ct", tmp_path / "pet")
    assert case.timeline == TIMELINE
    assert case.pet is not None
    assert case.pet.info.study_uid == case.ct_info.study_uid
    assert case.pet.info.patient_position == "FFS"
