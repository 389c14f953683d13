"""The patient on another day: moved, turned, with another skin and other gas."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_dilation, label

from protonqa.phantom.surface import AIR_HU, paint_layer, peel_layer
from protonqa.range_model.patient_config import Gas, TwinDraw
from protonqa.values import Grid, Volume

Mask = NDArray[np.bool_]

#: Gas in the body; pockets above this volume are lung or airways and stay.
GAS_HU, MOST_GAS_ML = -600.0, 100.0
#: What takes its place, and how far it grows.
FILLED_HU, GROWTH_MM = 30.0, 3.0
_SOFT_HU = (-150.0, 150.0)


def day_of(ct: Volume, body: Mask, isocenter_mm: ArrayLike, draw: TwinDraw) -> Volume:
    """The CT of the day: changed inside and at the skin, then moved as a rigid body about the isocentre.

    Only the grid moves: voxels keep their values, and no interpolation softens them.
    """
    changed = with_gas(ct, body, draw.gas)
    if draw.layer_mm > 0:
        changed = paint_layer(changed, body, draw.layer_mm)
    elif draw.layer_mm < 0:
        changed = peel_layer(changed, body, -draw.layer_mm)
    turn = rotation(draw.rotation_deg)
    centre, grid = np.asarray(isocenter_mm, dtype=np.float64), ct.grid
    origin = turn @ (np.asarray(grid.origin_mm) - centre) + centre + np.asarray(draw.shift_mm)
    moved = Grid(
        shape=grid.shape,
        spacing_mm=grid.spacing_mm,
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=turn @ grid.direction,
    )
    return Volume(grid=moved, array=changed.array, unit=ct.unit)


def rotation(angles_deg: tuple[float, float, float]) -> NDArray[np.float64]:
    """Turn about LPS x, then y, then z; (3, 3)."""
    out = np.eye(3)
    for axis, angle in enumerate(angles_deg):
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        i, j = (axis + 1) % 3, (axis + 2) % 3
        one = np.eye(3)
        one[i, i], one[i, j], one[j, i], one[j, j] = c, -s, s, c
        out = one @ out
    return out


def with_gas(ct: Volume, body: Mask, gas: Gas) -> Volume:
    """The CT with its pockets of gas filled with soft tissue or grown by 3 mm into soft tissue."""
    if gas == "as planned":
        return ct
    pockets = gas_pockets(ct, body)
    if gas == "filled":
        return ct.with_array(np.where(pockets, np.float32(FILLED_HU), ct.array))
    soft = body & (ct.array > _SOFT_HU[0]) & (ct.array < _SOFT_HU[1])
    grown = _dilated(pockets, ct.grid) & soft
    return ct.with_array(np.where(grown, np.float32(AIR_HU), ct.array))


def gas_pockets(ct: Volume, body: Mask) -> Mask:
    """Connected gas inside the body up to 100 ml a pocket."""
    gas = body & (ct.array < GAS_HU)
    numbers, count = label(gas)
    if count == 0:
        return gas
    volume_ml = np.bincount(numbers.ravel()) * ct.grid.voxel_ml
    small = volume_ml <= MOST_GAS_ML
    small[0] = False
    return np.asarray(small[numbers])


def _dilated(mask: Mask, grid: Grid) -> Mask:
    reach = [max(int(GROWTH_MM / step), 1) for step in grid.spacing_mm[::-1]]
    axes = [np.arange(-n, n + 1) * step for n, step in zip(reach, grid.spacing_mm[::-1], strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    ball = z**2 + y**2 + x**2 <= max(GROWTH_MM, *grid.spacing_mm) ** 2 + 1e-9
    return np.asarray(binary_dilation(mask, structure=ball))
