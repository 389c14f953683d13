"""Sums over tiles: merging workers, statistics of batches, back to volumes. Tiles no particle entered cost nothing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from protonqa.montecarlo.compiling import kernel
from protonqa.montecarlo.scene import Tiles
from protonqa.montecarlo.tallies import MEDIUM_SLOT, TILE_SHIFT, TILE_SIZE, Tally, at, voxel_base


@kernel
def _merge_voxels(into, other, n_slot):
    length = TILE_SIZE * n_slot
    for tile in range(other.rank.shape[0]):
        rank = other.rank[tile]
        if rank >= 0:
            first = voxel_base(into, tile << TILE_SHIFT, n_slot)
            for i in range(length):
                into.voxels[at(first + i)] += other.voxels[at(rank * length + i)]
                other.voxels[at(rank * length + i)] = 0
            other.rank[tile] = -1
    other.used[0] = 0


def merge(into: Tally, other: Tally, n_slot: int) -> None:
    """Add `other` to `into` and empty it."""
    _merge_voxels(into, other, n_slot)
    for mine, theirs in ((into.fine, other.fine), (into.coarse, other.coarse), (into.book, other.book)):
        mine += theirs
        theirs[...] = 0


@kernel
def close_batch(voxels, tiles, n_slot, previous, squares):
    """Add the square of what each voxel's energy gained since the last batch to `squares` (both per voxel).

    `tiles` is how many tiles have been entered.
    """
    for i in range(tiles * TILE_SIZE):
        now = voxels[at(i * n_slot + MEDIUM_SLOT)]
        gain = float(now - previous[at(i)])
        squares[at(i)] += gain * gain
        previous[at(i)] = now


@kernel
def relative_error(sums, tiles, squares, batches, out):
    """Relative standard error of each voxel's energy from equal batches; 0 where there is none.

    `sums` and `squares` are those of closed batches: a part of a batch does not count in either.
    """
    for i in range(tiles * TILE_SIZE):
        total = float(sums[at(i)])
        if total > 0.0:
            variance = (squares[at(i)] - total * total / batches) * batches / (batches - 1)
            out[at(i)] = math.sqrt(max(variance, 0.0)) / total


@kernel
def _volume_of(values, rank, stride, slot, scale, tiles, out):
    nz, ny, nx = out.shape
    ex, ey, ez = tiles.edge
    ox, oy, oz = tiles.outer
    jx, jy, jz = tiles.inner
    for tz in range(tiles.count[2]):
        for ty in range(tiles.count[1]):
            for tx in range(tiles.count[0]):
                first = rank[tx * ox + ty * oy + tz * oz]
                if first < 0:
                    continue
                for z in range(tz * ez, min(tz * ez + ez, nz)):
                    for y in range(ty * ey, min(ty * ey + ey, ny)):
                        for x in range(tx * ex, min(tx * ex + ex, nx)):
                            place = first * TILE_SIZE + (z - tz * ez) * jz + (y - ty * ey) * jy + (x - tx * ex) * jx
                            out[z, y, x] = values[place * stride + slot] * scale


def volume_of(
    values: NDArray[np.int64] | NDArray[np.float64],
    rank: NDArray[np.int32],
    tiles: Tiles,
    shape: tuple[int, int, int],
    *,
    stride: int = 1,
    slot: int = 0,
    scale: float = 1.0,
) -> NDArray[np.float32]:
    """One slot of tiled values as a volume (nz, ny, nx) float32; pages of untouched tiles stay unclaimed."""
    out = np.zeros(shape, dtype=np.float32)
    _volume_of(values, rank, stride, slot, scale, tiles, out)
    return out
