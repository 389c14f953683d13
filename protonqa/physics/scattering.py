"""Multiple Coulomb scattering: scattering length and Gottschalk's differential Moliere scattering power."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.physics.constants import AVOGADRO_PER_MOL, ELECTRON_RADIUS_CM, FINE_STRUCTURE, PROTON_MASS_MEV
from protonqa.physics.materials import Material, elements

#: Energy constant of the scattering power per *projected* angle, MeV.
SCATTERING_ENERGY_MEV = 15.0


def pv_mev(energy_mev: ArrayLike) -> NDArray[np.float64]:
    """Momentum times velocity (MeV) of protons of kinetic energy `energy_mev`."""
    energy = np.asarray(energy_mev, dtype=np.float64)
    return np.asarray(energy * (energy + 2.0 * PROTON_MASS_MEV) / (energy + PROTON_MASS_MEV))


def scattering_length_g_per_cm2(material: Material) -> float:
    """Scattering length times density, X_S (g/cm2): 46.88 for water.

    Source: Gottschalk, Med Phys 37:352 (2010), eq. for 1/(rho X_S), Bragg additivity over elements.
    """
    table = elements()
    inverse = 0.0
    for symbol, weight in material.composition.items():
        element = table[symbol]
        bracket = 2.0 * np.log(33219.0 * (element.a * element.z) ** (-1.0 / 3.0)) - 1.0
        inverse += weight * element.z**2 / element.a * bracket
    return float(1.0 / (FINE_STRUCTURE * AVOGADRO_PER_MOL * ELECTRON_RADIUS_CM**2 * inverse))


def moliere_correction(pv: ArrayLike, pv_initial: ArrayLike) -> NDArray[np.float64]:
    """Gottschalk's factor f_dM(pv, p1v1), which knows how far the proton has already come.

    Source: Gottschalk, Med Phys 37:352 (2010), eq. 23. The factor falls to zero without limit as pv approaches its
    initial value, where no multiple scattering has happened yet; it is floored at zero.
    """
    pv = np.asarray(pv, dtype=np.float64)
    loss = np.maximum(1.0 - (pv / np.asarray(pv_initial, dtype=np.float64)) ** 2, 1e-12)
    log_loss, log_pv = np.log10(loss), np.log10(pv)
    return np.asarray(np.maximum(0.5244 + 0.1975 * log_loss + 0.2320 * log_pv - 0.0098 * log_pv * log_loss, 0.0))


def scattering_power_per_g(energy_mev: ArrayLike, initial_mev: ArrayLike, material: Material) -> NDArray[np.float64]:
    """Increase of the variance of the projected angle (rad2 per g/cm2), T_dM of Gottschalk (2010)."""
    pv = pv_mev(energy_mev)
    factor = moliere_correction(pv, pv_mev(initial_mev))
    return np.asarray(factor * (SCATTERING_ENERGY_MEV / pv) ** 2 / scattering_length_g_per_cm2(material))
