"""Rays under one scenario: as measured, without their noise, and as the plan leaves one to expect them.

Draws belong to an anatomy and the seed of the study alone: the same patient meets the same noise, washout and window
draws in every scenario, so that differences between scenarios are paired.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protonqa.activity.washout import WashoutScenario, washout_names
from protonqa.study.conditions import STORED
from protonqa.study.scenarios import StudyScenario

if TYPE_CHECKING:
    from protonqa.range_model.dataset import RayTable
    from protonqa.range_model.rays import RayBatch
    from protonqa.range_model.scenarios import ScenarioDraw

Rows = NDArray[np.int64]

#: Expected profiles with the washout model that the truth was drawn from.
SAME = "same"


def draw_for(scenario: StudyScenario, table: RayTable, anatomy: str, seed: int) -> ScenarioDraw:
    """What is drawn for the rays of one anatomy, which are all of `table`."""
    from protonqa.range_model.scenarios import draw_scenarios

    words = [int(word) for word in np.frombuffer(hashlib.sha256(anatomy.encode()).digest()[:16], dtype="<u4")]
    # All washout models are drawn whatever the scenario needs, so that every other draw is the same in each.
    every = scenario.config.model_copy(update={"washout": dict.fromkeys(washout_names(), 1.0)})
    rng = np.random.default_rng([seed, *words])
    draw = draw_scenarios(every, rng, len(table), n_channel=table.production.shape[1])
    names = _chosen(scenario.config.washout, np.random.default_rng([seed, *words, 1]).random(len(table)))
    used = {name: draw.washout[name] for name in sorted(set(names.tolist()))}
    draw = replace(draw, washout_name=names, washout=used)
    if scenario.hu_bias_percent:
        draw = replace(draw, rsp_factor=draw.rsp_factor * (1.0 + scenario.hu_bias_percent / 100.0))
    if scenario.proximal and scenario.window_mm is not None:
        start = np.full(len(table), -np.inf)
        draw = replace(draw, window_start_mm=start, window_end_mm=scenario.window_mm - table.planned_r80_mm)
    return draw


def measured_rays(scenario: StudyScenario, table: RayTable, draw: ScenarioDraw, *, noise: bool = True) -> RayBatch:
    """The rays as a method is shown them; without `noise` everything else stays as it was drawn.

    Raises
    ------
    InputError
        Cross sections that the rays were not simulated with.
    """
    from protonqa.range_model.augmentation import apply_scenarios

    if scenario.cross_sections != STORED:
        production = table.production_of(_all(table), scenario.cross_sections)
        table, draw = replace(table, production=production), replace(draw, other_table=np.full(len(draw), -1.0))
    return apply_scenarios(table, _all(table), _quiet(draw, noise=noise))


def expected_rays(table: RayTable, draw: ScenarioDraw, washout: str) -> RayBatch | None:
    """The rays simulated on the planning CT, without noise and with published washout; None where there are none.

    Time line, blur and window are those of the measurement, errors of cross sections and RSP are not known to the plan.
    """
    from protonqa.range_model.augmentation import apply_scenarios

    production = expected_production(table)
    if production is None:
        return None
    names = draw.washout_name if washout == SAME else np.full(len(table), washout)
    nominal = {name: _nominal(name, len(table)) for name in sorted(set(names.tolist()))}
    quiet = replace(
        _quiet(draw, noise=False),
        washout_name=names,
        washout=nominal,
        rsp_factor=np.ones(len(table)),
        channel_gain=np.ones_like(draw.channel_gain),
        other_table=np.full(len(draw), -1.0),
    )
    planned = replace(table, production=production, hu_true=table.hu)
    return apply_scenarios(planned, _all(table), quiet)


def expected_production(table: RayTable) -> NDArray[np.float32] | None:
    """Nuclei that the planning CT leaves one to expect, (n, n_channel, 448); None where no ray holds them."""
    if not np.asarray(table.planned_known).any():
        return None
    return np.asarray(table.planned_production)


def _chosen(weights: dict[str, float], uniform: NDArray[np.float64]) -> NDArray[np.str_]:
    """A washout model for each number in 0 to 1."""
    names = sorted(name for name, weight in weights.items() if weight > 0)
    edges = np.cumsum([weights[name] for name in names])
    return np.array(names)[np.searchsorted(edges / edges[-1], uniform, side="right")]


def _quiet(draw: ScenarioDraw, *, noise: bool) -> ScenarioDraw:
    return draw if noise else replace(draw, noise=np.full(len(draw), "none"))


def _nominal(name: str, n: int) -> WashoutScenario:
    fractions, _ = WashoutScenario(model=name).group_parameters()
    factors = np.ones((n, *fractions.shape[1:]))
    return WashoutScenario(model=name, fraction_factors=factors, half_life_factors=factors)


def _all(table: RayTable) -> Rows:
    return np.arange(len(table), dtype=np.int64)
