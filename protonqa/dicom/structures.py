"""RT Structure Set to closed contours; what is left out is counted, never named."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protonqa.dicom.attributes import Attributes, clean_text, library_warnings
from protonqa.dicom.limits import DEFAULT_LIMITS, ReadLimits
from protonqa.dicom.series import Wanted, choose, scan, series_info
from protonqa.dicom.sources import open_sources
from protonqa.errors import DicomError, InputError
from protonqa.values import Finding, SeriesInfo, Severity, Structure, StructureSet

WANTED_STRUCTURES = Wanted(
    what="RT Structure Set",
    sop_classes=frozenset({"1.2.840.10008.5.1.4.1.1.481.3"}),
    modalities=frozenset({"RTSTRUCT"}),
    by_instance=True,
    needs=("StructureSetROISequence", "StructureSetLabel"),
)

#: No patient is larger: a coordinate beyond it is damaged.
_FARTHEST_MM = 10_000.0


@dataclass(slots=True)
class _Tally:
    """What was taken, against the limits, and what was left out and why."""

    limits: ReadLimits
    contours: int = 0
    points: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def take(self, points: int) -> None:
        self.contours += 1
        self.points += points
        for need, limit, what in (
            (self.contours, self.limits.max_contours, "contours"),
            (self.points, self.limits.max_contour_points, "contour points"),
        ):
            if need > limit:
                raise InputError(
                    f"the RT Structure Set has too many {what}", got=f"at least {need}", expected=f"at most {limit}"
                )


def read_structures(
    path: str | Path,
    *,
    frame_of_reference_uid: str = "",
    limits: ReadLimits = DEFAULT_LIMITS,
    series: str | None = None,
) -> tuple[StructureSet, SeriesInfo, tuple[Finding, ...]]:
    """Read an RT Structure Set.

    Parameters
    ----------
    path : str or Path
        The file, or a folder or zip archive that holds exactly one.
    frame_of_reference_uid : str
        Only structures of this frame are kept; empty: that of the file.
    limits : ReadLimits
    series : str or None
        SOPInstanceUID, or number in the list an earlier error gave, where several are there.

    Returns
    -------
    structures : StructureSet
        Contours of type CLOSED_PLANAR, LPS mm. Other types, contours with damaged numbers and structures of another
        frame are left out; findings count them.
    info : SeriesInfo
    findings : tuple of Finding

    Raises
    ------
    DicomError, InputError
        Damaged, ambiguous, or beyond the limits.
    """
    findings: list[Finding] = []
    with library_warnings(findings), open_sources(path, "RT Structure Set", limits) as sources:
        result = scan(sources, WANTED_STRUCTURES, limits)
        files = choose(result, WANTED_STRUCTURES, series).files
        findings.extend(result.findings)
        info = series_info(files, result.ignored, "RTSTRUCT", findings)
        structures = _structure_set(files[0].attributes, frame_of_reference_uid, limits, findings)
    return structures, info, tuple(findings)


def _structure_set(file: Attributes, frame: str, limits: ReadLimits, findings: list[Finding]) -> StructureSet:
    references = file.items("ReferencedFrameOfReferenceSequence")
    rois = file.items("StructureSetROISequence")
    if len(rois) > limits.max_structures:
        raise InputError(
            "the RT Structure Set has too many structures",
            got=str(len(rois)),
            expected=f"at most {limits.max_structures}",
        )
    # The frame of the file itself is optional (PS3.3 A.19.3); the references and each structure name it.
    own = next((one.uid("FrameOfReferenceUID") for one in references), "") or file.uid("FrameOfReferenceUID")
    own = own or next((roi.uid("ReferencedFrameOfReferenceUID") for roi in rois), "")
    wanted = frame or own
    drawn = _drawn(file, findings)
    tally, found, strangers = _Tally(limits), {}, 0
    for roi in rois:
        number = _number(roi, "ROINumber")
        if number is None or number in found:
            tally.left_out["structures without a number of their own"] += 1
        elif (roi.uid("ReferencedFrameOfReferenceUID") or own) != wanted:
            strangers += 1
        else:
            found[number] = _structure(roi, number, drawn.get(number), tally)
    _tell(found, strangers, tally, findings)
    return StructureSet(
        structures=tuple(found.values()),
        frame_of_reference_uid=wanted,
        referenced_series_uid=_series_uid(references),
    )


def _number(item: Attributes, keyword: str) -> int | None:
    try:
        return item.integer(keyword)
    except DicomError:
        return None


def _drawn(file: Attributes, findings: list[Finding]) -> dict[int, Attributes]:
    """Items of ROIContourSequence by the number of their structure; the first of two counts."""
    drawn: dict[int, Attributes] = {}
    doubled = 0
    for item in file.items("ROIContourSequence"):
        number = _number(item, "ReferencedROINumber")
        if number is None or number in drawn:
            doubled += 1
        else:
            drawn[number] = item
    if doubled:
        _warn(findings, f"{doubled} sets of contours belong to no structure, or to one that has contours already.")
    return drawn


def _series_uid(references: tuple[Attributes, ...]) -> str:
    """The series the structures were drawn on, where the file names exactly one."""
    named = {
        series.uid("SeriesInstanceUID")
        for frame in references
        for study in frame.items("RTReferencedStudySequence")
        for series in study.items("RTReferencedSeriesSequence")
    }
    return named.pop() if len(named) == 1 else ""


def _structure(roi: Attributes, number: int, drawn: Attributes | None, tally: _Tally) -> Structure:
    contours = []
    for item in () if drawn is None else drawn.items("ContourSequence"):
        kind = item.text("ContourGeometricType").upper()
        if kind != "CLOSED_PLANAR":
            tally.left_out["contours of another type than CLOSED_PLANAR"] += 1
            continue
        points, reason = _points(item, tally)
        if points is None:
            tally.left_out[reason] += 1
        else:
            contours.append(points)
    return Structure(
        name=clean_text(roi.text("ROIName")),
        number=number,
        colour_rgb=None if drawn is None else _colour(drawn),
        contours=tuple(contours),
    )


def _points(item: Attributes, tally: _Tally) -> tuple[NDArray[np.float64] | None, str]:
    """(n, 3) LPS mm, or None and the reason."""
    try:
        tally.take((item.count("ContourData") + 2) // 3)
        numbers = item.decimals("ContourData")
    except DicomError:
        return None, "contours with values that are no numbers"
    if not np.isfinite(numbers).all() or (np.abs(numbers) > _FARTHEST_MM).any():
        return None, "contours with values that are not finite or beyond 10 m"
    if numbers.size % 3:
        return None, "contours whose coordinates are not three a point"
    points = numbers.reshape(-1, 3)
    if len(points) < 3:
        return None, "contours of fewer than 3 points"
    declared = item.hint("NumberOfContourPoints")
    if declared is not None and declared != len(points):
        return None, "contours with another number of points than they declare"
    return points, ""


def _colour(drawn: Attributes) -> tuple[int, int, int] | None:
    try:
        red, green, blue = (int(one) for one in drawn.numbers("ROIDisplayColor", 3))
    except DicomError:
        return None
    return (red, green, blue) if all(0 <= one <= 255 for one in (red, green, blue)) else None


def _tell(found: dict[int, Structure], strangers: int, tally: _Tally, findings: list[Finding]) -> None:
    if strangers:
        text = f"RT Structure Set: {strangers} structure(s) lie in another frame of reference and were left out."
        findings.append(Finding(severity=Severity.WARNING, code="STRUCTURES-FRAME", text=text))
    if tally.left_out:
        _warn(findings, "left out were " + ", ".join(f"{n} {what}" for what, n in sorted(tally.left_out.items())) + ".")
    empty = sum(not one.contours for one in found.values())
    if empty:
        text = f"RT Structure Set: {empty} structure(s) have no closed contour."
        findings.append(Finding(severity=Severity.INFO, code="STRUCTURES-EMPTY", text=text))


def _warn(findings: list[Finding], text: str) -> None:
    text = f"RT Structure Set: {text}"
    findings.append(Finding(severity=Severity.WARNING, code="STRUCTURES-LEFT-OUT", text=text))
