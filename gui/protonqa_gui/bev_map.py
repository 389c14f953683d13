"""The beam's-eye view: range differences of all rays as a map; a click chooses a ray."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from protonqa.app.field_rays import FieldRays
from protonqa_gui.theme import CROSS_HAIR, DIVERGING, Theme, paint_plot

Floats = NDArray[np.float64]


class BevMap(QWidget):
    """A map of one quantity over the lattice of the rays. Signal ``chosen(row)``: the ray the user clicked."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rays: FieldRays | None = None
        self._limit_mm = 6.0
        self._row = -1
        self._quantity = QComboBox()
        self._quantity.setAccessibleName(self.tr("Quantity of the map"))
        for key, title in (
            ("shift", self.tr("Range difference (mm)")),
            ("a50", self.tr("A50 difference (mm)")),
            ("planned", self.tr("Planned R80 (mm)")),
        ):
            self._quantity.addItem(title, key)
        self._value = QLabel(self.tr("Verify the case to see its rays."))
        self._plot = pg.PlotWidget()
        self._plot.setMinimumSize(160, 140)
        self._plot.setMenuEnabled(False)
        self._plot.hideButtons()
        self._plot.setAspectLocked(True)
        self._plot.setLabel("bottom", self.tr("BEV x (mm)"))
        self._plot.setLabel("left", self.tr("BEV y (mm)"))
        self._image = pg.ImageItem()
        self._plot.addItem(self._image)
        self._bar = pg.ColorBarItem(interactive=False, width=12)
        self._bar.setImageItem(self._image, insert_in=self._plot.getPlotItem())
        self._spot = pg.ScatterPlotItem(size=16, symbol="s", brush=None, pen=pg.mkPen(CROSS_HAIR, width=3))
        self._spot.setZValue(5)
        self._plot.addItem(self._spot)
        top = QHBoxLayout()
        top.addWidget(QLabel(self.tr("<b>Beam's-eye view</b>")))
        top.addWidget(self._quantity, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addLayout(top)
        column.addWidget(self._plot, 1)
        column.addWidget(self._value)
        self._quantity.currentIndexChanged.connect(self._draw)
        self._plot.scene().sigMouseClicked.connect(self._on_click)

    def set_theme(self, theme: Theme) -> None:
        """Background and ink."""
        self._plot.setBackground(theme.background)
        paint_plot(self._plot.getPlotItem(), theme)

    def set_rays(self, rays: FieldRays | None, *, limit_mm: float = 6.0) -> None:
        """Show the rays of a field, or none."""
        self._rays, self._limit_mm, self._row = rays, limit_mm, -1
        self._spot.clear()
        self._draw()

    def set_chosen(self, row: int) -> None:
        """Mark a ray; -1 marks none."""
        self._row = row
        rays = self._rays
        if rays is None or row < 0:
            self._spot.clear()
            return
        x, y = rays.x_mm[rays.lattice[row, 1]], rays.y_mm[rays.lattice[row, 0]]
        self._spot.setData([x], [y])
        value = self._values(rays)[row]
        shown = self.tr("no answer") if not np.isfinite(value) else f"{value:+.1f} mm"
        self._value.setText(self.tr("Ray at x {x:+.0f}, y {y:+.0f} mm: {value}").format(x=x, y=y, value=shown))

    def row_at(self, x_mm: float, y_mm: float) -> int:
        """The ray nearest to a BEV position, at most one pitch away; -1 where there is none."""
        if self._rays is None or not self._rays.n_ray:
            return -1
        place = np.stack([self._rays.x_mm[self._rays.lattice[:, 1]], self._rays.y_mm[self._rays.lattice[:, 0]]], axis=1)
        distance = np.abs(place - (x_mm, y_mm)).max(axis=1)
        row = int(distance.argmin())
        return row if distance[row] <= self._rays.pitch_mm else -1

    def _values(self, rays: FieldRays) -> Floats:
        key = self._quantity.currentData()
        if key == "planned":
            return rays.planned_r80_mm
        if key == "a50":
            return np.where(rays.evaluable, rays.a50_mm - rays.expected_a50_mm, np.nan)
        return np.where(rays.used, rays.shift_mm, np.nan)

    def _draw(self) -> None:
        rays = self._rays
        self._image.setVisible(rays is not None)
        if rays is None:
            self._value.setText(self.tr("Verify the case to see its rays."))
            return
        image = np.full((rays.y_mm.size, rays.x_mm.size), np.nan)
        values = self._values(rays)
        image[rays.lattice[:, 0], rays.lattice[:, 1]] = values
        planned = self._quantity.currentData() == "planned"
        known = values[np.isfinite(values)]
        levels = (-self._limit_mm, self._limit_mm)
        if planned and known.size:
            levels = (float(known.min()), float(known.max()) + 1e-6)
        self._bar.setColorMap(pg.colormap.get("viridis" if planned else DIVERGING))
        self._image.setImage(image, autoLevels=False)
        self._bar.setLevels(levels)
        half = 0.5 * rays.pitch_mm
        left, bottom = float(rays.x_mm[0]) - half, float(rays.y_mm[0]) - half
        rect = QRectF(left, bottom, rays.x_mm.size * rays.pitch_mm, rays.y_mm.size * rays.pitch_mm)
        self._image.setRect(rect)
        self._plot.getPlotItem().vb.setRange(rect, padding=0.05)
        self._value.setText(self.tr("{n} rays of beam {beam}; click one.").format(n=known.size, beam=rays.beam))
        self.set_chosen(self._row)

    def _on_click(self, event: Any) -> None:
        place = self._plot.getPlotItem().vb.mapSceneToView(event.scenePos())
        row = self.row_at(place.x(), place.y())
        if row >= 0:
            self.chosen.emit(row)
