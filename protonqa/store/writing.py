"""Putting results, amendments and acceptance tests into the store. Rows are added, never changed."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import re
import secrets
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Insert, Row, select
from sqlalchemy.exc import IntegrityError

from protonqa import __version__
from protonqa.analyses.commissioning import commissioning_to_plain
from protonqa.analyses.interface import Commissioning
from protonqa.analyses.result_json import result_to_json
from protonqa.device import Device
from protonqa.errors import InputError, StoreError
from protonqa.store import schema
from protonqa.store.connection import Store
from protonqa.store.rows import fact_rows, file_rows, finding_rows, measurement_rows, printable
from protonqa.store.values import AMENDMENTS, LABELS, Labels, StoredAs, StoredFile, label_text
from protonqa.tables import TABLES_VERSION
from protonqa.values import AnalysisResult

DEFLATE = "deflate"
_UID = re.compile(r"[0-9a-f]{32}")
_NO_LABELS = Labels()
_UNIQUE_VIOLATION = "23505"


def save_result(
    store: Store,
    result: AnalysisResult,
    *,
    labels: Labels = _NO_LABELS,
    artefacts: Iterable[StoredFile] = (),
    inputs: Iterable[StoredFile] = (),
    uid: str | None = None,
    by: str = "",
) -> StoredAs:
    """Store a result: whole as JSON, and its measurements, findings, files and provenance for searching.

    Parameters
    ----------
    store : Store
    result : AnalysisResult
        In any state.
    labels : Labels
    artefacts, inputs : iterable of StoredFile
    uid : str or None
        32 hexadecimal digits. Storing the same result under the same one again changes nothing, so a work that was
        interrupted can be repeated; None draws one.
    by : str
        Who; the user of the computer where empty.

    Raises
    ------
    StoreError
        Locked, full, ...: nothing of the result was stored. Or the identifier belongs to another result.
    """
    text = result_to_json(result, indent=None).encode("ascii")
    digest = hashlib.sha256(text).hexdigest()
    key = _checked_uid(uid)
    head = _head(result, labels, key, digest, by)
    rows = _rows(result, artefacts, inputs, labels)
    body = {"encoding": DEFLATE, "size_bytes": len(text), "body": zlib.compress(text, 6)}

    def add(writer: Connection) -> int:
        number = _insert_id(writer, schema.result.insert().values(**head))
        writer.execute(schema.content.insert().values(result_id=number, **body))
        for table, many in rows:
            if many:
                writer.execute(table.insert(), [{"result_id": number, **one} for one in many])
        return number

    return _add_once(store, schema.result, key, digest, add)


def save_commissioning(
    store: Store,
    analysis: str,
    analysis_version: str,
    outcome: Commissioning,
    *,
    device: Device,
    seed: int,
    quick: bool,
    uid: str | None = None,
    by: str = "",
) -> StoredAs:
    """Store an acceptance test with its checks.

    Raises
    ------
    StoreError
        As `save_result`.
    """
    plain = commissioning_to_plain(outcome)
    text = json.dumps(plain, allow_nan=False)
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    key = _checked_uid(uid)
    head = {
        "uid": key,
        "analysis": printable(analysis),
        "analysis_version": printable(analysis_version),
        "program_version": __version__,
        "tables_version": TABLES_VERSION,
        "device_kind": device.kind,
        "device_label": printable(device.label),
        "computer": computer_name(),
        "seed": str(seed),
        "quick": quick,
        "passed": outcome.passed,
        "saved_utc": datetime.now(UTC),
        "saved_by": printable(by) or user_name(),
        "body": text,
        "sha256": digest,
    }

    def add(writer: Connection) -> int:
        number = _insert_id(writer, schema.commissioning.insert().values(**head))
        checks = [
            {
                "commissioning_id": number,
                "position": position,
                **{name: printable(one[name]) for name in ("name", "title", "unit", "comparison")},
                "value": one["value"],
                "limit_value": one["limit"],
                "passed": one["passed"],
            }
            for position, one in enumerate(plain["checks"])
        ]
        if checks:
            writer.execute(schema.commissioning_check.insert(), checks)
        return number

    return _add_once(store, schema.commissioning, key, digest, add)


def amend(
    store: Store, number: int, kind: str, *, text: str = "", target: str = "", value: str = "", by: str = ""
) -> None:
    """Add to a stored result; the result itself stays as it was.

    Parameters
    ----------
    store : Store
    number : int
        Of the result.
    kind : str
        ``comment`` (text), ``exclude`` and ``include`` (from trends, with the reason as text) or ``label`` (`value`
        is the right one for the label `target`, with the reason as text).
    by : str
        Who; the user of the computer where empty.

    Raises
    ------
    InputError
        There is no such result, or something is missing.
    StoreError
    """
    if kind not in AMENDMENTS:
        raise InputError("unknown kind of amendment", got=repr(kind)[:40], expected=", ".join(AMENDMENTS))
    if not text.strip():
        raise InputError("an amendment needs a reason or comment", remedy="say it in a few words")
    if kind == "label":
        if target not in LABELS:
            raise InputError("unknown label", got=repr(target)[:40], expected=", ".join(LABELS))
        value = label_text(target, value)
    elif target or value:
        raise InputError("only an amendment of a label has a label and a value")
    row = {
        "result_id": number,
        "kind": kind,
        "target": target,
        "value": printable(value),
        "text": printable(text.strip()),
        "made_utc": datetime.now(UTC),
        "made_by": printable(by) or user_name(),
        "computer": computer_name(),
    }
    with store.writing("amend a result in") as writer:
        if writer.execute(select(schema.result.c.id).where(schema.result.c.id == number)).first() is None:
            raise InputError("there is no such result", got=str(number))
        writer.execute(schema.amendment.insert().values(**row))


def user_name() -> str:
    """Who works at this computer, as the system knows them."""
    try:
        return printable(getpass.getuser())
    except (OSError, KeyError, ImportError):
        return "unknown"


def computer_name() -> str:
    """Name of this computer."""
    return printable(platform.node()) or "unknown"


def _checked_uid(uid: str | None) -> str:
    if uid is None:
        return secrets.token_hex(16)
    if not _UID.fullmatch(uid):
        raise InputError("the identifier of a result cannot be used", expected="32 hexadecimal digits, lower case")
    return uid


class _TakenError(Exception):
    """The identifier was stored by another client at the same moment."""


def _add_once(store: Store, table: Any, uid: str, digest: str, add: Callable[[Connection], int]) -> StoredAs:
    known = select(table.c.id, table.c.sha256).where(table.c.uid == uid)
    try:
        with store.writing("store a result in") as writer:
            found = writer.execute(known).first()
            if found is None:
                return StoredAs(number=_added(writer, add), uid=uid)
    except _TakenError:
        with store.reading() as reader:
            found = reader.execute(known).first()
    return _same(found, uid, digest)


def _added(writer: Connection, add: Callable[[Connection], int]) -> int:
    try:
        return add(writer)
    except IntegrityError as error:
        # SQLite lets one writer in at a time; two clients of a server can meet here.
        if getattr(error.orig, "sqlstate", "") == _UNIQUE_VIOLATION:
            raise _TakenError from error
        raise


def _same(found: Row[*tuple[Any, ...]] | None, uid: str, digest: str) -> StoredAs:
    if found is None or found.sha256 != digest:
        raise StoreError("the identifier belongs to another result", got=uid, remedy="nothing was stored")
    return StoredAs(number=int(found.id), uid=uid, new=False)


def _insert_id(writer: Connection, statement: Insert) -> int:
    key = writer.execute(statement).inserted_primary_key
    if key is None:
        raise StoreError("the results database gave no number")
    return int(key[0])


def _rows(
    result: AnalysisResult, artefacts: Iterable[StoredFile], inputs: Iterable[StoredFile], labels: Labels
) -> list[tuple[Any, list[dict[str, Any]]]]:
    return [
        (schema.measurement, measurement_rows(result, labels.field)),
        (schema.finding, finding_rows(result)),
        (schema.file, [*file_rows("artefact", artefacts), *file_rows("input", inputs)]),
        (schema.fact, fact_rows(result)),
    ]


def _head(result: AnalysisResult, labels: Labels, uid: str, digest: str, by: str) -> dict[str, Any]:
    known = result.provenance
    versions, device = known.get("versions"), known.get("device")
    versions = versions if isinstance(versions, Mapping) else {}
    device = device if isinstance(device, Mapping) else {"kind": device or ""}
    saved = datetime.now(UTC)
    return {
        "uid": uid,
        "analysis": printable(result.analysis),
        "analysis_version": printable(result.version),
        "title": printable(result.title),
        "state": result.state.value,
        "reason": printable(result.reason),
        "program_version": printable(versions.get("protonqa", "")),
        "tables_version": printable(known.get("tables", "")),
        "device_kind": printable(device.get("kind", "")),
        "device_label": printable(device.get("label", "")),
        "seed": printable(known.get("seed", "")),
        # Results say their start in whole seconds: in finer ones a result without would come after what followed it.
        "performed_utc": labels.performed or _started(known) or saved.replace(microsecond=0),
        "saved_utc": saved,
        "saved_by": printable(by) or user_name(),
        "computer": computer_name(),
        **{name: printable(getattr(labels, name)) for name in LABELS},
        "seconds": _seconds(result),
        "sha256": digest,
    }


def _started(known: Mapping[str, Any]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(known.get("started_utc", "")))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _seconds(result: AnalysisResult) -> float | None:
    value = result.timings_s.get("run")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
