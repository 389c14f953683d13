"""A volume in Bq/ml as a DICOM PET series with the times of irradiation and frame."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from protonqa.dicom.pet_times import MAX_DELAY_S, MAX_IRRADIATION_S, RADIOPHARMACEUTICAL
from protonqa.dicom.write_dataset import (
    Required,
    SeriesHead,
    content_hash,
    encode,
    new_dataset,
    required,
    written_info,
)
from protonqa.dicom.write_identity import DicomIdentity, require_zone
from protonqa.dicom.write_pixels import quantise, set_pixels
from protonqa.dicom.write_series import SLICE_REQUIRED, place_slice, store_series
from protonqa.dicom.write_text import check_text, da, decimal, dt, tm
from protonqa.errors import InputError, UnitsError
from protonqa.values import SeriesInfo, Timeline, Volume

_REQUIRED: Required = {
    **SLICE_REQUIRED,
    **required(
        "SeriesDate",
        "SeriesTime",
        "Units",
        "CountsSource",
        "SeriesType",
        "NumberOfSlices",
        "DecayCorrection",
        "AcquisitionDate",
        "AcquisitionTime",
        "ActualFrameDuration",
        "FrameReferenceTime",
        "ImageIndex",
        RadiopharmaceuticalInformationSequence=required(
            "Radiopharmaceutical", "RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStopDateTime"
        ),
    ),
}
#: What has been corrected for; decay has not.
_CORRECTED = ("NORM", "DTIM", "ATTN", "SCAT", "RAN")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    """Begin and end of the irradiation, begin of the frame, all in one zone, and the length of the frame."""

    beam_on: datetime
    beam_off: datetime
    frame_start: datetime
    frame_ms: int


def write_pet(
    volume: Volume,
    folder: str | os.PathLike[str],
    *,
    identity: DicomIdentity,
    timeline: Timeline,
    irradiation_end: datetime,
    series_description: str = "PET activity of a proton field",
    series_number: int = 2,
    comments: str = "",
    overwrite: bool = False,
) -> SeriesInfo:
    """Write a static PET series in BQML (PET Image Storage), one file a slice: IM0001.dcm, ...

    The values are the mean activity concentration during the frame, not corrected for decay (DecayCorrection NONE: the
    emitters are a mix without one half-life; none is stated). The item of RadiopharmaceuticalInformationSequence holds
    the start of the irradiation as RadiopharmaceuticalStartDateTime and its end as RadiopharmaceuticalStopDateTime. The
    frame starts at AcquisitionDate and AcquisitionTime and lasts ActualFrameDuration; FrameReferenceTime is its middle.

    Every slice has its own RescaleSlope with the full 16 bits; a value is at most half a slope off. Volumes with
    negative values are stored signed, others unsigned.

    Parameters
    ----------
    volume : Volume
        Bq/ml on any grid.
    folder : path
        Made when absent. Slices that are there already are an error unless `overwrite` is set and protonqa wrote them.
    identity : DicomIdentity
    timeline : Timeline
        The acquisition must be longer than 0: without a frame there is no PET.
    irradiation_end : datetime
        End of beam, with time zone.
    comments : str
        Free text for ImageComments, such as the mix of nuclides.

    Returns
    -------
    SeriesInfo
        Identifiers of the series and of its slices, in the order of the z index.

    Raises
    ------
    UnitsError
        Not in Bq/ml.
    InputError
        No frame, no time zone, or times that nobody would believe when they are read back.
    DicomError, StoreError
        A text that DICOM cannot hold; slices that are there already; the disk is full. The folder is as before.

    Notes
    -----
    Source: DICOM PS3.3 C.8.9.1 (PET Series), C.8.9.2 (PET Isotope), C.8.9.4 (PET Image).
    """
    if volume.unit != "Bq/ml":
        raise UnitsError("a PET is written from activity concentration", got=volume.unit, expected="Bq/ml")
    check_text(comments, "ImageComments", 10240)
    times = _times(timeline, irradiation_end, identity.study_time)
    series = SeriesHead(
        modality="PT",
        uid=identity.uid("PT", str(series_number), repr(times), content_hash(volume)),
        number=series_number,
        description=series_description,
        time=times.frame_start,
    )
    instances = [identity.uid(series.uid, str(k)) for k in range(volume.grid.shape[0])]
    kind = np.int16 if (volume.array < 0).any() else np.uint16

    def slices() -> Iterator[bytes]:
        for index, instance in enumerate(instances):
            out = new_dataset(identity, series, sop_class=PositronEmissionTomographyImageStorage, sop_instance=instance)
            _describe(out, volume, times, comments)
            out.PatientPosition = identity.patient_position
            out.ImageIndex = index + 1
            place_slice(out, volume.grid, index)
            stored, slope = quantise(volume.array[index], kind)
            out.RescaleIntercept, out.RescaleSlope = "0", slope
            set_pixels(out, stored)
            yield encode(out, _REQUIRED)

    store_series(
        folder,
        slices(),
        sop_class=PositronEmissionTomographyImageStorage,
        label="PET series",
        overwrite=overwrite,
    )
    return written_info(identity, series, instances)


def _describe(out: Dataset, volume: Volume, times: _Times, comments: str) -> None:
    out.ImageType = ["DERIVED", "PRIMARY"]
    out.Units, out.CountsSource = "BQML", "EMISSION"
    out.SeriesType = ["STATIC", "IMAGE"]
    out.NumberOfSlices = volume.grid.shape[0]
    out.CorrectedImage = list(_CORRECTED)
    out.DecayCorrection, out.DecayFactor = "NONE", "1"
    out.CollimatorType = "NONE"
    out.AcquisitionDate, out.AcquisitionTime = da(times.frame_start), tm(times.frame_start)
    out.ContentDate, out.ContentTime = da(times.frame_start), tm(times.frame_start)
    out.ActualFrameDuration = times.frame_ms
    out.FrameReferenceTime = decimal(times.frame_ms / 2)
    if comments:
        out.ImageComments = comments
    item = Dataset()
    item.Radiopharmaceutical = RADIOPHARMACEUTICAL
    item.RadiopharmaceuticalStartTime, item.RadiopharmaceuticalStopTime = tm(times.beam_on), tm(times.beam_off)
    item.RadiopharmaceuticalStartDateTime = dt(times.beam_on)
    item.RadiopharmaceuticalStopDateTime = dt(times.beam_off)
    item.RadionuclideCodeSequence = []
    out.RadiopharmaceuticalInformationSequence = [item]
    out.PatientOrientationCodeSequence = []
    out.PatientGantryRelationshipCodeSequence = []


def _times(timeline: Timeline, irradiation_end: datetime, study_time: datetime | None) -> _Times:
    require_zone(irradiation_end, "end of the irradiation")
    if timeline.acquisition_s < 0.001:
        raise InputError("a PET needs a frame", got=f"{timeline.acquisition_s:g} s", expected="more than 0 s")
    for name, value, most in (
        ("delay", timeline.delay_s, MAX_DELAY_S),
        ("irradiation", timeline.irradiation_s, MAX_IRRADIATION_S),
    ):
        if value > most:
            raise InputError(f"the {name} is too long for a PET", got=f"{value:g} s", expected=f"at most {most:g} s")
    # One fixed offset for all times of the file, that of the study: a change of summer time must not move the frame.
    offset = (irradiation_end if study_time is None else study_time).utcoffset()
    off = irradiation_end.astimezone(timezone(offset or timedelta()))
    return _Times(
        beam_on=off - timedelta(seconds=timeline.irradiation_s),
        beam_off=off,
        frame_start=off + timedelta(seconds=timeline.delay_s),
        frame_ms=round(1000 * timeline.acquisition_s),
    )
