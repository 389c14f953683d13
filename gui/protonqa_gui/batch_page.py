"""A queue of cases for one analysis, with the parameters that stand in its form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QColor, QDesktopServices, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from protonqa_gui.theme import STATE_COLOURS

_CASE, _STATE, _SHIFT, _REASON = range(4)


class BatchPage(QWidget):
    """Signals: ``told(kind, text)``, ``run_wanted(analysis, batch file text, workers, report)``, ``case_wanted``."""

    told = Signal(str, str)
    run_wanted = Signal(str, object, int, bool)
    case_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAcceptDrops(True)
        self.page = ""
        self.analysis = QComboBox()
        self.analysis.setAccessibleName(self.tr("Analysis of the batch"))
        self.workers = QSpinBox()
        self.workers.setRange(1, 64)
        self.reports = QCheckBox(self.tr("Report of each case"))
        self.reports.setChecked(True)
        self.add = QPushButton(self.tr("&Add a case..."))
        self.add_below = QPushButton(self.tr("Add all cases &below a folder..."))
        self.remove = QPushButton(self.tr("Re&move"))
        self.clear_all = QPushButton(self.tr("Clear"))
        self.run = QPushButton(self.tr("&Run the queue"))
        self.summary = QPushButton(self.tr("Open the summary"))
        self.table = QTableWidget(0, 4)
        self.counts = QLabel()
        self._arrange()
        self.add.clicked.connect(self._ask_case)
        self.add_below.clicked.connect(self._ask_folder)
        self.remove.clicked.connect(self._remove)
        self.clear_all.clicked.connect(lambda: self.set_cases([]))
        self.run.clicked.connect(self.start)
        self.summary.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(self.page)))
        self.table.itemActivated.connect(lambda item: self.case_wanted.emit(self.folders()[item.row()]))
        self.summary.setEnabled(False)
        self._refresh()

    def _arrange(self) -> None:
        top = QHBoxLayout()
        for text, control in ((self.tr("Analysis"), self.analysis), (self.tr("Workers"), self.workers)):
            label = QLabel(text)
            label.setBuddy(control)
            top.addWidget(label)
            top.addWidget(control)
        top.addWidget(self.reports)
        top.addStretch(1)
        for one in (self.add, self.add_below, self.remove, self.clear_all):
            top.addWidget(one)
        self.table.setHorizontalHeaderLabels([self.tr("Case"), self.tr("State"), self.tr("Result"), self.tr("Why")])
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.setAccessibleName(self.tr("Queue of cases"))
        self.table.verticalHeader().hide()
        head = self.table.horizontalHeader()
        head.setSectionResizeMode(_CASE, QHeaderView.ResizeMode.Interactive)
        head.setSectionResizeMode(_REASON, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnWidth(_CASE, 380)
        self.table.setColumnWidth(_STATE, 130)
        self.table.setColumnWidth(_SHIFT, 150)
        bottom = QHBoxLayout()
        bottom.addWidget(self.counts, 1)
        bottom.addWidget(self.summary)
        bottom.addWidget(self.run)
        column = QVBoxLayout(self)
        column.addLayout(top)
        hint = self.tr("Parameters are those of the Analyses page. Drop folders here; a double click opens a case.")
        column.addWidget(QLabel(hint))
        column.addWidget(self.table, 1)
        column.addLayout(bottom)

    def set_analyses(self, analyses: list[dict[str, Any]]) -> None:
        """Offer the analyses that can run."""
        self.analysis.clear()
        for one in analyses:
            if one["enabled"] and not one["problem"]:
                self.analysis.addItem(one["title"], one["name"])
        self.analysis.setCurrentIndex(max(self.analysis.findData("range-verification"), 0))

    def folders(self) -> list[str]:
        """The cases of the queue."""
        items = [self.table.item(row, _CASE) for row in range(self.table.rowCount())]
        return [str(item.data(Qt.ItemDataRole.UserRole)) for item in items if item is not None]

    def set_cases(self, folders: list[str]) -> None:
        """Replace the queue."""
        self.table.setRowCount(0)
        for folder in dict.fromkeys(folders):
            self._append(folder)
        self._refresh()

    def add_cases(self, folders: list[str]) -> None:
        """Put cases at the end, each once."""
        known = set(self.folders())
        for folder in dict.fromkeys(folders):
            if folder not in known:
                self._append(folder)
        self._refresh()

    def start(self) -> None:
        """Ask for a run of the queue."""
        folders = self.folders()
        if not folders:
            self.told.emit("note", self.tr("Add cases first."))
            return
        for row in range(len(folders)):
            self._put(row, _STATE, self.tr("waiting"))
            self._put(row, _SHIFT, "")
            self._put(row, _REASON, "")
        cases = [{"name": _name(one, row), "folder": one} for row, one in enumerate(folders)]
        self.run_wanted.emit(str(self.analysis.currentData()), cases, self.workers.value(), self.reports.isChecked())

    def set_summary(self, found: dict[str, Any]) -> None:
        """Show what a batch came to, a row for each case, in the order of the queue."""
        self.page = found["page"]
        self.summary.setEnabled(True)
        rows = {one["case"]: one for one in found["cases"]}
        for row, folder in enumerate(self.folders()):
            one = rows.get(_name(folder, row))
            if one is None:
                continue
            self._put(row, _STATE, one["state"], STATE_COLOURS.get(one["state"], ""))
            first = next(((name, m) for name, m in one["measurements"].items() if m["value"] is not None), None)
            shift = one["measurements"].get("mean_shift")
            if shift is not None and shift["value"] is not None:
                first = ("mean_shift", shift)
            if first is not None:
                self._put(row, _SHIFT, f"{first[1]['value']:+.2f} {first[1]['unit']}")
            self._put(row, _REASON, one["reason"])
        self.counts.setText(", ".join(f"{n} {state}" for state, n in found["counts"].items() if n))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Folders and archives may be dropped."""
        if any(one.isLocalFile() for one in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Put everything that was dropped into the queue."""
        self.add_cases([one.toLocalFile() for one in event.mimeData().urls() if one.isLocalFile()])
        event.acceptProposedAction()

    def _append(self, folder: str) -> None:
        row = self.table.rowCount()
        self.table.insertRow(row)
        item = QTableWidgetItem(f"{Path(folder).name}   ({Path(folder).parent})")
        item.setData(Qt.ItemDataRole.UserRole, folder)
        item.setToolTip(folder)
        self.table.setItem(row, _CASE, item)
        for column in (_STATE, _SHIFT, _REASON):
            self._put(row, column, "")

    def _put(self, row: int, column: int, text: str, colour: str = "") -> None:
        item = QTableWidgetItem(text)
        item.setToolTip(text)
        if colour:
            item.setForeground(QColor("#FFFFFF"))
            item.setBackground(QColor(colour))
        self.table.setItem(row, column, item)

    def _remove(self) -> None:
        for row in sorted({one.row() for one in self.table.selectedIndexes()}, reverse=True):
            self.table.removeRow(row)
        self._refresh()

    def _refresh(self) -> None:
        n = self.table.rowCount()
        self.run.setEnabled(n > 0)
        self.counts.setText(self.tr("1 case") if n == 1 else self.tr("{n} cases").format(n=n))

    def _ask_case(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Folder of a case"))
        if folder:
            self.add_cases([folder])

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Folder whose entries are cases"))
        if not folder:
            return
        try:
            below = sorted(str(one) for one in Path(folder).iterdir() if not one.name.startswith("."))
        except OSError as error:
            self.told.emit("error", self.tr("The folder cannot be read: {why}").format(why=error.strerror))
            return
        self.add_cases(below)


def _name(folder: str, row: int) -> str:
    """Folders of the same name keep their places apart."""
    return f"{Path(folder).name or 'case'}-{row + 1}"


def batch_text(analysis: str, cases: list[dict[str, str]], params: dict[str, Any], seed: int) -> str:
    """The queue as a batch file; JSON is YAML too, so that no path needs quoting rules of its own."""
    return json.dumps({"analysis": analysis, "seed": seed, "params": params, "cases": cases}, indent=1)
