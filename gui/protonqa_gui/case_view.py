"""The open case in three linked slices and the beam's-eye view, with what lies under the mouse in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLabel, QSplitter, QVBoxLayout, QWidget

from protonqa.app.field_rays import FieldRays
from protonqa_gui.bev_map import BevMap
from protonqa_gui.display_case import DisplayCase, DisplayVolume
from protonqa_gui.look_controls import LookControls
from protonqa_gui.slice_panel import SlicePanel
from protonqa_gui.structure_list import StructureList
from protonqa_gui.structures import DisplayStructure
from protonqa_gui.theme import MEASURED, PLANNED, Theme, overlay_lut

Points = NDArray[np.float64]
#: An overlay reaches full colour at this share of its maximum.
_FULL_AT = 0.95
_AXIS_MM = 400.0


class CaseView(QWidget):
    """Three slices and a map. Signal ``ray_chosen(row)``."""

    ray_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.case: DisplayCase | None = None
        self.rays: FieldRays | None = None
        self.row = -1
        self.position_mm: Points = np.zeros(3)
        self.look = LookControls()
        self.panels = {name: SlicePanel(name) for name in ("axial", "coronal", "sagittal")}
        self.bev = BevMap()
        self.structures = StructureList()
        self.readout = QLabel(" ")
        self.readout.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        left, right = QSplitter(Qt.Orientation.Vertical), QSplitter(Qt.Orientation.Vertical)
        left.addWidget(self.panels["axial"])
        left.addWidget(self.panels["coronal"])
        right.addWidget(self.panels["sagittal"])
        right.addWidget(self.bev)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.addWidget(left)
        self.splitter.addWidget(right)
        for one in (left, right, self.splitter):
            one.setSizes([500, 500])
            one.setChildrenCollapsible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 2, 4, 2)
        column.setSpacing(2)
        column.addWidget(self.look)
        column.addWidget(self.splitter, 1)
        column.addWidget(self.structures)
        column.addWidget(self.readout)
        for panel in self.panels.values():
            panel.moved.connect(self._on_moved)
            panel.hovered.connect(self._on_hovered)
        self.look.changed.connect(self._apply_look)
        self.structures.switched.connect(self._on_switched)
        self.bev.chosen.connect(self.choose_ray)

    def set_theme(self, theme: Theme) -> None:
        """Colours of the map; the slices stay black."""
        self.bev.set_theme(theme)

    def set_case(self, case: DisplayCase) -> None:
        """Show a case with the cross-hair at the isocentre of its first beam, else in the middle."""
        self.case, self.rays, self.row = case, None, -1
        ct = case.ct
        middle = np.array([ct.position_mm(axis, 0.5 * (ct.count(axis) - 1)) for axis in range(3)])
        start = np.array(case.beams[0]["isocenter_mm"]) if case.beams else middle
        self.position_mm = self._inside(start)
        structures = [DisplayStructure.from_plain(one) for one in case.structures]
        self.structures.set_structures(structures)
        for panel in self.panels.values():
            panel.set_volumes(ct, self.position_mm)
            panel.set_structures(structures)
        titles = {"pet": self.tr("PET, measured"), "dose": self.tr("Dose, planned")}
        named = [(name, titles.get(name, name)) for name in case.volumes if name != "ct"]
        self.look.set_overlays(named, "pet" if "pet" in case.volumes else "")
        self.bev.set_rays(None)
        self._draw_lines()
        self._tell(self.position_mm)

    def set_rays(self, rays: FieldRays, *, limit_mm: float) -> None:
        """Show the rays of a verified field and choose the middle one that was used."""
        self.rays = rays
        self.bev.set_rays(rays, limit_mm=limit_mm)
        usable = np.flatnonzero(rays.used if rays.used.any() else np.isfinite(rays.planned_r80_mm))
        self._draw_lines()
        if usable.size:
            middle = rays.lateral_mm[usable] - rays.lateral_mm[usable].mean(axis=0)
            self.choose_ray(int(usable[np.abs(middle).sum(axis=1).argmin()]))

    def choose_ray(self, row: int) -> None:
        """Choose a ray everywhere: marked in the map, drawn in the slices, the cross-hair at its planned range."""
        rays = self.rays
        if rays is None or not 0 <= row < rays.n_ray:
            return
        self.row = row
        self.bev.set_chosen(row)
        if np.isfinite(rays.planned_r80_mm[row]):
            self.set_position(rays.start_mm[row] + rays.planned_r80_mm[row] * rays.direction[row])
        self._draw_lines()
        self.ray_chosen.emit(row)

    def set_position(self, position_mm: Points) -> None:
        """Move the linked cross-hair."""
        if self.case is None:
            return
        self.position_mm = self._inside(position_mm)
        for panel in self.panels.values():
            panel.set_position(self.position_mm)
        if self.rays is not None:
            self._draw_lines()
        self._tell(self.position_mm)

    def fit(self) -> None:
        """Show all slices as a whole."""
        for panel in self.panels.values():
            panel.fit()

    def line_at(self, position_mm: Points) -> str:
        """Position and values there, in plain text."""
        if self.case is None:
            return ""
        x, y, z = position_mm
        parts = [f"x {x:.1f}  y {y:.1f}  z {z:.1f} mm"]
        for volume in self.case.volumes.values():
            value = volume.value_at(position_mm)
            label = {"ct": "CT", "pet": "PET", "dose": self.tr("dose")}.get(volume.name, volume.name)
            parts.append(f"{label} {_number(value, volume)}")
        return "     ".join(parts)

    def _inside(self, position_mm: Points) -> Points:
        if self.case is None:
            return position_mm
        ct = self.case.ct
        ends = [(ct.position_mm(axis, 0), ct.position_mm(axis, ct.count(axis) - 1)) for axis in range(3)]
        low, high = np.array(ends).T
        return np.clip(np.asarray(position_mm, dtype=np.float64), low, high)

    def _apply_look(self) -> None:
        case, look = self.case, self.look.look()
        if case is None:
            return
        volume = case.volumes.get(look.overlay)
        levels = (0.0, _FULL_AT * volume.high if volume is not None and volume.high > 0 else 1.0)
        lut = overlay_lut(look.colours, look.opacity)
        for panel in self.panels.values():
            panel.set_window(*look.window_hu)
            panel.set_overlay(volume, lut, levels)

    def _draw_lines(self) -> None:
        axis = [_beam_segment(beam) for beam in self.case.beams] if self.case is not None else []
        axes = np.concatenate(axis) if axis else np.empty((0, 3))
        rays = self.rays
        for panel in self.panels.values():
            if rays is None:
                panel.set_lines(axes, np.empty((0, 3)), np.empty((0, 3)), [])
                continue
            near = self._rays_near(rays, panel.axis, self.position_mm[panel.axis])
            chosen, marks = self._chosen(rays)
            panel.set_lines(axes, _segments(rays, near), chosen, marks)

    def _rays_near(self, rays: FieldRays, axis: int, position_mm: float) -> NDArray[np.int64]:
        """Rays that pass within half a pitch of the slice somewhere on their way."""
        start, end = rays.start_mm[:, axis], _ends(rays)[:, axis]
        low, high = np.minimum(start, end) - 0.5 * rays.pitch_mm, np.maximum(start, end) + 0.5 * rays.pitch_mm
        return np.flatnonzero((low <= position_mm) & (position_mm <= high) & np.isfinite(rays.planned_r80_mm))

    def _chosen(self, rays: FieldRays) -> tuple[Points, list[tuple[Points, str]]]:
        if self.row < 0:
            return np.empty((0, 3)), []
        row = self.row
        marks = []
        planned, shift = rays.planned_r80_mm[row], rays.shift_mm[row]
        if np.isfinite(planned):
            marks.append((rays.start_mm[row] + planned * rays.direction[row], PLANNED))
            if np.isfinite(shift):
                marks.append((rays.start_mm[row] + (planned + shift) * rays.direction[row], MEASURED))
        return _segments(rays, np.array([row])), marks

    def _on_switched(self, index: int, on: bool) -> None:
        for panel in self.panels.values():
            panel.show_structure(index, on)

    def _on_moved(self, x: float, y: float, z: float) -> None:
        self.set_position(np.array([x, y, z]))

    def _on_hovered(self, x: float, y: float, z: float) -> None:
        self._tell(np.array([x, y, z]))

    def _tell(self, position_mm: Points) -> None:
        self.readout.setText(self.line_at(position_mm))


def _number(value: float | None, volume: DisplayVolume) -> str:
    if value is None:
        return f"- {volume.unit}"
    digits = {"HU": 0, "Gy": 3}.get(volume.unit, 1)
    return f"{value:.{digits}f} {volume.unit}"


def _ends(rays: FieldRays) -> Points:
    way = np.nan_to_num(rays.planned_r80_mm, nan=0.0) + 20.0
    return np.asarray(rays.start_mm + way[:, None] * rays.direction)


def _segments(rays: FieldRays, rows: NDArray[np.int64]) -> Points:
    """(2 n, 3): from 20 mm before depth 0 to 20 mm behind the planned range."""
    first = rays.start_mm[rows] - 20.0 * rays.direction[rows]
    return np.stack([first, _ends(rays)[rows]], axis=1).reshape(-1, 3)


def _beam_segment(beam: dict[str, Any]) -> Points:
    iso, along = np.array(beam["isocenter_mm"]), np.array(beam["direction"])
    return np.stack([iso - _AXIS_MM * along, iso + 0.3 * _AXIS_MM * along])
