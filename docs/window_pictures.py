"""Pictures of the desktop program for the documents, made by using it: demo, look, verify, what if, sign, export.

    python docs/window_pictures.py --out docs/images

Without a screen: QT_QPA_PLATFORM=offscreen, or xvfb-run. The same walk is the test of the whole window.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from protonqa_gui.main_window import MainWindow
from protonqa_gui.settings import SETTINGS_VARIABLE
from protonqa_gui.start import application
from protonqa_gui.watchdog import Watchdog

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
SIZE = (1240, 800)
PATIENCE_S = 400.0


class Walk:
    """A user with a camera."""

    def __init__(self, out: Path, results: Path, *, protons: int, scale: float) -> None:
        self.app = application()
        self.out, self.scale = out, scale
        self.window = MainWindow(results)
        self.window.demo_protons = protons
        self.protons = protons
        self.pdf = results / "report.pdf"
        self.watch = Watchdog()
        self.blocks: dict[str, tuple[float, float]] = {}

    def wait(self, ready: Callable[[], object]) -> None:
        """Let the window work until `ready`."""
        until_s = time.monotonic() + PATIENCE_S
        while not ready():
            if time.monotonic() > until_s:
                raise TimeoutError(f"waited in vain; the window says: {self.window.messages.text!r}")
            QTest.qWait(20)

    def picture(self, name: str, widget: QWidget | None = None) -> None:
        """Write what is on the screen; the watchdog looks away."""
        QTest.qWait(150)
        self.blocks[name] = (round(self.watch.worst_ms, 1), round(self.watch.worst_cpu_ms, 1))
        shot = (widget or self.window).grab().toImage()
        width = round(shot.width() * self.scale)
        small = shot.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation)
        self.save(small.convertToFormat(QImage.Format.Format_RGB888), self.out / f"window-{name}.png")
        self.watch.reset()

    def save(self, image: QImage, path: Path) -> None:
        """With a palette of its own: a third of the size, and nobody sees it."""
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
        pixels = rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)
        small = Image.fromarray(pixels).quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        small.save(path, optimize=True)

    def start(self) -> None:
        """The first start."""
        self.window.resize(*SIZE)
        self.window.show()
        self.window.warm_up()
        self.wait(lambda: self.window.analyses.current is not None)
        self.watch.start()
        self.picture("start")

    def open_demo(self) -> None:
        """One click on the start page."""
        seen: list[int] = []
        self.window.case_opened.connect(lambda: seen.append(1))
        QTest.mouseClick(self.window.start.demo, LEFT)
        self.wait(lambda: bool(seen))
        QTest.qWait(300)

    def look(self) -> None:
        """Cross-hair by a click, slices by the wheel and keys, another overlay."""
        view = self.window.case_view
        pane = view.panels["axial"]
        before = view.position_mm.copy()
        target = pane._graphics.viewport()
        QTest.mouseClick(target, LEFT, NONE, QPoint(target.width() // 3, target.height() // 2))
        self.wait(lambda: not np.allclose(before, view.position_mm))
        self.window.action("next").trigger()
        view.look.choose_overlay("dose")
        QTest.qWait(100)
        view.look.choose_overlay("pet")
        view.set_position(before)
        QTest.qWait(100)

    def verify(self) -> str:
        """Range verification with the keys."""
        form = self.window.analyses.form
        if self.protons < 100_000:
            form.set_value("protons", self.protons)
            form.set_value("systematic_draws", 2)
        states: list[str] = []
        self.window.result_shown.connect(states.append)
        self.window.action("verify").trigger()
        self.wait(lambda: bool(states) or (self.window.messages.text and not self.window.worker.busy))
        self.wait(lambda: bool(self.window.report.files) and self.window.profiles.asker.idle)
        return states[0] if states else ""

    def drag_window(self) -> tuple[float, float]:
        """The near edge of the depth window goes deeper by hand, from the preset of 125 mm."""
        view = self.window.profiles
        self.window.tabs.setCurrentWidget(view)
        QTest.qWait(150)
        QTest.mouseClick(view.controls._windows[2], LEFT)
        self.wait(lambda: view.asker.idle)
        before = float(view.plot.region.lines[0].value())
        # A press may fall beside the edge while a slow computer still lays the page out: then once more.
        for _ in range(4):
            self._drag_edge(before)
            if view.plot.region.lines[0].value() != before:
                break
            QTest.qWait(500)
        self.wait(lambda: view.asker.idle and bool(view.field_numbers))
        return before, float(view.plot.region.lines[0].value())

    def _drag_edge(self, before: float) -> None:
        plot, vb = self.window.profiles.plot.plot, self.window.profiles.plot.item.vb

        def at(depth_mm: float) -> QPoint:
            place = vb.mapViewToScene(QPointF(depth_mm, 0.35))
            return plot.mapFromScene(place)

        viewport = plot.viewport()
        QTest.mouseMove(viewport, at(before - 4.0))
        QTest.qWait(60)
        QTest.mouseMove(viewport, at(before))
        QTest.qWait(60)
        QTest.mousePress(viewport, LEFT, NONE, at(before))
        for step in range(1, 13):
            QTest.mouseMove(viewport, at(before + 2.5 * step))
            QTest.qWait(30)
        QTest.mouseRelease(viewport, LEFT, NONE, at(before + 30.0))

    def sign_and_export(self) -> None:
        """Comment, name, PDF."""
        report = self.window.report
        self.window.tabs.setCurrentWidget(report)
        report.comment.setPlainText("Shift seen on all rays alike; repeat CT requested.")
        report.signed_by.setText("Physicist on duty")
        report.role.setText("Medical physics")
        report.write(self.pdf)
        self.wait(lambda: self.pdf.is_file() and not self.window.worker.busy)

    def plan_study(self) -> None:
        """The template of a study and its size."""
        study = self.window.long.study
        self.window.tabs.setCurrentWidget(study)
        QTest.mouseClick(study.new, LEFT)
        self.wait(lambda: study.wanted is not None)

    def queue(self) -> None:
        """The demo case and one that is not there, in a batch."""
        batch = self.window.long.batch
        self.window.tabs.setCurrentWidget(batch)
        batch.add_cases([str(self.window.results / "demo-case")])

    def everything(self) -> dict[str, object]:
        """The whole walk; what came of it."""
        self.start()
        self.open_demo()
        self.look()
        self.picture("case")
        state = self.verify()
        self.picture("rays")
        self.window.tabs.setCurrentWidget(self.window.analyses)
        self.picture("analyses")
        before, after = self.drag_window()
        self.picture("profiles")
        self.window.action("theme").trigger()
        self.picture("dark")
        self.window.action("theme").trigger()
        self.sign_and_export()
        self.picture("report")
        self.plan_study()
        self.picture("study")
        self.queue()
        self.picture("batch")
        self.window.tabs.setCurrentWidget(self.window.long.quality)
        self.picture("quality")
        found = {
            "state": state,
            "edge_mm": [before, after],
            "blocks_ms": self.blocks,
            "pdf": str(self.pdf),
            "workers": [one.pid for one in (self.window.worker, self.window.live) if one.pid is not None],
            "platform": self.app.platformName(),
            "active": self.window.isActiveWindow(),
        }
        self.window.close()
        return found


def main(argv: list[str]) -> int:
    """Write the pictures; print what the walk came to as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=None)
    parser.add_argument("--protons", type=int, default=100_000)
    parser.add_argument("--scale", type=float, default=0.8)
    given = parser.parse_args(argv)
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[SETTINGS_VARIABLE] = scratch
        results = given.results or Path(scratch) / "results"
        results.mkdir(parents=True, exist_ok=True)
        found = Walk(given.out, results, protons=given.protons, scale=given.scale).everything()
        sys.stdout.write(json.dumps(found) + "\n")
    QApplication.processEvents()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
