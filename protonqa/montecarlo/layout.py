"""A run laid out for the kernels: medium, source and tables as flat arrays, and where every tally lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.montecarlo.cpu import key_of
from protonqa.montecarlo.histories import Spots
from protonqa.montecarlo.leg_tables import Tables, open_channels
from protonqa.montecarlo.medium import Medium
from protonqa.montecarlo.plan import TransportPlan
from protonqa.montecarlo.range_shifter import check_clear
from protonqa.montecarlo.scene import make_scene
from protonqa.montecarlo.shifted import slab_scene
from protonqa.montecarlo.source import Source
from protonqa.montecarlo.tallies import CHANNEL_SLOT, N_QUALITY, PACK
from protonqa.values import Grid


def lay_out(
    medium: Medium,
    source: Source,
    tables: Tables,
    grid: Grid,
    seed: int,
    depth_first_mm: float,
    depth_bins: int,
    *,
    beam_quality: bool = False,
) -> TransportPlan:
    """Medium, source and tables as the kernels want them, with tallies on `grid`, a crop of the medium's."""
    start, shape = _box_of(medium.grid, grid)
    tables, channels = open_channels(tables, medium.material)
    n_pack = max(-(-channels.size // PACK), 1) * PACK
    n_slot = CHANNEL_SLOT + n_pack
    first_quality = n_slot if beam_quality else 0
    if beam_quality:
        n_slot += N_QUALITY
    scene, tiles = make_scene(
        medium.material, medium.density, medium.grid.spacing_mm, start, shape, source.axis,
        source.reference + depth_first_mm * source.axis, depth_bins, n_pack, n_slot, first_quality,
    )  # fmt: skip
    slab = None
    if source.slab is not None:
        check_clear(source.slab, source.spots, medium.density, medium.grid)
        slab = slab_scene(source.slab, n_pack, n_slot)
    return TransportPlan(
        scene=scene,
        tables=tables,
        spots=Spots(spots=source.spots, cumulative=np.cumsum(source.weights) / source.weights.sum()),
        key=key_of(seed),
        tiles=tiles,
        channels=channels,
        slab=slab,
    )


def _box_of(grid: Grid, box: Grid) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    start: NDArray[np.int64] = np.rint(grid.index_from_world(box.origin_mm)).astype(np.int64)
    nz, ny, nx = box.shape
    inside = np.all(start >= 0) and np.all(start + np.array((nx, ny, nz)) <= np.array(grid.shape[::-1]))
    if not inside or not grid.crop(tuple(start[::-1]), tuple((start + np.array((nx, ny, nz)))[::-1])).matches(box):
        raise InputError("the tally box is not a crop of the simulated grid")
    return (int(start[0]), int(start[1]), int(start[2])), (nx, ny, nz)
