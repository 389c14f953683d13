"""Written RT Dose: frames at their place for either handedness, values within half a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protonqa.dicom.write_dose import write_dose
from protonqa.dicom.write_identity import DicomIdentity
from protonqa.errors import DicomError, InputError, StoreError, UnitsError
from protonqa.values import Grid, Volume

IDENTITY = DicomIdentity.new(seed="dose")
SHAPE = (4, 3, 5)


def volume(seed: int = 0, unit: str = "Gy", direction=None, shape=SHAPE) -> Volume:
    rng = np.random.default_rng(seed)
    if direction is None:
        direction = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    grid = Grid(shape=shape, spacing_mm=(2, 3, 4), origin_mm=tuple(rng.uniform(-300, 300, 3)), direction=direction)
    return Volume(grid=grid, array=rng.random(shape) * 70, unit=unit)


def write(folder: Path, v: Volume | None = None, **options) -> pydicom.Dataset:
    write_dose(v or volume(), folder / "dose.dcm", **{"identity": IDENTITY, "plan_uid": "1.2.3", **options})
    return pydicom.dcmread(folder / "dose.dcm")


def sample(ds: pydicom.Dataset, position_mm: np.ndarray) -> float:
    """Dose at a world position, from the attributes alone: frames follow row x column (PS3.3 C.8.8.3.2)."""
    along_row, along_column = np.array([float(v) for v in ds.ImageOrientationPatient]).reshape(2, 3)
    relative = position_mm - np.array([float(v) for v in ds.ImagePositionPatient])
    between_rows, between_columns = (float(v) for v in ds.PixelSpacing)
    offsets = np.array([float(v) for v in ds.GridFrameOffsetVector])
    assert offsets[0] == 0
    assert (np.diff(offsets) > 0).all()
    along_normal = relative @ np.cross(along_row, along_column)
    frame = int(np.argmin(np.abs(offsets - along_normal)))
    column, row = relative @ along_row / between_columns, relative @ along_column / between_rows
    for found, exact in ((offsets[frame], along_normal), (round(column), column), (round(row), row)):
        assert abs(found - exact) < 1e-3
    return float(ds.pixel_array[frame, round(row), round(column)]) * float(ds.DoseGridScaling)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_every_voxel_lies_at_its_world_position_for_any_grid(tmp_path, seed):
    v = volume(seed)
    ds = write(tmp_path, v)
    for (z, y, x), value in np.ndenumerate(v.array):
        assert sample(ds, v.grid.world_from_index((x, y, z))) == pytest.approx(value, abs=1e-7)


@pytest.mark.parametrize("flips", [(1, 1, 1), (1, 1, -1), (-1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, -1, -1)])
def test_flipped_axes_of_either_handedness_keep_every_voxel(tmp_path, flips):
    v = volume(direction=np.diag(np.array(flips, dtype=float)))
    ds = write(tmp_path, v)
    for (z, y, x), value in np.ndenumerate(v.array):
        assert sample(ds, v.grid.world_from_index((x, y, z))) == pytest.approx(value, abs=1e-7)


def test_values_use_32_bits_and_lie_within_half_a_step(tmp_path):
    v = volume()
    ds = write(tmp_path, v)
    scaling = float(ds.DoseGridScaling)
    assert scaling == pytest.approx(float(v.array.max()) / (2**32 - 1), rel=1e-6)
    order = slice(None) if np.linalg.det(v.grid.direction) > 0 else slice(None, None, -1)
    assert np.abs(ds.pixel_array[order] * scaling - v.array).max() <= 0.5001 * scaling
    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (32, 32, 31, 0)


def test_attributes_of_the_dose_of_a_plan(tmp_path):
    info = write_dose(volume(), tmp_path / "d.dcm", identity=IDENTITY, plan_uid="1.2.3", comment="Monte Carlo")
    ds = pydicom.dcmread(tmp_path / "d.dcm")
    assert ds.file_meta.MediaStorageSOPClassUID == ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.481.2"
    assert (ds.Modality, ds.DoseUnits, ds.DoseType, ds.DoseSummationType) == ("RTDOSE", "GY", "PHYSICAL", "PLAN")
    assert (ds.NumberOfFrames, ds.Rows, ds.Columns) == (4, 3, 5)
    assert ds.FrameIncrementPointer == 0x3004000C
    assert list(ds.PixelSpacing) == [3, 2]
    assert ds.SliceThickness == 4
    reference = ds.ReferencedRTPlanSequence[0]
    assert reference.ReferencedSOPInstanceUID == "1.2.3"
    assert reference.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.481.8"
    assert "ReferencedFractionGroupSequence" not in reference
    assert ds.FrameOfReferenceUID == IDENTITY.frame_of_reference_uid
    assert ds.DoseComment == "Monte Carlo"
    assert info.sop_instance_uids == (ds.SOPInstanceUID,)


def test_the_dose_of_a_beam_names_the_beam(tmp_path):
    ds = write(tmp_path, beam_number=3)
    assert ds.DoseSummationType == "BEAM"
    group = ds.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence[0]
    assert group.ReferencedFractionGroupNumber == 1
    assert group.ReferencedBeamSequence[0].ReferencedBeamNumber == 3


@pytest.mark.parametrize(("unit", "written"), [("Gy", "GY"), ("relative", "RELATIVE"), ("1", "RELATIVE")])
def test_units_are_absolute_or_relative(tmp_path, unit, written):
    assert write(tmp_path, volume(unit=unit)).DoseUnits == written


def test_zero_dose_and_a_single_frame_are_written(tmp_path):
    v = volume(shape=(1, 3, 5))
    ds = write(tmp_path, v.with_array(np.zeros((1, 3, 5))))
    assert float(ds.DoseGridScaling) > 0
    assert not ds.pixel_array.any()
    assert ds.GridFrameOffsetVector == 0


def test_the_same_seed_gives_the_same_bytes_and_another_reference_another_identifier(tmp_path):
    for name, options in (("a", {}), ("b", {}), ("c", {"beam_number": 1}), ("d", {"plan_uid": "1.2.4"})):
        (tmp_path / name).mkdir()
        write(tmp_path / name, **options)
    content = {n: (tmp_path / n / "dose.dcm").read_bytes() for n in "abcd"}
    assert content["a"] == content["b"]
    assert len({pydicom.dcmread(tmp_path / n / "dose.dcm").SOPInstanceUID for n in "abcd"}) == 3


def test_what_is_no_dose_is_refused_and_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    write(tmp_path)
    old = (tmp_path / "dose.dcm").read_bytes()
    with pytest.raises(UnitsError):
        write(tmp_path, volume(unit="Gy/proton"))
    with pytest.raises(InputError, match="negative"):
        write(tmp_path, volume().with_array(-np.ones(SHAPE)))
    with pytest.raises(DicomError, match="UID of the plan"):
        write(tmp_path, plan_uid="")
    with pytest.raises(DicomError, match="DoseComment"):
        write(tmp_path, comment="a\nb")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="RT Dose"):
        write(tmp_path, volume(1))
    assert (tmp_path / "dose.dcm").read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["dose.dcm"]
