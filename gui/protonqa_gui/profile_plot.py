"""The depth profile of one ray: activities on the left axis, dose and RSP on the right, range marks, depth window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from protonqa.app.field_rays import FieldRays
from protonqa_gui import theme as colours
from protonqa_gui.asker import Arrays
from protonqa_gui.theme import Theme, paint_plot

Floats = NDArray[np.float64]
_DASH, _DOT = Qt.PenStyle.DashLine, Qt.PenStyle.DotLine


class ProfilePlot(QWidget):
    """Signals, both with start and end in mm: ``window_dragged`` while an edge is dragged, ``window_dropped`` after."""

    window_dragged = Signal(float, float)
    window_dropped = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rays: FieldRays | None = None
        self._row = -1
        self.plot = pg.PlotWidget()
        self.item = self.plot.getPlotItem()
        self.item.setMenuEnabled(False)
        self.item.setLabel("bottom", self.tr("depth from the body surface (mm)"))
        self.item.setLabel("left", self.tr("activity (maximum of the ray 1)"))
        self.item.showAxis("right")
        self.item.setLabel("right", self.tr("dose (maximum 1), RSP"))
        self.item.showGrid(x=True, y=True, alpha=0.15)
        self._right = pg.ViewBox(enableMenu=False)
        self.item.scene().addItem(self._right)
        self.item.getAxis("right").linkToView(self._right)
        self._right.setXLink(self.item)
        self.item.vb.sigResized.connect(self._on_resized)
        self.item.hideButtons()
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self._make_curves()
        self._make_marks()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.legend)
        column.addWidget(self.plot, 1)

    def _make_curves(self) -> None:
        self.curves: dict[str, pg.PlotDataItem] = {}
        left = (
            ("measured", self.tr("measured activity"), {"pen": None, "symbol": "o", "symbolSize": 5}, colours.MEASURED),
            ("expected", self.tr("expected activity, verified"), {"style": _DOT, "width": 1}, colours.EXPECTED),
            ("what_if", self.tr("expected activity, what if"), {"width": 2}, colours.EXPECTED),
            ("raw", self.tr("raw production"), {"style": _DASH, "width": 2}, colours.RAW),
        )
        right = (
            ("planned", self.tr("planned dose"), {"width": 2}, colours.PLANNED),
            ("dose", self.tr("predicted dose"), {"width": 2, "style": _DASH}, colours.PREDICTED),
            ("rsp", self.tr("RSP"), {"width": 1}, colours.RSP),
        )
        for name, title, look, colour in left:
            self.curves[name] = self._curve(title, look, colour)
            self.item.addItem(self.curves[name])
        for name, title, look, colour in right:
            curve = self._curve(title, look, colour)
            self.curves[name] = curve
            self._right.addItem(curve)
        signs = {"measured": "●", "expected": "┈┈", "raw": "╌╌", "dose": "╌╌"}
        self.legend.setText(
            " &nbsp; ".join(
                f"<span style='white-space: nowrap'><font color='{colour}'><b>{signs.get(name, '━━')}</b></font>"
                f"&nbsp;{title.replace(' ', '&nbsp;')}</span>"
                for name, title, _, colour in (*left, *right)
            )
        )
        self._band_edges = (pg.PlotCurveItem(pen=None), pg.PlotCurveItem(pen=None))
        fill = pg.mkColor(colours.PREDICTED)
        fill.setAlpha(50)
        self._band = pg.FillBetweenItem(*self._band_edges, brush=fill)
        for one in (*self._band_edges, self._band):
            self._right.addItem(one)
        self._right.setYRange(0, 1.45, padding=0.0)
        self.item.vb.setYRange(0, 1.45, padding=0.0)

    def _curve(self, title: str, look: dict[str, Any], colour: str) -> pg.PlotDataItem:
        if "symbol" in look:
            return pg.PlotDataItem(name=title, **look, symbolBrush=colour, symbolPen=None)
        return pg.PlotDataItem(name=title, pen=pg.mkPen(colour, **look))

    def _make_marks(self) -> None:
        self.marks: dict[str, pg.InfiniteLine] = {}
        named = (
            ("planned", self.tr("R80 planned"), colours.PLANNED, 0.97),
            ("measured", self.tr("R80 measured"), colours.PREDICTED, 0.925),
            ("what_if", self.tr("R80 what if"), colours.EXPECTED, 0.88),
            ("a50", self.tr("A50 measured"), colours.MEASURED, 0.835),
            ("a50_expected", self.tr("A50 what if"), colours.RAW, 0.79),
        )
        for name, title, colour, height in named:
            line = pg.InfiniteLine(
                angle=90,
                pen=pg.mkPen(colour, width=2 if name.startswith(("planned", "measured")) else 1),
                label=title + " {value:.1f} mm",
                labelOpts={"position": height, "color": colour, "anchors": [(1.03, 0.5), (1.03, 0.5)]},
            )
            line.setZValue(5)
            line.hide()
            self.marks[name] = line
            self.item.addItem(line, ignoreBounds=True)
        shade = pg.mkColor(colours.CROSS_HAIR)
        shade.setAlpha(28)
        edge, held = pg.mkPen(colours.CROSS_HAIR, width=3), pg.mkPen(colours.CROSS_HAIR, width=6)
        self.region = pg.LinearRegionItem(brush=shade, hoverBrush=shade, pen=edge, hoverPen=held, swapMode="block")
        self.region.setZValue(-5)
        self.item.addItem(self.region, ignoreBounds=True)
        self.region.sigRegionChanged.connect(lambda: self.window_dragged.emit(*self.region.getRegion()))
        self.region.sigRegionChangeFinished.connect(lambda: self.window_dropped.emit(*self.region.getRegion()))

    def set_theme(self, theme: Theme) -> None:
        """Background and ink."""
        self.plot.setBackground(theme.background)
        paint_plot(self.item, theme)
        for line in self.marks.values():
            line.label.fill = pg.mkBrush(theme.background)
            line.label.update()

    def set_ray(self, rays: FieldRays, row: int) -> None:
        """Show what was measured, expected, planned and predicted along a ray."""
        self._rays, self._row = rays, row
        depth, seen = rays.depth_mm, rays.covered[row]
        self.curves["measured"].setData(depth[seen], _scaled(rays.measured[row])[seen])
        self.curves["expected"].setData(depth, _scaled(rays.expected[row]))
        self.curves["planned"].setData(depth, _scaled(rays.planned_dose[row]))
        self.curves["rsp"].setData(depth, rays.rsp[row])
        self.curves["what_if"].setData([], [])
        self.curves["raw"].setData([], [])
        self._set_dose(rays.dose[row], rays.r80_mm[row], rays.low_mm[row], rays.high_mm[row])
        self._mark("planned", rays.planned_r80_mm[row])
        self._mark("measured", rays.r80_mm[row])
        self._mark("a50", rays.a50_mm[row])
        self._mark("what_if", np.nan)
        self._mark("a50_expected", np.nan)
        self.item.vb.setXRange(0.0, float(depth[-1]), padding=0.01)

    def set_window(self, length_mm: float | None, end_mm: float) -> None:
        """Place the depth window of the ray; None is the whole profile."""
        if self._rays is None:
            return
        planned = float(self._rays.planned_r80_mm[self._row])
        last = float(self._rays.depth_mm[-1]) + 0.5
        end = planned + end_mm if np.isfinite(planned) else last
        start, stop = (0.0, last) if length_mm is None else (end - length_mm, end)
        self.region.blockSignals(True)
        self.region.setRegion((start, stop))
        self.region.blockSignals(False)

    def set_answer(self, answer: Arrays, *, preview: bool, compare: bool) -> None:
        """Show the answer to a what-if question about this ray."""
        rays = self._rays
        if rays is None or int(answer["rows"][0]) != self._row:
            return
        activity, window = answer["activity"][0], answer["window"][0]
        shown = np.where(window, _scaled(activity), np.nan)
        self.curves["what_if"].setData(rays.depth_mm, shown, connect="finite")
        raw = _scaled(answer["raw"][0])
        self.curves["raw"].setData(*((rays.depth_mm, raw) if compare else ([], [])))
        self._mark("what_if", answer["r80_mm"][0])
        self._mark("a50_expected", answer["a50_mm"][0])
        self._mark("measured", answer["measured_r80_mm"][0])
        low, high = answer["measured_low_mm"][0], answer["measured_high_mm"][0]
        self._set_dose(
            answer["measured_dose"][0], answer["measured_r80_mm"][0], *((np.nan, np.nan) if preview else (low, high))
        )

    def _set_dose(self, dose: Floats, r80_mm: float, low_mm: float, high_mm: float) -> None:
        """Predicted dose; its band is the curve moved to both ends of the interval of R80."""
        rays = self._rays
        known = bool(np.any(dose > 0)) and rays is not None
        depth = np.zeros(0) if rays is None else rays.depth_mm
        self.curves["dose"].setData(*((depth, dose) if known else ([], [])))
        banded = known and bool(np.isfinite([low_mm, high_mm, r80_mm]).all())
        for edge, end in zip(self._band_edges, (low_mm, high_mm), strict=True):
            edge.setData(*((depth + (end - r80_mm), dose) if banded else ([0.0, 1e-9], [0.0, 0.0])))

    def _mark(self, name: str, value_mm: float) -> None:
        line = self.marks[name]
        known = bool(np.isfinite(value_mm))
        line.setVisible(known)
        if known:
            line.setPos(float(value_mm))
            # A label that was hidden while the plot changed its size stands at its old place.
            line.label.valueChanged()
            line.label.updatePosition()

    def _on_resized(self) -> None:
        self._right.setGeometry(self.item.vb.sceneBoundingRect())
        self._right.linkedViewChanged(self.item.vb, self._right.XAxis)


def _scaled(curve: Floats) -> Floats:
    top = float(np.max(curve)) if curve.size else 0.0
    return np.asarray(curve / top) if top > 0 else np.asarray(curve, dtype=np.float64)
