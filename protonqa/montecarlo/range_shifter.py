"""A range shifter as a slab in the axes of a grid: how thick it is, where it stands, and that the place is free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError, NotEvaluableError
from protonqa.physics.materials import Material, material
from protonqa.physics.stopping import csda_range_water_mm, energy_from_range_water_mev, mass_stopping_power
from protonqa.values import BeamModel, Finding, Grid, RangeShifter, Severity

#: Material of a shifter whose plan does not state it.
USUAL_MATERIAL = "pmma"
#: Room beside the spots, in SD of their size at the slab and in mm: nothing passes beside it.
_ROOM_SIGMAS, _ROOM_MM = 8.0, 100.0
_SAME_WET_MM = 0.5
#: What stands for air, beside noise, tubes and blankets.
_CLEAR_G_PER_CM3 = 0.3
_POINTS = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slab:
    """A range shifter in the local axes of a grid.

    corner : (3,)
        Position of the corner of its upstream face, mm.
    axes : (3, 3)
        Rows: unit vectors along its two sides and downstream.
    sides_mm : (3,)
        Lengths along these.
    """

    material: str
    corner: NDArray[np.float64]
    axes: NDArray[np.float64]
    sides_mm: NDArray[np.float64]


def known_shifter(shifter: RangeShifter, model: BeamModel | None) -> tuple[RangeShifter, tuple[Finding, ...]]:
    """The shifter with its thickness and material, and a finding where plan and beam model disagree.

    Raises
    ------
    NotEvaluableError
        Neither the plan nor the beam model states its thickness.
    """
    stated = None if model is None else dict(model.range_shifter_wet_mm).get(shifter.name)
    wet = shifter.wet_mm if shifter.wet_mm is not None else stated
    if not wet:
        raise NotEvaluableError(
            "the water-equivalent thickness of the range shifter is not known",
            got=repr(shifter.name),
            expected="it in the plan, or under range_shifter_wet_mm in the beam model",
            remedy="give a beam model with --beam-model",
        )
    findings: tuple[Finding, ...] = ()
    if shifter.wet_mm is not None and stated is not None and abs(stated - shifter.wet_mm) > _SAME_WET_MM:
        text = (
            f"The plan states {shifter.wet_mm:.1f} mm of water for its range shifter, the beam model {stated:.1f} mm:"
            " the plan's was used."
        )
        findings = (Finding(severity=Severity.WARNING, code="RANGE-SHIFTER-WET", text=text),)
    known = RangeShifter(
        name=shifter.name, wet_mm=wet, distance_mm=shifter.distance_mm, material=shifter.material or USUAL_MATERIAL
    )
    return known, findings


def thickness_mm(medium: Material, wet_mm: float, energy_mev: float) -> float:
    """Thickness of a material that shortens the range in water by `wet_mm` for protons of one energy (CSDA).

    Raises
    ------
    InputError
        The protons stop inside.
    """
    longest = float(csda_range_water_mm(energy_mev))
    if wet_mm >= longest - 0.1:
        raise InputError(
            "the beam stops in the range shifter",
            got=f"{wet_mm:.1f} mm of water for protons of {longest:.1f} mm range ({energy_mev:.1f} MeV)",
            remedy="check the range shifter of the plan",
        )
    energy = np.linspace(float(energy_from_range_water_mev(longest - wet_mm)), energy_mev, 2001)
    # Loss dE takes dE / S of the material and dE / S of water: the ratio is all that matters.
    return float(10.0 * np.trapezoid(1.0 / mass_stopping_power(medium, energy), energy) / medium.density_g_per_cm3)


def slab_of(
    shifter: RangeShifter,
    spots: NDArray[np.float64],
    *,
    isocenter: NDArray[np.float64],
    direction: NDArray[np.float64],
) -> Slab:
    """The slab of a range shifter whose thickness is known.

    Parameters
    ----------
    spots : (n_spot, 18)
        As in ``source.Source``, local.
    isocenter, direction : (3,)
        Local; the slab stands across this direction, upstream of this point.

    Raises
    ------
    InputError
        Unknown material, or a beam that stops inside.
    """
    name = shifter.material or USUAL_MATERIAL
    thickness = thickness_mm(material(name), shifter.wet_mm or 0.0, min(float(spots[:, 16].max()), 300.0))
    first, second = perpendicular(direction)
    axes = np.stack([first, second, direction])
    # Where the spots cross the slab's middle plane, and how wide they are there.
    way = -(shifter.distance_mm + 0.5 * thickness)
    ahead = spots[:, 3:6] @ direction
    reach = (way - (spots[:, :3] - isocenter) @ direction) / ahead
    crossing = (spots[:, :3] - isocenter + reach[:, None] * spots[:, 3:6]) @ axes[:2].T
    wide = np.hypot(spots[:, 12:14], spots[:, 14:16] * np.abs(way)).max()
    half = np.abs(crossing).max(axis=0) + _ROOM_SIGMAS * wide + _ROOM_MM
    upstream = isocenter - (shifter.distance_mm + thickness) * direction
    return Slab(
        material=name,
        corner=upstream - half[0] * first - half[1] * second,
        axes=axes,
        sides_mm=np.array([2.0 * half[0], 2.0 * half[1], thickness]),
    )


def perpendicular(direction: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two unit vectors that make a right-handed set with a direction as the third."""
    helper = np.eye(3)[int(np.argmin(np.abs(direction)))]
    first = np.cross(helper, direction)
    first /= np.linalg.norm(first)
    return first, np.cross(direction, first)


def check_clear(slab: Slab, spots: NDArray[np.float64], density: NDArray[np.float32], grid: Grid) -> None:
    """Raise InputError where the voxels show matter in or before the slab: it would count as air.

    Sampled along the rays of up to 400 spots, from the slab's downstream face upstream to the edge of the grid.
    """
    chosen = spots[:: max(1, len(spots) // _POINTS)]
    direction = slab.axes[2]
    face = float((slab.corner + slab.sides_mm[2] * direction) @ direction)
    ahead = chosen[:, 3:6] @ direction
    start = chosen[:, :3] + ((face - chosen[:, :3] @ direction) / ahead)[:, None] * chosen[:, 3:6]
    step = 0.5 * min(grid.spacing_mm)
    ways = np.arange(0.5 * step, float(np.linalg.norm(grid.size_mm)), step)
    points = start[:, None] - ways[None, :, None] * chosen[:, None, 3:6]
    index = np.floor(points / np.asarray(grid.spacing_mm)).astype(np.int64)
    inside = np.all((index >= 0) & (index < np.array(grid.shape[::-1])), axis=-1)
    x, y, z = index[inside].T
    if x.size and float(density[z, y, x].max()) > _CLEAR_G_PER_CM3:
        raise InputError(
            "the range shifter stands inside the patient or the couch",
            got=f"matter of {float(density[z, y, x].max()):.2f} g/cm3 in or before it",
            expected="air from its downstream face upstream",
            remedy="check IsocenterToRangeShifterDistance of the plan and the isocentre",
        )
