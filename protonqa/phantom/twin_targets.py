"""What is treated in each anatomy: regions of targets, their sizes, and from where beams usually come."""

from __future__ import annotations

from dataclasses import dataclass

from protonqa.errors import InputError
from protonqa.phantom.anatomy import Abdomen, Pair, Triple
from protonqa.phantom.head import face_scale
from protonqa.phantom.head_anatomy import Head
from protonqa.phantom.pelvis_anatomy import Pelvis
from protonqa.phantom.twin_parameters import Anatomy

# Sectors of gantry angles (IEC 61217, head first supine): middle and half-width.
_RIGHT, _LEFT, _BACK, _FRONT = (270.0, 35.0), (90.0, 35.0), (180.0, 40.0), (0.0, 30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRegion:
    """Where spherical targets of one kind are drawn, and how they are shot at.

    Parameters
    ----------
    name : str
    center_mm : (x, y, z)
        In the frame of the undeformed body, as the shapes of the anatomy.
    spread_mm : (x, y, z)
        Half the box in which the centre is drawn.
    radius_mm : (low, high)
        Radii of targets.
    gantry_deg : tuple of (middle, half-width)
        Sectors of gantry angles, IEC 61217 for a patient head first supine.
    couch_deg : (low, high)
        Couch angles.
    weight : float
        How often this region is treated against the others.
    """

    name: str
    center_mm: Triple
    spread_mm: Triple
    radius_mm: Pair
    gantry_deg: tuple[Pair, ...]
    couch_deg: Pair = (-10.0, 10.0)
    weight: float = 1.0


def target_regions(anatomy: Anatomy) -> tuple[TargetRegion, ...]:
    """The regions of an anatomy, the usual one first."""
    if isinstance(anatomy, Abdomen):
        return _abdomen(anatomy)
    if isinstance(anatomy, Head):
        return _head(anatomy)
    return _pelvis(anatomy)


def region_named(anatomy: Anatomy, name: str) -> TargetRegion:
    """A region by name.

    Raises
    ------
    InputError
        The anatomy has no such region.
    """
    regions = {region.name: region for region in target_regions(anatomy)}
    if name not in regions:
        raise InputError(f"the {anatomy.site} has no such target", got=repr(name[:40]), expected=", ".join(regions))
    return regions[name]


def _abdomen(a: Abdomen) -> tuple[TargetRegion, ...]:
    def lifted(point: Triple) -> Triple:
        return point[0], point[1], point[2] + a.level_mm

    lobe = a.liver[0]
    inner: Triple = tuple(0.45 * r for r in lobe.radii_mm)  # type: ignore[assignment]
    head_of_pancreas = (
        a.pancreas.center_mm[0],
        a.pancreas.center_mm[1] - a.pancreas.radii_mm[1],
        a.pancreas.center_mm[2],
    )
    spine_x, spine_y = a.spine_center_mm
    front_of_spine = (spine_x, spine_y - a.vertebra_radii_mm[1] - 15.0, 100.0)
    return (
        TargetRegion(
            name="liver",
            center_mm=lifted(lobe.center_mm),
            spread_mm=inner,
            radius_mm=(12.0, 35.0),
            gantry_deg=((250.0, 45.0), (180.0, 30.0), (0.0, 30.0)),
            weight=2.0,
        ),
        TargetRegion(
            name="pancreas",
            center_mm=lifted(head_of_pancreas),
            spread_mm=(15.0, 6.0, 8.0),
            radius_mm=(12.0, 30.0),
            gantry_deg=((180.0, 45.0), _RIGHT, _LEFT),
        ),
        TargetRegion(
            name="retroperitoneum",
            center_mm=lifted(front_of_spine),
            spread_mm=(25.0, 8.0, 40.0),
            radius_mm=(12.0, 35.0),
            gantry_deg=((180.0, 60.0),),
        ),
    )


def _head(h: Head) -> tuple[TargetRegion, ...]:
    def place(point: Triple, scale: Triple) -> Triple:
        x, y, z = (p * s for p, s in zip(point, scale, strict=True))
        return x, y + h.middle_y_mm, z + h.level_mm

    sides = (_RIGHT, _LEFT)
    return (
        TargetRegion(
            name="brain",
            center_mm=place((0.0, 5.0, 48.0), h.size),
            spread_mm=(32.0, 36.0, 20.0),
            radius_mm=(10.0, 28.0),
            gantry_deg=(*sides, _BACK, _FRONT),
            couch_deg=(-30.0, 30.0),
            weight=2.0,
        ),
        TargetRegion(
            name="skull_base",
            center_mm=place((0.0, -6.0, 4.0), h.size),
            spread_mm=(10.0, 10.0, 8.0),
            radius_mm=(10.0, 24.0),
            gantry_deg=(*sides, _BACK),
            couch_deg=(-20.0, 20.0),
            weight=2.0,
        ),
        TargetRegion(
            name="nasopharynx",
            center_mm=place((0.0, -32.0, -12.0), face_scale(h)),
            spread_mm=(8.0, 8.0, 6.0),
            radius_mm=(12.0, 25.0),
            gantry_deg=((270.0, 40.0), (90.0, 40.0)),
        ),
        TargetRegion(
            name="posterior_fossa",
            center_mm=place((0.0, 42.0, 0.0), h.size),
            spread_mm=(18.0, 10.0, 8.0),
            radius_mm=(10.0, 25.0),
            gantry_deg=((225.0, 55.0), (135.0, 55.0)),
            couch_deg=(-20.0, 20.0),
        ),
    )


def _pelvis(p: Pelvis) -> tuple[TargetRegion, ...]:
    def place(point: Triple) -> Triple:
        x, y, z = (c * s for c, s in zip(point, p.size, strict=True))
        return x, y + p.middle_y_mm, z + p.level_mm

    px, py, pz = p.prostate.center_mm
    largest = max(p.prostate.radii_mm)
    sides = ((270.0, 12.0), (90.0, 12.0))
    return (
        TargetRegion(
            name="prostate",
            center_mm=place((px, py + 3.0, pz + 4.0)),
            spread_mm=(3.0, 3.0, 4.0),
            radius_mm=(max(0.7 * largest, 12.0), largest + 8.0),
            gantry_deg=(*sides, *sides, (0.0, 30.0)),
            couch_deg=(-5.0, 5.0),
            weight=2.0,
        ),
        TargetRegion(
            name="sacrum",
            center_mm=place((0.0, 64.0, 48.0)),
            spread_mm=(12.0, 6.0, 20.0),
            radius_mm=(12.0, 28.0),
            gantry_deg=((180.0, 50.0), (270.0, 25.0), (90.0, 25.0)),
        ),
        TargetRegion(
            name="right_nodes",
            center_mm=place((-52.0, -14.0, 46.0)),
            spread_mm=(6.0, 10.0, 20.0),
            radius_mm=(12.0, 25.0),
            gantry_deg=((270.0, 30.0), (180.0, 30.0), (0.0, 30.0)),
        ),
        TargetRegion(
            name="left_nodes",
            center_mm=place((52.0, -14.0, 46.0)),
            spread_mm=(6.0, 10.0, 20.0),
            radius_mm=(12.0, 25.0),
            gantry_deg=((90.0, 30.0), (180.0, 30.0), (0.0, 30.0)),
        ),
    )
