"""Physics tables of a step, by material and energy, laid out for the kernels.

Energies lie on a grid uniform in sqrt(E): dense where stopping power changes fast, and one square root away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.physics.constants import AVOGADRO_PER_MOL, MILLIBARN_CM2
from protonqa.physics.emission import CHANNELS, CrossSections, nuclides_from_channels
from protonqa.physics.materials import Material, elements
from protonqa.physics.nuclear import macroscopic_per_g, mean_elastic_transfer_mev, nucleus_xs_mb
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.physics.scattering import SCATTERING_ENERGY_MEV, pv_mev, scattering_length_g_per_cm2
from protonqa.physics.stopping import (
    beta_squared,
    electrons_mol_per_g,
    mass_stopping_power,
    max_transfer_mev,
    stopping_power_water,
)

N_ENERGY = 1536
ENERGY_TOP_MEV = 310.0
#: Columns of the step table.
STOPPING, WATER_RATIO, JUMP, SHAPE, SCATTER, SIGMA, SIGMA_PP, SIGMA_ELASTIC = range(8)
CHANNEL0 = 8
N_CHANNEL = len(CHANNELS)
NUCLIDE0 = CHANNEL0 + N_CHANNEL
N_NUCLIDE = len(NUCLIDE_KEYS)
N_COLUMN = 32
NUCLEON_MASS_MEV = 931.494


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepTables:
    """Tables of one set of materials.

    step : (n_material, N_ENERGY, N_COLUMN) float32
        Per g/cm2: mass stopping power (MeV), water/material stopping ratio, inverse-Gaussian rates of the straggling,
        scattering (rad2 without the Moliere factor), total nuclear, p-p and nucleus-elastic cross section, production
        per channel and per nuclide.
    nuclei : (n_material, n_element, N_ENERGY, 2) float32
        Cumulative share of each element in nucleus-elastic and non-elastic events.
    transfer : (n_element, N_ENERGY) float32
        Mean energy transfer of nuclear elastic scattering (MeV).
    mass : (n_element,) float64
        Rest mass (MeV).
    """

    step: NDArray[np.float32]
    nuclei: NDArray[np.float32]
    transfer: NDArray[np.float32]
    mass: NDArray[np.float64]
    inverse_root_step: float


def energy_grid() -> NDArray[np.float64]:
    """Energies of the table rows (MeV); the first is a hair above zero so that every law is finite."""
    root = np.linspace(0.0, np.sqrt(ENERGY_TOP_MEV), N_ENERGY)
    return np.maximum(root**2, 0.05)


def cumulant_rates(material: Material, energy_mev: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Second and third cumulant of the energy loss per g/cm2 (MeV2, MeV3) from single collisions.

    The collision spectrum is xi / T^2 (1 - beta^2 T / T_max) up to T_max (PDG, Passage of particles through matter).
    """
    from protonqa.physics.constants import BETHE_K_MEV_CM2_PER_MOL

    beta2 = beta_squared(energy_mev)
    top = max_transfer_mev(energy_mev)
    xi = 0.5 * BETHE_K_MEV_CM2_PER_MOL * electrons_mol_per_g(material) / beta2
    return xi * top * (1.0 - beta2 / 2.0), xi * top**2 * (0.5 - beta2 / 3.0)


def _straggling(material: Material, energy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean rate of the random part and its shape per path, for ``laws.straggled_loss``."""
    second, third = cumulant_rates(material, energy)
    jump = 3.0 * second**2 / third
    # Near the end of range the random part would exceed the stopping power: keep mean and variance, give up skewness.
    jump = np.minimum(jump, 0.95 * mass_stopping_power(material, energy))
    return jump, jump**2 / second


def build_step_tables(materials: tuple[Material, ...], cross_sections: CrossSections) -> StepTables:
    """Tables for these materials, in order, with these production cross sections."""
    energy = energy_grid()
    heavy = tuple(e for e in elements() if e != "H")
    step = np.zeros((len(materials), N_ENERGY, N_COLUMN))
    nuclei = np.zeros((len(materials), len(heavy), N_ENERGY, 2))
    for i, material in enumerate(materials):
        stopping = mass_stopping_power(material, energy)
        step[i, :, STOPPING] = stopping
        step[i, :, WATER_RATIO] = stopping_power_water(energy) / stopping
        step[i, :, JUMP], step[i, :, SHAPE] = _straggling(material, energy)
        scattering = SCATTERING_ENERGY_MEV / pv_mev(energy)
        step[i, :, SCATTER] = scattering**2 / scattering_length_g_per_cm2(material)
        pp, elastic, nonelastic = macroscopic_per_g(material, energy)
        step[i, :, SIGMA] = pp + elastic + nonelastic
        step[i, :, SIGMA_PP], step[i, :, SIGMA_ELASTIC] = pp, elastic
        channels = cross_sections.production_per_g(material, energy)
        step[i, :, CHANNEL0:NUCLIDE0] = channels.T
        step[i, :, NUCLIDE0 : NUCLIDE0 + N_NUCLIDE] = nuclides_from_channels(channels).T
        nuclei[i] = _target_shares(material, heavy, energy)
    transfer = np.array([mean_elastic_transfer_mev(energy, elements()[e].a) for e in heavy])
    mass = np.array([elements()[e].a * NUCLEON_MASS_MEV for e in heavy])
    return StepTables(
        step=np.ascontiguousarray(step, dtype=np.float32),
        nuclei=np.ascontiguousarray(nuclei, dtype=np.float32),
        transfer=np.ascontiguousarray(transfer, dtype=np.float32),
        mass=mass,
        inverse_root_step=(N_ENERGY - 1) / float(np.sqrt(ENERGY_TOP_MEV)),
    )


def _target_shares(material: Material, heavy: tuple[str, ...], energy: NDArray[np.float64]) -> NDArray[np.float64]:
    rates = np.zeros((len(heavy), energy.size, 2))
    for k, symbol in enumerate(heavy):
        weight = material.composition.get(symbol, 0.0)
        if weight > 0:
            per_g = AVOGADRO_PER_MOL * weight / elements()[symbol].a * MILLIBARN_CM2
            elastic, nonelastic = nucleus_xs_mb(symbol, energy)
            rates[k, :, 0], rates[k, :, 1] = per_g * elastic, per_g * nonelastic
    total = rates.sum(axis=0)
    shares = np.cumsum(rates, axis=0) / np.where(total > 0, total, 1.0)
    return np.asarray(shares)
