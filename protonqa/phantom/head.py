"""A stylised head and neck as painted shapes: soft tissue, braincase and brain; the face is in `head_face`.

Layers are painted from outside to inside, each as the union of the same few solids made smaller, so a layer keeps its
thickness where two solids meet.
"""

from __future__ import annotations

import math

from protonqa.phantom.anatomy import Pair, Triple
from protonqa.phantom.head_anatomy import Head
from protonqa.phantom.head_face import paint_face
from protonqa.phantom.head_neck import paint_neck
from protonqa.phantom.painter import AIR_HU, SIDES, Painter
from protonqa.phantom.schema import PhantomDefinition
from protonqa.phantom.shapes import AnyShape, Ellipsoid, EllipticCylinder, Fill

# Braincase: a wide part and a narrower forehead, each an upper and a lower half, and the posterior fossa. Outer surface
# of the bone at size 1: centre; semi-axes across, along, up, down.
_VAULT = ((0.0, 8.0, 36.0), (71.0, 84.0, 88.0, 40.0))
_FOREHEAD = ((0.0, -33.0, 35.0), (58.0, 61.0, 72.0, 24.0))
_FOSSA = ((0.0, 44.0, 10.0), (63.0, 47.5, 44.0, 44.0))
_BRAIN = ("grey_matter", "white_matter")
_EAR_DEG = 25.0  # how far the ears stand out
_SPACE = 300.0  # beyond any end of the head


def head_definition(head: Head, name: str, size_mm: Triple, spacing_mm: Triple) -> PhantomDefinition:
    """A head in air as a phantom definition."""
    return PhantomDefinition(
        name=name,
        size_mm=size_mm,
        spacing_mm=spacing_mm,
        background=Fill(hu=AIR_HU, tissue="air"),
        shapes=head_shapes(head),
    )


def head_shapes(head: Head) -> list[AnyShape]:
    """The head from skin to airway, in painting order; numbers rounded to 0.1 mm and 0.1 HU."""
    ends = (-head.overhang_mm - head.level_mm, 0.0)
    paint = Painter(head.hu, shift_mm=(0.0, head.middle_y_mm, head.level_mm), ends_mm=ends)
    _soft_tissue(paint, head)
    _braincase(paint, head)
    bones = paint.scaled(head.size)
    _brain(bones, head)
    _skull_base(bones)
    face = paint.scaled(face_scale(head))
    paint_face(face, head)
    paint_neck(paint, face, head)
    return paint.shapes


def face_scale(head: Head) -> Triple:
    """How the face is stretched."""
    x, y, z = (a * b for a, b in zip(head.size, head.face, strict=True))
    return x, y, z


def head_extent_mm(head: Head) -> tuple[float, float, float]:
    """Half-width of head with ears and of neck, and the y of nose and occiput."""
    outer = head.skin_mm + head.scalp_mm
    sy = head.size[1]
    (_, y, _), (_, along, _, _) = _VAULT
    x, (thick, long, _) = _ear(head)
    turn = math.radians(_EAR_DEG)
    ear = x + math.hypot(thick * math.cos(turn), long * math.sin(turn))
    half_width = max(ear, head.neck_half_mm[0] + head.skin_mm + head.neck_fat_mm, 70.0 * face_scale(head)[0])
    nose = -121.0 * face_scale(head)[1]
    back = (y + along) * sy + outer
    neck = neck_center_y_mm(head) + head.neck_half_mm[1] + head.neck_fat_mm + head.skin_mm
    return half_width, nose + head.middle_y_mm, max(back, neck) + head.middle_y_mm


def head_sizes_mm(head: Head) -> tuple[float, float]:
    """Breadth and length of the head over the skin."""
    outer = 2 * (head.skin_mm + head.scalp_mm)
    (_, back_y, _), (across, back, _, _) = _VAULT
    (_, front_y, _), (_, front, _, _) = _FOREHEAD
    return 2 * across * head.size[0] + outer, (back_y + back - front_y + front) * head.size[1] + outer


def vertex_mm(head: Head) -> float:
    """Height of the vertex above the ear canals."""
    (_, _, z), (_, _, up, _) = _VAULT
    return (z + up) * head.size[2] + head.scalp_mm + head.skin_mm


def neck_center_y_mm(head: Head) -> float:
    """y of the middle of the neck, from the ear canals."""
    return head.spine.center_mm[1] * head.size[1] - 2.0


def _soft_tissue(paint: Painter, head: Head) -> None:
    """Skin, fat and muscle, each over scalp, face, ears and neck."""
    skin = head.skin_mm
    layers = (
        ("skin", (0.0, 0.0, 0.0)),
        ("subcutaneous_fat", (skin, skin, skin)),
        ("muscle", (skin + head.scalp_mm, skin + head.face_fat_mm, skin + head.neck_fat_mm)),
    )
    _ears(paint, head)
    for tissue, (scalp, face, neck) in layers:
        _solids(paint, head, tissue, [scalp - skin - head.scalp_mm] * 5)
        _neck(paint, head, tissue, neck)
        _visage(paint, head, tissue, face)


def _neck(paint: Painter, head: Head, tissue: str, inset: float) -> None:
    skin_to_muscle = head.skin_mm + head.neck_fat_mm
    radii = (head.neck_half_mm[0] + skin_to_muscle - inset, head.neck_half_mm[1] + skin_to_muscle - inset)
    low = -head.level_mm - head.overhang_mm
    top = -8.0 * head.size[2]
    center = (0.0, neck_center_y_mm(head), (low + top) / 2)
    paint(EllipticCylinder, tissue, center, radii_mm=radii, length_mm=top - low, exponent=2.2)


def _visage(paint: Painter, head: Head, tissue: str, inset: float) -> None:
    """Cheeks, jaw, chin, the floor of the mouth and the nose."""
    fx, fy, fz = face_scale(head)
    drop = head.jaw_drop_mm
    for (x, y, z), (a, b, c), exponent in (
        ((0.0, -44.0, -4.0), (70.0, 49.0, 48.0), 2.4),
        ((0.0, -45.0, -48.0 - drop / 2), (58.0, 52.0, 42.0 + drop / 2), 2.2),
        ((0.0, -72.0, -70.0 - drop), (27.0, 21.0, 24.0), 2.2),
        ((0.0, -32.0, -74.0 - drop), (47.0, 42.0, 26.0), 2.2),
    ):
        radii = (a * fx - inset, b * fy - inset, c * fz - inset)
        paint(Ellipsoid, tissue, (x * fx, y * fy, z * fz), radii_mm=radii, exponent=exponent)
    # The nose has little fat: its layers are thinner.
    thin = 0.5 * inset
    paint.rod(tissue, (0.0, -86.0 * fy, 20.0 * fz), (0.0, -103.0 * fy, -9.0 * fz), (8.0 * fx - thin, 13.0 * fx - thin))
    for side in SIDES:
        wing = (side * 11.0 * fx, -97.0 * fy, -12.0 * fz)
        paint.rod(tissue, wing, (side * 9.0 * fx, -92.0 * fy, -12.0 * fz), (8.0 - thin, 8.0 - thin))


def _ear(head: Head) -> tuple[float, Triple]:
    """x of the middle of the left ear, and its semi-axes before it is turned out."""
    outer = head.scalp_mm + head.skin_mm
    reach = max(head.ear_mm - outer, 4.0)
    return _VAULT[1][0] * head.size[0] + outer + 0.3 * reach, (4.0, 0.9 * reach + 10.0, 31.0)


def _ears(paint: Painter, head: Head) -> None:
    x, radii = _ear(head)
    for side in SIDES:
        for tissue, thin in (("skin", 0.0), ("ear_cartilage", 1.6)):
            inner = (radii[0] - thin, radii[1] - thin, radii[2] - thin)
            paint(Ellipsoid, tissue, (side * x, 8.0, 2.0), radii_mm=inner, rotation_deg=side * _EAR_DEG)


def _solids(paint: Painter, head: Head, tissue: str, inset: list[float], within: tuple[str, ...] = ()) -> None:
    """The solids of the braincase made smaller by `inset` at side, front, back, top and floor."""
    sx, sy, sz = head.size
    side, front, back, top, floor = inset
    parts = (
        (_VAULT, (side, back, top, floor), 2.2),
        (_FOREHEAD, (max(side, front), front, (front + top) / 2, floor), 2.2),
        (_FOSSA, (side, back, floor, floor), 2.1),
    )
    for ((x, y, z), (across, along, up, down)), (da, db, du, dd), exponent in parts:
        center = (x * sx, y * sy, z * sz)
        for height, less, cut in ((up, du, (center[2], _SPACE)), (down, dd, (-_SPACE, center[2]))):
            radii = (across * sx - da, along * sy - db, height * sz - less)
            paint(Ellipsoid, tissue, center, within, radii_mm=radii, exponent=exponent, z_range_mm=cut)


def _braincase(paint: Painter, head: Head) -> None:
    """Outer table, diploe, inner table, fluid around the brain, grey and white matter."""
    t = head.skull
    whole = [t.lateral_mm, t.frontal_mm, t.occipital_mm, t.top_mm, t.floor_mm]
    # Where the skull is thin its tables are, too, and some diploe is left.
    tables = [min(1.0, 0.8 * mm / (t.outer_table_mm + t.inner_table_mm)) for mm in whole]
    _solids(paint, head, "skull_table", [0.0] * 5)
    _solids(paint, head, "diploe", [share * t.outer_table_mm for share in tables])
    _solids(paint, head, "skull_table", [m - s * t.inner_table_mm for m, s in zip(whole, tables, strict=True)])
    _solids(paint, head, "csf", whole)
    _solids(paint, head, "grey_matter", [mm + head.csf_mm for mm in whole])
    _solids(paint, head, "white_matter", [mm + head.csf_mm + head.cortex_mm for mm in whole])


def _brain(paint: Painter, head: Head) -> None:
    """Fissures, cisterns, deep grey matter, cerebellum, brainstem and ventricles."""
    wide = max(0.4 * head.csf_mm, 1.1)
    paint(Ellipsoid, "csf", (0.0, 0.0, 70.0), _BRAIN, radii_mm=(wide, 100.0, 62.0), z_range_mm=(44.0, _SPACE))
    for side in SIDES:
        fissure = ((side * 40.0, -30.0, 16.0), (side * 62.0, -24.0, 20.0), (side * 62.0, 22.0, 46.0))
        paint.plate("csf", fissure, head.csf_mm + 0.5, _BRAIN)
        insula = ((side * 40.0, -30.0, 16.0), (side * 40.0, 14.0, 40.0), (side * 62.0, 22.0, 46.0))
        paint.plate("csf", insula, head.csf_mm, _BRAIN)
        for y, z in ((-60.0, 60.0), (-20.0, 92.0), (12.0, 96.0), (45.0, 88.0), (72.0, 52.0)):  # large sulci
            deep = ((side * 6.0, 0.8 * y, 0.8 * z), (side * 4.0, y, z + 16.0), (side * 50.0, 0.9 * y, 0.9 * z))
            paint.plate("csf", deep, 0.6 * head.csf_mm, _BRAIN)
        paint(Ellipsoid, "grey_matter", (side * 11.0, 8.0, 36.0), ("white_matter",), radii_mm=(9.0, 15.0, 9.0))
        paint(Ellipsoid, "grey_matter", (side * 25.0, -6.0, 34.0), ("white_matter",), radii_mm=(8.0, 21.0, 11.0))
    _posterior_fossa(paint)
    _ventricles(paint, head.ventricles)


def _posterior_fossa(paint: Painter) -> None:
    over = ("csf", *_BRAIN)
    for side in SIDES:  # tentorium with the cisterns beside it
        for corners in (
            ((side * 12.0, 14.0, 27.0), (side * 58.0, 22.0, 12.0), (0.0, 84.0, 14.0)),
            ((side * 12.0, 14.0, 27.0), (0.0, 40.0, 34.0), (0.0, 84.0, 14.0)),
        ):
            paint.plate("csf", corners, 4.0, over)
    paint.rod("csf", (0.0, 8.0, 24.0), (0.0, 19.0, -34.0), (19.0, 13.0), over)
    for side in SIDES:
        paint(Ellipsoid, "cerebellum", (side * 22.0, 47.0, -3.0), over, radii_mm=(27.0, 32.0, 24.0))
        paint(Ellipsoid, "white_matter", (side * 18.0, 42.0, -3.0), ("cerebellum",), radii_mm=(14.0, 14.0, 8.0))
    stem = (*over, "cerebellum")
    paint.rod("brainstem", (0.0, 10.0, 26.0), (0.0, 12.0, 6.0), (13.0, 13.0), stem)
    paint(Ellipsoid, "brainstem", (0.0, 12.0, 2.0), stem, radii_mm=(16.0, 12.0, 14.0))
    paint.rod("brainstem", (0.0, 14.0, -6.0), (0.0, 20.0, -40.0), (10.0, 6.5), stem)


def _ventricles(paint: Painter, size: float) -> None:
    over = (*_BRAIN, "cerebellum", "brainstem")

    def rod(start: Triple, end: Triple, radii: Pair) -> None:
        paint.rod("ventricle", start, end, (radii[0] * size, radii[1] * size), over)

    for side in SIDES:
        rod((side * 8.0, -34.0, 46.0), (side * 9.0, -8.0, 56.0), (5.0, 5.0))
        rod((side * 9.0, -8.0, 56.0), (side * 20.0, 30.0, 48.0), (5.0, 7.0))
        rod((side * 20.0, 30.0, 48.0), (side * 22.0, 58.0, 42.0), (7.0, 2.5))
        rod((side * 20.0, 30.0, 48.0), (side * 31.0, 18.0, 28.0), (6.0, 3.5))
        rod((side * 31.0, 18.0, 28.0), (side * 32.0, -14.0, 18.0), (3.0, 2.0))
    third, fourth = (2.2 * size, 15.0, 11.0), (6.5, 5.0 * size, 10.0)
    paint(Ellipsoid, "ventricle", (0.0, 4.0, 36.0), over, radii_mm=third)
    paint(Ellipsoid, "ventricle", (0.0, 25.0, 1.0), over, radii_mm=fourth)


def _skull_base(paint: Painter) -> None:
    """Clivus, sphenoid with its wings, petrous ridges with ear canals, mastoids, the rim of the great foramen."""
    paint.rod("skull_base", (0.0, -20.0, 6.0), (0.0, 6.0, -26.0), (12.0, 7.0))
    paint.rod("diploe", (0.0, -18.0, 3.0), (0.0, 5.0, -25.0), (9.0, 4.5))
    paint(Ellipsoid, "pituitary", (0.0, -8.0, 17.0), radii_mm=(6.0, 5.0, 4.0))
    for side in SIDES:
        paint.rod("skull_base", (side * 10.0, -30.0, 18.0), (side * 44.0, -44.0, 24.0), (3.5, 3.0))
        paint.plate(
            "skull_base", ((side * 44.0, -44.0, 26.0), (side * 56.0, -42.0, 20.0), (side * 46.0, -34.0, -2.0)), 3.5
        )
        paint.rod("petrous_bone", (side * 58.0, 12.0, 0.0), (side * 16.0, -8.0, 4.0), (11.0, 6.5))
        paint.rod("skull_base", (side * 54.0, 16.0, -4.0), (side * 52.0, 16.0, -24.0), (13.0, 7.5))
        paint.rod("airway", (side * 84.0, -1.0, 0.0), (side * 52.0, -2.0, 1.0), (3.4, 3.4))
        paint(Ellipsoid, "airway", (side * 48.0, -2.0, 2.0), radii_mm=(3.0, 6.0, 6.0))
        paint.rod("skull_base", (side * 22.0, 14.0, -34.0), (side * 18.0, 34.0, -36.0), (5.0, 4.5))


def head_grid_length_mm(head: Head, margin_mm: float, step_mm: float) -> float:
    """Length of the grid with that much air above the vertex, in whole steps."""
    return math.ceil((head.level_mm + vertex_mm(head) + margin_mm) / step_mm) * step_mm
