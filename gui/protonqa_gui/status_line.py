"""The bottom of the window: what is being done, how far it is, when it will be done, and a way to stop it."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel, QProgressBar, QPushButton, QStatusBar, QWidget

from protonqa_gui.worker import Worker


class StatusLine(QStatusBar):
    """Follows one worker."""

    def __init__(self, worker: Worker, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._worker = worker
        self.what = QLabel(self.tr("Ready"))
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setMaximumWidth(220)
        self.cancel = QPushButton(self.tr("&Cancel"))
        self.cancel.setToolTip(self.tr("Stop the work (Esc)"))
        self.device = QLabel()
        self.addWidget(self.what, 1)
        self.addPermanentWidget(self.bar)
        self.addPermanentWidget(self.cancel)
        self.addPermanentWidget(self.device)
        self.cancel.clicked.connect(worker.cancel)
        worker.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the state of the worker."""
        job = self._worker.job
        shown = job is not None and bool(job.title)
        self.bar.setVisible(shown)
        self.cancel.setVisible(shown)
        if job is None or not shown:
            self.what.setText(self.tr("Ready"))
            return
        left = job.left_s()
        parts = [job.title, job.text, "" if left is None else self.tr("about {t} left").format(t=duration(left))]
        self.what.setText(": ".join(part for part in parts[:2] if part) + (f", {parts[2]}" if parts[2] else ""))
        self.bar.setValue(round(1000 * job.share))


def duration(seconds: float) -> str:
    """Seconds in words a person uses: ``40 s``, ``3 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
