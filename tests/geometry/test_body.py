"""The body outline on drawn patients whose outline is known, and on a real CT."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, label

from protonqa.dicom import read_ct
from protonqa.errors import GeometryError, InputError, UnitsError
from protonqa.geometry.body import body_mask
from protonqa.geometry.frames import beam_frame
from protonqa.geometry.rays import cast_rays, depth_profiles, lateral_lattice
from protonqa.values import Grid, Volume

SHAPE = (12, 150, 200)
SPACING_MM = (2.0, 2.0, 4.0)


def as_ct(hu, direction=None, spacing_mm=SPACING_MM):
    grid = Grid(
        shape=hu.shape,
        spacing_mm=spacing_mm,
        origin_mm=(0.0, 0.0, 0.0),
        direction=np.eye(3) if direction is None else direction,
    )
    return Volume(grid=grid, array=hu, unit="HU")


def ellipse(center_yx, half_yx, shape=SHAPE):
    _, y, x = np.indices(shape)
    return ((y - center_yx[0]) / half_yx[0]) ** 2 + ((x - center_yx[1]) / half_yx[1]) ** 2 < 1


def drawn_patient():
    """Supine patient with lungs that the image ends cut, bowel gas and a bone; the truth is the outer ellipse."""
    body = ellipse((60, 100), (45, 70))
    hu = np.where(body, 30.0, -1000.0)
    hu[body & ~binary_erosion(body, np.ones((1, 3, 3)))] = -120.0
    hu[ellipse((55, 70), (25, 22)) | ellipse((55, 130), (25, 22))] = -820.0
    hu[ellipse((80, 100), (4, 12))] = -1000.0
    hu[ellipse((90, 100), (6, 6))] = 700.0
    return hu, body


def add_table(hu, top_row, shell=1, deep=20, columns=(20, 180)):
    """A flat table top: shells around foam, its upper surface at `top_row`."""
    block = np.zeros(hu.shape, dtype=bool)
    block[:, top_row : top_row + deep, columns[0] : columns[1]] = True
    core = np.zeros(hu.shape, dtype=bool)
    core[:, top_row + shell : top_row + deep - shell, columns[0] + shell : columns[1] - shell] = True
    out = hu.copy()
    out[block & (hu < -500)] = -50.0
    out[core & (hu < -500)] = -930.0
    return out


def outline_error_mm(found, truth, spacing_mm=2.0):
    """Largest in-plane distance by which a mask is off the truth, in whole voxels."""
    disc = np.zeros((1, 3, 3), dtype=bool)
    disc[0, 1, :] = disc[0, :, 1] = True
    for steps in range(8):
        if steps == 0:
            grown = shrunk = truth
        else:
            grown = binary_dilation(truth, disc, iterations=steps)
            shrunk = binary_erosion(truth, disc, iterations=steps, border_value=1)
        if not (found & ~grown).any() and not (shrunk & ~found).any():
            return steps * spacing_mm
    return np.inf


def test_patient_in_air_is_met_to_the_voxel():
    hu, body = drawn_patient()
    assert np.array_equal(body_mask(as_ct(hu)), body)


def test_internal_air_belongs_to_the_body_and_padding_does_not():
    """Lung cut by the last slices, bowel gas: inside. Padding of -3024 outside the field of view: air."""
    hu, body = drawn_patient()
    hu[~ellipse((75, 100), (75, 100))] = -3024.0
    mask = body_mask(as_ct(hu))
    assert np.array_equal(mask, body)
    assert mask[0, 55, 70]
    assert mask[-1, 55, 70]
    assert mask[6, 80, 100]


@pytest.mark.parametrize("gap_rows", [0, 1, 3])
def test_table_near_or_touching_is_excluded(gap_rows):
    """The table top touches the back or nearly so."""
    hu, body = drawn_patient()
    mask = body_mask(as_ct(add_table(hu, 105 + gap_rows)))
    assert outline_error_mm(mask, body) <= 2.0
    assert not mask[:, 107:].any()


@pytest.mark.parametrize("shell", [1, 2])
@pytest.mark.parametrize("side", ["back", "front", "right", "left"])
def test_body_lying_flat_on_a_table_ends_at_its_surface(shell, side):
    """A back pressed flat: 100 mm of contact, where shell and skin touch. Prone and decubitus likewise."""
    hu, body = drawn_patient()
    body[:, 98:] = False
    hu[:, 98:] = -1000.0
    hu = add_table(hu, 98, shell=shell)
    turn = {"back": 0, "right": 1, "front": 2, "left": 3}[side]
    hu, body = np.rot90(hu, turn, (1, 2)), np.rot90(body, turn, (1, 2))
    mask = body_mask(as_ct(hu))
    assert outline_error_mm(mask, body) <= 2.0
    assert (mask & ~body).sum() <= 0.001 * body.sum()


def test_curved_mattress_cover_is_excluded_where_it_leaves_the_skin():
    hu, body = drawn_patient()
    _, y, x = np.indices(SHAPE)
    sheet = np.abs(y - (106.0 - 0.004 * (x - 100) ** 2)) < 0.75
    hu[sheet & (hu < -500)] = -100.0
    mask = body_mask(as_ct(hu))
    assert (mask & ~binary_dilation(body, np.ones((1, 5, 5)))).sum() == 0
    assert (body & ~mask).sum() == 0


def test_immobilisation_mask_blanket_and_cable_are_excluded():
    hu, body = drawn_patient()
    _, y, x = np.indices(SHAPE)
    radius = np.sqrt(((y - 60) / 50.0) ** 2 + ((x - 100) / 75.0) ** 2)
    hu[(np.abs(radius - 1.0) < 0.012) & (y < 60)] = -50.0
    hu[:, 8:10, 40:160] = -700.0
    hu[:, 14:16, 99:101] = 300.0
    assert np.array_equal(body_mask(as_ct(hu)), body)


def test_block_phantom_keeps_its_corners():
    """The opening rounds corners; they come back."""
    hu = np.full((8, 60, 60), -1000.0)
    hu[1:7, 10:50, 10:50] = 0.0
    assert np.array_equal(body_mask(as_ct(hu, spacing_mm=(1.0, 1.0, 1.0))), hu > -500)


def test_phantom_that_fills_the_grid_is_all_body():
    hu = np.zeros((10, 20, 20))
    assert body_mask(as_ct(hu)).all()


def test_lung_slab_across_a_phantom_does_not_cut_it_in_two():
    """A slab phantom in DICOM: the whole of some slices is lung, open to the image edge."""
    hu = np.zeros((30, 40, 40))
    hu[8:14] = -740.0
    hu[20:23, :, 20:] = -740.0
    assert body_mask(as_ct(hu)).all()
    hu[8:14] = -1000.0
    assert not body_mask(as_ct(hu))[:14].any()


def test_foam_beside_the_patient_stays_outside():
    """A cushion of lung density at the image edge has no tissue above and below it."""
    hu, body = drawn_patient()
    cushion = hu.copy()
    cushion[:, 60:140, :28] = np.where(hu[:, 60:140, :28] < -500, -800.0, hu[:, 60:140, :28])
    assert np.array_equal(body_mask(as_ct(cushion)), body)


def test_body_cut_by_the_image_edge_reaches_it():
    hu, body = drawn_patient()
    assert np.array_equal(body_mask(as_ct(hu[:, :, 45:])), body[:, :, 45:])


def test_largest_of_two_parts():
    hu, body = drawn_patient()
    hu[:, 120:140, 20:60] = 0.0
    assert np.array_equal(body_mask(as_ct(hu)), body)


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_axial_planes_are_found_in_any_array_order(order):
    """Sagittal or coronal stacks: lungs open at the head end must be filled in the axial planes all the same."""
    hu, body = drawn_patient()
    turned = np.transpose(hu, order)
    # Array axis i runs along what was axis order[i]; directions of [z, y, x] are rows here.
    rows = np.eye(3)[::-1][list(order)]
    spacing = np.array(SPACING_MM[::-1])[list(order)]
    ct = as_ct(turned, direction=rows[::-1].T, spacing_mm=tuple(spacing[::-1]))
    assert np.array_equal(body_mask(ct), np.transpose(body, order))


def test_flipped_images_give_the_flipped_mask():
    hu, _ = drawn_patient()
    hu = add_table(hu, 104)
    mask = body_mask(as_ct(hu))
    for axes in ((1,), (2,), (0, 1), (1, 2)):
        assert np.array_equal(body_mask(as_ct(np.flip(hu, axes))), np.flip(mask, axes))


def test_what_is_no_ct_is_refused():
    hu, _ = drawn_patient()
    with pytest.raises(UnitsError, match="CT"):
        body_mask(as_ct(hu).with_array(hu, unit="RSP"))
    with pytest.raises(GeometryError, match="no body"):
        body_mask(as_ct(np.full((4, 10, 10), -1000.0)))
    speck = np.full((4, 30, 30), -1000.0)
    speck[2, 5, 5] = 0.0
    with pytest.raises(GeometryError, match="no body"):
        body_mask(as_ct(speck))
    with pytest.raises(InputError, match="radius"):
        body_mask(as_ct(hu), detach_mm=0.0)


@pytest.fixture(scope="module")
def real(reference_data):
    ct = read_ct(reference_data / "ct_case" / "CRLM-CT-1006_CT.zip")[0]
    return ct, body_mask(ct)


class TestRealCt:
    """Abdomen CT, feet first, 5 mm slices, curved table with a mattress whose cover is pressed on the back."""

    def test_one_filled_component_of_a_plausible_size(self, real):
        ct, mask = real
        assert label(mask)[1] == 1
        for plane in mask:
            assert label(~np.pad(plane, 1))[1] == 1
        assert mask.sum() * ct.grid.voxel_ml == pytest.approx(17_700, rel=0.03)

    def test_no_leak_from_slice_to_slice(self, real):
        _, mask = real
        area = mask.sum(axis=(1, 2)).astype(float)
        assert np.abs(np.diff(area) / area[1:]).max() < 0.04
        overlap = (mask[1:] & mask[:-1]).sum(axis=(1, 2)) / area[1:]
        assert overlap.min() > 0.95

    def test_table_and_blanket_are_outside_and_lung_is_inside(self, real):
        """Rows and columns read off the images: the table shell runs below row 415, the blanket above row 80."""
        ct, mask = real
        shell = ct.array[:, 415:, :] > -500
        assert shell.sum() > 50_000
        assert not mask[:, 415:].any()
        assert not mask[:, :80].any()
        assert mask[45, 300, 150]
        assert mask[45, 300, 380]
        assert mask[50, 300, 150]

    def test_skin_is_the_outer_layer(self, real):
        """At the front and the sides, where nothing touches, air lies outside and tissue within 2 mm inside."""
        ct, mask = real
        for z in range(0, 51, 5):
            for column in range(150, 360, 15):
                row = int(mask[z, :, column].argmax())
                assert ct.array[z, row - 3, column] < -400
                assert ct.array[z, row : row + 3, column].max() > -150

    def test_lateral_field_from_the_right_starts_on_the_right_side(self, real):
        """Feet first: the right side is low x and gantry 90; the first millimetres are skin and fat, not air."""
        ct, mask = real
        frame = beam_frame("FFS", 90.0, 0.0, (-60.0, 40.0, -230.0))
        rays = cast_rays(mask, ct.grid, frame, *lateral_lattice((-30, 30), (-30, 30), 5.0))
        assert rays.valid.all()
        assert (rays.start_mm[:, 0] < -120.0).all()
        profile = depth_profiles(ct, rays, 15, sampling="voxel")
        assert (profile[:, 1:] > -200).all()
        assert (rays.body_depth_mm > 300.0).all()
