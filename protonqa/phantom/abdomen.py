"""A stylised adult abdomen as painted shapes: one anatomy, of which `abdomen.yaml` and every twin are cases.

The frame is the phantom's: x to the patient's left, y to the back, z to the head, so a supine patient lies head first
with the liver at low x. The body runs through both ends of the grid, as in a CT that was cut there.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, floor
from typing import Any

import numpy as np

from protonqa.phantom.anatomy import Abdomen, HollowOrgan, Loop, Pair, Triple
from protonqa.phantom.schema import AnyShape, Arc, Box, Ellipsoid, EllipticCylinder, Fill, PhantomDefinition

AIR_HU = -1000.0
_HOLLOW = ("bowel_wall", "bowel_content", "bowel_gas")
_SOFT = ("visceral_fat", "lung", *_HOLLOW)


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
    paint = _Painter(abdomen)
    _body_wall(paint)
    _rib_cage(paint)
    _iliac_crest(paint)
    _bowel(paint)
    _solid_organs(paint)
    _spine_and_vessels(paint)
    return paint.shapes


def body_extent_mm(abdomen: Abdomen) -> tuple[float, float, float]:
    """Half-width of the skin, and its y in front and at the back."""
    center_y, (half_width, half_depth) = _layer(abdomen, 3)
    return half_width, center_y - half_depth, center_y + half_depth


class _Painter:
    def __init__(self, abdomen: Abdomen) -> None:
        self.abdomen = abdomen
        self.shapes: list[AnyShape] = []
        self.painted: set[str] = set()
        self.middle_z_mm = abdomen.length_mm / 2
        self.full_length_mm = abdomen.length_mm + 2 * abdomen.overhang_mm

    def __call__(self, kind: type[Any], tissue: str, center: Triple, within: Iterable[str] = (), **sizes: Any) -> None:
        """Append a shape; `center` z is anatomical, `level_mm` is added here."""
        x, y, z = center
        rounded = {key: _rounded(value) for key, value in sizes.items()}
        self.shapes.append(
            kind(
                tissue=tissue,
                hu=_rounded(self.abdomen.hu[tissue]),
                center_mm=_rounded((x, y, z + self.abdomen.level_mm)),
                within=[t for t in within if t in self.painted] or None,
                **rounded,
            )
        )
        self.painted.add(tissue)

    def through(self, tissue: str, x: float, y: float, radii: Pair, within: Iterable[str] = (), n: float = 2.0) -> None:
        """Append an elliptic cylinder along z through the whole grid, whatever the level."""
        z = self.middle_z_mm - self.abdomen.level_mm
        length = self.full_length_mm
        self(EllipticCylinder, tissue, (x, y, z), within, radii_mm=radii, length_mm=length, exponent=n)


def _layer(abdomen: Abdomen, layers: int) -> tuple[float, Pair]:
    """Centre y and semi-axes of the cavity (0), wall (1), fat (2) or skin (3)."""
    a = abdomen
    thickness = (a.wall_mm, a.fat_mm, (a.skin_mm,) * 3)[:layers]
    lateral, anterior, posterior = (sum(t[i] for t in thickness) for i in range(3))
    half_depth = a.cavity_half_depth_mm + (anterior + posterior) / 2
    return a.cavity_center_y_mm + (posterior - anterior) / 2, (a.cavity_half_width_mm + lateral, half_depth)


def _body_wall(paint: _Painter) -> None:
    a = paint.abdomen
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


def _rib_cage(paint: _Painter) -> None:
    a = paint.abdomen
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


def _iliac_crest(paint: _Painter) -> None:
    a = paint.abdomen
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


def _bowel(paint: _Painter) -> None:
    a = paint.abdomen
    for organ in a.colon:
        _hollow(paint, organ, "bowel_wall", "bowel_content", "bowel_gas", ("visceral_fat", *_HOLLOW))
    # Gas is cut by a level through the whole loop and its neighbours painted before: loops without gas come last.
    for loop in sorted(a.loops, key=lambda item: -item.gas_fraction):
        run: dict[str, Any] = {
            "radii_mm": loop.radii_mm,
            "start_deg": loop.start_deg,
            "stop_deg": loop.stop_deg,
            "rise_mm": loop.rise_mm,
        }
        inner = (loop.tube_mm[0] - loop.wall_mm, loop.tube_mm[1] - loop.wall_mm)
        paint(Arc, "bowel_wall", loop.center_mm, ("visceral_fat", *_HOLLOW), tube_mm=loop.tube_mm, **run)
        paint(Arc, "bowel_content", loop.center_mm, ("bowel_wall",), tube_mm=inner, **run)
        x, y, z = loop.center_mm
        front, back = _arc_front_and_back(loop)
        reach = (loop.radii_mm[0] + inner[0], (back - front) / 2 + inner[0], inner[1] + abs(loop.rise_mm) / 2)
        _gas(paint, "bowel_gas", "bowel_content", (x, y + (front + back) / 2, z), reach, loop.gas_fraction)


def _arc_front_and_back(loop: Loop) -> Pair:
    """Lowest and highest y of the middle of an elliptic arc, from its centre."""
    angles = np.radians(np.linspace(loop.start_deg, loop.stop_deg, 91))
    (a, b) = loop.radii_mm
    y = np.sin(angles) / np.hypot(np.cos(angles) / a, np.sin(angles) / b)
    return float(y.min()), float(y.max())


def _hollow(
    paint: _Painter, organ: HollowOrgan, wall: str, content: str, gas: str | None, within: tuple[str, ...]
) -> None:
    outer = organ.radii_mm
    thick = min(organ.wall_mm, 0.6 * min(outer))  # an empty organ keeps a lumen
    inner = (outer[0] - thick, outer[1] - thick, outer[2] - thick)
    turn = organ.rotation_deg
    paint(Ellipsoid, wall, organ.center_mm, within, radii_mm=outer, rotation_deg=turn)
    paint(Ellipsoid, content, organ.center_mm, (wall,), radii_mm=inner, rotation_deg=turn)
    if gas is not None:
        _gas(paint, gas, content, organ.center_mm, inner, organ.gas_fraction)


def _gas(paint: _Painter, gas: str, content: str, center: Triple, reach: Triple, fraction: float) -> None:
    """Gas over content with a level surface: the patient lies on the back, so gas is in front (low y)."""
    if fraction <= 0:
        return
    x, y, z = center
    height = 2 * reach[1] * min(fraction, 1.0)
    size = (2 * reach[0], height, 2 * reach[2])
    paint(Box, gas, (x, y - reach[1] + height / 2, z), (content,), size_mm=size)


def _solid_organs(paint: _Painter) -> None:
    a = paint.abdomen
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
    p = a.pancreas
    run: dict[str, Any] = {
        "radii_mm": p.radii_mm,
        "start_deg": p.start_deg,
        "stop_deg": p.stop_deg,
        "rise_mm": p.rise_mm,
    }
    paint(Arc, "pancreas", p.center_mm, _SOFT, tube_mm=p.tube_mm, **run)
    paint(
        Ellipsoid, "spleen", a.spleen.center_mm, _SOFT, radii_mm=a.spleen.radii_mm, rotation_deg=a.spleen.rotation_deg
    )
    _hollow(paint, a.stomach, "stomach_wall", "stomach_content", "stomach_gas", _SOFT)
    for lobe in a.liver:
        paint(Ellipsoid, "liver", lobe.center_mm, _SOFT, radii_mm=lobe.radii_mm, rotation_deg=lobe.rotation_deg)
    _hollow(paint, a.gallbladder, "gallbladder_wall", "bile", None, (*_SOFT, "liver"))
    lobe = a.liver[0]
    x, y, z = lobe.center_mm
    vein = (0.6 * lobe.radii_mm[0], 5.0, 6.0)
    for turn, lift in ((20.0, 0.35), (-25.0, 0.1), (70.0, 0.2)):
        center = (x + 0.25 * lobe.radii_mm[0], y, z + lift * lobe.radii_mm[2])
        paint(Ellipsoid, "hepatic_vein", center, ("liver",), radii_mm=vein, rotation_deg=turn)
    for lesion in a.lesions:
        paint(Ellipsoid, "liver_lesion", lesion.center_mm, ("liver", "hepatic_vein"), radii_mm=lesion.radii_mm)


def _spine_and_vessels(paint: _Painter) -> None:
    a = paint.abdomen
    (x, y), (wide, deep) = a.spine_center_mm, a.vertebra_radii_mm
    front = y - deep
    paint.through("aorta", x + 10.0, front - a.aorta_radius_mm - 2, (a.aorta_radius_mm, a.aorta_radius_mm))
    cava = a.vena_cava_radii_mm
    paint.through("vena_cava", x - cava[0] - 6.0, front - cava[1] + 2, cava, (*_SOFT, "liver", "pancreas"))
    paint.through("disc", x, y, a.vertebra_radii_mm)
    canal_y = y + deep + 8.0
    bone = a.vertebra_pitch_mm - a.disc_mm
    low, high = (z - a.level_mm for z in (-a.overhang_mm, a.length_mm + a.overhang_mm))
    first = ceil((low - bone / 3 - a.vertebra_phase_mm) / a.vertebra_pitch_mm)
    last = floor((high + bone / 3 - a.vertebra_phase_mm) / a.vertebra_pitch_mm)
    for level in range(first, last + 1):
        z = a.vertebra_phase_mm + level * a.vertebra_pitch_mm
        cylinder: dict[str, Any] = {"length_mm": bone, "radii_mm": (wide, deep)}
        marrow: dict[str, Any] = {"length_mm": bone - 4.0, "radii_mm": (wide - 2.0, deep - 2.0)}
        paint(EllipticCylinder, "vertebra_cortical", (x, y, z), **cylinder)
        arch: dict[str, Any] = {"length_mm": 0.7 * bone, "radii_mm": (16.0, 14.0)}
        paint(EllipticCylinder, "vertebra_cortical", (x, canal_y, z), **arch)
        paint(Box, "vertebra_cortical", (x, canal_y + 3.0, z), size_mm=(72.0, 6.0, 9.0))
        paint(Box, "vertebra_cortical", (x, canal_y + 20.0, z - 5.0), size_mm=(6.0, 18.0, 0.6 * bone))
        paint(EllipticCylinder, "vertebra_spongiosa", (x, y, z), **marrow)
    paint.through("spinal_canal", x, canal_y, (10.0, 8.5))


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_rounded(item) for item in value)
    return round(float(value), 1)
