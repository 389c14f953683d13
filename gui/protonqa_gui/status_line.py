"""The bottom of the window: the work at hand, the work behind it, model, commissioning and device."""

from __future__ import annotations

from typing import Any

from PySide6.QtWidgets import QLabel, QStatusBar, QWidget

from protonqa_gui.job_strip import JobStrip
from protonqa_gui.theme import SEVERITY_COLOURS
from protonqa_gui.worker import Worker


class StatusLine(QStatusBar):
    """Follows the worker of the case and the one of long work."""

    def __init__(self, worker: Worker, background: Worker, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.work = JobStrip(worker, self.tr("Ready"))
        self.background = JobStrip(background)
        self.model, self.commissioned, self.device = QLabel(), QLabel(), QLabel()
        self.addWidget(self.work, 2)
        self.addWidget(self.background, 2)
        for one in (self.model, self.commissioned, self.device):
            one.setContentsMargins(6, 0, 6, 0)
            self.addPermanentWidget(one)

    def set_about(self, about: dict[str, Any]) -> None:
        """Show `device`, `model` and `commissioned` (``passed``: bool or None, ``text``) of this computer."""
        self.device.setText(about["device"])
        self.model.setText(self.tr("model {name}").format(name=about["model"]))
        passed, text = about["commissioned"]["passed"], about["commissioned"]["text"]
        short = {True: self.tr("commissioned"), False: self.tr("acceptance test failed")}.get(
            passed, self.tr("not commissioned")
        )
        sign = "✓" if passed else "⚠"
        ink = "" if passed else f" color='{SEVERITY_COLOURS['warning']}'"
        self.commissioned.setText(f"<font{ink}>{sign} {short}</font>")
        self.commissioned.setToolTip(text)
        self.commissioned.setAccessibleName(f"{short}: {text}")
