"""Deterministic slowing down of protons through slabs: mean energy, moments of straggling, yields of emitters.

Quadrature of the physics tables; no random number and nothing of the transport kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from protonqa.physics.emission import CHANNELS, CrossSections
from protonqa.physics.materials import Material, material
from protonqa.physics.nuclear import macroscopic_per_g
from protonqa.physics.stopping import electrons_mol_per_g, mass_stopping_power

FloatArray = NDArray[np.float64]

_PROTON_MEV, _ELECTRON_MEV = 938.272088, 0.510998950
#: 2 pi N_A r_e^2 m_e c^2, MeV cm2/mol.
_COLLISION_MEV_CM2_PER_MOL = 0.1535375
_LOWEST_MEV = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Slab:
    """A slab across the beam: mass density (g/cm3) and thickness along z (mm)."""

    medium: Material
    density_g_per_cm3: float
    thickness_mm: float

    @property
    def thickness_g_per_cm2(self) -> float:
        return 0.1 * self.thickness_mm * self.density_g_per_cm3


def slab(name: str, thickness_mm: float, density_g_per_cm3: float | None = None) -> Slab:
    """A slab of a reference material, at its own density unless another is given."""
    medium = material(name)
    density = medium.density_g_per_cm3 if density_g_per_cm3 is None else density_g_per_cm3
    return Slab(medium=medium, density_g_per_cm3=density, thickness_mm=thickness_mm)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Collisions:
    """Collisions with free electrons: rate per energy transfer T and g/cm2 is xi/T^2 (1 - b T/top + T^2/2E^2).

    The law for particles of spin 1/2 (Rossi, High-Energy Particles, 1952; PDG review "Passage of particles through
    matter"), with the total energy E, b = (v/c)^2, and `top` the largest transfer.
    """

    xi_mev_cm2_per_g: FloatArray
    beta2: FloatArray
    top_mev: FloatArray
    total_mev: FloatArray

    def moment(self, order: int, low_mev: ArrayLike, high_mev: ArrayLike) -> FloatArray:
        """Integral of T^order times the rate between two transfers: MeV^order cm2/g; order 1 to 3."""
        low, high = np.asarray(low_mev, dtype=np.float64), np.asarray(high_mev, dtype=np.float64)

        def power(n: int) -> FloatArray:
            return np.log(high / low) if n == -1 else (high ** (n + 1) - low ** (n + 1)) / (n + 1)

        spin = power(order) / (2.0 * self.total_mev**2)
        return self.xi_mev_cm2_per_g * (power(order - 2) - self.beta2 / self.top_mev * power(order - 1) + spin)


def collisions(medium: Material, energy_mev: ArrayLike) -> Collisions:
    """Collisions of protons of these kinetic energies with the electrons of a material."""
    total = np.asarray(energy_mev, dtype=np.float64) + _PROTON_MEV
    gamma = total / _PROTON_MEV
    beta2 = 1.0 - gamma**-2
    ratio = _ELECTRON_MEV / _PROTON_MEV
    top = 2.0 * _ELECTRON_MEV * beta2 * gamma**2 / (1.0 + 2.0 * gamma * ratio + ratio**2)
    xi = _COLLISION_MEV_CM2_PER_MOL * electrons_mol_per_g(medium) / beta2
    return Collisions(xi_mev_cm2_per_g=xi, beta2=beta2, top_mev=top, total_mev=total)


def _range_table(medium: Material) -> tuple[FloatArray, FloatArray]:
    """Energies (MeV) and path from the lowest of them (g/cm2), by Simpson's rule in the logarithm of energy."""
    return _range_table_of(medium.name, tuple(medium.composition.items()), medium.density_g_per_cm3)


@cache
def _range_table_of(
    name: str, composition: tuple[tuple[str, float], ...], density: float
) -> tuple[FloatArray, FloatArray]:
    medium = Material(name=name, composition=dict(composition), density_g_per_cm3=density)
    log_energy = np.linspace(np.log(_LOWEST_MEV), np.log(320.0), 8001)
    energy = np.exp(log_energy)
    middle = np.exp(0.5 * (log_energy[1:] + log_energy[:-1]))
    rate = energy / mass_stopping_power(medium, energy)
    between = middle / mass_stopping_power(medium, middle)
    part = np.diff(log_energy) / 6.0 * (rate[1:] + 4.0 * between + rate[:-1])
    return energy, np.concatenate(([0.0], np.cumsum(part)))


def csda_range_g_per_cm2(medium: Material, energy_mev: ArrayLike) -> FloatArray:
    """Path (g/cm2) on which protons slow down to 0.5 MeV (9 um of water are left then)."""
    energy, path = _range_table(medium)
    return np.interp(np.asarray(energy_mev, dtype=np.float64), energy, path)


def mean_energy_mev(slabs: Sequence[Slab], energy_mev: float, depth_mm: ArrayLike) -> FloatArray:
    """Energy at depths when every proton loses the mean and goes straight; 0 beyond the range."""
    depth = np.asarray(depth_mm, dtype=np.float64)
    out = np.full(depth.shape, np.nan)
    entry, now = 0.0, energy_mev
    for layer in slabs:
        energy, path = _range_table(layer.medium)
        inside = (depth >= entry) & (depth <= entry + layer.thickness_mm)
        start = np.interp(now, energy, path)
        left = start - 0.1 * layer.density_g_per_cm3 * (depth[inside] - entry)
        out[inside] = np.interp(left, path, energy, left=0.0)
        now = float(np.interp(start - layer.thickness_g_per_cm2, path, energy, left=0.0))
        entry += layer.thickness_mm
        if now == 0.0:
            out[depth > entry] = 0.0
            break
    return out


def straggling_moments(slabs: Sequence[Slab], energy_mev: float) -> tuple[float, float, float]:
    """Mean (MeV), SD (MeV) and skewness of the energy behind slabs, without detours and nuclear events.

    Moments of the transport equation expanded about the mean energy: in s (g/cm2), with stopping power S and the
    cumulant rates M2, M3 of single collisions, dm/ds = -S - S'' V/2, dV/ds = M2 - 2 S' V,
    dk/ds = -M3 - 3 S' k + 3 M2' V - 3 S'' V^2 (Gaussian closure). Variance: Tschalaer, Nucl Instrum Methods 61:141
    (1968). Good while the SD is small against the energy.
    """
    state = np.array([energy_mev, 0.0, 0.0])
    for layer in slabs:
        done = solve_ivp(
            lambda _, y, m=layer.medium: _moment_rates(m, y),
            (0.0, layer.thickness_g_per_cm2),
            state,
            max_step=0.1,
            rtol=1e-6,
            atol=1e-10,
        )
        state = done.y[:, -1]
    mean, variance, third = (float(v) for v in state)
    return mean, float(np.sqrt(variance)), third / variance**1.5


def _moment_rates(medium: Material, state: FloatArray) -> FloatArray:
    mean, variance, third = state
    # The table is straight between its points in the logarithms: take a power law over several of them.
    energy = mean * np.array([0.9, 1.0, 1.1])
    stopping = mass_stopping_power(medium, energy)
    power = -np.log(stopping[2] / stopping[0]) / np.log(energy[2] / energy[0])
    slope, curvature = -power * stopping[1] / mean, power * (power + 1.0) * stopping[1] / mean**2
    hits = collisions(medium, energy)
    second, skew = (hits.moment(n, 1e-9, hits.top_mev) for n in (2, 3))
    second_slope = (second[2] - second[0]) / (energy[2] - energy[0])
    return np.array(
        [
            -stopping[1] - 0.5 * curvature * variance,
            second[1] - 2.0 * slope * variance,
            -skew[1] - 3.0 * slope * third + 3.0 * second_slope * variance - 3.0 * curvature * variance**2,
        ]
    )


def primary_yields(
    slabs: Sequence[Slab],
    energy_mev: float,
    cross_sections: CrossSections,
    depth_mm: ArrayLike,
    *,
    attenuated: bool = True,
) -> FloatArray:
    """Nuclei made by primary protons from the surface down to each depth; (n_channel, n_depth), per proton.

    The integral over depth of production at the mean energy times the share of protons that have not yet had a
    non-elastic event (1 when not `attenuated`).
    """
    depth = np.asarray(depth_mm, dtype=np.float64)
    made = np.zeros(len(CHANNELS))
    curves, places = [np.zeros((len(CHANNELS), 1))], [np.zeros(1)]
    lost, entry = 0.0, 0.0
    for layer in slabs:
        edges = np.linspace(entry, entry + layer.thickness_mm, int(np.ceil(layer.thickness_mm / 0.02)) + 1)
        step = np.diff(edges) * 0.1 * layer.density_g_per_cm3
        energy = mean_energy_mev(slabs, energy_mev, 0.5 * (edges[1:] + edges[:-1]))
        moving = energy > _LOWEST_MEV
        energy = np.maximum(energy, _LOWEST_MEV)
        optical = macroscopic_per_g(layer.medium, energy)[2] * step * moving
        alive = np.exp(-(lost + np.cumsum(optical) - 0.5 * optical)) if attenuated else np.ones_like(step)
        rate = cross_sections.production_per_g(layer.medium, energy) * (step * alive * moving)
        grown = made[:, None] + np.cumsum(rate, axis=1)
        curves.append(grown)
        places.append(edges[1:])
        made, lost, entry = grown[:, -1], lost + float(optical.sum()), float(edges[-1])
    where, value = np.concatenate(places), np.concatenate(curves, axis=1)
    return np.array([np.interp(depth, where, row) for row in value])
