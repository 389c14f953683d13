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
from protonqa.phantom.schema import PhantomDefinition, voxel_counts
from protonqa.phantom.shape_geometry import TOUCH_MM, bounds_mm, inside
from protonqa.phantom.shapes import AnyShape, Fill
from protonqa.physics.materials import material, material_index, reference_materials
from protonqa.physics.rsp import material_rsp, nominal_hu, rsp_from_hu
from protonqa.values import Finding, Grid, Hlut, Severity, Volume

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]
Block = tuple[slice, slice, slice]
Points = tuple[FloatArray, FloatArray, FloatArray]
#: Bounds (low, high) of a shape -> the block of voxels it may touch and the x, y, z (mm) of their centres.
Locate = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[Block, Points] | None]

__all__ = [
    "THROUGH_CALIBRATION",
    "Block",
    "Canvas",
    "Locate",
    "Points",
    "VoxelPhantom",
    "axis_blocks",
    "bounds_mm",
    "export_differences",
    "exported_hu",
    "inside",
    "phantom_grid",
    "voxelise",
]

THROUGH_CALIBRATION = -1


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
        first = [int(np.searchsorted(a, lo - TOUCH_MM)) for a, lo in zip(axes, low, strict=True)]
        last = [int(np.searchsorted(a, hi + TOUCH_MM, side="right")) for a, hi in zip(axes, high, strict=True)]
        if any(b <= a for a, b in zip(first, last, strict=True)):
            return None
        sx, sy, sz = (slice(a, b) for a, b in zip(first, last, strict=True))
        x, y, z = axes
        return (sz, sy, sx), (x[None, None, sx], y[None, sy, None], z[sz, None, None])

    return locate


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
        hu, rsp = exported_hu(name), material_rsp(material(name))
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
