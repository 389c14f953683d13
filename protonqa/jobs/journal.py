"""The journal of a job: its table and what became of each cell, a commit a cell, safe against sudden ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from protonqa.errors import StoreError
from protonqa.jobs.canonical import canonical_json
from protonqa.jobs.database import JOURNAL, damaged, open_for_reading, open_for_writing, transaction, translated
from protonqa.jobs.outcome import CellFile, CellOutcome, CellState, Retry
from protonqa.jobs.table import Cell, Job

_OUTCOMES = """SELECT outcome.position, cell.id, state, content, is_json, content_sha256, code, message, files, seconds,
    attempts FROM outcome JOIN cell USING (position) ORDER BY position"""
_RECORD = """INSERT INTO outcome (position, state, content, is_json, content_sha256, code, message, files, seconds,
    attempts, committed_utc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)
    ON CONFLICT (position) DO UPDATE SET state = excluded.state, content = excluded.content,
    is_json = excluded.is_json, content_sha256 = excluded.content_sha256, code = excluded.code,
    message = excluded.message, files = excluded.files, seconds = excluded.seconds, attempts = attempts + 1,
    committed_utc = excluded.committed_utc"""


class Journal:
    """The journal of `job` in `folder`, open for its one writer; use it in a ``with`` block.

    Parameters
    ----------
    folder : Path
        An existing folder, of which the caller holds the `protonqa.jobs.owner.OwnerLock`.
    job : Job
    grow : bool
        Accept a journal whose table is the beginning of this one, and add the new cells.

    Raises
    ------
    StoreError
        A journal of another job, table or version, damaged, or not writable.
    """

    def __init__(self, folder: Path, job: Job, *, grow: bool = False) -> None:
        self._connection = open_for_writing(folder)
        try:
            with translated("open"):
                self._adopt(job, grow)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def record(self, outcome: CellOutcome) -> None:
        """Commit one cell.

        Raises
        ------
        StoreError
            The disk is full, ...; the journal is as it was before.
        """
        row = (
            outcome.position,
            outcome.state.value,
            outcome.content,
            outcome.is_json,
            hashlib.sha256(outcome.content).hexdigest(),
            outcome.code,
            outcome.message,
            canonical_json([[one.name, one.size_bytes, one.sha256] for one in outcome.files]),
            outcome.seconds,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with transaction(self._connection, "write"):
            self._connection.execute(_RECORD, row)

    def drop(self, positions: list[int]) -> None:
        """Forget results whose files are gone."""
        with transaction(self._connection, "write"):
            self._connection.executemany("DELETE FROM outcome WHERE position = ?", [(one,) for one in positions])

    def states(self) -> dict[int, tuple[CellState, str]]:
        """State and code of every cell that has an outcome, by position."""
        with translated("read"):
            rows = self._connection.execute("SELECT position, state, code FROM outcome").fetchall()
        return {position: (CellState(state), code) for position, state, code in rows}

    def missing(self, retry: Retry = Retry.NONE) -> list[int]:
        """Positions to compute, in the order of the table: no outcome, or a failure that is to be tried again."""
        states = self.states()
        with translated("read"):
            total = self._connection.execute("SELECT count(*) FROM cell").fetchone()[0]
        return [
            position
            for position in range(total)
            if position not in states or (states[position][0] is CellState.FAILED and retry.wants(states[position][1]))
        ]

    def committed_files(self) -> Iterator[tuple[int, str, tuple[CellFile, ...]]]:
        """Position, name and files of every cell with a result."""
        with translated("read"):
            rows = self._connection.execute(
                "SELECT position, cell.id, files FROM outcome JOIN cell USING (position) WHERE state = 'done'"
            ).fetchall()
        for position, cell_id, files in rows:
            yield position, cell_id, _files(files)

    def _adopt(self, job: Job, grow: bool) -> None:
        facts = dict(self._connection.execute("SELECT key, value FROM job").fetchall())
        wanted = {"name": job.name, "function": job.function, "version": job.version}
        for key, value in wanted.items():
            if facts and facts.get(key) != value:
                raise StoreError(
                    "the folder holds the journal of another job",
                    got=f"{key} {str(facts.get(key))[:80]}",
                    expected=f"{key} {value[:80]}",
                    remedy="choose another folder for this job",
                )
        present = [row[0] for row in self._connection.execute("SELECT hash FROM cell ORDER BY position")]
        hashes = [one.content_hash for one in job.cells]
        if facts and present != hashes:
            _check_growth(present, hashes, grow)
        if not facts or len(present) < len(hashes):
            self._write_table(job, hashes, len(present))

    def _write_table(self, job: Job, hashes: list[str], first: int) -> None:
        """Facts and new cells in one transaction: a table is there whole or not at all."""
        facts = {"name": job.name, "function": job.function, "version": job.version, "table_hash": job.table_hash}
        rows = (
            (position, job.cells[position].cell_id, job.cells[position].parameters_json, hashes[position])
            for position in range(first, len(hashes))
        )
        with transaction(self._connection, "write"):
            self._connection.executemany("INSERT OR REPLACE INTO job VALUES (?, ?)", facts.items())
            self._connection.executemany("INSERT INTO cell (position, id, parameters, hash) VALUES (?, ?, ?, ?)", rows)


def _check_growth(present: list[str], hashes: list[str], grow: bool) -> None:
    different = next((i for i, (a, b) in enumerate(zip(present, hashes, strict=False)) if a != b), None)
    if different is None and grow and len(hashes) > len(present):
        return
    if different is not None:
        got = f"cell {different + 1} differs"
    else:
        got = f"{len(present)} cells in the journal and {len(hashes)} in the table"
    raise StoreError(
        "the folder holds the journal of another table",
        got=got,
        expected="the same cells in the same order",
        remedy="choose another folder, or run the table the journal was made for",
    )


def read_job(folder: Path) -> Job:
    """The job whose journal lies in `folder`, its cells as they were drawn.

    Running it imports the function it names: a journal from a stranger is to be read, not run.

    Raises
    ------
    StoreError
        No journal, or a damaged one.
    """
    with closing(open_for_reading(folder)) as connection, translated("read"):
        facts = dict(connection.execute("SELECT key, value FROM job").fetchall())
        rows = connection.execute("SELECT id, parameters, hash FROM cell ORDER BY position").fetchall()
    if not facts:
        raise StoreError("the journal holds no table yet", remedy="run the job")
    cells = tuple(Cell(cell_id=cell_id, parameters_json=parameters) for cell_id, parameters, _ in rows)
    job = Job(name=facts["name"], function=facts["function"], version=facts["version"], cells=cells)
    if job.table_hash != facts["table_hash"] or any(
        a.content_hash != row[2] for a, row in zip(cells, rows, strict=True)
    ):
        raise damaged("a table that is not the one that was written")
    return job


def started_job(folder: Path) -> Job | None:
    """As `read_job`; None where no job was started, or where its first run was killed before its table stood.

    Raises
    ------
    StoreError
        The journal is damaged or something else.
    """
    if not has_journal(folder):
        return None
    # Opened as its next run will open it: a journal that was never finished is finished here.
    with closing(open_for_writing(folder)) as connection, translated("read"):
        empty = connection.execute("SELECT count(*) FROM job").fetchone()[0] == 0
    return None if empty else read_job(folder)


def read_outcomes(folder: Path) -> Iterator[CellOutcome]:
    """Outcomes in the order of the table, whatever the order they came in; missing cells are left out.

    Raises
    ------
    StoreError
        No journal, or a damaged one.
    """
    with closing(open_for_reading(folder)) as connection, translated("read"):
        for row in connection.execute(_OUTCOMES):
            yield _outcome(row)


def results_hash(folder: Path) -> str:
    """SHA-256 over all outcomes in order, contents and hashes of files included, times and attempts not.

    Two runs of a job agree on it whatever the number of workers and however often they were interrupted.
    """
    digest = hashlib.sha256()
    for outcome in read_outcomes(folder):
        content = hashlib.sha256(outcome.content).hexdigest()
        digest.update(canonical_json([outcome.identity(), content]).encode("ascii"))
    return digest.hexdigest()


def has_journal(folder: Path) -> bool:
    """True when a job was started in `folder`."""
    return (folder / JOURNAL).is_file()


def _outcome(row: tuple[int, str, str, bytes, int, str, str, str, str, float, int]) -> CellOutcome:
    position, cell_id, state, content, is_json, digest, code, message, files, seconds, attempts = row
    if hashlib.sha256(content).hexdigest() != digest:
        raise damaged(f"another content than was written in cell {position + 1}")
    return CellOutcome(
        position=position,
        cell_id=cell_id,
        state=CellState(state),
        content=content,
        is_json=bool(is_json),
        code=code,
        message=message,
        files=_files(files),
        seconds=seconds,
        attempts=attempts,
    )


def _files(text: str) -> tuple[CellFile, ...]:
    try:
        return tuple(CellFile(name=name, size_bytes=size, sha256=digest) for name, size, digest in json.loads(text))
    except (ValueError, TypeError) as error:
        raise damaged("a list of files that is not one") from error
