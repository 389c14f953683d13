"""The spherical target of a field, and whether it lies where a proton field can treat it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import GeometryError, InputError
from protonqa.values import Grid, Volume
from protonqa.values._arrays import frozen_array

#: A target with a lower median RSP lies in air (lung is 0.2 to 0.3).
AIR_RSP = 0.1
#: Share of the target that must lie in the body.
LEAST_IN_BODY = 0.95


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SphericalTarget:
    """A sphere in patient coordinates (LPS, mm).

    Raises
    ------
    InputError
        Centre or radius not finite, radius not positive.
    """

    center_mm: NDArray[np.float64]
    radius_mm: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "center_mm", frozen_array(self.center_mm, "target centre", shape=(3,)))
        if not (np.isfinite(self.radius_mm) and self.radius_mm > 0):
            raise InputError("target radius is not positive", got=f"{self.radius_mm} mm", expected="above 0 mm")


def check_target(target: SphericalTarget, rsp: Volume, body: NDArray[np.bool_]) -> None:
    """Refuse a target that no field can treat.

    Parameters
    ----------
    rsp : Volume
        Relative stopping power.
    body : (nz, ny, nx) bool
        Body mask on the same grid.

    Raises
    ------
    GeometryError
        The target reaches outside the CT, lies less than 95 % in the body (see `share_in_body`), or in air; a mask of
        another grid.
    """
    if body.shape != rsp.grid.shape:
        raise GeometryError("body mask is not on the grid", got=str(body.shape), expected=str(rsp.grid.shape))
    index = rsp.grid.index_from_world(target.center_mm)
    reach = target.radius_mm / np.asarray(rsp.grid.spacing_mm)
    last = np.array(rsp.grid.shape[::-1]) - 0.5
    over = np.maximum(np.maximum(-0.5 - (index - reach), index + reach - last), 0.0) * rsp.grid.spacing_mm
    if over.max() > 0:
        raise GeometryError(
            "the target reaches outside the CT",
            got=f"{over.max():.1f} mm beyond its edge",
            expected="the whole sphere inside the CT",
            remedy="check the centre (DICOM LPS, mm) and the radius",
        )
    voxels = target_voxels(target, rsp.grid)
    share = share_in_body(voxels, body)
    if share < LEAST_IN_BODY:
        raise GeometryError(
            "the target is not inside the body",
            got=f"{100 * share:.0f} % of it in the body",
            expected=f"at least {100 * LEAST_IN_BODY:.0f} %",
            remedy="check the centre (DICOM LPS, mm) and the radius",
        )
    median = float(np.median(rsp.array[voxels]))
    if median < AIR_RSP:
        raise GeometryError(
            "the target lies in air",
            got=f"median RSP {median:.2f}",
            expected=f"at least {AIR_RSP:g}",
            remedy="choose a centre in tissue",
        )


def share_in_body(voxels: tuple[NDArray[np.intp], ...], body: NDArray[np.bool_]) -> float:
    """Share of voxels ``(z, y, x)`` that lie in the body or, within their axial plane, between parts of it.

    A body mask leaves out what is open to the outside, such as nose and throat; a target may hold them when the body
    lies to the left and right of them and in front and behind.
    """
    first, last = int(voxels[0].min()), int(voxels[0].max()) + 1
    planes = body[first:last]
    inside = np.ones(planes.shape, dtype=bool)
    for axis in (1, 2):
        before = np.maximum.accumulate(planes, axis=axis)
        behind = np.flip(np.maximum.accumulate(np.flip(planes, axis), axis=axis), axis)
        inside &= before & behind
    return float((planes | inside)[voxels[0] - first, voxels[1], voxels[2]].mean())


def target_voxels(target: SphericalTarget, grid: Grid) -> tuple[NDArray[np.intp], ...]:
    """Indices ``(z, y, x)`` of the voxels with their centre in the sphere; at least the one that holds its centre."""
    index = grid.index_from_world(target.center_mm)
    spacing = np.asarray(grid.spacing_mm)
    reach = target.radius_mm / spacing
    axes = [
        np.arange(max(0, int(np.floor(c - r))), min(n, int(np.ceil(c + r)) + 1))
        for c, r, n in zip(index, reach, grid.shape[::-1], strict=True)
    ]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    gap = (np.stack([x, y, z], axis=-1) - index) * spacing
    inside = np.linalg.norm(gap, axis=-1) <= target.radius_mm
    if not inside.any():
        nearest = np.clip(np.round(index).astype(np.intp), 0, np.array(grid.shape[::-1]) - 1)
        return tuple(np.array([i]) for i in nearest[::-1])
    return z[inside], y[inside], x[inside]
