"""The controls of a what-if question, with undo."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QUndoCommand, QUndoStack
from PySide6.QtWidgets import QCheckBox, QComboBox, QFormLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from protonqa.app.field_rays import FieldRays
from protonqa.app.what_if import BEYOND_R80_MM
from protonqa_gui.value_slider import ValueSlider

WASHOUTS = ("none", "mizuno-brain", "mizuno-muscle", "parodi-hu", "toramatsu-o15")
WINDOWS_MM = (100.0, 125.0, 150.0)
_SLIDERS = ("delay_s", "irradiation_s", "acquisition_s", "psf_mm", "fraction_factor", "half_life_factor", "counts")


class _Change(QUndoCommand):
    """From one question to the next; changes of the same control in a row are one step."""

    def __init__(self, owner: WhatIfControls, before: dict[str, Any], after: dict[str, Any], text: str) -> None:
        super().__init__(text)
        self._owner, self._before, self._after = owner, before, after

    def undo(self) -> None:
        self._owner.restore(self._before)

    def redo(self) -> None:
        self._owner.restore(self._after)


class WhatIfControls(QWidget):
    """Signal ``asked(preview)``: the question is another one; `preview` while something is still being dragged."""

    asked = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.undo = QUndoStack(self)
        self._settled: dict[str, Any] = {}
        self._nominal: dict[str, Any] = {}
        self._tissues: dict[str, list[str]] = {}
        self.window_mm: float | None = None
        self.window_end_mm = BEYOND_R80_MM
        self.sliders = {
            "delay_s": ValueSlider(0, 3600, unit="s"),
            "irradiation_s": ValueSlider(0, 600, unit="s"),
            "acquisition_s": ValueSlider(0, 3600, unit="s"),
            "psf_mm": ValueSlider(0, 15, unit="mm", decimals=1),
            "fraction_factor": ValueSlider(0.25, 4, decimals=2, logarithmic=True),
            "half_life_factor": ValueSlider(0.25, 4, decimals=2, logarithmic=True),
            "counts": ValueSlider(1e3, 1e8, logarithmic=True),
        }
        self.washout, self.tissue = QComboBox(), QComboBox()
        self.washout.addItems(WASHOUTS)
        self.tissue.addItem(self.tr("all"), "")
        self.noise = QCheckBox(self.tr("Counting noise, counts a ray"))
        self.compare = QCheckBox(self.tr("Compare with the raw production"))
        self._arrange()
        self._connect()

    def _arrange(self) -> None:
        form = QFormLayout()
        titles = {
            "delay_s": self.tr("Delay"),
            "irradiation_s": self.tr("Irradiation"),
            "acquisition_s": self.tr("Acquisition"),
            "psf_mm": self.tr("Resolution (FWHM)"),
        }
        for name, title in titles.items():
            form.addRow(title, self.sliders[name])
            self.sliders[name].setAccessibleName(title)
        form.addRow(self.tr("Washout model"), self.washout)
        form.addRow(self.tr("Tissue"), self.tissue)
        form.addRow(self.tr("Washed-out share x"), self.sliders["fraction_factor"])
        form.addRow(self.tr("Half-lives x"), self.sliders["half_life_factor"])
        form.addRow(self.noise)
        form.addRow(self.sliders["counts"])
        row = QHBoxLayout()
        self._windows = [QPushButton(self.tr("all depths"))]
        self._windows += [QPushButton(f"{length:g} mm") for length in WINDOWS_MM]
        for length, button in zip((None, *WINDOWS_MM), self._windows, strict=True):
            button.setMinimumWidth(button.fontMetrics().horizontalAdvance(button.text()) + 14)
            button.clicked.connect(lambda _=False, value=length: self.set_window(value, BEYOND_R80_MM))
            row.addWidget(button)
        form.addRow(self.tr("Depth window"), row)
        self.reset = QPushButton(self.tr("Back to the measurement"))
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(self.compare)
        column.addWidget(self.reset)
        column.addStretch(1)

    def _connect(self) -> None:
        for slider in self.sliders.values():
            slider.moving.connect(lambda _: self.asked.emit(True))
            slider.settled.connect(lambda _: self._settle(self.tr("change")))
        self.washout.activated.connect(self._on_washout)
        self.tissue.activated.connect(lambda _: self._settle(self.tr("tissue")))
        self.noise.toggled.connect(lambda _: self._settle(self.tr("noise")))
        self.reset.clicked.connect(self.back_to_measurement)
        self.sliders["counts"].set_value(1e5)

    def set_tissues(self, tissues: dict[str, list[str]]) -> None:
        """Which tissues each washout model tells apart."""
        self._tissues = tissues
        self._offer_tissues()

    def set_rays(self, rays: FieldRays) -> None:
        """Start from how the field was measured."""
        line = rays.times
        self._nominal = {
            "irradiation_s": line.irradiation_s,
            "delay_s": line.delay_s,
            "acquisition_s": line.acquisition_s,
            "washout": rays.washout,
            "psf_mm": rays.psf_mm,
            "fraction_factor": 1.0,
            "half_life_factor": 1.0,
            "tissue": "",
            "counts": None,
            "window_mm": None,
            "window_end_mm": BEYOND_R80_MM,
        }
        self.undo.clear()
        self._show(self._nominal)
        self._settled = self.question()
        self.asked.emit(False)

    def question(self) -> dict[str, Any]:
        """The fields of `protonqa.app.what_if.WhatIf`."""
        values: dict[str, Any] = {name: self.sliders[name].value() for name in _SLIDERS if name != "counts"}
        values["counts"] = self.sliders["counts"].value() if self.noise.isChecked() else None
        values["washout"] = self.washout.currentText()
        values["tissue"] = str(self.tissue.currentData() or "")
        values["window_mm"], values["window_end_mm"] = self.window_mm, self.window_end_mm
        return values

    def drag_window(self, length_mm: float, end_mm: float) -> None:
        """The edges of the window are being dragged in the plot."""
        self.window_mm, self.window_end_mm = max(length_mm, 1.0), end_mm
        self.asked.emit(True)

    def set_window(self, length_mm: float | None, end_mm: float) -> None:
        """The window was let go, or chosen; None keeps all depths."""
        self.window_mm = None if length_mm is None else max(length_mm, 1.0)
        self.window_end_mm = end_mm
        self._settle(self.tr("depth window"))

    def back_to_measurement(self) -> None:
        """Every control as the field was measured."""
        if self._nominal:
            self._show(self._nominal)
            self._settle(self.tr("back to the measurement"))

    def restore(self, question: dict[str, Any]) -> None:
        """Show a question and ask it, as undo does."""
        self._show(question)
        self._settled = self.question()
        self.asked.emit(False)

    def _settle(self, text: str) -> None:
        after = self.question()
        if self._settled and after != self._settled:
            before, self._settled = self._settled, after
            self.undo.push(_Change(self, before, after, text))
        else:
            self.asked.emit(False)

    def _on_washout(self) -> None:
        self._offer_tissues()
        self._settle(self.tr("washout model"))

    def _offer_tissues(self) -> None:
        chosen = str(self.tissue.currentData() or "")
        names = self._tissues.get(self.washout.currentText(), [])
        self.tissue.clear()
        self.tissue.addItem(self.tr("all"), "")
        if len(names) > 1:
            for name in names:
                self.tissue.addItem(name.replace("_", " ").replace("-", " "), name)
        self.tissue.setCurrentIndex(max(self.tissue.findData(chosen), 0))
        for name in ("fraction_factor", "half_life_factor"):
            self.sliders[name].setEnabled(self.washout.currentText() != "none")

    def _show(self, question: dict[str, Any]) -> None:
        self.noise.blockSignals(True)
        for name in _SLIDERS:
            if question[name] is not None:
                self.sliders[name].set_value(question[name])
        self.noise.setChecked(question["counts"] is not None)
        self.washout.setCurrentText(question["washout"])
        self._offer_tissues()
        self.tissue.setCurrentIndex(max(self.tissue.findData(question["tissue"]), 0))
        self.window_mm, self.window_end_mm = question["window_mm"], question["window_end_mm"]
        self.noise.blockSignals(False)
