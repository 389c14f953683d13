"""A slow, plain transport of protons through slabs, to hold the Monte Carlo kernels against.

Method: planes across the beam are visited in order, and every proton steps from plane to plane at once (NumPy). Energy
loss is class II: collisions with free electrons above a threshold one by one, the rest as a Gaussian about the
restricted stopping power. Scattering is one small Gaussian deflection in the middle of every step. No nuclear events.
Nothing is shared with the kernels but the physics tables: other stepping, other straggling, other random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.physics.materials import Material
from protonqa.physics.stopping import mass_stopping_power, stopping_power_water
from tests.oracles.fermi_eyges import scattering_power
from tests.oracles.slowing_down import Slab, collisions, csda_range_g_per_cm2, mean_energy_mev

FloatArray = NDArray[np.float64]

#: Protons stop where they have this energy left (0.08 mm of water) and leave it there.
STOP_MEV = 2.0
_LONGEST_MM = 5.0
#: A step is halved where it would cost more than this share of the energy.
MOST_LOSS = 0.1
# Threshold of single collisions: never below so many times xi * path, so that the Gaussian rest is narrow
# against its mean and a step never gains energy.
_LEAST_CUT = 3.0
# Fewer protons than this are not centred.
_ENOUGH_TO_CENTRE = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plane:
    """The protons that reach a plane: kinetic energy and lateral position, (n,)."""

    depth_mm: float
    energy_mev: FloatArray
    x_mm: FloatArray
    y_mm: FloatArray

    @property
    def energy_moments(self) -> tuple[float, float, float]:
        """Mean (MeV), SD (MeV) and skewness of the energy."""
        mean, sd = float(self.energy_mev.mean()), float(self.energy_mev.std())
        return mean, sd, float(((self.energy_mev - mean) ** 3).mean()) / sd**3

    @property
    def sigma_mm(self) -> float:
        """Root mean square of the lateral position, both axes together."""
        return float(np.sqrt(0.5 * (np.mean(self.x_mm**2) + np.mean(self.y_mm**2))))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlabResult:
    """Result per proton: energy left between planes (MeV), and the same as dose to water times area (MeV cm2/g mm)."""

    edge_mm: FloatArray
    deposited_mev: FloatArray
    water_mev_cm2_mm_per_g: FloatArray
    escaped_mev: float
    planes: tuple[Plane, ...]

    def depth_dose(self, edges_mm: ArrayLike) -> FloatArray:
        """Mean dose to water times area (MeV cm2/g) in depth bins with these edges."""
        return self._binned(self.water_mev_cm2_mm_per_g, edges_mm)

    def energy_per_mm(self, edges_mm: ArrayLike) -> FloatArray:
        """Mean energy deposited per mm in depth bins with these edges."""
        return self._binned(self.deposited_mev, edges_mm)

    def _binned(self, values: FloatArray, edges_mm: ArrayLike) -> FloatArray:
        edges = np.asarray(edges_mm, dtype=np.float64)
        total = np.interp(edges, self.edge_mm, np.concatenate(([0.0], np.cumsum(values))))
        return np.diff(total) / np.diff(edges)


@dataclass(slots=True, kw_only=True, eq=False)
class _Protons:
    energy: FloatArray
    place: FloatArray
    """(n, 2) mm"""
    direction: FloatArray
    """(n, 3)"""
    left: FloatArray
    """Energy left since the last plane, per proton."""
    water: FloatArray
    """The same, times the ratio of stopping powers water to medium."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rules:
    entrance_mev: float
    delta_cut_mev: float
    straggling: bool
    scattering: bool
    centred: bool
    random: np.random.Generator


def transport(
    slabs: Sequence[Slab],
    energy_mev: float,
    *,
    protons: int,
    seed: int,
    step_mm: float = 0.25,
    relative_step: float = 0.01,
    planes_mm: Sequence[float] = (),
    delta_cut_mev: float = 0.02,
    straggling: bool = True,
    scattering: bool = True,
    centred: bool = True,
) -> SlabResult:
    """Protons of one energy along +z on a point of the first slab.

    Parameters
    ----------
    slabs : sequence of Slab
    step_mm : float
        Least distance of planes in water; elsewhere the same mass per area, but 5 mm at most.
    relative_step : float
        Where this share of the residual range is longer, planes lie so far apart; 0 for planes at `step_mm` throughout.
    planes_mm : sequence of float
        Depths at which the protons are looked at; planes are laid through them.
    delta_cut_mev : float
        Collisions above it are sampled one by one.
    centred : bool
        Shift the losses of many protons in a step to their known mean: a range scatters less than that of independent
        protons, and the variance falls by one part in their number only.
    """
    rules = _Rules(
        entrance_mev=energy_mev,
        delta_cut_mev=delta_cut_mev,
        straggling=straggling,
        scattering=scattering,
        centred=centred,
        random=np.random.default_rng(seed),
    )
    crowd = _Protons(
        energy=np.full(protons, float(energy_mev)),
        place=np.zeros((protons, 2)),
        direction=np.tile([0.0, 0.0, 1.0], (protons, 1)),
        left=np.zeros(protons),
        water=np.zeros(protons),
    )
    edges, layers = _plane_depths(slabs, energy_mev, step_mm, relative_step, planes_mm)
    deposited, water = np.zeros(len(layers)), np.zeros(len(layers))
    seen = []
    for k, layer in enumerate(layers):
        crowd.left[:], crowd.water[:] = 0.0, 0.0
        _advance(crowd, np.flatnonzero(crowd.energy > 0.0), layer, edges[k + 1] - edges[k], rules)
        deposited[k] = crowd.left.sum() / protons
        water[k] = crowd.water.sum() / protons / layer.density_g_per_cm3 * 10.0
        if any(abs(edges[k + 1] - depth) < 1e-9 for depth in planes_mm):
            seen.append(_plane(crowd, float(edges[k + 1])))
        if not crowd.energy.any():
            break
    return SlabResult(
        edge_mm=edges,
        deposited_mev=deposited,
        water_mev_cm2_mm_per_g=water,
        escaped_mev=float(crowd.energy.sum()) / protons,
        planes=tuple(seen),
    )


def _plane_depths(
    slabs: Sequence[Slab], energy_mev: float, step_mm: float, relative_step: float, planes_mm: Sequence[float]
) -> tuple[FloatArray, list[Slab]]:
    """Depths of the planes, and the slab before each but the first; distances are whole multiples of the least one."""
    edges, layers, entry = [0.0], [], 0.0
    for layer in slabs:
        least = min(step_mm / layer.density_g_per_cm3, _LONGEST_MM)
        exit_mm = entry + layer.thickness_mm
        for station in sorted({exit_mm, *(d for d in planes_mm if entry < d < exit_mm)}):
            while edges[-1] < station - 1e-9:
                energy = mean_energy_mev(slabs, energy_mev, [edges[-1]])[0]
                left = 10.0 * float(csda_range_g_per_cm2(layer.medium, energy)) / layer.density_g_per_cm3
                parts = max(1, int(min(relative_step * left, _LONGEST_MM) / least + 1e-9))
                after = edges[-1] + parts * least
                edges.append(station if after > station - 1e-9 else after)
                layers.append(layer)
        entry = exit_mm
    return np.array(edges), layers


def _plane(crowd: _Protons, depth_mm: float) -> Plane:
    here = crowd.energy > 0.0
    return Plane(
        depth_mm=depth_mm,
        energy_mev=crowd.energy[here],
        x_mm=crowd.place[here, 0],
        y_mm=crowd.place[here, 1],
    )


def _advance(crowd: _Protons, who: NDArray[np.intp], layer: Slab, distance_mm: float, rules: _Rules) -> None:
    """Bring protons `who` forward along z, in halves where the whole distance would cost them too much."""
    who = who[crowd.energy[who] > 0.0]
    energy = crowd.energy[who]
    path = 0.1 * layer.density_g_per_cm3 * distance_mm / crowd.direction[who, 2]
    long = mass_stopping_power(layer.medium, energy) * path > MOST_LOSS * energy
    if long.any():
        for _ in range(2):
            _advance(crowd, who[long], layer, 0.5 * distance_mm, rules)
        who = who[~long]
    if who.size:
        _step(crowd, who, layer, distance_mm, rules)


def _step(crowd: _Protons, who: NDArray[np.intp], layer: Slab, distance_mm: float, rules: _Rules) -> None:
    energy, direction, medium = crowd.energy[who], crowd.direction[who], layer.medium
    half = 0.5 * distance_mm / direction[:, 2]
    place = crowd.place[who] + half[:, None] * direction[:, :2]
    path = 0.2 * layer.density_g_per_cm3 * half
    middle = energy - 0.5 * mass_stopping_power(medium, energy) * path
    if rules.scattering:
        variance = scattering_power(medium, middle, rules.entrance_mev) * path
        direction = _deflected(direction, np.sqrt(variance), rules.random)
    after = 0.5 * distance_mm / direction[:, 2]
    path = 0.1 * layer.density_g_per_cm3 * (half + after)
    loss = _loss(medium, middle, path, rules)
    stopped = energy - loss < STOP_MEV
    loss[stopped] = energy[stopped]
    crowd.energy[who] = energy - loss
    crowd.place[who] = place + after[:, None] * direction[:, :2]
    crowd.direction[who] = direction
    crowd.left[who] += loss
    crowd.water[who] += loss * stopping_power_water(middle) / mass_stopping_power(medium, middle)


def _loss(medium: Material, middle_mev: FloatArray, path: FloatArray, rules: _Rules) -> FloatArray:
    """Energy lost on `path` (g/cm2) by protons whose energy in its middle is `middle_mev`."""
    stopping = mass_stopping_power(medium, middle_mev)
    if not rules.straggling:
        return stopping * path
    hits = collisions(medium, middle_mev)
    cut = np.minimum(np.minimum(rules.delta_cut_mev, _LEAST_CUT * hits.xi_mev_cm2_per_g * path), hits.top_mev)
    soft = (stopping - hits.moment(1, cut, hits.top_mev)) * path
    spread = np.sqrt(hits.moment(2, 1e-9, cut) * path)
    loss = soft + spread * rules.random.standard_normal(path.size)
    # Candidates of the law xi/T^2, thinned by its two corrections (together never above 1).
    candidates = rules.random.poisson(hits.xi_mev_cm2_per_g * (1.0 / cut - 1.0 / hits.top_mev) * path)
    who = np.repeat(np.arange(path.size), candidates)
    u, accept = rules.random.random((2, who.size))
    transfer = 1.0 / (u / cut[who] + (1.0 - u) / hits.top_mev[who])
    kept = 1.0 - hits.beta2[who] * transfer / hits.top_mev[who] + 0.5 * (transfer / hits.total_mev[who]) ** 2
    loss += np.bincount(who, weights=transfer * (accept < kept), minlength=path.size)
    if rules.centred and path.size >= _ENOUGH_TO_CENTRE:
        loss -= np.mean(loss - stopping * path)
    return loss


def _deflected(direction: FloatArray, sigma_rad: FloatArray, random: np.random.Generator) -> FloatArray:
    """Unit vectors turned by Gaussian angles of SD `sigma_rad` in two planes through the old direction."""
    first = np.stack([direction[:, 2], np.zeros_like(sigma_rad), -direction[:, 0]], axis=1)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(direction, first)
    kick = sigma_rad[:, None] * random.standard_normal((sigma_rad.size, 2))
    turned = direction + kick[:, :1] * first + kick[:, 1:] * second
    return turned / np.linalg.norm(turned, axis=1, keepdims=True)
