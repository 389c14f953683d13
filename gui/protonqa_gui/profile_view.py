"""The heart: one ray in depth, what-if controls beside it, and the numbers of the ray and of the whole field."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QScrollArea,
    QSpinBox,
    QSplitter,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from protonqa.app.field_rays import FieldRays
from protonqa.app.what_if import numbers
from protonqa_gui.asker import Arrays, Asker
from protonqa_gui.profile_plot import ProfilePlot
from protonqa_gui.theme import Theme
from protonqa_gui.what_if_controls import WASHOUTS, WhatIfControls
from protonqa_gui.worker import Worker


class ProfileView(QWidget):
    """Signals: ``ray_chosen(row)`` from here, ``trouble(text)``."""

    ray_chosen = Signal(int)
    trouble = Signal(str)

    def __init__(self, worker: Worker, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._worker = worker
        self.rays: FieldRays | None = None
        self.row = -1
        self.answer: Arrays | None = None
        self.field_numbers: dict[str, Any] = {}
        self.asker = Asker(worker, self)
        self.plot, self.controls = ProfilePlot(), WhatIfControls()
        self.ray = QSpinBox()
        self.ray.setPrefix(self.tr("ray "))
        self.ray.setAccessibleName(self.tr("Number of the ray"))
        self.state = QLabel(self.tr("Verify the case (F5) to see its rays."))
        self.ray_table = _table(self.tr("This ray"))
        self.field_table = _table(self.tr("All evaluable rays"))
        self._arrange()
        self._connect()
        self._enable(False)

    def _arrange(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.ray)
        top.addWidget(self.state, 1)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(4, 2, 4, 2)
        column.addLayout(top)
        column.addWidget(self.plot, 1)
        side = QWidget()
        rows = QVBoxLayout(side)
        rows.addWidget(self.controls)
        rows.addWidget(self.ray_table)
        rows.addWidget(self.field_table)
        rows.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(side)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumWidth(side.minimumSizeHint().width() + scroll.verticalScrollBar().sizeHint().width() + 4)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.addWidget(left)
        self.splitter.addWidget(scroll)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setSizes([900, 420])
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.splitter)

    def _connect(self) -> None:
        self.ray.valueChanged.connect(self._on_ray)
        self.controls.asked.connect(self._ask)
        self.controls.compare.toggled.connect(lambda _: self._draw_answer())
        self.plot.window_dragged.connect(lambda a, b: self._on_window(a, b, dragging=True))
        self.plot.window_dropped.connect(lambda a, b: self._on_window(a, b, dragging=False))
        self.asker.one.connect(self._on_one)
        self.asker.field.connect(self._on_field)
        self.asker.failed.connect(self.trouble)
        self.asker.busy_changed.connect(self._on_busy)

    def set_theme(self, theme: Theme) -> None:
        """Colours of the plot."""
        self.plot.set_theme(theme)

    def set_rays(self, rays: FieldRays, path: str) -> None:
        """Show the rays of a verified field; `path` is where the worker finds them."""
        self.rays, self.row, self.answer, self.field_numbers = rays, -1, None, {}
        self._fill(self.field_table, [])
        self.asker.set_rays(path)
        self.ray.blockSignals(True)
        self.ray.setRange(0, rays.n_ray - 1)
        self.ray.blockSignals(False)
        self._enable(True)
        self._worker.submit("tissues", {"models": list(WASHOUTS)}).done.connect(self.controls.set_tissues)

    def clear(self) -> None:
        """No rays: another case was opened."""
        self.rays, self.row, self.answer = None, -1, None
        self.asker.set_rays("")
        self._enable(False)
        self.state.setText(self.tr("Verify the case (F5) to see its rays."))

    def set_ray(self, row: int) -> None:
        """Show a ray; the first one starts from how the field was measured."""
        if self.rays is None or row == self.row:
            return
        first, self.row = self.row < 0, row
        self.ray.blockSignals(True)
        self.ray.setValue(row)
        self.ray.blockSignals(False)
        self.plot.set_ray(self.rays, row)
        if first:
            self.controls.set_rays(self.rays)
        else:
            self.plot.set_window(self.controls.window_mm, self.controls.window_end_mm)
            self._ask(False, only_ray=True)
        self._fill_ray()

    def _enable(self, on: bool) -> None:
        for one in (self.controls, self.ray, self.plot):
            one.setEnabled(on)

    def _on_ray(self, row: int) -> None:
        self.set_ray(row)
        self.ray_chosen.emit(row)

    def _ask(self, preview: bool, *, only_ray: bool = False) -> None:
        rays = self.rays
        if rays is None or self.row < 0:
            return
        self.plot.set_window(self.controls.window_mm, self.controls.window_end_mm)
        if not np.isfinite(rays.planned_r80_mm[self.row]):
            self.state.setText(self.tr("This ray has no planned range; what-if needs one."))
            return
        rows = [] if only_ray else np.flatnonzero(rays.evaluable & np.isfinite(rays.planned_r80_mm)).tolist()
        self.asker.ask(self.controls.question(), self.row, preview=preview, field_rows=rows)

    def _on_window(self, start_mm: float, end_mm: float, *, dragging: bool) -> None:
        if self.rays is None or self.row < 0:
            return
        planned = float(self.rays.planned_r80_mm[self.row])
        if not np.isfinite(planned):
            return
        length, end = end_mm - start_mm, end_mm - planned
        if dragging:
            self.controls.drag_window(length, end)
        else:
            self.controls.set_window(length, end)

    def _on_one(self, answer: Arrays, preview: bool) -> None:
        if self.rays is None or int(answer["rows"][0]) != self.row:
            return
        self.answer = {**answer, "preview": np.array(preview)}
        self._draw_answer()
        self._fill_ray()

    def _on_field(self, answer: Arrays) -> None:
        if self.rays is None:
            return
        found = numbers(self.rays, answer["rows"], answer["r80_mm"], answer["measured_r80_mm"])
        self.field_numbers = found
        rows = [
            (self.tr("Rays answered"), f"{found['answered']} / {found['rays']}"),
            (self.tr("Range error, mean"), _mm(found["mean_mm"], signed=True)),
            (self.tr("Range uncertainty (SD)"), _mm(found["sd_mm"])),
            (self.tr("Mean absolute error"), _mm(found["mae_mm"])),
            (self.tr("95th percentile"), _mm(found["p95_mm"])),
            (self.tr("Shift, measured - expected"), _mm(found["shift_mm"], signed=True)),
        ]
        self._fill(self.field_table, rows)

    def _on_busy(self, busy: bool) -> None:
        if self.rays is not None:
            self.state.setText(self.tr("computing...") if busy else self._where())

    def _where(self) -> str:
        rays, row = self.rays, self.row
        if rays is None or row < 0:
            return ""
        x, y = rays.lateral_mm[row]
        kind = self.tr("evaluable") if rays.evaluable[row] else self.tr("not evaluable")
        method = self.tr("range model") if rays.method == "model" else self.tr("A50")
        return self.tr("beam {beam}, x {x:+.0f}, y {y:+.0f} mm, {kind}; judged by {method}").format(
            beam=rays.beam, x=x, y=y, kind=kind, method=method
        )

    def _draw_answer(self) -> None:
        if self.answer is not None:
            compare = self.controls.compare.isChecked()
            self.plot.set_answer(self.answer, preview=bool(self.answer["preview"]), compare=compare)

    def _fill_ray(self) -> None:
        rays, row = self.rays, self.row
        if rays is None or row < 0:
            return
        planned = rays.planned_r80_mm[row]
        rows = [
            (self.tr("R80 planned"), _mm(planned)),
            (self.tr("R80 measured"), _with_interval(rays.r80_mm[row], rays.low_mm[row], rays.high_mm[row])),
            (self.tr("R80 expected, verified"), _mm(rays.expected_r80_mm[row])),
            (self.tr("Shift, measured - expected"), _mm(rays.shift_mm[row], signed=True)),
            (self.tr("A50 measured / expected"), f"{_mm(rays.a50_mm[row])} / {_mm(rays.expected_a50_mm[row])}"),
        ]
        found = self.answer
        if found is not None and int(found["rows"][0]) == row:
            preview = self.tr(" (one member)") if bool(found["preview"]) else ""
            r80 = found["r80_mm"][0]
            rows.append(
                (
                    self.tr("What if: R80 expected"),
                    _with_interval(r80, found["low_mm"][0], found["high_mm"][0]) + preview,
                )
            )
            rows.append((self.tr("What if: error"), _mm(r80 - planned, signed=True)))
            rows.append((self.tr("What if: R80 measured"), _mm(found["measured_r80_mm"][0])))
            if self.controls.compare.isChecked():
                rows.append((self.tr("Raw production: error"), _mm(found["raw_r80_mm"][0] - planned, signed=True)))
            if reason := str(found["reasons"][0]):
                rows.append((self.tr("No answer"), reason))
        self._fill(self.ray_table, rows)

    def _fill(self, table: QTableWidget, rows: list[tuple[str, str]]) -> None:
        table.setRowCount(len(rows))
        for place, (name, value) in enumerate(rows):
            for column, text in enumerate((name, value)):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                table.setItem(place, column, item)
        table.resizeRowsToContents()
        height = table.horizontalHeader().height() + sum(table.rowHeight(i) for i in range(len(rows))) + 6
        table.setFixedHeight(max(height, 40))


def _table(title: str) -> QTableWidget:
    table = QTableWidget(0, 2)
    table.setHorizontalHeaderLabels([title, ""])
    table.verticalHeader().hide()
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setShowGrid(False)
    table.setAccessibleName(title)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.setFixedHeight(40)
    return table


def _mm(value: float | None, *, signed: bool = False) -> str:
    if value is None or not np.isfinite(value):
        return "-"
    return f"{value:+.2f} mm" if signed else f"{value:.2f} mm"


def _with_interval(value: float, low: float, high: float) -> str:
    if not np.isfinite([value, low, high]).all():
        return _mm(value)
    return f"{value:.2f} mm ({low:.1f} to {high:.1f})"
