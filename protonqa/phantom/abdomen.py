"""A stylised adult abdomen as painted shapes: one anatomy, of which `abdomen.yaml` and every twin are cases.

The frame is the phantom's: x to the patient's left, y to the back, z to the head, so a supine patient lies head first
with the liver at low x. The body runs through both ends of the grid, as in a CT that was cut there.
"""

from __future__ import annotations

from typing import Any

from protonqa.phantom.anatomy import Abdomen, Pair, Triple
from protonqa.phantom.painter import AIR_HU, Painter, arc_run, paint_hollow, paint_loops, paint_spine
from protonqa.phantom.schema import PhantomDefinition
from protonqa.phantom.shapes import AnyShape, Arc, Ellipsoid, Fill

_BOWEL = ("bowel_wall", "bowel_content", "bowel_gas")
_SOFT = ("visceral_fat", "lung", *_BOWEL)


def abdomen_definition(abdomen: Abdomen, name: str, size_mm: Triple, spacing_mm: Triple) -> PhantomDefinition:
    """An abdomen in air as a phantom definition."""
    return PhantomDefinition(
        name=name,
        size_mm=size_mm,
        spacing_mm=spacing_mm,
        background=Fill(hu=AIR_HU, tissue="air"),
        shapes=abdomen_shapes(abdomen),
    )


def abdomen_shapes(abdomen: Abdomen) -> list[AnyShape]:
    """The abdomen from skin to spine, in painting order; numbers rounded to 0.1 mm and 0.1 HU."""
    level = abdomen.level_mm
    ends = (-abdomen.overhang_mm - level, abdomen.length_mm + abdomen.overhang_mm - level)
    paint = Painter(abdomen.hu, shift_mm=(0.0, 0.0, level), ends_mm=ends)
    _body_wall(paint, abdomen)
    _rib_cage(paint, abdomen)
    _iliac_crest(paint, abdomen)
    _bowel(paint, abdomen)
    _solid_organs(paint, abdomen)
    _vessels(paint, abdomen)
    paint_spine(paint, abdomen.spine, ends)
    return paint.shapes


def body_extent_mm(abdomen: Abdomen) -> tuple[float, float, float]:
    """Half-width of the skin, and its y in front and at the back."""
    center_y, (half_width, half_depth) = _layer(abdomen, 3)
    return half_width, center_y - half_depth, center_y + half_depth


def _layer(abdomen: Abdomen, layers: int) -> tuple[float, Pair]:
    """Centre y and semi-axes of the cavity (0), wall (1), fat (2) or skin (3)."""
    a = abdomen
    thickness = (a.wall_mm, a.fat_mm, (a.skin_mm,) * 3)[:layers]
    lateral, anterior, posterior = (sum(t[i] for t in thickness) for i in range(3))
    half_depth = a.cavity_half_depth_mm + (anterior + posterior) / 2
    return a.cavity_center_y_mm + (posterior - anterior) / 2, (a.cavity_half_width_mm + lateral, half_depth)


def _body_wall(paint: Painter, a: Abdomen) -> None:
    for tissue, layers in (("skin", 3), ("subcutaneous_fat", 2), ("muscle", 1), ("visceral_fat", 0)):
        y, radii = _layer(a, layers)
        paint.through(tissue, 0.0, y, radii, n=a.exponent)
    (x, y), back = a.spine_center_mm, a.cavity_center_y_mm + a.cavity_half_depth_mm
    over = ("muscle", "visceral_fat")
    for side in (-1, 1):
        paint.through("muscle", x + side * (a.paraspinal_radii_mm[0] + 6), back - 8, a.paraspinal_radii_mm, over)
        psoas = (*a.psoas_radii_mm, 115.0)
        paint(Ellipsoid, "muscle", (x + side * (a.vertebra_radii_mm[0] + 14), y, 15.0), over, radii_mm=psoas)


# Where the bony ribs 12, 11, 10, ... end (deg from the side towards the front), the share of the drop that they
# make, and where their cartilage ends.
_RIB_ENDS = ((30.0, 0.4, None), (0.0, 0.7, None), (-45.0, 0.95, -62.0), (-54.0, 1.0, -72.0), (-58.0, 1.0, -78.0))


def _rib_cage(paint: Painter, a: Abdomen) -> None:
    y, (width, depth) = _layer(a, 1)
    radii = (width - a.wall_mm[0] / 2, depth - (a.wall_mm[1] + a.wall_mm[2]) / 4)
    radial, along_z = a.rib_half_mm
    for rib in range(a.rib_count):
        end, share, cartilage = _RIB_ENDS[min(rib, len(_RIB_ENDS) - 1)]
        back_z, drop = a.rib_base_z_mm + rib * a.rib_pitch_mm, a.rib_drop_mm * share
        arc: dict[str, Any] = {"radii_mm": radii, "exponent": a.exponent}
        for side in (1, -1):
            span = (end, 68.0) if side > 0 else (112.0, 180.0 - end)
            center = (0.0, y, back_z - drop / 2)
            run: dict[str, Any] = {**arc, "start_deg": span[0], "stop_deg": span[1], "rise_mm": side * drop}
            paint(Arc, "rib_cortical", center, tube_mm=(radial, along_z), **run)
            paint(Arc, "rib_marrow", center, tube_mm=(radial - 1.5, along_z - 2.0), **run)
            if cartilage is not None:
                span = (cartilage, end) if side > 0 else (180.0 - end, 180.0 - cartilage)
                run = {**arc, "start_deg": span[0], "stop_deg": span[1], "rise_mm": -side * 18.0}
                front = (0.0, y, back_z - drop + 9.0)
                paint(Arc, "cartilage", front, tube_mm=(radial - 0.5, along_z - 1.0), **run)
    for lung in a.lungs:
        paint(Ellipsoid, "lung", lung.center_mm, ("visceral_fat",), radii_mm=lung.radii_mm)
    if a.heart is not None:
        paint(Ellipsoid, "heart", a.heart.center_mm, ("visceral_fat", "lung"), radii_mm=a.heart.radii_mm)


def _iliac_crest(paint: Painter, a: Abdomen) -> None:
    if a.iliac_top_z_mm is None:
        return
    y, (width, depth) = _layer(a, 0)
    half = (a.iliac_top_z_mm + a.level_mm + a.overhang_mm + 30.0) / 2
    if half < 10:
        return
    for start, stop in ((5.0, 70.0), (110.0, 175.0)):
        for tissue, tube in (("pelvic_cortical", (8.0, half)), ("pelvic_spongiosa", (5.5, half - 4.0))):
            run: dict[str, Any] = {
                "radii_mm": (width - 4.0, depth - 4.0),
                "exponent": a.exponent,
                "start_deg": start,
                "stop_deg": stop,
            }
            center = (0.0, y, a.iliac_top_z_mm - half)
            paint(Arc, tissue, center, tube_mm=tube, **run)


def _bowel(paint: Painter, a: Abdomen) -> None:
    for organ in a.colon:
        paint_hollow(paint, organ, _BOWEL, ("visceral_fat", *_BOWEL))
    paint_loops(paint, a.loops, _BOWEL, "visceral_fat")


def _solid_organs(paint: Painter, a: Abdomen) -> None:
    for kidney in a.kidneys:
        center, turn = kidney.center_mm, kidney.rotation_deg
        # Usual shares of the kidney: cortex 70 %, medulla 25 %, pelvis 5 %.
        for tissue, share, over in (
            ("kidney_cortex", 1.0, _SOFT),
            ("kidney_medulla", 0.30, ("kidney_cortex",)),
            ("renal_pelvis", 0.05, ("kidney_medulla",)),
        ):
            radii = tuple(r * share ** (1 / 3) for r in kidney.radii_mm)
            paint(Ellipsoid, tissue, center, over, radii_mm=radii, rotation_deg=turn)
    paint(Arc, "pancreas", a.pancreas.center_mm, _SOFT, tube_mm=a.pancreas.tube_mm, **arc_run(a.pancreas))
    paint(
        Ellipsoid, "spleen", a.spleen.center_mm, _SOFT, radii_mm=a.spleen.radii_mm, rotation_deg=a.spleen.rotation_deg
    )
    paint_hollow(paint, a.stomach, ("stomach_wall", "stomach_content", "stomach_gas"), _SOFT)
    for lobe in a.liver:
        paint(Ellipsoid, "liver", lobe.center_mm, _SOFT, radii_mm=lobe.radii_mm, rotation_deg=lobe.rotation_deg)
    paint_hollow(paint, a.gallbladder, ("gallbladder_wall", "bile", None), (*_SOFT, "liver"))
    lobe = a.liver[0]
    x, y, z = lobe.center_mm
    vein = (0.6 * lobe.radii_mm[0], 5.0, 6.0)
    for turn, lift in ((20.0, 0.35), (-25.0, 0.1), (70.0, 0.2)):
        center = (x + 0.25 * lobe.radii_mm[0], y, z + lift * lobe.radii_mm[2])
        paint(Ellipsoid, "hepatic_vein", center, ("liver",), radii_mm=vein, rotation_deg=turn)
    for lesion in a.lesions:
        paint(Ellipsoid, "liver_lesion", lesion.center_mm, ("liver", "hepatic_vein"), radii_mm=lesion.radii_mm)


def _vessels(paint: Painter, a: Abdomen) -> None:
    x, y = a.spine_center_mm
    front = y - a.vertebra_radii_mm[1]
    paint.through("aorta", x + 10.0, front - a.aorta_radius_mm - 2, (a.aorta_radius_mm, a.aorta_radius_mm))
    cava = a.vena_cava_radii_mm
    paint.through("vena_cava", x - cava[0] - 6.0, front - cava[1] + 2, cava, (*_SOFT, "liver", "pancreas"))
