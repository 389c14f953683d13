"""What all anatomies share in painting: rounding, levels, hollow organs, loops of bowel, a spine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil, floor
from typing import Any

import numpy as np

from protonqa.phantom.anatomy import HollowOrgan, Loop, Pair, Spine, Triple
from protonqa.phantom.shapes import AnyShape, Arc, Box, Ellipsoid, EllipticCylinder, Plate, Rod

AIR_HU = -1000.0
SIDES = (-1, 1)  # right, left


class Painter:
    """Shapes in painting order, numbers rounded to 0.1 mm and 0.1 HU.

    Parameters
    ----------
    hu : mapping
        CT number of every tissue.
    shift_mm : (x, y, z)
        Where the origin of the anatomy lies in the phantom's frame.
    ends_mm : (low, high)
        z between which a shape that runs `through` the body reaches, in the anatomy's frame.
    """

    def __init__(
        self, hu: Mapping[str, float], *, shift_mm: Triple = (0.0, 0.0, 0.0), ends_mm: Pair = (0.0, 0.0)
    ) -> None:
        self.hu = hu
        self.shapes: list[AnyShape] = []
        self._painted: set[str] = set()
        self._shift = shift_mm
        self._ends = ends_mm
        self._scale: Triple = (1.0, 1.0, 1.0)

    def scaled(self, scale: Triple) -> Painter:
        """The same picture, painted through a stretch of all places, radii and boxes about the anatomy's origin."""
        other = Painter(self.hu, shift_mm=self._shift, ends_mm=self._ends)
        other.shapes, other._painted, other._scale = self.shapes, self._painted, scale
        return other

    def __call__(self, kind: type[Any], tissue: str, center: Triple, within: Iterable[str] = (), **sizes: Any) -> None:
        """Append a box, ellipsoid, cylinder or arc; a tissue of `within` that is not painted so far is left out."""
        for key in ("radii_mm", "size_mm"):
            if key in sizes:
                sizes[key] = tuple(r * s for r, s in zip(sizes[key], self._scale, strict=False))
        if "tube_mm" in sizes:
            radial, along_z = sizes["tube_mm"]
            sizes["tube_mm"] = (radial * (self._scale[0] + self._scale[1]) / 2, along_z * self._scale[2])
        for key in ("rise_mm", "length_mm"):
            if key in sizes:
                sizes[key] *= self._scale[2]
        self._append(kind, tissue, within, center_mm=self._placed(center), **sizes)

    def rod(
        self, tissue: str, start: Triple, end: Triple, radii: Pair, within: Iterable[str] = (), **sizes: Any
    ) -> None:
        """Append a rod with its radii at start and end."""
        mean = sum(self._scale) / 3
        ends = {"start_mm": self._placed(start), "end_mm": self._placed(end)}
        self._append(Rod, tissue, within, **ends, radii_mm=(radii[0] * mean, radii[1] * mean), **sizes)

    def plate(
        self, tissue: str, corners: tuple[Triple, Triple, Triple], thickness: float, within: Iterable[str] = ()
    ) -> None:
        """Append a triangle of that thickness, which is not stretched."""
        placed = tuple(self._placed(corner) for corner in corners)
        self._append(Plate, tissue, within, corners_mm=placed, thickness_mm=thickness)

    def through(self, tissue: str, x: float, y: float, radii: Pair, within: Iterable[str] = (), n: float = 2.0) -> None:
        """Append an elliptic cylinder along z through the whole body."""
        low, high = self._ends
        center = (x, y, (low + high) / 2)
        self(EllipticCylinder, tissue, center, within, radii_mm=radii, length_mm=high - low, exponent=n)

    def _placed(self, point: Triple) -> Triple:
        x, y, z = (p * s + shift for p, s, shift in zip(point, self._scale, self._shift, strict=True))
        return x, y, z

    def _append(self, kind: type[Any], tissue: str, within: Iterable[str], **sizes: Any) -> None:
        if sizes.get("z_range_mm") is not None:
            sizes["z_range_mm"] = tuple(z * self._scale[2] + self._shift[2] for z in sizes["z_range_mm"])
        rounded = {key: _rounded(value) for key, value in sizes.items()}
        kept = [t for t in within if t in self._painted] or None
        self.shapes.append(kind(tissue=tissue, hu=_rounded(self.hu[tissue]), within=kept, **rounded))
        self._painted.add(tissue)


def paint_hollow(
    paint: Painter, organ: HollowOrgan, tissues: tuple[str, str, str | None], within: tuple[str, ...]
) -> None:
    """A hollow organ as wall, content and gas (`tissues`); gas lies in front, for the patient lies on the back."""
    wall, content, gas = tissues
    outer = organ.radii_mm
    thick = min(organ.wall_mm, 0.6 * min(outer))  # an empty organ keeps a lumen
    inner = (outer[0] - thick, outer[1] - thick, outer[2] - thick)
    turn = organ.rotation_deg
    paint(Ellipsoid, wall, organ.center_mm, within, radii_mm=outer, rotation_deg=turn)
    paint(Ellipsoid, content, organ.center_mm, (wall,), radii_mm=inner, rotation_deg=turn)
    if gas is not None:
        _paint_gas(paint, gas, content, organ.center_mm, inner, organ.gas_fraction)


def paint_loops(paint: Painter, loops: Iterable[Loop], tissues: tuple[str, str, str], over: str) -> None:
    """Loops of bowel as wall, content and gas (`tissues`), painted over fat (`over`) and each other."""
    wall, content, gas = tissues
    # Gas is cut by a level through the whole loop and its neighbours painted before: loops without gas come last.
    for loop in sorted(loops, key=lambda item: -item.gas_fraction):
        run = arc_run(loop)
        inner = (loop.tube_mm[0] - loop.wall_mm, loop.tube_mm[1] - loop.wall_mm)
        paint(Arc, wall, loop.center_mm, (over, wall, content, gas), tube_mm=loop.tube_mm, **run)
        paint(Arc, content, loop.center_mm, (wall,), tube_mm=inner, **run)
        x, y, z = loop.center_mm
        front, back = _arc_front_and_back(loop)
        reach = (loop.radii_mm[0] + inner[0], (back - front) / 2 + inner[0], inner[1] + abs(loop.rise_mm) / 2)
        _paint_gas(paint, gas, content, (x, y + (front + back) / 2, z), reach, loop.gas_fraction)


def arc_run(loop: Loop) -> dict[str, Any]:
    """The keys of an arc that a loop sets, without place and tube."""
    return {
        "radii_mm": loop.radii_mm,
        "start_deg": loop.start_deg,
        "stop_deg": loop.stop_deg,
        "rise_mm": loop.rise_mm,
    }


def paint_spine(paint: Painter, spine: Spine, ends_mm: Pair) -> None:
    """Vertebrae with arch and processes, discs between them and the canal behind, from a lower to an upper z."""
    (x, y), (wide, deep), size = spine.center_mm, spine.radii_mm, spine.arch_size
    low, high = ends_mm
    whole: dict[str, Any] = {"length_mm": high - low}
    paint(EllipticCylinder, spine.disc_tissue, (x, y, (low + high) / 2), radii_mm=spine.radii_mm, **whole)
    canal_y = y + deep + 8.0 * size
    bone = spine.pitch_mm - spine.disc_mm
    cortical, spongiosa = spine.bone_tissues
    shell = 2.0 * size
    first = ceil((low - bone / 3 - spine.phase_mm) / spine.pitch_mm)
    last = floor((high + bone / 3 - spine.phase_mm) / spine.pitch_mm)
    for level in range(first, last + 1):
        z = spine.phase_mm + level * spine.pitch_mm
        inner = (wide - shell, deep - shell)
        paint(EllipticCylinder, cortical, (x, y, z), length_mm=bone, radii_mm=(wide, deep))
        arch = (16.0 * size, 14.0 * size)
        paint(EllipticCylinder, cortical, (x, canal_y, z), length_mm=0.7 * bone, radii_mm=arch)
        transverse = (72.0 * size, 6.0 * size, 9.0 * size)
        paint(Box, cortical, (x, canal_y + 3.0 * size, z), size_mm=transverse)
        spinous = (6.0 * size, 18.0 * size, 0.6 * bone)
        paint(Box, cortical, (x, canal_y + 20.0 * size, z - 5.0 * size), size_mm=spinous)
        paint(EllipticCylinder, spongiosa, (x, y, z), length_mm=bone - 2.0 * shell, radii_mm=inner)
    canal = (10.0 * size, 8.5 * size)
    paint(EllipticCylinder, spine.canal_tissue, (x, canal_y, (low + high) / 2), radii_mm=canal, **whole)


def _paint_gas(paint: Painter, gas: str, content: str, center: Triple, reach: Triple, fraction: float) -> None:
    """Gas over content with a level surface."""
    if fraction <= 0:
        return
    x, y, z = center
    height = 2 * reach[1] * min(fraction, 1.0)
    size = (2 * reach[0], height, 2 * reach[2])
    paint(Box, gas, (x, y - reach[1] + height / 2, z), (content,), size_mm=size)


def _arc_front_and_back(loop: Loop) -> Pair:
    """Lowest and highest y of the middle of an elliptic arc, from its centre."""
    angles = np.radians(np.linspace(loop.start_deg, loop.stop_deg, 91))
    (a, b) = loop.radii_mm
    y = np.sin(angles) / np.hypot(np.cos(angles) / a, np.sin(angles) / b)
    return float(y.min()), float(y.max())


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_rounded(item) for item in value)
    return round(float(value), 1)
