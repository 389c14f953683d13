"""The phantom YAML: every key of it, with its unit and its bounds.

Coordinates are millimetres in the phantom's own frame, which is also its LPS frame: x to the patient's left, y to the
back, z to the head. ``x = y = 0`` is the axis, ``z = 0`` the face at which a beam along +z enters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from protonqa.errors import GeometryError, InputError
from protonqa.phantom.yaml_lines import LocatedError, Location, checked, nearest, read_yaml
from protonqa.physics.materials import material_index

MAX_VOXELS = 100_000_000  # 0.8 GB as HU, material and tissue maps
MAX_SHAPES = 2000
_EXTENT_MM = 1e4

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


class _Shape(Fill):
    """A filling painted at a place; ``within`` restricts it to voxels that hold one of these tissues so far."""

    center_mm: Vector = Field(title="Centre", json_schema_extra={"unit": "mm"})
    rotation_deg: Angle = Field(
        0.0, title="Rotation about the z direction through the centre", json_schema_extra={"unit": "deg"}
    )
    within: list[Label] | None = Field(None, min_length=1, title="Paint only over these tissues")


class Box(_Shape):
    """A cuboid; a voxel centre on the low faces is inside, on the high faces outside, so boxes tile without overlap."""

    kind: Literal["box"] = "box"
    size_mm: Sizes = Field(title="Full size", json_schema_extra={"unit": "mm"})


class Ellipsoid(_Shape):
    """An ellipsoid with three semi-axes."""

    kind: Literal["ellipsoid"] = "ellipsoid"
    radii_mm: Sizes = Field(title="Semi-axes", json_schema_extra={"unit": "mm"})


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


AnyShape = Box | Ellipsoid | Cylinder | EllipticCylinder | Arc
_KINDS: dict[str, type[_Shape]] = {
    "box": Box,
    "ellipsoid": Ellipsoid,
    "cylinder": Cylinder,
    "elliptic_cylinder": EllipticCylinder,
    "arc": Arc,
}


class PhantomDefinition(BaseModel):
    """A phantom: size, voxels, background, and shapes painted in order, later over earlier."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Label
    description: Annotated[str, Field(strict=True, max_length=2000)] = ""
    size_mm: Sizes = Field(title="Full size along x, y, z", json_schema_extra={"unit": "mm"})
    spacing_mm: Sizes = Field(title="Voxel size along x, y, z", json_schema_extra={"unit": "mm"})
    background: Fill
    shapes: list[Annotated[AnyShape, Field(discriminator="kind")]] = Field(default_factory=list, max_length=MAX_SHAPES)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            voxel_counts(self.size_mm, self.spacing_mm)
        except GeometryError as error:
            raise LocatedError(error, ("spacing_mm",)) from None
        painted = {self.background.label}
        for index, shape in enumerate(self.shapes):
            for tissue in shape.within or ():
                if tissue not in painted:
                    unpainted = InputError(
                        f"'{tissue}' is not painted before this shape",
                        expected=f"one of {', '.join(sorted(painted))}",
                        remedy=nearest(tissue, painted),
                    )
                    raise LocatedError(unpainted, ("shapes", index, "within"))
            painted.add(shape.label)
        return self


def voxel_counts(size_mm: Iterable[float], spacing_mm: Iterable[float]) -> tuple[int, int, int]:
    """Voxels along x, y, z.

    Raises
    ------
    GeometryError
        The size is not a whole number of voxels, or there would be more than ``MAX_VOXELS``.
    """
    counts = []
    for axis, size, spacing in zip("xyz", size_mm, spacing_mm, strict=True):
        exact = size / spacing
        if exact > MAX_VOXELS:
            raise _too_many(exact)
        if round(exact) < 1 or abs(exact - round(exact)) > 1e-6 * max(exact, 1.0):
            low, high = max(int(exact), 1), int(exact) + 1
            raise GeometryError(
                f"the phantom is not a whole number of voxels along {axis}",
                got=f"{size:g} mm in voxels of {spacing:g} mm",
                expected=f"a size such as {low * spacing:g} or {high * spacing:g} mm",
            )
        counts.append(round(exact))
    total = float(counts[0]) * counts[1] * counts[2]
    if total > MAX_VOXELS:
        raise _too_many(total)
    return counts[0], counts[1], counts[2]


def parse_definition(text: str) -> PhantomDefinition:
    """A phantom definition from YAML text.

    Raises
    ------
    InputError
        Wrong YAML, unknown key or kind (with the nearest known one), wrong type, size or unit bound; with the line.
    """
    return checked(read_yaml(text, "phantom"), PhantomDefinition, "phantom", _known_keys)


def _known_keys(location: Location) -> tuple[str, ...]:
    model: type[BaseModel] = PhantomDefinition
    if location[:1] == ("background",):
        model = Fill
    elif len(location) >= 3 and location[0] == "shapes":
        model = _KINDS.get(str(location[2]), _Shape)
    fields: dict[str, Any] = model.model_fields
    return tuple(fields)


def _too_many(voxels: float) -> GeometryError:
    return GeometryError(
        "the phantom has too many voxels",
        got=f"{voxels:.3g} voxels ({voxels * 8 / 1e9:.1f} GB)",
        expected=f"at most {MAX_VOXELS:.3g} ({MAX_VOXELS * 8 / 1e9:.1f} GB)",
        remedy="take larger voxels or a smaller phantom",
    )
