"""How the images look: grey window of the CT, which overlay, its colour map and opacity."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSlider, QSpinBox, QWidget

from protonqa_gui.theme import MAPS

#: Name, level and width of the grey windows, HU.
PRESETS = (
    ("Soft tissue", 40, 400),
    ("Lung", -600, 1500),
    ("Bone", 500, 2000),
    ("Brain", 40, 80),
    ("Whole range", 500, 3000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the controls say."""

    level_hu: int
    width_hu: int
    overlay: str
    colours: str
    opacity: float

    @property
    def window_hu(self) -> tuple[float, float]:
        """Black and white."""
        return self.level_hu - 0.5 * self.width_hu, self.level_hu + 0.5 * self.width_hu


class LookControls(QWidget):
    """A row of controls; ``changed`` tells that `look` is another one."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._preset, self._overlay, self._colours = QComboBox(), QComboBox(), QComboBox()
        self._level, self._width = QSpinBox(), QSpinBox()
        self._opacity = QSlider(Qt.Orientation.Horizontal)
        for name, level, width in PRESETS:
            self._preset.addItem(self.tr(name), (level, width))
        for name in MAPS:
            self._colours.addItem(name)
        self._level.setRange(-2000, 4000)
        self._width.setRange(1, 8000)
        for box in (self._level, self._width):
            box.setSuffix(self.tr(" HU"))
            box.setSingleStep(10)
        self._opacity.setRange(0, 100)
        self._opacity.setValue(60)
        self._opacity.setMinimumWidth(80)
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 2, 4, 2)
        for text, control in (
            (self.tr("&Window"), self._preset),
            (self.tr("&Level"), self._level),
            (self.tr("W&idth"), self._width),
            (self.tr("O&verlay"), self._overlay),
            (self.tr("Colou&rs"), self._colours),
            (self.tr("O&pacity"), self._opacity),
        ):
            label = QLabel(text)
            label.setBuddy(control)
            control.setAccessibleName(text.replace("&", ""))
            row.addWidget(label)
            row.addWidget(control)
        row.addStretch(1)
        self._take_preset()
        self._preset.activated.connect(self._take_preset)
        self._level.valueChanged.connect(self.changed)
        self._width.valueChanged.connect(self.changed)
        self._overlay.currentIndexChanged.connect(self.changed)
        self._colours.currentIndexChanged.connect(self.changed)
        self._opacity.valueChanged.connect(self.changed)

    def look(self) -> Look:
        """What is set."""
        return Look(
            level_hu=self._level.value(),
            width_hu=self._width.value(),
            overlay=str(self._overlay.currentData() or ""),
            colours=self._colours.currentText(),
            opacity=self._opacity.value() / 100.0,
        )

    def set_overlays(self, named: list[tuple[str, str]], chosen: str) -> None:
        """Offer overlays as (key, title)."""
        self._overlay.blockSignals(True)
        self._overlay.clear()
        self._overlay.addItem(self.tr("none"), "")
        for key, title in named:
            self._overlay.addItem(title, key)
        place = self._overlay.findData(chosen)
        self._overlay.setCurrentIndex(max(place, 0))
        self._overlay.blockSignals(False)
        self.changed.emit()

    def choose_overlay(self, key: str) -> None:
        """Show an overlay that is offered."""
        place = self._overlay.findData(key)
        if place >= 0:
            self._overlay.setCurrentIndex(place)

    def choose_preset(self, index: int) -> None:
        """Take a preset by its place, as its key does."""
        self._preset.setCurrentIndex(index)
        self._take_preset()

    def _take_preset(self) -> None:
        level, width = self._preset.currentData()
        self._level.setValue(level)
        self._width.setValue(width)
