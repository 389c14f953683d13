"""The open case as the views need it: mapped volumes that cut slices and read values. No Qt, nothing computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: View -> the LPS axis it looks along, and the axes that run right and along the other screen direction.
VIEW_AXES = {"axial": (2, 0, 1), "coronal": (1, 0, 2), "sagittal": (0, 1, 2)}
LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DisplayVolume:
    """An upright volume: array [z, y, x], axes along +x, +y, +z of LPS."""

    name: str
    unit: str
    array: NDArray[Any]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    low: float
    high: float

    def count(self, axis: int) -> int:
        """Voxels along an LPS axis (0 x, 1 y, 2 z)."""
        return int(self.array.shape[2 - axis])

    def index(self, axis: int, position_mm: float) -> float:
        """Continuous index along an axis."""
        return (position_mm - self.origin_mm[axis]) / self.spacing_mm[axis]

    def position_mm(self, axis: int, index: float) -> float:
        """Position of an index along an axis."""
        return self.origin_mm[axis] + index * self.spacing_mm[axis]

    def extent_mm(self, axis: int) -> tuple[float, float]:
        """Outer faces along an axis."""
        first = self.origin_mm[axis] - 0.5 * self.spacing_mm[axis]
        return first, first + self.count(axis) * self.spacing_mm[axis]

    def plane(self, axis: int, index: int) -> NDArray[Any]:
        """The slice across an axis; its rows run along the higher of the other axes. A view, no copy."""
        return np.take(self.array, index, axis=2 - axis) if axis == 0 else self.array[_at(axis, index)]

    def plane_at(self, axis: int, position_mm: float) -> NDArray[Any] | None:
        """The slice at a position, between slices the weighted mean of both; None outside."""
        index = self.index(axis, position_mm)
        last = self.count(axis) - 1
        if not -0.5 <= index <= last + 0.5:
            return None
        low = int(np.clip(np.floor(index), 0, last))
        share = float(np.clip(index - low, 0.0, 1.0))
        first = self.plane(axis, low)
        if share < 1e-3 or low == last:
            return first
        return (1.0 - share) * first + share * self.plane(axis, low + 1)

    def value_at(self, position_mm: NDArray[np.float64]) -> float | None:
        """The value of the voxel at an LPS position; None outside."""
        index = [round(self.index(axis, float(position_mm[axis]))) for axis in range(3)]
        if any(not 0 <= index[axis] < self.count(axis) for axis in range(3)):
            return None
        return float(self.array[index[2], index[1], index[0]])

    def rect_mm(self, view: str) -> tuple[float, float, float, float]:
        """Place of a slice in a view: left, top or bottom, width, height."""
        _, right, up = VIEW_AXES[view]
        (x0, x1), (y0, y1) = self.extent_mm(right), self.extent_mm(up)
        return x0, y0, x1 - x0, y1 - y0


def _at(axis: int, index: int) -> tuple[slice | int, ...]:
    return tuple(index if 2 - axis == place else slice(None) for place in range(3))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DisplayCase:
    """What the worker said about an opened case, its volumes mapped into memory."""

    folder: str
    volumes: dict[str, DisplayVolume]
    beams: list[dict[str, Any]]
    found: list[list[str]]
    ignored: list[list[str]]
    findings: list[dict[str, str]]
    paths: dict[str, str]
    timeline: dict[str, float] | None
    #: Entries of `protonqa.app.structure_display.write_structures`.
    structures: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def ct(self) -> DisplayVolume:
        """The planning CT."""
        return self.volumes["ct"]

    @classmethod
    def from_plain(cls, folder: str, plain: dict[str, Any]) -> DisplayCase:
        """From the answer of the task ``open``."""
        volumes = {one["name"]: map_volume(one) for one in plain["volumes"]}
        names = ("beams", "found", "ignored", "findings", "paths", "timeline", "structures")
        return cls(folder=folder, volumes=volumes, **{name: plain[name] for name in names})


def map_volume(one: dict[str, Any]) -> DisplayVolume:
    """A volume entry with its file mapped into memory."""
    array = np.load(Path(one["file"]), mmap_mode="r", allow_pickle=False)
    x, y, z = one["spacing_mm"]
    ox, oy, oz = one["origin_mm"]
    return DisplayVolume(
        name=one["name"],
        unit=one["unit"],
        array=array,
        spacing_mm=(x, y, z),
        origin_mm=(ox, oy, oz),
        low=one["low"],
        high=one["high"],
    )
