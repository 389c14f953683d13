"""The phantom YAML: size, voxels, background, and the shapes of `protonqa.phantom.shapes` in painting order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protonqa.errors import GeometryError, InputError
from protonqa.phantom.shapes import (
    SHAPE_KINDS,
    AnyShape,
    Arc,
    Box,
    Cylinder,
    Ellipsoid,
    EllipticCylinder,
    Fill,
    Label,
    Painted,
    Plate,
    Rod,
    Sizes,
)
from protonqa.yaml_lines import LocatedError, Location, checked, nearest, read_yaml

__all__ = [
    "MAX_SHAPES",
    "MAX_VOXELS",
    "AnyShape",
    "Arc",
    "Box",
    "Cylinder",
    "Ellipsoid",
    "EllipticCylinder",
    "Fill",
    "PhantomDefinition",
    "Plate",
    "Rod",
    "parse_definition",
    "voxel_counts",
]

MAX_VOXELS = 100_000_000  # 0.8 GB as HU, material and tissue maps
MAX_SHAPES = 2000


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
        model = SHAPE_KINDS.get(str(location[2]), Painted)
    fields: dict[str, Any] = model.model_fields
    return tuple(fields)


def _too_many(voxels: float) -> GeometryError:
    return GeometryError(
        "the phantom has too many voxels",
        got=f"{voxels:.3g} voxels ({voxels * 8 / 1e9:.1f} GB)",
        expected=f"at most {MAX_VOXELS:.3g} ({MAX_VOXELS * 8 / 1e9:.1f} GB)",
        remedy="take larger voxels or a smaller phantom",
    )
