"""The edge-following test shifts what is delivered and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.range_model.dataset import RayTable
from protonqa.range_model.following import edge_following, shifted
from protonqa.range_model.model_file import RangeModel
from protonqa.range_model.scenarios import NAMED_SCENARIOS


@pytest.mark.parametrize("shift", [-7, 7])
def test_activity_dose_and_truth_move_and_the_planning_ct_stays(toy_table: RayTable, shift: int) -> None:
    moved = shifted(toy_table, shift)
    assert np.allclose(moved.r80_mm, toy_table.r80_mm + shift)
    assert np.array_equal(moved.rsp, toy_table.rsp)
    assert np.array_equal(moved.planned_r80_mm, toy_table.planned_r80_mm)
    inner = slice(20, 400)
    there = slice(20 + shift, 400 + shift)
    assert np.array_equal(moved.production[..., there], toy_table.production[..., inner])
    dose = round(1.0 / toy_table.schema.dose_bin_mm)
    assert np.array_equal(
        moved.dose[:, (20 + shift) * dose : (400 + shift) * dose], toy_table.dose[:, 20 * dose : 400 * dose]
    )


def test_a_model_that_reads_the_edge_follows_it(toy_model: RangeModel, toy_table: RayTable) -> None:
    slope = edge_following(toy_model, toy_table, np.arange(24), NAMED_SCENARIOS["raw"], seed=1, shifts_mm=(-4, 4))
    assert slope == pytest.approx(1.0, abs=0.2)
