"""A stylised male pelvis as painted shapes: soft tissue and organs; the bones are in `pelvis_bones`."""

from __future__ import annotations

from protonqa.phantom.anatomy import Triple
from protonqa.phantom.painter import AIR_HU, SIDES, Painter, paint_hollow, paint_loops
from protonqa.phantom.pelvis_anatomy import Pelvis
from protonqa.phantom.pelvis_bones import paint_bones
from protonqa.phantom.schema import PhantomDefinition
from protonqa.phantom.shapes import AnyShape, Ellipsoid, EllipticCylinder, Fill

_BOWEL = ("bowel_wall", "bowel_content", "bowel_gas")
_RECTUM = ("rectum_wall", "rectum_content", "rectum_gas")
_FAT = "pelvic_fat"
# What muscle, fat and skin are wrapped around, without fat and skin: centre; semi-axes; z from where on.
_TRUNK: tuple[Triple, tuple[float, float], float] = ((0.0, 6.0, 0.0), (150.0, 84.0), -48.0)
_HIPS: tuple[Triple, Triple] = ((0.0, 10.0, -22.0), (153.0, 84.0, 130.0))
_BUTTOCK: tuple[Triple, Triple] = ((62.0, 48.0, -14.0), (66.0, 56.0, 84.0))
_THIGH: tuple[Triple, tuple[float, float], float] = ((84.0, 9.0, 0.0), (66.0, 83.0), -20.0)


def pelvis_definition(pelvis: Pelvis, name: str, size_mm: Triple, spacing_mm: Triple) -> PhantomDefinition:
    """A pelvis in air as a phantom definition."""
    return PhantomDefinition(
        name=name,
        size_mm=size_mm,
        spacing_mm=spacing_mm,
        background=Fill(hu=AIR_HU, tissue="air"),
        shapes=pelvis_shapes(pelvis),
    )


def pelvis_shapes(pelvis: Pelvis) -> list[AnyShape]:
    """The pelvis from skin to bowel, in painting order; numbers rounded to 0.1 mm and 0.1 HU."""
    level = pelvis.level_mm
    ends = (-pelvis.overhang_mm - level, pelvis.length_mm + pelvis.overhang_mm - level)
    plain = Painter(pelvis.hu, shift_mm=(0.0, pelvis.middle_y_mm, level), ends_mm=ends)
    _soft_tissue(plain, pelvis, ends)
    low, high = (z / pelvis.size[2] for z in ends)
    paint = plain.scaled(pelvis.size)
    _cavity(paint, high)
    _planes_of_fat(paint, low)
    _muscles_and_vessels(paint, low, high)
    paint_bones(paint, pelvis, (low, high))
    _bowel(paint, pelvis)
    _organs(paint, pelvis)
    return plain.shapes


def pelvis_extent_mm(pelvis: Pelvis) -> tuple[float, float, float]:
    """Half-width of the skin, and its y in front and at the back."""
    lateral, front, back = (mm + pelvis.skin_mm for mm in pelvis.fat_mm)
    sx, sy, _ = pelvis.size
    (_, y, _), (_, deep), _ = _TRUNK
    (_, buttock_y, _), (_, buttock_deep, _) = _BUTTOCK
    (_, thigh_y, _), (_, thigh_deep), _ = _THIGH
    anterior = min((y - deep) * sy, (thigh_y - thigh_deep) * sy) - front
    posterior = max((y + deep) * sy, (buttock_y + buttock_deep * pelvis.buttock) * sy) + back
    return _HIPS[1][0] * sx + lateral, anterior + pelvis.middle_y_mm, posterior + pelvis.middle_y_mm


def _soft_tissue(paint: Painter, pelvis: Pelvis, ends: tuple[float, float]) -> None:
    """Skin, fat and muscle around trunk, hips, buttocks, thighs and the parts between them."""
    skin = pelvis.skin_mm
    lateral, front, back = pelvis.fat_mm
    for tissue, grow in (
        ("skin", (lateral + skin, front + skin, back + skin)),
        ("subcutaneous_fat", (lateral, front, back)),
        ("muscle", (0.0, 0.0, 0.0)),
    ):
        _trunk(paint, pelvis, tissue, grow, ends)
        _limbs(paint, pelvis, tissue, grow, ends[0])


def _trunk(paint: Painter, pelvis: Pelvis, tissue: str, grow: Triple, ends: tuple[float, float]) -> None:
    sx, sy, sz = pelvis.size
    side, front, back = grow
    deeper, shift = (front + back) / 2, (back - front) / 2
    (_, y, _), (wide, deep), bottom = _TRUNK
    low, high = bottom * sz, ends[1]
    center = (0.0, y * sy + shift, (low + high) / 2)
    radii = (wide * sx + side, deep * sy + deeper)
    paint(EllipticCylinder, tissue, center, radii_mm=radii, length_mm=high - low, exponent=pelvis.exponent)
    (_, y, z), (wide, deep, high) = _HIPS
    solid = (wide * sx + side, deep * sy + deeper, high * sz)
    cut = (low, ends[1])
    paint(Ellipsoid, tissue, (0.0, y * sy + shift, z * sz), radii_mm=solid, exponent=2.3, z_range_mm=cut)


def _limbs(paint: Painter, pelvis: Pelvis, tissue: str, grow: Triple, low: float) -> None:
    sx, sy, sz = pelvis.size
    side, front, back = grow
    deeper, shift = (front + back) / 2, (back - front) / 2
    inner = 0.5 * side  # fat is thinner between the thighs
    for sign in SIDES:
        (x, y, z), (wide, deep, high) = _BUTTOCK
        solid = (wide * sx + inner, deep * sy * pelvis.buttock + back, high * sz + back)
        paint(Ellipsoid, tissue, (sign * x * sx, y * sy, z * sz), radii_mm=solid, exponent=2.2)
        (x, y, _), (wide, deep), top = _THIGH
        center = (sign * (x * sx + (side - inner) / 2), y * sy + shift, (low + top * sz) / 2)
        radii = (wide * sx + (side + inner) / 2, deep * sy + deeper)
        paint(EllipticCylinder, tissue, center, radii_mm=radii, length_mm=top * sz - low, exponent=2.2)
    outside = {"skin": pelvis.skin_mm + 3.0, "subcutaneous_fat": 3.0}.get(tissue, 0.0)
    radii_3 = (20.0 + outside, 20.0 + outside, 30.0 + outside)
    paint(Ellipsoid, tissue, (0.0, -84.0 * sy, -62.0 * sz), radii_mm=radii_3)


def _cavity(paint: Painter, high: float) -> None:
    """Fat of the false and true pelvis, in which the organs lie."""
    paint(Ellipsoid, _FAT, (0.0, -14.0, 128.0), ("muscle",), radii_mm=(122.0, 53.0, 96.0), exponent=2.4)
    length = max(high - 100.0, 1.0)
    center = (0.0, -14.0, high - length / 2)
    paint(EllipticCylinder, _FAT, center, ("muscle",), radii_mm=(122.0, 53.0), length_mm=length, exponent=2.4)
    paint(Ellipsoid, _FAT, (0.0, 10.0, 22.0), ("muscle",), radii_mm=(60.0, 50.0, 66.0), exponent=2.3)


def _planes_of_fat(paint: Painter, low: float) -> None:
    """Fat between muscles: under the buttock, around vessels of the groin, beside the anus, within the thigh."""
    fat, over = "subcutaneous_fat", ("muscle",)
    for side in SIDES:
        gluteal = ((side * 60.0, 66.0, 62.0), (side * 128.0, 44.0, 10.0), (side * 70.0, 76.0, -50.0))
        paint.plate(fat, gluteal, 5.0, over)
        medius = ((side * 84.0, 40.0, 90.0), (side * 138.0, 22.0, 30.0), (side * 98.0, 30.0, 10.0))
        paint.plate(fat, medius, 3.5, over)
        paint.rod(fat, (side * 64.0, 50.0, 30.0), (side * 80.0, 54.0, low), (10.0, 8.0), over)
        paint(Ellipsoid, fat, (side * 62.0, -54.0, -24.0), over, radii_mm=(20.0, 15.0, 42.0))
        paint(Ellipsoid, fat, (side * 28.0, 50.0, -52.0), over, radii_mm=(17.0, 28.0, 24.0))
        thigh = ((side * 70.0, -20.0, -60.0), (side * 118.0, -36.0, -60.0), (side * 80.0, -30.0, low - 40.0))
        paint.plate(fat, thigh, 4.0, over)
    paint(Ellipsoid, fat, (0.0, -56.0, -2.0), over, radii_mm=(34.0, 8.0, 30.0))


def _muscles_and_vessels(paint: Painter, low: float, high: float) -> None:
    over = (_FAT, "muscle", "subcutaneous_fat")
    for side in SIDES:
        paint.rod("muscle", (side * 46.0, 22.0, high), (side * 76.0, -26.0, 36.0), (20.0, 18.0), over)
        paint.rod("muscle", (side * 76.0, -26.0, 36.0), (side * 104.0, 0.0, -52.0), (18.0, 13.0), over)
        obturator = ((side * 58.0, -22.0, 6.0), (side * 56.0, 30.0, 0.0), (side * 50.0, 12.0, -52.0))
        paint.plate("muscle", obturator, 15.0, over)
        levator = ((side * 44.0, -24.0, -28.0), (side * 44.0, 34.0, -28.0), (0.0, 40.0, -54.0))
        paint.plate("muscle", levator, 5.0, over)
        for tissue, x, y, radius in (("artery", 66.0, -54.0, 4.6), ("vein", 56.0, -50.0, 5.6)):
            paint.rod(tissue, (side * (x - 36.0), y + 64.0, high), (side * (x - 8.0), y + 8.0, 20.0), (5.5, 4.8), over)
            paint.rod(tissue, (side * (x - 8.0), y + 8.0, 20.0), (side * x, y - 4.0, low), (4.8, radius), over)
    paint(Ellipsoid, "penile_bulb", (0.0, -6.0, -58.0), over, radii_mm=(11.0, 14.0, 12.0))


def _bowel(paint: Painter, pelvis: Pelvis) -> None:
    for organ in pelvis.colon:
        paint_hollow(paint, organ, _BOWEL, (_FAT, *_BOWEL))
    paint_loops(paint, pelvis.loops, _BOWEL, _FAT)


def _organs(paint: Painter, pelvis: Pelvis) -> None:
    """Rectum and anus, bladder over bowel, seminal vesicles and prostate over both."""
    soft = (_FAT, *_BOWEL)
    paint.rod("rectum_wall", (0.0, 30.0, -40.0), (0.0, 38.0, -74.0), (12.0, 11.0), (_FAT, "muscle", "subcutaneous_fat"))
    for part in reversed(pelvis.rectum):
        paint_hollow(paint, part, _RECTUM, (*soft, "muscle", *_RECTUM))
    paint_hollow(paint, pelvis.bladder, ("bladder_wall", "urine", None), (*soft, "artery", "vein"))
    over = (*soft, "bladder_wall", "urine", "rectum_wall", "muscle")
    for vesicle in pelvis.vesicles:
        paint(
            Ellipsoid,
            "seminal_vesicle",
            vesicle.center_mm,
            (_FAT, "rectum_wall"),
            radii_mm=vesicle.radii_mm,
            rotation_deg=vesicle.rotation_deg,
        )
    paint(Ellipsoid, "prostate", pelvis.prostate.center_mm, over, radii_mm=pelvis.prostate.radii_mm)
