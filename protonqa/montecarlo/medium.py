"""Medium: what each voxel is made of, as the kernels want it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.physics.materials import HU_MAX, HU_MIN, Material, reference_materials, schneider_bin, schneider_materials
from protonqa.physics.rsp import density_for_rsp, material_rsp, rsp_from_hu
from protonqa.values import Finding, Grid, Hlut, Severity, Volume

N_SCHNEIDER = 25
# A voxel without matter would let a step never end.
_DENSITY_FLOOR = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Medium:
    """Material and density by voxel.

    material : (nz, ny, nx) uint8
        Index into ``all_materials()``: 25 Schneider bins, then the reference materials.
    density : (nz, ny, nx) float32, g/cm3
    hu, rsp : (nz, ny, nx) float32
        For the columns of a profile and for geometry.
    """

    grid: Grid
    material: NDArray[np.uint8]
    density: NDArray[np.float32]
    hu: NDArray[np.float32]
    rsp: NDArray[np.float32]
    findings: tuple[Finding, ...] = ()


def all_materials() -> tuple[Material, ...]:
    """Every material a voxel can have, in index order."""
    return schneider_materials() + reference_materials()


def medium_from_hu(ct: Volume, *, hlut: Hlut | None = None, reference_index: NDArray[np.int64] | None = None) -> Medium:
    """The medium of a CT in HU.

    Parameters
    ----------
    ct : Volume
        HU; values beyond the Schneider table are clipped and counted in a finding.
    hlut : Hlut, optional
        Rescales each voxel's density so that its RSP at 100 MeV equals the calibration.
    reference_index : (nz, ny, nx) int, optional
        Index into ``reference_materials()`` where a phantom names a material, -1 elsewhere.

    Raises
    ------
    InputError
        Volume not in HU.
    """
    if ct.unit != "HU":
        raise InputError("the medium of a simulation needs a CT in HU", got=ct.unit, expected="HU")
    hu = np.asarray(ct.array, dtype=np.float32)
    findings = _clip_findings(hu)
    bins = schneider_bin(hu)
    material = bins.astype(np.uint8)
    density = density_for_rsp(hu, hlut).astype(np.float32)
    rsp = rsp_from_hu(hu, hlut).astype(np.float32)
    if reference_index is not None:
        named = reference_index >= 0
        for index in np.unique(reference_index[named]):
            here = reference_index == index
            reference = reference_materials()[int(index)]
            material[here] = N_SCHNEIDER + int(index)
            density[here] = reference.density_g_per_cm3
            rsp[here] = material_rsp(reference)
    return Medium(
        grid=ct.grid,
        material=np.ascontiguousarray(material),
        density=np.ascontiguousarray(np.maximum(density, _DENSITY_FLOOR)),
        hu=hu,
        rsp=rsp,
        findings=findings,
    )


def _clip_findings(hu: NDArray[np.float32]) -> tuple[Finding, ...]:
    high = int(np.count_nonzero(hu > HU_MAX))
    low = int(np.count_nonzero(hu < HU_MIN))
    if high == 0 and low == 0:
        return ()
    return (
        Finding(
            severity=Severity.WARNING if high else Severity.INFO,
            code="HU-CLIPPED",
            text=f"{high} voxels above {HU_MAX:.0f} HU and {low} below {HU_MIN:.0f} HU were clipped.",
        ),
    )
