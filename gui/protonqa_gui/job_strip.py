"""What a worker is doing, how far it is, when it will be done, and a way to stop it."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QWidget

from protonqa_gui.worker import Worker

_SCALE = 1000


class JobStrip(QWidget):
    """Follows one worker; jobs without a title are not shown."""

    def __init__(self, worker: Worker, idle: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._worker, self._idle = worker, idle
        self.what = QLabel(idle)
        self.what.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = QProgressBar()
        self.bar.setMaximumWidth(180)
        self.cancel = QPushButton(self.tr("Cancel"))
        self.cancel.setToolTip(self.tr("Stop the work; what is finished stays"))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.what, 1)
        row.addWidget(self.bar)
        row.addWidget(self.cancel)
        self.cancel.clicked.connect(worker.cancel)
        worker.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the state of the worker."""
        job = self._worker.job
        shown = job is not None and bool(job.title)
        self.bar.setVisible(shown)
        self.cancel.setVisible(shown)
        self.setVisible(shown or bool(self._idle))
        if job is None or not shown:
            self.what.setText(self._idle)
            return
        left = job.left_s()
        told = ": ".join(part for part in (job.title, job.text) if part)
        self.what.setText(
            told if left is None else self.tr("{told}, about {t} left").format(told=told, t=duration(left))
        )
        self.what.setToolTip(self.what.text())
        # A bar without a number runs to and fro as long as nothing is known.
        self.bar.setRange(0, _SCALE if job.share else 0)
        self.bar.setValue(round(_SCALE * job.share))


def duration(seconds: float) -> str:
    """Seconds in words a person uses: ``40 s``, ``3 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
