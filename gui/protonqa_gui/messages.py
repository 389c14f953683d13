"""A bar under the tool bar for what the user must know; it never stops the work with a dialog."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

_COLOURS = {"error": "#B23A00", "done": "#00734C", "note": "#3A6EA5"}


#: What went well need not stay; what went wrong does.
_DONE_MS = 12_000


class MessageBar(QFrame):
    """One message at a time; Escape or the cross takes it away."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = ""
        self._label = QLabel()
        self._label.setWordWrap(True)
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._away = QTimer(self)
        self._away.setSingleShot(True)
        self._away.timeout.connect(self.clear)
        close = QToolButton()
        close.setText("✕")
        close.setAccessibleName(self.tr("Close the message"))
        close.setAutoRaise(True)
        close.clicked.connect(self.clear)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 4, 6, 4)
        row.addWidget(self._label, 1)
        row.addWidget(close)
        self.hide()

    def show_text(self, kind: str, text: str) -> None:
        """Show a message of kind ``error``, ``done`` or ``note``."""
        self.text = text
        self._label.setText(text)
        colour = _COLOURS.get(kind, _COLOURS["note"])
        self.setStyleSheet(f"QFrame {{ background: {colour}; }} QLabel, QToolButton {{ color: white; border: none; }}")
        self.show()
        self._away.stop()
        if kind == "done":
            self._away.start(_DONE_MS)

    def clear(self) -> None:
        """Take the message away."""
        self.text = ""
        self.hide()
