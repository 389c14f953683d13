"""The shapes of a phantom YAML: every key of them, with its unit and its bounds.

Coordinates are millimetres in the phantom's own frame, which is also its LPS frame: x to the patient's left, y to the
back, z to the head. ``x = y = 0`` is the axis, ``z = 0`` the face at which a beam along +z enters.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from protonqa.errors import InputError
from protonqa.physics.materials import material_index
from protonqa.yaml_lines import LocatedError

_EXTENT_MM = 1e4
_LEAST_AREA_MM2 = 1e-3

Position = Annotated[float, Field(strict=True, ge=-_EXTENT_MM, le=_EXTENT_MM, allow_inf_nan=False)]
Length = Annotated[float, Field(strict=True, gt=0, le=_EXTENT_MM, allow_inf_nan=False)]
Angle = Annotated[float, Field(strict=True, ge=-720, le=720, allow_inf_nan=False)]
Hu = Annotated[float, Field(strict=True, ge=-1024, le=2995, allow_inf_nan=False)]
Exponent = Annotated[float, Field(strict=True, ge=1, le=20, allow_inf_nan=False)]
Label = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z][A-Za-z0-9_ -]{0,39}$")]
Vector = tuple[Position, Position, Position]
Sizes = tuple[Length, Length, Length]


class Fill(BaseModel):
    """What a voxel is filled with: exactly one of a CT number and a reference material.

    ``hu`` goes through the HU calibration of the simulation; ``material`` (a name of the material table) does not, so
    water is water. ``tissue`` names the voxels in the tissue map.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hu: Hu | None = Field(None, title="CT number", json_schema_extra={"unit": "HU"})
    material: Annotated[str, Field(strict=True, max_length=60)] | None = Field(None, title="Reference material")
    tissue: Label | None = Field(None, title="Name in the tissue map")

    @field_validator("material")
    @classmethod
    def _known_material(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                material_index(name)
            except InputError as error:
                raise LocatedError(error) from None
        return name

    @model_validator(mode="after")
    def _one_fill(self) -> Self:
        if (self.hu is None) == (self.material is None):
            got = "neither" if self.hu is None else "both"
            raise LocatedError(InputError("a filling needs hu or material", got=got, expected="exactly one of the two"))
        return self

    @property
    def label(self) -> str:
        """Name in the tissue map: ``tissue``, or else the material or CT number."""
        return self.tissue or self.material or f"hu {self.hu:g}"


class Painted(Fill):
    """A filling that is painted at a place.

    ``within`` restricts it to voxels that hold one of these tissues so far, ``z_range_mm`` to those from a lower to
    below an upper z.
    """

    within: list[Label] | None = Field(None, min_length=1, title="Paint only over these tissues")
    z_range_mm: tuple[Position, Position] | None = Field(
        None, title="Paint only from this z to this one", json_schema_extra={"unit": "mm"}
    )

    @model_validator(mode="after")
    def _upward(self) -> Self:
        if self.z_range_mm is not None and self.z_range_mm[0] >= self.z_range_mm[1]:
            got = f"{self.z_range_mm[0]:g} to {self.z_range_mm[1]:g} mm"
            error = InputError("a z range is empty", got=got, expected="the lower z first")
            raise LocatedError(error, ("z_range_mm",))
        return self


class _Shape(Painted):
    """A shape about a centre."""

    center_mm: Vector = Field(title="Centre", json_schema_extra={"unit": "mm"})
    rotation_deg: Angle = Field(
        0.0, title="Rotation about the z direction through the centre", json_schema_extra={"unit": "deg"}
    )


class Box(_Shape):
    """A cuboid; a voxel centre on the low faces is inside, on the high faces outside, so boxes tile without overlap."""

    kind: Literal["box"] = "box"
    size_mm: Sizes = Field(title="Full size", json_schema_extra={"unit": "mm"})


class Ellipsoid(_Shape):
    """``|x/a|^n + |y/b|^n + |z/c|^n <= 1`` with three semi-axes; an ellipsoid unless n is given."""

    kind: Literal["ellipsoid"] = "ellipsoid"
    radii_mm: Sizes = Field(title="Semi-axes", json_schema_extra={"unit": "mm"})
    exponent: Exponent = Field(2.0, title="Exponent n: larger than 2 is boxier")


class Cylinder(_Shape):
    """A circular cylinder along x, y or z."""

    kind: Literal["cylinder"] = "cylinder"
    radius_mm: Length = Field(title="Radius", json_schema_extra={"unit": "mm"})
    length_mm: Length = Field(title="Length", json_schema_extra={"unit": "mm"})
    axis: Literal["x", "y", "z"] = "z"


class EllipticCylinder(_Shape):
    """A cylinder over ``|u/a|^n + |v/b|^n <= 1``; u, v are the two axes that are not ``axis``, in the order x, y, z."""

    kind: Literal["elliptic_cylinder"] = "elliptic_cylinder"
    radii_mm: tuple[Length, Length] = Field(title="Semi-axes a, b", json_schema_extra={"unit": "mm"})
    length_mm: Length = Field(title="Length", json_schema_extra={"unit": "mm"})
    axis: Literal["x", "y", "z"] = "z"
    exponent: Exponent = Field(2.0, title="Exponent n: 2 is an ellipse, larger is squarer")


class Arc(_Shape):
    """A tube along an arc of ``|x/a|^n + |y/b|^n = 1`` about the centre: a rib, a loop of bowel.

    Polar angles run from +x (0 deg) over +y (90 deg). The tube is an ellipse of half-thickness ``tube_mm`` =
    (radial, along z); its middle climbs linearly by ``rise_mm`` from the start angle to the stop angle, with
    ``center_mm`` z half way. The ends are cut at the angles.
    """

    kind: Literal["arc"] = "arc"
    radii_mm: tuple[Length, Length] = Field(title="Semi-axes a, b of the arc", json_schema_extra={"unit": "mm"})
    tube_mm: tuple[Length, Length] = Field(title="Half-thickness, radial and along z", json_schema_extra={"unit": "mm"})
    start_deg: Angle = Field(0.0, title="Start angle", json_schema_extra={"unit": "deg"})
    stop_deg: Angle = Field(360.0, title="Stop angle", json_schema_extra={"unit": "deg"})
    rise_mm: Position = Field(0.0, title="Climb from start to stop", json_schema_extra={"unit": "mm"})
    exponent: Exponent = Field(2.0, title="Exponent n of the arc")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        span = self.stop_deg - self.start_deg
        if not 0 < span <= 360:
            got, expected = f"{span:g} deg", "stop_deg above start_deg, at most 360 apart"
            raise LocatedError(InputError("an arc does not run forward", got=got, expected=expected), ("stop_deg",))
        return self


class Rod(Painted):
    """A straight rod with round ends, thicker at one end where the radii differ: a long bone, an airway, a vessel.

    A point is inside when its distance to the nearest point of the line from ``start_mm`` to ``end_mm`` is at most the
    radius there.
    """

    kind: Literal["rod"] = "rod"
    start_mm: Vector = Field(title="Start of the axis", json_schema_extra={"unit": "mm"})
    end_mm: Vector = Field(title="End of the axis", json_schema_extra={"unit": "mm"})
    radii_mm: tuple[Length, Length] = Field(title="Radius at start and end", json_schema_extra={"unit": "mm"})

    @model_validator(mode="after")
    def _long(self) -> Self:
        if self.start_mm == self.end_mm:
            error = InputError("a rod has no length", expected="a start and an end that differ")
            raise LocatedError(error, ("end_mm",))
        return self


class Plate(Painted):
    """A flat triangle with rounded rims: all points within half of ``thickness_mm`` of it. Several make a blade."""

    kind: Literal["plate"] = "plate"
    corners_mm: tuple[Vector, Vector, Vector] = Field(title="Corners", json_schema_extra={"unit": "mm"})
    thickness_mm: Length = Field(title="Full thickness", json_schema_extra={"unit": "mm"})

    @model_validator(mode="after")
    def _wide(self) -> Self:
        (ax, ay, az), (bx, by, bz), (cx, cy, cz) = self.corners_mm
        u, v = (bx - ax, by - ay, bz - az), (cx - ax, cy - ay, cz - az)
        doubled = (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])
        if sum(c * c for c in doubled) < _LEAST_AREA_MM2**2:
            error = InputError("the corners of a plate lie on one line", expected="a triangle")
            raise LocatedError(error, ("corners_mm",))
        return self


AnyShape = Box | Ellipsoid | Cylinder | EllipticCylinder | Arc | Rod | Plate
SHAPE_KINDS: dict[str, type[Painted]] = {
    "box": Box,
    "ellipsoid": Ellipsoid,
    "cylinder": Cylinder,
    "elliptic_cylinder": EllipticCylinder,
    "arc": Arc,
    "rod": Rod,
    "plate": Plate,
}
