"""The Monte Carlo truth of a made case: where the dose of the delivered anatomy ends against the planned one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.forward import FieldSimulation
from protonqa.geometry.rays import cast_rays_at, depth_profiles
from protonqa.physics.beam_models import generic_beam_model
from protonqa.physics.curves import distal_ranges
from protonqa.values import AnalysisResult, Grid, ImageFigure

#: Cross section of the rays of the truth: that of the rays `verify` judges.
RAY_WIDTH_MM = 8.0


def true_shift_mm(
    planned: FieldSimulation,
    delivered: FieldSimulation,
    body: NDArray[np.bool_],
    grid: Grid,
    lateral_mm: NDArray[np.float64],
) -> float:
    """Mean difference of R80 between delivered and planned dose (mm) on rays at BEV positions (n, 2)."""
    sad = planned.beam.virtual_sad_mm or generic_beam_model().virtual_sad_mm
    rays = cast_rays_at(body, grid, planned.frame, lateral_mm, sad_mm=sad)
    rays = rays.select(rays.valid)
    n_depth = int(min(rays.body_depth_mm.max(), 448))
    depth = np.arange(n_depth) + 0.5
    ends = [
        distal_ranges(depth, depth_profiles(one.dose(), rays, n_depth, cross_section_mm=RAY_WIDTH_MM)).value_mm
        for one in (planned, delivered)
    ]
    return float(np.nanmean(ends[1] - ends[0]))


def judged_rays(result: AnalysisResult, beam_number: int) -> NDArray[np.float64]:
    """BEV positions (n, 2) of the rays that a verdict rests on; the axis where there are none."""
    name = f"shift-map-{beam_number}"
    figure = next((f for f in result.figures if isinstance(f, ImageFigure) and f.name == name), None)
    if figure is None or not np.isfinite(figure.image).any():
        return np.zeros((1, 2))
    n_y, n_x = figure.image.shape
    left, right, low, high = figure.extent_mm
    x = left + (np.arange(n_x) + 0.5) * (right - left) / n_x
    y = low + (np.arange(n_y) + 0.5) * (high - low) / n_y
    row, column = np.nonzero(np.isfinite(figure.image))
    return np.stack([x[column], y[row]], axis=1)
