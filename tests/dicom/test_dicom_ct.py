"""CT numbers: HU per slice, padding and air, and what is refused as not being HU."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.dicom import read_ct
from protonqa.errors import DicomError, InputError, UnitsError


def codes(findings) -> set[str]:
    return {finding.code for finding in findings}


def test_each_slice_has_its_own_slope_and_intercept(samples, tmp_path):
    for k, (slope, intercept) in enumerate(((1, -1024), (2, -1000), (0.5, 7.25))):
        dataset = samples.ct(
            np.full((4, 3), 101, "<i2"), (0, 0, 2.0 * k), RescaleSlope=slope, RescaleIntercept=intercept
        )
        samples.save(dataset, tmp_path / f"{k}.dcm")
    volume = read_ct(tmp_path)[0]
    assert volume.unit == "HU"
    assert volume.array.dtype == np.float32
    assert volume.array[:, 0, 0].tolist() == [-923.0, -798.0, 57.75]


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_without_rescale_it_is_not_in_hu(samples, tmp_path, keyword):
    samples.series(tmp_path, samples.ct, 3, **{keyword: None})
    with pytest.raises(UnitsError, match=keyword):
        read_ct(tmp_path)


@pytest.mark.parametrize("kind", ["US", "OD", "Z_EFF", "EDW"])
def test_a_rescale_type_other_than_hu_is_refused(samples, tmp_path, kind):
    samples.series(tmp_path, samples.ct, 3, RescaleType=kind)
    with pytest.raises(UnitsError, match=kind):
        read_ct(tmp_path)


def test_without_rescale_type_it_is_hu_by_the_standard(samples, tmp_path):
    samples.series(tmp_path, samples.ct, 3, RescaleType=None)
    assert read_ct(tmp_path)[0].unit == "HU"


@pytest.mark.parametrize("slope", [0, -1])
def test_a_slope_that_cannot_be_is_refused(samples, tmp_path, slope):
    samples.series(tmp_path, samples.ct, 3, RescaleSlope=slope)
    with pytest.raises(DicomError, match="not positive"):
        read_ct(tmp_path)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "abc"])
def test_a_slope_that_is_not_a_finite_number_is_refused(samples, tmp_path, text):
    """A NaN or infinity in the header would make a whole slice NaN."""
    for path in samples.series(tmp_path, samples.ct, 3, RescaleSlope="0.12345678"):
        path.write_bytes(path.read_bytes().replace(b"0.12345678", text.encode().ljust(10)))
    with pytest.raises(InputError, match="RescaleSlope"):
        read_ct(tmp_path)


def test_values_too_large_to_store_are_refused_not_made_infinite(samples, tmp_path):
    samples.series(tmp_path, samples.ct, 3, RescaleSlope="1e300")
    with pytest.raises(InputError, match="beyond any number"):
        read_ct(tmp_path)


def test_padding_and_everything_below_air_becomes_air_and_is_counted(samples, tmp_path):
    for k in range(3):
        stored = np.full((4, 5), 1064, "<i2")
        stored[0, :] = -2000  # -3024 HU
        stored[1, 0] = 10  # -1014 HU
        samples.save(samples.ct(stored, (0, 0, 2.0 * k), PixelPaddingValue=-2000), tmp_path / f"{k}.dcm")
    volume, _, findings = read_ct(tmp_path)
    assert volume.array.min() == -1000
    assert (volume.array == -1000).sum() == 18
    text = next(f.text for f in findings if f.code == "CT-CLIPPED")
    assert "18 voxels" in text
    assert "-3024 HU" in text


def test_padding_far_above_metal_becomes_air_and_padding_among_tissue_is_kept(samples, tmp_path):
    for k in range(3):
        stored = np.full((4, 5), 1064, "<i2")
        stored[0, 0] = 32767
        samples.save(samples.ct(stored, (0, 0, 2.0 * k), PixelPaddingValue=32767), tmp_path / "a" / f"{k}.dcm")
        samples.save(samples.ct(stored, (0, 0, 2.0 * k), PixelPaddingValue=1064), tmp_path / "b" / f"{k}.dcm")
    volume, _, findings = read_ct(tmp_path / "a")
    assert (volume.array[:, 0, 0] == -1000).all()
    assert "CT-PADDING" in codes(findings)
    volume, _, findings = read_ct(tmp_path / "b")
    assert (volume.array[:, 1, 1] == 40).all(), "water must not turn into air because a header says so"
    assert "CT-PADDING-VALUE" in codes(findings)


def test_contrast_agent_lossy_compression_and_header_tilt_are_findings(samples, tmp_path):
    samples.series(tmp_path, samples.ct, 3, ContrastBolusAgent="x", LossyImageCompression="01", GantryDetectorTilt=12)
    assert {"CT-CONTRAST", "CT-LOSSY", "DICOM-TILT"} <= codes(read_ct(tmp_path)[2])


def test_an_enhanced_ct_is_refused_by_name(samples, tmp_path):
    enhanced = samples.dataset("1.2.840.10008.5.1.4.1.1.2.1", "CT", "e", NumberOfFrames=3)
    samples.save(enhanced, tmp_path / "e.dcm")
    with pytest.raises(DicomError, match="enhanced multi-frame CT"):
        read_ct(tmp_path)


def test_a_secondary_capture_with_modality_ct_is_no_slice(samples, tmp_path):
    samples.series(tmp_path, samples.ct, 3)
    samples.save(samples.dataset("1.2.840.10008.5.1.4.1.1.7", "CT", "sc"), tmp_path / "report.dcm")
    _, info, _ = read_ct(tmp_path)
    assert "Secondary Capture" in dict(info.files_ignored)["file report.dcm"]


def test_an_empty_sop_class_falls_back_to_the_file_header(samples, tmp_path):
    samples.series(tmp_path, samples.ct, 3, SOPClassUID="", SOPInstanceUID="", SeriesInstanceUID="")
    _, info, _ = read_ct(tmp_path)
    assert info.files_used == 3
    assert len(set(info.sop_instance_uids)) == 3
    assert all(info.sop_instance_uids)


def test_series_facts_are_plain_and_complete(samples, tmp_path):
    samples.series(
        tmp_path, samples.ct, 3, Manufacturer="ACME", ManufacturerModelName="One", ProtocolName="Abdomen\x1b[31m"
    )
    info = read_ct(tmp_path)[1]
    assert info.modality == "CT"
    assert info.patient.patient_id == "P-4711"
    assert info.patient.name == "Canary^Yellow"
    assert info.frame_of_reference_uid == samples.uid("frame")
    assert (info.manufacturer, info.model) == ("ACME", "One")
    assert "\x1b" not in info.protocol
    assert type(info.patient.name) is str
    assert type(info.series_uid) is str, "no pydicom type leaves the room"
