"""Phantom definition -> voxels: HU, material map and tissue map on a grid.

The rule is voxel-centre inclusion: a voxel belongs wholly to the last shape that holds its centre. There are no
partial volumes, so every voxel holds the HU of one tissue and an interface is off by at most half a voxel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import GeometryError, InputError
from protonqa.phantom.schema import (
    AnyShape,
    Arc,
    Box,
    Cylinder,
    Ellipsoid,
    Fill,
    PhantomDefinition,
    voxel_counts,
)
from protonqa.physics.materials import material, material_index, nominal_hu, reference_materials, rsp_from_hu
from protonqa.values import Finding, Grid, Hlut, Severity, Volume

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]
Block = tuple[slice, slice, slice]
Points = tuple[FloatArray, FloatArray, FloatArray]
#: Bounds (low, high) of a shape -> the block of voxels it may touch and the x, y, z (mm) of their centres.
Locate = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[Block, Points] | None]

THROUGH_CALIBRATION = -1
_TOUCH_MM = 1e-6  # rounding of a face that falls on a voxel centre


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VoxelPhantom:
    """A voxelised phantom.

    Parameters
    ----------
    name : str
    grid : Grid
        Index axes are the LPS axes; x and y are centred on 0, voxel centres along z at 0.5, 1.5, ... spacings.
    hu : (nz, ny, nx) float32
        CT numbers; where a reference material rules, the CT number that stands for it on export.
    material_index : (nz, ny, nx) int16
        Index into ``physics.materials.reference_materials()``, or -1 where the HU goes through the HU calibration.
    tissue_index : (nz, ny, nx) int16
        Index into `tissues`.
    tissues : tuple of str
        Names of the fillings, the background first.
    findings : tuple of Finding
        Shapes that met no voxel centre.
    """

    name: str
    grid: Grid
    hu: NDArray[np.float32]
    material_index: NDArray[np.int16]
    tissue_index: NDArray[np.int16]
    tissues: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        for name in ("hu", "material_index", "tissue_index"):
            array = getattr(self, name)
            if array.shape != self.grid.shape:
                raise GeometryError(f"phantom {name} has the wrong shape", got=str(array.shape))
            array.setflags(write=False)

    def volume(self) -> Volume:
        """The CT numbers as a volume: what a CT of this phantom would hold."""
        return Volume(grid=self.grid, array=self.hu, unit="HU")

    def tissue_mask(self, tissue: str) -> BoolArray:
        """Voxels of one tissue, (nz, ny, nx).

        Raises
        ------
        InputError
            The phantom has no such tissue.
        """
        if tissue not in self.tissues:
            raise InputError("unknown tissue", got=repr(tissue), expected=", ".join(self.tissues))
        return np.asarray(self.tissue_index == self.tissues.index(tissue))

    def tissue_volume_ml(self, tissue: str) -> float:
        """Volume of one tissue."""
        return float(np.count_nonzero(self.tissue_mask(tissue))) * self.grid.voxel_ml


def phantom_grid(size_mm: Sequence[float], spacing_mm: Sequence[float]) -> Grid:
    """The grid of a phantom: x, y centred on 0, z from the entrance face, index axes along LPS.

    Raises
    ------
    GeometryError
        `size_mm` is not a whole number of voxels, or there are too many.
    """
    nx, ny, nz = voxel_counts(size_mm, spacing_mm)
    sx, sy, sz = (float(s) for s in spacing_mm)
    return Grid(
        shape=(nz, ny, nx), spacing_mm=(sx, sy, sz), origin_mm=(-0.5 * (nx - 1) * sx, -0.5 * (ny - 1) * sy, 0.5 * sz)
    )


def voxelise(definition: PhantomDefinition, spacing_mm: Sequence[float] | None = None) -> VoxelPhantom:
    """Paint a phantom definition, shape after shape, on its grid.

    Parameters
    ----------
    definition : PhantomDefinition
    spacing_mm : (x, y, z), optional
        Voxel size instead of the definition's.

    Raises
    ------
    GeometryError
        The size is not a whole number of voxels, or there are too many.
    """
    grid = phantom_grid(definition.size_mm, spacing_mm or definition.spacing_mm)
    canvas = Canvas(grid, definition.background)
    canvas.paint(definition.shapes, axis_blocks(grid))
    return canvas.phantom(definition.name)


class Canvas:
    """The arrays while shapes are painted; one canvas makes one phantom."""

    def __init__(self, grid: Grid, background: Fill) -> None:
        self.grid = grid
        self.hu = np.full(grid.shape, _fill_hu(background), dtype=np.float32)
        self.material_index = np.full(grid.shape, _fill_material(background), dtype=np.int16)
        self.tissue_index = np.zeros(grid.shape, dtype=np.int16)
        self.tissues = [background.label]
        self.findings: list[Finding] = []

    def paint(self, shapes: Iterable[AnyShape], locate: Locate) -> None:
        """Paint shapes in order, later over earlier."""
        for number, shape in enumerate(shapes, start=1):
            if shape.label not in self.tissues:
                self.tissues.append(shape.label)
            count = 0
            for low, high in bounds_mm(shape):
                found = locate(low, high)
                if found is None:
                    continue
                block, points = found
                mask = inside(shape, *points)
                if shape.within is not None:
                    allowed = [self.tissues.index(t) for t in shape.within if t in self.tissues]
                    mask = mask & np.isin(self.tissue_index[block], allowed)
                count += int(np.count_nonzero(mask))
                self.hu[block][mask] = _fill_hu(shape)
                self.material_index[block][mask] = _fill_material(shape)
                self.tissue_index[block][mask] = self.tissues.index(shape.label)
            if count == 0:
                text = f"shape {number} ({shape.kind}, {shape.label}) holds no voxel centre and leaves no trace"
                self.findings.append(Finding(severity=Severity.WARNING, code="PHANTOM-EMPTY-SHAPE", text=text))

    def phantom(self, name: str) -> VoxelPhantom:
        """The finished phantom."""
        return VoxelPhantom(
            name=name,
            grid=self.grid,
            hu=self.hu,
            material_index=self.material_index,
            tissue_index=self.tissue_index,
            tissues=tuple(self.tissues),
            findings=tuple(self.findings),
        )


def axis_blocks(grid: Grid) -> Locate:
    """Blocks of a grid whose axes are the phantom's: centres as three broadcasting vectors."""
    axes = [grid.origin_mm[i] + grid.spacing_mm[i] * np.arange(n) for i, n in enumerate(reversed(grid.shape))]

    def locate(low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[Block, Points] | None:
        first = [int(np.searchsorted(a, lo - _TOUCH_MM)) for a, lo in zip(axes, low, strict=True)]
        last = [int(np.searchsorted(a, hi + _TOUCH_MM, side="right")) for a, hi in zip(axes, high, strict=True)]
        if any(b <= a for a, b in zip(first, last, strict=True)):
            return None
        sx, sy, sz = (slice(a, b) for a, b in zip(first, last, strict=True))
        x, y, z = axes
        return (sz, sy, sx), (x[None, None, sx], y[None, sy, None], z[sz, None, None])

    return locate


def bounds_mm(shape: AnyShape) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Low and high corners (3,), (3,) of boxes that together hold the shape; an arc has one for every few degrees."""
    if isinstance(shape, Arc):
        return _arc_bounds_mm(shape)
    if isinstance(shape, Box):
        half = np.array(shape.size_mm) / 2
    elif isinstance(shape, Ellipsoid):
        half = np.array(shape.radii_mm)
    else:
        radii = (shape.radius_mm,) * 2 if isinstance(shape, Cylinder) else shape.radii_mm
        half = np.insert(np.array(radii, dtype=np.float64), "xyz".index(shape.axis), shape.length_mm / 2)
    if shape.rotation_deg:
        half[:2] = np.hypot(half[0], half[1])
    center = np.array(shape.center_mm)
    return [(center - half, center + half)]


def _arc_bounds_mm(shape: Arc) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    span = shape.stop_deg - shape.start_deg
    pieces = max(int(np.ceil(span / 15)), 1)
    share = np.linspace(0, 1, pieces * 8 + 1)  # steps of 2 deg at most
    angle = np.radians(shape.start_deg + span * share)
    cos, sin, n = np.cos(angle), np.sin(angle), shape.exponent
    middle = (np.abs(cos / shape.radii_mm[0]) ** n + np.abs(sin / shape.radii_mm[1]) ** n) ** (-1 / n)
    turn = angle + np.radians(shape.rotation_deg)
    radial, along_z = shape.tube_mm
    near, far = np.maximum(middle - radial, 0.0), middle + radial
    slack = 0.02 * far.max()  # between two angles the arc bulges, most at the corners of a square one
    boxes = []
    for piece in range(pieces):
        part = slice(8 * piece, 8 * piece + 9)
        x = np.concatenate([r[part] * np.cos(turn[part]) for r in (near, far)])
        y = np.concatenate([r[part] * np.sin(turn[part]) for r in (near, far)])
        z = shape.rise_mm * (share[part] - 0.5)
        low = np.array([x.min() - slack, y.min() - slack, z.min() - along_z])
        high = np.array([x.max() + slack, y.max() + slack, z.max() + along_z])
        boxes.append((low + shape.center_mm, high + shape.center_mm))
    return boxes


def inside(shape: AnyShape, x_mm: FloatArray, y_mm: FloatArray, z_mm: FloatArray) -> BoolArray:
    """Whether points lie in a shape; x, y, z broadcast against each other."""
    cx, cy, cz = shape.center_mm
    u, v, w = x_mm - cx, y_mm - cy, z_mm - cz
    if shape.rotation_deg:
        cos, sin = np.cos(np.radians(shape.rotation_deg)), np.sin(np.radians(shape.rotation_deg))
        u, v = cos * u + sin * v, cos * v - sin * u
    if isinstance(shape, Ellipsoid):
        a, b, c = shape.radii_mm
        return np.asarray((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2 <= 1)
    if isinstance(shape, Arc):
        return _inside_arc(shape, u, v, w)
    if isinstance(shape, Box):
        dx, dy, dz = shape.size_mm
        return np.asarray(_between(u, dx) & _between(v, dy) & _between(w, dz))
    axes = [u, v, w]
    along = axes.pop("xyz".index(shape.axis))
    radii, power = ((shape.radius_mm,) * 2, 2.0) if isinstance(shape, Cylinder) else (shape.radii_mm, shape.exponent)
    across = _powered(axes[0], radii[0], power) + _powered(axes[1], radii[1], power)
    return np.asarray((across <= 1) & _between(along, shape.length_mm))


def _between(distance: FloatArray, size: float) -> BoolArray:
    return np.asarray((distance >= -size / 2 - _TOUCH_MM) & (distance < size / 2 - _TOUCH_MM))


def _powered(distance: FloatArray, radius: float, power: float) -> FloatArray:
    scaled = distance / radius
    return np.asarray(scaled * scaled if power == 2.0 else np.abs(scaled) ** power)


def _inside_arc(shape: Arc, u: FloatArray, v: FloatArray, w: FloatArray) -> BoolArray:
    span = shape.stop_deg - shape.start_deg
    angle = np.degrees(np.arctan2(v, u))
    turned = (angle - shape.start_deg) % 360.0
    radius = np.hypot(u, v)
    (a, b), (radial, along_z) = shape.radii_mm, shape.tube_mm
    # On one ray from the centre, r^n (|cos/a|^n + |sin/b|^n) is the superellipse sum: 1 on the arc itself.
    total = _powered(u, a, shape.exponent) + _powered(v, b, shape.exponent)
    with np.errstate(divide="ignore", invalid="ignore"):
        arc_radius = np.where(total > 0, radius / total ** (1.0 / shape.exponent), min(a, b))
    middle = shape.rise_mm * (turned / span - 0.5)
    return np.asarray((turned <= span) & (((radius - arc_radius) / radial) ** 2 + ((w - middle) / along_z) ** 2 <= 1))


def export_differences(phantom: VoxelPhantom, hlut: Hlut | None = None) -> list[Finding]:
    """What is lost when a phantom with reference materials is written as CT numbers.

    A reader of the CT sends every voxel through an HU calibration, so a reference material comes back with another
    RSP and composition: water written as HU 0 reads back as RSP 1.024.

    Returns
    -------
    list of Finding
        One per reference material present, naming both RSP at 100 MeV; a warning from 0.2 % of difference.
    """
    findings = []
    for index in np.unique(phantom.material_index[phantom.material_index != THROUGH_CALIBRATION]):
        name = reference_materials()[index].name
        hu, rsp = exported_hu(name), material(name).rsp
        back = float(rsp_from_hu(np.array([hu]), hlut)[0])
        # Relative to the material where it stops protons; air's few tenths of a percent of 0.001 stop none.
        change = (back - rsp) / max(rsp, 0.05)
        text = (
            f"material {name} (RSP {rsp:.3f}) is exported as HU {hu:g}, which reads back as RSP {back:.3f}"
            f" ({100 * change:+.1f} %) with the composition of tissue"
        )
        severity = Severity.WARNING if abs(change) >= 2e-3 else Severity.INFO
        findings.append(Finding(severity=severity, code="PHANTOM-EXPORT-RSP", text=text))
    return findings


def exported_hu(name: str) -> float:
    """The CT number written for a reference material: 0 for water by definition of the scale, else by nearest RSP."""
    return 0.0 if name == "water" else nominal_hu(name)


def _fill_hu(fill: Fill) -> float:
    return float(fill.hu) if fill.hu is not None else exported_hu(str(fill.material))


def _fill_material(fill: Fill) -> int:
    return THROUGH_CALIBRATION if fill.material is None else material_index(fill.material)
