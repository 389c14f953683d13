"""How long the event loop was blocked: the measure of a window that answers."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, Qt, QTimer

BEAT_MS = 20


class Watchdog(QObject):
    """A timer that notes by how much it came too late, and what its own thread computed meanwhile.

    A loop that is free is late by a few milliseconds; whatever runs longer in it shows as lateness. On a busy computer
    other programs make it late too: the time the thread itself computed between two beats, `worst_cpu_ms`, tells which.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.worst_ms = 0.0
        self.worst_cpu_ms = 0.0
        self._last_s = self._last_cpu_s = 0.0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        """Begin to measure, from nothing."""
        self.reset()
        self._timer.start(BEAT_MS)

    def reset(self) -> None:
        """Forget what was measured."""
        self.worst_ms = self.worst_cpu_ms = 0.0
        self._last_s, self._last_cpu_s = time.perf_counter(), time.thread_time()

    def stop(self) -> float:
        """End measuring; the longest block in ms."""
        self._beat()
        self._timer.stop()
        return self.worst_ms

    def _beat(self) -> None:
        now_s, cpu_s = time.perf_counter(), time.thread_time()
        self.worst_ms = max(self.worst_ms, 1000.0 * (now_s - self._last_s) - BEAT_MS)
        self.worst_cpu_ms = max(self.worst_cpu_ms, 1000.0 * (cpu_s - self._last_cpu_s))
        self._last_s, self._last_cpu_s = now_s, cpu_s
