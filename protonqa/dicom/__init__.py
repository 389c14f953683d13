"""DICOM in and out: the only room that knows pydicom. Plain values leave it, never a dataset."""

from protonqa.dicom.case import read_case, read_case_structures
from protonqa.dicom.ct import read_ct
from protonqa.dicom.dose import read_dose
from protonqa.dicom.limits import ReadLimits
from protonqa.dicom.pet import read_pet
from protonqa.dicom.pet_times import frame_activity_factor, timeline_from_pet
from protonqa.dicom.plan import read_plan
from protonqa.dicom.structures import read_structures

__all__ = [
    "ReadLimits",
    "frame_activity_factor",
    "read_case",
    "read_case_structures",
    "read_ct",
    "read_dose",
    "read_pet",
    "read_plan",
    "read_structures",
    "timeline_from_pet",
]
