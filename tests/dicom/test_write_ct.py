"""Written CT: every voxel at its place and value, seen by plain pydicom; all slices or none."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protonqa.dicom.write_ct import write_ct
from protonqa.dicom.write_identity import DicomIdentity
from protonqa.errors import DicomError, InputError, StoreError, UnitsError
from protonqa.values import PATIENT_POSITIONS, Grid, PatientIdentity, Volume

IDENTITY = DicomIdentity.new(seed="ct", patient=PatientIdentity(patient_id="P1", name="Größe^Ä", birth_date="19500102"))
SHAPE = (4, 3, 5)


def any_rotation(seed: int) -> np.ndarray:
    """A random orthonormal matrix of either handedness."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


def volume(direction: np.ndarray | None = None, seed: int = 0, array: np.ndarray | None = None) -> Volume:
    """Voxels of 2 x 3 x 4 mm, all values different, far from the origin."""
    rng = np.random.default_rng(seed)
    grid = Grid(
        shape=SHAPE,
        spacing_mm=(2.0, 3.0, 4.0),
        origin_mm=tuple(rng.uniform(-500, 500, 3)),
        direction=np.eye(3) if direction is None else direction,
    )
    values = rng.permutation(60).reshape(SHAPE) * 20.0 - 1000 if array is None else array
    return Volume(grid=grid, array=values, unit="HU")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def world_values(folder: Path) -> dict[tuple[int, int, int], float]:
    """Value by world position (1e-3 mm), from the attributes of each file alone (PS3.3 equation C.7.6.2.1-1)."""
    found = {}
    for path in folder.iterdir():
        ds = pydicom.dcmread(path)
        position = np.array([float(v) for v in ds.ImagePositionPatient])
        along_row, along_column = np.array([float(v) for v in ds.ImageOrientationPatient]).reshape(2, 3)
        between_rows, between_columns = (float(v) for v in ds.PixelSpacing)
        pixels = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        for (row, column), value in np.ndenumerate(pixels):
            there = position + along_row * between_columns * column + along_column * between_rows * row
            found[tuple(np.round(there * 1000).astype(int))] = float(value)
    return found


def expected_values(v: Volume) -> dict[tuple[int, int, int], float]:
    return {
        tuple(np.round(v.grid.world_from_index((x, y, z)) * 1000).astype(int)): float(value)
        for (z, y, x), value in np.ndenumerate(v.array)
    }


def agree(found: dict, expected: dict, half_step: float) -> bool:
    """Each expected voxel is found within 1e-3 mm (one unit of the rounded key) and half a step of value."""
    places = np.array(list(found))
    values = np.array(list(found.values()))
    for place, value in expected.items():
        near = np.abs(places - np.array(place)).max(axis=1) <= 1
        if near.sum() != 1 or abs(values[near][0] - value) > half_step:
            return False
    return len(found) == len(expected)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_every_voxel_lies_at_its_world_position_for_oblique_and_flipped_grids(tmp_path, seed):
    v = volume(any_rotation(seed), seed)
    folder = tmp_path / str(seed)
    write_ct(v, folder, identity=IDENTITY)
    assert agree(world_values(folder), expected_values(v), 1e-4)
    shutil.rmtree(folder)


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_flipped_axes_keep_every_voxel(tmp_path, flips):
    v = volume(np.diag(np.array(flips, dtype=float)))
    write_ct(v, tmp_path / "ct", identity=IDENTITY)
    assert agree(world_values(tmp_path / "ct"), expected_values(v), 1e-4)


def test_fractions_are_rounded_to_the_nearest_hu(tmp_path):
    rng = np.random.default_rng(1)
    v = volume(array=rng.uniform(-1024, 3071, SHAPE))
    write_ct(v, tmp_path / "ct", identity=IDENTITY)
    assert agree(world_values(tmp_path / "ct"), expected_values(v), 0.5 + 1e-3)


@pytest.mark.parametrize(("low", "high"), [(-3024, 3000), (-1024, 31743), (-33792, 0), (-2000, 60000), (0, 65535)])
def test_the_intercept_makes_room_for_any_span_of_16_bits(tmp_path, low, high):
    array = np.zeros(SHAPE)
    array[0, 0, 0], array[-1, -1, -1] = low, high
    write_ct(volume(array=array), tmp_path / "ct", identity=IDENTITY)
    values = world_values(tmp_path / "ct").values()
    assert (min(values), max(values)) == (min(low, 0), max(high, 0))


def test_attributes_of_a_ct_image(tmp_path):
    info = write_ct(volume(), tmp_path / "ct", identity=IDENTITY, series_description="Planning", series_number=7)
    assert names(tmp_path / "ct") == ["IM0001.dcm", "IM0002.dcm", "IM0003.dcm", "IM0004.dcm"]
    files = [pydicom.dcmread(tmp_path / "ct" / n) for n in names(tmp_path / "ct")]
    for number, ds in enumerate(files, start=1):
        assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert ds.file_meta.MediaStorageSOPClassUID == ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
        assert (ds.Rows, ds.Columns) == (3, 5)
        assert list(ds.PixelSpacing) == [3, 2]
        assert (ds.SliceThickness, ds.SpacingBetweenSlices) == (4, 4)
        assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 16, 15, 1)
        assert (ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType) == (1, -1024, "HU")
        assert (ds.InstanceNumber, ds.SeriesNumber, ds.SeriesDescription) == (number, 7, "Planning")
        assert ds.PatientPosition == "HFS"
        assert str(ds.PatientName) == "Größe^Ä"
        assert (ds.PatientID, ds.PatientBirthDate) == ("P1", "19500102")
        assert ds.FrameOfReferenceUID == IDENTITY.frame_of_reference_uid
        assert ds.StudyInstanceUID == IDENTITY.study_uid
        for keyword in ("KVP", "AccessionNumber", "ReferringPhysicianName", "StudyDate", "PositionReferenceIndicator"):
            assert keyword in ds
    assert tuple(ds.SOPInstanceUID for ds in files) == info.sop_instance_uids
    assert {ds.SeriesInstanceUID for ds in files} == {info.series_uid}
    assert len(set(info.sop_instance_uids)) == 4


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_patient_position_is_written(tmp_path, position):
    write_ct(volume(), tmp_path, identity=DicomIdentity.new(patient_position=position))
    assert pydicom.dcmread(tmp_path / "IM0001.dcm").PatientPosition == position


def test_the_same_seed_gives_the_same_bytes_and_another_content_other_identifiers(tmp_path):
    infos = [write_ct(volume(), tmp_path / n, identity=IDENTITY) for n in "ab"]
    assert infos[0] == infos[1]
    for name in names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    changed = np.array(volume().array)
    changed[0, 0, 0] += 1
    other = write_ct(volume(array=changed), tmp_path / "c", identity=IDENTITY)
    assert not set(other.sop_instance_uids) & set(infos[0].sop_instance_uids)
    assert other.series_uid != infos[0].series_uid
    assert write_ct(volume(), tmp_path / "d", identity=DicomIdentity.new()).series_uid != infos[0].series_uid


def test_what_is_no_ct_is_refused_and_nothing_is_written(tmp_path):
    v = volume()
    with pytest.raises(UnitsError):
        write_ct(v.with_array(v.array, unit="RSP"), tmp_path / "ct", identity=IDENTITY)
    array = np.zeros(SHAPE)
    array[0, 0, 0], array[0, 0, 1] = -40000, 40000
    with pytest.raises(InputError, match="span of 65535"):
        write_ct(volume(array=array), tmp_path / "ct", identity=IDENTITY)
    with pytest.raises(DicomError, match="SeriesDescription"):
        write_ct(v, tmp_path / "ct", identity=IDENTITY, series_description="x" * 65)
    assert not (tmp_path / "ct").exists()


def test_slices_that_are_there_are_never_mixed_or_lost(tmp_path):
    write_ct(volume(), tmp_path, identity=IDENTITY)
    before = {n: (tmp_path / n).read_bytes() for n in names(tmp_path)}
    short = Volume(grid=volume().grid.crop((0, 0, 0), (2, 3, 5)), array=volume().array[:2], unit="HU")
    with pytest.raises(StoreError, match="already holds slices"):
        write_ct(short, tmp_path, identity=IDENTITY)
    assert {n: (tmp_path / n).read_bytes() for n in names(tmp_path)} == before
    # A shorter series replaces all of the longer one.
    write_ct(short, tmp_path, identity=IDENTITY, overwrite=True)
    assert names(tmp_path) == ["IM0001.dcm", "IM0002.dcm"]
    # Slices of somebody else stay, even where replacing is asked for.
    foreign = pydicom.dcmread(tmp_path / "IM0002.dcm")
    foreign.file_meta.ImplementationClassUID = "1.2.3"
    foreign.save_as(tmp_path / "IM0002.dcm")
    (tmp_path / "im0003.dcm").write_bytes(b"no dicom")
    with pytest.raises(StoreError, match="2 of 3 slices"):
        write_ct(volume(), tmp_path, identity=IDENTITY, overwrite=True)
    assert names(tmp_path) == ["IM0001.dcm", "IM0002.dcm", "im0003.dcm"]


class FailingDisk:
    """The n-th flush, folder or rename fails with a full disk; later ones work."""

    def __init__(self, patch: pytest.MonkeyPatch, fail_at: int) -> None:
        self.count, self.fail_at = 0, fail_at
        for owner, name in ((os, "fsync"), (Path, "mkdir"), (Path, "replace"), (Path, "open")):
            patch.setattr(owner, name, self.guard(getattr(owner, name)))

    def guard(self, operation):
        def guarded(*args, **keywords):
            self.count += 1
            if self.count == self.fail_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return operation(*args, **keywords)

        return guarded


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk_at_any_step_leaves_the_folder_as_it_was(tmp_path, overwrite):
    folder = tmp_path / "ct"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    if overwrite:
        write_ct(volume(seed=1), folder, identity=IDENTITY)
    before = {n: (folder / n).read_bytes() for n in names(folder)}
    shutil.copytree(folder, tmp_path / "trial")
    with pytest.MonkeyPatch.context() as patch:
        steps = FailingDisk(patch, fail_at=0)
        write_ct(volume(seed=2), tmp_path / "trial", identity=IDENTITY, overwrite=overwrite)
    assert steps.count > 12
    for step in range(1, steps.count + 1):
        with pytest.MonkeyPatch.context() as patch:
            FailingDisk(patch, fail_at=step)
            with pytest.raises(StoreError, match=r"CT series.*No space left"):
                write_ct(volume(seed=2), folder, identity=IDENTITY, overwrite=overwrite)
        assert {n: (folder / n).read_bytes() for n in names(folder)} == before


def test_dciodvfy_finds_no_error_where_it_is_installed(tmp_path):
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (dicom3tools) is not on this computer")
    write_ct(volume(), tmp_path, identity=IDENTITY)
    done = subprocess.run([program, str(tmp_path / "IM0001.dcm")], capture_output=True, text=True, check=False)
    assert "Error" not in done.stderr + done.stdout
