"""Range and spread of protons in water for one way to cut space into voxels.

A script of its own too, so that a child process can measure an edited copy of the engine.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from protonqa.montecarlo.medium import medium_from_hu
from protonqa.montecarlo.simulation import simulate
from protonqa.montecarlo.source import pencil_beam
from protonqa.physics.materials import material_index
from protonqa.values import Grid, Volume

ENERGY_MEV, PROTONS = 120.0, 16000
#: Both are multiples of every voxel edge in use; 120 MeV ends at 106 mm.
WIDTH_MM, DEPTH_MM = 56.0, 120.0
SLICES_MM = (92.0, 100.0)


def range_and_sigma_mm(across_mm: float, along_mm: float, seed: int) -> tuple[float, float]:
    """R80 and the lateral sigma between two depths, without nuclear events; sampling errors 0.03 mm and 0.4 %."""
    n, n_along = round(WIDTH_MM / across_mm), round(DEPTH_MM / along_mm)
    corner = 0.5 * (across_mm - WIDTH_MM)
    grid = Grid(
        shape=(n_along, n, n),
        spacing_mm=(across_mm, across_mm, along_mm),
        origin_mm=(corner, corner, 0.5 * along_mm),
    )
    empty = Volume(grid=grid, array=np.zeros(grid.shape, dtype=np.float32), unit="HU")
    source = pencil_beam(
        grid,
        position_mm=np.zeros(3),
        direction=np.array([0.0, 0.0, 1.0]),
        energy_mev=ENERGY_MEV,
        spot_sigma_mm=0.0,
        energy_spread_percent=0.0,
    )
    water = medium_from_hu(empty, reference_index=np.full(grid.shape, material_index("water")))
    result = simulate(medium=water, source=source, protons=PROTONS, seed=seed, nuclear=False)
    x = (np.arange(n) - 0.5 * (n - 1)) * across_mm
    first, last = (round(edge / along_mm) for edge in SLICES_MM)
    plane = result.dose_medium_gy[first:last].sum(axis=0, dtype=np.float64)
    variance = 0.5 * ((plane.sum(axis=0) + plane.sum(axis=1)) @ x**2) / plane.sum() - across_mm**2 / 12.0
    found = result.range_mm()
    if found is None:
        raise ValueError("no R80")
    return found, float(np.sqrt(variance))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(range_and_sigma_mm(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))))
