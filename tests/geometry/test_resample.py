"""Sampling and resampling of volumes against fields that trilinear interpolation meets exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.errors import GeometryError
from protonqa.geometry.frames import beam_frame
from protonqa.geometry.resample import bev_grid, bev_image, bounding_box, crop, resample, sample_at, sample_lines
from protonqa.values import Grid, Volume

SLOPE = np.array([0.7, -0.4, 0.2])


def linear_field(position_mm):
    return 5.0 + position_mm @ SLOPE


def rotation(angle_deg, handedness=1):
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, handedness]])


def field_volume(direction=None, shape=(12, 14, 16), spacing=(1.5, 2.0, 2.5)):
    grid = Grid(
        shape=shape,
        spacing_mm=spacing,
        origin_mm=(-9.0, -11.0, -13.0),
        direction=np.eye(3) if direction is None else direction,
    )
    z, y, x = np.indices(shape)
    return Volume(grid=grid, array=linear_field(grid.world_from_index(np.stack([x, y, z], axis=-1))), unit="1")


@settings(max_examples=20, deadline=None)
@given(angle=st.floats(0, 360), hand=st.sampled_from([1, -1]), seed=st.integers(0, 1000))
def test_linear_field_is_met_in_any_orientation(angle, hand, seed):
    """Also in left-handed grids: a flipped axis must not flip the patient."""
    volume = field_volume(rotation(angle, hand))
    index = np.random.default_rng(seed).uniform(0, 1, (50, 3)) * (np.array(volume.grid.shape[::-1]) - 1)
    points = volume.grid.world_from_index(index)
    np.testing.assert_allclose(sample_at(volume, points), linear_field(points), atol=1e-4)


def test_outside_value_begins_at_the_outer_voxel_face():
    volume = Volume(
        grid=Grid(shape=(1, 1, 4), spacing_mm=(2, 2, 2), origin_mm=(0, 0, 0)), array=[[[1, 2, 3, 4]]], unit="1"
    )
    points = [[-1.01, 0, 0], [-0.99, 0, 0], [6.99, 0, 0], [7.01, 0, 0], [3.0, 1.01, 0], [3.0, 0.99, 0], [3.0, 0, -1.01]]
    np.testing.assert_allclose(sample_at(volume, points, outside=-7.0), [-7, 1, 4, -7, -7, 2.5, -7], atol=1e-6)


def test_lines_are_points_on_lines():
    volume = field_volume(rotation(25.0))
    start, way = np.array([[0.0, 1.0, 2.0], [3.0, -4.0, 1.0]]), np.linspace(-20.0, 20.0, 41)
    direction = np.array([[0.6, 0.8, 0.0], [0.0, 0.6, -0.8]])
    points = start[:, None] + way[:, None] * direction[:, None]
    along = sample_lines(volume, start, direction, way, outside=-1.0)
    np.testing.assert_allclose(along, sample_at(volume, points, outside=-1.0), atol=1e-6)
    assert (along == -1.0).any()


@pytest.mark.parametrize("hand", [1, -1])
def test_resampling_keeps_the_field_in_place(hand):
    source = field_volume(rotation(30.0))
    target = Grid(
        shape=(5, 6, 7), spacing_mm=(1.1, 1.2, 1.3), origin_mm=(-6.0, -2.0, -6.0 * hand), direction=rotation(-10, hand)
    )
    found = resample(source, target)
    z, y, x = np.indices(target.shape)
    points = target.world_from_index(np.stack([x, y, z], axis=-1))
    np.testing.assert_allclose(found.array, sample_at(source, points), atol=1e-5)
    inside = sample_at(source.with_array(np.ones(source.grid.shape)), points) > 0.5
    assert inside.mean() > 0.5
    assert found.unit == source.unit


def test_resampling_on_the_same_grid_changes_nothing():
    volume = field_volume()
    assert resample(volume, volume.grid) is volume


def test_bev_image_lies_across_the_beam():
    """FFS from the right: BEV x is up (anterior is -y), BEV y to the gantry (feet first: -z)."""
    volume = field_volume()
    frame = beam_frame("FFS", 90.0, 0.0, (2.0, 1.0, 0.0))
    image = bev_image(volume, frame, [-3.0, 0.0, 3.0], [-2.0, 2.0], along_mm=1.0)
    assert image.shape == (2, 3)
    expected = linear_field(np.array([3.0, 1.0, 0.0]) + 3.0 * frame.x_axis + 2.0 * frame.y_axis)
    assert image[1, 2] == pytest.approx(expected, abs=1e-4)


def test_bev_grid_axes_and_faces():
    frame = beam_frame("HFS", 37.0, 12.0, (5.0, 6.0, 7.0))
    grid = bev_grid(frame, x_mm=(-10.0, 10.0), y_mm=(-4.0, 5.0), along_mm=(-30.0, 20.0), spacing_mm=(2.0, 1.0, 0.5))
    assert grid.shape == (100, 9, 10)
    first = frame.bev_from_lps(grid.world_from_index((-0.5, -0.5, -0.5)))
    last = frame.bev_from_lps(grid.world_from_index((9.5, 8.5, 99.5)))
    np.testing.assert_allclose(first, [-10.0, -4.0, -30.0], atol=1e-9)
    np.testing.assert_allclose(last, [10.0, 5.0, 20.0], atol=1e-9)
    with pytest.raises(GeometryError, match="empty"):
        bev_grid(frame, x_mm=(1.0, 1.0), y_mm=(0.0, 1.0), along_mm=(0.0, 1.0))


def test_crop_keeps_values_in_place():
    volume = field_volume(rotation(15.0))
    mask = np.zeros(volume.grid.shape, dtype=bool)
    mask[3:6, 4:9, 7] = True
    start, stop = bounding_box(mask)
    assert (start, stop) == ((3, 4, 7), (6, 9, 8))
    part = crop(volume, start, stop)
    z, y, x = np.indices(part.grid.shape)
    points = part.grid.world_from_index(np.stack([x, y, z], axis=-1))
    np.testing.assert_allclose(part.array, linear_field(points), atol=1e-4)
    # The margin is in mm along each axis (z 2.5, y 2, x 1.5 mm) and ends at the edge of the grid.
    assert bounding_box(mask, grid=volume.grid, margin_mm=4.0) == ((1, 2, 4), (8, 11, 11))
    assert bounding_box(mask, grid=volume.grid, margin_mm=400.0) == ((0, 0, 0), volume.grid.shape)


def test_empty_boxes_and_wrong_shapes_are_refused():
    with pytest.raises(GeometryError, match="empty"):
        bounding_box(np.zeros((2, 2, 2), dtype=bool))
    with pytest.raises(GeometryError, match="grid"):
        bounding_box(np.ones((2, 2, 2), dtype=bool), margin_mm=1.0)
    with pytest.raises(GeometryError, match="shape"):
        sample_at(field_volume(), np.zeros((4, 2)))
