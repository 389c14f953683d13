"""The bones of the stylised pelvis: femora, hip bones, sacrum and lowest vertebrae.

Each bone is painted as a compact shell and then once more, thinner by the shell, as spongiosa or marrow.
"""

from __future__ import annotations

import math
from itertools import pairwise

from protonqa.phantom.anatomy import Pair, Triple
from protonqa.phantom.painter import SIDES, Painter, paint_spine
from protonqa.phantom.pelvis_anatomy import Femur, Pelvis
from protonqa.phantom.shapes import Ellipsoid

_HIP = ("pelvic_cortical", "pelvic_spongiosa")
_SACRUM = ("sacrum_cortical", "sacrum_spongiosa")
# The ilium as a fan of triangles over the roof of the socket: front spines, crest from front to back, rear spines,
# sciatic notch.
_ROOF: Triple = (84.0, 2.0, 30.0)
_FAN: tuple[Triple, ...] = (
    (90.0, -36.0, 34.0),
    (116.0, -58.0, 80.0),
    (130.0, -26.0, 114.0),
    (122.0, 10.0, 128.0),
    (88.0, 46.0, 122.0),
    (46.0, 72.0, 92.0),
    (50.0, 62.0, 58.0),
    (60.0, 42.0, 40.0),
)
# Middle line of the sacrum from its upper edge to the tip of the coccyx, with radii.
_SACRAL: tuple[tuple[Triple, float], ...] = (
    ((0.0, 33.0, 88.0), 19.0),
    ((0.0, 56.0, 60.0), 16.0),
    ((0.0, 74.0, 28.0), 11.0),
    ((0.0, 76.0, 2.0), 8.0),
    ((0.0, 64.0, -22.0), 4.5),
)


def paint_bones(paint: Painter, pelvis: Pelvis, ends_mm: Pair) -> None:
    """All bones, from a lower to an upper z; joints and cartilage between them."""
    paint_spine(paint, pelvis.spine, (96.0, max(ends_mm[1], 97.0)))
    _sacrum(paint, pelvis.cortex_mm)
    for side in SIDES:
        _hip_bone(paint, pelvis, side)
        _femur(paint, pelvis.femur, side, ends_mm[0])
        joint = ((side * 57.0, 46.0, 88.0), (side * 50.0, 72.0, 86.0), (side * 49.0, 66.0, 48.0))
        paint.plate("cartilage", joint, 2.4, (*_HIP, *_SACRUM))
    paint(Ellipsoid, "cartilage", (0.0, -46.0, -32.0), radii_mm=(4.0, 9.0, 19.0))


def _sacrum(paint: Painter, cortex: float) -> None:
    for tissue, less in zip(_SACRUM, (0.0, cortex), strict=True):
        for (start, first), (end, last) in pairwise(_SACRAL):
            paint.rod(tissue, start, end, (first - less, last - less))
        for side in SIDES:
            for corners, thick in (
                (((0.0, 44.0, 82.0), (side * 44.0, 58.0, 80.0), (side * 38.0, 72.0, 46.0)), 28.0),
                (((0.0, 44.0, 82.0), (side * 38.0, 72.0, 46.0), (0.0, 76.0, 20.0)), 22.0),
            ):
                paint.plate(tissue, corners, thick - 2 * less)
    paint.rod("spinal_canal", (0.0, 58.0, 96.0), (0.0, 84.0, 44.0), (8.0, 4.5))


def _hip_bone(paint: Painter, pelvis: Pelvis, side: int) -> None:
    """Ilium with its crest, socket, pubis and ischium; the femoral head is painted into the socket later."""
    cortex, wing = pelvis.cortex_mm, pelvis.wing_mm
    for tissue, less in zip(_HIP, (0.0, cortex), strict=True):
        # Seen from the side the blade is thin in the middle: there both tables nearly touch.
        for near, far in pairwise(_FAN):
            corners = (_mirrored(_ROOF, side), _mirrored(near, side), _mirrored(far, side))
            paint.plate(tissue, corners, max(wing - 2 * less, 1.0))
        for near, far in pairwise(_FAN[1:6]):
            paint.rod(tissue, _mirrored(near, side), _mirrored(far, side), (7.0 - less, 7.0 - less))
        solid = (26.0 - less, 33.0 - less, 34.0 - less)
        paint(Ellipsoid, tissue, (side * 82.0, 3.0, 13.0), radii_mm=solid)
        for start, end, first, last in (
            ((72.0, -24.0, 6.0), (16.0, -50.0, -22.0), 10.0, 8.5),
            ((13.0, -47.0, -20.0), (14.0, -44.0, -44.0), 8.5, 8.0),
            ((14.0, -44.0, -44.0), (46.0, 4.0, -70.0), 7.0, 8.0),
            ((76.0, 24.0, -8.0), (54.0, 26.0, -62.0), 15.0, 15.0),
            ((46.0, 4.0, -70.0), (54.0, 26.0, -62.0), 8.0, 14.0),
            ((66.0, 30.0, 20.0), (54.0, 40.0, 0.0), 12.0, 6.0),
        ):
            paint.rod(tissue, _mirrored(start, side), _mirrored(end, side), (first - less, last - less))


def _femur(paint: Painter, femur: Femur, side: int, low: float) -> None:
    """Head in its cartilage, neck, trochanters and shaft."""
    f = femur
    angle = math.radians(f.neck_shaft_deg - 90.0)
    head: Triple = (side * f.head_x_mm, 0.0, 0.0)
    shaft_x = f.head_x_mm + f.offset_mm
    root: Triple = (side * shaft_x, 5.0, -f.offset_mm * math.tan(angle))
    knee: Triple = (side * (shaft_x - 10.0), 2.0, min(low, root[2] - 20.0) - 20.0)
    joint = f.head_radius_mm + 2.5
    paint(Ellipsoid, "cartilage", head, _HIP, radii_mm=(joint, joint, joint))
    shells = (("hip_cortical", 0.0), ("hip_spongiosa", 1.8))
    for tissue, less in shells:
        radius, neck, great = f.head_radius_mm - less, f.neck_radius_mm - less, (15.0 - less, 19.0 - less, 24.0 - less)
        paint(Ellipsoid, tissue, head, radii_mm=(radius, radius, radius))
        paint.rod(tissue, head, root, (neck, neck + 1.0))
        paint(Ellipsoid, tissue, (side * (shaft_x + 3.0), 12.0, -10.0), radii_mm=great)
        paint.rod(tissue, root, (side * (shaft_x - 16.0), 18.0, root[2] - 24.0), (neck, 7.0 - less))
    for tissue, less in (("femur_compact", 0.0), ("femur_marrow", f.compact_mm)):
        radius = f.shaft_radius_mm - less
        below = (root[0] - side * 1.0, root[1], root[2] - 14.0)
        paint.rod(tissue, below, knee, (radius, radius))
    paint.rod("hip_spongiosa", head, root, (f.neck_radius_mm - 3.5, f.neck_radius_mm - 3.0), ("femur_compact",))


def _mirrored(point: Triple, side: int) -> Triple:
    return side * point[0], point[1], point[2]
