"""Structures made ready to be looked at: masks have the volume of what was drawn, holes are holes."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.app.case_display import open_case, write_display
from protonqa.app.structure_display import mask_of, planes_of, write_structures
from protonqa.app.window_material import write_large_ct
from protonqa.errors import DicomError, StoreError
from protonqa.values import Grid, Structure, StructureSet
from tests.made_structures import write_rtstruct

GRID = Grid(shape=(40, 60, 70), spacing_mm=(1.5, 1.2, 2.0), origin_mm=(-50.0, -36.0, -40.0))


def circle(radius_mm: float, z_mm: float, centre=(1.3, -0.7)) -> np.ndarray:
    angle = np.linspace(0.0, 2 * np.pi, 180, endpoint=False)
    x, y = centre[0] + radius_mm * np.cos(angle), centre[1] + radius_mm * np.sin(angle)
    return np.column_stack([x, y, np.full(angle.size, z_mm)])


def volume_mm3(structure: Structure, grid: Grid = GRID) -> float:
    found = mask_of(planes_of(structure, grid.spacing_mm[2]), grid)
    return 0.0 if found is None else float(found[0].sum() * np.prod(grid.spacing_mm))


def drawn(*contours: np.ndarray) -> Structure:
    return Structure(name="a", number=1, contours=contours)


@pytest.mark.parametrize("step_mm", [1.0, 2.0, 4.0])
def test_the_mask_of_a_cylinder_has_its_volume(step_mm):
    """pi r^2 h, each plane a slab as thick as the planes lie apart, whatever the slices of the CT."""
    z_mm = np.arange(-21.0, 19.0, step_mm) + 0.5 * step_mm
    cylinder = drawn(*(circle(18.0, z) for z in z_mm))
    assert volume_mm3(cylinder) == pytest.approx(np.pi * 18.0**2 * 40.0, rel=0.05)


def test_a_contour_within_another_is_a_hole_and_one_within_the_hole_an_island():
    def areas(*radii):
        return volume_mm3(drawn(*(circle(radius, 0.0) for radius in radii))) / GRID.spacing_mm[2]

    assert areas(20.0, 10.0) == pytest.approx(np.pi * (20.0**2 - 10.0**2), rel=0.03)
    assert areas(20.0, 12.0, 6.0) == pytest.approx(np.pi * (20.0**2 - 12.0**2 + 6.0**2), rel=0.03)
    apart = drawn(circle(8.0, 0.0, (-20.0, 0.0)), circle(8.0, 0.0, (20.0, 0.0)))
    assert volume_mm3(apart) / GRID.spacing_mm[2] == pytest.approx(2 * np.pi * 8.0**2, rel=0.04)


def test_every_voxel_of_a_box_is_inside_and_no_other():
    """Edges through the middle between voxels: the answer is exact, where it lies too."""
    low, high = np.array([-10.25, -12.6]), np.array([7.75, 5.4])
    corners = np.array([(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])])
    box = drawn(*(np.column_stack([corners, np.full(4, z)]) for z in np.arange(-6.0, 8.0, 2.0)))
    mask, (i, j, k) = mask_of(planes_of(box, 2.0), GRID)
    shown = np.zeros(GRID.shape, dtype=bool)
    shown[k : k + mask.shape[0], j : j + mask.shape[1], i : i + mask.shape[2]] = mask
    z, y, x = np.meshgrid(
        *(GRID.origin_mm[a] + GRID.spacing_mm[a] * np.arange(GRID.shape[2 - a]) for a in (2, 1, 0)), indexing="ij"
    )
    inside = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1]) & (z > -7.0) & (z < 7.0)
    assert np.array_equal(shown, inside)


def test_a_gap_between_planes_stays_a_gap():
    z_mm = [-10.0, -8.0, -6.0, -4.0, 8.0, 10.0]
    mask, (_, _, first) = mask_of(planes_of(drawn(*(circle(10.0, z) for z in z_mm)), 2.0), GRID)
    filled = GRID.origin_mm[2] + 2.0 * (first + np.flatnonzero(mask.any(axis=(1, 2))))
    assert filled.tolist() == z_mm


def test_what_reaches_beyond_the_ct_is_cut_off_and_what_lies_outside_has_no_mask():
    wide = drawn(circle(500.0, 0.0))
    assert volume_mm3(wide) == pytest.approx(70 * 60 * np.prod(GRID.spacing_mm))
    assert mask_of(planes_of(drawn(circle(5.0, 0.0, (900.0, 0.0))), 2.0), GRID) is None
    assert mask_of(planes_of(drawn(circle(5.0, 900.0)), 2.0), GRID) is None


def test_what_is_written_is_what_was_drawn(tmp_path):
    outer, inner, above = circle(20.0, 0.0), circle(10.0, 0.0), circle(5.0, 2.0)
    tilted = circle(5.0, 4.0) + np.linspace(0.0, 3.0, 180)[:, None] * (0.0, 0.0, 1.0)
    several = StructureSet(
        structures=(
            Structure(name="ring", number=3, colour_rgb=(1, 2, 3), contours=(above, outer, tilted, inner)),
            Structure(name="nothing", number=4),
        )
    )
    entries, findings = write_structures(several, GRID, tmp_path)
    (entry,) = entries
    assert (entry["name"], entry["colour"], entry["planes_mm"], entry["starts"]) == (
        "ring",
        [1, 2, 3],
        [0, 2],
        [0, 362, 543],
    )
    points = np.load(entry["points"], allow_pickle=False)
    assert points[:180, :2] == pytest.approx(outer[:, :2], abs=1e-5)
    assert np.array_equal(points[180], [*points[0, :2], 0.0]), "a contour comes back to its first point and ends there"
    assert np.flatnonzero(points[:, 2] == 0.0).tolist() == [180, 361, 542]
    mask = np.load(entry["mask"]["file"], allow_pickle=False)
    assert mask.dtype == bool
    assert [one.text for one in findings] == ["RT Structure Set: 1 contour(s) lie in no axial plane and are not shown."]


def test_too_many_voxels_leave_the_axial_contours(tmp_path, monkeypatch):
    monkeypatch.setattr("protonqa.app.structure_display.MOST_MASK_VOXELS", 10)
    two = StructureSet(structures=tuple(Structure(name=n, number=1, contours=(circle(9.0, 0.0),)) for n in "ab"))
    entries, findings = write_structures(two, GRID, tmp_path)
    assert [one["mask"] is None for one in entries] == [False, True]
    assert "axial view only" in findings[0].text


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="could not write"):
        write_structures(StructureSet(structures=(drawn(circle(5.0, 0.0)),)), GRID, tmp_path / "file")


@pytest.fixture
def case_folder(tmp_path):
    """A CT with one structure beside it."""
    write_large_ct(tmp_path / "case" / "ct", shape=(5, 64, 48))
    write_rtstruct(tmp_path / "case" / "rs.dcm", tmp_path / "case" / "ct", {"Canary": [circle(9.0, 0.0)]})
    return tmp_path / "case"


def test_structures_are_found_with_the_case_and_told_in_the_report(case_folder, tmp_path):
    opened = open_case(case_folder)
    assert len(opened.case.structures.structures) == 1
    assert "structures" not in opened.paths
    shown = write_display(opened, tmp_path / "views")
    assert [one["name"] for one in shown["structures"]] == ["Canary"]
    assert ["RT Structure Set", "structures read: 1; closed contours: 1"] in shown["found"]


@pytest.mark.parametrize("trouble", ["cut off", "candidates"])
def test_structures_that_cannot_be_read_are_a_finding_and_the_case_opens(case_folder, tmp_path, trouble):
    path = case_folder / "rs.dcm"
    if trouble == "cut off":
        path.write_bytes(path.read_bytes()[:-30])
    else:
        write_rtstruct(case_folder / "rs2.dcm", case_folder / "ct", {})
    shown = write_display(open_case(case_folder), tmp_path / "views")
    assert shown["structures"] == []
    (text,) = (one["text"] for one in shown["findings"] if one["code"] == "STRUCTURES-NOT-READ")
    assert trouble in text
    assert "Canary" not in text


def test_verify_says_what_came_of_the_structures_it_was_given(case_folder):
    from protonqa.app.verify import VerifyCommand, with_structures

    case = open_case(case_folder).case
    none = case_folder / "none"
    command = VerifyCommand(ct=none, pet=none, plan=none, out=none, structures=case_folder / "rs.dcm")
    values, findings = with_structures(command, {"case": case, "hlut": 1})
    assert (len(values["case"].structures.structures), values["hlut"]) == (1, 1)
    assert findings[-1].text == "RT Structure Set: 1 structure(s) were read; the verification does not use them."
    with pytest.raises(DicomError):
        with_structures(command.model_copy(update={"structures": case_folder / "ct"}), {"case": case})
