"""`history`: what was stored, one result in full, two side by side, amendments, export."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from protonqa.app.moments import moment
from protonqa.app.store_address import store_address
from protonqa.errors import InputError
from protonqa.store import Comparison, HistoryFilter, ResultRow, Store, open_store
from protonqa.store.comparison import compare
from protonqa.store.location import data_folder
from protonqa.store.reading import commissionings, find_result, history, load_result, stored_result
from protonqa.store.values import AMENDMENTS, CommissioningRow, StoredAs, StoredResult
from protonqa.store.writing import amend
from protonqa.values import AnalysisResult


class HistoryQuery(BaseModel):
    """Which stored results; what is left out matches all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    analysis: str = Field("", description="Name of the analysis.")
    state: Literal["", "PASS", "FAIL", "NOT EVALUABLE", "ERROR"] = Field("", description="State of the result.")
    machine: str = Field("", description="Treatment machine.")
    site: str = Field("", description="Treatment site.")
    field: str = Field("", description="Field.")
    patient: str = Field("", description="Pseudonym or patient id.")
    since: str = Field("", description="First day or time, such as 2026-11-01.")
    until: str = Field("", description="Last day, or time, such as 2026-11-30.")
    version: str = Field("", description="Version of protonqa.")

    def to_filter(self, *, limit: int | None = None, excluded: bool | None = None) -> HistoryFilter:
        """As the store asks for it.

        Raises
        ------
        InputError
            A date that is none.
        """
        from protonqa.store.pseudonym import patients_meant

        return HistoryFilter(
            analysis=self.analysis,
            state=self.state,
            machine=self.machine,
            site=self.site,
            field=self.field,
            patients=patients_meant(self.patient, data_folder()) if self.patient.strip() else (),
            since=moment(self.since) if self.since else None,
            until=moment(self.until, end=True) if self.until else None,
            program_version=self.version,
            excluded=excluded,
            limit=limit,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryList:
    """Stored results, newest first; ``more`` says that there are older ones."""

    rows: tuple[ResultRow, ...]
    more: bool

    def to_plain(self) -> dict[str, Any]:
        """JSON types with the key ``results``."""
        return {"results": [row_to_plain(row) for row in self.rows], "more": self.more}


def switched_off() -> InputError:
    """The error of a command that needs the store."""
    return InputError(
        "the results store is switched off", remedy="name another in PROTONQA_STORE, or change the site file"
    )


@contextmanager
def opened_store(*, create: bool = False) -> Iterator[Store]:
    """The configured store.

    Raises
    ------
    InputError
        Storing is switched off.
    StoreError
        There is none yet, or it cannot be used.
    """
    address = store_address()
    if address is None:
        raise switched_off()
    with open_store(address, create=create) as store:
        yield store


def list_history(query: HistoryQuery, *, limit: int = 50) -> HistoryList:
    """The newest results that `query` selects.

    Raises
    ------
    InputError, StoreError
    """
    with opened_store() as store:
        rows = history(store, query.to_filter(limit=limit + 1))
    return HistoryList(rows=rows[:limit], more=len(rows) > limit)


def show(reference: str) -> StoredResult:
    """Everything known of one result but figures and tables.

    Raises
    ------
    InputError, StoreError
    """
    with opened_store() as store:
        return stored_result(store, find_result(store, reference))


def write_again(reference: str, out: Path, *, report: bool = True) -> AnalysisResult:
    """Write a stored result into a folder once more: result.json, and the report without the patient's identity.

    Raises
    ------
    InputError, StoreError
    """
    from protonqa.analyses.result_json import result_to_json
    from protonqa.analyses.run_folder import RESULT, staged_folder
    from protonqa.files.atomic import write_text_atomic
    from protonqa.report.files import write_report

    with opened_store() as store:
        result = load_result(store, find_result(store, reference))
    with staged_folder(out) as folder:
        write_text_atomic(folder / RESULT, result_to_json(result))
        if report:
            write_report(result, folder)
    return result


def compare_results(first: str, second: str) -> Comparison:
    """Two stored results, measurement by measurement.

    Raises
    ------
    InputError, StoreError
    """
    with opened_store() as store:
        return compare(store, find_result(store, first), find_result(store, second))


def amend_result(
    reference: str, kind: str, *, text: str, target: str = "", value: str = "", by: str = ""
) -> StoredResult:
    """Add to a stored result; see ``protonqa.store.amend``.

    Raises
    ------
    InputError, StoreError
    """
    if kind not in AMENDMENTS:
        raise InputError("unknown kind of amendment", got=repr(kind)[:40], expected=", ".join(AMENDMENTS))
    with opened_store() as store:
        number = find_result(store, reference)
        amend(store, number, kind, text=text, target=target, value=value, by=by)
        return stored_result(store, number)


def add_folders(folders: tuple[Path, ...], labels: tuple[str, ...] = ()) -> tuple[StoredAs, ...]:
    """Store the results of folders that were written earlier.

    Raises
    ------
    InputError, StoreError
        The first folder that has no whole result; those before it are stored.
    """
    from protonqa.app.labels import parse_labels
    from protonqa.app.recording import record_folder

    known = parse_labels(labels)
    with opened_store(create=True) as store:
        return tuple(record_folder(store, folder, known) for folder in folders)


def export_history(out: Path, *, table: str, query: HistoryQuery) -> int:
    """Write a table as CSV or Parquet; returns the number of rows.

    Raises
    ------
    InputError, StoreError
    """
    from protonqa.store.exporting import export

    with opened_store() as store:
        return export(store, out, table, query.to_filter())


def list_commissionings(analysis: str = "", *, limit: int = 50) -> tuple[CommissioningRow, ...]:
    """The newest acceptance tests.

    Raises
    ------
    InputError, StoreError
    """
    with opened_store() as store:
        return commissionings(store, analysis=analysis, limit=limit)


def row_to_plain(row: ResultRow) -> dict[str, Any]:
    """A listed result as JSON types; its measurements by name."""
    plain = _plain(asdict(row))
    plain["measurements"] = {
        one.name: {"value": one.value, "unit": one.unit, "low": one.low, "high": one.high} for one in row.measurements
    }
    return plain


def stored_to_plain(found: StoredResult) -> dict[str, Any]:
    """Everything known of a result as JSON types."""
    return {
        **row_to_plain(found.row),
        "all_measurements": [_plain(asdict(one)) for one in found.measurements],
        "findings": [_plain(asdict(one)) for one in found.findings],
        "artefacts": [_plain(asdict(one)) for one in found.artefacts],
        "inputs": [_plain(asdict(one)) for one in found.inputs],
        "versions": dict(found.versions),
        "parameters": {name: json.loads(value) for name, value in found.parameters.items()},
        "amendments_made": [_plain(asdict(one)) for one in found.amendments],
    }


def comparison_to_plain(found: Comparison) -> dict[str, Any]:
    """A comparison as JSON types."""
    return {
        "first": row_to_plain(found.first.row),
        "second": row_to_plain(found.second.row),
        "same": found.same,
        "same_inputs": found.same_inputs,
        "measurements": [_plain(asdict(one)) for one in found.measurements],
        **{name: [_plain(asdict(one)) for one in getattr(found, name)] for name in ("facts", "parameters", "versions")},
        "findings_gone": list(found.findings_gone),
        "findings_new": list(found.findings_new),
    }


def commissioning_to_plain(row: CommissioningRow) -> dict[str, Any]:
    """A listed acceptance test as JSON types."""
    return _plain(asdict(row))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in values.items()}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Mapping):
        return _plain(value)
    return [_value(one) for one in value] if isinstance(value, (list, tuple)) else value
