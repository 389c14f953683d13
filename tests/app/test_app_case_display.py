"""Volumes made ready to be looked at: turning moves no value."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from protonqa.app.case_display import upright_volume, write_volume
from protonqa.errors import StoreError
from protonqa.geometry.resample import sample_at
from protonqa.values import Grid, Volume

ORDERS = list(itertools.permutations(range(3)))
SIGNS = list(itertools.product((1.0, -1.0), repeat=3))


def volume(direction: np.ndarray) -> Volume:
    grid = Grid(shape=(3, 4, 5), spacing_mm=(1.0, 2.0, 3.0), origin_mm=(10.0, -20.0, 30.0), direction=direction)
    values = np.random.default_rng(4).integers(-900, 900, grid.shape).astype(np.float32)
    return Volume(grid=grid, array=values, unit="HU")


@pytest.mark.parametrize("order", ORDERS)
def test_every_voxel_keeps_its_place_in_the_patient(order):
    """Any way of lying, any order of the axes: the value at a position in the room is the same before and after."""
    for signs in SIGNS:
        direction = np.eye(3)[list(order)] * np.array(signs)
        given = volume(direction)
        shown = upright_volume(given)
        assert np.array_equal(shown.grid.direction, np.eye(3))
        nz, ny, nx = given.grid.shape
        index = np.array(list(itertools.product(range(nx), range(ny), range(nz))))
        there = np.rint(shown.grid.index_from_world(given.grid.world_from_index(index))).astype(int)
        values = given.array[index[:, 2], index[:, 1], index[:, 0]]
        assert np.array_equal(shown.array[there[:, 2], there[:, 1], there[:, 0]], values)


def test_an_oblique_volume_is_shown_where_it_lies():
    """A linear ramp in the room survives resampling."""
    angle = np.deg2rad(20.0)
    direction = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    grid = Grid(shape=(6, 20, 20), spacing_mm=(2.0, 2.0, 2.0), origin_mm=(0.0, 0.0, 0.0), direction=direction)
    x = grid.world_from_index(np.stack(np.meshgrid(*map(np.arange, (20, 20, 6)), indexing="ij"), axis=-1))[..., 0]
    given = Volume(grid=grid, array=np.ascontiguousarray(x.T).astype(np.float32), unit="Bq/ml")
    shown = upright_volume(given)
    points = grid.world_from_index(np.array([[10.0, 10.0, 3.0], [6.3, 12.1, 2.2]]))
    assert sample_at(shown, points) == pytest.approx(points[:, 0], abs=1e-3)


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="could not write"):
        write_volume("ct", volume(np.eye(3)), tmp_path / "file")
