"""Structures as the slice views need them: lines of a slice from files mapped into memory. No Qt, nothing computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa_gui.display_case import VIEW_AXES, DisplayVolume, map_volume

#: Of structures that the file gives no colour.
_NO_COLOUR = (0, 200, 200)

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SliceLines:
    """Lines in a view: places to the right and along the other screen direction, and which of them a line leaves."""

    right_mm: Points
    up_mm: Points
    joined: NDArray[np.bool_]


_NOTHING = SliceLines(right_mm=np.empty(0), up_mm=np.empty(0), joined=np.empty(0, dtype=np.bool_))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DisplayStructure:
    """One structure: contours of its planes, and a mask on the voxels of the CT for the other views."""

    name: str
    colour_rgb: tuple[int, int, int]
    planes_mm: Points
    starts: NDArray[np.int64]
    reach_mm: float
    points: NDArray[Any]
    mask: DisplayVolume | None

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> DisplayStructure:
        """From an entry of `protonqa.app.structure_display.write_structures`."""
        red, green, blue = plain["colour"] or _NO_COLOUR
        mask = plain["mask"]
        about = {"name": "mask", "unit": "", "low": 0.0, "high": 1.0}
        return cls(
            name=plain["name"],
            colour_rgb=(red, green, blue),
            planes_mm=np.array(plain["planes_mm"], dtype=np.float64),
            starts=np.array(plain["starts"], dtype=np.int64),
            reach_mm=plain["reach_mm"],
            points=np.load(Path(plain["points"]), mmap_mode="r", allow_pickle=False),
            mask=None if mask is None else map_volume({**about, **mask}),
        )

    def lines(self, view: str, position_mm: float) -> SliceLines:
        """What a slice shows: across z the contours of the nearest plane, else the outline of the mask."""
        if view == "axial":
            return self._contours(position_mm)
        return _NOTHING if self.mask is None else _outline(self.mask, view, position_mm)

    def _contours(self, z_mm: float) -> SliceLines:
        distance = np.abs(self.planes_mm - z_mm)
        plane = int(distance.argmin())
        if distance[plane] > self.reach_mm:
            return _NOTHING
        rows = self.points[self.starts[plane] : self.starts[plane + 1]]
        return SliceLines(right_mm=rows[:, 0], up_mm=rows[:, 1], joined=rows[:, 2] != 0)


def _outline(mask: DisplayVolume, view: str, position_mm: float) -> SliceLines:
    """The edges between pixels inside and outside, as pairs of corners."""
    axis, right, up = VIEW_AXES[view]
    index = round(mask.index(axis, position_mm))
    if not 0 <= index < mask.count(axis):
        return _NOTHING
    inside = np.pad(np.asarray(mask.plane(axis, index), dtype=np.int8), 1)
    row, column = np.nonzero(np.diff(inside, axis=1)[1:-1])  # an edge that stands left of this column
    standing = np.stack([column, row, column, row + 1], axis=1)
    row, column = np.nonzero(np.diff(inside, axis=0)[:, 1:-1])  # one that lies below this row
    lying = np.stack([column, row, column + 1, row], axis=1)
    corners = np.concatenate([standing, lying]).reshape(-1, 2) - 0.5
    return SliceLines(
        right_mm=mask.origin_mm[right] + mask.spacing_mm[right] * corners[:, 0],
        up_mm=mask.origin_mm[up] + mask.spacing_mm[up] * corners[:, 1],
        joined=np.arange(len(corners)) % 2 == 0,
    )
