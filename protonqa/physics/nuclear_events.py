"""What leaves a nucleus: secondaries of non-elastic interactions and angles of elastic ones (ICRU Report 63).

Both tables stand on one grid of incident energies, for C, N, O, Al, Si, P and Ca. Between nodes every entry may be
interpolated linearly, quantile edges too, because they are fractions of the incident energy. Above the last node
(250 MeV) the fractions stay those of the last; below 7 MeV nothing happens.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import InputError
from protonqa.physics.constants import ELECTRON_MASS_MEV, PROTON_MASS_MEV
from protonqa.physics.nuclear import NUCLEUS_THRESHOLD_MEV
from protonqa.tables import table_rows

#: Order of the particle axis.
PARTICLES = ("p", "d", "a")
N_ENERGY_BIN = 32
N_ANGLE_BIN = 48
#: Unified atomic mass unit (CODATA 2018).
_U_MEV = 931.49410242
#: The isotope that stands for each element.
_TARGETS = {"C": "C12", "N": "N14", "O": "O16", "Al": "Al27", "Si": "Si28", "P": "P31", "Ca": "Ca40"}

FloatArray = NDArray[np.float64]


def _read_only(table: object) -> None:
    for field in fields(table):  # type: ignore[arg-type]
        value = getattr(table, field.name)
        if isinstance(value, np.ndarray):
            value.setflags(write=False)


def _row(elements: tuple[str, ...], element: str) -> int:
    if element not in elements:
        raise InputError(
            "element has no table of nuclear events",
            got=element,
            expected=", ".join(elements),
            remedy="take the tabulated element nearest in mass",
        )
    return elements.index(element)


@dataclass(frozen=True, kw_only=True, slots=True)
class NonElasticTables:
    """Charged secondaries of one non-elastic interaction.

    Attributes
    ----------
    elements : tuple of str
        Symbols along the first axis, (n_el,).
    energy_mev : ndarray
        Incident kinetic energy, (n_e,), ascending.
    multiplicity : ndarray
        Mean number of protons, deuterons, alphas per interaction, (n_el, n_e, 3).
    edge : ndarray
        Edges of 32 equiprobable bins of emitted energy / incident energy, (n_el, n_e, 3, 33); flat within a bin. The
        last edge is set so that the mean energy is that of the spectrum. A particle that an element does not emit at an
        energy has multiplicity 0 and the shape of the nearest energy at which it does.
    slope : ndarray
        Per energy bin, a of the density exp(a cos theta) on [-1, 1], laboratory, with the bin's mean cosine,
        (n_el, n_e, 3, 32). Negative: backwards; 0: isotropic. cos theta = 1 + ln(u + (1 - u) exp(-2 a)) / a.
    recoil : ndarray
        Energy of all heavier fragments / incident energy, (n_el, n_e); deposited where they are made.
    binding_mev : ndarray
        Energy to separate a proton, deuteron, alpha from the target, (n_el, 3).
    first_mev : ndarray
        What the first emission costs when the incoming proton goes with it, (n_el, 3): nothing for a proton,
        -Q(p, d) and -Q(p, alpha) else. Negative: energy is gained.
    """

    elements: tuple[str, ...]
    energy_mev: FloatArray
    multiplicity: FloatArray
    edge: FloatArray
    slope: FloatArray
    recoil: FloatArray
    binding_mev: FloatArray
    first_mev: FloatArray

    def __post_init__(self) -> None:
        _read_only(self)

    def row(self, element: str) -> int:
        """Index of an element. Raises InputError where it has no table."""
        return _row(self.elements, element)


@dataclass(frozen=True, kw_only=True, slots=True)
class ElasticTables:
    """Scattering angles of nuclear elastic interactions, centre of mass.

    Attributes
    ----------
    elements : tuple of str
        Symbols along the first axis, (n_el,).
    energy_mev : ndarray
        Incident kinetic energy, (n_e,), the grid of `NonElasticTables`.
    cosine : ndarray
        Cosine of the centre-of-mass angle at the edges of 48 equiprobable bins, (n_el, n_e, 49), descending: small
        angles first; flat within a bin. The last edge is set so that the mean of 1 - cos theta, and so the mean
        energy transfer, is that of the distribution. Angles begin where the integral is the tabulated cross section.
    target_mass_mev : ndarray
        Mass of the target nucleus, (n_el,).
    """

    elements: tuple[str, ...]
    energy_mev: FloatArray
    cosine: FloatArray
    target_mass_mev: FloatArray

    def __post_init__(self) -> None:
        _read_only(self)

    def row(self, element: str) -> int:
        """Index of an element. Raises InputError where it has no table."""
        return _row(self.elements, element)


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyShares:
    """Mean shares of the incident energy after a non-elastic interaction; each has the shape of the energy asked for.

    `neutral` is what is left: neutrons, gammas and the energy spent on binding, none of it deposited nearby.
    """

    proton: FloatArray
    deuteron: FloatArray
    alpha: FloatArray
    recoil: FloatArray
    neutral: FloatArray


@cache
def _mass_excess_mev() -> dict[str, tuple[int, int, float]]:
    """Nuclide -> Z, A, atomic mass excess."""
    return {
        row["nuclide"]: (int(row["z"]), int(row["a"]), float(row["mass_excess_kev"]) / 1000.0)
        for row in table_rows("nuclear_masses.csv")
    }


def _excess(z: int, a: int) -> float:
    for charge, nucleons, excess in _mass_excess_mev().values():
        if (charge, nucleons) == (z, a):
            return excess
    raise InputError("mass of a nuclide is not tabulated", got=f"Z {z}, A {a}", remedy="add it to nuclear_masses.csv")


def _separation_mev(element: str) -> tuple[list[float], list[float]]:
    """Separation energies of p, d, alpha, and -Q of (p, p), (p, d), (p, alpha)."""
    z, a, target = _mass_excess_mev()[_TARGETS[element]]
    proton = _excess(1, 1)
    binding, first = [], [0.0]
    for charge, nucleons in ((1, 1), (1, 2), (2, 4)):
        particle = _excess(charge, nucleons)
        binding.append(_excess(z - charge, a - nucleons) + particle - target)
        if nucleons > 1:
            first.append(_excess(z + 1 - charge, a + 1 - nucleons) + particle - target - proton)
    return binding, first


def _recoil(energy_mev: FloatArray, elements: tuple[str, ...]) -> FloatArray:
    recoil = []
    for element in elements:
        rows = [row for row in table_rows("nuclear_icru63.csv") if row["element"] == element]
        nodes = [float(row["energy_mev"]) for row in rows]
        recoil.append(np.interp(energy_mev, nodes, [float(row["recoil_fraction"]) for row in rows]))
    return np.array(recoil)


@cache
def nonelastic_tables() -> NonElasticTables:
    """Multiplicities, spectra and directions of the charged secondaries of every tabulated element.

    Source: ICRU Report 63 (2000), as tabulated by MCsquare; binding from AME2020 (Wang et al. 2021).
    """
    rows = table_rows("nuclear_secondaries.csv")
    elements = tuple(dict.fromkeys(row["element"] for row in rows))
    energy = np.array(sorted({float(row["energy_mev"]) for row in rows}))
    shape = (len(elements), energy.size, len(PARTICLES))
    multiplicity = np.zeros(shape)
    edge = np.zeros((*shape, N_ENERGY_BIN + 1))
    slope = np.zeros((*shape, N_ENERGY_BIN))
    for row in rows:
        at = (
            elements.index(row["element"]),
            int(np.searchsorted(energy, float(row["energy_mev"]))),
            PARTICLES.index(row["particle"]),
        )
        multiplicity[at] = float(row["multiplicity"])
        edge[at] = [float(row[f"e{i}"]) for i in range(N_ENERGY_BIN + 1)]
        slope[at] = [float(row[f"a{i}"]) for i in range(N_ENERGY_BIN)]
    separation = np.array([_separation_mev(element) for element in elements])
    return NonElasticTables(
        elements=elements,
        energy_mev=energy,
        multiplicity=multiplicity,
        edge=edge,
        slope=slope,
        recoil=_recoil(energy, elements),
        binding_mev=separation[:, 0].copy(),
        first_mev=separation[:, 1].copy(),
    )


@cache
def elastic_tables() -> ElasticTables:
    """Elastic scattering angles of every tabulated element.

    Source: ICRU Report 63 (2000), centre-of-mass angles from 5 degrees as tabulated by MCsquare; below 5 degrees
    continued as 1/sin^4(theta/2) down to the angle at which the integral is the tabulated cross section.
    """
    rows = table_rows("nuclear_elastic_angles.csv")
    elements = tuple(dict.fromkeys(row["element"] for row in rows))
    energy = np.array(sorted({float(row["energy_mev"]) for row in rows}))
    cosine = np.ones((len(elements), energy.size, N_ANGLE_BIN + 1))
    for row in rows:
        at = elements.index(row["element"]), int(np.searchsorted(energy, float(row["energy_mev"])))
        cosine[at] = [1.0 - float(row[f"q{i}"]) for i in range(N_ANGLE_BIN + 1)]
    masses = []
    for element in elements:
        z, a, excess = _mass_excess_mev()[_TARGETS[element]]
        masses.append(a * _U_MEV + excess - z * ELECTRON_MASS_MEV)
    return ElasticTables(elements=elements, energy_mev=energy, cosine=cosine, target_mass_mev=np.array(masses))


def separation_cost_mev(element: str, protons: int, deuterons: int, alphas: int) -> float:
    """Energy that the emission of so many charged particles takes from the incident proton.

    The first particle takes the incoming proton with it: as a proton it costs nothing, else -Q(p, d) or -Q(p, alpha)
    to the ground state. Every further one costs its separation energy from the target. Exact for one particle and for
    (p, 2p), (p, pd), (p, p alpha). With more, the changed residual is worth a few MeV per particle; most in C and N,
    which fall apart into alphas for less than this sum. Neutrons and excitation come on top.
    Source: mass excesses of AME2020.

    Raises
    ------
    InputError
        An element without table, or a negative number of particles.
    """
    table = nonelastic_tables()
    row = table.row(element)
    number = np.array([protons, deuterons, alphas])
    if np.any(number < 0):
        raise InputError("number of emitted particles is negative", got=str(number.tolist()), expected="0 or more")
    if not number.any():
        return 0.0
    first = int(np.flatnonzero(number)[0])
    number[first] -= 1
    return float(table.first_mev[row, first] + number @ table.binding_mev[row])


def mean_cosine(slope: ArrayLike) -> FloatArray:
    """Mean of cos theta under exp(a cos theta): coth(a) - 1/a, any shape."""
    a = np.asarray(slope, dtype=np.float64)
    safe = np.where(np.abs(a) < 1e-3, 1.0, a)
    return np.asarray(np.where(np.abs(a) < 1e-3, a / 3.0, 1.0 / np.tanh(safe) - 1.0 / safe))


def mean_shares(element: str, energy_mev: ArrayLike) -> EnergyShares:
    """Mean shares of the incident energy that go to protons, deuterons, alphas, recoils and neutrals.

    Parameters
    ----------
    element : str
        C, N, O, Al, Si, P or Ca.
    energy_mev : array_like
        Incident energy, any shape. All shares are 0 below 7 MeV and constant above 250 MeV.

    Raises
    ------
    InputError
        An element without table.
    """
    table = nonelastic_tables()
    row = table.row(element)
    energy = np.asarray(energy_mev, dtype=np.float64)
    happens = energy >= NUCLEUS_THRESHOLD_MEV
    edge = table.edge[row]
    share = table.multiplicity[row] * np.mean(0.5 * (edge[..., 1:] + edge[..., :-1]), axis=-1)
    parts = [*share.T, table.recoil[row]]
    proton, deuteron, alpha, recoil = (
        np.where(happens, np.interp(energy, table.energy_mev, part), 0.0) for part in parts
    )
    neutral = np.where(happens, 1.0 - proton - deuteron - alpha - recoil, 0.0)
    return EnergyShares(proton=proton, deuteron=deuteron, alpha=alpha, recoil=recoil, neutral=neutral)


def elastic_transfer_mev(energy_mev: ArrayLike, target_mass_mev: ArrayLike, cosine: ArrayLike) -> FloatArray:
    """Energy given to a nucleus at rest when a proton scatters by a centre-of-mass angle; arguments broadcast.

    T = (p^2 M / s) (1 - cos theta) with the proton's momentum p and the squared total energy s; relativistic, exact.
    """
    energy = np.asarray(energy_mev, dtype=np.float64)
    mass = np.asarray(target_mass_mev, dtype=np.float64)
    momentum2 = energy * (energy + 2.0 * PROTON_MASS_MEV)
    s = (PROTON_MASS_MEV + mass) ** 2 + 2.0 * mass * energy
    return np.asarray(momentum2 * mass / s * (1.0 - np.asarray(cosine, dtype=np.float64)))


def mean_elastic_transfer_tabulated_mev(element: str, energy_mev: ArrayLike) -> FloatArray:
    """Mean energy that an elastic interaction gives to the nucleus, from the tabulated angles; 0 below 7 MeV.

    Raises
    ------
    InputError
        An element without table.
    """
    table = elastic_tables()
    row = table.row(element)
    energy = np.asarray(energy_mev, dtype=np.float64)
    cosine = table.cosine[row]
    mean = np.interp(energy, table.energy_mev, np.mean(0.5 * (cosine[:, 1:] + cosine[:, :-1]), axis=-1))
    transfer = elastic_transfer_mev(energy, table.target_mass_mev[row], mean)
    return np.where(energy >= NUCLEUS_THRESHOLD_MEV, transfer, 0.0)
