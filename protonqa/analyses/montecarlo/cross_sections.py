"""Cross sections of a simulation: a packaged set or a user's file, and how far sets are apart for the beam at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protonqa.physics.emission import CrossSections, cross_section_set
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.values import Finding, Severity, Table

if TYPE_CHECKING:
    from protonqa.montecarlo.medium import Medium
    from protonqa.montecarlo.source import Source

RECOMMENDED = "recommended"
PACKAGED = (RECOMMENDED, "gate")
#: Histories from which the sets are compared: the same ones for each, so that their noise drops out of the ratios.
SPREAD_PROTONS = 2000


def read_cross_sections(choice: str) -> CrossSections | None:
    """A packaged set by name or a user's CSV; None for the recommended one.

    A CSV replaces the curves of its channels; the others stay the recommended ones.

    Raises
    ------
    CalibrationError
        Not a known name and not a usable file.
    """
    if choice == RECOMMENDED:
        return None
    if Path(choice).suffix.lower() != ".csv":
        return cross_section_set(choice)
    from protonqa.files.cross_sections import read_cross_sections_csv

    standard = cross_section_set(RECOMMENDED)
    return CrossSections(name="CSV", curves={**standard.curves, **read_cross_sections_csv(Path(choice))})


def cross_section_findings(used: CrossSections | None) -> tuple[Finding, ...]:
    """Which curves are not the user's own, where a file was given."""
    if used is None or used.name != "CSV":
        return ()
    standard = cross_section_set(RECOMMENDED).curves
    kept = [name for name, curve in used.curves.items() if standard.get(name) is curve]
    if not kept:
        return ()
    text = f"Cross sections not in the file are the recommended ones: {', '.join(kept)}."
    return (Finding(severity=Severity.INFO, code="XS-RECOMMENDED", text=text),)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CrossSectionSpread:
    """Nuclei per proton under each set: rows of `nuclei` (n_set, 7) are the `sets`, columns ``NUCLIDE_KEYS``."""

    sets: tuple[str, ...]
    nuclei: NDArray[np.float64]
    protons: int

    def ratio(self) -> NDArray[np.float64]:
        """Each set over the recommended one, (n_set, 7); 1 where nothing is made."""
        first = self.nuclei[self.sets.index(RECOMMENDED)]
        return np.asarray(np.divide(self.nuclei, first, out=np.ones_like(self.nuclei), where=first > 0))

    def spread_percent(self) -> NDArray[np.float64]:
        """Highest less lowest of the sets over their mean, (7,); 0 where nothing is made."""
        mean = self.nuclei.mean(axis=0)
        gap = self.nuclei.max(axis=0) - self.nuclei.min(axis=0)
        return np.asarray(100.0 * np.divide(gap, mean, out=np.zeros_like(mean), where=mean > 0))

    def to_plain(self) -> dict[str, Mapping[str, float] | int]:
        """JSON types: nuclei per proton by set and nuclide."""
        rows = {
            name: dict(zip(NUCLIDE_KEYS, row.tolist(), strict=True))
            for name, row in zip(self.sets, self.nuclei, strict=True)
        }
        return {**rows, "protons": self.protons}

    def table(self) -> Table:
        """For a report."""
        rows: list[tuple[str | float, ...]] = [
            (key, *self.nuclei[:, i].tolist(), float(self.spread_percent()[i]))
            for i, key in enumerate(NUCLIDE_KEYS)
            if self.nuclei[:, i].max() > 0
        ]
        return Table(
            name="cross-sections",
            title=f"Nuclei per proton by set of cross sections (the same {self.protons} histories)",
            columns=("nuclide", *self.sets, "spread_percent"),
            rows=tuple(rows),
        )


def cross_section_spread(
    medium: Medium, source: Source, *, used: CrossSections | None, seed: int, protons: int, threads: int | None = None
) -> CrossSectionSpread:
    """Yields of a beam under ``recommended``, ``gate`` and, where it is another, the set in use.

    Emitters are counted along the path of each proton and not drawn, so that cross sections change no history: the sets
    are compared on the very same histories, folded with the true spectrum at every depth. A few thousand protons are
    enough for ratios whose noise is far below the spread.
    """
    from protonqa.montecarlo.simulation import simulate
    from protonqa.physics.emission import nuclides_from_channels

    sets = [cross_section_set(name) for name in PACKAGED]
    if used is not None and used.name not in PACKAGED:
        sets.append(used)
    count = min(protons, SPREAD_PROTONS)
    nuclei = []
    for one in sets:
        result = simulate(
            medium=medium,
            source=source,
            protons=count,
            seed=seed,
            cross_sections=None if one.name == RECOMMENDED else one,
            # Depth tallies do not depend on the box: no volumes are needed.
            box=medium.grid.crop((0, 0, 0), (1, 1, 1)),
            threads=threads,
        )
        nuclei.append(nuclides_from_channels(result.channels_per_mm.sum(axis=1)))
    return CrossSectionSpread(sets=tuple(one.name for one in sets), nuclei=np.array(nuclei), protons=count)
