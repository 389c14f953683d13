"""Change a CT at its skin: paint a layer outside it, or peel one off, as a planted range error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from protonqa.errors import InputError
from protonqa.physics.rsp import nominal_hu
from protonqa.values import Volume

AIR_HU = -1000.0


def paint_layer(ct: Volume, body: NDArray[np.bool_], thickness_mm: float, *, hu: float | None = None) -> Volume:
    """The CT with a layer of RSP 1 (or of `hu`) on the outside of the skin.

    Parameters
    ----------
    ct : Volume
        HU.
    body : (nz, ny, nx) bool
        Body mask on the CT's grid.
    thickness_mm : float
        Distance from the body surface within the axial plane up to which voxel centres are filled.
    """
    _check(thickness_mm)
    reach = _distance_mm(~body, ct)
    layer = ~body & (reach <= thickness_mm)
    return ct.with_array(np.where(layer, np.float32(nominal_hu("water") if hu is None else hu), ct.array))


def peel_layer(ct: Volume, body: NDArray[np.bool_], thickness_mm: float) -> Volume:
    """The CT with the outermost `thickness_mm` of the body (in the axial plane) turned into air."""
    _check(thickness_mm)
    return ct.with_array(np.where(body & (_distance_mm(body, ct) <= thickness_mm), np.float32(AIR_HU), ct.array))


def _distance_mm(inside: NDArray[np.bool_], ct: Volume) -> NDArray[np.float64]:
    """Distance of each voxel centre of `inside` to the surface (voxel faces), slice by slice."""
    sx, sy, _ = ct.grid.spacing_mm
    out = np.empty(inside.shape)
    for z in range(inside.shape[0]):
        plane = inside[z]
        if plane.all():
            out[z] = np.inf
        else:
            out[z] = distance_transform_edt(plane, sampling=(sy, sx)) - 0.5 * min(sx, sy)
    return out


def _check(thickness_mm: float) -> None:
    if not (np.isfinite(thickness_mm) and thickness_mm > 0):
        raise InputError("layer thickness is not a length", got=f"{thickness_mm} mm", expected="above 0 mm")
