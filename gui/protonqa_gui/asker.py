"""What-if questions on their way to a worker: the newest question goes first, answers to old ones are dropped."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from protonqa_gui.worker import Job, Worker

#: Rays of one job of the whole field: a slider that moves on waits for no more than this.
CHUNK = 48

Arrays = dict[str, NDArray[Any]]


class Asker(QObject):
    """Signals: ``one(arrays, preview)`` for the chosen ray, ``field(arrays)`` for all rays, ``failed(text)``."""

    one = Signal(object, bool)
    field = Signal(object)
    failed = Signal(str)
    busy_changed = Signal(bool)

    def __init__(self, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker = worker
        self._rays = ""
        self._pending: tuple[dict[str, Any], int, bool] | None = None
        self._chunks: list[list[int]] = []
        self._parts: list[Arrays] = []
        self._question: dict[str, Any] = {}
        self._in_work = False

    @property
    def idle(self) -> bool:
        """True when no question is open."""
        return not self._in_work and self._pending is None and not self._chunks

    def set_rays(self, path: str) -> None:
        """Rays that the next questions are about; open questions about others are dropped."""
        self._rays = path
        self._pending, self._chunks, self._parts = None, [], []

    def ask(self, question: dict[str, Any], row: int, *, preview: bool, field_rows: list[int]) -> None:
        """Ask about one ray, and then (not for a preview) about all of `field_rows`."""
        self._question = question
        self._pending = (question, row, preview)
        self._parts = []
        self._chunks = [] if preview else [field_rows[i : i + CHUNK] for i in range(0, len(field_rows), CHUNK)]
        self._next()

    def _next(self) -> None:
        if self._in_work or not self._rays:
            return
        if self._pending is not None:
            question, row, preview = self._pending
            self._pending = None
            self._send(question, [row], preview, field=False)
        elif self._chunks:
            self._send(self._question, self._chunks.pop(0), preview=False, field=True)

    def _send(self, question: dict[str, Any], rows: list[int], preview: bool, *, field: bool) -> None:
        self._in_work = True
        self.busy_changed.emit(True)
        given = {"rays": self._rays, "question": question, "rows": rows, "preview": preview}
        job: Job = self._worker.submit("ask", given, self.tr("What if"))
        asked = (self._rays, question)
        job.done.connect(lambda content: self._on_done(content, asked, preview, field))
        job.failed.connect(self._on_failed)
        job.cancelled.connect(lambda: self._on_failed("CANCELLED", ""))

    def _on_done(self, content: bytes, asked: tuple[str, dict[str, Any]], preview: bool, field: bool) -> None:
        self._in_work = False
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        current = asked[0] == self._rays and asked[1] is self._question
        if current and field:
            self._parts.append(arrays)
            if not self._chunks and self._pending is None:
                self.field.emit(_joined(self._parts))
                self._parts = []
        elif asked[0] == self._rays and not field:
            self.one.emit(arrays, preview)
        self.busy_changed.emit(not self.idle)
        self._next()

    def _on_failed(self, code: str, text: str) -> None:
        self._in_work = False
        self._pending, self._chunks, self._parts = None, [], []
        self.busy_changed.emit(False)
        if code != "CANCELLED":
            self.failed.emit(text)


def _joined(parts: list[Arrays]) -> Arrays:
    names = ("rows", "r80_mm", "measured_r80_mm")
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
