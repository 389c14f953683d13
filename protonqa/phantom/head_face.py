"""The face of the stylised head: nose and sinuses, orbits, cheekbones, jaws with teeth, mouth."""

from __future__ import annotations

import math
from typing import Any

from protonqa.phantom.anatomy import Organ, Triple
from protonqa.phantom.head_anatomy import TEETH_A_JAW, Head
from protonqa.phantom.painter import SIDES, Painter, paint_hollow
from protonqa.phantom.shapes import Arc, Box, Ellipsoid

# What bone, air and fat of the face may replace; neither skin nor the air outside.
_DEEP = (
    "muscle",
    "subcutaneous_fat",
    "skull_table",
    "diploe",
    "skull_base",
    "csf",
    "grey_matter",
    "white_matter",
    "facial_bone",
)
# Arches of the teeth at the roots of upper and lower jaw: centre, semi-axes.
_ARCH: tuple[Triple, tuple[float, float]] = ((0.0, -46.0, 0.0), (27.0, 38.0))
_BITE_Z_MM = -44.0


def paint_face(paint: Painter, head: Head) -> None:
    """Everything of the face; `paint` is stretched as the face is."""
    _midface(paint)
    _orbits(paint, head)
    _nose(paint, head)
    for sinus in (*head.frontal, *head.maxillary, *head.sphenoid):
        tissues = ("facial_bone", "sinus_mucus", "sinus_air")
        paint_hollow(paint, sinus, tissues, (*_DEEP, "mucosa"))
    for cell in head.ethmoid:
        paint(Ellipsoid, "air_cells", cell.center_mm, _DEEP, radii_mm=cell.radii_mm)
    _mastoid_cells(paint, head.mastoid)
    _mouth(paint, head)
    _lower_jaw(paint, head)
    _teeth(paint, head)


def _midface(paint: Painter) -> None:
    """Ethmoid block, upper jaw, palate, pterygoid plates, cheekbones and their arches."""
    paint(Box, "facial_bone", (0.0, -57.0, 14.0), _DEEP, size_mm=(27.0, 50.0, 16.0))
    paint(Ellipsoid, "facial_bone", (0.0, -74.0, -24.0), _DEEP, radii_mm=(22.0, 14.0, 10.0))
    paint(Ellipsoid, "facial_bone", (0.0, -58.0, -29.0), _DEEP, radii_mm=(24.0, 27.0, 2.6))
    paint.rod("facial_bone", (0.0, -87.0, 23.0), (0.0, -97.0, 8.0), (3.6, 2.6), ("muscle", "subcutaneous_fat"))
    for side in SIDES:
        plate = ((side * 11.0, -38.0, -2.0), (side * 17.0, -28.0, -28.0), (side * 12.0, -40.0, -28.0))
        paint.plate("facial_bone", plate, 2.6)
        cheek = ((side * 46.0, -74.0, -2.0), (side * 58.0, -60.0, -8.0), (side * 44.0, -68.0, -20.0))
        paint.plate("facial_bone", cheek, 6.0)
        rim = ((side * 46.0, -74.0, -2.0), (side * 50.0, -72.0, 22.0))
        paint.rod("facial_bone", rim[0], rim[1], (4.5, 4.0))
        paint.rod("facial_bone", (side * 57.0, -60.0, -7.0), (side * 66.0, -32.0, -4.0), (4.0, 3.0))
        paint.rod("facial_bone", (side * 66.0, -32.0, -4.0), (side * 64.0, -10.0, 0.0), (3.0, 4.0))
        fat = ((side * 42.0, -52.0, -30.0), (10.0, 16.0, 16.0))  # behind the cheek
        paint(Ellipsoid, "subcutaneous_fat", fat[0], ("muscle",), radii_mm=fat[1])


def _orbits(paint: Painter, head: Head) -> None:
    inside = ("orbital_fat",)
    for side in SIDES:
        front, apex = (side * 32.5, -68.0, 9.0), (side * 15.0, -36.0, 12.0)
        paint.rod("facial_bone", front, apex, (20.0, 7.5), _DEEP)
        paint.rod("orbital_fat", front, apex, (18.2, 5.8), _DEEP)
        # In front of the rim lie lids and fat, not bone.
        paint(Ellipsoid, "orbital_fat", (side * 32.5, -80.0, 9.0), ("facial_bone",), radii_mm=(17.0, 8.0, 15.0))
        eye = (side * 32.5, -75.0, 9.0)
        for dx, dz in ((9.0, 0.0), (-9.0, 0.0), (0.0, 9.0), (0.0, -9.0)):
            belly = (eye[0] + side * dx, -68.0, 9.0 + dz)
            paint.rod("muscle", belly, (side * 16.5, -39.0, 12.0), (2.2, 1.8), inside)
        paint.rod("optic_nerve", (side * 31.0, -66.0, 9.0), (side * 14.0, -34.0, 13.0), (2.2, 2.2), inside)
        over = ("orbital_fat", "optic_nerve", "muscle", "subcutaneous_fat", "facial_bone")
        r = head.eye_mm
        paint(Ellipsoid, "eye_wall", eye, over, radii_mm=(r, r, r))
        paint(Ellipsoid, "vitreous", eye, ("eye_wall",), radii_mm=(r - 1.2, r - 1.2, r - 1.2))
        paint(Ellipsoid, "lens", (eye[0], eye[1] - 0.6 * r, eye[2]), ("vitreous",), radii_mm=(4.6, 2.4, 4.6))


def _nose(paint: Painter, head: Head) -> None:
    """Nasal cavity with septum and turbinates, open to the nostrils in front and to the throat behind."""
    over = (*_DEEP, "skin")
    for side in SIDES:
        paint(Ellipsoid, "mucosa", (side * 8.0, -64.0, -8.0), _DEEP, radii_mm=(9.5, 33.0, 19.0))
        paint(Ellipsoid, "airway", (side * 7.5, -64.0, -8.0), ("mucosa",), radii_mm=(6.8, 31.0, 17.0))
        nostril = ((side * 6.0, -101.0, -24.0), (side * 5.5, -88.0, -8.0))
        paint.rod("airway", nostril[0], nostril[1], (3.6, 4.0), over)
        t = head.turbinate
        for x, z, radii in ((10.5, -15.0, (4.6, 24.0, 6.0)), (10.0, -4.0, (3.6, 19.0, 5.0))):
            swollen = (radii[0] * t, radii[1], radii[2] * (1 + t) / 2)
            paint(Ellipsoid, "mucosa", (side * x, -60.0, z), ("airway",), radii_mm=swollen)
    paint(Box, "ear_cartilage", (0.0, -76.0, -6.0), ("airway", "mucosa"), size_mm=(2.2, 40.0, 40.0))
    paint(Box, "facial_bone", (0.0, -46.0, -6.0), ("airway", "mucosa"), size_mm=(2.2, 20.0, 40.0))
    throat = ("muscle", "mucosa", "facial_bone", "skull_base", "subcutaneous_fat")
    paint(Ellipsoid, "airway", (0.0, -26.0, -14.0), throat, radii_mm=(12.0, 9.0, 13.0))


def _mastoid_cells(paint: Painter, cells: tuple[Organ, ...]) -> None:
    bone = ("skull_base", "petrous_bone", "skull_table", "diploe")
    for cell in cells:
        paint(Ellipsoid, "air_cells", cell.center_mm, bone, radii_mm=cell.radii_mm)


def _mouth(paint: Painter, head: Head) -> None:
    drop = head.jaw_drop_mm
    dx, dy, dz = head.tongue_shift_mm
    soft = ("muscle", "subcutaneous_fat", "mucosa")
    paint(Ellipsoid, "airway", (0.0, -62.0, -40.0 - drop / 2), soft, radii_mm=(20.0, 28.0, 8.0 + drop / 2))
    paint(Ellipsoid, "tongue", (dx, -50.0 + dy, -52.0 - drop + dz), (*soft, "airway"), radii_mm=(22.0, 32.0, 19.0))
    paint(Ellipsoid, "mucosa", (0.0, -33.0, -32.0), ("airway", "muscle"), radii_mm=(13.0, 8.0, 4.0))  # soft palate
    for side in SIDES:
        gland = ((side * 53.0, -14.0, -28.0), (10.0, 16.0, 26.0))
        paint(Ellipsoid, "salivary_gland", gland[0], soft, radii_mm=gland[1], rotation_deg=side * 15.0)
        gland = ((side * 30.0, -34.0, -74.0 - drop), (11.0, 16.0, 12.0))
        paint(Ellipsoid, "salivary_gland", gland[0], soft, radii_mm=gland[1])


def _lower_jaw(paint: Painter, head: Head) -> None:
    drop = head.jaw_drop_mm
    run: dict[str, Any] = {"radii_mm": (41.0, 59.0), "start_deg": 195.0, "stop_deg": 345.0}
    center = (0.0, -18.0, -66.0 - drop)
    paint(Arc, "jaw_cortical", center, tube_mm=(6.0, 14.0), **run)
    paint(Arc, "jaw_spongiosa", center, tube_mm=(3.4, 11.0), **run)
    for side in SIDES:
        condyle, coronoid = (side * 51.0, -13.0, -6.0), (side * 50.0, -42.0, -12.0)
        angle, front = (side * 44.0, -16.0, -64.0 - drop), (side * 41.0, -38.0, -62.0 - drop)
        for corners in ((condyle, angle, front), (condyle, coronoid, front)):
            paint.plate("jaw_cortical", corners, 6.0)
            paint.plate("jaw_spongiosa", corners, 2.0, ("jaw_cortical",))
        paint(Ellipsoid, "jaw_cortical", condyle, radii_mm=(8.5, 4.5, 5.0))


def _teeth(paint: Painter, head: Head) -> None:
    """Tooth rows in their sockets: roots and dentine, and crowns of enamel (or metal) around dentine."""
    (x0, y0, _), (a, b) = _ARCH
    run: dict[str, Any] = {"radii_mm": (a, b), "start_deg": 185.0, "stop_deg": 355.0}
    for jaw, side in enumerate((1.0, -1.0)):
        bite = _BITE_Z_MM - (head.jaw_drop_mm if jaw else 0.0)
        # Sockets: the upper ones reach up to the palate, the lower ones down into the jaw.
        paint(Arc, "jaw_cortical", (x0, y0, bite + side * 13.0), _SOCKET, tube_mm=(6.5, 8.0), **run)
        paint(Arc, "jaw_spongiosa", (x0, y0, bite + side * 13.5), ("jaw_cortical",), tube_mm=(4.8, 6.5), **run)
        for place in range(TEETH_A_JAW):
            number = place + jaw * TEETH_A_JAW
            if number in head.missing_teeth:
                continue
            angle = math.radians(189.0 + (place + 0.5) * 162.0 / TEETH_A_JAW)
            r = 1.0 / math.hypot(math.cos(angle) / a, math.sin(angle) / b)
            molar = abs(place - (TEETH_A_JAW - 1) / 2) > 4
            width = 4.4 if molar else 3.2
            x, y = x0 + r * math.cos(angle), y0 + r * math.sin(angle)
            paint(Ellipsoid, "dentine", (x, y, bite + side * 10.0), radii_mm=(0.7 * width, 0.7 * width, 9.5))
            crown = "dental_metal" if number in head.metal_teeth else "enamel"
            paint(Ellipsoid, crown, (x, y, bite + side * 4.2), radii_mm=(width, width, 4.2))
            paint(Ellipsoid, "dentine", (x, y, bite + side * 5.0), (crown,), radii_mm=(width - 1.4, width - 1.4, 3.4))


_SOCKET = ("muscle", "facial_bone", "jaw_spongiosa", "tongue", "airway", "mucosa", "subcutaneous_fat")
