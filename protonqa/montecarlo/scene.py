"""A medium as the kernels see it: one word a voxel in the order a proton meets them, and where its tallies lie.

A proton crosses many planes and few rows: voxels along the beam are neighbours in memory, and tallies come in tiles
that are long along the beam, so that a history reads and writes few cache lines and touches memory only where it goes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.montecarlo.tallies import TILE_SIZE

#: An offset that puts a voxel outside the tally box.
OUTSIDE = -(1 << 40)
#: Edges of a tile along the beam and across.
_TILE_ALONG, _TILE_ACROSS = 16, 2
#: A voxel is one word: material in the upper 8 bits, density below in steps of 1e-6 g/cm3.
MATERIAL_SHIFT = 24
DENSITY_MASK = (1 << MATERIAL_SHIFT) - 1
DENSITY_STEP = 2.0**-20


class Scene(NamedTuple):
    """Voxels of a block of matter; positions are mm from the outer corner of voxel [0, 0, 0] along its own axes.

    medium : (nx * ny * nz,) uint32
        Words of the voxels; voxel (ix, iy, iz) lies at ix * jump_x + iy * jump_y + iz * jump_z.
    offset_x, offset_y, offset_z : int64
        Their sum is a voxel's place among the tallies, negative outside the tally box.
    ax, ay, az, depth_start : float
        Depth (mm) of a point is its product with the axis less `depth_start`; it is never negative inside.
    n_coarse : int
        1 mm depth bins.
    n_pack : int
        Open channels, filled up to a multiple of four.
    """

    medium: NDArray[np.uint32]
    jump_x: int
    jump_y: int
    jump_z: int
    offset_x: NDArray[np.int64]
    offset_y: NDArray[np.int64]
    offset_z: NDArray[np.int64]
    nx: int
    ny: int
    nz: int
    sx: float
    sy: float
    sz: float
    ax: float
    ay: float
    az: float
    depth_start: float
    n_coarse: int
    n_pack: int
    n_slot: int
    first_quality: int


class Tiles(NamedTuple):
    """How tiles cover a tally box; every triple in x, y, z order.

    edge : voxels of a tile. count : tiles. inner : stride of a voxel inside its tile. outer : stride of a tile.
    """

    edge: tuple[int, int, int]
    count: tuple[int, int, int]  # type: ignore[assignment]  # not the method of a tuple
    inner: tuple[int, int, int]
    outer: tuple[int, int, int]

    @property
    def number(self) -> int:
        """All tiles."""
        return self.count[0] * self.count[1] * self.count[2]


def _strides(lengths: tuple[int, int, int], order: tuple[int, int, int]) -> tuple[int, int, int]:
    """Strides of a block whose axes vary in this order, fastest first."""
    out, stride = [0, 0, 0], 1
    for axis in order:
        out[axis] = stride
        stride *= lengths[axis]
    return out[0], out[1], out[2]


def beam_order(axis: NDArray[np.float64]) -> tuple[int, int, int]:
    """Axes 0, 1, 2 (x, y, z), the one nearest to the beam first."""
    first = int(np.argmax(np.abs(axis)))
    second, third = (i for i in range(3) if i != first)
    return first, second, third


def tiles_over(shape_xyz: tuple[int, int, int], order: tuple[int, int, int]) -> Tiles:
    """Tiles for a box of voxels, long along the first axis of `order`."""
    edge = [_TILE_ACROSS] * 3
    edge[order[0]] = _TILE_ALONG
    count = [-(-n // e) for n, e in zip(shape_xyz, edge, strict=True)]
    edges, counts = (edge[0], edge[1], edge[2]), (count[0], count[1], count[2])
    return Tiles(edge=edges, count=counts, inner=_strides(edges, order), outer=_strides(counts, order))


def _offsets(n: int, start: int, length: int, edge: int, inner: int, outer: int) -> NDArray[np.int64]:
    """Share of one axis in a voxel's place: the box covers `length` of `n` voxels from `start`."""
    index = np.arange(n) - start
    offset = (index // edge) * (outer * TILE_SIZE) + (index % edge) * inner
    return np.where((index >= 0) & (index < length), offset, OUTSIDE).astype(np.int64)


def words(material: NDArray[np.uint8], density: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Material and density in one word; densities are kept to 1e-6 g/cm3.

    Raises
    ------
    InputError
        A density that is not a number or above 16 g/cm3.
    """
    top = float(density.max(initial=0.0))
    if not top < (DENSITY_MASK + 0.5) * DENSITY_STEP:
        raise InputError("density of a voxel is unusable", got=f"{top:g} g/cm3", expected="up to 15.9 g/cm3")
    packed: NDArray[np.uint32] = np.maximum(np.rint(density * np.float32(1.0 / DENSITY_STEP)), 1.0).astype(np.uint32)
    packed |= material.astype(np.uint32) << np.uint32(MATERIAL_SHIFT)
    return packed


def make_scene(
    material: NDArray[np.uint8],
    density: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
    box_start: tuple[int, int, int],
    box_shape: tuple[int, int, int],
    axis: NDArray[np.float64],
    depth_reference: NDArray[np.float64],
    n_coarse: int,
    n_pack: int,
    n_slot: int,
    first_quality: int,
) -> tuple[Scene, Tiles]:
    """Lay a medium (nz, ny, nx) out for a beam along `axis`; spacing, start and shape of the box in x, y, z order."""
    nz, ny, nx = material.shape
    order = beam_order(axis)
    tiles = tiles_over(box_shape, order)
    # Array axes from slowest to fastest; numpy's axes are z, y, x.
    packed = np.ascontiguousarray(words(material, density).transpose([2 - a for a in reversed(order)]))
    jump = _strides((nx, ny, nz), order)
    offset = [
        _offsets(n, box_start[i], box_shape[i], tiles.edge[i], tiles.inner[i], tiles.outer[i])
        for i, n in enumerate((nx, ny, nz))
    ]
    scene = Scene(
        medium=packed.ravel(),
        jump_x=jump[0],
        jump_y=jump[1],
        jump_z=jump[2],
        offset_x=offset[0],
        offset_y=offset[1],
        offset_z=offset[2],
        nx=nx,
        ny=ny,
        nz=nz,
        sx=float(spacing_mm[0]),
        sy=float(spacing_mm[1]),
        sz=float(spacing_mm[2]),
        ax=float(axis[0]),
        ay=float(axis[1]),
        az=float(axis[2]),
        depth_start=float(depth_reference @ axis),
        n_coarse=n_coarse,
        n_pack=n_pack,
        n_slot=n_slot,
        first_quality=first_quality,
    )
    return scene, tiles
