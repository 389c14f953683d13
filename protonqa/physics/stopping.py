"""Stopping power and range of protons.

Water, PMMA and air follow NIST PSTAR (ICRU 49, water I = 75.0 eV). Any other composition is water's stopping power
times the ratio of Bethe formulae, so that all materials share PSTAR's energy dependence.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import InputError
from protonqa.physics.constants import BETHE_K_MEV_CM2_PER_MOL, ELECTRON_MASS_MEV, PROTON_MASS_MEV
from protonqa.physics.materials import Material, elements
from protonqa.physics.materials import material as named
from protonqa.tables import table_rows

#: Energies (MeV) for which beams and ranges are accepted.
ENERGY_MIN_MEV, ENERGY_MAX_MEV = 1.0, 300.0
WATER_I_EV = 75.0
# Below this the Bethe ratio of two materials has no meaning without shell corrections; the ratio is held.
_BETHE_FLOOR_MEV = 2.0
_PSTAR = ("water", "pmma", "air")


def beta_squared(energy_mev: ArrayLike) -> NDArray[np.float64]:
    """(v/c)^2 of protons of kinetic energy `energy_mev`."""
    gamma = 1.0 + np.asarray(energy_mev, dtype=np.float64) / PROTON_MASS_MEV
    return np.asarray(1.0 - 1.0 / gamma**2)


def max_transfer_mev(energy_mev: ArrayLike) -> NDArray[np.float64]:
    """Largest energy a proton can give to a free electron in one collision."""
    gamma = 1.0 + np.asarray(energy_mev, dtype=np.float64) / PROTON_MASS_MEV
    ratio = ELECTRON_MASS_MEV / PROTON_MASS_MEV
    return np.asarray(2.0 * ELECTRON_MASS_MEV * (gamma**2 - 1.0) / (1.0 + 2.0 * gamma * ratio + ratio**2))


def electrons_mol_per_g(material: Material) -> float:
    """Electrons per gram in mol: sum of w Z / A."""
    table = elements()
    return float(sum(w * table[e].z / table[e].a for e, w in material.composition.items()))


def mean_excitation_ev(material: Material) -> float:
    """Mean excitation energy by Bragg's rule; water is 75 eV as in PSTAR."""
    if material.name == "water":
        return WATER_I_EV
    table = elements()
    weights = {e: w * table[e].z / table[e].a for e, w in material.composition.items()}
    total = sum(weights.values())
    return float(np.exp(sum(v * np.log(table[e].i_ev) for e, v in weights.items()) / total))


def _bethe(energy_mev: NDArray[np.float64], electrons: float, i_ev: float) -> NDArray[np.float64]:
    beta2 = beta_squared(energy_mev)
    argument = 2.0 * ELECTRON_MASS_MEV * 1e6 * beta2 / (1.0 - beta2) / i_ev
    return np.asarray(BETHE_K_MEV_CM2_PER_MOL * electrons / beta2 * (np.log(argument) - beta2))


@cache
def _pstar(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = [r for r in table_rows("pstar.csv") if r["material"] == name]
    energy = np.array([float(r["energy_mev"]) for r in rows])
    stopping = np.array([float(r["stopping_power"]) for r in rows])
    return np.log(energy), np.log(stopping)


def _pstar_at(name: str, energy_mev: NDArray[np.float64]) -> NDArray[np.float64]:
    log_energy, log_stopping = _pstar(name)
    return np.asarray(np.exp(np.interp(np.log(energy_mev), log_energy, log_stopping)))


def stopping_power_water(energy_mev: ArrayLike) -> NDArray[np.float64]:
    """Mass stopping power of water (MeV cm2/g), log-log interpolation of PSTAR, 0.001 to 500 MeV."""
    return _pstar_at("water", np.asarray(energy_mev, dtype=np.float64))


def mass_stopping_power(material: Material, energy_mev: ArrayLike) -> NDArray[np.float64]:
    """Mass stopping power (MeV cm2/g) of a material. Energies in MeV, any shape, 0.1 to 500 MeV."""
    energy = np.asarray(energy_mev, dtype=np.float64)
    if material.name in _PSTAR:
        return _pstar_at(material.name, energy)
    return np.asarray(stopping_power_water(energy) * _bethe_ratio(material, energy))


def _bethe_ratio(material: Material, energy_mev: NDArray[np.float64]) -> NDArray[np.float64]:
    clamped = np.maximum(energy_mev, _BETHE_FLOOR_MEV)
    water = named("water")
    own = _bethe(clamped, electrons_mol_per_g(material), mean_excitation_ev(material))
    return np.asarray(own / _bethe(clamped, electrons_mol_per_g(water), WATER_I_EV))


def mass_stopping_ratio(material: Material, energy_mev: float) -> float:
    """Mass stopping power of a material divided by that of water at one energy."""
    return float(mass_stopping_power(material, energy_mev) / stopping_power_water(energy_mev))


@cache
def _range_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log energy against log CSDA range (g/cm2) of water, integrated segment by segment in log-log."""
    log_energy = np.linspace(np.log(1e-3), np.log(500.0), 20001)
    inverse = 1.0 / stopping_power_water(np.exp(log_energy))
    # On a segment 1/S = c E^k; the integral is exact for that power law.
    log_inverse = np.log(inverse)
    slope = np.diff(log_inverse) / np.diff(log_energy) + 1.0
    upper = np.exp(log_energy[1:] + log_inverse[1:])
    lower = np.exp(log_energy[:-1] + log_inverse[:-1])
    range_cm = np.concatenate(([lower[0] / slope[0]], (upper - lower) / slope)).cumsum()
    return log_energy, np.log(range_cm)


def csda_range_water_mm(energy_mev: ArrayLike) -> NDArray[np.float64]:
    """CSDA range in water (mm, density 1 g/cm3) by log-log integration of the stopping-power table in use.

    Raises
    ------
    InputError
        Energy outside 0.01 to 300 MeV.
    """
    energy = np.asarray(energy_mev, dtype=np.float64)
    if not np.all((energy >= 0.01) & (energy <= ENERGY_MAX_MEV)):
        raise InputError("proton energy outside the range table", got=f"{energy} MeV", expected="0.01 to 300 MeV")
    log_energy, log_range = _range_table()
    return np.asarray(10.0 * np.exp(np.interp(np.log(energy), log_energy, log_range)))


def water_range_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energies (MeV, 0.001 to 500) and CSDA ranges in water (g/cm2) of the table in use, for transport."""
    log_energy, log_range = _range_table()
    return np.exp(log_energy), np.exp(log_range)


def energy_from_range_water_mev(range_mm: ArrayLike) -> NDArray[np.float64]:
    """Inverse of ``csda_range_water_mm``.

    Raises
    ------
    InputError
        Range that no proton of 0.01 to 300 MeV has.
    """
    length = np.asarray(range_mm, dtype=np.float64)
    log_energy, log_range = _range_table()
    longest = float(csda_range_water_mm(ENERGY_MAX_MEV))
    if not np.all((length > 0) & (length <= longest)):
        raise InputError("range outside the range table", got=f"{length} mm", expected=f"above 0 to {longest:.0f} mm")
    return np.asarray(np.exp(np.interp(np.log(length / 10.0), log_range, log_energy)))
