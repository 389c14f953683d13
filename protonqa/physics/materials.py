"""CT number to material: Schneider composition bins and densities, reference materials."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import InputError
from protonqa.tables import table_rows

#: CT numbers the Schneider table covers; values beyond are clipped and must be counted by the caller.
HU_MIN, HU_MAX = -1000.0, 2995.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One chemical element: atomic number, atomic weight (g/mol), mean excitation energy in compounds (eV)."""

    symbol: str
    z: int
    a: float
    i_ev: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A material: elemental mass fractions, and the density of its reference state (g/cm3)."""

    name: str
    composition: Mapping[str, float]
    density_g_per_cm3: float


@cache
def elements() -> dict[str, Element]:
    """All elements of the tables by symbol. Source: ICRU 49 I-values, see the table."""
    return {
        r["element"]: Element(symbol=r["element"], z=int(r["z"]), a=float(r["a"]), i_ev=float(r["i_ev"]))
        for r in table_rows("elements.csv")
    }


def _composition(row: Mapping[str, str]) -> dict[str, float]:
    fractions = {e: float(row[e]) for e in elements() if e in row and float(row[e]) > 0}
    total = sum(fractions.values())
    return {e: w / total for e, w in fractions.items()}


@cache
def reference_materials() -> tuple[Material, ...]:
    """The named reference materials, in table order (this order is their index)."""
    return tuple(
        Material(name=r["name"], composition=_composition(r), density_g_per_cm3=float(r["density"]))
        for r in table_rows("materials.csv")
    )


@cache
def schneider_materials() -> tuple[Material, ...]:
    """The 25 Schneider composition bins, each with its density at the middle of the bin."""
    materials = []
    for row in table_rows("schneider_composition.csv"):
        middle = 0.5 * (float(row["hu_min"]) + float(row["hu_max"]))
        density = float(density_from_hu(np.array([middle]))[0])
        materials.append(
            Material(name=f"schneider_{row['bin']}", composition=_composition(row), density_g_per_cm3=density)
        )
    return tuple(materials)


def material_names() -> tuple[str, ...]:
    """Names that a phantom may use under ``material:``."""
    return tuple(m.name for m in reference_materials())


def material_index(name: str) -> int:
    """Index of a reference material in ``reference_materials()``.

    Raises
    ------
    InputError
        Unknown name; the message gives the nearest known one.
    """
    names = material_names()
    if name in names:
        return names.index(name)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "see the material table"
    raise InputError("unknown material", got=repr(name), expected=", ".join(names), remedy=hint)


def material(name: str) -> Material:
    """A reference material by name; raises InputError as ``material_index``."""
    return reference_materials()[material_index(name)]


def density_from_hu(hu: ArrayLike) -> NDArray[np.float64]:
    """Mass density (g/cm3) of CT numbers, any shape; HU beyond the table are clipped.

    Source: Schneider et al., Phys Med Biol 45:459 (2000), seven linear sections.
    """
    clipped = np.clip(np.asarray(hu, dtype=np.float64), HU_MIN, HU_MAX)
    edges, offset, slope, shift = _density_sections()
    section = np.clip(np.searchsorted(edges, clipped, side="right") - 1, 0, offset.size - 1)
    return np.asarray(offset[section] + slope[section] * (shift[section] + clipped))


@cache
def _density_sections() -> tuple[NDArray[np.float64], ...]:
    rows = table_rows("schneider_density.csv")
    return tuple(np.array([float(r[k]) for r in rows]) for k in ("hu_min", "offset", "slope", "shift"))


def schneider_bin(hu: ArrayLike) -> NDArray[np.int64]:
    """Index (0 to 24) of the Schneider composition bin of CT numbers, any shape."""
    clipped = np.clip(np.asarray(hu, dtype=np.float64), HU_MIN, HU_MAX)
    edges = np.array([float(r["hu_min"]) for r in table_rows("schneider_composition.csv")])
    return np.asarray(np.clip(np.searchsorted(edges, clipped, side="right") - 1, 0, edges.size - 1))
