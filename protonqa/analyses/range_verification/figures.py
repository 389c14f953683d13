"""Figures of a verified field, as data: the map of shifts and three typical rays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.range_verification.estimates import RangeEstimates
from protonqa.analyses.range_verification.planning import PlannedField
from protonqa.values import Figure, ImageFigure, LineFigure, Mark, ProfileSet, Series

Floats = NDArray[np.float64]


def shift_map(field: PlannedField, shift_mm: Floats, *, limit_mm: float) -> ImageFigure:
    """Measured minus planned range in the beam's-eye view; rays without an answer are gaps."""
    image = np.full((field.y_mm.size, field.x_mm.size), np.nan)
    image[field.lattice[:, 0], field.lattice[:, 1]] = np.where(field.evaluable, shift_mm, np.nan)
    half = 0.5 * float(field.x_mm[1] - field.x_mm[0]) if field.x_mm.size > 1 else 2.0
    return ImageFigure(
        name=f"shift-map-{field.beam.number}",
        title=f"Range difference, beam {field.beam.number}",
        x_label="BEV x (mm)",
        y_label="BEV y (mm)",
        image=image,
        extent_mm=(
            float(field.x_mm[0]) - half,
            float(field.x_mm[-1]) + half,
            float(field.y_mm[0]) - half,
            float(field.y_mm[-1]) + half,
        ),
        unit="mm",
        diverging=True,
        limit=limit_mm,
    )


def typical_rays(shift_mm: Floats, usable: NDArray[np.bool_]) -> list[tuple[str, int]]:
    """Index of the rays at the 10th, 50th and 90th percentile of the shift."""
    rows = np.flatnonzero(usable & np.isfinite(shift_mm))
    if rows.size == 0:
        return []
    order = rows[np.argsort(shift_mm[rows])]
    places = (("shallow (10th percentile)", 0.1), ("typical (median)", 0.5), ("deep (90th percentile)", 0.9))
    return [(name, int(order[round(share * (order.size - 1))])) for name, share in places]


def ray_figures(
    field: PlannedField,
    measured: ProfileSet,
    expected: ProfileSet,
    of_measured: RangeEstimates,
    shift_mm: Floats,
    usable: NDArray[np.bool_],
) -> tuple[Figure, ...]:
    """Activity, planned and predicted dose with their range marks for three rays."""
    return tuple(
        _ray_figure(field, measured, expected, of_measured, shift_mm, name, i)
        for name, i in typical_rays(shift_mm, usable)
    )


def _scaled(curve: Floats) -> Floats:
    top = float(curve.max())
    return curve / top if top > 0 else curve


def _ray_figure(
    field: PlannedField,
    measured: ProfileSet,
    expected: ProfileSet,
    of_measured: RangeEstimates,
    shift_mm: Floats,
    name: str,
    i: int,
) -> LineFigure:
    depth = measured.depth_mm
    planned = float(field.planned_r80_mm[i])
    series = [
        Series(label="measured activity", x=depth, y=_scaled(measured.activity[i]), style="points"),
        Series(label="expected activity", x=depth, y=_scaled(expected.activity[i]), style="line"),
        Series(label="planned dose", x=depth, y=_scaled(field.planned_dose[i]), style="line", axis="right"),
    ]
    if of_measured.dose[i].any():
        series.append(Series(label="predicted dose", x=depth, y=of_measured.dose[i], style="dashed", axis="right"))
    low, high = float(of_measured.low_mm[i]), float(of_measured.high_mm[i])
    band = np.isfinite(low) and np.isfinite(high)
    marks = (
        Mark(label="R80 planned", x=planned),
        Mark(
            label="R80 measured",
            x=planned + float(shift_mm[i]),
            low=planned + float(shift_mm[i]) - 0.5 * (high - low) if band else None,
            high=planned + float(shift_mm[i]) + 0.5 * (high - low) if band else None,
        ),
    )
    x, y = field.rays.lateral_mm[i]
    return LineFigure(
        name=f"ray-{field.beam.number}-{i}",
        title=f"Beam {field.beam.number}, ray at x {x:+.0f}, y {y:+.0f} mm: {name}, {shift_mm[i]:+.1f} mm",
        x_label="depth from the body surface (mm)",
        y_label="activity (scaled)",
        series=tuple(series),
        marks=marks,
        y2_label="dose (scaled)",
    )
