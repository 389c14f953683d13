"""Identifiers and texts of written objects: grammar, derivation, and no patient in a message."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from protonqa.dicom.uids import derived_uid, is_uid, new_uid, require_uid
from protonqa.dicom.write_identity import DicomIdentity
from protonqa.dicom.write_text import check_person_name, check_text, decimal
from protonqa.errors import DicomError, InputError
from protonqa.values import PatientIdentity, SeriesInfo


@given(st.lists(st.text(), min_size=1))
def test_derived_uids_follow_the_grammar_and_repeat(names):
    uid = derived_uid(*names)
    assert is_uid(uid)
    assert UID(uid).is_valid
    assert uid.startswith("2.25.")
    assert derived_uid(*names) == uid


def test_derived_uids_keep_different_names_apart():
    names = [("ab", "c"), ("a", "bc"), ("abc",), ("a", "b", "c"), ("ab", "c", ""), ("1:ab", "c")]
    assert len({derived_uid(*n) for n in names}) == len(names)
    with pytest.raises(DicomError):
        derived_uid()


def test_new_uids_are_valid_and_never_the_same():
    uids = {new_uid() for _ in range(100)}
    assert len(uids) == 100
    assert all(is_uid(u) and UID(u).is_valid for u in uids)


@pytest.mark.parametrize("good", ["1.2", "2.25.0", "0.0", "1.2.840.10008.1.2", "1." + "1" * 62])
def test_valid_uids_pass(good):
    assert require_uid(good, "StudyInstanceUID") == good


@pytest.mark.parametrize(
    "bad",
    ["", "1", "1.", ".1", "1..2", "1.02", "3.1", "1.2 ", "1.2\n", "../../x", "1.2/3", "1.a", "1." + "1" * 63, "١.٢"],
)
def test_invalid_uids_are_refused_without_repeating_them(bad):
    assert not is_uid(bad)
    with pytest.raises(DicomError) as caught:
        require_uid(bad, "StudyInstanceUID")
    assert "StudyInstanceUID" in caught.value.line()
    assert ".." not in caught.value.line()


def test_a_seeded_identity_repeats_and_a_random_one_does_not():
    a, b, other = (DicomIdentity.new(seed=s) for s in ("case", "case", "case 2"))
    assert a == b
    assert a.uid("x", "1") == b.uid("x", "1") != a.uid("x", "2")
    assert len({a.study_uid, a.frame_of_reference_uid, other.study_uid, other.frame_of_reference_uid}) == 4
    free = DicomIdentity.new()
    assert free.study_uid != DicomIdentity.new().study_uid
    assert free.uid("x") != free.uid("x")


def test_an_identity_of_a_read_series_keeps_patient_study_and_frame():
    patient = PatientIdentity(patient_id="P1", name="A^B", birth_date="19500101")
    info = SeriesInfo(
        modality="CT", study_uid="1.2.3", frame_of_reference_uid="1.2.4", patient=patient, patient_position="FFS"
    )
    identity = DicomIdentity.of_series(info)
    assert (identity.study_uid, identity.frame_of_reference_uid) == ("1.2.3", "1.2.4")
    assert (identity.patient, identity.patient_position) == (patient, "FFS")
    with pytest.raises(DicomError, match="StudyInstanceUID"):
        DicomIdentity.of_series(SeriesInfo(modality="CT", patient_position="HFS"))


CANARY = "CANARY7391"
BAD_TEXTS = {
    "study_description": "x" * 65 + CANARY,
    "study_id": CANARY * 2,
    "accession_number": f"{CANARY}\\b",
    "patient_sex": CANARY,
    "patient_position": CANARY,
    "study_uid": CANARY,
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_what_dicom_cannot_hold_is_refused_without_repeating_it(name):
    values = {"study_uid": "1.2", "frame_of_reference_uid": "1.3", name: BAD_TEXTS[name]}
    with pytest.raises(DicomError) as caught:
        DicomIdentity(**values)
    assert CANARY not in caught.value.line()


NASTY = [f"{CANARY}\n", f"{CANARY}\\x", f"{CANARY}\x00", "x" * 65, "a^b^c^d^e^f", "a=b=c=d"]


@pytest.mark.parametrize("name", NASTY)
def test_nasty_patient_names_are_refused_without_repeating_them(name):
    with pytest.raises(DicomError) as caught:
        DicomIdentity.new(patient=PatientIdentity(name=name))
    assert CANARY not in caught.value.line()
    assert CANARY not in repr(DicomIdentity.new(patient=PatientIdentity(name=CANARY, patient_id=CANARY)))


@pytest.mark.parametrize("date", ["1950", "19501301", "1950-1-1", CANARY])
def test_birth_dates_are_dates(date):
    with pytest.raises(DicomError):
        DicomIdentity.new(patient=PatientIdentity(birth_date=date))


def test_a_study_time_needs_its_zone():
    with pytest.raises(InputError, match="no time zone"):
        DicomIdentity.new(study_time=datetime(2026, 1, 1))  # noqa: DTZ001
    assert DicomIdentity.new(study_time=datetime(2026, 1, 1, tzinfo=UTC)).study_time is not None


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30))
def test_decimal_strings_fit_and_keep_ten_digits(value):
    text = decimal(value)
    assert len(text) <= 16
    assert text not in ("-0", "-0.0")
    assert float(text) == pytest.approx(value, rel=1e-8, abs=1e-30)


def test_texts_at_the_limit_pass():
    assert check_text("x" * 64, "A", 64) == "x" * 64
    assert check_person_name("Größe^Ä=山田^太郎=やまだ", "A")
