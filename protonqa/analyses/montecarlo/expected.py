"""What a simulation must find in a block of one material: closed forms and integrals of the tables in use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protonqa.montecarlo.medium import Medium, medium_from_hu
from protonqa.physics.emission import CrossSections
from protonqa.physics.materials import Material, material_index
from protonqa.physics.nuclear import macroscopic_per_g
from protonqa.physics.stopping import mass_stopping_power
from protonqa.values import Grid, Volume

_ENERGY_POINTS = 6000
_LOWEST_MEV = 1.0


def block(name: str, *, size_mm: tuple[float, float, float], spacing_mm: tuple[float, float, float]) -> Medium:
    """A block of one reference material; x and y centred on the axis, the entrance face at z = 0."""
    nx, ny, nz = (max(1, round(size / step)) for size, step in zip(size_mm, spacing_mm, strict=True))
    sx, sy, sz = spacing_mm
    grid = Grid(
        shape=(nz, ny, nx), spacing_mm=spacing_mm, origin_mm=(-0.5 * (nx - 1) * sx, -0.5 * (ny - 1) * sy, 0.5 * sz)
    )
    volume = Volume(grid=grid, array=np.zeros(grid.shape, dtype=np.float32), unit="HU")
    return medium_from_hu(volume, reference_index=np.full(grid.shape, material_index(name), dtype=np.int64))


def slowing_down_yields(material: Material, energy_mev: float, cross_sections: CrossSections) -> NDArray[np.float64]:
    """Nuclei per primary proton that stops in a material, by channel; (n_channel,).

    Integral of production over the stopping power, with the loss of primaries to non-elastic events. Energy loss
    without straggling; secondary protons are not counted.
    """
    energy = np.linspace(energy_mev, _LOWEST_MEV, _ENERGY_POINTS)
    stopping = mass_stopping_power(material, energy)
    _, _, nonelastic = macroscopic_per_g(material, energy)
    step = -np.diff(energy)
    lost = np.concatenate(([0.0], np.cumsum(_middle(nonelastic / stopping) * step)))
    made = cross_sections.production_per_g(material, energy) / stopping * np.exp(-lost)
    return np.asarray((_middle(made) * step).sum(axis=1))


def gaussian_core_sigma_mm(counts: NDArray[np.float64], position_mm: NDArray[np.float64]) -> float:
    """SD of a Gaussian fitted to a lateral profile within two of its own SD, so that the nuclear halo does not count.

    The SD of what lies within two SD is 0.8796 of the whole; iterated to a fixed point.
    """
    sigma = float(np.sqrt((counts * position_mm**2).sum() / counts.sum()))
    for _ in range(50):
        share = _core_share(counts, position_mm, 2.0 * sigma)
        weight = counts * share
        new = float(np.sqrt((weight * position_mm**2).sum() / weight.sum())) / _TRUNCATED_SD
        if abs(new - sigma) < 1e-6:
            break
        sigma = new
    return sigma


#: SD of a standard normal cut at two SD: sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)).
_TRUNCATED_SD = float(np.sqrt(1.0 - 4.0 * np.exp(-2.0) / np.sqrt(2.0 * np.pi) / 0.954499736103642))


def _core_share(counts: NDArray[np.float64], position_mm: NDArray[np.float64], reach_mm: float) -> NDArray[np.float64]:
    """Share of each bin inside the core; bins on its border count in part, so the fit moves smoothly."""
    width = float(position_mm[1] - position_mm[0]) if counts.size > 1 else 1.0
    return np.asarray(np.clip((reach_mm - np.abs(position_mm)) / width + 0.5, 0.0, 1.0))


def _middle(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (values[..., 1:] + values[..., :-1]))
