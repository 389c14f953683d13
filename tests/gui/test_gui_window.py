"""The window as people use it, from the first start to the exported report."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent

from protonqa_gui.settings import Settings
from tests.gui.made_rays import made_rays
from tests.gui.patience import PATIENCE_MS, PROTONS

WATER_HU, AIR_HU = 0, -1000


def picture_of(widget) -> np.ndarray:
    image = widget.grab().toImage()
    return np.array([[image.pixel(x, y) for x in range(0, image.width(), 5)] for y in range(0, image.height(), 5)])


def test_first_start_leads_to_the_demo_in_one_click(window, qtbot, monkeypatch):
    assert window.stack.currentWidget() is window.start
    given = []
    monkeypatch.setattr(window.worker, "submit", lambda *args: given.append(args) or _Silent())
    qtbot.mouseClick(window.start.demo, Qt.MouseButton.LeftButton)
    assert given[0][0] == "demo"


class _Silent:
    """A job that never says anything."""

    def __getattr__(self, name):
        return self

    def connect(self, _):
        return None


def test_open_and_look(opened, qtbot):
    """Slices show the block, the read-out is in DICOM coordinates, the views are linked."""
    view = opened.case_view
    assert "CT 0 HU" in view.line_at(np.array([0.0, 0.0, 0.0]))
    assert "CT -1000 HU" in view.line_at(np.array([0.0, -60.0, 0.0]))
    assert "- HU" in view.line_at(np.array([500.0, 0.0, 0.0]))
    assert "Bq/ml" in view.line_at(np.zeros(3))
    assert "Gy" in view.line_at(np.zeros(3))
    view.set_position(np.array([0.0, 0.0, -6.0]))  # the middle of a slice
    view.panels["axial"].step(2)
    assert view.position_mm[2] == pytest.approx(2.0)
    assert view.panels["coronal"].position_mm[2] == view.position_mm[2]
    assert len(np.unique(picture_of(view.panels["axial"]))) > 5
    view.look.choose_preset(1)
    assert view.look.look().window_hu == (-1350.0, 150.0)


def test_overlay_shows_where_the_activity_is(opened):
    """With the overlay the picture has colours; without it, it is grey."""
    panel = opened.case_view.panels["coronal"]

    def coloured() -> bool:
        picture = picture_of(panel._graphics)
        red, blue = (picture >> 16) & 255, picture & 255
        inner = np.abs(red.astype(int) - blue)[5:-5, 5:-5]
        return int((inner > 60).sum()) > 20

    opened.case_view.look.choose_overlay("pet")
    with_pet = coloured()
    opened.case_view.look.choose_overlay("")
    assert (with_pet, coloured()) == (True, False)


def test_import_report_names_what_was_found(opened):
    text = opened.imported.text.toPlainText()
    for word in ("Planning CT", "26 x 32 x 24 voxels", "RT Ion Plan", "irradiation 60 s, delay 120 s", "Findings"):
        assert word in text


def test_a_folder_that_is_gone_is_a_message_and_the_case_stays(opened, qtbot, tmp_path):
    case = opened.case
    with qtbot.waitSignal(opened.trouble, timeout=PATIENCE_MS):
        opened.open_folder(str(tmp_path / "unplugged"))
    assert "nothing at this path" in opened.messages.text
    assert opened.case is case


def test_a_dropped_folder_is_opened(window, monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(window, "open_folder", given.append)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    window.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, left, none))
    assert given == [str(tmp_path)]


def test_rays_are_chosen_in_the_map_and_shown_everywhere(window, qtbot, tmp_path):
    rays = made_rays()
    path = tmp_path / "rays-1.npz"
    path.write_bytes(rays.to_bytes())
    with qtbot.waitSignal(window.profiles.asker.field, timeout=PATIENCE_MS):
        window.show_rays(str(path))
    first = window.profiles.row
    assert first == window.case_view.row >= 0
    window.case_view.bev.chosen.emit(3)
    assert (window.profiles.row, window.case_view.row) == (3, 3)
    window.profiles.ray.setValue(5)
    assert window.case_view.row == 5
    qtbot.waitUntil(lambda: window.profiles.asker.idle, timeout=PATIENCE_MS)


def test_dragging_the_window_previews_and_dropping_answers_for_the_field(window, qtbot, tmp_path):
    rays = made_rays()
    path = tmp_path / "rays-1.npz"
    path.write_bytes(rays.to_bytes())
    view = window.profiles
    with qtbot.waitSignal(view.asker.field, timeout=PATIENCE_MS):
        window.show_rays(str(path))
    region = view.plot.region
    with qtbot.waitSignal(view.asker.one, timeout=PATIENCE_MS) as told:
        region.setRegion((30.0, 95.0))
        view.controls.drag_window(65.0, 15.0)
    assert told.args[1] is True
    with qtbot.waitSignal(view.asker.field, timeout=PATIENCE_MS):
        view.plot.window_dropped.emit(30.0, 95.0)
    question = view.controls.question()
    assert (question["window_mm"], question["window_end_mm"]) == (65.0, 15.0)
    inside = rays.depth_mm[view.answer["window"][0]]
    assert (inside[0], inside[-1]) == (30.5, 94.5)
    # Measured lies 2 mm deeper than expected in these rays.
    assert view.field_numbers["shift_mm"] == pytest.approx(2.0, abs=0.3)
    assert view.field_numbers["answered"] == 36


def test_layout_theme_and_recent_cases_are_remembered(window, qtbot, settings_folder, tmp_path):
    from protonqa_gui.main_window import MainWindow

    window.set_theme("dark")
    window.resize(800, 705)
    window.settings.add_recent(str(tmp_path))
    window.close()
    second = MainWindow(tmp_path / "results")
    qtbot.addWidget(second)
    assert second.theme.name == "dark"
    assert Settings().recent_cases() == [str(tmp_path)]
    assert second.size().height() == 705
    second.set_theme("light")
    second.close()


def test_verify_look_comment_and_export(opened, qtbot, tmp_path):
    """The whole way: run verification on the open case, read the verdict, sign, export PDF and HTML."""
    from pypdf import PdfReader

    qtbot.waitUntil(lambda: opened.analyses.current is not None, timeout=PATIENCE_MS)
    form = opened.analyses.form
    for name, value in {"protons": PROTONS, "method": "a50", "systematic_draws": 2, "psf_mm": 5.0}.items():
        form.set_value(name, value)
    with qtbot.waitSignal(opened.result_shown, timeout=PATIENCE_MS) as told:
        opened.action("verify").trigger()
    assert told.args[0] in ("PASS", "FAIL", "NOT EVALUABLE")
    qtbot.waitUntil(lambda: bool(opened.report.files), timeout=PATIENCE_MS)
    assert opened.profiles.rays.method == "a50"
    assert opened.profiles.rays.evaluable.sum() >= 20
    opened.report.comment.setPlainText("Seen together with the tumour board.")
    opened.report.signed_by.setText("A. Reader")
    for name in ("report.pdf", "report.html"):
        with qtbot.waitSignal(opened.report.exported, timeout=PATIENCE_MS):
            opened.report.write(tmp_path / name)
    text = " ".join(page.extract_text() for page in PdfReader(tmp_path / "report.pdf").pages)
    assert "tumour board" in text
    assert "tumour board" in (tmp_path / "report.html").read_text(encoding="utf-8")
    folder = next(opened.results.glob("range-verification-*"))
    stored = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert stored["state"] == told.args[0]
    assert (folder / "manifest.json").is_file()


def test_closing_ends_the_workers_and_the_session_folder(window, qtbot):
    window.warm_up()
    qtbot.waitUntil(lambda: window.analyses.current is not None, timeout=PATIENCE_MS)
    pids = [one.pid for one in (window.worker, window.live)]
    session = window.session
    window.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not session.exists()
