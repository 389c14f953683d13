"""The neck of the stylised head: spine, throat and windpipe, larynx, vessels, thyroid."""

from __future__ import annotations

from protonqa.phantom.head_anatomy import Head
from protonqa.phantom.painter import SIDES, Painter, paint_spine
from protonqa.phantom.shapes import Arc, Ellipsoid

_SOFT = ("muscle", "subcutaneous_fat", "mucosa", "salivary_gland", "tongue")


def paint_neck(paint: Painter, face: Painter, head: Head) -> None:
    """Everything below the skull; `paint` is not stretched, `face` as the face is."""
    bottom = -head.level_mm - head.overhang_mm
    drop = head.jaw_drop_mm / 2
    y = head.spine.center_mm[1]
    top = (head.spine.phase_mm + 1.5 * head.spine.pitch_mm) * head.size[2]
    spine = paint.scaled((head.size[0], head.size[1], 1.0))
    _fat_planes(spine, head, bottom)
    paint_spine(spine, head.spine, (bottom, min(top, -34.0 * head.size[2])))
    front = y - head.spine.radii_mm[1]
    for side in SIDES:
        spine.rod("carotid", (side * 26.0, front - 4.0, bottom), (side * 24.0, front - 6.0, -8.0), (3.6, 2.8), _SOFT)
        spine.rod("jugular", (side * 33.0, front + 3.0, bottom), (side * 29.0, front + 6.0, -10.0), (6.0, 4.5), _SOFT)
    face.rod("airway", (0.0, -24.0, -18.0), (0.0, -26.0 - drop, -60.0), (8.5, 8.5), _SOFT)
    face.rod("airway", (0.0, -26.0 - drop, -60.0), (0.0, -30.0, -84.0), (8.5, 8.0), _SOFT)
    paint_larynx(spine, face, bottom)


def paint_larynx(paint: Painter, face: Painter, bottom: float) -> None:
    """Hyoid, cartilages, windpipe, gullet and thyroid."""
    face(
        Arc,
        "facial_bone",
        (0.0, -34.0, -84.0),
        ("muscle", "subcutaneous_fat"),
        radii_mm=(18.0, 16.0),
        tube_mm=(2.4, 3.0),
        start_deg=190.0,
        stop_deg=350.0,
    )
    low = min(bottom, -130.0)
    for side in SIDES:
        lobe = (side * 17.0, -24.0, -136.0)
        paint(Ellipsoid, "thyroid", lobe, ("muscle", "subcutaneous_fat"), radii_mm=(8.0, 10.0, 22.0))
    paint.rod("cartilage", (0.0, -32.0, -92.0), (0.0, -31.0, -116.0), (15.0, 12.0), _SOFT)
    paint.rod("cartilage", (0.0, -31.0, -116.0), (0.0, -26.0, low), (11.0, 10.5), (*_SOFT, "thyroid"))
    paint.rod("airway", (0.0, -30.0, -84.0), (0.0, -30.0, -106.0), (8.0, 5.0), ("cartilage", *_SOFT))
    paint.rod("airway", (0.0, -30.0, -106.0), (0.0, -26.0, low), (6.0, 8.5), ("cartilage", *_SOFT))
    paint.rod("mucosa", (0.0, -10.0, -110.0), (0.0, -9.0, low), (6.0, 6.0), ("muscle",))


def _fat_planes(paint: Painter, head: Head, bottom: float) -> None:
    """Fat between the muscles: behind the spine, and beside the throat."""
    (_, y), length = head.spine.center_mm, -bottom
    middle = -0.55 * length
    for side in SIDES:
        back = ((side * 22.0, y + 26.0, middle), (9.0, 3.0, 0.42 * length))
        paint(Ellipsoid, "subcutaneous_fat", back[0], ("muscle",), radii_mm=back[1], rotation_deg=side * 25.0)
        beside = ((side * 38.0, y - 8.0, middle), (6.0, 11.0, 0.40 * length))
        paint(Ellipsoid, "subcutaneous_fat", beside[0], ("muscle",), radii_mm=beside[1])
