"""Small media and beams for Monte Carlo tests."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.montecarlo.medium import Medium, medium_from_hu
from protonqa.montecarlo.source import Source, pencil_beam
from protonqa.physics.materials import material_index
from protonqa.values import Grid, Volume


def box_medium(name: str = "water", *, size_mm=(60, 60, 120), spacing_mm=(2.0, 2.0, 2.0)) -> Medium:
    """A block of one reference material, beam along +z, face at z = 0, axis at x = y = 0."""
    nx, ny, nz = (round(s / d) for s, d in zip(size_mm, spacing_mm, strict=True))
    origin = (-size_mm[0] / 2 + spacing_mm[0] / 2, -size_mm[1] / 2 + spacing_mm[1] / 2, spacing_mm[2] / 2)
    grid = Grid(shape=(nz, ny, nx), spacing_mm=spacing_mm, origin_mm=origin)
    volume = Volume(grid=grid, array=np.zeros(grid.shape, dtype=np.float32), unit="HU")
    return medium_from_hu(volume, reference_index=np.full(grid.shape, material_index(name)))


def beam(medium: Medium, energy_mev: float, *, sigma_mm: float = 0.0, spread_percent: float = 0.0) -> Source:
    """A pencil beam into the middle of the face of ``box_medium``."""
    return pencil_beam(
        medium.grid,
        position_mm=np.zeros(3),
        direction=np.array([0.0, 0.0, 1.0]),
        energy_mev=energy_mev,
        spot_sigma_mm=sigma_mm,
        energy_spread_percent=spread_percent,
    )


@pytest.fixture
def make_medium():
    return box_medium


@pytest.fixture
def make_beam():
    return beam
