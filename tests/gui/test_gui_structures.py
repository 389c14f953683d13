"""Structures in the slices: drawn in every view, switched off one by one."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from protonqa.app.window_material import write_large_ct
from protonqa_gui.structures import DisplayStructure
from tests.gui.patience import PATIENCE_MS
from tests.made_structures import write_rtstruct


def circle(radius_mm: float, z_mm: float) -> np.ndarray:
    angle = np.linspace(0.0, 2 * np.pi, 90, endpoint=False)
    return np.column_stack([radius_mm * np.cos(angle), radius_mm * np.sin(angle), np.full(90, z_mm)])


def green(panel) -> int:
    """Pixels in the colour of the structures; nothing else in a slice has it."""
    image = panel._graphics.grab().toImage()
    shown = np.array([[image.pixel(x, y) for x in range(image.width())] for y in range(image.height())])
    red, middle, blue = (shown >> 16) & 255, (shown >> 8) & 255, shown & 255
    return int(((middle > 150) & (red < 90) & (blue < 90)).sum())


def test_a_structure_is_drawn_in_all_views_and_switched_off(window, qtbot, tmp_path):
    folder = tmp_path / "case"
    write_large_ct(folder / "ct", shape=(12, 64, 48))
    from protonqa.dicom import read_ct

    grid = read_ct(folder / "ct")[0].grid
    middle = grid.world_from_index(0.5 * (np.array(grid.shape[::-1]) - 1))
    reach = 0.3 * min(np.array(grid.spacing_mm[:2]) * grid.shape[:0:-1])
    planes = [circle(reach, 0.0) + middle + (0.0, 0.0, dz * grid.spacing_mm[2]) for dz in np.arange(-3.5, 4.0)]
    name = "<b>a structure</b> with a name that no list has room for"
    write_rtstruct(folder / "rs.dcm", folder / "ct", {name: planes, "second": planes[:1]})
    with qtbot.waitSignal(window.case_opened, timeout=PATIENCE_MS):
        window.open_folder(str(folder))
    view = window.case_view
    view.set_position(middle)
    view.fit()
    assert view.structures.isVisibleTo(view)
    assert view.structures.item(0).text() == name
    assert "&lt;b&gt;" in view.structures.item(0).toolTip(), "a name is never markup"
    first, other = (view.structures.visualItemRect(view.structures.item(row)) for row in range(2))
    assert not first.intersects(other), "a long name is cut short"
    assert "structures read: 2" in window.imported.text.toPlainText()
    both = {name: green(panel) for name, panel in view.panels.items()}
    assert min(both.values()) > 40
    view.structures.item(0).setCheckState(Qt.CheckState.Unchecked)
    second = {name: green(panel) for name, panel in view.panels.items()}
    assert second["axial"] == 0, "its only plane is not this one"
    assert 0 < second["coronal"] < both["coronal"]
    assert 0 < second["sagittal"] < both["sagittal"]
    view.structures.item(1).setCheckState(Qt.CheckState.Unchecked)
    assert not any(green(panel) for panel in view.panels.values())
    for row in range(2):
        view.structures.item(row).setCheckState(Qt.CheckState.Checked)
    assert {name: green(panel) for name, panel in view.panels.items()} == both
    view.set_position(grid.world_from_index(np.zeros(3)))
    assert green(view.panels["axial"]) == 0, "a slice beyond the last plane shows nothing"


def test_outlines_are_the_edges_of_the_mask(tmp_path):
    """A box of 2 x 3 x 4 voxels: each side of its outline lies where the voxels end."""
    np.save(tmp_path / "mask.npy", np.ones((4, 3, 2), dtype=bool))
    np.save(tmp_path / "points.npy", np.zeros((0, 3), dtype=np.float32))
    mask = {"file": str(tmp_path / "mask.npy"), "origin_mm": [10.0, 20.0, 30.0], "spacing_mm": [1.0, 2.0, 3.0]}
    plain = {"name": "a", "colour": None, "planes_mm": [30.0], "starts": [0, 0], "reach_mm": 1.5, "mask": mask}
    one = DisplayStructure.from_plain({**plain, "points": str(tmp_path / "points.npy")})
    for view, ends in (("coronal", (9.5, 11.5)), ("sagittal", (19.0, 25.0))):
        lines = one.lines(view, 20.0 if view == "coronal" else 11.0)
        assert (lines.right_mm.min(), lines.right_mm.max()) == ends
        assert (lines.up_mm.min(), lines.up_mm.max()) == (28.5, 40.5)
        length = np.abs(np.diff(lines.right_mm)) + np.abs(np.diff(lines.up_mm))
        assert length[lines.joined[:-1]].sum() == pytest.approx(2 * (ends[1] - ends[0]) + 2 * 12.0)
        assert one.lines(view, 500.0).right_mm.size == 0
