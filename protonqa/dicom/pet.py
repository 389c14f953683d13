"""PET series to activity concentration, with its times and its state of decay correction."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from protonqa.dicom.attributes import Attributes, library_warnings, shown
from protonqa.dicom.image_series import ImageSeries, image_series
from protonqa.dicom.limits import DEFAULT_LIMITS, ReadLimits
from protonqa.dicom.pet_times import RADIOPHARMACEUTICAL, moment, moment_from_dt, zone_from_offset
from protonqa.dicom.series import Wanted
from protonqa.errors import DicomError, UnitsError
from protonqa.values import Finding, PetImage, PetTiming, Severity, Volume

_PET = "1.2.840.10008.5.1.4.1.1.128"
_ENHANCED = frozenset({"1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1"})

#: Why an image in another unit is not converted; the conversion needs facts that DICOM does not carry.
_REFUSED_UNITS = {
    "CNTS": "counts need the scanner's calibration factor",
    "NONE": "the image has no unit",
    "CM2": "the image is not activity",
    "PCNT": "percent of an unknown whole",
    "CPS": "count rates need the scanner's calibration factor",
    "PROPCPS": "proportional to count rates by an unknown factor",
    "PROPCNTS": "proportional to counts by an unknown factor",
    "GML": "standardised uptake values (SUV), scaled by body weight and injected dose",
    "CM2ML": "standardised uptake values (SUV), scaled by body surface and injected dose",
    "1CM": "the image is an attenuation map",
}


def _excluded(file: Attributes) -> str:
    if file.sop_class_uid in _ENHANCED:
        return "an enhanced multi-frame PET, which is not read; export it as single-slice PET"
    return ""


WANTED_PET = Wanted(
    what="PET",
    sop_classes=frozenset({_PET}) | _ENHANCED,
    modalities=frozenset({"PT"}),
    least_files=2,
    excluded=_excluded,
)


def read_pet(
    path: str | Path,
    *,
    limits: ReadLimits = DEFAULT_LIMITS,
    series: str | None = None,
    fill_one_slice: bool = False,
) -> tuple[PetImage, tuple[Finding, ...]]:
    """Read a static PET series in Bq/ml.

    Parameters
    ----------
    path : str or Path
        Folder (with sub-folders), zip archive or file. Other objects in it are ignored, and listed with a reason.
    limits : ReadLimits
    series : str or None
        SeriesInstanceUID, or number in the list an earlier error gave, where several PET series are there.
    fill_one_slice : bool
        Accept one missing slice and interpolate it, with a finding.

    Returns
    -------
    image : PetImage
        Values as stored (their decay correction is not undone: see ``pet_times.frame_activity_factor``), float32
        ``[z, y, x]``; negative values are kept.
    findings : tuple of Finding

    Raises
    ------
    UnitsError
        Units other than BQML, or none; unknown decay correction.
    DicomError, GeometryError, InputError
        Damaged, ambiguous, dynamic, sheared, with gaps, or beyond the limits.
    """
    findings: list[Finding] = []
    with (
        library_warnings(findings),
        image_series(
            path,
            WANTED_PET,
            _check_headers,
            _rescale,
            findings,
            limits=limits,
            series=series,
            fill_one_slice=fill_one_slice,
        ) as image,
    ):
        timing = _timing(image.used, findings)
        _check_slice_count(image)
        _note_values(image, timing, findings)
        volume = Volume(grid=image.stack.grid, array=image.values, unit="Bq/ml")
    return PetImage(volume=volume, timing=timing, info=image.info), tuple(findings)


def _check_headers(files: tuple[Attributes, ...]) -> None:
    for file in files:
        units = file.text("Units").upper()
        if units != "BQML":
            why = _REFUSED_UNITS.get(units, "")
            raise UnitsError(
                "the PET is not in Bq/ml and is not converted" + (f": {why}" if why else ""),
                got=f"Units {shown(units, 16)}" if units else "no attribute Units",
                expected="Units BQML",
                remedy="export the PET as activity concentration (BQML)",
            )
        if file.text("CountsSource").upper() == "TRANSMISSION":
            raise UnitsError("the PET is a transmission scan, not activity", expected="CountsSource EMISSION")
        kind = tuple(value.upper() for value in file.texts("SeriesType"))
        if "REPROJECTION" in kind:
            raise DicomError("the PET is a reprojection, not a volume", expected="SeriesType STATIC, IMAGE")
        correction = file.text("DecayCorrection").upper()
        if correction not in ("NONE", "START", "ADMIN"):
            raise UnitsError(
                "decay correction of the PET is missing or unknown",
                got=shown(correction, 16),
                expected="NONE, START or ADMIN",
            )
        _rescale(file)
    for keyword in ("Units", "DecayCorrection"):
        if len({file.text(keyword) for file in files}) > 1:
            raise DicomError(f"the slices of the PET disagree in {keyword}", expected="one value for the series")


def _rescale(file: Attributes) -> tuple[float, float]:
    slope = file.number("RescaleSlope")
    if slope <= 0:
        raise DicomError(f"RescaleSlope of {file.label} is not positive", got=f"{slope:g}", expected="above 0")
    return slope, file.optional_number("RescaleIntercept") or 0.0


def _check_slice_count(image: ImageSeries) -> None:
    """NumberOfSlices tells what a stack cannot: that its first or last slices are missing."""
    declared = image.used[0].optional_integer("NumberOfSlices", 0)
    have = sum(one is not None for one in image.stack.slices)
    if declared > 0 and declared != len(image.stack.slices):
        raise DicomError(
            "the PET is not complete: slices at its ends are missing or foreign",
            got=f"{have} slices",
            expected=f"NumberOfSlices {declared}",
            remedy="export the whole series again",
        )


def _timing(files: tuple[Attributes, ...], findings: list[Finding]) -> PetTiming:
    first = files[0]
    zone = zone_from_offset(first.text("TimezoneOffsetFromUTC"))
    start = _common_start(files, zone, findings)
    durations = {file.hint("ActualFrameDuration") for file in files}
    duration_ms = next(iter(durations)) if len(durations) == 1 else None
    factors = {file.hint("DecayFactor") for file in files}
    end, irradiation_s, given, half_life_s = _irradiation(first, zone, findings)
    return PetTiming(
        decay_correction=first.text("DecayCorrection").upper(),
        series_reference=moment(first.text("SeriesDate"), first.text("SeriesTime"), zone),
        frame_start=start,
        frame_duration_s=duration_ms / 1000.0 if duration_ms is not None and duration_ms > 0 else None,
        irradiation_end=end,
        irradiation_duration_s=irradiation_s,
        half_life_s=half_life_s,
        decay_factor=next(iter(factors)) if len(factors) == 1 else None,
        administration=given,
    )


def _common_start(files: tuple[Attributes, ...], zone: timezone | None, findings: list[Finding]) -> datetime | None:
    starts = [moment(file.text("AcquisitionDate"), file.text("AcquisitionTime"), zone) for file in files]
    known = [start for start in starts if start is not None]
    if not known:
        _warn(findings, "PET-TIME", "PET: the acquisition has no dated start; the file gives no time line.")
        return None
    spread_s = (max(known) - min(known)).total_seconds()
    if len(known) < len(starts) or spread_s > 1.0:
        _warn(
            findings,
            "PET-BEDS",
            f"PET: its slices were acquired at different times (spread {spread_s:.0f} s, bed positions); "
            "the file gives no single time line.",
        )
        return None
    return min(known)


def _irradiation(
    file: Attributes, zone: timezone | None, findings: list[Finding]
) -> tuple[datetime | None, float | None, datetime | None, float | None]:
    """End and duration (s) of the irradiation, time of an administration, half-life (s): what the file has of them."""
    items = file.items("RadiopharmaceuticalInformationSequence")
    if len(items) != 1:
        return None, None, None, None
    item = items[0]
    half_life_s = item.hint("RadionuclideHalfLife")
    start, start_zone = moment_from_dt(item.text("RadiopharmaceuticalStartDateTime"), zone)
    stop, stop_zone = moment_from_dt(item.text("RadiopharmaceuticalStopDateTime"), zone)
    beam_made = item.text("Radiopharmaceutical").strip().casefold() == RADIOPHARMACEUTICAL
    if not beam_made:
        return None, None, start, half_life_s
    if start is None or stop is None:
        _warn(findings, "PET-TIME", "PET: start or end of the irradiation is not dated; the file gives no time line.")
        return None, None, None, half_life_s
    if zone is None and (start_zone or stop_zone):
        _warn(
            findings,
            "PET-ZONE",
            "PET: the irradiation names a time zone and the acquisition does not; the file gives no time line.",
        )
        return None, None, None, half_life_s
    return stop, (stop - start).total_seconds(), None, half_life_s


def _note_values(image: ImageSeries, timing: PetTiming, findings: list[Finding]) -> None:
    values = image.values
    negative = int(np.count_nonzero(values < 0))
    if negative:
        total = float(np.abs(values).sum(dtype=np.float64))
        share = -float(values[values < 0].sum(dtype=np.float64)) / total
        text = (
            f"PET: {negative} voxels ({100 * negative / values.size:.1f} %) are negative, {100 * share:.1f} % of the "
            "summed magnitude; they are kept."
        )
        findings.append(Finding(severity=Severity.INFO, code="PET-NEGATIVE", text=text))
    if any(file.optional_number("RescaleIntercept") for file in image.used):
        _warn(findings, "PET-INTERCEPT", "PET: RescaleIntercept is not 0, which the standard asks for; it was applied.")
    corrected = {value.upper() for value in image.used[0].texts("CorrectedImage")}
    if corrected and "ATTN" not in corrected:
        _warn(findings, "PET-ATTENUATION", "PET: not corrected for attenuation; depth profiles are distorted.")
    _note_decay(image.used, timing, findings)


def _note_decay(files: tuple[Attributes, ...], timing: PetTiming, findings: list[Finding]) -> None:
    if timing.decay_correction == "NONE":
        return
    factors = {file.hint("DecayFactor") for file in files}
    if len(factors) > 1:
        _warn(
            findings,
            "PET-DECAY",
            "PET: each bed position was decay-corrected by another factor; with a mix of nuclides their relative "
            "activity is not known.",
        )
    elif None in factors or timing.half_life_s is None:
        _warn(
            findings,
            "PET-DECAY",
            f"PET: decay-corrected ({timing.decay_correction}) without half-life or factor; its shape can be used, "
            "its absolute activity cannot.",
        )
    else:
        _warn(
            findings,
            "PET-DECAY",
            f"PET: decay-corrected ({timing.decay_correction}) with one half-life of {timing.half_life_s:g} s, which a "
            "mix of nuclides does not have; one factor for all voxels, so the shape is not affected.",
        )


def _warn(findings: list[Finding], code: str, text: str) -> None:
    findings.append(Finding(severity=Severity.WARNING, code=code, text=text))
