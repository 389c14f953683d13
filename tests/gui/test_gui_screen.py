"""The whole way on a screen with a window manager: demo, look, verify, drag the window, sign, export."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from tests.gui.patience import PROTONS

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ("start", "case", "rays", "analyses", "profiles", "dark", "report", "study", "batch", "quality")
needs_screen = pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("openbox")), reason="needs Xvfb and openbox (.ci/run installs them)"
)


@pytest.fixture
def screen():
    """A screen in memory with a window manager; its name."""
    read, write = os.pipe()
    options = ["-displayfd", str(write), "-screen", "0", "1400x900x24", "-nolisten", "tcp"]
    server = subprocess.Popen(["Xvfb", *options], pass_fds=(write,), stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as told:
        name = f":{told.readline().strip()}"
    environment = {**os.environ, "DISPLAY": name}
    manager = subprocess.Popen(["openbox"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield name
    for one in (manager, server):
        one.terminate()
        one.wait(timeout=20)


@needs_screen
def test_from_the_demo_to_the_exported_report(screen, tmp_path):
    pictures, results = tmp_path / "pictures", tmp_path / "results"
    environment = {**os.environ, "DISPLAY": screen, "QT_QPA_PLATFORM": "xcb", "PROTONQA_STORE": str(tmp_path / "s.db")}
    command = [sys.executable, str(ROOT / "docs" / "window_pictures.py"), "--out", str(pictures)]
    command += ["--results", str(results), "--protons", str(PROTONS), "--scale", "1.0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=540, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["platform"] == "xcb"
    assert found["state"] in ("PASS", "FAIL", "NOT EVALUABLE")
    before, after = found["edge_mm"]
    assert after - before == pytest.approx(30.0, abs=4.0)
    assert "repeat CT" in " ".join(page.extract_text() for page in PdfReader(results / "report.pdf").pages)
    assert not [pid for pid in found["workers"] if _alive(pid)]
    for name in PICTURES:
        pixels = np.asarray(Image.open(pictures / f"window-{name}.png").convert("RGB")).reshape(-1, 3)
        assert len(np.unique(pixels, axis=0)) > 20, name
    # Busy neighbours make a loop late; what its own thread computes in one go is the window's own doing. 100 ms are
    # promised for two cores of their own (docs/benchmarks.md); a shared computer gets half as much again.
    slowest = max(found["blocks_ms"].items(), key=lambda one: one[1][1])
    assert slowest[1][1] < 150.0, found["blocks_ms"]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
