"""CT series to Hounsfield units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protonqa.dicom.attributes import Attributes, library_warnings, shown
from protonqa.dicom.image_series import ImageSeries, image_series
from protonqa.dicom.limits import DEFAULT_LIMITS, ReadLimits
from protonqa.dicom.series import Wanted
from protonqa.errors import DicomError, UnitsError
from protonqa.values import PATIENT_POSITIONS, Finding, SeriesInfo, Severity, Volume

#: Air; whatever lies below (padding outside the field of view, noise in air) is set to it.
AIR_HU = -1000.0
#: Padding above this value cannot be tissue or metal and is set to air as well.
_PADDING_ABOVE_HU = 4000.0

_CT = "1.2.840.10008.5.1.4.1.1.2"
_ENHANCED = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})


def _excluded(file: Attributes) -> str:
    if file.sop_class_uid in _ENHANCED:
        return "an enhanced multi-frame CT, which is not read; export it as single-slice CT"
    if "LOCALIZER" in (value.upper() for value in file.texts("ImageType")):
        return "a CT localiser"
    return ""


WANTED_CT = Wanted(
    what="CT",
    sop_classes=frozenset({_CT}) | _ENHANCED,
    modalities=frozenset({"CT"}),
    least_files=2,
    excluded=_excluded,
)


def read_ct(
    path: str | Path,
    *,
    limits: ReadLimits = DEFAULT_LIMITS,
    series: str | None = None,
    fill_one_slice: bool = False,
) -> tuple[Volume, SeriesInfo, tuple[Finding, ...]]:
    """Read a CT series.

    Parameters
    ----------
    path : str or Path
        Folder (with sub-folders), zip archive or file. Other objects in it are ignored, and listed with a reason.
    limits : ReadLimits
    series : str or None
        SeriesInstanceUID, or number in the list an earlier error gave, where several CT series are there.
    fill_one_slice : bool
        Accept one missing slice and interpolate it, with a finding.

    Returns
    -------
    volume : Volume
        HU, float32 ``[z, y, x]``; values below -1000 are set to -1000.
    info : SeriesInfo
    findings : tuple of Finding

    Raises
    ------
    DicomError, GeometryError, UnitsError, InputError
        Damaged, ambiguous, sheared, with gaps, not in HU, or beyond the limits.
    """
    findings: list[Finding] = []
    with (
        library_warnings(findings),
        image_series(
            path,
            WANTED_CT,
            _check_headers,
            _rescale,
            findings,
            limits=limits,
            series=series,
            fill_one_slice=fill_one_slice,
        ) as image,
    ):
        values = _clip(image, findings)
        _note_headers(image, findings)
        volume = Volume(grid=image.stack.grid, array=values, unit="HU")
    return volume, image.info, tuple(findings)


def _check_headers(files: tuple[Attributes, ...]) -> None:
    for file in files:
        kind = file.text("RescaleType").upper()
        if kind not in ("", "HU"):
            raise UnitsError(
                f"the CT is not in Hounsfield units: RescaleType of {file.label}",
                got=shown(kind),
                expected="HU",
                remedy="export the CT in HU",
            )
        _rescale(file)


def _rescale(file: Attributes) -> tuple[float, float]:
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        if not file.has(keyword):
            raise UnitsError(
                f"the CT is not in Hounsfield units: attribute {keyword} of {file.label} is missing",
                expected="RescaleSlope and RescaleIntercept in every slice",
            )
    slope, intercept = file.number("RescaleSlope"), file.number("RescaleIntercept")
    if slope <= 0:
        raise DicomError(f"RescaleSlope of {file.label} is not positive", got=f"{slope:g}", expected="above 0")
    return slope, intercept


def _clip(image: ImageSeries, findings: list[Finding]) -> NDArray[np.float32]:
    values = image.values
    if image.padding is not None:
        high = image.padding & (values > _PADDING_ABOVE_HU)
        middle = int(np.count_nonzero(image.padding & (values > AIR_HU) & ~high))
        values[high] = AIR_HU
        if high.any():
            text = f"CT: {int(np.count_nonzero(high))} padded voxels above {_PADDING_ABOVE_HU:g} HU were set to air."
            findings.append(Finding(severity=Severity.INFO, code="CT-PADDING", text=text))
        if middle:
            text = f"CT: {middle} voxels equal PixelPaddingValue though it is a tissue value; they were kept."
            findings.append(Finding(severity=Severity.WARNING, code="CT-PADDING-VALUE", text=text))
    below = values < AIR_HU
    count = int(np.count_nonzero(below))
    if count:
        text = (
            f"CT: {count} voxels ({100 * count / values.size:.1f} %) below {AIR_HU:g} HU, down to "
            f"{float(values.min()):g} HU, were set to {AIR_HU:g} HU."
        )
        values[below] = AIR_HU
        findings.append(Finding(severity=Severity.INFO, code="CT-CLIPPED", text=text))
    return values


def _note_headers(image: ImageSeries, findings: list[Finding]) -> None:
    def add(code: str, text: str) -> None:
        findings.append(Finding(severity=Severity.WARNING, code=code, text=text))

    if any(file.has("ContrastBolusAgent") or file.has("ContrastBolusAgentSequence") for file in image.used):
        add("CT-CONTRAST", "CT: taken with a contrast agent, which raises HU and with it the computed range.")
    if any(file.text("LossyImageCompression") == "01" for file in image.used):
        add("CT-LOSSY", "CT: the images went through lossy compression.")
    if image.info.patient_position not in PATIENT_POSITIONS:
        add("CT-POSITION", "CT: the patient position is missing or unknown; world coordinates do not depend on it.")
