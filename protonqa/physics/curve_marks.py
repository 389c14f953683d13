"""What a rule finds on a curve: a mark, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import NotEvaluableError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeMark:
    """A range found on a curve.

    Parameters
    ----------
    value_mm : float
        Depth of the most distal crossing of the level.
    crossings : int
        Falling crossings of the level on the whole curve; 1 means there was nothing to choose.
    peak_mm, reference : float
        Where the reference maximum stands, and its height.
    level : float
        Fraction of the reference that was looked for.
    """

    value_mm: float
    crossings: int
    peak_mm: float
    reference: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEvaluable:
    """Why a curve has no such range.

    ``code`` is one of ``too-few-points``, ``all-zero``, ``constant``, ``too-few-counts``, ``too-noisy``,
    ``truncated``; ``reason`` says it for people, with the numbers.
    """

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeMarks:
    """Ranges of many curves.

    Parameters
    ----------
    value_mm, peak_mm, reference : (n_ray,)
        As in `RangeMark`; NaN where there is none.
    crossings : (n_ray,) int
        0 where there is no mark.
    missing : (n_ray,) of NotEvaluable or None
        None where the mark was found.
    """

    value_mm: FloatArray
    crossings: NDArray[np.int64]
    peak_mm: FloatArray
    reference: FloatArray
    missing: tuple[NotEvaluable | None, ...]

    @property
    def found(self) -> NDArray[np.bool_]:
        """(n_ray,) True where the range was found."""
        return np.array([reason is None for reason in self.missing], dtype=bool)


def gathered(marks: list[RangeMark | NotEvaluable]) -> RangeMarks:
    """One table of the answers for many curves."""

    def column(name: str, absent: float) -> list[float]:
        return [getattr(m, name) if isinstance(m, RangeMark) else absent for m in marks]

    return RangeMarks(
        value_mm=np.array(column("value_mm", np.nan), dtype=np.float64),
        crossings=np.array(column("crossings", 0), dtype=np.int64),
        peak_mm=np.array(column("peak_mm", np.nan), dtype=np.float64),
        reference=np.array(column("reference", np.nan), dtype=np.float64),
        missing=tuple(m if isinstance(m, NotEvaluable) else None for m in marks),
    )


def one(marks: RangeMarks, level: float) -> RangeMark | NotEvaluable:
    """The answer for the first curve."""
    missing = marks.missing[0]
    if missing is not None:
        return missing
    return RangeMark(
        value_mm=float(marks.value_mm[0]),
        crossings=int(marks.crossings[0]),
        peak_mm=float(marks.peak_mm[0]),
        reference=float(marks.reference[0]),
        level=level,
    )


def number(mark: RangeMark | NotEvaluable, name: str) -> float:
    """The depth of a mark; NotEvaluableError where there is none."""
    if isinstance(mark, NotEvaluable):
        raise NotEvaluableError(f"the curve has no {name}", got=mark.reason, expected="a fall-off inside the window")
    return mark.value_mm
