"""A case: its parts must be of one patient, one frame of reference and one place."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.dicom import read_case
from protonqa.errors import DicomError, GeometryError, InputError


def codes(case) -> set[str]:
    return {finding.code for finding in case.findings}


class Folder:
    """CT, PET, plan and dose of one patient under one folder, each with its own changes."""

    def __init__(self, samples, root):
        self.samples, self.root = samples, root

    def read(self, *, ct=None, pet=None, plan=None, dose=None, **options):
        s = self.samples
        s.series(self.root / "ct", s.ct, 8, shape=(30, 20), **(ct or {}))
        s.series(self.root / "pet", s.pet, 8, shape=(30, 20), **(pet or {}))
        s.save(s.plan(**(plan or {})), self.root / "plan.dcm")
        s.save(s.dose(np.ones((4, 10, 10), "<u2"), **(dose or {})), self.root / "dose.dcm")
        return read_case(self.root / "ct", self.root / "pet", self.root / "plan.dcm", self.root / "dose.dcm", **options)


@pytest.fixture
def folder(samples, tmp_path):
    return Folder(samples, tmp_path)


def test_parts_that_belong_together_make_a_case_with_a_time_line(folder):
    case = folder.read()
    assert case.ct.unit == "HU"
    assert case.pet.volume.unit == "Bq/ml"
    assert case.plan.beam(1).unsupported == ()
    assert case.dose.volume.unit == "Gy"
    assert case.timeline.delay_s == pytest.approx(419.5)
    assert not {code for code in codes(case) if code.startswith("CASE")}


def test_all_parts_may_lie_in_one_folder(folder):
    folder.read()
    case = read_case(folder.root, folder.root, folder.root, folder.root)
    assert case.ct_info.files_used == 8
    assert case.plan_info.files_used == 1


def test_the_ct_alone_is_a_case(samples, tmp_path):
    samples.series(tmp_path, samples.ct)
    case = read_case(tmp_path)
    assert case.plan is None
    assert case.timeline is None


@pytest.mark.parametrize("part", ["pet", "plan", "dose"])
def test_a_part_of_another_patient_stops_the_import_without_naming_either(folder, part):
    with pytest.raises(DicomError, match="different patients") as caught:
        folder.read(**{part: {"PatientID": "OTHER-1"}})
    assert "OTHER-1" not in str(caught.value)
    assert "P-4711" not in str(caught.value)


@pytest.mark.parametrize("part", ["pet", "plan", "dose"])
def test_another_frame_of_reference_is_refused_unless_the_user_vouches_for_it(folder, samples, part):
    other = {part: {"FrameOfReferenceUID": samples.uid("elsewhere")}}
    with pytest.raises(GeometryError, match="no common frame of reference"):
        folder.read(**other)
    assert "CASE-FRAME" in codes(folder.read(**other, assume_registered=True))


@pytest.mark.parametrize("part", ["ct", "pet", "plan"])
def test_a_missing_frame_of_reference_is_refused_as_well(folder, part):
    with pytest.raises(GeometryError, match="no FrameOfReferenceUID"):
        folder.read(**{part: {"FrameOfReferenceUID": None}})


def test_a_missing_patient_id_and_other_birth_dates_and_studies_are_findings(folder, samples):
    case = folder.read(
        plan={"PatientID": ""}, dose={"PatientBirthDate": "19600101"}, pet={"StudyInstanceUID": samples.uid("s2")}
    )
    assert {"CASE-IDENTITY", "CASE-STUDY"} <= codes(case)
    assert any(f.code == "CASE-IDENTITY" and f.severity == "critical" for f in case.findings)


def test_a_dose_of_another_plan_is_refused(folder, samples):
    other = samples.item(ReferencedSOPInstanceUID=samples.uid("another plan"))
    with pytest.raises(DicomError, match="another plan"):
        folder.read(dose={"ReferencedRTPlanSequence": [other]})


def test_a_dose_of_a_beam_the_plan_does_not_have_is_refused(folder, samples):
    beam = samples.item(ReferencedBeamNumber=9)
    group = samples.item(ReferencedBeamSequence=[beam])
    reference = samples.item(
        ReferencedSOPInstanceUID=samples.uid("RTPLAN", "plan"), ReferencedFractionGroupSequence=[group]
    )
    with pytest.raises(InputError, match="no such beam"):
        folder.read(dose={"ReferencedRTPlanSequence": [reference]})


def test_a_dose_without_a_reference_is_a_finding(folder):
    assert "CASE-DOSE-PLAN" in codes(folder.read(dose={"ReferencedRTPlanSequence": None}))


@pytest.mark.parametrize("part", ["pet", "dose"])
def test_images_that_do_not_meet_the_ct_are_refused(folder, samples, part):
    shift = {"pet": {"origin": (300.0, -20.0)}, "dose": {"position": (500.0, 0.0, 0.0)}}[part]
    with pytest.raises(GeometryError, match="do not overlap"):
        folder.read(**{part: shift})


@pytest.mark.parametrize(("x", "stops"), [(40.0, False), (400.0, True)])
def test_an_isocentre_outside_the_ct_is_a_finding_near_it_and_an_error_far_away(folder, samples, x, stops):
    points = list(samples.beam().IonControlPointSequence)
    points[0].IsocenterPosition = [x, 0.0, 10.0]
    plan = {"beams": [samples.beam(points=points)]}
    if stops:
        with pytest.raises(GeometryError, match="isocentre of beam 1 lies outside"):
            folder.read(plan=plan)
    else:
        assert "CASE-ISOCENTRE" in codes(folder.read(plan=plan))


def test_another_patient_position_is_a_finding(folder):
    assert "CASE-POSITION" in codes(folder.read(pet={"PatientPosition": "HFP"}))


def test_impossible_times_are_a_critical_finding_and_no_time_line(folder, samples):
    case = folder.read(pet={"AcquisitionTime": "090000"})
    assert case.timeline is None
    assert any(f.code == "PET-CLOCK" and f.severity == "critical" for f in case.findings)
    case = folder.read(pet={"AcquisitionTime": "090000"}, clock_offset_s=4200.0)
    assert case.timeline.delay_s == pytest.approx(419.5)
    assert "PET-CLOCK-OFFSET" in codes(case)


def test_a_pet_that_does_not_know_the_beam_gives_no_time_line_with_a_finding(folder):
    case = folder.read(pet={"RadiopharmaceuticalInformationSequence": None})
    assert case.timeline is None
    assert "PET-TIMELINE" in codes(case)
