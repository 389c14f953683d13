"""Storing what a run came to, and what is known of its commissioning; a broken store never costs a result.

A run is stored only where its caller hands in a recorder: the command line does, a program that calls protonqa decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protonqa import __version__
from protonqa.app.labels import NOTHING_KNOWN, CaseFacts, completed_labels, facts_of_values, parse_labels
from protonqa.errors import InputError, ProtonQAError, StoreError
from protonqa.tables import TABLES_VERSION
from protonqa.values import AnalysisResult, Finding, Severity

if TYPE_CHECKING:
    from protonqa.analyses.interface import Commissioning
    from protonqa.device import Device
    from protonqa.store import Labels, Store, StoredAs

_OFF = "the results store is switched off"
_MOST_NAMED = 5


@dataclass(slots=True, kw_only=True, eq=False)
class Recorder:
    """The store of one run: open, switched off, or not usable and why.

    ``stored`` and ``problems`` grow as the run goes on.
    """

    store: Store | None = None
    labels: Labels | None = None
    stored: list[StoredAs] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def commissioning(self, analysis: str, analysis_version: str, device: Device) -> tuple[Finding, ...]:
        """When this version of an analysis last passed its acceptance test on this device, as a finding."""
        if self.store is None:
            reason = self.problems[0] if self.problems else _OFF
            text = f"Whether {analysis} was commissioned on this device is not known: {reason}."
            return (Finding(severity=Severity.WARNING, code="COMMISSIONING-UNKNOWN", text=text),)
        try:
            found = _commissioned(self.store, analysis, analysis_version, device)
            # A run takes minutes or hours: meanwhile nothing is held open, so a backup can be restored.
            self.store.close()
            return (found,)
        except ProtonQAError as error:
            self.problems.append(error.line())
            text = f"Whether {analysis} was commissioned on this device is not known: {error.line()}."
            return (Finding(severity=Severity.WARNING, code="COMMISSIONING-UNKNOWN", text=text),)

    def result(
        self,
        result: AnalysisResult,
        *,
        values: Mapping[str, Any],
        paths: Mapping[str, Any],
        out: Path | None,
        facts: CaseFacts | None = None,
    ) -> None:
        """Store a result with its labels, the fingerprints of its inputs and of the files in `out`.

        Parameters
        ----------
        result : AnalysisResult
        values : mapping
            Inputs of the analysis; the first case among them gives the patient's pseudonym.
        paths : mapping of input to path or paths
        out : Path or None
            Folder of the result, with its manifest.
        facts : CaseFacts, optional
            Of a case that another process has read, in place of `values`.
        """
        if self.store is None:
            return
        from protonqa.store import save_result
        from protonqa.store.fingerprints import artefact_fingerprints, input_fingerprints

        try:
            artefacts = () if out is None else artefact_fingerprints(out, result.artefacts)
            self.stored.append(
                save_result(
                    self.store,
                    result,
                    labels=completed_labels(self.labels, result, facts or facts_of_values(values)),
                    artefacts=artefacts,
                    inputs=input_fingerprints(_each_path(paths)),
                )
            )
            self.back_up()
        except ProtonQAError as error:
            self.problems.append(error.line())

    def folder(self, folder: Path, facts: Callable[[], CaseFacts]) -> bool:
        """Store the result of a folder, once however often it is asked; False where the store refuses.

        Parameters
        ----------
        folder : Path
            With its manifest.
        facts : callable
            What the case says of itself; asked only where the result is new.
        """
        from protonqa.store.reading import has_result

        if self.store is None:
            return not self.problems
        try:
            result, uid = _read_folder(folder)
            if not has_result(self.store, uid):
                labels = completed_labels(self.labels, result, facts())
                self.stored.append(_save_folder(self.store, folder, result, labels, uid))
        except ProtonQAError as error:
            self.problems.append(error.line())
            return False
        return True

    def acceptance_test(
        self, name: str, version: str, outcome: Commissioning, *, device: Device, seed: int, quick: bool
    ) -> None:
        """Store the outcome of an acceptance test."""
        if self.store is None:
            return
        from protonqa.store import save_commissioning

        try:
            self.stored.append(
                save_commissioning(self.store, name, version, outcome, device=device, seed=seed, quick=quick)
            )
            self.back_up()
        except ProtonQAError as error:
            self.problems.append(error.line())

    def to_plain(self) -> dict[str, Any]:
        """Key ``stored``: number and identifier, or null; ``store_problem`` where there is one."""
        last = self.stored[-1] if self.stored else None
        plain: dict[str, Any] = {"stored": None if last is None else {"number": last.number, "uid": last.uid}}
        return plain | ({"store_problem": self.problems[0]} if self.problems else {})

    def text(self) -> str:
        """One line for a terminal; empty where nothing was to be stored."""
        if not self.stored:
            return ""
        if len(self.stored) > _MOST_NAMED:
            return f"{len(self.stored)} results stored, the last under number {self.stored[-1].number}"
        return f"stored under number {', '.join(str(one.number) for one in self.stored)}"

    def close(self) -> None:
        """Give the database back."""
        if self.store is not None:
            self.store.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def back_up(self) -> None:
        """An automatic backup, where one is due."""
        from protonqa.store.backups import backup_if_due
        from protonqa.store.location import file_of

        if self.store is not None and self.store.is_file:
            backup_if_due(file_of(self.store.url))


def open_recorder(*, wanted: bool | None = None, labels: Iterable[str] = ()) -> Recorder:
    """A recorder on the configured store; a store that cannot be opened is told in it, not raised.

    Parameters
    ----------
    wanted : bool or None
        False stores nothing; None follows PROTONQA_STORE.
    labels : iterable of ``NAME=VALUE``
        See `parse_labels`.

    Raises
    ------
    InputError
        A label that does not exist.
    """
    given = tuple(labels)
    if wanted is False:
        if given:
            parse_labels(given)
        return Recorder()
    from protonqa.app.store_address import store_address
    from protonqa.store import open_store

    known = parse_labels(given)
    address = store_address()
    if address is None:
        if wanted:
            raise InputError("the results store is switched off", remedy="leave out --store, or name a store")
        return Recorder(labels=known)
    try:
        store = open_store(address)
        store.close()
        return Recorder(store=store, labels=known)
    except ProtonQAError as error:
        return Recorder(labels=known, problems=[error.line()])


def record_folder(store: Store, folder: Path, labels: Labels) -> StoredAs:
    """Store the result of a folder that was written earlier; the same folder again changes nothing.

    Raises
    ------
    InputError
        There is no result in the folder.
    StoreError
        It is damaged, or the store cannot be written.
    """
    result, uid = _read_folder(folder)
    return _save_folder(store, folder, result, completed_labels(labels, result, NOTHING_KNOWN), uid)


def _read_folder(folder: Path) -> tuple[AnalysisResult, str]:
    """The result of a folder and the identifier it has in every store."""
    from protonqa.analyses.result_json import result_from_json
    from protonqa.analyses.run_folder import RESULT
    from protonqa.files.atomic import check_manifest

    path = folder / RESULT
    if not path.is_file():
        raise InputError("there is no result in the folder", expected=RESULT)
    check_manifest(folder)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError("the result cannot be read", got=type(error).__name__) from error
    # Two folders may hold equal results, of two cases without a PET for example.
    uid = hashlib.sha256(f"{folder.absolute().name}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return result_from_json(text), uid


def _save_folder(store: Store, folder: Path, result: AnalysisResult, labels: Labels, uid: str) -> StoredAs:
    from protonqa.store import save_result
    from protonqa.store.fingerprints import artefact_fingerprints

    artefacts = artefact_fingerprints(folder, result.artefacts)
    return save_result(store, result, labels=labels, artefacts=artefacts, uid=uid)


def _commissioned(store: Store, analysis: str, analysis_version: str, device: Device) -> Finding:
    from protonqa.store.reading import commissionings
    from protonqa.store.writing import computer_name

    passed = commissionings(
        store,
        analysis=analysis,
        analysis_version=analysis_version,
        program_version=__version__,
        tables_version=TABLES_VERSION,
        device_kind=device.kind,
        device_label=device.label,
        computer=computer_name(),
        passed=True,
    )
    what = f"{analysis} {analysis_version} with protonqa {__version__} on this computer ({device.kind}: {device.label})"
    full = next((one for one in passed if not one.quick), None)
    if full is not None:
        text = f"Last passed commissioning of {what}: {full.saved_utc:%Y-%m-%d}."
        return Finding(severity=Severity.INFO, code="COMMISSIONED", text=text)
    remedy = f"Run: protonqa commission {analysis}"
    if passed:
        text = f"Only a quick commissioning of {what} has passed, last on {passed[0].saved_utc:%Y-%m-%d}. {remedy}"
        return Finding(severity=Severity.WARNING, code="COMMISSIONED-QUICK", text=text)
    text = f"There is no passed commissioning of {what}. {remedy}"
    return Finding(severity=Severity.WARNING, code="NOT-COMMISSIONED", text=text)


def _each_path(paths: Mapping[str, Any]) -> dict[str, Path]:
    """One path a name; several under one name get numbers."""
    single: dict[str, Path] = {}
    for name, value in paths.items():
        many = list(value) if isinstance(value, (list, tuple)) else [value]
        for number, one in enumerate(many, start=1):
            single[name if len(many) == 1 else f"{name} {number}"] = Path(one)
    return single
