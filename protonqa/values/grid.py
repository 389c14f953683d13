"""Grid and Volume: an array never travels without its place in the patient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import GeometryError, UnitsError
from protonqa.values._arrays import frozen_array

_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

UNITS = frozenset(
    {"HU", "RSP", "g/cm3", "Bq/ml", "Gy", "Gy/proton", "1/proton", "MeV/proton", "MeV", "keV/um", "1", "relative"}
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """A regular voxel grid in DICOM patient coordinates (LPS, mm).

    Parameters
    ----------
    shape : (nz, ny, nx)
        Number of voxels; arrays on this grid are indexed ``[z, y, x]``.
    spacing_mm : (sx, sy, sz)
        Distance of neighbouring voxel centres along the x, y and z index.
    origin_mm : (x, y, z)
        LPS position of the centre of voxel ``[0, 0, 0]``.
    direction : (3, 3)
        Columns are the LPS unit vectors along which the x, y and z index grow; orthonormal, either handedness.

    Raises
    ------
    GeometryError
        Empty grid, spacing not positive, direction not orthonormal.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: NDArray[np.float64] = field(default_factory=lambda: np.array(_IDENTITY))

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        spacing = tuple(float(s) for s in self.spacing_mm)
        origin = tuple(float(o) for o in self.origin_mm)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError("grid without voxels", got=str(shape), expected="three counts of at least 1")
        if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
            raise GeometryError("voxel size is not positive", got=f"{spacing} mm", expected="three sizes above 0 mm")
        if len(origin) != 3 or not all(np.isfinite(o) for o in origin):
            raise GeometryError("grid origin is not finite", got=str(origin), expected="three finite coordinates in mm")
        direction = frozen_array(self.direction, "grid direction", shape=(3, 3))
        if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
            raise GeometryError(
                "grid axes are not perpendicular unit vectors", got=str(np.round(direction, 4).tolist())
            )
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "spacing_mm", spacing)
        object.__setattr__(self, "origin_mm", origin)
        object.__setattr__(self, "direction", direction)

    def world_from_index(self, index_xyz: ArrayLike) -> NDArray[np.float64]:
        """LPS positions (mm) of continuous indices ``(x, y, z)``; shape (..., 3) -> (..., 3)."""
        local = np.asarray(index_xyz, dtype=np.float64) * np.asarray(self.spacing_mm)
        return np.asarray(local @ self.direction.T + np.asarray(self.origin_mm))

    def index_from_world(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """Continuous indices ``(x, y, z)`` of LPS positions (mm); shape (..., 3) -> (..., 3)."""
        local = (np.asarray(position_mm, dtype=np.float64) - np.asarray(self.origin_mm)) @ self.direction
        return np.asarray(local / np.asarray(self.spacing_mm))

    def local_from_world(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """Positions (mm) in the grid's own axes, measured from the outer corner of voxel [0, 0, 0]."""
        index = self.index_from_world(position_mm)
        return np.asarray((index + 0.5) * np.asarray(self.spacing_mm))

    def local_direction(self, direction_lps: ArrayLike) -> NDArray[np.float64]:
        """A direction vector expressed in the grid's own x, y, z axes."""
        return np.asarray(np.asarray(direction_lps, dtype=np.float64) @ self.direction)

    @property
    def size_mm(self) -> tuple[float, float, float]:
        """Outer size along x, y, z."""
        nz, ny, nx = self.shape
        sx, sy, sz = self.spacing_mm
        return nx * sx, ny * sy, nz * sz

    @property
    def center_mm(self) -> NDArray[np.float64]:
        """LPS position of the middle of the grid."""
        nz, ny, nx = self.shape
        return self.world_from_index(((nx - 1) / 2, (ny - 1) / 2, (nz - 1) / 2))

    @property
    def voxel_ml(self) -> float:
        """Voxel volume in millilitres (cm3)."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def crop(self, start_zyx: tuple[int, int, int], stop_zyx: tuple[int, int, int]) -> Grid:
        """The sub-grid ``[start, stop)`` in ``[z, y, x]`` order."""
        shape = tuple(int(b) - int(a) for a, b in zip(start_zyx, stop_zyx, strict=True))
        origin = self.world_from_index((start_zyx[2], start_zyx[1], start_zyx[0]))
        return Grid(
            shape=shape,  # type: ignore[arg-type]
            spacing_mm=self.spacing_mm,
            origin_mm=tuple(origin),
            direction=self.direction,
        )

    def matches(self, other: Grid, *, tolerance_mm: float = 1e-3) -> bool:
        """True when both grids have the same voxels within `tolerance_mm` at every corner."""
        if self.shape != other.shape:
            return False
        nz, ny, nx = self.shape
        corners = np.array([(x, y, z) for x in (0, nx) for y in (0, ny) for z in (0, nz)], dtype=float)
        gap = np.abs(self.world_from_index(corners) - other.world_from_index(corners)).max()
        return bool(gap <= tolerance_mm)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """Values on a grid, with their unit.

    Parameters
    ----------
    grid : Grid
    array : (nz, ny, nx) float32
        Checked to be finite; made read-only.
    unit : str
        One of ``protonqa.values.UNITS``.

    Raises
    ------
    GeometryError
        Array shape is not the grid's.
    UnitsError
        Unknown unit.
    InputError
        NaN or infinite values.
    """

    grid: Grid
    array: NDArray[np.float32]
    unit: str

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise UnitsError("unknown unit of a volume", got=repr(self.unit), expected=", ".join(sorted(UNITS)))
        array = frozen_array(self.array, f"volume in {self.unit}", dtype=np.float32, shape=self.grid.shape)
        object.__setattr__(self, "array", array)

    def with_array(self, array: Any, *, unit: str | None = None) -> Volume:
        """The same grid with other values."""
        return Volume(grid=self.grid, array=array, unit=unit or self.unit)
