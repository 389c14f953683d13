"""Cross sections for the production of positron emitters by protons, per reaction channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import CalibrationError
from protonqa.physics.constants import AVOGADRO_PER_MOL, MILLIBARN_CM2
from protonqa.physics.materials import Material, elements
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.tables import table_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One reaction: target element and isotope abundance (atom fraction), product nuclide."""

    name: str
    element: str
    abundance: float
    nuclide: str


#: Tallied channels, in tally order. Abundances: IUPAC 2013 representative isotopic compositions.
CHANNELS: tuple[Channel, ...] = (
    Channel(name="p+12C->11C", element="C", abundance=0.9893, nuclide="c11"),
    Channel(name="p+14N->11C", element="N", abundance=0.99636, nuclide="c11"),
    Channel(name="p+16O->11C", element="O", abundance=0.99757, nuclide="c11"),
    Channel(name="p+16O->13N", element="O", abundance=0.99757, nuclide="n13"),
    Channel(name="p+14N->13N", element="N", abundance=0.99636, nuclide="n13"),
    Channel(name="p+13C->13N", element="C", abundance=0.0107, nuclide="n13"),
    Channel(name="p+16O->15O", element="O", abundance=0.99757, nuclide="o15"),
    Channel(name="p+12C->10C", element="C", abundance=0.9893, nuclide="c10"),
    Channel(name="p+14N->14O", element="N", abundance=0.99636, nuclide="o14"),
    Channel(name="p+31P->30P", element="P", abundance=1.0, nuclide="p30"),
    Channel(name="p+40Ca->38K", element="Ca", abundance=0.96941, nuclide="k38"),
)
CHANNEL_NAMES: tuple[str, ...] = tuple(c.name for c in CHANNELS)
#: Index into ``NUCLIDE_KEYS`` of each channel's product.
CHANNEL_NUCLIDE: tuple[int, ...] = tuple(NUCLIDE_KEYS.index(c.nuclide) for c in CHANNELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossSections:
    """A named set of curves: channel name -> (energy_mev, xs_mb), linear between points.

    Below the first point a curve is zero (threshold); above the last it keeps its last value.
    """

    name: str
    curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]

    def __post_init__(self) -> None:
        for channel, (energy, xs) in self.curves.items():
            if channel not in CHANNEL_NAMES:
                raise CalibrationError("unknown reaction channel", got=repr(channel), expected=", ".join(CHANNEL_NAMES))
            ordered = energy.size >= 2 and bool(np.all(np.diff(energy) > 0))
            if not ordered or not np.all(np.isfinite(xs)) or (xs < 0).any():
                raise CalibrationError(
                    f"cross-section curve of {channel} is unusable",
                    expected="increasing MeV and finite mb of 0 or more",
                )

    def xs_mb(self, channel: str, energy_mev: ArrayLike) -> NDArray[np.float64]:
        """Cross section (mb per nucleus of the isotope) at energies of any shape; 0 for a channel not in the set."""
        energy = np.asarray(energy_mev, dtype=np.float64)
        curve = self.curves.get(channel)
        if curve is None:
            return np.zeros_like(energy)
        return np.asarray(np.interp(energy, curve[0], curve[1], left=0.0))

    def production_per_g(self, material: Material, energy_mev: ArrayLike) -> NDArray[np.float64]:
        """Nuclei produced per proton and g/cm2 of path; shape ``(n_channel, *energy)``."""
        energy = np.asarray(energy_mev, dtype=np.float64)
        out = np.zeros((len(CHANNELS), *energy.shape))
        for i, channel in enumerate(CHANNELS):
            weight = material.composition.get(channel.element, 0.0)
            if weight > 0:
                per_g = AVOGADRO_PER_MOL * weight * channel.abundance / elements()[channel.element].a
                out[i] = per_g * MILLIBARN_CM2 * self.xs_mb(channel.name, energy)
        return out


def _packaged(table: str) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    rows = table_rows(table)
    curves = {}
    for name in CHANNEL_NAMES:
        mine = [r for r in rows if r["channel"] == name]
        if mine:
            curves[name] = (
                np.array([float(r["energy_mev"]) for r in mine]),
                np.array([float(r["xs_mb"]) for r in mine]),
            )
    return curves


@cache
def cross_section_set(name: str) -> CrossSections:
    """A packaged set.

    ``recommended``: smooth curves through EXFOR data. ``gate``: GATE's curves for 12C->11C, 16O->11C and 16O->15O, with
    the recommended curves for every channel GATE does not have.

    Raises
    ------
    CalibrationError
        Unknown set.
    """
    if name == "recommended":
        return CrossSections(name=name, curves=_packaged("emitters_recommended.csv"))
    if name == "gate":
        return CrossSections(
            name=name, curves={**_packaged("emitters_recommended.csv"), **_packaged("emitters_gate.csv")}
        )
    raise CalibrationError("unknown cross-section set", got=repr(name), expected="recommended, gate or a CSV file")


def nuclides_from_channels(per_channel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum channels into nuclides along the first axis: (n_channel, ...) -> (7, ...)."""
    out = np.zeros((len(NUCLIDE_KEYS), *per_channel.shape[1:]))
    np.add.at(out, list(CHANNEL_NUCLIDE), per_channel)
    return out
