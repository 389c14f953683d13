"""What must not end the window: a worker that is killed, a full disk, a folder that is gone, a slip in a file."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from protonqa_gui.worker import Worker
from tests.gui.patience import PATIENCE_MS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and devices of POSIX")


@pytest.fixture
def listed(opened, qtbot):
    """The open case, with the analyses there."""
    qtbot.waitUntil(lambda: opened.analyses.current is not None, timeout=PATIENCE_MS)
    qtbot.waitUntil(lambda: not opened.worker.busy, timeout=PATIENCE_MS)
    return opened


def started(window, qtbot) -> None:
    """A verification is in work."""
    window.verify()
    qtbot.waitUntil(lambda: window.worker.job is not None and window.worker.job.share > 0, timeout=PATIENCE_MS)


def test_killed_cancelled_and_closed_in_mid_run(listed, qtbot):
    """Each is a message, case and window stay as they were, and no process is left."""
    case, folders = listed.case, set(listed.results.glob("*"))
    started(listed, qtbot)
    with qtbot.waitSignal(listed.trouble, timeout=PATIENCE_MS):
        os.kill(listed.worker.pid, signal.SIGKILL)
    assert "[WORKER]" in listed.messages.text
    assert "nothing was marked as done" in listed.messages.text
    assert listed.case is case
    assert listed.action("verify").isEnabled()
    # A half-written result would lie about having been finished.
    new = set(listed.results.glob("*")) - folders
    assert not [one for one in new if (one / "manifest.json").exists()]
    started(listed, qtbot)
    listed.action("cancel").trigger()
    qtbot.waitUntil(lambda: not listed.worker.busy, timeout=PATIENCE_MS)
    assert "Cancelled" in listed.messages.text
    assert listed.action("verify").isEnabled()
    started(listed, qtbot)
    pids = [one.pid for one in (listed.worker, listed.live) if one.pid is not None]
    listed.close()
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_full_disk_in_a_run_is_a_message(listed, qtbot, monkeypatch):
    bad = Worker(listed, function="tests.gui.bad_tasks:compute")
    monkeypatch.setattr(listed, "worker", bad)
    with qtbot.waitSignal(listed.trouble, timeout=PATIENCE_MS):
        listed.verify()
    bad.close()
    assert "no space is left" in listed.messages.text
    assert listed.case is not None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_at_export_is_a_message_and_the_report_stays(window, qtbot, tmp_path):
    for name in ("pdf", "html", "preview"):
        (tmp_path / name).write_text("<p>report</p>", encoding="utf-8")
    files = {name: str(tmp_path / name) for name in ("pdf", "html", "preview")}
    with qtbot.waitSignal(window.trouble, timeout=PATIENCE_MS):
        window.report._on_written(files, Path("/dev/full"))
    assert "Choose another folder" in window.messages.text
    assert (tmp_path / "pdf").read_text(encoding="utf-8") == "<p>report</p>"


def test_a_folder_unplugged_after_opening_is_a_message_and_the_images_stay(listed, qtbot, tmp_path, case_folder):
    copy = tmp_path / "stick"
    shutil.copytree(case_folder, copy)
    with qtbot.waitSignal(listed.case_opened, timeout=PATIENCE_MS):
        listed.open_folder(str(copy))
    shutil.rmtree(copy)
    # Another worker does not have the case in its memory.
    listed.worker.close()
    with qtbot.waitSignal(listed.trouble, timeout=PATIENCE_MS):
        listed.verify()
    assert "error" not in listed.messages.text.lower().split("[")[0]
    assert "0 HU" in listed.case_view.line_at(listed.case_view.position_mm)
    listed.case_view.panels["axial"].step(1)
