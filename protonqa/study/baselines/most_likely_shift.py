"""Most-likely shift: where the mean absolute difference of measured and expected distal profiles is least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from protonqa.study.baselines.interface import KnownProfiles, Needs, Profiles, RangeEstimates, estimates, matched
from protonqa.study.baselines.search import DISTAL_WINDOW, Window, best_shifts

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class MostLikelyShift:
    """The shift d that minimises the mean over the window of |measured(z) / M - expected(z - d) / E|.

    The window lies around the distal fall-off of the expected profile, M and E are the means of both profiles over it.
    The range is the planned R80 plus d. Independent of the gain; a pedestal counts as activity.

    In the published sum |measured(z + d) / M - expected(z) / E| the window moves over the measured profile
    (``follows``). Bins then come and go with d, and additive noise of a quarter of the maximum pulls d by 1 mm and more
    towards the surface, where M is larger; a window that stands still has no such bias and less scatter, and is the
    default.

    Source: the method of Frey et al, Phys Med Biol 59:5903 (2014); length of the window and norm are choices made here.
    """

    name: ClassVar[str] = "most-likely-shift"
    title: ClassVar[str] = "Most-likely shift"
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
        fits = best_shifts(measured, reference, mean_difference, self.window)
        return estimates(known.r80_mm + fits.shift_mm, fits.missing, expected=known)


def mean_difference(measured: Floats, model: Floats, weight: Floats, _rows: NDArray[np.intp]) -> Floats:
    """Mean absolute difference of both profiles over their own means; (n_ray, n) -> (n_ray,).

    Infinite where a profile has no positive mean.
    """
    count = weight.sum(axis=1)
    m, e = (measured * weight).sum(axis=1), (model * weight).sum(axis=1)
    fine = (m > 0) & (e > 0) & (count > 0)
    m, e, count = (np.where(fine, v, 1.0)[:, None] for v in (m, e, count))
    gap = np.abs(measured * count / m - model * count / e) * weight
    return np.where(fine, gap.sum(axis=1) / count[:, 0], np.inf)
