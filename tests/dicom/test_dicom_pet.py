"""PET: units, per-slice slopes, negative values, decay correction and the time line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.dicom import frame_activity_factor, read_pet, timeline_from_pet
from protonqa.dicom.pet_times import moment, moment_from_dt, zone_from_offset
from protonqa.errors import DicomError, InputError, NotEvaluableError, UnitsError
from protonqa.values import PetTiming

F18_S = 6586.2  # half-life of 18F, 109.77 min


def codes(findings) -> set[str]:
    return {finding.code for finding in findings}


# --- values ------------------------------------------------------------------------------------------------------


def test_slopes_of_1_half_and_quarter_are_applied_slice_by_slice_without_truncation(samples, tmp_path):
    for k, slope in enumerate((1, 0.5, 0.25)):
        dataset = samples.pet(np.full((4, 3), 9, "<i2"), (0, 0, 2.0 * k), RescaleSlope=slope)
        samples.save(dataset, tmp_path / f"{k}.dcm")
    image, _ = read_pet(tmp_path)
    assert image.volume.unit == "Bq/ml"
    assert image.volume.array.dtype == np.float32
    assert image.volume.array[:, 0, 0].tolist() == [9.0, 4.5, 2.25], "4.5 must not become 4"


@settings(max_examples=20, deadline=None)
@given(slope=st.floats(1e-7, 1e3), stored=st.integers(-32768, 32767))
def test_a_value_is_the_float64_product_rounded_once(samples, tmp_path_factory, slope, stored):
    folder = tmp_path_factory.mktemp("slope")
    text = f"{slope:.9e}"
    for k in range(2):
        samples.save(samples.pet(np.full((2, 2), stored, "<i2"), (0, 0, k), RescaleSlope=text), folder / f"{k}.dcm")
    value = read_pet(folder)[0].volume.array[0, 0, 0]
    assert value == np.float32(stored * np.float64(text))


@pytest.mark.parametrize(
    "units", ["CNTS", "NONE", "CM2", "PCNT", "CPS", "PROPCPS", "PROPCNTS", "GML", "1CM", "MLMINML", "UMOLML", "", None]
)
def test_every_unit_but_bqml_is_refused_in_one_clear_line(samples, tmp_path, units):
    samples.series(tmp_path, samples.pet, 3, Units=units)
    with pytest.raises(UnitsError) as caught:
        read_pet(tmp_path)
    text = str(caught.value)
    assert "expected Units BQML" in text
    assert (f"Units '{units}'" if units else "no attribute Units") in text
    assert "\n" not in text


def test_a_vendor_factor_does_not_make_counts_readable(samples, tmp_path):
    """Philips writes counts with a private activity factor: not documented by the standard, so not used."""
    for path in samples.series(tmp_path, samples.pet, 3, Units="CNTS"):
        dataset = pydicom.dcmread(path)
        block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
        block.add_new(0x09, "DS", "1.5")
        samples.save(dataset, path)
    with pytest.raises(UnitsError, match="calibration factor"):
        read_pet(tmp_path)


def test_one_slice_in_another_unit_is_refused(samples, tmp_path):
    samples.series(tmp_path, samples.pet, 3)
    samples.save(samples.pet(np.ones((5, 4), "<i2"), (-10, -20, 9.0), Units="GML"), tmp_path / "z.dcm")
    with pytest.raises(UnitsError):
        read_pet(tmp_path)


def test_negative_activity_is_kept_and_its_share_reported(samples, tmp_path):
    rng = np.random.default_rng(2)
    stored = rng.integers(-100, 101, size=(4, 10, 10)).astype("<i2")
    for k in range(4):
        samples.save(samples.pet(stored[k], (0, 0, 2.0 * k)), tmp_path / f"{k}.dcm")
    image, findings = read_pet(tmp_path)
    assert np.array_equal(image.volume.array, stored.astype(np.float32)), "clipping would bias the tail"
    text = next(f.text for f in findings if f.code == "PET-NEGATIVE")
    assert f"{int((stored < 0).sum())} voxels" in text
    assert "kept" in text


def test_an_all_zero_pet_is_read_as_it_is(samples, tmp_path):
    for k in range(3):
        samples.save(samples.pet(np.zeros((4, 4), "<i2"), (0, 0, k)), tmp_path / f"{k}.dcm")
    assert not read_pet(tmp_path)[0].volume.array.any()


def test_a_nan_in_the_slope_is_refused(samples, tmp_path):
    for path in samples.series(tmp_path, samples.pet, 3, RescaleSlope="0.1234567"):
        path.write_bytes(path.read_bytes().replace(b"0.1234567 ", b"nan       "))
    with pytest.raises(InputError, match="RescaleSlope"):
        read_pet(tmp_path)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"CountsSource": "TRANSMISSION"}, UnitsError, "transmission"),
        ({"SeriesType": ["STATIC", "REPROJECTION"]}, DicomError, "reprojection"),
        ({"DecayCorrection": "MAYBE"}, UnitsError, "NONE, START or ADMIN"),
        ({"DecayCorrection": None}, UnitsError, "NONE, START or ADMIN"),
        ({"RescaleSlope": None}, DicomError, "RescaleSlope"),
        ({"RescaleSlope": -1}, DicomError, "not positive"),
    ],
)
def test_images_that_are_not_activity_are_refused(samples, tmp_path, change, error, message):
    samples.series(tmp_path, samples.pet, 3, **change)
    with pytest.raises(error, match=message):
        read_pet(tmp_path)


def test_missing_attenuation_correction_and_an_intercept_are_findings(samples, tmp_path):
    samples.series(tmp_path, samples.pet, 3, CorrectedImage=["DECY", "SCAT"], RescaleIntercept=2)
    image, findings = read_pet(tmp_path)
    assert {"PET-ATTENUATION", "PET-INTERCEPT"} <= codes(findings)
    assert image.volume.array[0, 0, 0] == 3.0


def test_an_enhanced_pet_is_refused_by_name(samples, tmp_path):
    samples.save(samples.dataset("1.2.840.10008.5.1.4.1.1.130", "PT", "e"), tmp_path / "e.dcm")
    with pytest.raises(DicomError, match="enhanced multi-frame PET"):
        read_pet(tmp_path)


# --- decay correction --------------------------------------------------------------------------------------------


def test_one_truth_in_three_encodings_comes_back_as_one_activity(samples, tmp_path):
    """1000 Bq/ml in a frame of 10 min; 18F given 60 min before the series, which starts 5 min before the frame."""
    truth = 1000.0
    in_frame = 2 ** (300.0 / F18_S)  # to a moment inside the frame, from the start of the series
    to_start = in_frame * 2 ** (300.0 / F18_S)
    to_admin = to_start * 2 ** (3600.0 / F18_S)
    encodings = {
        "none": ("NONE", None, 1.0),
        "start": ("START", to_start, to_start),
        "admin-whole": ("ADMIN", to_admin, to_admin),
        "admin-part": ("ADMIN", to_start, to_admin),
    }
    given_at = samples.item(
        Radiopharmaceutical="FDG", RadiopharmaceuticalStartDateTime="20260301090000", RadionuclideHalfLife=F18_S
    )
    found = {}
    for name, (state, factor, stored) in encodings.items():
        samples.series(
            tmp_path / name,
            lambda _, position, slope=stored, **a: samples.pet(
                np.full((2, 2), 1000, "<i2"), position, RescaleSlope=f"{truth / 1000 * slope:.10f}", **a
            ),
            3,
            DecayCorrection=state,
            DecayFactor=None if factor is None else f"{factor:.10f}",
            SeriesTime="100000",
            AcquisitionTime="100500",
            ActualFrameDuration=600_000,
            RadiopharmaceuticalInformationSequence=[given_at],
        )
        image, findings = read_pet(tmp_path / name)
        found[name] = image.volume.array[0, 0, 0] * frame_activity_factor(image.timing)
        assert ("PET-DECAY" in codes(findings)) == (state != "NONE")
        assert image.timing.decay_correction == state
    assert found == pytest.approx(dict.fromkeys(encodings, truth), rel=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"decay_factor": None},
        {"half_life_s": None},
        {"administration": None},
        {"decay_factor": 7.7},
    ],
)
def test_absolute_activity_is_not_evaluable_without_the_facts_of_the_correction(change):
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    facts = {
        "decay_correction": "ADMIN",
        "series_reference": noon,
        "frame_start": noon,
        "frame_duration_s": 600.0,
        "half_life_s": F18_S,
        "decay_factor": 2 ** (3600 / F18_S),
        "administration": noon - timedelta(hours=1),
    }
    assert frame_activity_factor(PetTiming(**facts)) == pytest.approx(1 / facts["decay_factor"])
    with pytest.raises(NotEvaluableError):
        frame_activity_factor(PetTiming(**(facts | change)))


def test_a_correction_without_half_life_is_readable_for_its_shape_with_a_finding(samples, tmp_path):
    samples.series(tmp_path, samples.pet, 3, DecayCorrection="START")
    image, findings = read_pet(tmp_path)
    text = next(f.text for f in findings if f.code == "PET-DECAY")
    assert "shape can be used" in text
    with pytest.raises(NotEvaluableError):
        frame_activity_factor(image.timing)


def test_bed_positions_with_their_own_factors_are_noted(samples, tmp_path):
    for k in range(4):
        dataset = samples.pet(
            np.ones((3, 3), "<i2"),
            (0, 0, 2.0 * k),
            DecayCorrection="START",
            DecayFactor=1.0 + 0.1 * (k // 2),
            AcquisitionTime="101000" if k < 2 else "101500",
        )
        samples.save(dataset, tmp_path / f"{k}.dcm")
    image, findings = read_pet(tmp_path)
    assert {"PET-BEDS", "PET-DECAY"} <= codes(findings)
    assert image.timing.frame_start is None
    assert image.timing.decay_factor is None
    assert timeline_from_pet(image.timing) is None


# --- times -------------------------------------------------------------------------------------------------------


def timeline(samples, folder, **attributes):
    samples.series(folder, samples.pet, 3, **attributes)
    image, findings = read_pet(folder)
    return timeline_from_pet(image.timing), codes(findings)


def test_irradiation_delay_and_acquisition_follow_from_the_file(samples, tmp_path):
    line, found = timeline(samples, tmp_path)
    assert line.irradiation_s == pytest.approx(60.5), "10:02:00 to 10:03:00.5"
    assert line.delay_s == pytest.approx(419.5), "10:03:00.5 to 10:10:00"
    assert line.acquisition_s == pytest.approx(1800.0)
    assert not found & {"PET-TIME", "PET-BEDS", "PET-ZONE"}


def test_midnight_between_beam_and_frame_is_six_minutes_not_a_day(samples, tmp_path):
    beam = samples.irradiation("20260301235700", "20260301235800")
    line, _ = timeline(
        samples,
        tmp_path,
        AcquisitionDate="20260302",
        AcquisitionTime="000400",
        RadiopharmaceuticalInformationSequence=[beam],
    )
    assert line.delay_s == pytest.approx(360.0)


@pytest.mark.parametrize(
    ("date", "time", "message"),
    [("20260301", "000400", "before the irradiation ends"), ("20260303", "000400", "too long after")],
)
def test_a_frame_before_the_beam_or_a_day_later_is_a_clock_error(samples, tmp_path, date, time, message):
    beam = samples.irradiation("20260301235700", "20260301235800")
    samples.series(
        tmp_path,
        samples.pet,
        3,
        AcquisitionDate=date,
        AcquisitionTime=time,
        RadiopharmaceuticalInformationSequence=[beam],
    )
    image, _ = read_pet(tmp_path)
    with pytest.raises(DicomError, match=message):
        timeline_from_pet(image.timing)


def test_a_clock_offset_given_by_the_user_repairs_a_slow_scanner(samples, tmp_path):
    samples.series(tmp_path, samples.pet, 3, AcquisitionTime="100200")
    timing = read_pet(tmp_path)[0].timing
    with pytest.raises(DicomError):
        timeline_from_pet(timing)
    assert timeline_from_pet(timing, clock_offset_s=180.0).delay_s == pytest.approx(119.5)


def test_time_zones_are_honoured_and_half_given_ones_are_not_guessed(samples, tmp_path):
    summer = samples.irradiation("20260329015500+0100", "20260329015600+0100")
    times = {"AcquisitionDate": "20260329", "AcquisitionTime": "030000"}
    line, _ = timeline(
        samples,
        tmp_path / "a",
        TimezoneOffsetFromUTC="+0200",
        RadiopharmaceuticalInformationSequence=[summer],
        **times,
    )
    assert line.delay_s == pytest.approx(240.0), "01:56 +0100 to 03:00 +0200 across the change of the clocks"
    line, found = timeline(samples, tmp_path / "b", RadiopharmaceuticalInformationSequence=[summer], **times)
    assert line is None
    assert "PET-ZONE" in found


def test_a_time_of_day_without_a_date_gives_no_time_line(samples, tmp_path):
    old = samples.item(
        Radiopharmaceutical="proton-induced positron emitters",
        RadiopharmaceuticalStartTime="100200",
        RadiopharmaceuticalStopTime="100300",
    )
    line, found = timeline(samples, tmp_path / "a", RadiopharmaceuticalInformationSequence=[old])
    assert line is None
    assert "PET-TIME" in found
    line, found = timeline(samples, tmp_path / "b", AcquisitionDate=None)
    assert line is None
    assert "PET-TIME" in found


def test_an_injected_tracer_is_never_taken_for_an_irradiation(samples, tmp_path):
    tracer = samples.irradiation(Radiopharmaceutical="FDG", RadionuclideHalfLife=F18_S)
    samples.series(tmp_path, samples.pet, 3, RadiopharmaceuticalInformationSequence=[tracer])
    timing = read_pet(tmp_path)[0].timing
    assert timing.irradiation_end is None
    assert timing.administration == datetime(2026, 3, 1, 10, 2, tzinfo=UTC)
    assert timeline_from_pet(timing) is None


@pytest.mark.parametrize("duration", [None, 0])
def test_a_frame_without_a_length_gives_no_time_line(samples, tmp_path, duration):
    assert timeline(samples, tmp_path, ActualFrameDuration=duration)[0] is None


def test_an_irradiation_that_ends_before_it_starts_is_refused(samples, tmp_path):
    beam = samples.irradiation("20260301100500", "20260301100300")
    samples.series(tmp_path, samples.pet, 3, RadiopharmaceuticalInformationSequence=[beam])
    with pytest.raises(DicomError, match="impossible duration"):
        timeline_from_pet(read_pet(tmp_path)[0].timing)


@settings(max_examples=50, deadline=None)
@given(second=st.integers(631_152_000, 3_786_912_000), micro=st.integers(0, 999_999), hours=st.integers(-12, 14))
def test_dates_and_times_survive_as_one_moment(second, micro, hours):
    zone = zone_from_offset(f"{hours:+03d}00")
    when = datetime.fromtimestamp(second, tz=UTC).replace(microsecond=micro)
    date, time = when.strftime("%Y%m%d"), when.strftime("%H%M%S.%f")
    expected = when.replace(tzinfo=zone)
    assert moment(date, time, zone) == expected
    assert moment_from_dt(date + time, zone) == (expected, False)
    assert moment_from_dt(f"{date}{time}{hours:+03d}00", None) == (expected, True)


@pytest.mark.parametrize(("date", "time"), [("2026", "101010"), ("20261301", "101010"), ("20260101", "1010"), ("", "")])
def test_times_that_are_not_given_to_the_second_are_no_moment(date, time):
    assert moment(date, time, None) is None
    assert moment_from_dt(date + time, None)[0] is None


def test_a_leap_second_is_the_second_before_the_next_minute():
    assert moment("20161231", "235960", None) == datetime(2017, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "0100", "+9900", "UTC", "+1"])
def test_an_offset_that_is_none_is_no_zone(text):
    assert zone_from_offset(text) is None
