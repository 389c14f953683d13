"""RT Dose: units, place of the planes, scaling, and what it refers to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.dicom import read_dose
from protonqa.errors import DicomError, GeometryError, InputError, UnitsError

STORED = np.arange(60, dtype="<u4").reshape(3, 4, 5)


def read(samples, folder, stored=STORED, position=(-10.0, -20.0, 7.0), **attributes):
    allow = attributes.pop("allow_relative", False)
    path = samples.save(samples.dose(stored, position, **attributes), folder / "dose.dcm")
    return read_dose(path, allow_relative=allow)


def test_values_are_gray_and_stand_where_the_file_says(samples, tmp_path):
    dose, findings = read(samples, tmp_path, spacing_yx=(2.0, 3.0))
    assert dose.volume.unit == "Gy"
    assert dose.volume.array.dtype == np.float32
    assert np.array_equal(dose.volume.array, (STORED * 0.001).astype(np.float32))
    assert dose.volume.grid.spacing_mm == (3.0, 2.0, 2.5)
    assert dose.volume.grid.world_from_index((1, 1, 2)).tolist() == [-7.0, -18.0, 12.0]
    assert (dose.summation_type, dose.dose_units, dose.referenced_beam) == ("PLAN", "GY", None)
    assert dose.referenced_plan_uid == samples.uid("RTPLAN", "plan")
    assert not findings


def test_a_beam_dose_knows_its_beam(samples, tmp_path):
    beam = samples.item(ReferencedBeamNumber=2)
    group = samples.item(ReferencedFractionGroupNumber=1, ReferencedBeamSequence=[beam])
    plan = samples.item(ReferencedSOPInstanceUID=samples.uid("RTPLAN", "plan"), ReferencedFractionGroupSequence=[group])
    dose, _ = read(samples, tmp_path, DoseSummationType="BEAM", ReferencedRTPlanSequence=[plan])
    assert (dose.summation_type, dose.referenced_beam) == ("BEAM", 2)


def test_offsets_may_be_z_coordinates_of_upright_planes(samples, tmp_path):
    relative, _ = read(samples, tmp_path / "a")
    absolute, _ = read(samples, tmp_path / "b", GridFrameOffsetVector=[7.0, 9.5, 12.0])
    assert absolute.volume.grid.matches(relative.volume.grid)


def test_falling_offsets_turn_the_planes_round(samples, tmp_path):
    rising, _ = read(samples, tmp_path / "a")
    falling, _ = read(
        samples, tmp_path / "b", STORED[::-1], (-10.0, -20.0, 12.0), GridFrameOffsetVector=[0.0, -2.5, -5.0]
    )
    assert falling.volume.grid.matches(rising.volume.grid)
    assert np.array_equal(falling.volume.array, rising.volume.array)


def test_offsets_run_along_the_normal_of_the_planes_not_along_z(samples, tmp_path):
    dose, _ = read(samples, tmp_path, orientation=(-1, 0, 0, 0, 1, 0))
    assert dose.volume.grid.world_from_index((0, 0, 2)).tolist() == [-10.0, -20.0, 2.0], "the normal points to -z"


@pytest.mark.parametrize(
    "change",
    [
        {"GridFrameOffsetVector": [3.0, 5.5, 8.0]},
        {"GridFrameOffsetVector": [0.0, 2.5, 7.5]},
        {"GridFrameOffsetVector": [0.0, 2.5, 2.5]},
        {"GridFrameOffsetVector": [0.0, 2.5, 1.0]},
        {"GridFrameOffsetVector": [7.0, 9.5, 12.0], "orientation": (-1, 0, 0, 0, 1, 0)},
    ],
)
def test_planes_without_a_defined_even_place_are_refused(samples, tmp_path, change):
    with pytest.raises(GeometryError):
        read(samples, tmp_path, **change)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"DoseUnits": None}, UnitsError, "no attribute DoseUnits"),
        ({"DoseUnits": "RELATIVE"}, UnitsError, "DoseUnits 'RELATIVE'"),
        ({"DoseUnits": "CGY", "allow_relative": True}, UnitsError, "CGY"),
        ({"DoseType": "ERROR"}, DicomError, "differences"),
        ({"DoseGridScaling": None}, DicomError, "DoseGridScaling"),
        ({"DoseGridScaling": 0}, DicomError, "not positive"),
        ({"DoseGridScaling": "1e300"}, InputError, "beyond any number"),
        ({"DoseSummationType": None}, DicomError, "DoseSummationType"),
        ({"GridFrameOffsetVector": None}, DicomError, "GridFrameOffsetVector"),
        ({"GridFrameOffsetVector": [0.0, 2.5]}, DicomError, "GridFrameOffsetVector"),
        ({"NumberOfFrames": 4, "GridFrameOffsetVector": [0.0, 1.0, 2.0, 3.0]}, DicomError, "does not match"),
        ({"NumberOfFrames": None}, DicomError, "does not match|not a volume"),
    ],
)
def test_doses_that_cannot_be_read_say_why(samples, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        read(samples, tmp_path, **change)


def test_one_plane_is_not_a_volume(samples, tmp_path):
    with pytest.raises(DicomError, match="not a volume"):
        read(samples, tmp_path, STORED[:1])


def test_a_relative_dose_is_read_only_on_request_and_keeps_its_unit(samples, tmp_path):
    dose, _ = read(samples, tmp_path, DoseUnits="RELATIVE", allow_relative=True)
    assert dose.volume.unit == "relative"
    assert dose.dose_units == "RELATIVE"


def test_biological_dose_is_a_finding(samples, tmp_path):
    _, findings = read(samples, tmp_path, DoseType="EFFECTIVE")
    assert "DOSE-EFFECTIVE" in {f.code for f in findings}


def test_several_doses_are_listed_by_what_they_sum(samples, tmp_path):
    for n, kind in enumerate(("PLAN", "BEAM")):
        dataset = samples.dose(STORED, DoseSummationType=kind, SOPInstanceUID=samples.uid(kind), SeriesNumber=n)
        samples.save(dataset, tmp_path / f"{n}.dcm")
    with pytest.raises(InputError, match=r"'PLAN'.*'BEAM'"):
        read_dose(tmp_path)
    assert read_dose(tmp_path, series=samples.uid("BEAM"))[0].summation_type == "BEAM"


@settings(max_examples=20, deadline=None)
@given(scaling=st.floats(1e-9, 1e-2), value=st.integers(0, 2**32 - 1))
def test_scaling_is_one_product_in_double_precision(samples, tmp_path_factory, scaling, value):
    stored = np.full((2, 2, 2), value, "<u4")
    text = f"{scaling:.9e}"
    path = samples.save(samples.dose(stored, DoseGridScaling=text), tmp_path_factory.mktemp("s") / "d.dcm")
    assert read_dose(path)[0].volume.array[0, 0, 0] == np.float32(value * np.float64(text))
