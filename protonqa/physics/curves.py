"""Ranges on depth curves: R80 and its kin of dose, A50 of activity, the fall-off width. Pure functions.

Every rule has three answers: a `RangeMark`, a `NotEvaluable` with its reason, or (the ``*_mm`` functions) a number
or `NotEvaluableError`. A curve is never guessed beyond its window.
"""

from __future__ import annotations

from protonqa.physics.curve_activity import a50, a50_mm, a50s
from protonqa.physics.curve_dose import (
    Falloff,
    Falloffs,
    distal_range,
    distal_range_mm,
    distal_ranges,
    falloff_width,
    falloff_widths,
    homogeneous_falloff_mm,
    is_range_mixed,
)
from protonqa.physics.curve_marks import NotEvaluable, RangeMark, RangeMarks

__all__ = [
    "Falloff",
    "Falloffs",
    "NotEvaluable",
    "RangeMark",
    "RangeMarks",
    "a50",
    "a50_mm",
    "a50s",
    "distal_range",
    "distal_range_mm",
    "distal_ranges",
    "falloff_width",
    "falloff_widths",
    "homogeneous_falloff_mm",
    "is_range_mixed",
]
