"""Rods, plates, cuts and boxy ellipsoids: closed-form volumes, boxes that hold them, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.errors import InputError
from protonqa.phantom.schema import Ellipsoid, Plate, Rod, parse_definition
from protonqa.phantom.shape_geometry import bounds_mm, inside
from protonqa.phantom.shapes import AnyShape, Arc
from protonqa.phantom.voxelise import axis_blocks, phantom_grid

TEXT = "name: t\nsize_mm: [60, 60, 60]\nspacing_mm: [1, 1, 1]\nbackground: {hu: 0}\nshapes:\n  - {hu: 1, kind: "


def volume_mm3(shape: AnyShape, step_mm: float = 0.5) -> float:
    axis = np.arange(-30 + step_mm / 2, 30, step_mm)
    mask = inside(shape, axis[None, None, :], axis[None, :, None], axis[:, None, None])
    return float(np.count_nonzero(mask)) * step_mm**3


def test_a_rod_has_the_volume_of_a_cylinder_with_two_half_balls() -> None:
    rod = Rod(hu=1.0, start_mm=(-8.0, 4.0, 2.0), end_mm=(8.0, -3.0, -6.0), radii_mm=(5.0, 5.0))
    length = np.sqrt(16**2 + 7**2 + 8**2)
    assert volume_mm3(rod) == pytest.approx(np.pi * 25 * length + 4 / 3 * np.pi * 125, rel=0.005)


def test_the_radius_of_a_rod_changes_evenly_along_it() -> None:
    rod = Rod(hu=1.0, start_mm=(0.0, 0.0, -20.0), end_mm=(0.0, 0.0, 20.0), radii_mm=(4.0, 8.0))
    z = np.array([-20.0, 0.0, 20.0])
    for radius, height in zip((4.0, 6.0, 8.0), z, strict=True):
        for off, expected in ((radius - 0.01, True), (radius + 0.01, False)):
            assert bool(inside(rod, np.array(off), np.array(0.0), np.array(height))) is expected


def test_a_plate_has_the_volume_of_its_triangle_with_round_rims() -> None:
    corners = ((-15.0, -10.0, 3.0), (14.0, -6.0, -4.0), (2.0, 16.0, 1.0))
    plate = Plate(hu=1.0, corners_mm=corners, thickness_mm=4.0)
    a, b, c = (np.array(corner) for corner in corners)
    area = np.linalg.norm(np.cross(b - a, c - a)) / 2
    rim = sum(np.linalg.norm(v - u) for u, v in ((a, b), (b, c), (c, a)))
    # Steiner's formula: area, half cylinders along the rim, and one ball shared out among the corners.
    expected = area * 4 + rim * np.pi * 2**2 / 2 + 4 / 3 * np.pi * 2**3
    assert volume_mm3(plate) == pytest.approx(expected, rel=0.01)


def test_a_z_range_cuts_a_shape_at_its_heights() -> None:
    whole = Ellipsoid(hu=1.0, center_mm=(0.0, 0.0, 0.0), radii_mm=(10.0, 8.0, 12.0))
    upper = whole.model_copy(update={"z_range_mm": (0.0, 40.0)})
    lower = whole.model_copy(update={"z_range_mm": (-40.0, 0.0)})
    assert volume_mm3(upper) == pytest.approx(volume_mm3(whole) / 2, rel=1e-6)
    assert volume_mm3(upper) + volume_mm3(lower) == pytest.approx(volume_mm3(whole), rel=1e-9)
    assert bounds_mm(upper)[0][0][2] == 0.0
    assert bounds_mm(whole.model_copy(update={"z_range_mm": (13.0, 40.0)})) == []


def test_a_large_exponent_makes_an_ellipsoid_a_box() -> None:
    ball = Ellipsoid(hu=1.0, center_mm=(0.0, 0.0, 0.0), radii_mm=(10.0, 10.0, 10.0))
    boxy = ball.model_copy(update={"exponent": 20.0})
    assert volume_mm3(ball) == pytest.approx(4 / 3 * np.pi * 1000, rel=0.005)
    assert volume_mm3(boxy) == pytest.approx(8000, rel=0.06)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-25, 25)] * 3), min_size=3, max_size=3, unique=True),
    st.tuples(st.floats(0.5, 8), st.floats(0.5, 8)),
    st.floats(-20, 10),
)
def test_the_boxes_of_rods_and_plates_hold_all_of_them(corners, radii, low) -> None:  # type: ignore[no-untyped-def]
    shapes: list[AnyShape] = [Rod(hu=1.0, start_mm=corners[0], end_mm=corners[1], radii_mm=radii)]
    u, v = np.subtract(corners[1], corners[0]), np.subtract(corners[2], corners[0])
    if np.linalg.norm(np.cross(u, v)) > 1e-2:
        cut = {"z_range_mm": (low + 30.0, low + 45.0)}
        raised = [tuple(np.add(corner, (0.0, 0.0, 30.0)).tolist()) for corner in corners]
        shapes.append(Plate(hu=1.0, corners_mm=raised, thickness_mm=radii[0], **cut))
    grid = phantom_grid((80.0, 80.0, 60.0), (2.0, 2.0, 2.0))
    locate = axis_blocks(grid)
    everywhere = locate(np.full(3, -1e3), np.full(3, 1e3))
    assert everywhere is not None
    for shape in shapes:
        pieces = np.zeros(grid.shape, dtype=bool)
        for found in (locate(*box) for box in bounds_mm(shape)):
            if found is not None:
                pieces[found[0]] |= inside(shape, *found[1])
        assert np.array_equal(pieces, np.broadcast_to(inside(shape, *everywhere[1]), grid.shape))


def test_the_boxes_of_a_pointed_arc_hold_its_points() -> None:
    arc = Arc(hu=1.0, center_mm=(0, 0, 0), radii_mm=(18, 3), tube_mm=(1, 1), start_deg=-1, stop_deg=33, exponent=1)
    tip = np.array(18.5), np.array(0.0), np.array(-0.4)
    assert bool(inside(arc, *tip))
    assert any((np.array(tip) >= low).all() and (np.array(tip) <= high).all() for low, high in bounds_mm(arc))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("rod, start_mm: [1, 2, 3], end_mm: [1, 2, 3], radii_mm: [1, 1]}", ["a rod has no length", "line 6"]),
        ("rod, start_mm: [1, 2, 3], end_mm: [1, 2, 9], radii_mm: [1, 0]}", ["radii_mm", "greater than 0"]),
        ("rod, start_mm: [1, 2, 3], end_mn: [1, 2, 9], radii_mm: [1, 1]}", ["'end_mn'", "did you mean 'end_mm'?"]),
        ("plate, corners_mm: [[0, 0, 0], [1, 1, 1], [2, 2, 2]], thickness_mm: 2}", ["lie on one line", "line 6"]),
        (
            "ellipsoid, center_mm: [0, 0, 9], radii_mm: [5, 5, 5], z_range_mm: [9, 3]}",
            ["z range is empty", "9 to 3 mm"],
        ),
        ("ellipsoid, center_mm: [0, 0, 9], radii_mm: [5, 5, 5], exponent: 0.5}", ["exponent", "line 6"]),
    ],
)
def test_shapes_that_are_none_are_refused_with_their_line(shape: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_definition(TEXT + shape + "\n")
    for word in words:
        assert word in str(caught.value)
