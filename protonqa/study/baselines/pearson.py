"""Pearson: the shift at which measured and expected distal profiles correlate best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from protonqa.study.baselines.interface import KnownProfiles, Needs, Profiles, RangeEstimates, estimates, matched
from protonqa.study.baselines.search import DISTAL_WINDOW, Window, best_shifts, correlation

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PearsonMatch:
    """The shift d that maximises the correlation of measured(z) with expected(z - d) over the distal window.

    The range is the planned R80 plus d. Independent of gain and pedestal.
    """

    name: ClassVar[str] = "pearson"
    title: ClassVar[str] = "Pearson correlation"
    needs: ClassVar[Needs] = Needs(expected=True)

    window: Window = DISTAL_WINDOW

    def range_mm(self, profiles: Profiles, expected: KnownProfiles | None = None) -> RangeEstimates:
        """Planned R80 plus the shift.

        Raises
        ------
        InputError
            No expected profiles, or of other rays or depths; bins that are not equal.
        """
        measured, reference, known = matched(profiles, expected)
        fits = best_shifts(measured, reference, _unlikeness, self.window)
        return estimates(known.r80_mm + fits.shift_mm, fits.missing, expected=known)


def _unlikeness(measured: Floats, model: Floats, weight: Floats, _rows: NDArray[np.intp]) -> Floats:
    return -correlation(measured, model, weight)
