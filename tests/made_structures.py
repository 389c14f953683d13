"""An RT Structure Set for a CT that was written before, made with pydicom alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def write_rtstruct(path: Path, ct_folder: Path, structures: Mapping[str, Sequence[np.ndarray]]) -> Path:
    """Name -> contours, (n, 3) LPS mm; patient, study and frame are those of the CT."""
    ct = pydicom.dcmread(next(one for one in sorted(ct_folder.rglob("*")) if one.is_file()), stop_before_pixels=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTSTRUCT
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole = Dataset()
    whole.file_meta = meta
    whole.SOPClassUID, whole.SOPInstanceUID = RTSTRUCT, meta.MediaStorageSOPInstanceUID
    whole.Modality, whole.StructureSetLabel = "RTSTRUCT", "drawn"
    whole.SeriesInstanceUID = generate_uid(entropy_srcs=[path.name, "series"])
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID"):
        setattr(whole, keyword, ct.get(keyword, ""))
    whole.StructureSetROISequence, whole.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(structures.items(), 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, ct.FrameOfReferenceUID
        drawn.ReferencedROINumber, drawn.ROIDisplayColor, drawn.ContourSequence = number, [0, 255, 0], []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            contour.ContourData = [round(float(one), 3) for one in np.ravel(points)]
            drawn.ContourSequence.append(contour)
        whole.StructureSetROISequence.append(roi)
        whole.ROIContourSequence.append(drawn)
    whole.save_as(path, enforce_file_format=True)
    return path
