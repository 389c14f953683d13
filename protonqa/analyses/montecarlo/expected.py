"""What a simulation must find in a block of one material: closed forms, integrals of tables, other codes' curves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.special import erf

from protonqa.montecarlo.medium import Medium, medium_from_hu
from protonqa.physics.emission import CrossSections
from protonqa.physics.materials import Material, material_index
from protonqa.physics.nuclear import macroscopic_per_g
from protonqa.physics.stopping import mass_stopping_power
from protonqa.tables import table_rows
from protonqa.values import Grid, Volume

FloatArray = NDArray[np.float64]

#: Lateral spread (1 SD, mm) of a beam of no width at its peak in water: about 2 % of the range.
#: Sources: Preston and Koehler (1968); Gottschalk, Med Phys 37:352 (2010).
PEAK_SIGMA_MM: Mapping[float, float] = MappingProxyType({100.0: 1.8, 150.0: 3.5, 200.0: 5.4})
#: Share of the energy (percent) that independent codes do not deposit in a 160 mm wide water phantom.
NOT_DEPOSITED_PERCENT: Mapping[float, float] = MappingProxyType({70.0: 2.0, 100.0: 2.5, 150.0: 4.1, 200.0: 6.3})
#: Nuclei of 15O over those of 11C that primary protons make in PMMA, by set of cross sections.
O15_OVER_C11: Mapping[str, float] = MappingProxyType({"recommended": 0.29, "gate": 0.35})

_ENERGY_POINTS = 6000
_LOWEST_MEV = 1.0
_FIT_SIGMAS = 2.0


def block(name: str, *, size_mm: tuple[float, float, float], spacing_mm: tuple[float, float, float]) -> Medium:
    """A block of one reference material; x and y centred on the axis, the entrance face at z = 0."""
    nx, ny, nz = (max(1, round(size / step)) for size, step in zip(size_mm, spacing_mm, strict=True))
    sx, sy, sz = spacing_mm
    grid = Grid(
        shape=(nz, ny, nx), spacing_mm=spacing_mm, origin_mm=(-0.5 * (nx - 1) * sx, -0.5 * (ny - 1) * sy, 0.5 * sz)
    )
    volume = Volume(grid=grid, array=np.zeros(grid.shape, dtype=np.float32), unit="HU")
    return medium_from_hu(volume, reference_index=np.full(grid.shape, material_index(name), dtype=np.int64))


def slowing_down_yields(material: Material, energy_mev: float, cross_sections: CrossSections) -> FloatArray:
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


@cache
def independent_depth_dose(energy_mev: float) -> tuple[FloatArray, FloatArray]:
    """Depth (mm) and energy per mm (MeV/mm and proton) of an independent code in water, 0.25 mm bins.

    70, 100, 150, 200 and 230 MeV. Source: ``tables/independent_depth_dose.csv``.
    """
    rows = [row for row in table_rows("independent_depth_dose.csv") if float(row["energy_mev"]) == energy_mev]
    depth = np.array([float(row["depth_mm"]) for row in rows])
    return depth, np.array([float(row["idd_mev_per_mm"]) for row in rows])


def gaussian_core_sigma_mm(counts: FloatArray, position_mm: FloatArray) -> float:
    """SD of a Gaussian fitted to a lateral profile within two of its own SD, so that the nuclear halo does not count.

    The Gaussian is averaged over the bins, whose width so does not widen it.
    """
    width = float(position_mm[1] - position_mm[0])
    sigma = max(float(np.sqrt((counts * position_mm**2).sum() / counts.sum())), width)

    def binned(x: FloatArray, area: float, sd: float) -> FloatArray:
        scale = np.sqrt(2.0) * abs(sd)
        return np.asarray(0.5 * area * (erf((x + 0.5 * width) / scale) - erf((x - 0.5 * width) / scale)))

    for _ in range(20):
        core = np.abs(position_mm) <= max(_FIT_SIGMAS * sigma, 1.51 * width)
        (_, found), _ = curve_fit(binned, position_mm[core], counts[core], (counts[core].sum(), sigma))
        before, sigma = sigma, abs(float(found))
        if abs(sigma - before) < 1e-5:
            break
    return sigma


def _middle(values: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (values[..., 1:] + values[..., :-1]))
