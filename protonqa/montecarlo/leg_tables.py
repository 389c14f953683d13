"""Physics tables of transport, by material and residual range, laid out for the kernels.

The state of a proton is r, its residual CSDA range in water (g/cm2). Rows lie uniformly in sqrt(r): dense where
stopping power changes fast, and one square root away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protonqa.montecarlo.laws import log_table
from protonqa.montecarlo.philox import normal_quantiles
from protonqa.montecarlo.tallies import N_CHANNEL, PACK
from protonqa.physics.constants import AVOGADRO_PER_MOL, BETHE_K_MEV_CM2_PER_MOL, MILLIBARN_CM2
from protonqa.physics.emission import CrossSections
from protonqa.physics.materials import Material, elements
from protonqa.physics.nuclear import macroscopic_per_g, nucleus_xs_mb
from protonqa.physics.nuclear_events import elastic_tables, mean_shares, nonelastic_tables
from protonqa.physics.scattering import SCATTERING_ENERGY_MEV, pv_mev, scattering_length_g_per_cm2
from protonqa.physics.stopping import (
    beta_squared,
    electrons_mol_per_g,
    mass_stopping_power,
    max_transfer_mev,
    stopping_power_water,
    water_range_table,
)

#: Highest energy a sampled proton can have (MeV): 300 MeV with its energy spread; more is cut to this.
TOP_MEV = 330.0
N_ENERGY = 2048
N_ROW = 1024
#: Columns of the leg table, all per g/cm2 of the material unless said otherwise: stopping power relative to water,
#: total nuclear cross section, scattering (rad2 without the Moliere factor), share of the loss that fluctuates, shape
#: of the fluctuation per g/cm2 of residual range, mean of the part that does not fluctuate.
RATIO, SIGMA, SCATTER, JUMP, SHAPE, DRIFT, _, N_LEG = range(8)
#: Targets are tabulated every so many rows.
TARGET_STRIDE = 8


class Tables(NamedTuple):
    """What the kernels read.

    energy : (N_ENERGY,) MeV against sqrt(r).
    log_pv, pv, stopping : (N_ROW,)
        Momentum times velocity (MeV), its log10, and water's stopping power (MeV cm2/g).
    leg : (n_material * N_ROW * N_LEG,)
    water_ratio : (n_material * N_ROW,) float32
        Stopping power of water relative to the material.
    emission : (n_material * N_ROW * n,) float32
        Nuclei per proton and g/cm2; n is all channels, or the open ones of a run (``open_channels``).
    kinds : (n_material, N_ROW, 2) float32
        Cumulative share of p-p and of nucleus-elastic events.
    targets : (n_material, n_element, N_ROW // TARGET_STRIDE, 2) float32
        Cumulative share of each element in elastic and non-elastic events.
    event_row : (n_element,) int64
        Row of each element in the event tables (``physics.nuclear_events``), which follow: the tabulated element
        nearest in mass.
    mass : (n_element,) float64
        Rest mass of the target (MeV).
    """

    inverse_energy_step: float
    inverse_row_step: float
    quantiles: NDArray[np.float64]
    logs: NDArray[np.float64]
    energy: NDArray[np.float64]
    log_pv: NDArray[np.float64]
    pv: NDArray[np.float64]
    stopping: NDArray[np.float64]
    leg: NDArray[np.float64]
    water_ratio: NDArray[np.float32]
    emission: NDArray[np.float32]
    kinds: NDArray[np.float32]
    targets: NDArray[np.float32]
    event_row: NDArray[np.int64]
    mass: NDArray[np.float64]
    event_energy: NDArray[np.float64]
    multiplicity: NDArray[np.float64]
    edge: NDArray[np.float64]
    slope: NDArray[np.float64]
    recoil: NDArray[np.float64]
    neutral: NDArray[np.float64]
    first_cost: NDArray[np.float64]
    further_cost: NDArray[np.float64]
    elastic_energy: NDArray[np.float64]
    elastic_cosine: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Grid of the tables: residual range (g/cm2) and energy (MeV) of each row; the first is a hair above zero."""

    range_g_per_cm2: NDArray[np.float64]
    energy_mev: NDArray[np.float64]
    inverse_step: float


def rows(n: int) -> Rows:
    """`n` rows, uniform in sqrt(r), up to TOP_MEV."""
    energy, length = water_range_table()
    top = float(np.sqrt(np.interp(TOP_MEV, energy, length)))
    r = np.linspace(0.0, top, n) ** 2
    at = np.exp(np.interp(np.log(np.maximum(r, length[0])), np.log(length), np.log(energy)))
    at[0] = 0.0
    return Rows(range_g_per_cm2=r, energy_mev=at, inverse_step=(n - 1) / top)


def cumulant_rates(material: Material, energy_mev: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Second and third cumulant of the energy loss per g/cm2 (MeV2, MeV3) from single collisions.

    The collision spectrum is xi / T^2 (1 - beta^2 T / T_max) up to T_max (PDG, Passage of particles through matter).
    """
    beta2 = beta_squared(energy_mev)
    top = max_transfer_mev(energy_mev)
    xi = 0.5 * BETHE_K_MEV_CM2_PER_MOL * electrons_mol_per_g(material) / beta2
    return xi * top * (1.0 - beta2 / 2.0), xi * top**2 * (0.5 - beta2 / 3.0)


def straggling(material: Material, energy: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Mean rate of the fluctuating part (MeV cm2/g), and its shape per path (cm2/g), for ``laws.fluctuation``."""
    second, third = cumulant_rates(material, energy)
    jump = 3.0 * second**2 / third
    # Near the end of range the random part would exceed the stopping power: keep mean and variance, give up skewness.
    jump = np.minimum(jump, 0.95 * mass_stopping_power(material, energy))
    return jump, jump**2 / second


def _leg_rows(material: Material, energy: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.zeros((energy.size, N_LEG))
    stopping, water = mass_stopping_power(material, energy), stopping_power_water(energy)
    ratio = stopping / water
    jump, shape = straggling(material, energy)
    second, _ = cumulant_rates(material, energy)
    # Range is a convex function of energy: fluctuations of the energy raise the mean range by half its curvature times
    # their variance (Ito's term), per g/cm2 of residual range.
    curvature = np.gradient(1.0 / water, energy)
    gain = 0.5 * curvature * second / ratio
    out[:, RATIO] = ratio
    out[:, SIGMA] = sum(macroscopic_per_g(material, energy))
    out[:, SCATTER] = (SCATTERING_ENERGY_MEV / pv_mev(energy)) ** 2 / scattering_length_g_per_cm2(material)
    out[:, JUMP], out[:, SHAPE] = jump / stopping, shape / ratio
    out[:, DRIFT] = 1.0 - out[:, JUMP] - np.clip(gain, 0.0, 0.05)
    return out


def _target_shares(material: Material, heavy: tuple[str, ...], energy: NDArray[np.float64]) -> NDArray[np.float64]:
    rates = np.zeros((len(heavy), energy.size, 2))
    for k, symbol in enumerate(heavy):
        weight = material.composition.get(symbol, 0.0)
        if weight > 0:
            per_g = AVOGADRO_PER_MOL * weight / elements()[symbol].a * MILLIBARN_CM2
            elastic, nonelastic = nucleus_xs_mb(symbol, energy)
            rates[k, :, 0], rates[k, :, 1] = per_g * elastic, per_g * nonelastic
    total = rates.sum(axis=0)
    return np.asarray(np.cumsum(rates, axis=0) / np.where(total > 0, total, 1.0))


def _kinds(material: Material, energy: NDArray[np.float64]) -> NDArray[np.float64]:
    pp, elastic, nonelastic = macroscopic_per_g(material, energy)
    total = pp + elastic + nonelastic
    total = np.where(total > 0, total, 1.0)
    return np.stack([pp / total, (pp + elastic) / total], axis=-1)


def build_tables(materials: tuple[Material, ...], cross_sections: CrossSections, *, nuclear: bool = True) -> Tables:
    """Tables for these materials, in order, with these production cross sections.

    With `nuclear` false no proton meets a nucleus; emitters are still counted along its path.
    """
    fine, grid = rows(N_ENERGY), rows(N_ROW)
    energy = np.maximum(grid.energy_mev, 0.02)
    heavy = tuple(e for e in elements() if e != "H")
    leg = np.stack([_leg_rows(m, energy) for m in materials])
    if not nuclear:
        leg[:, :, SIGMA] = 0.0
    channels = np.stack([cross_sections.production_per_g(m, energy).T for m in materials])
    coarse = energy[::TARGET_STRIDE]
    events, elastic = nonelastic_tables(), elastic_tables()
    mass = np.array([elements()[e].a for e in events.elements])
    row = np.array([int(np.abs(mass - elements()[e].a).argmin()) for e in heavy], dtype=np.int64)
    return Tables(
        inverse_energy_step=fine.inverse_step,
        inverse_row_step=grid.inverse_step,
        quantiles=normal_quantiles(),
        logs=log_table(),
        energy=fine.energy_mev,
        log_pv=np.log10(pv_mev(energy)),
        pv=pv_mev(energy),
        stopping=stopping_power_water(energy),
        leg=np.ascontiguousarray(leg).ravel(),
        water_ratio=np.ascontiguousarray(1.0 / leg[:, :, RATIO], dtype=np.float32).ravel(),
        emission=np.ascontiguousarray(channels, dtype=np.float32).ravel(),
        kinds=np.ascontiguousarray(np.stack([_kinds(m, energy) for m in materials]), dtype=np.float32),
        targets=np.ascontiguousarray(np.stack([_target_shares(m, heavy, coarse) for m in materials]), dtype=np.float32),
        event_row=row,
        mass=np.ascontiguousarray(elastic.target_mass_mev[row]),
        event_energy=events.energy_mev,
        multiplicity=events.multiplicity,
        edge=events.edge,
        slope=events.slope,
        recoil=events.recoil,
        neutral=np.stack([mean_shares(e, events.energy_mev).neutral for e in events.elements]),
        first_cost=events.first_mev,
        further_cost=events.binding_mev,
        elastic_energy=elastic.energy_mev,
        elastic_cosine=elastic.cosine,
    )


@lru_cache(maxsize=4)
def standard_tables(cross_sections: str, nuclear: bool = True) -> Tables:
    """Tables of all materials with a packaged set of cross sections."""
    from protonqa.montecarlo.medium import all_materials
    from protonqa.physics.emission import cross_section_set

    return build_tables(all_materials(), cross_section_set(cross_sections), nuclear=nuclear)


def open_channels(tables: Tables, material: NDArray[np.uint8]) -> tuple[Tables, NDArray[np.int64]]:
    """Tables that hold only the channels these materials can have, filled up to whole packs, and which these are."""
    emission = tables.emission.reshape(-1, N_ROW, N_CHANNEL)
    present = np.unique(material)
    channels = np.flatnonzero(emission[present].any(axis=(0, 1)))
    packed = np.zeros((emission.shape[0], N_ROW, max(-(-channels.size // PACK), 1) * PACK), dtype=np.float32)
    packed[present, :, : channels.size] = emission[present][:, :, channels]
    return tables._replace(emission=packed.ravel()), channels
