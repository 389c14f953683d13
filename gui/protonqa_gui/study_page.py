"""A sensitivity study: its file as text with what it asks for beside it, the run, the report."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from protonqa_gui.job_strip import duration
from protonqa_gui.result_view import ResultView
from protonqa_gui.worker import Job, Worker

#: The text is looked at when the user has paused for so long.
_PAUSE_MS = 800


class StudyPage(QWidget):
    """Signals: ``told(kind, text)``, ``run_wanted(file)``, ``report_wanted(folder)``."""

    told = Signal(str, str)
    run_wanted = Signal(str)
    report_wanted = Signal(str)
    sized = Signal()

    def __init__(self, looker: Worker, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._looker = looker
        self._path: Path | None = None
        self._job: Job | None = None
        self.wanted: dict[str, Any] | None = None
        self.out = ""
        self.new = QPushButton(self.tr("&New from template"))
        self.open = QPushButton(self.tr("&Open..."))
        self.save = QPushButton(self.tr("&Save as..."))
        self.text = QPlainTextEdit()
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setPlaceholderText(self.tr("A study file (YAML). Begin with the template: every key is explained."))
        self.text.setAccessibleName(self.tr("Study file"))
        self.about = QLabel(self.tr("The size of the study appears here as you write."))
        self.about.setWordWrap(True)
        self.about.setTextFormat(Qt.TextFormat.RichText)
        self.run = QPushButton(self.tr("&Run the study..."))
        self.report = QPushButton(self.tr("Open its report"))
        self.result = ResultView()
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.timeout.connect(self.look)
        self._arrange()
        self.text.textChanged.connect(self._on_changed)
        self.new.clicked.connect(self.from_template)
        self.open.clicked.connect(self._ask_open)
        self.save.clicked.connect(self._ask_save)
        self.run.clicked.connect(self._start)
        self.report.clicked.connect(lambda: self.report_wanted.emit(self.out))
        self._enable()

    def _arrange(self) -> None:
        left = QWidget()
        column = QVBoxLayout(left)
        row = QHBoxLayout()
        for one in (self.new, self.open, self.save):
            row.addWidget(one)
        row.addStretch(1)
        column.addLayout(row)
        column.addWidget(self.text, 1)
        column.addWidget(self.about)
        row = QHBoxLayout()
        row.addWidget(self.run)
        row.addWidget(self.report)
        row.addStretch(1)
        column.addLayout(row)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.addWidget(left)
        self.splitter.addWidget(self.result)
        self.splitter.setSizes([560, 640])
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.splitter)

    def from_template(self) -> None:
        """Put the commented template into the text."""
        self._path = None
        job = self._looker.submit("study-template", {})
        job.done.connect(self.text.setPlainText)
        job.failed.connect(lambda _, text: self.told.emit("error", text))

    def read(self, path: Path) -> None:
        """Read a study file."""
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            self.told.emit("error", self.tr("The study file cannot be read: {name}").format(name=path.name))
            return
        self._path = path
        self.text.setPlainText(text)

    def write(self, path: Path) -> bool:
        """Write the text; False, with a message, where that fails."""
        try:
            path.write_text(self.text.toPlainText(), encoding="utf-8")
        except OSError as error:
            self.told.emit("error", self.tr("The study file was not written: {why}").format(why=error.strerror))
            return False
        self._path = path
        return True

    def look(self) -> None:
        """Ask how large the study is."""
        text = self.text.toPlainText()
        if not text.strip():
            return
        if self._job is not None:
            self._pause.start(_PAUSE_MS)
            return
        folder = str(self._path.parent if self._path is not None else Path.home())
        self._job = self._looker.submit("study-size", {"text": text, "folder": folder})
        self._job.done.connect(self._on_size)
        self._job.failed.connect(self._on_slip)
        self._job.cancelled.connect(self._forget)

    def set_finished(self, out: str) -> None:
        """The study is done; its report lies in `out`."""
        self.out = out
        self._enable()

    def _on_changed(self) -> None:
        self.wanted = None
        self._enable()
        self._pause.start(_PAUSE_MS)

    def _on_size(self, size: dict[str, Any]) -> None:
        self._forget()
        self.wanted = size
        groups = ", ".join(f"{count} {name}" for name, count in size["groups"].items())
        rays = self.tr("about {n} rays, simulated first") if size["simulated"] else self.tr("{n} rays")
        lines = [
            f"<b>{size['title']}</b>",
            self.tr("{n} scenarios ({groups}), {m} methods").format(
                n=size["scenarios"], groups=groups, m=size["methods"]
            ),
            self.tr("{n} anatomies, ").format(n=size["anatomies"]) + rays.format(n=f"{size['rays']:,}"),
            self.tr("{n} cells to compute").format(n=f"{size['cells']:,}"),
        ]
        if size["least_s"] is not None:
            lines.append(
                self.tr("at least {t} on this computer: the range model alone, by its speed measured now").format(
                    t=duration(size["least_s"])
                )
            )
        self.about.setText("<br>".join(lines))
        self._enable()
        self.sized.emit()

    def _on_slip(self, _code: str, text: str) -> None:
        self._forget()
        self.about.setText(f"<font color='#D9480F'><b>{self.tr('Not usable yet')}</b></font><br>{text}")
        self.sized.emit()

    def _forget(self) -> None:
        self._job = None

    def _enable(self) -> None:
        self.run.setEnabled(self.wanted is not None)
        self.report.setEnabled(bool(self.out))

    def _start(self) -> None:
        if self._path is None or not self._saved():
            folder = Path(tempfile.mkdtemp(prefix="protonqa-study-")) if self._path is None else self._path.parent
            if not self.write(self._path or folder / "study.yaml"):
                return
        self.run_wanted.emit(str(self._path))

    def _saved(self) -> bool:
        try:
            return self._path is not None and self._path.read_text(encoding="utf-8-sig") == self.text.toPlainText()
        except (OSError, UnicodeDecodeError):
            return False

    def _ask_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, self.tr("Open a study file"), "", "YAML (*.yaml *.yml)")
        if path:
            self.read(Path(path))

    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, self.tr("Save the study file"), "study.yaml", "YAML (*.yaml)")
        if path:
            self.write(Path(path))
