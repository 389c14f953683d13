"""How fast the window is on this computer: `protonqa benchmark --gui`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QEventLoop, QTimer

from protonqa.app.window_material import rays_for_timing, write_large_ct
from protonqa_gui.main_window import MainWindow
from protonqa_gui.settings import SETTINGS_VARIABLE
from protonqa_gui.slice_panel import SlicePanel
from protonqa_gui.start import application
from protonqa_gui.theme import overlay_lut
from protonqa_gui.watchdog import Watchdog

_PATIENCE_S = 300.0
_QUESTIONS = 12
_RAYS = 2000
_PIXELS = 1000
#: A process of its own shows the window, goes once through its event loop and tells the time.
_START = """
import sys, time
from pathlib import Path
from PySide6.QtCore import QTimer
from protonqa_gui.start import application
from protonqa_gui.main_window import MainWindow
app = application()
window = MainWindow(Path(sys.argv[1]))
window.show()
QTimer.singleShot(0, lambda: (print(time.time(), flush=True), window.close(), app.quit()))
app.exec()
"""


def measure(told: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Numbers by name; times in the unit of their names. On a screen, or with QT_QPA_PLATFORM=offscreen."""
    with tempfile.TemporaryDirectory(prefix="protonqa-speed-") as scratch:
        folder = Path(scratch)
        os.environ[SETTINGS_VARIABLE] = scratch
        told("start of the window")
        found: dict[str, Any] = {"start_s": round(min(_start_s(folder) for _ in range(3)), 2)}
        app = application()
        window = MainWindow(folder / "results")
        window.resize(1280, 860)
        window.show()
        try:
            found |= _with_case(window, folder, told) | _with_rays(window, folder, told)
            found["platform"] = app.platformName()
        finally:
            window.close()
    return found


def text_of(found: dict[str, Any]) -> str:
    """Some lines for a terminal."""
    return "\n".join(
        (
            f"start to usable               {found['start_s']:.2f} s",
            f"case of 512 x 512 x 150       {found['case_s']:.2f} s from files to images",
            f"scrolling at 1000 x 1000      {found['frames_per_s']:.0f} frames/s",
            f"slider to curve, one ray      {found['one_ray_ms']:.0f} ms",
            f"slider to curve, 2,000 rays   {found['preview_2000_s']:.2f} s, one member of the ensemble",
            f"the same, whole ensemble      {found['ensemble_2000_s']:.2f} s",
            f"longest block of the window   {found['block_ms']:.0f} ms ({found['block_cpu_ms']:.0f} ms its own)",
        )
    )


def _start_s(folder: Path) -> float:
    began = time.time()
    done = subprocess.run(  # noqa: S603  our own interpreter and text
        [sys.executable, "-c", _START, str(folder / "start")], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1]) - began


def _wait(ready: Callable[[], object]) -> None:
    loop, until_s = QEventLoop(), time.monotonic() + _PATIENCE_S
    while not ready():
        if time.monotonic() > until_s:
            raise TimeoutError("the window did not answer")
        QTimer.singleShot(5, loop.quit)
        loop.exec()


def _with_case(window: MainWindow, folder: Path, told: Callable[[str], None]) -> dict[str, Any]:
    told("a CT of full size")
    write_large_ct(folder / "large")
    window.warm_up()
    _wait(lambda: window.analyses.current is not None and not window.worker.busy)
    watch, seen = Watchdog(), list[int]()
    window.case_opened.connect(lambda: seen.append(1))
    watch.start()
    began = time.perf_counter()
    window.open_folder(str(folder / "large"))
    _wait(lambda: bool(seen))
    for panel in window.case_view.panels.values():
        panel.redraw_now()
    seconds = time.perf_counter() - began
    _wait(lambda: time.perf_counter() - began > seconds + 0.3)
    watch.stop()
    told("scrolling")
    return {
        "case_s": round(seconds, 2),
        "frames_per_s": round(_frames_per_s(window), 1),
        "case_block_ms": round(watch.worst_ms, 1),
        "case_block_cpu_ms": round(watch.worst_cpu_ms, 1),
    }


def _frames_per_s(window: MainWindow) -> float:
    """Axial slices with a second volume over them, each painted before the next one is asked for."""
    if window.case is None:
        raise RuntimeError("no case is open")
    ct = window.case.ct
    panel = SlicePanel("axial")
    panel.resize(_PIXELS + 30, _PIXELS + 30)
    panel.moved.connect(lambda x, y, z: panel.set_position(np.array([x, y, z])))
    panel.show()
    panel.set_volumes(ct, np.array([0.0, 0.0, ct.position_mm(2, 0)]))
    panel.set_window(-160.0, 240.0)
    panel.set_overlay(ct, overlay_lut("inferno", 0.5), (0.0, 400.0))
    panel.fit()
    shown_s = time.perf_counter()
    _wait(lambda: time.perf_counter() - shown_s > 0.3)
    slices = ct.count(2) - 1
    for _ in range(5):
        panel.step(1)
        panel.redraw_now()
    began = time.perf_counter()
    for _ in range(slices - 5):
        panel.step(1)
        panel.redraw_now()
    seconds = time.perf_counter() - began
    panel.close()
    return (slices - 5) / seconds


def _with_rays(window: MainWindow, folder: Path, told: Callable[[str], None]) -> dict[str, Any]:
    told("one ray")
    view, watch = window.profiles, Watchdog()
    few, many = folder / "few.npz", folder / "many.npz"
    few.write_bytes(rays_for_timing(64).to_bytes())
    many.write_bytes(rays_for_timing(_RAYS).to_bytes())
    watch.start()
    _show(window, few)
    _wait(lambda: view.asker.idle and bool(view.field_numbers))
    slider, spans = view.controls.sliders["delay_s"], []
    answers: list[object] = []
    view.asker.one.connect(lambda arrays, _preview: answers.append(arrays))
    for number in range(_QUESTIONS):
        before = len(answers)
        began = time.perf_counter()
        slider.slide_to(200.0 + 60.0 * number)
        _wait(partial(_more_than, answers, before))
        spans.append(time.perf_counter() - began)
    slider.release()
    _wait(lambda: view.asker.idle)
    told("2,000 rays")
    _show(window, many)
    _wait(lambda: view.asker.idle and bool(view.field_numbers))
    question = view.controls.question()
    spans_2000 = {}
    for name, preview in (("preview_2000_s", True), ("ensemble_2000_s", False)):
        given = {"rays": str(many), "question": question, "rows": None, "preview": preview}
        best = _PATIENCE_S
        for _ in range(2):
            done: list[object] = []
            began = time.perf_counter()
            window.live.submit("ask", given).done.connect(done.append)
            _wait(partial(_more_than, done, 0))
            best = min(best, time.perf_counter() - began)
        spans_2000[name] = round(best, 2)
    watch.stop()
    return {
        "one_ray_ms": round(1000.0 * float(np.median(spans)), 1),
        **spans_2000,
        "block_ms": round(watch.worst_ms, 1),
        "block_cpu_ms": round(watch.worst_cpu_ms, 1),
    }


def _more_than(found: list[object], n: int) -> bool:
    return len(found) > n


def _show(window: MainWindow, path: Path) -> None:
    window.profiles.field_numbers = {}
    window.show_rays(str(path))
