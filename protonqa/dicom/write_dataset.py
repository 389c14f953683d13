"""What every written DICOM object shares: patient, study, series, file meta information, checks and durable storage."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from protonqa.dicom.uids import derived_uid, require_uid
from protonqa.dicom.write_identity import DicomIdentity
from protonqa.dicom.write_text import check_text, da, tm
from protonqa.errors import DicomError
from protonqa.values import SeriesInfo, Volume

MANUFACTURER = "protonqa"
IMPLEMENTATION_CLASS_UID = derived_uid("protonqa", "implementation class")
IMPLEMENTATION_VERSION = "PROTONQA_1"

#: Keywords that must be there and filled, each with those of the items of its sequence.
Required = Mapping[str, "Required"]


def required(*keywords: str, **sequences: Required) -> Required:
    """Attributes of type 1 by keyword; a sequence is given with the attributes of its items."""
    return {**{keyword: {} for keyword in keywords}, **sequences}


COMMON = required("SOPClassUID", "SOPInstanceUID", "Modality", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesHead:
    """What a series calls itself; ``time`` is its start, None leaves it empty."""

    modality: str
    uid: str
    number: int
    description: str
    time: datetime | None = None

    def __post_init__(self) -> None:
        check_text(self.description, "SeriesDescription", 64)


def new_dataset(identity: DicomIdentity, series: SeriesHead, *, sop_class: str, sop_instance: str) -> Dataset:
    """A data set with the patient, study, series, frame of reference, equipment and SOP common modules."""
    out = Dataset()
    out.SpecificCharacterSet = "ISO_IR 192"
    out.SOPClassUID = sop_class
    out.SOPInstanceUID = require_uid(sop_instance, "SOPInstanceUID")
    out.Modality = series.modality
    out.Manufacturer = MANUFACTURER
    out.ManufacturerModelName = MANUFACTURER
    out.SoftwareVersions = IMPLEMENTATION_VERSION
    out.PatientName = identity.patient.name
    out.PatientID = identity.patient.patient_id
    out.PatientBirthDate = identity.patient.birth_date
    out.PatientSex = identity.patient_sex
    out.StudyInstanceUID = identity.study_uid
    out.StudyID = identity.study_id
    out.StudyDate, out.StudyTime = da(identity.study_time), tm(identity.study_time)
    out.AccessionNumber = identity.accession_number
    out.ReferringPhysicianName = ""
    if identity.study_description:
        out.StudyDescription = identity.study_description
    out.SeriesInstanceUID = require_uid(series.uid, "SeriesInstanceUID")
    out.SeriesNumber = series.number
    if series.description:
        out.SeriesDescription = series.description
    if series.time is not None:
        out.SeriesDate, out.SeriesTime = da(series.time), tm(series.time)
        out.TimezoneOffsetFromUTC = f"{series.time:%z}"
    elif identity.study_time is not None:
        out.TimezoneOffsetFromUTC = f"{identity.study_time:%z}"
    out.FrameOfReferenceUID = identity.frame_of_reference_uid
    out.PositionReferenceIndicator = ""
    return out


def encode(dataset: Dataset, needed: Required) -> bytes:
    """The bytes of a DICOM file, after its essential attributes were checked.

    Explicit VR little endian, except where a list of numbers is longer than that syntax can tell (64 kB, such as 8191
    spots in a layer): then implicit VR little endian.

    Raises
    ------
    DicomError
        An attribute of type 1 is missing or empty.
    """
    _check(dataset, {**COMMON, **needed})
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if _has_long_list(dataset) else ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    dataset.file_meta = meta
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def content_hash(volume: Volume) -> str:
    """SHA-256 of values and grid: two contents of one case never share derived identifiers."""
    grid = volume.grid
    digest = hashlib.sha256(np.ascontiguousarray(volume.array, dtype="<f4").tobytes())
    numbers = (*grid.shape, *grid.spacing_mm, *grid.origin_mm, *grid.direction.ravel())
    digest.update(repr([float(n) for n in numbers]).encode())
    return digest.hexdigest()


def written_info(identity: DicomIdentity, series: SeriesHead, sop_instances: list[str]) -> SeriesInfo:
    """The plain facts of what was written, for references from other objects."""
    return SeriesInfo(
        modality=series.modality,
        series_uid=series.uid,
        frame_of_reference_uid=identity.frame_of_reference_uid,
        study_uid=identity.study_uid,
        patient=identity.patient,
        patient_position=identity.patient_position,
        manufacturer=MANUFACTURER,
        model=MANUFACTURER,
        protocol=series.description,
        files_used=len(sop_instances),
        sop_instance_uids=tuple(sop_instances),
    )


def _check(dataset: Dataset, needed: Required, where: str = "") -> None:
    for keyword, inside in needed.items():
        value = dataset.get(keyword)
        if value is None or (hasattr(value, "__len__") and len(value) == 0):
            raise DicomError(
                "an object is not written because an essential attribute is missing", got=f"no {where}{keyword}"
            )
        if inside:
            for item in value:
                _check(item, inside, f"{where}{keyword}.")


def _has_long_list(dataset: Dataset) -> bool:
    most = {"FL": 0xFFFE // 4, "DS": 0xFFFE // 17}
    return any(most.get(element.VR, 1 << 62) < element.VM for element in dataset.iterall())
