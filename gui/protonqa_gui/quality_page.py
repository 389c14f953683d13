"""Quality of the tool itself: acceptance tests of the analyses, and control charts over past results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QColor, QDesktopServices
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSplitter,
    QTableWidget,
    QTableWidgetItem,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from protonqa_gui.long_tasks import VERIFY
from protonqa_gui.schema_form import SchemaForm
from protonqa_gui.theme import STATE_COLOURS
from protonqa_gui.worker import Worker


class CommissioningPage(QWidget):
    """Signals: ``told(kind, text)``, ``run_wanted(name, quick)``."""

    told = Signal(str, str)
    run_wanted = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names: list[str] = []
        self.table = _grid(
            [self.tr("Analysis"), self.tr("Last acceptance test"), self.tr("Outcome"), self.tr("Where")],
            self.tr("Acceptance tests"),
        )
        self.quick = QCheckBox(self.tr("Quick: fewer histories and cases, the same limits"))
        self.run = QPushButton(self.tr("&Run the acceptance test"))
        self.checks = _grid(
            [self.tr("Check"), self.tr("Measured"), self.tr("Limit"), self.tr("Outcome")], self.tr("Checks")
        )
        self.note = QLabel(
            self.tr(
                "Before clinical use each analysis must pass its acceptance test on this computer: cases with known "
                "truth, measured against limits that were stated before."
            )
        )
        self.note.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.quick)
        row.addStretch(1)
        row.addWidget(self.run)
        column = QVBoxLayout(self)
        column.addWidget(self.note)
        column.addWidget(self.table, 1)
        column.addLayout(row)
        column.addWidget(self.checks, 2)
        self.run.clicked.connect(self._start)

    def set_analyses(self, analyses: list[dict[str, Any]]) -> None:
        """Offer the analyses that can run."""
        usable = [one for one in analyses if one["enabled"] and not one["problem"]]
        self._names = [one["name"] for one in usable]
        self.table.setRowCount(len(usable))
        for row, one in enumerate(usable):
            _fill(self.table, row, (f"{one['title']} {one['version']}", self.tr("not known"), "-", ""))
        self.table.selectRow(self._names.index(VERIFY) if VERIFY in self._names else 0)

    def set_tests(self, found: dict[str, Any]) -> None:
        """Show the newest stored acceptance test of each analysis."""
        for row, name in enumerate(self._names):
            mine = next((one for one in found["rows"] if one["analysis"] == name), None)
            title = self.table.item(row, 0)
            shown = "" if title is None else title.text()
            if mine is None:
                why = found["problem"] or self.tr("none stored")
                _fill(self.table, row, (shown, self.tr("none"), "-", why))
                continue
            kind = self.tr(" (quick)") if mine["quick"] else ""
            outcome = "PASS" if mine["passed"] else "FAIL"
            text = f"{outcome}: {mine['checks_passed']} / {mine['checks']}{kind}"
            where = f"{mine['computer']}, {mine['device_label']}, protonqa {mine['program_version']}"
            _fill(self.table, row, (shown, str(mine["saved_utc"])[:16].replace("T", " "), text, where))
            _colour(self.table, row, 2, outcome)

    def set_outcome(self, found: dict[str, Any]) -> None:
        """Show every check of a test that has just run."""
        rows = [one for analysis in found["analyses"].values() for one in analysis["checks"]]
        self.checks.setRowCount(len(rows))
        for row, one in enumerate(rows):
            value = "-" if one["value"] is None else f"{one['value']:.4g} {one['unit']}"
            outcome = "PASS" if one["passed"] else "FAIL"
            limit = f"{one['comparison']} {one['limit']:g} {one['unit']}"
            _fill(self.checks, row, (one["title"] or one["name"], value, limit, outcome))
            _colour(self.checks, row, 3, outcome)

    def _start(self) -> None:
        row = self.table.currentRow()
        if 0 <= row < len(self._names):
            self.run_wanted.emit(self._names[row], self.quick.isChecked())


class TrendPage(QWidget):
    """Control charts of a stored measurement. Signal ``told(kind, text)``."""

    told = Signal(str, str)
    drawn = Signal(str)

    def __init__(self, worker: Worker, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._worker, self._folder = worker, folder
        self._pdf = ""
        self.form = SchemaForm()
        self.draw = QPushButton(self.tr("&Draw the charts"))
        self.open_pdf = QPushButton(self.tr("Open as PDF"))
        self.open_pdf.setEnabled(False)
        self.page = QTextBrowser()
        self.page.setOpenLinks(False)
        self.page.setAccessibleName(self.tr("Control charts"))
        self.page.setHtml(self.tr("<p>Control charts of past results appear here.</p>"))
        left = QWidget()
        column = QVBoxLayout(left)
        column.addWidget(self.form, 1)
        column.addWidget(self.draw)
        column.addWidget(self.open_pdf)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(left)
        splitter.addWidget(self.page)
        splitter.setSizes([380, 820])
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(splitter)
        self.draw.clicked.connect(self.start)
        self.open_pdf.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(self._pdf)))

    def set_form(self, schema: str) -> None:
        """The parameters, as a JSON schema."""
        self.form.set_schema(json.loads(schema))

    def start(self) -> None:
        """Ask for the charts."""
        if problems := self.form.problems():
            self.told.emit("error", "; ".join(problems))
            return
        given = {"params": self.form.values(), "folder": str(self._folder)}
        job = self._worker.submit("trend", given, self.tr("Control charts"))
        job.done.connect(self._on_drawn)
        job.failed.connect(lambda _, text: self.told.emit("note", text))

    def _on_drawn(self, found: dict[str, Any]) -> None:
        self._pdf = found["pdf"]
        self.open_pdf.setEnabled(True)
        self.page.setHtml(found["page"])
        self.drawn.emit(found["state"])


def _grid(heads: list[str], name: str) -> QTableWidget:
    table = QTableWidget(0, len(heads))
    table.setHorizontalHeaderLabels(heads)
    table.verticalHeader().hide()
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
    table.setSelectionMode(QTableWidget.SelectionMode.SingleSelection)
    table.setAccessibleName(name)
    head = table.horizontalHeader()
    head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    head.setStretchLastSection(True)
    return table


def _fill(table: QTableWidget, row: int, texts: tuple[str, ...]) -> None:
    for column, text in enumerate(texts):
        item = QTableWidgetItem(text)
        item.setToolTip(text)
        table.setItem(row, column, item)


def _colour(table: QTableWidget, row: int, column: int, state: str) -> None:
    item = table.item(row, column)
    if item is not None:
        item.setForeground(QColor("#FFFFFF"))
        item.setBackground(QColor(STATE_COLOURS[state]))
