"""Frozen value objects, checked at construction: nothing above this layer passes bare arrays of unknown unit."""

from protonqa.values.calibration import BeamModel, Hlut
from protonqa.values.case import Case, DoseImage, PatientIdentity, PetImage, PetTiming, SeriesInfo
from protonqa.values.collections import CaseTable, ImageSeries, ImageSet, SettingsFile, TextDocument, TrainedModel
from protonqa.values.depth_profile import DepthProfile
from protonqa.values.grid import UNITS, Grid, Volume
from protonqa.values.plan import PATIENT_POSITIONS, Beam, EnergyLayer, IonPlan, RangeShifter
from protonqa.values.profiles import ProfileSet
from protonqa.values.result import (
    AnalysisResult,
    Bar,
    BarFigure,
    Figure,
    Finding,
    ImageFigure,
    LineFigure,
    Mark,
    Measurement,
    Series,
    Severity,
    State,
    Table,
)
from protonqa.values.structures import Structure, StructureSet
from protonqa.values.timeline import Timeline

__all__ = [
    "PATIENT_POSITIONS",
    "UNITS",
    "AnalysisResult",
    "Bar",
    "BarFigure",
    "Beam",
    "BeamModel",
    "Case",
    "CaseTable",
    "DepthProfile",
    "DoseImage",
    "EnergyLayer",
    "Figure",
    "Finding",
    "Grid",
    "Hlut",
    "ImageFigure",
    "ImageSeries",
    "ImageSet",
    "IonPlan",
    "LineFigure",
    "Mark",
    "Measurement",
    "PatientIdentity",
    "PetImage",
    "PetTiming",
    "ProfileSet",
    "RangeShifter",
    "Series",
    "SeriesInfo",
    "SettingsFile",
    "Severity",
    "State",
    "Structure",
    "StructureSet",
    "Table",
    "TextDocument",
    "Timeline",
    "TrainedModel",
    "Volume",
]
