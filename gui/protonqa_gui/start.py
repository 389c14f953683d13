"""Starting the desktop program."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyqtgraph as pg
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from protonqa.site.reading import CONFIG_VARIABLE
from protonqa_gui.main_window import MainWindow


def application() -> QApplication:
    """The one QApplication, set up once."""
    app = QApplication.instance() or QApplication(sys.argv[:1])
    if not isinstance(app, QApplication):
        raise TypeError("another kind of Qt application runs in this process")
    app.setApplicationName("protonqa")
    app.setStyle("Fusion")
    pg.setConfigOptions(imageAxisOrder="row-major", antialias=False)
    return app


def main(
    case: Path | None, results: Path, *, device: str = "auto", seed: int = 0, site_file: Path | None = None
) -> int:
    """Show the window, open `case` where one is given, and return when the window is closed.

    `device` and `seed` are those of the runs; `site_file` instead of the one that the computer has.
    """
    if site_file is not None:
        # The workers are processes of their own and inherit it.
        os.environ[CONFIG_VARIABLE] = str(site_file.resolve())
    app = application()
    window = MainWindow(results, device=device)
    window.analyses.seed.setValue(seed)
    window.show()
    QTimer.singleShot(0, window.warm_up)
    if case is not None:
        QTimer.singleShot(0, lambda: window.open_folder(str(case)))
    return int(app.exec())
