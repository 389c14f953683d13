"""The range shifter of a scanned beam from its control points.

The beam names its shifters; control points say which is in, how thick it is in water and where it stands. A setting
holds until a later control point changes it. One slab that stays in place is what protonqa simulates; all else is a
reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protonqa.dicom.attributes import Attributes, clean_text
from protonqa.errors import GeometryError, InputError
from protonqa.values import Finding, RangeShifter, Severity

#: What descriptions call the materials of the material table.
_MATERIAL_WORDS = {
    "pmma": "pmma",
    "acryl": "pmma",
    "lucite": "pmma",
    "perspex": "pmma",
    "plexi": "pmma",
    "polyethylene": "polyethylene",
    "polystyrene": "polystyrene",
    "water": "water",
}
# A planning system may state the thickness layer by layer for the energy at hand.
_SAME_WET_MM = 1.0
_SAME_PLACE_MM = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """A shifter that is in the beam: its number, thickness and place, None where not stated."""

    number: int
    wet_mm: float | None
    distance_mm: float | None


def beam_range_shifter(
    item: Attributes,
    points: tuple[Attributes, ...],
    delivering: Sequence[int],
    beam_number: int,
    reasons: list[str],
    findings: list[Finding],
) -> RangeShifter | None:
    """The range shifter in the beam, or None.

    Parameters
    ----------
    item : Attributes
        Item of IonBeamSequence.
    points : tuple of Attributes
        Items of IonControlPointSequence.
    delivering : sequence of int
        Control points that deliver spots.
    beam_number : int
    reasons : list of str
        Gets why the beam cannot be evaluated: settings missing, several shifters, one that moves, one of impossible
        thickness or unknown place.
    findings : list of Finding
        Gets what was not stated and how it was filled in.

    Raises
    ------
    DicomError
        Attributes that cannot be read.
    """
    described = {one.optional_integer("RangeShifterNumber", -1): one for one in item.items("RangeShifterSequence")}
    names = {number: clean_text(one.text("RangeShifterID"), 16) for number, one in described.items()}
    declared = max(item.optional_integer("NumberOfRangeShifters", 0), len(described))
    if declared > 0 and not any(point.has("RangeShifterSettingsSequence") for point in points):
        reasons.append("a range shifter is named but its setting is missing")
        return None
    inside = _inside(points, delivering or range(len(points)))
    if not any(inside):
        return None
    first = inside[0]
    if any(not _alike(first, state) for state in inside):
        reasons.append("the range shifter moves during the beam")
        return None
    if len(first) > 1:
        called = ", ".join(names.get(state.number) or f"number {state.number}" for state in first)
        reasons.append(f"several range shifters are in the beam ({called})")
        return None
    state = first[0]
    distance = state.distance_mm
    if distance is None:
        distance = points[0].optional_number("SnoutPosition")
        if distance is None:
            reasons.append("the distance of its range shifter from the isocentre is missing")
            return None
        text = f"Beam {beam_number}: the place of its range shifter is not stated; it is taken to stand at the snout."
        findings.append(Finding(severity=Severity.WARNING, code="PLAN-RANGE-SHIFTER", text=text))
    material = _material(described.get(state.number))
    if not material:
        text = f"Beam {beam_number}: the material of its range shifter is not stated; PMMA of the same WET stands in."
        findings.append(Finding(severity=Severity.INFO, code="PLAN-RANGE-SHIFTER", text=text))
    try:
        return RangeShifter(
            name=names.get(state.number) or f"number {state.number}",
            wet_mm=state.wet_mm,
            distance_mm=distance,
            material=material,
        )
    except (InputError, GeometryError) as error:
        reasons.append(f"{error.what}: {error.got}")
        return None


def _inside(points: tuple[Attributes, ...], delivering: Sequence[int]) -> list[tuple[_State, ...]]:
    """Shifters that are in the beam, for each control point that delivers."""
    wanted, now = set(delivering), dict[int, _State | None]()
    found = []
    for index, point in enumerate(points):
        for setting in point.items("RangeShifterSettingsSequence"):
            number = setting.optional_integer("ReferencedRangeShifterNumber", -1)
            out = setting.text("RangeShifterSetting").upper() == "OUT"
            now[number] = None if out else _state(number, setting)
        if index in wanted:
            found.append(tuple(state for state in now.values() if state is not None))
    return found


def _state(number: int, setting: Attributes) -> _State:
    wet = setting.optional_number("RangeShifterWaterEquivalentThickness")
    # Zero is how some systems write "not stated"; a shifter that is in the beam has a thickness.
    return _State(
        number=number, wet_mm=wet or None, distance_mm=setting.optional_number("IsocenterToRangeShifterDistance")
    )


def _alike(one: tuple[_State, ...], other: tuple[_State, ...]) -> bool:
    """Whether the same shifters stand at the same place."""
    return len(one) == len(other) and all(
        a.number == b.number
        and _near(a.distance_mm, b.distance_mm, _SAME_PLACE_MM)
        and _near(a.wet_mm, b.wet_mm, _SAME_WET_MM)
        for a, b in zip(one, other, strict=True)
    )


def _near(a: float | None, b: float | None, tolerance_mm: float) -> bool:
    return a == b if a is None or b is None else abs(a - b) <= tolerance_mm


def _material(shifter: Attributes | None) -> str:
    """Name in the material table, or empty where the description does not say it."""
    if shifter is None:
        return ""
    text = f"{shifter.text('RangeShifterDescription')} {shifter.text('MaterialID')}".lower()
    return next((name for word, name in _MATERIAL_WORDS.items() if word in text), "")
