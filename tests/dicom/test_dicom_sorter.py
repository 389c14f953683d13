"""The series sorter: what is in a folder, which slices make the volume, and what it refuses to guess."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.dicom import read_ct, read_pet
from protonqa.errors import DicomError, GeometryError, InputError, ProtonQAError

#: Row and column direction of an axial image in each of the eight positions, as scanners write them.
EIGHT_POSITIONS = {
    "HFS": (1, 0, 0, 0, 1, 0),
    "HFP": (-1, 0, 0, 0, -1, 0),
    "FFS": (-1, 0, 0, 0, 1, 0),
    "FFP": (1, 0, 0, 0, -1, 0),
    "HFDR": (0, 1, 0, -1, 0, 0),
    "HFDL": (0, -1, 0, 1, 0, 0),
    "FFDR": (0, -1, 0, -1, 0, 0),
    "FFDL": (0, 1, 0, 1, 0, 0),
}


def codes(findings) -> set[str]:
    return {finding.code for finding in findings}


# --- strangers in the folder -------------------------------------------------------------------------------------


def test_ten_strangers_are_listed_with_a_reason_and_do_not_disturb(samples, tmp_path):
    samples.series(tmp_path, samples.ct)
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "letter.dcm").write_text("a text with the wrong extension" * 20)
    (tmp_path / ".DS_Store").write_bytes(b"\0" * 500)
    (tmp_path / "short").write_bytes(b"\0" * 131)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("a", "b" * 300)
    samples.save(samples.dataset("1.2.840.10008.1.3.10", "", "index"), tmp_path / "DICOMDIR")
    samples.save(samples.dataset(samples.RTSTRUCT, "RTSTRUCT", "rs"), tmp_path / "rs.dcm")
    samples.save(samples.pet(np.ones((5, 4), "<i2"), (0, 0, 0)), tmp_path / "sub" / "pet.dcm")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")

    volume, info, findings = read_ct(tmp_path)

    assert volume.grid.shape == (6, 5, 4)
    assert info.files_used == 6
    reasons = dict(info.files_ignored)
    assert reasons["file empty.dcm"] == "an empty file"
    assert reasons["file notes.txt"] == reasons["file letter.dcm"] == "not a DICOM file"
    assert reasons["file .DS_Store"] == reasons["file short"] == "not a DICOM file"
    assert reasons["file DICOMDIR"] == "a DICOMDIR index"
    assert reasons["file more.zip"].startswith("a zip archive")
    assert "Structure Set" in reasons["file rs.dcm"]
    assert "Positron Emission" in reasons["file pet.dcm"]
    assert reasons["file broken"].startswith("cannot be opened")
    assert len(info.files_ignored) == 10, "every file is either used or ignored with a reason"
    assert "DICOM-UNREADABLE-FILES" in codes(findings), "two .dcm files that are not DICOM may be lost slices"


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 128 + b"DICM", b"PK\x03\x04"])
def test_a_file_that_is_no_ct_is_one_clear_line(tmp_path, content):
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_ct(path)
    assert "\n" not in str(caught.value)


def test_a_path_that_does_not_exist_is_not_repeated_in_the_message(tmp_path):
    with pytest.raises(InputError) as caught:
        read_ct(tmp_path / "Canary_Yellow")
    assert "Canary" not in str(caught.value)


# --- mixed series ------------------------------------------------------------------------------------------------


def test_ct_pet_structures_and_localiser_in_one_folder_are_told_apart(samples, tmp_path):
    samples.series(tmp_path, samples.ct, prefix="ct")
    samples.series(tmp_path, samples.pet, 5, prefix="pt")
    samples.save(samples.dataset(samples.RTSTRUCT, "RTSTRUCT", "rs"), tmp_path / "rs.dcm")
    localiser = samples.ct(
        np.ones((9, 9), "<i2"),
        (0, 0, 0),
        orientation=(1, 0, 0, 0, 0, -1),
        name="loc",
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        SeriesInstanceUID=samples.uid("localiser"),
    )
    samples.save(localiser, tmp_path / "loc.dcm")
    volume, info, _ = read_ct(tmp_path)
    assert volume.grid.shape == (6, 5, 4)
    assert ("file loc.dcm", "a CT localiser") in info.files_ignored
    image, _ = read_pet(tmp_path)
    assert image.volume.grid.shape == (5, 5, 4)


def test_two_ct_series_are_listed_without_identity_and_need_a_choice(samples, tmp_path):
    samples.series(tmp_path, samples.ct, prefix="a")
    other = samples.uid("other ct")
    samples.series(tmp_path, samples.ct, 4, prefix="b", SeriesInstanceUID=other, SeriesNumber=7)
    with pytest.raises(InputError) as caught:
        read_ct(tmp_path)
    text = str(caught.value)
    assert "6 images of 5 x 4" in text
    assert "4 images" in text
    assert "Canary" not in text
    assert "P-4711" not in text
    assert read_ct(tmp_path, series=other)[0].grid.shape[0] == 4
    volume, info, _ = read_ct(tmp_path, series="1")
    assert volume.grid.shape[0] == 6
    assert len([1 for _, reason in info.files_ignored if reason == "belongs to another CT"]) == 4
    with pytest.raises(InputError, match="not there"):
        read_ct(tmp_path, series="9")


def test_slices_of_two_patients_under_one_series_are_refused(samples, tmp_path):
    samples.series(tmp_path, samples.ct)
    samples.save(samples.ct(np.ones((5, 4), "<i2"), (-10, -20, 18), PatientID="Q-1"), tmp_path / "z.dcm")
    with pytest.raises(DicomError, match="disagree in PatientID"):
        read_ct(tmp_path)


# --- order, gaps, spacing ----------------------------------------------------------------------------------------


def test_slices_are_sorted_by_position_not_by_name_or_instance_number(samples, tmp_path):
    rng = np.random.default_rng(5)
    for name, k in enumerate(rng.permutation(8)):
        stored = np.full((5, 4), 1024 + k, "<i2")
        dataset = samples.ct(stored, (0, 0, 2.5 * k), InstanceNumber=int(rng.integers(100)))
        samples.save(dataset, tmp_path / f"{name}.dcm")
    volume, _, _ = read_ct(tmp_path)
    assert volume.array[:, 0, 0].tolist() == list(range(8))
    assert volume.grid.spacing_mm == (1.0, 1.0, 2.5)


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_each_missing_inner_slice_is_refused_and_its_place_is_named(samples, tmp_path, missing):
    paths = samples.series(tmp_path, samples.ct)
    paths[missing].unlink()
    with pytest.raises(GeometryError) as caught:
        read_ct(tmp_path)
    assert f"between {3.0 * (missing - 1):.2f} and {3.0 * (missing + 1):.2f} mm" in str(caught.value)
    assert "1 slice(s) missing" in str(caught.value)


def test_one_missing_slice_is_interpolated_only_on_request_and_with_a_finding(samples, tmp_path):
    paths = samples.series(tmp_path, samples.ct, dtype="<i2", RescaleIntercept=0)
    paths[2].unlink()
    volume, info, findings = read_ct(tmp_path, fill_one_slice=True)
    assert volume.array[:, 0, 0].tolist() == [1, 2, 3, 4, 5, 6], "the neighbours' mean"
    assert volume.grid.spacing_mm[2] == 3.0
    assert info.files_used == 5
    assert "DICOM-SLICE-INTERPOLATED" in codes(findings)
    paths[3].unlink()
    with pytest.raises(GeometryError, match="2 slice"):
        read_ct(tmp_path, fill_one_slice=True)


@pytest.mark.parametrize("end", [0, 5])
def test_a_pet_that_lost_a_slice_at_its_end_is_refused_by_its_declared_count(samples, tmp_path, end):
    paths = samples.series(tmp_path, samples.pet, NumberOfSlices=6)
    assert read_pet(tmp_path)[0].volume.grid.shape[0] == 6
    paths[end].unlink()
    with pytest.raises(DicomError, match="not complete"):
        read_pet(tmp_path)


def test_a_jitter_of_a_tenth_of_a_millimetre_is_irregular_and_rounding_is_not(samples, tmp_path):
    for folder, wobble in (("even", 0.004), ("uneven", 0.1)):
        for k in range(6):
            z = 3.0 * k + (wobble if k == 3 else 0.0)
            samples.save(samples.ct(np.full((5, 4), k, "<i2"), (0, 0, z)), tmp_path / folder / f"{k}.dcm")
    assert read_ct(tmp_path / "even")[0].grid.spacing_mm[2] == pytest.approx(3.0)
    with pytest.raises(GeometryError, match="not evenly spaced"):
        read_ct(tmp_path / "uneven")


def test_a_slow_drift_of_the_spacing_is_seen_though_each_step_is_within_one_percent(samples, tmp_path):
    z = 0.0
    for k in range(40):
        samples.save(samples.ct(np.full((2, 2), k, "<i2"), (0, 0, z)), tmp_path / f"{k}.dcm")
        z += 3.02 if k < 20 else 2.98
    with pytest.raises(GeometryError, match="not evenly spaced"):
        read_ct(tmp_path)


def test_slices_that_do_not_touch_are_noted(samples, tmp_path):
    samples.series(tmp_path, samples.ct, step=6.0, SliceThickness=3)
    assert "DICOM-SLICE-GAPS" in codes(read_ct(tmp_path)[2])


# --- duplicates, frames ------------------------------------------------------------------------------------------


def test_an_identical_copy_under_another_uid_is_dropped_with_a_finding(samples, tmp_path):
    samples.series(tmp_path, samples.ct)
    samples.save(samples.ct(np.full((5, 4), 3, "<i2"), (-10, -20, 6.0), name="copy"), tmp_path / "copy.dcm")
    volume, info, findings = read_ct(tmp_path)
    assert volume.grid.shape[0] == 6
    assert "DICOM-DUPLICATES" in codes(findings)
    assert [reason for _, reason in info.files_ignored] == ["an identical copy of another slice"]


@pytest.mark.parametrize("change", ["pixels", "slope"])
def test_another_image_at_the_same_place_is_refused(samples, tmp_path, change):
    samples.series(tmp_path, samples.ct)
    stored = np.full((5, 4), 3 if change == "slope" else 99, "<i2")
    slope = 2 if change == "slope" else 1
    samples.save(samples.ct(stored, (-10, -20, 6.0), name="x", RescaleSlope=slope), tmp_path / "x.dcm")
    with pytest.raises(DicomError, match="different images at the same place"):
        read_ct(tmp_path)


def test_a_dynamic_pet_is_refused_with_its_number_of_frames(samples, tmp_path):
    for frame, time in enumerate(("101000", "102000", "103000")):
        for k in range(4):
            dataset = samples.pet(
                np.full((5, 4), 10 * frame + k, "<i2"), (0, 0, 3.0 * k), name=(frame, k), AcquisitionTime=time
            )
            samples.save(dataset, tmp_path / f"{frame}_{k}.dcm")
    with pytest.raises(DicomError) as caught:
        read_pet(tmp_path)
    assert "3 frames or acquisitions of the same 4 slices" in str(caught.value)
    assert "AcquisitionTime" in str(caught.value)


def test_several_frames_in_one_file_are_refused(samples, tmp_path):
    for k in range(3):
        stored = np.ones((2, 5, 4), "<i2")
        samples.save(samples.pet(stored, (0, 0, 3.0 * k), NumberOfFrames=2), tmp_path / f"{k}.dcm")
    with pytest.raises(DicomError, match="several frames"):
        read_pet(tmp_path)


# --- tilt, orientation, position ---------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [-15.0, 1.0, 5.0, 15.0])
def test_a_gantry_tilt_is_found_by_positions_and_refused_with_its_angle(samples, tmp_path, degrees):
    tilt = np.radians(degrees)
    orientation = (1, 0, 0, 0, np.cos(tilt), -np.sin(tilt))
    for k in range(6):
        dataset = samples.ct(np.full((5, 4), k, "<i2"), (0, 0, 3.0 * k), orientation=orientation)
        samples.save(dataset, tmp_path / f"{k}.dcm")
    with pytest.raises(GeometryError, match=rf"{abs(degrees):.1f} degrees"):
        read_ct(tmp_path)


def test_a_slice_beside_the_stack_is_refused(samples, tmp_path):
    for k in range(6):
        x = 4.0 if k == 3 else 0.0
        samples.save(samples.ct(np.full((5, 4), k, "<i2"), (x, 0, 3.0 * k)), tmp_path / f"{k}.dcm")
    with pytest.raises(GeometryError, match="sheared"):
        read_ct(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"orientation": (1, 0, 0, 0, 0, -1)}, "different orientations"),
        ({"spacing_yx": (1.0, 1.2)}, "different pixel spacings"),
        ({"shape": (6, 4)}, "different sizes"),
    ],
)
def test_slices_that_do_not_belong_together_are_refused(samples, tmp_path, change, message):
    samples.series(tmp_path, samples.ct)
    shape = change.pop("shape", (5, 4))
    samples.save(samples.ct(np.ones(shape, "<i2"), (-10, -20, 18.0), **change), tmp_path / "z.dcm")
    with pytest.raises(GeometryError, match=message):
        read_ct(tmp_path)


def test_axes_that_are_not_perpendicular_unit_vectors_are_refused(samples, tmp_path):
    samples.series(tmp_path, samples.ct, orientation=(1, 0, 0, 0.1, 1, 0))
    with pytest.raises(GeometryError, match="perpendicular unit vectors"):
        read_ct(tmp_path)


def _rotation(angles: tuple[float, float, float]) -> np.ndarray:
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


@settings(max_examples=25, deadline=None)
@given(
    position=st.sampled_from(sorted(EIGHT_POSITIONS)),
    tilt=st.one_of(st.just((0.0, 0.0, 0.0)), st.tuples(*[st.floats(-0.6, 0.6)] * 3)),
    marker=st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 5)),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
    backwards=st.booleans(),
)
def test_a_marker_keeps_its_place_in_the_patient_in_all_eight_positions_and_oblique(
    samples, tmp_path_factory, position, tilt, marker, origin, backwards
):
    """Voxels of 2 x 3 mm and a lone marker: a swap of rows and columns or a flip moves it by millimetres."""
    rotation = _rotation(tilt)
    cosines = np.array(EIGHT_POSITIONS[position], dtype=float)
    row, column = rotation @ cosines[:3], rotation @ cosines[3:]
    normal = np.cross(row, column)
    mz, my, mx = marker
    expected = np.array(origin) + 3.0 * mx * row + 2.0 * my * column + 4.0 * mz * normal
    folder = tmp_path_factory.mktemp("marker")
    for name, k in enumerate(range(4)[:: -1 if backwards else 1]):
        stored = np.full((5, 6), 24, "<i2")
        if k == mz:
            stored[my, mx] = 2024
        dataset = samples.ct(
            stored,
            np.array(origin) + 4.0 * k * normal,
            orientation=(*row, *column),
            spacing_yx=(2.0, 3.0),
            name=k,
            PatientPosition=position,
        )
        samples.save(dataset, folder / f"{name}.dcm")
    volume, info, _ = read_ct(folder)
    at = np.argwhere(volume.array == 1000.0)
    assert at.shape == (1, 3)
    found = volume.grid.world_from_index(at[0][::-1])
    assert np.abs(found - expected).max() <= 1e-3
    assert info.patient_position == position
    shutil.rmtree(folder)


def test_an_unknown_patient_position_is_a_finding_not_a_guess(samples, tmp_path):
    samples.series(tmp_path, samples.ct, PatientPosition="")
    assert "CT-POSITION" in codes(read_ct(tmp_path)[2])


def test_reading_does_not_depend_on_the_order_of_files(samples, tmp_path):
    paths = samples.series(tmp_path / "a", samples.ct)
    for new, old in enumerate(reversed(paths)):
        (tmp_path / "b").mkdir(exist_ok=True)
        shutil.copy(old, tmp_path / "b" / f"{new}.dcm")
    first, second = read_ct(tmp_path / "a")[0], read_ct(tmp_path / "b")[0]
    assert first.grid.matches(second.grid)
    assert np.array_equal(first.array, second.array)


def test_a_file_alone_is_not_a_volume(samples, tmp_path):
    path: Path = samples.series(tmp_path, samples.ct, 1)[0]
    with pytest.raises(ProtonQAError, match="too few slices"):
        read_ct(path)
