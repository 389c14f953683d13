"""The body in a CT: depth 0 of every ray is its entry into it."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813  (the name the whole field uses)
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, label

from protonqa.errors import GeometryError, InputError, UnitsError
from protonqa.geometry.resample import bounding_box
from protonqa.values import Volume

BoolArray = NDArray[np.bool_]

#: Skin stands out against air and against clothes and covers pressed on it, which reach about -300 HU.
BODY_THRESHOLD_HU = -250.0
#: Sheets thinner than twice this come off: table shells, covers, masks, cables.
DETACH_MM = 4.0
# Air, foam and bedding lie below this, lung above.
_AIR_HU = -900.0


def body_mask(ct: Volume, *, threshold_hu: float = BODY_THRESHOLD_HU, detach_mm: float = DETACH_MM) -> BoolArray:
    """The largest filled component of a CT without table, masks, clothes and outside air.

    1. Everything above `threshold_hu`, and lung-like layers that reach the image edge between dense slices (slab
       phantoms), is opened in the axial planes by a disc of `detach_mm`; of what an erosion leaves, the largest 3-D
       component is kept. Sheets thinner than twice the radius come off, touching or not.
    2. Thin parts that stay within half the radius of that component (skin, corners) return; those that reach farther
       (table, cables) do not.
    3. Where the sheet that came off is flat and reaches out on both sides of the body, it is a table top: nothing
       below its surface is body, also where the body lies on it.
    4. Air closed in by the body within an axial plane (lung, bowel gas, cut by the last slices or not) is body.

    Parameters
    ----------
    ct : Volume
        In HU; padding below -1000 is air.
    threshold_hu : float
        Between air and tissue.
    detach_mm : float
        Radius of the disc; the thinnest chest wall must be thicker than twice this.

    Returns
    -------
    (nz, ny, nx) bool

    Raises
    ------
    UnitsError
        The volume is not in HU.
    GeometryError
        No component that survives the erosion.

    Notes
    -----
    A mask or a table curved along the skin and in full contact with it cannot be told from skin and counts as body.
    Lung that the image cuts at its side counts as outside unless dense slices lie above and below. A gap closed by arms
    that touch the trunk in an axial plane counts as inside.
    """
    if ct.unit != "HU":
        raise UnitsError("body outline needs a CT", got=ct.unit, expected="HU")
    if not (np.isfinite(detach_mm) and detach_mm > 0):
        raise InputError("detaching radius is not a length", got=f"{detach_mm} mm", expected="above 0 mm")
    # Work in axial planes, wherever the head-foot axis lies in the array.
    axial = _axial_axis(ct)
    dense = np.asarray(ct.array > threshold_hu)
    if not dense.any():
        raise _no_body(threshold_hu)
    dense |= np.moveaxis(_light_layers(np.moveaxis(ct.array, axial, 0), np.moveaxis(dense, axial, 0)), 0, axial)
    # A rim of air around everything dense: only the edge of the image may count as an edge.
    start, stop = bounding_box(dense, grid=ct.grid, margin_mm=2.0 * max(detach_mm, *ct.grid.spacing_mm))
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    in_plane_mm = np.delete(np.array(ct.grid.spacing_mm[::-1]), axial)
    planes = np.moveaxis(dense[box], axial, 0)
    core = _largest_opened(planes, detach_mm, in_plane_mm)
    if not core.any():
        raise _no_body(threshold_hu)
    core = _filled(core)
    body = core | _attached(planes & ~core, core, detach_mm, in_plane_mm)
    body &= ~_below_table(planes, body, detach_mm, in_plane_mm)
    mask = np.zeros(dense.shape, dtype=bool)
    mask[box] = np.moveaxis(_largest(_filled(body)), 0, axial)
    return mask


def _axial_axis(ct: Volume) -> int:
    """Array axis [z, y, x] closest to the head-foot direction."""
    return int(2 - np.abs(ct.grid.direction[2]).argmax())


def _light_layers(hu: NDArray[np.float32], dense: BoolArray) -> BoolArray:
    """Lung-like voxels that are open to the image edge in their plane, with dense voxels next above and below them."""
    light = ~dense & (hu > _AIR_HU)
    edge = np.zeros_like(light)
    edge[:, [0, -1], :] = light[:, [0, -1], :]
    edge[:, :, [0, -1]] = light[:, :, [0, -1]]
    open_planes = np.flatnonzero(edge.any(axis=(1, 2)))
    layers = np.zeros_like(light)
    if open_planes.size == 0:
        return layers
    for z in open_planes:
        parts, _ = label(light[z])
        layers[z] = np.isin(parts, np.unique(parts[edge[z]])) & light[z]
    # The nearest voxel that is not light, upwards and downwards, must be dense.
    for order in (range(light.shape[0]), reversed(range(light.shape[0]))):
        dense_last = np.zeros(light.shape[1:], dtype=bool)
        for plane in order:
            dense_last = np.where(light[plane], dense_last, dense[plane])
            layers[plane] &= dense_last
    return layers


def _kernel(radius_mm: float, in_plane_mm: NDArray[np.float64]) -> list[int]:
    """Radius of the disc in voxels, in SimpleITK's order; at least one voxel."""
    rows, columns = (max(1, int(np.floor(radius_mm / step + 0.5))) for step in in_plane_mm)
    return [columns, rows, 0]


def _filled(planes: BoolArray) -> BoolArray:
    return np.stack([binary_fill_holes(plane) for plane in planes])


def _dilated(mask: BoolArray, radius: list[int]) -> BoolArray:
    image = sitk.BinaryDilate(_image(mask), radius, sitk.sitkBall, 0.0, 1.0, False)
    return np.asarray(sitk.GetArrayFromImage(image), dtype=bool)


def _image(mask: NDArray[np.generic]) -> sitk.Image:
    return sitk.GetImageFromArray(np.ascontiguousarray(mask, dtype=np.uint8))


def _largest_opened(planes: BoolArray, radius_mm: float, in_plane_mm: NDArray[np.float64]) -> BoolArray:
    """The largest component that survives an erosion, dilated back."""
    radius = _kernel(radius_mm, in_plane_mm)
    # A body cut by the image edge goes on beyond it, so the edge does not erode.
    eroded = sitk.BinaryErode(_image(planes), radius, sitk.sitkBall, 0.0, 1.0, True)
    return _dilated(_largest(np.asarray(sitk.GetArrayFromImage(eroded))), radius) & planes


def _largest(mask: NDArray[np.generic]) -> BoolArray:
    """The largest 3-D component, joined by faces."""
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(_image(mask)), sortByObjectSize=True)
    return np.asarray(sitk.GetArrayFromImage(parts) == 1, dtype=bool)


def _attached(thin: BoolArray, core: BoolArray, radius_mm: float, in_plane_mm: NDArray[np.float64]) -> BoolArray:
    """Thin parts that touch the core and nowhere reach farther from it than half the radius.

    An opening takes (sqrt 2 - 1) of its radius off a right-angled corner, so corners come back whole.
    """
    parts, count = label(thin)
    if count == 0:
        return thin
    touching = _dilated(core, [1, 1, 0])
    keep = np.zeros(count + 1, dtype=bool)
    keep[np.unique(parts[thin & touching])] = True
    keep[np.unique(parts[thin & ~_dilated(core, _kernel(0.5 * radius_mm, in_plane_mm))])] = False
    # A part that closes a gap of air is a fold of cloth, not skin.
    joined = core | keep[parts]
    gaps = _filled(joined) & ~joined
    keep[np.unique(parts[_dilated(gaps, [1, 1, 0])])] = False
    keep[0] = False
    return np.asarray(keep[parts])


def _below_table(
    planes: BoolArray, body: BoolArray, thickness_mm: float, in_plane_mm: NDArray[np.float64]
) -> BoolArray:
    """Body voxels below the surface of a flat table top, from whichever of the four sides the body lies on it."""
    below = np.zeros_like(body)
    for axis in (1, 2):
        for step in (1, -1):
            view = (slice(None), slice(None, None, step))
            turned_planes = np.swapaxes(planes, 1, axis)[view]
            turned_body = np.swapaxes(body, 1, axis)[view]
            deepest = 2.0 * thickness_mm / float(in_plane_mm[axis - 1])
            found = _below_flat_sheet(turned_planes, turned_body, deepest)
            if found is not None:
                np.swapaxes(below, 1, axis)[view] |= found
    return below


def _below_flat_sheet(planes: BoolArray, body: BoolArray, deepest: float) -> BoolArray | None:
    """Body voxels that reach below a flat sheet at growing row index, by less than `deepest` voxels; else None."""
    n_row = planes.shape[1]
    lowest = np.where(body.any(axis=1), n_row - 1 - body[:, ::-1].argmax(axis=1), -1)
    row = np.arange(n_row)[:, None]
    sheet = planes & ~body & (row > lowest[:, None, :])
    seen = np.asarray(sheet.any(axis=1))
    top = sheet.argmax(axis=1)
    fit = _flat_surface(top, seen)
    if fit is None:
        return None
    # The body must lie between visible parts of the sheet, and no deeper than a sheet is thick.
    surface, flat = fit
    columns = np.flatnonzero(flat.any(axis=0))
    between = np.zeros(planes.shape[2], dtype=bool)
    between[columns[0] : columns[-1] + 1] = True
    below = body & (row >= np.round(surface)[:, None, :]) & between
    if (lowest - surface)[:, between].max(initial=-np.inf) > deepest:
        return None
    return np.asarray(below)


def _flat_surface(top: NDArray[np.intp], seen: BoolArray) -> tuple[NDArray[np.float64], BoolArray] | None:
    """A plane through most of the seen surface (slice, column), and where it lies on it within a voxel; else None."""
    if seen.sum() < 0.1 * seen.size:
        return None
    z, x = np.nonzero(seen)
    height = top[seen].astype(np.float64)
    terms = np.stack([np.ones(z.size), z - z.mean(), x - x.mean()], axis=1)
    plane = np.array([np.median(height), 0.0, 0.0])
    for reach in (16.0, 8.0, 4.0, 2.0, 1.0):
        close = np.abs(height - terms @ plane) <= reach
        if close.sum() < max(10, 0.5 * height.size):
            return None
        plane = np.linalg.lstsq(terms[close], height[close], rcond=None)[0]
    close = np.abs(height - terms @ plane) <= 1.0
    if close.mean() < 0.5:
        return None
    all_z, all_x = np.indices(seen.shape)
    surface = plane[0] + plane[1] * (all_z - z.mean()) + plane[2] * (all_x - x.mean())
    flat = np.zeros_like(seen)
    flat[z[close], x[close]] = True
    return surface, flat


def _no_body(threshold_hu: float) -> GeometryError:
    return GeometryError(
        "no body in the CT",
        got=f"nothing solid above {threshold_hu:.0f} HU",
        expected="a patient or a phantom in HU",
        remedy="check the series and its rescale values",
    )
