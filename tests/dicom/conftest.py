"""Small DICOM objects made with pydicom alone, independent of the project's own writers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

CT, PET = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.128"
DOSE, ION_PLAN, PLAN = (f"1.2.840.10008.5.1.4.1.1.481.{n}" for n in (2, 8, 5))
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def uid(*parts: object) -> str:
    """The same UID for the same words."""
    return str(generate_uid(prefix="1.2.826.0.1.3680043.10.1.", entropy_srcs=[str(part) for part in parts]))


def item(**attributes: Any) -> Dataset:
    """A sequence item."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, Items(value) if keyword.endswith("Sequence") else value)
    return dataset


class Samples:
    """Builds DICOM objects; every attribute can be overridden by keyword, and removed with None."""

    item = staticmethod(item)
    uid = staticmethod(uid)
    CT, PET, DOSE, ION_PLAN, PLAN, RTSTRUCT = CT, PET, DOSE, ION_PLAN, PLAN, RTSTRUCT

    def dataset(self, sop_class: str, modality: str, name: object, **attributes: Any) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = sop_class
        meta.MediaStorageSOPInstanceUID = uid(modality, name)
        syntax = attributes.pop("syntax", ExplicitVRLittleEndian)
        meta.TransferSyntaxUID = syntax
        dataset = FileDataset(
            "",
            {},
            file_meta=meta,
            preamble=b"\0" * 128,
            is_implicit_VR=syntax == ImplicitVRLittleEndian,
            is_little_endian=syntax != ExplicitVRBigEndian,
        )
        facts: dict[str, Any] = {
            "SOPClassUID": sop_class,
            "SOPInstanceUID": uid(modality, name),
            "Modality": modality,
            "PatientID": "P-4711",
            "PatientName": "Canary^Yellow",
            "PatientBirthDate": "19500102",
            "StudyInstanceUID": uid("study"),
            "SeriesInstanceUID": uid("series", modality),
            "FrameOfReferenceUID": uid("frame"),
            "SeriesNumber": 1,
        }
        facts.update(attributes)
        with pydicom.config.disable_value_validation():  # broken values are what many tests are about
            for keyword, value in facts.items():
                if value is not None:
                    setattr(dataset, keyword, Items(value) if keyword.endswith("Sequence") else value)
        return dataset

    def image(
        self,
        sop_class: str,
        modality: str,
        stored: np.ndarray,
        position: Sequence[float],
        *,
        orientation: Sequence[float] = AXIAL,
        spacing_yx: tuple[float, float] = (1.0, 1.0),
        **attributes: Any,
    ) -> FileDataset:
        stored = np.ascontiguousarray(stored)
        facts: dict[str, Any] = {
            "Rows": stored.shape[-2],
            "Columns": stored.shape[-1],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": stored.dtype.itemsize * 8,
            "BitsStored": stored.dtype.itemsize * 8,
            "HighBit": stored.dtype.itemsize * 8 - 1,
            "PixelRepresentation": int(stored.dtype.kind == "i"),
            "ImagePositionPatient": [float(f"{v:.10g}") for v in position],
            "ImageOrientationPatient": [float(f"{v:.10g}") for v in orientation],
            "PixelSpacing": list(spacing_yx),
            "PatientPosition": "HFS",
            "PixelData": stored.tobytes(),
        }
        name = attributes.pop("name", tuple(position))
        facts.update(attributes)
        return self.dataset(sop_class, modality, name, **facts)

    def ct(self, stored: np.ndarray, position: Sequence[float], **attributes: Any) -> FileDataset:
        facts = {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU", "SliceThickness": 3}
        return self.image(CT, "CT", stored, position, **(facts | attributes))

    def pet(self, stored: np.ndarray, position: Sequence[float], **attributes: Any) -> FileDataset:
        facts: dict[str, Any] = {
            "RescaleSlope": 1,
            "RescaleIntercept": 0,
            "Units": "BQML",
            "CountsSource": "EMISSION",
            "SeriesType": ["STATIC", "IMAGE"],
            "DecayCorrection": "NONE",
            "CorrectedImage": ["ATTN", "SCAT"],
            "SeriesDate": "20260301",
            "SeriesTime": "101000",
            "AcquisitionDate": "20260301",
            "AcquisitionTime": "101000",
            "ActualFrameDuration": 1_800_000,
            "FrameReferenceTime": 0,
            "RadiopharmaceuticalInformationSequence": [self.irradiation()],
        }
        return self.image(PET, "PT", stored, position, **(facts | attributes))

    @staticmethod
    def irradiation(start: str = "20260301100200", stop: str = "20260301100300.500000", **attributes: Any) -> Dataset:
        facts = {
            "Radiopharmaceutical": "proton-induced positron emitters",
            "RadiopharmaceuticalStartDateTime": start,
            "RadiopharmaceuticalStopDateTime": stop,
        }
        return item(**(facts | attributes))

    def series(
        self,
        folder: Path,
        make: Callable[..., FileDataset],
        count: int = 6,
        *,
        step: float = 3.0,
        shape: tuple[int, int] = (5, 4),
        dtype: str = "<i2",
        prefix: str = "s",
        origin: tuple[float, float] = (-10.0, -20.0),
        **attributes: Any,
    ) -> list[Path]:
        """`count` axial slices, each filled with its own number."""
        paths = []
        for k in range(count):
            stored = np.full(shape, k + 1, dtype=dtype)
            dataset = make(stored, (*origin, k * step), **attributes)
            paths.append(self.save(dataset, folder / f"{prefix}{k:02d}.dcm"))
        return paths

    @staticmethod
    def save(dataset: FileDataset, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pydicom.config.disable_value_validation():
            dataset.save_as(path, enforce_file_format=True)
        return path

    def control_point(self, index: int, energy: float, weights: Sequence[float], **attributes: Any) -> Dataset:
        spots = np.arange(2 * len(weights), dtype=float) * 5.0
        facts: dict[str, Any] = {
            "ControlPointIndex": index,
            "NominalBeamEnergy": energy,
            "ScanSpotPositionMap": spots.tolist(),
            "ScanSpotMetersetWeights": list(weights),
            "NumberOfScanSpotPositions": len(weights),
            "ScanningSpotSize": [9.0, 8.0],
        }
        return item(**{k: v for k, v in (facts | attributes).items() if v is not None})

    def beam(self, number: int = 1, *, points: list[Dataset] | None = None, **attributes: Any) -> Dataset:
        """A beam of two layers in pairs of control points, 3 + 1 weights in the first and 4 in the second."""
        if points is None:
            points = [
                self.control_point(
                    0,
                    120.0,
                    [3, 1],
                    GantryAngle=90.0,
                    PatientSupportAngle=10.0,
                    BeamLimitingDeviceAngle=0.0,
                    IsocenterPosition=[1.0, -4.0, 6.0],
                    CumulativeMetersetWeight=0.0,
                ),
                self.control_point(1, 120.0, [0, 0], CumulativeMetersetWeight=4.0),
                self.control_point(2, 110.0, [4], CumulativeMetersetWeight=4.0),
                self.control_point(3, 110.0, [0], CumulativeMetersetWeight=8.0),
            ]
        facts: dict[str, Any] = {
            "BeamNumber": number,
            "BeamName": f"field {number}",
            "RadiationType": "PROTON",
            "ScanMode": "MODULATED",
            "TreatmentDeliveryType": "TREATMENT",
            "PrimaryDosimeterUnit": "MU",
            "FinalCumulativeMetersetWeight": 8.0,
            "NumberOfControlPoints": len(points),
            "NumberOfRangeShifters": 0,
            "VirtualSourceAxisDistances": [2000.0, 1800.0],
            "ReferencedPatientSetupNumber": 1,
            "IonControlPointSequence": points,
        }
        return item(**{k: v for k, v in (facts | attributes).items() if v is not None})

    def plan(
        self, beams: list[Dataset] | None = None, *, meterset: float | None = 80.0, **attributes: Any
    ) -> FileDataset:
        beams = [self.beam()] if beams is None else beams
        references = [
            item(ReferencedBeamNumber=b.BeamNumber, **({} if meterset is None else {"BeamMeterset": meterset}))
            for b in beams
        ]
        facts: dict[str, Any] = {
            "RTPlanLabel": "liver",
            "IonBeamSequence": beams,
            "FractionGroupSequence": [
                item(FractionGroupNumber=1, NumberOfFractionsPlanned=25, ReferencedBeamSequence=references)
            ],
            "PatientSetupSequence": [item(PatientSetupNumber=1, PatientPosition="HFS")],
            "ApprovalStatus": "APPROVED",
        }
        return self.dataset(attributes.pop("sop_class", ION_PLAN), "RTPLAN", "plan", **(facts | attributes))

    def dose(
        self, stored: np.ndarray, position: Sequence[float] = (-10.0, -20.0, 0.0), **attributes: Any
    ) -> FileDataset:
        facts: dict[str, Any] = {
            "NumberOfFrames": stored.shape[0],
            "GridFrameOffsetVector": [2.5 * k for k in range(stored.shape[0])],
            "DoseUnits": "GY",
            "DoseType": "PHYSICAL",
            "DoseSummationType": "PLAN",
            "DoseGridScaling": 0.001,
            "ReferencedRTPlanSequence": [
                item(ReferencedSOPClassUID=ION_PLAN, ReferencedSOPInstanceUID=uid("RTPLAN", "plan"))
            ],
        }
        return self.image(DOSE, "RTDOSE", stored, position, **(facts | attributes))


@pytest.fixture(scope="session")
def samples() -> Samples:
    """Builder of small DICOM objects."""
    return Samples()
