"""Patients of the training set: planning CT, its body, and the anatomy that the beam meets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.geometry.body import body_mask
from protonqa.phantom.twin_parameters import TwinParameters
from protonqa.phantom.twins import draw_twin, perturb_twin, voxelise_twin
from protonqa.range_model.cell_draws import CellDraw
from protonqa.range_model.set_config import SLAB
from protonqa.values import Grid, Volume

AIR_HU = -1000.0
VOXEL_MM = 2.0
#: Of slab phantoms: outer size of the tissue along the beam, and across.
_SLAB_LONG_MM, _SLAB_WIDE_MM = 380.0, 100.0
_SOFT_HU, _OTHER_HU = (-100.0, -60.0, 0.0, 50.0, 120.0), (-750.0, 400.0, 900.0, 1300.0)
_SOFT_ONLY_SHARE = 0.45
#: Smooth CT numbers and noise of slab phantoms.
_SLAB_NOISE_HU = (2.0, 20.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patient:
    """One patient.

    Parameters
    ----------
    planned : Volume
        Planning CT in HU, with the noise of the scanner.
    body : (nz, ny, nx) bool
        Its outline by the rule of the verification: depth 0 of a ray is its first entry into it, and nothing else is
        taken from it. Air that the outline loses (a nose open to the outside) is air in the CT and counts as such.
    delivered : Volume
        Anatomy of the day of treatment in HU, without noise.
    twin : TwinParameters or None
        None for a slab phantom.
    """

    planned: Volume
    body: NDArray[np.bool_]
    delivered: Volume
    twin: TwinParameters | None = None


def make_patient(cell: CellDraw) -> Patient:
    """The patient of a cell."""
    if cell.site == SLAB:
        return _slab_patient(cell.patient_seed)
    twin = draw_twin(cell.patient_seed, site=cell.site)
    planned = voxelise_twin(twin, VOXEL_MM, ct_noise=True).volume()
    treated = perturb_twin(twin, cell.day_seed) if cell.day_seed else twin
    return Patient(
        planned=planned, body=body_mask(planned), delivered=voxelise_twin(treated, VOXEL_MM).volume(), twin=twin
    )


def _slab_patient(seed: int) -> Patient:
    """A box of one soft tissue with random slabs across the beam, that end or slant beside its axis or do not."""
    rng = np.random.default_rng([0x51AB, seed])
    n_long, n_wide, first = round(_SLAB_LONG_MM / VOXEL_MM), round(_SLAB_WIDE_MM / VOXEL_MM), 5
    grid = Grid(
        shape=(n_wide, n_long + 2 * first, n_wide),
        spacing_mm=(VOXEL_MM, VOXEL_MM, VOXEL_MM),
        origin_mm=(-0.5 * (n_wide - 1) * VOXEL_MM, 0.0, -0.5 * (n_wide - 1) * VOXEL_MM),
    )
    depth = (np.arange(grid.shape[1]) - first + 0.5)[None, :, None] * VOXEL_MM
    across = ((np.arange(n_wide) - 0.5 * (n_wide - 1)) * VOXEL_MM)[None, None, :]
    hu = np.full(grid.shape, rng.uniform(-110.0, 80.0), dtype=np.float32)
    tissues = _SOFT_HU if rng.uniform() < _SOFT_ONLY_SHARE else (*_SOFT_HU, *_OTHER_HU)
    for _ in range(int(rng.integers(0, 5))):
        start, length = rng.uniform(0.0, 260.0), rng.uniform(2.0, 28.0)
        shape, edge, slope = rng.uniform(), rng.uniform(-10.0, 10.0), rng.uniform(-0.7, 0.7)
        front = start + (slope * across if shape > 0.8 else 0.0)
        inside = (depth >= front) & (depth < front + length)
        if 0.55 < shape <= 0.8:
            inside = inside & (across > edge)
        np.copyto(hu, np.float32(rng.choice(tissues) + rng.uniform(-20.0, 20.0)), where=inside)
    body = np.broadcast_to((depth > 0) & (depth < _SLAB_LONG_MM), grid.shape)
    hu[~body] = AIR_HU
    noise = rng.uniform(*_SLAB_NOISE_HU) * rng.standard_normal(grid.shape)
    planned = np.clip(hu + noise, AIR_HU, None).astype(np.float32)
    return Patient(
        planned=Volume(grid=grid, array=planned, unit="HU"),
        body=np.ascontiguousarray(body),
        delivered=Volume(grid=grid, array=hu, unit="HU"),
    )
