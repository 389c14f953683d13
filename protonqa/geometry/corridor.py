"""The part of a grid that a field crosses: where volumes need to be tallied."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import GeometryError
from protonqa.geometry.frames import BeamFrame
from protonqa.values import Grid

#: Room beside the spots for scattered protons and the near halo.
CORRIDOR_MARGIN_MM = 40.0


def corridor(grid: Grid, frame: BeamFrame, lateral_mm: NDArray[np.float64]) -> Grid:
    """The part of a grid that beams at these BEV positions (n, 2), and their scatter, cross.

    Raises
    ------
    GeometryError
        They do not cross the grid.
    """
    low, high = lateral_mm.min(axis=0) - CORRIDOR_MARGIN_MM, lateral_mm.max(axis=0) + CORRIDOR_MARGIN_MM
    x, y = (np.linspace(a, b, max(2, int(np.ceil((b - a) / 10.0)) + 1)) for a, b in zip(low, high, strict=True))
    reach = float(np.linalg.norm(grid.size_mm)) + float(np.linalg.norm(frame.isocenter_mm - grid.center_mm))
    along = np.arange(-reach, reach, 4.0)
    points = np.stack(np.meshgrid(x, y, along, indexing="ij"), axis=-1).reshape(-1, 3)
    index = grid.index_from_world(frame.lps_from_bev(points))
    count = np.array(grid.shape[::-1])
    inside = index[np.all((index > -0.5) & (index < count - 0.5), axis=1)]
    if inside.size == 0:
        raise GeometryError("the beam misses the CT", remedy="check isocentre, gantry and couch angle")
    # The samples stand up to half a step inside the true border.
    room = 5.0 / np.asarray(grid.spacing_mm)
    first = np.clip(np.floor(inside.min(axis=0) - room).astype(int), 0, count - 1)
    last = np.clip(np.ceil(inside.max(axis=0) + room).astype(int) + 1, first + 1, count)
    return grid.crop(tuple(first[::-1]), tuple(last[::-1]))
