"""The report before it leaves: preview, comment, name, export as PDF and HTML."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from protonqa_gui.worker import Worker


class ReportView(QWidget):
    """Shows and exports the report of the last result. Signals: ``told(kind, text)``, ``exported(path)``."""

    told = Signal(str, str)
    exported = Signal(str)

    def __init__(self, worker: Worker, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._worker, self._folder = worker, folder
        self._result = ""
        self._inputs: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.preview = QTextBrowser()
        self.preview.setOpenLinks(False)
        self.preview.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.comment = QPlainTextEdit()
        self.comment.setPlaceholderText(self.tr("What the next reader should know. It stands before the signatures."))
        self.comment.setMaximumHeight(220)
        self.signed_by, self.role = QLineEdit(), QLineEdit()
        self.anonymous = QCheckBox(self.tr("Withhold identity and dates"))
        self.update_button = QPushButton(self.tr("&Update preview"))
        self.pdf = QPushButton(self.tr("Export &PDF..."))
        self.html = QPushButton(self.tr("Export &HTML..."))
        self.open_pdf = QPushButton(self.tr("Open as PDF"))
        self._arrange()
        self.update_button.clicked.connect(lambda: self.write(None))
        self.pdf.clicked.connect(lambda: self._ask("pdf"))
        self.html.clicked.connect(lambda: self._ask("html"))
        self.open_pdf.clicked.connect(self._open)
        self._enable(False)

    def _arrange(self) -> None:
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapAllRows)
        form.addRow(self.tr("Comment"), self.comment)
        form.addRow(self.tr("Signed by"), self.signed_by)
        form.addRow(self.tr("Role"), self.role)
        side = QVBoxLayout()
        side.addLayout(form)
        side.addWidget(self.anonymous)
        for button in (self.update_button, self.pdf, self.html, self.open_pdf):
            side.addWidget(button)
        side.addStretch(1)
        box = QWidget()
        box.setLayout(side)
        box.setFixedWidth(300)
        row = QHBoxLayout(self)
        row.addWidget(self.preview, 1)
        row.addWidget(box)
        self.preview.setHtml(self.tr("<p>No result yet. Verify a case (F5) or run an analysis.</p>"))

    def set_result(self, folder: str, inputs: dict[str, str]) -> None:
        """The report of the result in `folder`."""
        self._result, self._inputs = folder, dict(inputs)
        self._enable(True)
        self.write(None)

    def clear(self) -> None:
        """No result: another case was opened."""
        self._result, self.files = "", {}
        self._enable(False)
        self.preview.setHtml(self.tr("<p>No result yet. Verify a case (F5) or run an analysis.</p>"))

    def write(self, wanted: Path | None) -> None:
        """Write the report with the remarks; then show it, and copy it to `wanted` where a path is given."""
        if not self._result:
            return
        remarks = {
            "comment": self.comment.toPlainText()[:4000],
            "signed_by": self.signed_by.text()[:120],
            "role": self.role.text()[:80],
        }
        given: dict[str, Any] = {
            "result": self._result,
            "inputs": self._inputs,
            "folder": str(self._folder),
            "remarks": remarks,
            "anonymous": self.anonymous.isChecked(),
        }
        job = self._worker.submit("report", given, self.tr("Report"))
        job.done.connect(lambda files: self._on_written(files, wanted))
        job.failed.connect(lambda _code, text: self.told.emit("error", text))

    def _on_written(self, files: dict[str, str], wanted: Path | None) -> None:
        self.files = files
        self.preview.setHtml(Path(files["preview"]).read_text(encoding="utf-8"))
        if wanted is None:
            return
        kind = "html" if wanted.suffix.lower() in (".html", ".htm") else "pdf"
        try:
            shutil.copyfile(files[kind], wanted)
        except OSError as error:
            text = self.tr("The report was not written: {why}. Choose another folder.").format(why=error.strerror)
            self.told.emit("error", text)
            return
        self.told.emit("done", self.tr("Report written: {name}").format(name=wanted.name))
        self.exported.emit(str(wanted))

    def _ask(self, kind: str) -> None:
        title = self.tr("Export the report")
        path, _ = QFileDialog.getSaveFileName(self, title, f"report.{kind}", f"{kind.upper()} (*.{kind})")
        if path:
            self.write(Path(path) if Path(path).suffix else Path(f"{path}.{kind}"))

    def _open(self) -> None:
        if self.files:
            QDesktopServices.openUrl(QUrl.fromLocalFile(self.files["pdf"]))

    def _enable(self, on: bool) -> None:
        for one in (self.update_button, self.pdf, self.html, self.open_pdf):
            one.setEnabled(on)
