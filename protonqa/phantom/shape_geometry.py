"""Which points a shape holds, and boxes around it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from protonqa.phantom.shapes import AnyShape, Arc, Box, Cylinder, Ellipsoid, EllipticCylinder, Plate, Rod

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]
Corners = tuple[NDArray[np.float64], NDArray[np.float64]]

TOUCH_MM = 1e-6  # rounding of a face that falls on a voxel centre


def bounds_mm(shape: AnyShape) -> list[Corners]:
    """Low and high corners (3,), (3,) of boxes that together hold the shape; an arc has one for every few degrees."""
    boxes = _whole_bounds_mm(shape)
    if shape.z_range_mm is None:
        return boxes
    floor, ceiling = shape.z_range_mm
    cut = []
    for low, high in boxes:
        low[2], high[2] = max(low[2], floor), min(high[2], ceiling)
        if low[2] <= high[2]:
            cut.append((low, high))
    return cut


def inside(shape: AnyShape, x_mm: FloatArray, y_mm: FloatArray, z_mm: FloatArray) -> BoolArray:
    """Whether points lie in a shape; x, y, z broadcast against each other."""
    mask = _inside_whole(shape, x_mm, y_mm, z_mm)
    if shape.z_range_mm is None:
        return mask
    floor, ceiling = shape.z_range_mm
    return np.asarray(mask & (z_mm >= floor - TOUCH_MM) & (z_mm < ceiling - TOUCH_MM))


def _whole_bounds_mm(shape: AnyShape) -> list[Corners]:
    if isinstance(shape, Arc):
        return _arc_bounds_mm(shape)
    if isinstance(shape, Rod):
        ends = np.array([shape.start_mm, shape.end_mm])
        radii = np.array(shape.radii_mm)[:, None]
        return [((ends - radii).min(axis=0), (ends + radii).max(axis=0))]
    if isinstance(shape, Plate):
        corners = np.array(shape.corners_mm)
        reach = shape.thickness_mm / 2
        return [(corners.min(axis=0) - reach, corners.max(axis=0) + reach)]
    if isinstance(shape, Box):
        half = np.array(shape.size_mm) / 2
    elif isinstance(shape, Ellipsoid):
        half = np.array(shape.radii_mm)
    else:
        radii = np.array((shape.radius_mm,) * 2 if isinstance(shape, Cylinder) else shape.radii_mm, dtype=np.float64)
        half = np.insert(radii, "xyz".index(shape.axis), shape.length_mm / 2)
    if shape.rotation_deg:
        half[:2] = np.hypot(half[0], half[1])
    center = np.array(shape.center_mm)
    return [(center - half, center + half)]


def _arc_bounds_mm(shape: Arc) -> list[Corners]:
    span = shape.stop_deg - shape.start_deg
    pieces = max(int(np.ceil(span / 15)), 1)
    edges = np.linspace(0, 1, pieces + 1)
    # The corners of the arc, where its radius has a kink at exponent 1.
    corners = (
        90.0 * np.arange(np.ceil(shape.start_deg / 90), np.floor(shape.stop_deg / 90) + 1) - shape.start_deg
    ) / span
    boxes = []
    for first, last in pairwise(edges):
        within = corners[(corners >= first) & (corners <= last)]
        boxes.append(_arc_piece_bounds_mm(shape, np.concatenate((np.linspace(first, last, 9), within))))  # 2 deg
    return boxes


def _arc_piece_bounds_mm(shape: Arc, share: NDArray[np.float64]) -> Corners:
    angle = np.radians(shape.start_deg + (shape.stop_deg - shape.start_deg) * share)
    cos, sin, n = np.cos(angle), np.sin(angle), shape.exponent
    middle = (np.abs(cos / shape.radii_mm[0]) ** n + np.abs(sin / shape.radii_mm[1]) ** n) ** (-1 / n)
    turn = angle + np.radians(shape.rotation_deg)
    radial, along_z = shape.tube_mm
    near, far = np.maximum(middle - radial, 0.0), middle + radial
    # Between two angles the arc bulges, most near the corners of a square one.
    slack = 0.03 * (max(shape.radii_mm) + radial)
    x = np.concatenate([r * np.cos(turn) for r in (near, far)])
    y = np.concatenate([r * np.sin(turn) for r in (near, far)])
    z = shape.rise_mm * (share - 0.5)
    low = np.array([x.min() - slack, y.min() - slack, z.min() - along_z])
    high = np.array([x.max() + slack, y.max() + slack, z.max() + along_z])
    return low + shape.center_mm, high + shape.center_mm


def _inside_whole(shape: AnyShape, x_mm: FloatArray, y_mm: FloatArray, z_mm: FloatArray) -> BoolArray:
    if isinstance(shape, Rod):
        return _inside_rod(shape, x_mm, y_mm, z_mm)
    if isinstance(shape, Plate):
        return _inside_plate(shape, x_mm, y_mm, z_mm)
    cx, cy, cz = shape.center_mm
    u, v, w = x_mm - cx, y_mm - cy, z_mm - cz
    if shape.rotation_deg:
        cos, sin = np.cos(np.radians(shape.rotation_deg)), np.sin(np.radians(shape.rotation_deg))
        u, v = cos * u + sin * v, cos * v - sin * u
    if isinstance(shape, Ellipsoid):
        a, b, c = shape.radii_mm
        if shape.exponent == 2.0:
            return np.asarray((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2 <= 1)
        n = shape.exponent
        return np.asarray(_powered(u, a, n) + _powered(v, b, n) + _powered(w, c, n) <= 1)
    if isinstance(shape, Arc):
        return _inside_arc(shape, u, v, w)
    if isinstance(shape, Box):
        dx, dy, dz = shape.size_mm
        return np.asarray(_between(u, dx) & _between(v, dy) & _between(w, dz))
    return _inside_cylinder(shape, u, v, w)


def _inside_cylinder(shape: Cylinder | EllipticCylinder, u: FloatArray, v: FloatArray, w: FloatArray) -> BoolArray:
    axes = [u, v, w]
    along = axes.pop("xyz".index(shape.axis))
    radii, power = ((shape.radius_mm,) * 2, 2.0) if isinstance(shape, Cylinder) else (shape.radii_mm, shape.exponent)
    across = _powered(axes[0], radii[0], power) + _powered(axes[1], radii[1], power)
    return np.asarray((across <= 1) & _between(along, shape.length_mm))


def _between(distance: FloatArray, size: float) -> BoolArray:
    return np.asarray((distance >= -size / 2 - TOUCH_MM) & (distance < size / 2 - TOUCH_MM))


def _powered(distance: FloatArray, radius: float, power: float) -> FloatArray:
    scaled = distance / radius
    return np.asarray(scaled * scaled if power == 2.0 else np.abs(scaled) ** power)


def _inside_arc(shape: Arc, u: FloatArray, v: FloatArray, w: FloatArray) -> BoolArray:
    span = shape.stop_deg - shape.start_deg
    angle = np.degrees(np.arctan2(v, u))
    turned = (angle - shape.start_deg) % 360.0
    radius = np.hypot(u, v)
    (a, b), (radial, along_z) = shape.radii_mm, shape.tube_mm
    # On one ray from the centre, r^n (|cos/a|^n + |sin/b|^n) is the superellipse sum: 1 on the arc itself.
    total = _powered(u, a, shape.exponent) + _powered(v, b, shape.exponent)
    with np.errstate(divide="ignore", invalid="ignore"):
        arc_radius = np.where(total > 0, radius / total ** (1.0 / shape.exponent), min(a, b))
    middle = shape.rise_mm * (turned / span - 0.5)
    return np.asarray((turned <= span) & (((radius - arc_radius) / radial) ** 2 + ((w - middle) / along_z) ** 2 <= 1))


def _inside_rod(shape: Rod, x: FloatArray, y: FloatArray, z: FloatArray) -> BoolArray:
    share, squared = _along_and_off(shape.start_mm, shape.end_mm, x, y, z)
    start, end = shape.radii_mm
    return np.asarray(squared <= (start + (end - start) * share) ** 2)


def _inside_plate(shape: Plate, x: FloatArray, y: FloatArray, z: FloatArray) -> BoolArray:
    reach = (shape.thickness_mm / 2) ** 2
    a, b, c = (np.array(corner) for corner in shape.corners_mm)
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal)
    ax, ay, az = (float(v) for v in a)
    off = normal[0] * (x - ax) + normal[1] * (y - ay) + normal[2] * (z - az)
    over = np.asarray(off * off <= reach)
    near = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), dtype=bool)
    for start, end in ((a, b), (b, c), (c, a)):
        inward = np.cross(normal, end - start)
        px, py, pz = (float(v) for v in start)
        over = over & (inward[0] * (x - px) + inward[1] * (y - py) + inward[2] * (z - pz) >= 0)
        near |= _along_and_off(start, end, x, y, z)[1] <= reach
    return np.asarray(near | over)


def _along_and_off(
    start: NDArray[np.float64] | tuple[float, float, float],
    end: NDArray[np.float64] | tuple[float, float, float],
    x: FloatArray,
    y: FloatArray,
    z: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Share of the way along a line at which it is nearest to each point (0 to 1), and the squared distance there."""
    sx, sy, sz = (float(v) for v in start)
    dx, dy, dz = (float(e) - float(s) for s, e in zip(start, end, strict=True))
    length = dx * dx + dy * dy + dz * dz
    u, v, w = x - sx, y - sy, z - sz
    share = np.clip((u * dx + v * dy + w * dz) / length, 0.0, 1.0)
    return share, np.asarray((u - share * dx) ** 2 + (v - share * dy) ** 2 + (w - share * dz) ** 2)
