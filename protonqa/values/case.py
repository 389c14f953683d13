"""Case: everything one verification looks at, checked and free of DICOM objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from protonqa.errors import InputError, UnitsError
from protonqa.values.grid import Volume
from protonqa.values.plan import IonPlan
from protonqa.values.result import Finding
from protonqa.values.structures import StructureSet
from protonqa.values.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientIdentity:
    """Who the case belongs to: for the report's identity block only, never for messages, logs or file names."""

    patient_id: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesInfo:
    """Plain facts of an imported series."""

    modality: str
    series_uid: str = field(default="", repr=False)
    frame_of_reference_uid: str = field(default="", repr=False)
    study_uid: str = field(default="", repr=False)
    patient: PatientIdentity = PatientIdentity()
    patient_position: str = ""
    manufacturer: str = ""
    model: str = ""
    protocol: str = ""
    files_used: int = 0
    #: (file name, reason) of each file of the folder that was not used.
    files_ignored: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    sop_instance_uids: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PetTiming:
    """Frame times and decay state of a PET image (DICOM PET Image and PET Series modules).

    ``decay_correction`` is ``NONE``, ``START`` or ``ADMIN``: values are corrected to the frame's own time, to the
    start of the series, or to the time of administration (here: the irradiation).
    """

    decay_correction: str
    series_reference: datetime | None = None
    frame_start: datetime | None = None
    frame_duration_s: float | None = None
    irradiation_end: datetime | None = None
    irradiation_duration_s: float | None = None
    half_life_s: float | None = None
    decay_factor: float | None = None
    #: When a tracer was given; None for activity that a beam made.
    administration: datetime | None = None

    def __post_init__(self) -> None:
        if self.decay_correction not in ("NONE", "START", "ADMIN"):
            raise UnitsError(
                "decay correction of the PET is missing or unknown",
                got=repr(self.decay_correction),
                expected="NONE, START or ADMIN",
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PetImage:
    """PET activity concentration with its times."""

    volume: Volume
    timing: PetTiming
    info: SeriesInfo

    def __post_init__(self) -> None:
        if self.volume.unit != "Bq/ml":
            raise UnitsError("PET volume is not an activity concentration", got=self.volume.unit, expected="Bq/ml")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DoseImage:
    """A dose grid and what it is the sum of (``summation_type`` is DICOM DoseSummationType)."""

    volume: Volume
    summation_type: str
    dose_units: str = "GY"
    referenced_beam: int | None = None
    referenced_plan_uid: str = ""
    info: SeriesInfo = SeriesInfo(modality="RTDOSE")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """Planning CT, PET and plan of one patient, cross-checked.

    Raises
    ------
    InputError
        CT not in HU.
    """

    ct: Volume
    ct_info: SeriesInfo
    plan: IonPlan | None = None
    plan_info: SeriesInfo | None = None
    pet: PetImage | None = None
    dose: DoseImage | None = None
    timeline: Timeline | None = None
    findings: tuple[Finding, ...] = ()
    #: To be looked at only.
    structures: StructureSet | None = None

    def __post_init__(self) -> None:
        if self.ct.unit != "HU":
            raise InputError("the CT is not in Hounsfield units", got=self.ct.unit, expected="HU")
