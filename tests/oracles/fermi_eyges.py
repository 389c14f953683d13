"""Lateral spread of a proton pencil beam in slabs: Gottschalk's scattering power and Fermi-Eyges moments.

Written from the paper and not from the project's own scattering module, whose only share is the scattering length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.physics.materials import Material
from protonqa.physics.scattering import scattering_length_g_per_cm2
from tests.oracles.slowing_down import Slab, mean_energy_mev

FloatArray = NDArray[np.float64]

_PROTON_MEV = 938.272088
_E_S_MEV = 15.0


def momentum_velocity_mev(energy_mev: ArrayLike) -> FloatArray:
    """pv (MeV) from the reduced kinetic energy t = T/m: pv = T (t + 2) / (t + 1)."""
    energy = np.asarray(energy_mev, dtype=np.float64)
    reduced = energy / _PROTON_MEV
    return energy * (reduced + 2.0) / (reduced + 1.0)


def scattering_power(medium: Material, energy_mev: ArrayLike, entrance_mev: float) -> FloatArray:
    """T_dM: growth of the variance of the projected angle (rad2 per g/cm2) of protons that entered with an energy.

    Source: Gottschalk, Med Phys 37:352 (2010), f_dM (E_s / pv)^2 / X_S with E_s = 15 MeV. The factor goes to minus
    infinity at the entrance itself; it is taken as zero there.
    """
    pv = momentum_velocity_mev(energy_mev)
    slowed = np.log10(np.clip(1.0 - (pv / momentum_velocity_mev(entrance_mev)) ** 2, 1e-15, None))
    now = np.log10(pv)
    factor = 0.5244 + 0.1975 * slowed + 0.2320 * now - 0.0098 * now * slowed
    return np.clip(factor, 0.0, None) * (_E_S_MEV / pv) ** 2 / scattering_length_g_per_cm2(medium)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LateralMoments:
    """Variance of the angle (rad2), covariance (mm rad) and variance of the position (mm2) of one axis, by depth."""

    depth_mm: FloatArray
    angle_rad2: FloatArray
    covariance_mm_rad: FloatArray
    position_mm2: FloatArray

    def sigma_mm(self, depth_mm: ArrayLike) -> FloatArray:
        return np.sqrt(np.interp(np.asarray(depth_mm, dtype=np.float64), self.depth_mm, self.position_mm2))


def lateral_moments(
    slabs: Sequence[Slab], energy_mev: float, *, step_mm: float = 0.05, lowest_mev: float = 2.0
) -> LateralMoments:
    """Moments A0, A1, A2 of a beam of zero width and divergence, down to where the mean energy is `lowest_mev`.

    Eyges (Phys Rev 74:1534, 1948): on a thin step h the moments drift exactly (A2 grows by 2 A1 h + A0 h^2, A1 by
    A0 h) and the step's own scattering T h adds T h, T h^2/2 and T h^3/3.
    """
    edges, media = [np.zeros(1)], []
    for layer in slabs:
        n = max(1, int(np.ceil(layer.thickness_mm / step_mm)))
        edges.append(edges[-1][-1] + layer.thickness_mm * np.arange(1, n + 1) / n)
        media.append((layer, n))
    depth = np.concatenate(edges)
    energy = mean_energy_mev(slabs, energy_mev, 0.5 * (depth[1:] + depth[:-1]))
    per_mm, first = np.zeros_like(energy), 0
    for layer, n in media:
        part = slice(first, first + n)
        power = scattering_power(layer.medium, np.maximum(energy[part], lowest_mev), energy_mev)
        per_mm[part] = 0.1 * layer.density_g_per_cm3 * power
        first += n
    reached = int(np.count_nonzero(energy >= lowest_mev))
    a0, a1, a2 = 0.0, 0.0, 0.0
    rows = [(a0, a1, a2)]
    for h, t in zip(np.diff(depth)[:reached], per_mm[:reached], strict=True):
        a2 += 2.0 * a1 * h + a0 * h**2 + t * h**3 / 3.0
        a1 += a0 * h + t * h**2 / 2.0
        a0 += t * h
        rows.append((a0, a1, a2))
    column = np.array(rows).T
    return LateralMoments(
        depth_mm=depth[: reached + 1], angle_rad2=column[0], covariance_mm_rad=column[1], position_mm2=column[2]
    )
