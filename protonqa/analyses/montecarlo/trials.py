"""Simulations of the acceptance test: pencil beams into blocks, with the seed and the device of the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.interface import Context
from protonqa.analyses.montecarlo.beams import PencilBeam, into_face
from protonqa.analyses.montecarlo.params import MonteCarloParams
from protonqa.analyses.montecarlo.where import transport_device
from protonqa.montecarlo.medium import Medium
from protonqa.montecarlo.result import MonteCarloResult
from protonqa.montecarlo.simulation import simulate
from protonqa.physics.emission import cross_section_set


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """Runs simulations for the checks.

    Parameters
    ----------
    seed : int
    device : str
        ``cpu`` or ``cuda``.
    quick : bool
        Fewer protons and cases; the limits stay.
    is_cancelled : callable or None
    """

    seed: int = 0
    device: str = "cpu"
    quick: bool = False
    is_cancelled: Callable[[], bool] | None = None

    @classmethod
    def of(cls, context: Context[MonteCarloParams]) -> Trials:
        """As the context of the test asks."""
        device = transport_device(context.device)
        return cls(seed=context.seed, device=device.kind, quick=context.quick, is_cancelled=context.is_cancelled)

    def run(
        self,
        medium: Medium,
        energy_mev: float,
        protons: int,
        *,
        spot_sigma_mm: float = 0.0,
        nuclear: bool = True,
        cross_sections: str = "recommended",
        threads: int | None = None,
    ) -> MonteCarloResult:
        """A pencil beam along +z into the centre of the face of a block."""
        beam = PencilBeam(energy_mev=energy_mev, spot_sigma_mm=spot_sigma_mm)
        return simulate(
            medium=medium,
            source=into_face(medium.grid, beam).source,
            protons=protons,
            seed=self.seed,
            threads=threads,
            device=self.device,
            nuclear=nuclear,
            cross_sections=None if cross_sections == "recommended" else cross_section_set(cross_sections),
            cancelled=self.is_cancelled,
        )

    def fewer(self, full: int, quick: int) -> int:
        """Protons of a run."""
        return quick if self.quick else full


def lateral_profile(result: MonteCarloResult, first: int, last: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Energy across x in the planes `first` to `last` (excluded), summed over y, and the places of the columns (mm)."""
    counts = result.dose_medium_gy[first:last].sum(axis=(0, 1), dtype=np.float64)
    step = result.grid.spacing_mm[0]
    return counts, (np.arange(counts.size) - 0.5 * (counts.size - 1)) * step
