"""Python's garbage collector on a timer of the window's own thread.

The collector runs in whatever thread allocates next. In a thread that reads the messages of a worker it would destroy
widgets and plots there, and Qt ends a program that does so.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

_EVERY_MS = 1000
#: Every so many times the oldest objects are looked through too.
_FULL_EVERY = 30
_YOUNG = 700


class Collector(QObject):
    """While it runs, nothing is collected but by its timer."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._times = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._collect)

    def start(self) -> None:
        """Take over. What lives now is set aside, so that a look through the rest stays short."""
        gc.disable()
        gc.collect()
        gc.freeze()
        self._timer.start(_EVERY_MS)

    def stop(self) -> None:
        """Give the collector back to Python."""
        self._timer.stop()
        gc.unfreeze()
        gc.enable()

    def _collect(self) -> None:
        self._times += 1
        if self._times % _FULL_EVERY == 0:
            gc.collect()
        elif gc.get_count()[0] > _YOUNG:
            gc.collect(1)
