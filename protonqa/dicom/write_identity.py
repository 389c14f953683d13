"""DicomIdentity: what CT, PET, plan and dose of one case have in common when they are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from protonqa.dicom.uids import derived_uid, new_uid, require_uid
from protonqa.dicom.write_text import check_person_name, check_text
from protonqa.errors import DicomError, InputError
from protonqa.values import PATIENT_POSITIONS, PatientIdentity, SeriesInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomIdentity:
    """Patient, study and frame of reference of a case.

    Parameters
    ----------
    patient : PatientIdentity
        Name in DICOM form (``FAMILY^GIVEN``), birth date as ``YYYYMMDD``; empty parts are written empty.
    patient_sex : str
        ``M``, ``F``, ``O`` or empty.
    study_uid, frame_of_reference_uid : str
    study_time : datetime or None
        With time zone; None leaves date and time of the study empty.
    study_id, study_description, accession_number : str
    patient_position : str
        One of ``protonqa.values.PATIENT_POSITIONS``.
    seed : str or None
        With a seed every identifier is derived from it and from the content, so that the same case gives the same
        files; without one they are random.

    Raises
    ------
    DicomError
        A text that DICOM cannot hold, or an identifier against the grammar. Values are not repeated in the message.
    InputError
        A study time without time zone.
    """

    study_uid: str
    frame_of_reference_uid: str
    patient: PatientIdentity = field(default_factory=PatientIdentity)
    patient_sex: str = ""
    study_time: datetime | None = None
    study_id: str = field(default="", repr=False)
    study_description: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)
    patient_position: str = "HFS"
    seed: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        require_uid(self.study_uid, "StudyInstanceUID")
        require_uid(self.frame_of_reference_uid, "FrameOfReferenceUID")
        check_text(self.patient.patient_id, "PatientID", 64)
        check_person_name(self.patient.name, "PatientName")
        check_text(self.study_id, "StudyID", 16)
        check_text(self.study_description, "StudyDescription", 64)
        check_text(self.accession_number, "AccessionNumber", 16)
        if self.patient_sex not in ("", "M", "F", "O"):
            raise DicomError("PatientSex cannot be written", expected="M, F, O or empty")
        if self.patient.birth_date and not _is_date(self.patient.birth_date):
            raise DicomError("PatientBirthDate cannot be written", expected="YYYYMMDD or empty")
        if self.patient_position not in PATIENT_POSITIONS:
            raise DicomError("PatientPosition is unknown", expected=", ".join(PATIENT_POSITIONS))
        if self.study_time is not None:
            require_zone(self.study_time, "study time")

    @classmethod
    def new(
        cls,
        *,
        seed: str | None = None,
        patient: PatientIdentity | None = None,
        study_time: datetime | None = None,
        patient_position: str = "HFS",
        study_description: str = "",
    ) -> DicomIdentity:
        """A new study with its own frame of reference; see the class for the parameters."""
        return cls(
            study_uid=new_uid() if seed is None else derived_uid(seed, "study"),
            frame_of_reference_uid=new_uid() if seed is None else derived_uid(seed, "frame of reference"),
            patient=patient or PatientIdentity(),
            study_time=study_time,
            patient_position=patient_position,
            study_description=study_description,
            seed=seed,
        )

    @classmethod
    def of_series(cls, info: SeriesInfo, *, seed: str | None = None) -> DicomIdentity:
        """The identity of a series that was read: what is written with it belongs to the same patient and study.

        Raises
        ------
        DicomError
            The series has no usable study, frame of reference or patient position.
        """
        return cls(
            study_uid=info.study_uid,
            frame_of_reference_uid=info.frame_of_reference_uid,
            patient=info.patient,
            patient_position=info.patient_position,
            seed=seed,
        )

    def uid(self, *names: str) -> str:
        """A new identifier of this case; with a seed the one that belongs to `names`."""
        return new_uid() if self.seed is None else derived_uid(self.seed, self.study_uid, *names)


def require_zone(moment: datetime, what: str) -> datetime:
    """`moment` itself, when it carries its time zone; else InputError."""
    if moment.utcoffset() is None:
        raise InputError(f"the {what} has no time zone", expected="a datetime with tzinfo")
    return moment


def _is_date(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 (a date of birth has no zone)
    except ValueError:
        return False
    return len(text) == 8
