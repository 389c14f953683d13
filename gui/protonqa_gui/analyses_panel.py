"""All analyses through one interface: list, inputs, form, run; the result beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSpinBox,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from protonqa_gui.command_text import batch_file, command_line
from protonqa_gui.result_view import ResultView
from protonqa_gui.schema_form import SchemaForm
from protonqa_gui.theme import Theme

VERIFY = "range-verification"


class AnalysesPanel(QWidget):
    """Signals: ``run_wanted(name, inputs, params, seed)``, ``told(kind, text)`` for the message bar."""

    run_wanted = Signal(str, object, object, int)
    told = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._analyses: list[dict[str, Any]] = []
        self._case_paths: dict[str, str] = {}
        self._kept: dict[str, dict[str, Any]] = {}
        self._inputs: dict[str, QLineEdit] = {}
        self.current: dict[str, Any] | None = None
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Analyses"))
        self.list.setMaximumHeight(96)
        self.title = QLabel()
        self.title.setWordWrap(True)
        self._input_rows = QFormLayout()
        self.form = SchemaForm()
        self.seed = QSpinBox()
        self.seed.setRange(0, 2_147_483_647)
        self.run = QPushButton(self.tr("&Run"))
        self.reset = QPushButton(self.tr("Reset"))
        self.copy = QPushButton(self.tr("Copy as command line"))
        self.save = QPushButton(self.tr("Save as batch file..."))
        self.result = ResultView()
        self._arrange()
        self.list.currentRowChanged.connect(self._on_chosen)
        self.run.clicked.connect(self.start)
        self.reset.clicked.connect(self.form.reset)
        self.copy.clicked.connect(self._copy)
        self.save.clicked.connect(self._ask_batch_file)

    def _arrange(self) -> None:
        left = QWidget()
        column = QVBoxLayout(left)
        column.addWidget(self.list)
        column.addWidget(self.title)
        column.addLayout(self._input_rows)
        column.addWidget(self.form, 1)
        row = QHBoxLayout()
        row.addWidget(QLabel(self.tr("Seed")))
        row.addWidget(self.seed)
        row.addStretch(1)
        row.addWidget(self.reset)
        row.addWidget(self.run)
        column.addLayout(row)
        row = QHBoxLayout()
        row.addWidget(self.copy)
        row.addWidget(self.save)
        column.addLayout(row)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.addWidget(left)
        self.splitter.addWidget(self.result)
        self.splitter.setSizes([470, 800])
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.splitter)

    def set_theme(self, theme: Theme) -> None:
        """Colours of the figures."""
        self.result.set_theme(theme)

    def set_analyses(self, analyses: list[dict[str, Any]]) -> None:
        """Offer the analyses; those that are off or broken say why and cannot be chosen."""
        self._analyses = analyses
        self.list.clear()
        for one in analyses:
            obstacle = one["problem"] or ("" if one["enabled"] else self.tr("not enabled"))
            item = QListWidgetItem(f"{one['title']}  {one['version']}" + (f"  ({obstacle})" if obstacle else ""))
            item.setToolTip(f"{one['name']}, {one['origin']}")
            if obstacle:
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.list.addItem(item)
        names = [one["name"] for one in analyses]
        self.list.setCurrentRow(names.index(VERIFY) if VERIFY in names else 0)

    def set_case(self, paths: dict[str, str]) -> None:
        """The open case becomes the input of every analysis that takes a case."""
        self._case_paths = dict(paths)
        for option, line in self._inputs.items():
            if option in paths:
                line.setText(paths[option])

    def choose(self, name: str) -> bool:
        """Choose an analysis by its name; False where it is not there."""
        names = [one["name"] for one in self._analyses]
        if name not in names:
            return False
        self.list.setCurrentRow(names.index(name))
        return True

    def set_busy(self, busy: bool) -> None:
        """No second run while one is in work."""
        self.run.setEnabled(not busy)

    def inputs(self) -> dict[str, str]:
        """Paths by the options of the inputs."""
        return {option: line.text().strip() for option, line in self._inputs.items() if line.text().strip()}

    def values_of(self, name: str) -> dict[str, Any]:
        """Parameters of an analysis as they stand in its form, where they differ from their defaults."""
        if self.current is not None and self.current["name"] == name:
            return self.form.values()
        return dict(self._kept.get(name, {}))

    def start(self) -> None:
        """Ask for a run, or say what is missing."""
        if self.current is None:
            return
        problems = self.form.problems()
        given = self.inputs()
        problems += [
            self.tr("{option} is needed").format(option=one["option"])
            for one in self.current["options"]
            if one["needed"] and one["option"] not in given
        ]
        if problems:
            self.told.emit("error", "; ".join(problems))
            return
        self.run_wanted.emit(self.current["name"], given, self.form.values(), self.seed.value())

    def command_text(self) -> str:
        """The run as a command line."""
        name = "" if self.current is None else self.current["name"]
        return command_line(name, self.inputs(), self.form.values(), f"{name}-out", seed=self.seed.value())

    def write_batch_file(self, path: Path) -> None:
        """The run as a batch file with the open case as its first case."""
        if self.current is None:
            return
        given = self.inputs()
        case = Path(given["ct"]).parent.name if "ct" in given else "case-1"
        text = batch_file(self.current["name"], case, given, self.form.values(), seed=self.seed.value())
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            self.told.emit("error", self.tr("The batch file was not written: {why}").format(why=error.strerror))
            return
        self.told.emit("done", self.tr("Written. Run it with: protonqa batch FILE --out FOLDER"))

    def _on_chosen(self, row: int) -> None:
        if self.current is not None:
            self._kept[self.current["name"]] = self.form.values()
        self.current = self._analyses[row] if 0 <= row < len(self._analyses) else None
        one = self.current
        if one is None:
            return
        about = one["parameters"].get("description", "")
        self.title.setText(f"<b>{one['title']}</b> {one['version']}<br>{about}")
        while self._input_rows.rowCount():
            self._input_rows.removeRow(0)
        self._inputs = {each["option"]: self._input_row(each) for each in one["options"]}
        self.form.set_schema(one["parameters"])
        for name, value in self._kept.get(one["name"], {}).items():
            self.form.set_value(name, value)

    def _input_row(self, about: dict[str, Any]) -> QLineEdit:
        line = QLineEdit(self._case_paths.get(about["option"], ""))
        line.setPlaceholderText(about["help"] + ("" if about["needed"] else self.tr(" (optional)")))
        line.setToolTip(about["help"])
        line.setAccessibleName(about["option"])
        browse = QToolButton()
        browse.setText("...")
        browse.setAccessibleName(self.tr("Choose {what}").format(what=about["option"]))
        browse.clicked.connect(lambda: self._browse(line, about["help"]))
        row = QHBoxLayout()
        row.addWidget(line, 1)
        row.addWidget(browse)
        self._input_rows.addRow(about["option"].replace("_", " "), row)
        return line

    def _browse(self, line: QLineEdit, title: str) -> None:
        folder = "folder" in title.lower()
        start = line.text()
        if folder:
            chosen = QFileDialog.getExistingDirectory(self, title, start)
        else:
            chosen = QFileDialog.getOpenFileName(self, title, start)[0]
        if chosen:
            line.setText(chosen)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.command_text())
        self.told.emit("done", self.tr("Copied: {text}").format(text=self.command_text()))

    def _ask_batch_file(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, self.tr("Save as batch file"), "BATCH.yaml", "YAML (*.yaml)")
        if path:
            self.write_batch_file(Path(path))
