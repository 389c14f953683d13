"""A volume in HU as a DICOM CT series."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
from pydicom.uid import CTImageStorage

from protonqa.dicom.write_dataset import SeriesHead, content_hash, encode, new_dataset, written_info
from protonqa.dicom.write_identity import DicomIdentity
from protonqa.dicom.write_pixels import set_pixels
from protonqa.dicom.write_series import SLICE_REQUIRED, place_slice, store_series
from protonqa.dicom.write_text import decimal
from protonqa.errors import InputError, UnitsError
from protonqa.values import SeriesInfo, Volume

#: Intercept that scanners use; another one only where the values need it.
_USUAL_INTERCEPT = -1024
_INT16 = np.iinfo(np.int16)


def write_ct(
    volume: Volume,
    folder: str | os.PathLike[str],
    *,
    identity: DicomIdentity,
    series_description: str = "CT",
    series_number: int = 1,
    overwrite: bool = False,
) -> SeriesInfo:
    """Write a CT series (CT Image Storage, explicit VR little endian), one file a slice: IM0001.dcm, ...

    Slices stand in the order of the z index, also for left-handed grids; any direction is written as it is. HU are
    rounded to whole numbers (slope 1), so a value is at most half a HU off.

    Parameters
    ----------
    volume : Volume
        HU on any grid.
    folder : path
        Made when absent. Slices that are there already are an error unless `overwrite` is set and protonqa wrote them.
    identity : DicomIdentity
        Patient, study, frame of reference, patient position.

    Returns
    -------
    SeriesInfo
        Identifiers of the series and of its slices, in the order of the z index.

    Raises
    ------
    UnitsError
        Not in HU.
    InputError
        Values span more than 16 bits.
    DicomError, StoreError
        A text that DICOM cannot hold; slices that are there already; the disk is full. The folder is as before.
    """
    if volume.unit != "HU":
        raise UnitsError("a CT is written from Hounsfield units", got=volume.unit, expected="HU")
    series = SeriesHead(
        modality="CT",
        uid=identity.uid("CT", str(series_number), content_hash(volume)),
        number=series_number,
        description=series_description,
        time=identity.study_time,
    )
    intercept = _intercept(volume)
    instances = [identity.uid(series.uid, str(k)) for k in range(volume.grid.shape[0])]

    def slices() -> Iterator[bytes]:
        for index, instance in enumerate(instances):
            yield _slice(volume, index, instance, identity, series, intercept)

    store_series(folder, slices(), sop_class=CTImageStorage, label="CT series", overwrite=overwrite)
    return written_info(identity, series, instances)


def _slice(
    volume: Volume, index: int, instance: str, identity: DicomIdentity, series: SeriesHead, intercept: int
) -> bytes:
    out = new_dataset(identity, series, sop_class=CTImageStorage, sop_instance=instance)
    # Derived: no scanner made these pixel values.
    out.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    out.PatientPosition = identity.patient_position
    # Type 2C: a trunk is no paired body part, and the empty value says so.
    out.Laterality = ""
    out.KVP = ""
    out.AcquisitionNumber = 1
    out.RescaleIntercept, out.RescaleSlope, out.RescaleType = decimal(intercept), "1", "HU"
    out.WindowCenter, out.WindowWidth = "40", "400"
    place_slice(out, volume.grid, index)
    set_pixels(out, (np.rint(volume.array[index].astype(np.float64)) - intercept).astype(np.int16))
    return encode(out, SLICE_REQUIRED)


def _intercept(volume: Volume) -> int:
    low, high = int(np.rint(volume.array.min())), int(np.rint(volume.array.max()))
    if low - _USUAL_INTERCEPT >= _INT16.min and high - _USUAL_INTERCEPT <= _INT16.max:
        return _USUAL_INTERCEPT
    if high - low > _INT16.max - _INT16.min:
        raise InputError(
            "the HU of the volume do not fit into a CT image", got=f"{low} to {high} HU", expected="a span of 65535 HU"
        )
    return low - _INT16.min
