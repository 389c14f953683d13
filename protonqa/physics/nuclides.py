"""Positron emitters that protons leave in tissue: names, half-lives, positron energies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Nuclide:
    """One positron emitter.

    Parameters
    ----------
    key : str
        Name in columns and files, such as ``c11``.
    half_life_s : float
    beta_plus_fraction : float
        Positrons per decay.
    endpoint_mev : float
        Maximum positron energy.
    """

    key: str
    label: str
    half_life_s: float
    beta_plus_fraction: float
    endpoint_mev: float

    @property
    def decay_per_s(self) -> float:
        """Physical decay constant."""
        return float(np.log(2.0) / self.half_life_s)


# Half-lives: 11C 20.36 min, 13N 9.965 min, 15O 122.24 s, 38K 7.637 min, 10C 19.3 s, 14O 70.6 s, 30P 2.498 min.
# Branchings and end points: Conti & Eriksson, EJNMMI Physics 3:8 (2016) Table 1 for 11C 13N 15O; 10C, 14O, 30P, 38K
# as used by open PET simulation codes (end points rounded to 0.1 MeV).
NUCLIDES: tuple[Nuclide, ...] = (
    Nuclide(key="c11", label="11C", half_life_s=20.36 * 60, beta_plus_fraction=0.998, endpoint_mev=0.960),
    Nuclide(key="n13", label="13N", half_life_s=9.965 * 60, beta_plus_fraction=0.998, endpoint_mev=1.199),
    Nuclide(key="o15", label="15O", half_life_s=122.24, beta_plus_fraction=0.999, endpoint_mev=1.732),
    Nuclide(key="c10", label="10C", half_life_s=19.3, beta_plus_fraction=1.0, endpoint_mev=1.9),
    Nuclide(key="o14", label="14O", half_life_s=70.6, beta_plus_fraction=0.999, endpoint_mev=1.8),
    Nuclide(key="p30", label="30P", half_life_s=2.498 * 60, beta_plus_fraction=0.999, endpoint_mev=3.2),
    Nuclide(key="k38", label="38K", half_life_s=7.637 * 60, beta_plus_fraction=0.995, endpoint_mev=2.7),
)

NUCLIDE_KEYS: tuple[str, ...] = tuple(n.key for n in NUCLIDES)


def decay_constants_per_s() -> NDArray[np.float64]:
    """Physical decay constants in the order of ``NUCLIDE_KEYS``; shape (7,)."""
    return np.array([n.decay_per_s for n in NUCLIDES])
