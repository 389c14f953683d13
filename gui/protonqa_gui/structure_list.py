"""Which structures are shown: names with check boxes and the colours they are drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QListView, QListWidget, QListWidgetItem, QWidget

from protonqa_gui.structures import DisplayStructure

_SWATCH_PX, _NAME_PX, _ROWS = 12, 170, 2


class StructureList(QListWidget):
    """A strip of names, hidden where there are none. Signal ``switched(index, on)``."""

    switched = Signal(int, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(self.tr("Structures"))
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        height = self.fontMetrics().height() + 6
        self.setGridSize(QSize(_NAME_PX, height))
        self.setMaximumHeight(_ROWS * height + 2 * self.frameWidth() + 2)
        self.setIconSize(QSize(_SWATCH_PX, _SWATCH_PX))
        self.hide()
        self.itemChanged.connect(lambda item: self.switched.emit(self.row(item), _is_on(item)))

    def set_structures(self, structures: Sequence[DisplayStructure]) -> None:
        """List structures, all switched on."""
        self.blockSignals(True)
        self.clear()
        for one in structures:
            swatch = QPixmap(_SWATCH_PX, _SWATCH_PX)
            swatch.fill(QColor(*one.colour_rgb))
            item = QListWidgetItem(QIcon(swatch), one.name or self.tr("(no name)"))
            item.setSizeHint(QSize(_NAME_PX - 6, self.gridSize().height()))  # longer names are elided
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsSelectable)
            item.setCheckState(Qt.CheckState.Checked)
            item.setToolTip(f"<qt>{escape(one.name)}</qt>")  # the whole name, and never as markup of its own
            self.addItem(item)
        self.blockSignals(False)
        self.setVisible(bool(structures))


def _is_on(item: QListWidgetItem) -> bool:
    return bool(item.checkState() == Qt.CheckState.Checked)
