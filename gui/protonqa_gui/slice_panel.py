"""One slice view: CT, overlay, outlines of beam and rays, cross-hair; scrolls, zooms, and says where the mouse is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from protonqa_gui.display_case import LETTERS, VIEW_AXES, DisplayVolume
from protonqa_gui.structures import DisplayStructure
from protonqa_gui.theme import CROSS_HAIR, PREDICTED

Points = NDArray[np.float64]


class _Pane(pg.ViewBox):
    """The wheel scrolls, with Ctrl it zooms; the left button moves the cross-hair, the middle one pans."""

    scrolled = Signal(int)
    pointed = Signal(object)
    reset = Signal()

    def wheelEvent(self, ev: Any, axis: int | None = None) -> None:  # noqa: N802
        if ev.modifiers() & Qt.KeyboardModifier.ControlModifier:
            super().wheelEvent(ev, axis)
            return
        self.scrolled.emit(1 if ev.delta() > 0 else -1)
        ev.accept()

    def mouseClickEvent(self, ev: Any) -> None:  # noqa: N802
        if ev.button() != Qt.MouseButton.LeftButton:
            return
        if ev.double():
            self.reset.emit()
        else:
            self.pointed.emit(self.mapSceneToView(ev.scenePos()))
        ev.accept()

    def mouseDragEvent(self, ev: Any, axis: int | None = None) -> None:  # noqa: N802
        if ev.button() == Qt.MouseButton.LeftButton and axis is None:
            self.pointed.emit(self.mapSceneToView(ev.scenePos()))
            ev.accept()
        else:
            super().mouseDragEvent(ev, axis)


class SlicePanel(QWidget):
    """A view of the case along one patient axis.

    Signals: ``moved(x, y, z)`` when the user puts the cross-hair elsewhere, ``hovered(x, y, z)`` under the mouse.
    """

    moved = Signal(float, float, float)
    hovered = Signal(float, float, float)

    def __init__(self, view: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = view
        self.axis, self._right, self._up = VIEW_AXES[view]
        self.position_mm = np.zeros(3)
        self._ct: DisplayVolume | None = None
        self._overlay: DisplayVolume | None = None
        self._shown_index = -1
        self._structures: list[tuple[DisplayStructure, pg.PlotCurveItem]] = []
        self._title = QLabel()
        self._graphics = pg.GraphicsView()
        self._graphics.setMinimumSize(160, 140)
        self._pane = _Pane(lockAspect=True, invertY=view == "axial", enableMenu=False)
        self._graphics.setCentralItem(self._pane)
        self._slider = QSlider(Qt.Orientation.Vertical)
        self._slider.setAccessibleName(self.tr("Slice of the {view} view").format(view=view))
        self._items()
        self._arrange()
        self._connect()

    def _items(self) -> None:
        self._ct_item, self._overlay_item = pg.ImageItem(), pg.ImageItem()
        self._overlay_item.setZValue(1)
        self._lines = pg.PlotCurveItem(connect="pairs", pen=pg.mkPen(CROSS_HAIR, width=1, style=Qt.PenStyle.DotLine))
        self._rays = pg.PlotCurveItem(connect="pairs", pen=pg.mkPen(255, 255, 255, 70))
        self._chosen = pg.PlotCurveItem(connect="pairs", pen=pg.mkPen(PREDICTED, width=2))
        self._marks = pg.ScatterPlotItem(size=10, pxMode=True)
        pen = pg.mkPen(CROSS_HAIR, width=1)
        self._cross = (pg.InfiniteLine(angle=90, pen=pen), pg.InfiniteLine(angle=0, pen=pen))
        for place, item in enumerate((self._ct_item, self._overlay_item, self._rays, self._lines, self._chosen)):
            item.setZValue(place)
            self._pane.addItem(item, ignoreBounds=place > 0)
        for item in (self._marks, *self._cross):
            item.setZValue(10)
            self._pane.addItem(item, ignoreBounds=True)
        self._letters = [QLabel(self._graphics) for _ in range(4)]
        for label in self._letters:
            label.setStyleSheet("color: #F0E442; background: transparent; font-weight: bold;")
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def _arrange(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(2)
        row.addWidget(self._graphics, 1)
        row.addWidget(self._slider)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addWidget(self._title)
        column.addLayout(row, 1)
        self._graphics.setBackground("#000000")

    def _connect(self) -> None:
        self._pane.scrolled.connect(self.step)
        self._pane.pointed.connect(self._on_pointed)
        self._pane.reset.connect(self.fit)
        self._slider.valueChanged.connect(self._on_slider)
        self._graphics.scene().sigMouseMoved.connect(self._on_mouse)

    def set_volumes(self, ct: DisplayVolume, position_mm: Points) -> None:
        """Show a CT with the cross-hair at a position."""
        self._ct, self._overlay, self._shown_index = ct, None, -1
        self._overlay_item.clear()
        self._slider.blockSignals(True)
        self._slider.setRange(0, ct.count(self.axis) - 1)
        self._slider.blockSignals(False)
        self._place_letters()
        self.set_position(position_mm)
        self.fit()

    def set_overlay(self, volume: DisplayVolume | None, lut: Any, levels: tuple[float, float]) -> None:
        """Show a second volume over the CT, or none."""
        self._overlay = volume
        self._overlay_item.setLookupTable(lut)
        self._levels = levels
        self._draw_overlay()

    def set_structures(self, structures: Sequence[DisplayStructure]) -> None:
        """Draw structures, instead of those before."""
        for _, item in self._structures:
            self._pane.removeItem(item)
        self._structures = []
        for one in structures:
            item = pg.PlotCurveItem(pen=pg.mkPen(one.colour_rgb, width=1.5))
            item.setZValue(2)
            self._pane.addItem(item, ignoreBounds=True)
            self._structures.append((one, item))
        self._draw_structures()

    def show_structure(self, index: int, on: bool) -> None:
        """Switch a structure on or off."""
        self._structures[index][1].setVisible(on)
        self._draw_structures()

    def set_window(self, low: float, high: float) -> None:
        """Grey window of the CT."""
        self._window = (low, high)
        self._ct_item.setLevels(self._window)

    def set_position(self, position_mm: Points) -> None:
        """Put the cross-hair there and show its slice."""
        self.position_mm = np.array(position_mm, dtype=np.float64)
        self._cross[0].setPos(self.position_mm[self._right])
        self._cross[1].setPos(self.position_mm[self._up])
        if self._ct is None:
            return
        index = int(np.clip(round(self._ct.index(self.axis, self.position_mm[self.axis])), 0, self._slider.maximum()))
        if index != self._shown_index:
            self._shown_index = index
            plane = self._ct.plane(self.axis, index)
            self._ct_item.setImage(plane, autoLevels=False, levels=getattr(self, "_window", (-160, 240)))
            self._ct_item.setRect(QRectF(*self._ct.rect_mm(self.view)))
            self._draw_overlay()
            self._draw_structures()
            self._slider.blockSignals(True)
            self._slider.setValue(index)
            self._slider.blockSignals(False)
        name = {"axial": self.tr("Axial"), "coronal": self.tr("Coronal"), "sagittal": self.tr("Sagittal")}[self.view]
        self._title.setText(f"<b>{name}</b>  {'xyz'[self.axis]} = {self.position_mm[self.axis]:.1f} mm")

    def set_lines(
        self, axis_mm: Points, rays_mm: Points, chosen_mm: Points, marks: Iterable[tuple[Points, str]]
    ) -> None:
        """Draw segments, two rows of LPS positions each (2 n, 3), for beam axes, rays, the chosen ray; and marks."""
        for item, points in ((self._lines, axis_mm), (self._rays, rays_mm), (self._chosen, chosen_mm)):
            item.setData(points[:, self._right], points[:, self._up])
        spots = [
            {"pos": (p[self._right], p[self._up]), "brush": colour, "pen": pg.mkPen("#FFFFFF")} for p, colour in marks
        ]
        self._marks.setData(spots)

    def step(self, steps: int) -> None:
        """Go some slices on; the cross-hair moves along."""
        if self._ct is None:
            return
        index = int(np.clip(self._shown_index + steps, 0, self._slider.maximum()))
        self._on_slider(index)

    def zoom(self, factor: float) -> None:
        """Larger above 1, about the cross-hair."""
        centre = QPointF(float(self.position_mm[self._right]), float(self.position_mm[self._up]))
        self._pane.scaleBy((1.0 / factor, 1.0 / factor), center=centre)

    def fit(self) -> None:
        """The whole slice."""
        if self._ct is not None:
            self._pane.setRange(QRectF(*self._ct.rect_mm(self.view)), padding=0.02)

    def redraw_now(self) -> None:
        """Paint at once, for measuring."""
        self._graphics.viewport().repaint()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Keep the letters at the edges."""
        super().resizeEvent(event)
        self._place_letters()

    def _draw_overlay(self) -> None:
        if self._overlay is None:
            self._overlay_item.hide()
            return
        plane = self._overlay.plane_at(self.axis, self.position_mm[self.axis])
        self._overlay_item.setVisible(plane is not None)
        if plane is not None:
            self._overlay_item.setImage(plane, autoLevels=False, levels=self._levels)
            self._overlay_item.setRect(QRectF(*self._overlay.rect_mm(self.view)))

    def _draw_structures(self) -> None:
        if self._ct is None:
            return
        position_mm = self._ct.position_mm(self.axis, self._shown_index)
        for structure, item in self._structures:
            if item.isVisible():
                lines = structure.lines(self.view, position_mm)
                item.setData(lines.right_mm, lines.up_mm, connect=lines.joined)

    def _place_letters(self) -> None:
        right, up = LETTERS[self._right], LETTERS[self._up]
        top, bottom = (up[0], up[1]) if self.view == "axial" else (up[1], up[0])
        width, height = self._graphics.width(), self._graphics.height()
        places = (
            (4, height // 2 - 8),
            (width - 14, height // 2 - 8),
            (width // 2 - 4, 2),
            (width // 2 - 4, height - 18),
        )
        for label, text, (x, y) in zip(self._letters, (*right, top, bottom), places, strict=True):
            label.setText(text)
            label.adjustSize()
            label.move(x, y)

    def _at(self, point: QPointF) -> Points:
        position = self.position_mm.copy()
        position[self._right], position[self._up] = point.x(), point.y()
        return position

    def _on_pointed(self, point: QPointF) -> None:
        if self._ct is not None:
            self.moved.emit(*(float(v) for v in self._at(point)))

    def _on_slider(self, index: int) -> None:
        if self._ct is None:
            return
        position = self.position_mm.copy()
        position[self.axis] = self._ct.position_mm(self.axis, index)
        self.moved.emit(*(float(v) for v in position))

    def _on_mouse(self, place: QPointF) -> None:
        if self._ct is not None:
            self.hovered.emit(*(float(v) for v in self._at(self._pane.mapSceneToView(place))))
