"""Written PET: values within half a slope, times that say what was irradiated and imaged when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protonqa.dicom.write_identity import DicomIdentity
from protonqa.dicom.write_pet import write_pet
from protonqa.dicom.write_pixels import quantise
from protonqa.errors import DicomError, InputError, StoreError, UnitsError
from protonqa.values import Grid, Timeline, Volume

SHAPE = (3, 4, 2)
TIMELINE = Timeline(irradiation_s=60.5, delay_s=330.25, acquisition_s=1800.0)
END = datetime(2026, 3, 14, 23, 57, 30, tzinfo=timezone(timedelta(hours=2)))
IDENTITY = DicomIdentity.new(seed="pet")


def volume(array=None, unit: str = "Bq/ml", seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    direction = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    grid = Grid(shape=SHAPE, spacing_mm=(2, 3, 4), origin_mm=tuple(rng.uniform(-300, 300, 3)), direction=direction)
    return Volume(grid=grid, array=rng.random(SHAPE) * 5000 if array is None else array, unit=unit)


def read(folder) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def write(folder, v: Volume | None = None, **changes):
    options = {"identity": IDENTITY, "timeline": TIMELINE, "irradiation_end": END, **changes}
    return write_pet(v or volume(), folder, **options)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), negative=st.booleans(), scale=st.sampled_from([1e-12, 1e-3, 1.0, 1e9]))
def test_each_slice_has_its_own_slope_and_values_lie_within_half_of_it(tmp_path, seed, negative, scale):
    rng = np.random.default_rng(seed)
    array = rng.random(SHAPE) * scale * np.array([1, 0.5, 0])[:, None, None]
    array -= 0.3 * scale * negative
    v = volume(array, seed=seed)
    write(tmp_path / "pet", v, overwrite=True)
    for index, ds in enumerate(read(tmp_path / "pet")):
        slope = float(ds.RescaleSlope)
        assert len(str(ds["RescaleSlope"].value)) <= 16
        assert float(ds.RescaleIntercept) == 0
        back = ds.pixel_array.astype(float) * slope
        largest = np.abs(v.array[index]).max()
        assert np.abs(back - v.array[index]).max() <= 0.5001 * slope
        # The full 16 bits are used: unsigned, or signed where there are negative values.
        if largest > 0:
            assert slope == pytest.approx(largest / (32767 if negative else 65535), rel=1e-6)
        assert ds.PixelRepresentation == int(negative)
        assert ds.ImagePositionPatient == pytest.approx(v.grid.world_from_index((0, 0, index)), abs=1e-6)
        axes = [*v.grid.direction[:, 0], *v.grid.direction[:, 1]]
        assert ds.ImageOrientationPatient == pytest.approx(axes, abs=1e-9)
        assert list(ds.PixelSpacing) == [3, 2]


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.uint32])
@pytest.mark.parametrize("values", [[0.0, 0.0], [1e-45, 0.0], [3.4e38, 1.0], [1.0, 1 / 3]])
def test_quantisation_bears_the_smallest_and_largest_floats(kind, values):
    array = np.array(values, dtype=np.float32)
    stored, slope = quantise(array, kind)
    assert stored.dtype == kind
    assert np.abs(stored * float(slope) - array.astype(float)).max() <= 0.5001 * float(slope)


def test_times_are_the_irradiation_and_the_frame_across_midnight(tmp_path):
    write(tmp_path / "pet")
    for ds in read(tmp_path / "pet"):
        assert ds.TimezoneOffsetFromUTC == "+0200"
        item = ds.RadiopharmaceuticalInformationSequence[0]
        assert item.Radiopharmaceutical == "proton-induced positron emitters"
        assert item.RadiopharmaceuticalStartDateTime == "20260314235629.500000+0200"
        assert item.RadiopharmaceuticalStopDateTime == "20260314235730.000000+0200"
        assert "RadionuclideHalfLife" not in item
        assert "RadionuclideTotalDose" not in item
        # 23:57:30 + 330.25 s is on the next day.
        assert (ds.AcquisitionDate, ds.AcquisitionTime) == ("20260315", "000300.250000")
        assert (ds.SeriesDate, ds.SeriesTime) == ("20260315", "000300.250000")
        assert ds.ActualFrameDuration == 1_800_000
        assert ds.FrameReferenceTime == 900_000


def test_a_change_of_summer_time_does_not_move_the_frame(tmp_path):
    # In Zurich the clock goes from 01:59:59 +0100 to 03:00:00 +0200 on 29 March 2026.
    end = datetime(2026, 3, 29, 1, 58, 0, tzinfo=ZoneInfo("Europe/Zurich"))
    write(tmp_path / "pet", irradiation_end=end, timeline=Timeline(irradiation_s=0, delay_s=300, acquisition_s=60))
    ds = read(tmp_path / "pet")[0]
    assert (ds.AcquisitionDate, ds.AcquisitionTime) == ("20260329", "020300.000000")
    assert ds.TimezoneOffsetFromUTC == "+0100"


def test_all_times_of_a_file_stand_in_the_zone_of_the_study(tmp_path):
    identity = DicomIdentity.new(study_time=datetime(2026, 3, 14, 20, 0, tzinfo=UTC))
    write(tmp_path / "pet", identity=identity)
    ds = read(tmp_path / "pet")[0]
    assert (ds.StudyDate, ds.StudyTime, ds.TimezoneOffsetFromUTC) == ("20260314", "200000.000000", "+0000")
    assert (ds.AcquisitionDate, ds.AcquisitionTime) == ("20260314", "220300.250000")
    stop = ds.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStopDateTime
    assert stop == "20260314215730.000000+0000"


def test_attributes_of_a_pet_image(tmp_path):
    info = write(tmp_path / "pet", comments="11C 30 %, 15O 70 %", series_description="Activity")
    files = read(tmp_path / "pet")
    for index, ds in enumerate(files, start=1):
        assert ds.file_meta.MediaStorageSOPClassUID == ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.128"
        assert (ds.Modality, ds.Units, ds.CountsSource) == ("PT", "BQML", "EMISSION")
        assert list(ds.SeriesType) == ["STATIC", "IMAGE"]
        assert (ds.DecayCorrection, ds.DecayFactor) == ("NONE", 1)
        assert "DECY" not in ds.CorrectedImage
        assert (ds.NumberOfSlices, ds.ImageIndex, ds.InstanceNumber) == (3, index, index)
        assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit) == (16, 16, 15)
        assert ds.ImageComments == "11C 30 %, 15O 70 %"
        assert ds.FrameOfReferenceUID == IDENTITY.frame_of_reference_uid
        for keyword in ("CollimatorType", "PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence"):
            assert keyword in ds
    assert tuple(ds.SOPInstanceUID for ds in files) == info.sop_instance_uids


def test_the_same_seed_gives_the_same_bytes_and_another_time_other_identifiers(tmp_path):
    a, b = (write(tmp_path / n) for n in "ab")
    assert a == b
    for one, two in zip(sorted((tmp_path / "a").iterdir()), sorted((tmp_path / "b").iterdir()), strict=True):
        assert one.read_bytes() == two.read_bytes()
    later = write(tmp_path / "c", irradiation_end=END + timedelta(seconds=1))
    assert later.series_uid != a.series_uid


def test_what_nobody_could_evaluate_is_not_written(tmp_path):
    folder = tmp_path / "pet"
    with pytest.raises(UnitsError):
        write(folder, volume(unit="Gy"))
    with pytest.raises(InputError, match="needs a frame"):
        write(folder, timeline=Timeline(irradiation_s=60, delay_s=300, acquisition_s=0))
    with pytest.raises(InputError, match="no time zone"):
        write(folder, irradiation_end=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(InputError, match="delay is too long"):
        write(folder, timeline=Timeline(irradiation_s=60, delay_s=1e6, acquisition_s=60))
    with pytest.raises(InputError, match="irradiation is too long"):
        write(folder, timeline=Timeline(irradiation_s=1e5, delay_s=1, acquisition_s=60))
    with pytest.raises(DicomError, match="ImageComments"):
        write(folder, comments="a\\b")
    assert not folder.exists()


def test_a_pet_never_lands_on_a_ct(tmp_path):
    from protonqa.dicom.write_ct import write_ct

    ct = Volume(grid=volume().grid, array=np.zeros(SHAPE), unit="HU")
    write_ct(ct, tmp_path, identity=IDENTITY)
    with pytest.raises(StoreError, match="another origin or kind"):
        write(tmp_path, overwrite=True)
    assert {ds.Modality for ds in read(tmp_path)} == {"CT"}
