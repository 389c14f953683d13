"""A dose volume as DICOM RT Dose, right for any direction of its grid."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import RTDoseStorage, RTIonPlanStorage

from protonqa.dicom.uids import require_uid
from protonqa.dicom.write_dataset import (
    Required,
    SeriesHead,
    content_hash,
    encode,
    new_dataset,
    required,
    written_info,
)
from protonqa.dicom.write_identity import DicomIdentity
from protonqa.dicom.write_pixels import quantise, set_pixels
from protonqa.dicom.write_text import check_text, decimal, decimals
from protonqa.durable import write_bytes_atomic
from protonqa.errors import InputError, UnitsError
from protonqa.values import Grid, SeriesInfo, Volume

_UNITS = {"Gy": "GY", "relative": "RELATIVE", "1": "RELATIVE"}
_REQUIRED: Required = required(
    "FrameOfReferenceUID",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "NumberOfFrames",
    "FrameIncrementPointer",
    "GridFrameOffsetVector",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelData",
    "DoseUnits",
    "DoseType",
    "DoseSummationType",
    "DoseGridScaling",
    ReferencedRTPlanSequence=required("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"),
)


def write_dose(
    volume: Volume,
    path: str | os.PathLike[str],
    *,
    identity: DicomIdentity,
    plan_uid: str,
    beam_number: int | None = None,
    comment: str = "",
    series_description: str = "RT Dose",
    series_number: int = 4,
) -> SeriesInfo:
    """Write an RT Dose of 32 bits, all or nothing: the dose of a plan, or of one of its beams.

    The frames of an RT Dose lie along the cross product of its row and column directions. A left-handed grid, whose
    z index grows against that normal, is therefore written with its slices in reverse, so that offsets always rise.

    Parameters
    ----------
    volume : Volume
        Gy (written as GY) or relative dose (``relative`` or ``1``, written as RELATIVE), 0 or more.
    path : path
        The file; an old one is replaced.
    identity : DicomIdentity
        Same as for CT and plan.
    plan_uid : str
        SOP Instance UID of the RT Ion Plan.
    beam_number : int, optional
        With it DoseSummationType is BEAM, without it PLAN.
    comment : str
        DoseComment.

    Returns
    -------
    SeriesInfo

    Raises
    ------
    UnitsError
        Another unit.
    InputError
        Negative dose.
    DicomError, StoreError
        A text or identifier that DICOM cannot hold; the disk is full. The old file is unchanged.

    Notes
    -----
    Source: DICOM PS3.3 C.8.8.3 (RT Dose): GridFrameOffsetVector relative, in the right-handed image coordinate system.
    """
    if volume.unit not in _UNITS:
        raise UnitsError("a dose is written from Gy or relative dose", got=volume.unit, expected=", ".join(_UNITS))
    if (volume.array < 0).any():
        raise InputError("a dose volume holds negative values", got=f"{volume.array.min():g}", expected="0 or more")
    names = ("RTDOSE", str(series_number), plan_uid, str(beam_number), volume.unit, content_hash(volume))
    instance = identity.uid(*names)
    series = SeriesHead(
        modality="RTDOSE",
        uid=identity.uid(instance, "series"),
        number=series_number,
        description=series_description,
        time=identity.study_time,
    )
    out = new_dataset(identity, series, sop_class=RTDoseStorage, sop_instance=instance)
    out.OperatorsName = ""
    out.InstanceNumber = 1
    first, array = _along_normal(volume)
    _place_frames(out, volume.grid, first)
    stored, scaling = quantise(array, np.uint32)
    set_pixels(out, stored)
    out.DoseUnits = _UNITS[volume.unit]
    out.DoseType = "PHYSICAL"
    out.DoseSummationType = "PLAN" if beam_number is None else "BEAM"
    out.DoseGridScaling = scaling
    if comment:
        out.DoseComment = check_text(comment, "DoseComment", 1024)
    out.ReferencedRTPlanSequence = [_plan_reference(plan_uid, beam_number)]
    write_bytes_atomic(path, encode(out, _REQUIRED), label="RT Dose")
    return written_info(identity, series, [instance])


def _along_normal(volume: Volume) -> tuple[int, NDArray[np.float32]]:
    """Index of the first frame, and the slices in rising order along rows x columns."""
    axes = volume.grid.direction
    if np.dot(np.cross(axes[:, 0], axes[:, 1]), axes[:, 2]) > 0:
        return 0, volume.array
    return volume.grid.shape[0] - 1, volume.array[::-1]


def _place_frames(out: Dataset, grid: Grid, first: int) -> None:
    sx, sy, sz = grid.spacing_mm
    out.PixelSpacing = decimals((sy, sx))
    out.SliceThickness = decimal(sz)
    out.ImageOrientationPatient = decimals((*grid.direction[:, 0], *grid.direction[:, 1]))
    out.ImagePositionPatient = decimals(grid.world_from_index((0, 0, first)))
    out.NumberOfFrames = grid.shape[0]
    out.FrameIncrementPointer = Tag("GridFrameOffsetVector")
    out.GridFrameOffsetVector = decimals(sz * np.arange(grid.shape[0]))


def _plan_reference(plan_uid: str, beam_number: int | None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = RTIonPlanStorage
    item.ReferencedSOPInstanceUID = require_uid(plan_uid, "UID of the plan")
    if beam_number is not None:
        beam = Dataset()
        beam.ReferencedBeamNumber = beam_number
        group = Dataset()
        group.ReferencedFractionGroupNumber = 1
        group.ReferencedBeamSequence = [beam]
        item.ReferencedFractionGroupSequence = [group]
    return item
