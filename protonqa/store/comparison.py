"""Two stored results side by side, measurement by measurement, across versions of program and analysis too.

Rests on the tables of measurements and provenance alone, so results whose JSON is of another version compare as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protonqa.store.connection import Store
from protonqa.store.reading import stored_result
from protonqa.store.values import StoredFile, StoredMeasurement, StoredResult


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementPair:
    """One quantity in both results.

    Parameters
    ----------
    difference : float or None
        Second minus first; None where a value is missing or the units differ.
    intervals_overlap : bool or None
        None where one of them has no interval or the units differ. Intervals that do not meet are a change; that they
        meet is not a proof of sameness.
    note : str
        ``only in the first``, ``only in the second``, ``units differ``, ``no value`` or empty.
    """

    part: str
    name: str
    title: str
    first: StoredMeasurement | None
    second: StoredMeasurement | None
    difference: float | None = None
    intervals_overlap: bool | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A plain fact that differs; empty text where it is absent."""

    name: str
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two results have in common and what not.

    ``same_inputs`` is None where not both know the hashes of the same inputs.
    """

    first: StoredResult
    second: StoredResult
    measurements: tuple[MeasurementPair, ...]
    facts: tuple[Change, ...]
    parameters: tuple[Change, ...]
    versions: tuple[Change, ...]
    findings_gone: tuple[str, ...]
    findings_new: tuple[str, ...]
    same_inputs: bool | None

    @property
    def same(self) -> bool:
        """True when states are equal and every measurement has the same value, unit and interval."""
        return self.first.row.state == self.second.row.state and all(_equal(pair) for pair in self.measurements)


_FACTS = (
    "analysis",
    "analysis_version",
    "program_version",
    "tables_version",
    "state",
    "reason",
    "device_kind",
    "device_label",
    "seed",
    "computer",
    "machine",
    "site",
    "field",
    "patient",
)


def compare(store: Store, first: int, second: int) -> Comparison:
    """Compare two stored results by their numbers.

    Raises
    ------
    InputError
        There is no such result.
    StoreError
    """
    return compare_stored(stored_result(store, first), stored_result(store, second))


def compare_stored(first: StoredResult, second: StoredResult) -> Comparison:
    """As `compare`, of results that were read already, from one store or two."""
    one, two = ({(f.part, f.severity, f.code, f.text) for f in result.findings} for result in (first, second))
    facts = {name: (str(getattr(first.row, name)), str(getattr(second.row, name))) for name in _FACTS}
    return Comparison(
        first=first,
        second=second,
        measurements=_pairs(first.measurements, second.measurements),
        facts=tuple(Change(name=name, first=a, second=b) for name, (a, b) in facts.items() if a != b),
        parameters=_changes(first.parameters, second.parameters),
        versions=_changes(first.versions, second.versions),
        findings_gone=_texts(one - two),
        findings_new=_texts(two - one),
        same_inputs=_same_inputs(first.inputs, second.inputs),
    )


def _pairs(first: tuple[StoredMeasurement, ...], second: tuple[StoredMeasurement, ...]) -> tuple[MeasurementPair, ...]:
    ours, theirs = ({(one.part, one.name): one for one in many} for many in (first, second))
    # In the order of the first, then what only the second has.
    return tuple(_pair(key, ours.get(key), theirs.get(key)) for key in dict.fromkeys((*ours, *theirs)))


def _pair(key: tuple[str, str], first: StoredMeasurement | None, second: StoredMeasurement | None) -> MeasurementPair:
    title = next((one.title for one in (second, first) if one is not None and one.title), key[1])
    facts: dict[str, Any] = {"part": key[0], "name": key[1], "title": title, "first": first, "second": second}
    if first is None or second is None:
        return MeasurementPair(**facts, note="only in the second" if first is None else "only in the first")
    if first.unit != second.unit:
        return MeasurementPair(**facts, note="units differ")
    if first.value is None or second.value is None:
        same = first.value is second.value
        return MeasurementPair(**facts, note="no value in both" if same else "no value in one of them")
    return MeasurementPair(**facts, difference=second.value - first.value, intervals_overlap=_overlap(first, second))


def _overlap(first: StoredMeasurement, second: StoredMeasurement) -> bool | None:
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return None
    return first.low <= second.high and second.low <= first.high


def _equal(pair: MeasurementPair) -> bool:
    if pair.first is None or pair.second is None:
        return False
    names = ("value", "unit", "low", "high", "confidence")
    return all(getattr(pair.first, name) == getattr(pair.second, name) for name in names)


def _changes(first: Mapping[str, str], second: Mapping[str, str]) -> tuple[Change, ...]:
    names = sorted({*first, *second})
    pairs = [(name, first.get(name, ""), second.get(name, "")) for name in names]
    return tuple(Change(name=name, first=a, second=b) for name, a, b in pairs if a != b)


def _texts(findings: set[tuple[str, str, str, str]]) -> tuple[str, ...]:
    return tuple(f"{severity} {code}: {text}" for _, severity, code, text in sorted(findings))


def _same_inputs(first: tuple[StoredFile, ...], second: tuple[StoredFile, ...]) -> bool | None:
    ours, theirs = ({one.name: one.sha256 for one in many} for many in (first, second))
    if not ours or set(ours) != set(theirs):
        return None
    return ours == theirs
