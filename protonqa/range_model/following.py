"""Does the answer follow the edge? Tissue is imposed in front of the delivered anatomy while the planning CT stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from protonqa.range_model.dataset import RayTable
from protonqa.range_model.evaluate import run_scenario
from protonqa.range_model.model_file import RangeModel
from protonqa.range_model.scenarios import ScenarioConfig

Floats = NDArray[np.float64]

#: Imposed shifts, mm; whole bins, so that nothing is interpolated.
SHIFTS_MM: tuple[int, ...] = (-10, -6, -3, 3, 6, 10)


def edge_following(
    model: RangeModel,
    table: RayTable,
    rows: NDArray[np.int64],
    scenario: ScenarioConfig,
    *,
    seed: int,
    shifts_mm: tuple[int, ...] = SHIFTS_MM,
) -> float:
    """Slope of the shift of the predicted R80 against the imposed one, through 0; 1 is right.

    A model that reads the range from the planning CT, or has learned the ranges of its training, stays behind. Rays
    that are not answered at a shift do not count there; NaN where none is.
    """
    base = run_scenario(model, table, rows, scenario, seed)
    product, square = 0.0, 0.0
    for shift in shifts_mm:
        moved = run_scenario(model, shifted(table.select(rows), shift), np.arange(rows.size), scenario, seed)
        both = base.answered & moved.answered
        product += float(shift * (moved.r80[both] - base.r80[both]).sum())
        square += float(shift**2 * both.sum())
    return product / square if square > 0 else float("nan")


def shifted(table: RayTable, shift_mm: int) -> RayTable:
    """The same rays with `shift_mm` less tissue before the edge (positive: deeper); planning CT and windows stay."""
    return replace(
        table,
        production=_moved(table.production, shift_mm, outside=0.0),
        alternative=_moved(table.alternative, shift_mm, outside=0.0),
        hu_true=_moved(table.hu_true, shift_mm, outside=-1000.0),
        dose=_moved(table.dose, round(shift_mm / table.schema.dose_bin_mm), outside=0.0),
        r80_mm=table.r80_mm + shift_mm,
    )


def _moved(values: NDArray[np.float32], bins: int, *, outside: float) -> NDArray[np.float32]:
    """Values moved along depth; what stands at the surface is repeated where they move in."""
    if bins >= 0:
        front = np.repeat(values[..., :1], bins, axis=-1)
        return np.concatenate([front, values[..., : values.shape[-1] - bins]], axis=-1)
    behind = np.full((*values.shape[:-1], -bins), outside, dtype=values.dtype)
    return np.concatenate([values[..., -bins:], behind], axis=-1)
