"""Real files of other makers: read as their origin says, or refused in one clear line."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.dicom import read_case, read_ct, read_dose, read_pet, read_plan
from protonqa.errors import DicomError, GeometryError, UnitsError


def codes(findings) -> set[str]:
    return {finding.code for finding in findings}


def test_the_feet_first_abdomen_ct_with_padding_couch_and_contrast(reference_data):
    volume, info, findings = read_ct(reference_data / "ct_case" / "CRLM-CT-1006_CT.zip")
    assert volume.grid.shape == (51, 512, 512)
    assert volume.grid.spacing_mm == pytest.approx((0.804688, 0.804688, 5.0))
    assert np.array_equal(volume.grid.direction, np.eye(3))
    assert volume.grid.world_from_index((0, 0, 50))[2] == pytest.approx(-126.44, abs=1e-3)
    assert volume.grid.origin_mm[2] == pytest.approx(-376.44, abs=1e-3)
    assert info.patient_position == "FFS"
    assert info.files_used == 51
    assert volume.array.min() == -1000.0, "the -3024 outside the field of view is air"
    clipped = next(f.text for f in findings if f.code == "CT-CLIPPED")
    assert "-3024" in clipped
    assert "CT-CONTRAST" in codes(findings)


def test_the_jpeg_2000_ct_of_a_pet_ct_scanner(reference_data):
    volume, info, _ = read_ct(reference_data / "dicom" / "totalsegmentator_ct_jpeg2000_20slices.zip")
    assert volume.grid.shape == (20, 512, 512)
    assert volume.grid.spacing_mm == pytest.approx((0.9765625, 0.9765625, 2.0))
    assert info.patient_position == "HFS"
    assert all(info.sop_instance_uids), "its SOPInstanceUID stands in the file header only"
    # Soft tissue around 0 HU in the middle of the body: neither swapped bytes nor a lost sign would give it.
    middle = volume.array[10, 240:270, 240:270]
    assert -150 < float(np.median(middle)) < 150
    assert 800 < float(volume.array.max()) < 4000


def test_the_pet_in_standardised_uptake_values_is_refused_for_exactly_that(reference_data):
    with pytest.raises(UnitsError) as caught:
        read_pet(reference_data / "dicom" / "STS_002_PET_with_RTSTRUCT.zip")
    assert str(caught.value) == (
        "the PET is not in Bq/ml and is not converted: standardised uptake values (SUV), scaled by body weight and "
        "injected dose, got Units 'GML', expected Units BQML, export the PET as activity concentration (BQML)"
    )


def test_that_pet_holds_no_ct_and_says_what_it_holds(reference_data):
    with pytest.raises(DicomError, match=r"48 x Positron Emission.*1 x RT Structure Set"):
        read_ct(reference_data / "dicom" / "STS_002_PET_with_RTSTRUCT.zip")


def test_the_odd_ion_plan_is_refused_for_its_missing_patient_position(reference_data):
    with pytest.raises(GeometryError, match="does not say how the patient lies") as caught:
        read_plan(reference_data / "dicom" / "rt_ion_plan_opentps.dcm")
    assert "\n" not in str(caught.value)


def test_the_odd_ion_plan_reads_once_the_position_is_given(reference_data):
    plan, _, findings = read_plan(reference_data / "dicom" / "rt_ion_plan_opentps.dcm", patient_position="HFS")
    beam = plan.beam(0)
    assert len(beam.layers) == 8
    assert beam.layers[0].energy_mev == pytest.approx(98.464, abs=1e-3)
    assert beam.layers[0].meterset_mu.size == 37
    assert beam.meterset_mu == pytest.approx(304.0)
    assert beam.isocenter_mm == (109.5, 109.5, 109.5)
    assert beam.virtual_sad_mm is None, "0 mm in the file means nothing"
    assert beam.unsupported == ()
    assert {"PLAN-POSITION", "PLAN-CONTROL-POINTS", "PLAN-SAD", "PLAN-APPROVAL"} <= codes(findings)


def test_the_relative_rt_dose(reference_data):
    path = reference_data / "dicom" / "rt_dose_pydicom.dcm"
    with pytest.raises(UnitsError, match="RELATIVE"):
        read_dose(path)
    dose, findings = read_dose(path, allow_relative=True)
    assert dose.volume.grid.shape == (15, 10, 10)
    assert dose.volume.grid.spacing_mm == (10.0, 10.0, 5.0)
    assert dose.volume.unit == "relative"
    assert 0.5 < dose.volume.array.max() < 2.0
    assert (dose.summation_type, dose.referenced_beam) == ("BEAM", 1)
    assert "DICOM-NONCONFORMANT" in codes(findings)


def test_a_folder_of_strangers_names_none_of_them_as_a_ct(reference_data):
    with pytest.raises(DicomError, match="no CT was found"):
        read_ct(reference_data / "dicom")


def test_a_plan_of_another_patient_is_not_laid_over_the_ct(reference_data):
    with pytest.raises(DicomError, match="different patients"):
        read_case(
            reference_data / "ct_case" / "CRLM-CT-1006_CT.zip",
            plan=reference_data / "dicom" / "rt_ion_plan_opentps.dcm",
            patient_position="FFS",
        )
