"""A slider with a number box: one value, told while it is dragged and told again when it rests."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

_STEPS = 1000


class ValueSlider(QWidget):
    """Signals: ``moving(value)`` while the slider is dragged, ``settled(value)`` when the user has chosen."""

    moving = Signal(float)
    settled = Signal(float)

    def __init__(
        self,
        low: float,
        high: float,
        *,
        unit: str = "",
        decimals: int = 0,
        logarithmic: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._low, self._high, self._log = low, high, logarithmic
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._slider.setRange(0, _STEPS)
        self._slider.setMinimumWidth(60)
        self._box = QDoubleSpinBox()
        self._box.setRange(low, high)
        self._box.setDecimals(decimals)
        self._box.setSingleStep(10.0**-decimals if decimals else max((high - low) / 200, 1.0))
        self._box.setKeyboardTracking(False)
        self._box.setGroupSeparatorShown(high >= 1e5)
        self._box.setMinimumWidth(96)
        self._box.setMaximumWidth(120)
        self._box.setSuffix(f" {unit}" if unit else "")
        self.setFocusProxy(self._box)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._box)
        self._slider.valueChanged.connect(self._on_slider)
        self._slider.sliderReleased.connect(lambda: self.settled.emit(self.value()))
        self._box.valueChanged.connect(self._on_box)

    def value(self) -> float:
        """The value."""
        return float(self._box.value())

    def set_value(self, value: float) -> None:
        """Set it without telling anybody."""
        for one in (self._box, self._slider):
            one.blockSignals(True)
        self._box.setValue(value)
        self._slider.setValue(self._step_of(value))
        for one in (self._box, self._slider):
            one.blockSignals(False)

    def slide_to(self, value: float) -> None:
        """As if the user dragged the slider there and still held it."""
        self._slider.setSliderDown(True)
        self._slider.setValue(self._step_of(value))

    def release(self) -> None:
        """As if the user let the slider go."""
        self._slider.setSliderDown(False)

    def setAccessibleName(self, name: str) -> None:  # noqa: N802
        """Name of both parts."""
        self._slider.setAccessibleName(name)
        self._box.setAccessibleName(name)

    def _step_of(self, value: float) -> int:
        if self._log:
            import math

            share = math.log(max(value, self._low) / self._low) / math.log(self._high / self._low)
        else:
            share = (value - self._low) / (self._high - self._low)
        return round(_STEPS * min(max(share, 0.0), 1.0))

    def _on_slider(self, step: int) -> None:
        share = step / _STEPS
        value = (
            self._low * (self._high / self._low) ** share if self._log else self._low + share * (self._high - self._low)
        )
        self._box.blockSignals(True)
        self._box.setValue(value)
        self._box.blockSignals(False)
        if self._slider.isSliderDown():
            self.moving.emit(self.value())
        else:
            self.settled.emit(self.value())

    def _on_box(self, value: float) -> None:
        self._slider.blockSignals(True)
        self._slider.setValue(self._step_of(value))
        self._slider.blockSignals(False)
        self.settled.emit(value)
