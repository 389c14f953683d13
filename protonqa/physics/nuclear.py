"""Nuclear interactions of protons: total cross sections by target element."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.physics.constants import AVOGADRO_PER_MOL, MILLIBARN_CM2
from protonqa.physics.materials import Material, elements
from protonqa.tables import table_rows

#: Below these energies an interaction is not simulated (Coulomb barrier; p-p: nuclear part small).
NUCLEUS_THRESHOLD_MEV = 7.0
PP_THRESHOLD_MEV = 10.0
_WATER_HYDROGEN_FRACTION = 0.1119


@cache
def _icru63() -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    table: dict[str, list[tuple[float, float, float]]] = {}
    for row in table_rows("nuclear_icru63.csv"):
        table.setdefault(row["element"], []).append(
            (float(row["energy_mev"]), float(row["elastic_mb"]), float(row["nonelastic_mb"]))
        )
    columns = {}
    for element, rows in table.items():
        energy, elastic, nonelastic = np.array(rows).T
        columns[element] = (energy, elastic, nonelastic)
    return columns


def _nearest_tabulated(symbol: str) -> tuple[str, float]:
    """The tabulated element nearest in mass, and the geometric factor (A/A')^(2/3) to scale it by."""
    table = elements()
    if symbol in _icru63():
        return symbol, 1.0
    near = min(_icru63(), key=lambda e: abs(table[e].a - table[symbol].a))
    return near, float((table[symbol].a / table[near].a) ** (2.0 / 3.0))


def nucleus_xs_mb(symbol: str, energy_mev: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Elastic and non-elastic cross section (mb) of a nucleus heavier than hydrogen; zero below 7 MeV.

    Elements that ICRU 63 does not tabulate take the nearest tabulated one times (A/A')^(2/3).
    Source: ICRU Report 63 (2000).
    """
    energy = np.asarray(energy_mev, dtype=np.float64)
    near, factor = _nearest_tabulated(symbol)
    nodes, elastic, nonelastic = _icru63()[near]
    above = energy >= NUCLEUS_THRESHOLD_MEV
    return (
        np.where(above, factor * np.interp(energy, nodes, elastic), 0.0),
        np.where(above, factor * np.interp(energy, nodes, nonelastic), 0.0),
    )


def pp_elastic_per_g_hydrogen(energy_mev: ArrayLike) -> NDArray[np.float64]:
    """p-p elastic cross section (cm2 per g of hydrogen), zero below 10 MeV.

    Source: Fippel & Soukup, Med Phys 31:2263 (2004), fit per gram of water, divided by the hydrogen fraction 0.1119.
    """
    energy = np.maximum(np.asarray(energy_mev, dtype=np.float64), 1.0)
    per_g_water = 0.315 * energy**-1.126 + 3.78e-6 * energy
    return np.where(energy >= PP_THRESHOLD_MEV, per_g_water / _WATER_HYDROGEN_FRACTION, 0.0)


def macroscopic_per_g(material: Material, energy_mev: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """p-p elastic, nucleus elastic and nucleus non-elastic cross sections of a material (cm2/g)."""
    energy = np.asarray(energy_mev, dtype=np.float64)
    elastic, nonelastic = np.zeros_like(energy), np.zeros_like(energy)
    for symbol, weight in material.composition.items():
        if symbol == "H":
            continue
        per_g = AVOGADRO_PER_MOL * weight / elements()[symbol].a * MILLIBARN_CM2
        el, non = nucleus_xs_mb(symbol, energy)
        elastic += per_g * el
        nonelastic += per_g * non
    pp = material.composition.get("H", 0.0) * pp_elastic_per_g_hydrogen(energy)
    return np.asarray(pp), elastic, nonelastic


def mean_elastic_transfer_mev(energy_mev: ArrayLike, mass_number: float) -> NDArray[np.float64]:
    """Mean energy given to the nucleus in nuclear elastic scattering.

    Exponential with the published mean for oxygen (Fippel & Soukup 2004); other nuclei by diffraction,
    mean transfer proportional to A^(-5/3).
    """
    energy = np.asarray(energy_mev, dtype=np.float64)
    oxygen = 0.65 * np.exp(-0.0013 * energy) - 0.71 * np.exp(-0.0177 * energy)
    return np.asarray(np.maximum(oxygen, 0.0) * (15.999 / mass_number) ** (5.0 / 3.0))
