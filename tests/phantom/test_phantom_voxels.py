"""Voxelisation: volumes against closed forms, painting order, material and tissue maps, export differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.errors import GeometryError, InputError
from protonqa.phantom import PhantomDefinition, VoxelPhantom, export_differences, parse_definition, voxelise
from protonqa.phantom.schema import Arc, Box, Cylinder, Ellipsoid, EllipticCylinder, Fill
from protonqa.phantom.voxelise import axis_blocks, bounds_mm, inside, phantom_grid
from protonqa.physics.materials import material_index
from protonqa.physics.rsp import rsp_from_hu
from protonqa.values import Hlut, Severity


def phantom_of(
    *shapes: Any, size: tuple[float, float, float] = (60.0, 60.0, 60.0), spacing: float = 1.0
) -> VoxelPhantom:
    definition = PhantomDefinition(
        name="test",
        size_mm=size,
        spacing_mm=(spacing,) * 3,
        background=Fill(material="water"),
        shapes=list(shapes),
    )
    return voxelise(definition)


def volume_mm3(phantom: VoxelPhantom, tissue: str = "a") -> float:
    return phantom.tissue_volume_ml(tissue) * 1000.0


MIDDLE: Any = {"hu": 40.0, "tissue": "a", "center_mm": (0.0, 0.0, 30.0)}


@pytest.mark.parametrize(
    ("shape", "expected_mm3"),
    [
        (Box(size_mm=(20.0, 30.0, 41.0), **MIDDLE), 20 * 30 * 41.0),
        (Ellipsoid(radii_mm=(25.0, 18.0, 12.0), **MIDDLE), 4 / 3 * math.pi * 25 * 18 * 12),
        (Cylinder(radius_mm=17.0, length_mm=40.0, axis="x", **MIDDLE), math.pi * 17**2 * 40),
        (Cylinder(radius_mm=17.0, length_mm=40.0, axis="y", **MIDDLE), math.pi * 17**2 * 40),
        (Cylinder(radius_mm=17.0, length_mm=40.0, axis="z", **MIDDLE), math.pi * 17**2 * 40),
        (EllipticCylinder(radii_mm=(25.0, 13.0), length_mm=30.0, **MIDDLE), math.pi * 25 * 13 * 30),
        # Superellipse: 4 a b Gamma(1 + 1/n)^2 / Gamma(1 + 2/n).
        (
            EllipticCylinder(radii_mm=(25.0, 13.0), length_mm=30.0, exponent=3.0, **MIDDLE),
            4 * 25 * 13 * 30 * math.gamma(4 / 3) ** 2 / math.gamma(5 / 3),
        ),
        # Pappus: the tube's ellipse times the way of its middle.
        (Arc(radii_mm=(20.0, 20.0), tube_mm=(5.0, 6.0), **MIDDLE), math.pi * 5 * 6 * 2 * math.pi * 20),
        (
            Arc(radii_mm=(20.0, 20.0), tube_mm=(5.0, 6.0), start_deg=30.0, stop_deg=150.0, rise_mm=14.0, **MIDDLE),
            math.pi * 5 * 6 * 2 * math.pi * 20 / 3,
        ),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_volumes_meet_their_closed_forms(shape: Any, expected_mm3: float) -> None:
    assert volume_mm3(phantom_of(shape, spacing=0.5)) == pytest.approx(expected_mm3, rel=0.01)


@pytest.mark.parametrize("turn", [0.0, 25.0, 90.0, 200.0])
def test_rotation_keeps_volume_and_carries_plus_x_towards_plus_y(turn: float) -> None:
    still = phantom_of(Ellipsoid(radii_mm=(25.0, 8.0, 12.0), **MIDDLE))
    turned = phantom_of(Ellipsoid(radii_mm=(25.0, 8.0, 12.0), rotation_deg=turn, **MIDDLE))
    assert volume_mm3(turned) == pytest.approx(volume_mm3(still), rel=0.03)
    z, y, x = np.nonzero(turned.tissue_mask("a"))
    points = turned.grid.world_from_index(np.stack([x, y, z], axis=-1))[:, :2]
    main = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]
    want = np.array([math.cos(math.radians(turn)), math.sin(math.radians(turn))])
    assert abs(main @ want) == pytest.approx(1.0, abs=1e-3)


def test_grid_has_lps_axes_with_x_y_centred_and_z_from_the_entrance() -> None:
    grid = phantom_grid((10.0, 8.0, 6.0), (2.0, 1.0, 0.5))
    assert grid.shape == (12, 8, 5)
    assert grid.origin_mm == (-4.0, -3.5, 0.25)
    assert np.array_equal(grid.direction, np.eye(3))
    assert grid.center_mm == pytest.approx([0.0, 0.0, 3.0])


def test_a_shape_at_low_x_and_deep_z_lands_in_its_voxels() -> None:
    shape = Box(size_mm=(4.0, 2.0, 6.0), hu=100.0, tissue="a", center_mm=(-10.0, 5.0, 40.0))
    z, y, x = np.nonzero(phantom_of(shape).tissue_mask("a"))
    assert (x.min(), x.max()) == (18, 21)  # -12 to -8 mm of -30 to 30
    assert (y.min(), y.max()) == (34, 35)
    assert (z.min(), z.max()) == (37, 42)


def test_centred_shapes_are_symmetric() -> None:
    shapes = (
        Ellipsoid(radii_mm=(22.0, 17.0, 12.0), **MIDDLE),
        Cylinder(radius_mm=13.0, length_mm=40.0, axis="y", **MIDDLE),
        EllipticCylinder(radii_mm=(25.0, 13.0), length_mm=30.0, exponent=2.5, **MIDDLE),
        Box(size_mm=(20.0, 30.0, 10.0), **MIDDLE),
        Arc(radii_mm=(20.0, 15.0), tube_mm=(5.0, 6.0), **MIDDLE),
    )
    for shape in shapes:
        mask = phantom_of(shape).tissue_mask("a")
        for axis in range(3):
            assert np.array_equal(mask, np.flip(mask, axis)), (shape.kind, axis)


def test_touching_boxes_tile_without_gap_or_overlap_even_on_voxel_centres() -> None:
    # Faces at 10.5 mm fall on voxel centres: the centre belongs to the box that begins there.
    first = Box(hu=1.0, tissue="a", center_mm=(0.0, 0.0, 5.25), size_mm=(60.0, 60.0, 10.5))
    second = Box(hu=2.0, tissue="b", center_mm=(0.0, 0.0, 15.25), size_mm=(60.0, 60.0, 9.5))
    phantom = phantom_of(first, second)
    column = phantom.hu[:21, 30, 30]
    assert column.tolist() == [1.0] * 10 + [2.0] * 10 + [0.0]


def test_later_shapes_lie_over_earlier_ones_and_within_restricts_them() -> None:
    below = Box(hu=10.0, tissue="below", center_mm=(0.0, 0.0, 30.0), size_mm=(20.0, 20.0, 20.0))
    above = Box(hu=20.0, tissue="above", center_mm=(10.0, 0.0, 30.0), size_mm=(20.0, 20.0, 20.0))
    assert volume_mm3(phantom_of(below, above), "below") == 4000.0
    assert volume_mm3(phantom_of(above, below), "below") == 8000.0
    held = above.model_copy(update={"within": ["below"]})
    assert volume_mm3(phantom_of(below, held), "above") == 4000.0


def test_materials_and_calibrated_hu_are_told_apart() -> None:
    inner = Box(material="pmma", center_mm=(0.0, 0.0, 30.0), size_mm=(20.0, 20.0, 20.0))
    over = Box(hu=287.0, tissue="plastic by HU", center_mm=(0.0, 0.0, 30.0), size_mm=(10.0, 10.0, 10.0))
    phantom = phantom_of(inner, over)
    assert phantom.tissues == ("water", "pmma", "plastic by HU")
    assert phantom.material_index[0, 0, 0] == material_index("water")
    assert phantom.material_index[22, 22, 22] == material_index("pmma")
    assert phantom.material_index[30, 30, 30] == -1
    assert phantom.hu[30, 30, 30] == 287.0
    assert phantom.hu[0, 0, 0] == 0.0
    assert phantom.volume().unit == "HU"
    with pytest.raises(ValueError, match="read-only"):
        phantom.hu[0, 0, 0] = 1.0
    with pytest.raises(InputError, match="unknown tissue"):
        phantom.tissue_mask("gold")


def test_export_names_the_rsp_that_a_reader_will_see() -> None:
    findings = export_differences(phantom_of(Box(material="pmma", size_mm=(9.0, 9.0, 9.0), center_mm=(0.0, 0.0, 30.0))))
    water, pmma = findings
    assert water.severity is Severity.WARNING
    assert "material water (RSP 1.000) is exported as HU 0, which reads back as RSP 1.024 (+2.4 %)" in water.text
    assert pmma.severity is Severity.INFO  # its CT number is the one of nearest RSP
    assert "pmma" in pmma.text
    exact = Hlut(hu=np.array([-1000.0, 0.0, 1000.0]), rsp=np.array([0.0, 1.0, 1.5]))
    assert "reads back as RSP 1.000" in export_differences(phantom_of(), exact)[0].text
    assert float(rsp_from_hu(0.0)) == pytest.approx(1.024, abs=5e-4)


def test_a_phantom_of_hu_alone_loses_nothing_on_export() -> None:
    text = "name: air\nsize_mm: [4, 4, 4]\nspacing_mm: [1, 1, 1]\nbackground: {hu: -1000}\n"
    assert export_differences(voxelise(parse_definition(text))) == []


def test_a_shape_without_any_voxel_is_found() -> None:
    outside = Box(hu=1.0, center_mm=(0.0, 0.0, 200.0), size_mm=(9.0, 9.0, 9.0))
    thin = Box(hu=1.0, center_mm=(0.0, 0.0, 30.0), size_mm=(9.0, 9.0, 0.5))
    codes = [f.code for f in phantom_of(outside, thin).findings]
    assert codes == ["PHANTOM-EMPTY-SHAPE"] * 2
    assert phantom_of(Box(hu=1.0, center_mm=(0.0, 0.0, 30.0), size_mm=(9.0, 9.0, 9.0))).findings == ()


def test_other_voxels_on_request_and_only_whole_ones() -> None:
    definition = PhantomDefinition(
        name="t", size_mm=(60.0, 60.0, 60.0), spacing_mm=(1.0, 1.0, 1.0), background=Fill(hu=0.0)
    )
    assert voxelise(definition, (2.0, 3.0, 4.0)).grid.shape == (15, 20, 30)
    with pytest.raises(GeometryError, match="whole number of voxels along z"):
        voxelise(definition, (2.0, 3.0, 7.0))


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.floats(3, 25), st.floats(3, 25)),
    st.tuples(st.floats(1, 8), st.floats(1, 8)),
    st.floats(-360, 300),
    st.floats(5, 360),
    st.floats(-15, 15),
    st.floats(1, 6),
    st.floats(-90, 90),
)
def test_the_boxes_of_an_arc_hold_all_of_it(radii, tube, start, span, rise, exponent, turn) -> None:  # type: ignore[no-untyped-def]
    arc = Arc(
        hu=1.0,
        center_mm=(2.0, -3.0, 30.0),
        radii_mm=radii,
        tube_mm=tube,
        start_deg=start,
        stop_deg=start + span,
        rise_mm=rise,
        exponent=exponent,
        rotation_deg=turn,
    )
    grid = phantom_grid((80.0, 80.0, 60.0), (2.0, 2.0, 2.0))
    locate = axis_blocks(grid)
    everywhere = locate(np.full(3, -1e3), np.full(3, 1e3))
    assert everywhere is not None
    whole = inside(arc, *everywhere[1])
    pieces = np.zeros(grid.shape, dtype=bool)
    for low, high in bounds_mm(arc):
        found = locate(low, high)
        if found is not None:
            pieces[found[0]] |= inside(arc, *found[1])
    assert np.array_equal(pieces, np.broadcast_to(whole, grid.shape))
