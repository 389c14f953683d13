"""Value objects of the results store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from protonqa.errors import InputError

#: Labels that an amendment can correct.
LABELS = ("machine", "site", "field", "patient")
AMENDMENTS = ("comment", "exclude", "include", "label")
_MOST_LETTERS = 200


def label_text(name: str, text: str) -> str:
    """A label on one line.

    Raises
    ------
    InputError
        It is longer than a label can be.
    """
    line = " ".join(text.split())
    if len(line) > _MOST_LETTERS:
        raise InputError(
            f"the label {name} is too long", got=f"{len(line)} letters", expected=f"at most {_MOST_LETTERS}"
        )
    return line


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What a result is about, for finding it and for its trend.

    Parameters
    ----------
    machine, site, field : str
        Treatment machine, treatment site and field, in the clinic's own words.
    patient : str
        A pseudonym, never a name or patient id; see ``protonqa.store.pseudonym``.
    performed : datetime or None
        When the measurement was made, with time zone; None takes the start of the analysis.
    """

    machine: str = ""
    site: str = ""
    field: str = ""
    patient: str = ""
    performed: datetime | None = None

    def __post_init__(self) -> None:
        for name in LABELS:
            object.__setattr__(self, name, label_text(name, getattr(self, name)))
        if self.performed is not None and self.performed.tzinfo is None:
            raise InputError("the time of a result has no time zone", expected="a time with its zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file that belongs to a result: an artefact of its folder or an input it was computed from.

    ``files`` counts what a folder given as one input holds; `sha256` is then taken over the sorted hashes of its
    files, so that no file name enters.
    """

    name: str
    size_bytes: int
    sha256: str
    description: str = ""
    files: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAs:
    """Under which number and identifier something was stored; ``new`` is False where it was there already."""

    number: int
    uid: str
    new: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMeasurement:
    """A measurement of a stored result.

    ``part`` is empty for the whole result, else the place of the part: "1", "2", "2.1".
    """

    part: str
    field: str
    name: str
    title: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    confidence: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFinding:
    """A finding of a stored result."""

    part: str
    severity: str
    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One stored result as listed: labels are the amended ones."""

    number: int
    uid: str
    analysis: str
    analysis_version: str
    title: str
    state: str
    reason: str
    program_version: str
    tables_version: str
    device_kind: str
    device_label: str
    seed: str
    performed_utc: datetime
    saved_utc: datetime
    saved_by: str
    computer: str
    machine: str
    site: str
    field: str
    patient: str
    excluded: bool
    amendments: int
    sha256: str
    measurements: tuple[StoredMeasurement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """What was added to a stored result later; the result itself never changes."""

    kind: str
    target: str
    value: str
    text: str
    made_utc: datetime
    made_by: str
    computer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """Everything the store knows of one result but its figures and tables, which `load_result` gives."""

    row: ResultRow
    measurements: tuple[StoredMeasurement, ...]
    findings: tuple[StoredFinding, ...]
    artefacts: tuple[StoredFile, ...]
    inputs: tuple[StoredFile, ...]
    versions: dict[str, str]
    parameters: dict[str, str]
    amendments: tuple[Amendment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which results to list; an empty text matches all. Labels are compared as amended, without regard to case."""

    analysis: str = ""
    state: str = ""
    machine: str = ""
    site: str = ""
    field: str = ""
    patients: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    program_version: str = ""
    excluded: bool | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        for name in ("since", "until"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise InputError(f"'{name}' has no time zone", expected="a time with its zone")
        if self.limit is not None and self.limit < 1:
            raise InputError("the number of results to list is too small", got=str(self.limit), expected="1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommissioningRow:
    """One stored acceptance test."""

    number: int
    uid: str
    analysis: str
    analysis_version: str
    program_version: str
    tables_version: str
    device_kind: str
    device_label: str
    computer: str
    seed: str
    quick: bool
    passed: bool
    saved_utc: datetime
    saved_by: str
    checks: int
    checks_passed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCheck:
    """Outcome of a full look at a database: ``problems`` is empty when all is well."""

    results: int
    amendments: int
    commissionings: int
    schema: str
    problems: tuple[str, ...] = field(default=())
