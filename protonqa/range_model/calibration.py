"""After training: intervals, domain score and limits from calibration rays, A50 lines from training rays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.range_model.a50line import A50Lines, fit_a50_lines, reported_a50_mm, timeline_classes
from protonqa.range_model.augmentation import apply_scenarios
from protonqa.range_model.config import FeatureConfig, ModelConfig
from protonqa.range_model.conformal import ConformalTable, GroupAxis, fit_conformal, quantile_edges
from protonqa.range_model.dataset import RayTable, Split
from protonqa.range_model.domain import (
    LEAST_PROXIMAL_MM,
    DomainLimits,
    DomainScore,
    fit_domain_score,
    hard_reasons,
)
from protonqa.range_model.edge import find_edge
from protonqa.range_model.features import build_features
from protonqa.range_model.network import RangeNetwork
from protonqa.range_model.observables import OBSERVABLES, column, edge_shape, observe
from protonqa.range_model.predict import run_members
from protonqa.range_model.scenarios import NAMED_SCENARIOS, ScenarioConfig, draw_scenarios
from protonqa.range_model.training import CALIBRATION, LINES, TrainConfig

Floats = NDArray[np.float64]

#: Rays for the A50 lines: a line of three numbers does not need more.
LINE_RAYS = 6000
#: Ranges this far outside those of training are still answered, mm.
RANGE_MARGIN_MM = 2.0
#: Range-mixed calibration rays that a threshold for their flag needs.
LEAST_MIXED = 50
_BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibrated:
    """What calibration adds to the networks."""

    conformal: ConformalTable
    score: DomainScore
    mixing_threshold: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationRays:
    """What networks say on calibration rays that no hard rule refuses; arrays (n_ray,) and (n_ray, k)."""

    true: Floats
    r80: Floats
    below: Floats
    above: Floats
    disagreement: Floats
    mixing: Floats
    mixed: NDArray[np.bool_]
    observed: Floats
    shape: Floats
    anatomy: NDArray[np.int64]

    def columns(self) -> dict[str, Floats]:
        """What the axes of interval groups may name."""
        found = {name: self.observed[:, i] for i, name in enumerate(OBSERVABLES)}
        spread = 0.5 * (self.below + self.above)
        return {**found, "spread_mm": spread, "disagreement_mm": self.disagreement, "mixing": self.mixing}


def calibration_rays(
    members: tuple[RangeNetwork, ...],
    table: RayTable,
    rows: NDArray[np.int64],
    config: TrainConfig,
    scenario: ScenarioConfig,
    limits: DomainLimits,
    number: int,
) -> CalibrationRays:
    """Networks on `rows` under draw `number` of a scenario: the same rays and draws whatever the networks are."""
    return _outputs(members, table, rows, config.model, scenario, limits, [config.seed, CALIBRATION, number])


def domain_limits(table: RayTable, train: NDArray[np.int64], config: TrainConfig) -> DomainLimits:
    """What the training rays and scenarios span."""
    r80 = table.r80_mm[train]
    scenarios = config.scenarios
    timed = scenarios.raw_share < 1.0
    return DomainLimits(
        r80_low_mm=max(0.0, float(r80.min()) - RANGE_MARGIN_MM),
        r80_high_mm=float(r80.max()) + RANGE_MARGIN_MM,
        energy_low_mev=float(table.energy_low_mev[train].min()),
        energy_high_mev=float(table.energy_high_mev[train].max()),
        longest_delay_s=scenarios.delay_s[1] if timed else 0.0,
        longest_irradiation_s=scenarios.irradiation_s[1] if timed else 0.0,
        longest_acquisition_s=scenarios.acquisition_s[1] if timed else 0.0,
        widest_psf_mm=scenarios.psf_fwhm_mm[1] if scenarios.psf_share > 0 else 0.0,
        shortest_proximal_mm=max(LEAST_PROXIMAL_MM, scenarios.window_length_mm[0] - scenarios.window_end_mm[1]),
        sites=tuple(sorted(set(table.site[train].tolist()))),
    )


def calibrate(
    members: tuple[RangeNetwork, ...], table: RayTable, split: Split, config: TrainConfig, limits: DomainLimits
) -> Calibrated:
    """Domain score, intervals and flag of mixing from the calibration anatomies.

    Intervals are calibrated on the rays that would be answered, under fresh scenarios in each round: those of training,
    and where the config asks for it those of the test as well, so that a clean profile is not given the interval of a
    noisy one. Rays of one anatomy are not independent: the promise holds on average over anatomies.

    Raises
    ------
    InputError
        Too few calibration rays.
    """
    wanted = [config.scenarios] * config.calibration_rounds
    wanted += list(NAMED_SCENARIOS.values()) * config.calibration_named
    rounds = [
        _outputs(members, table, split.calibrate, config.model, scenario, limits, [config.seed, CALIBRATION, number])
        for number, scenario in enumerate(wanted)
    ]
    joined = {name: np.concatenate([getattr(r, name) for r in rounds]) for name in CalibrationRays.__slots__}
    score = fit_domain_score(joined["observed"], joined["shape"], joined["disagreement"])
    inside = score.score(joined["observed"], joined["shape"], joined["disagreement"]) <= 1.0
    kept = {name: value[inside] for name, value in joined.items()}
    threshold = _threshold(kept, config) if config.model.network.mixed_head else None
    columns = {name: kept["observed"][:, i] for i, name in enumerate(OBSERVABLES)}
    columns["spread_mm"] = 0.5 * (kept["below"] + kept["above"])
    columns["disagreement_mm"] = kept["disagreement"]
    columns["mixing"] = kept["mixing"]
    conformal = fit_conformal(
        kept["r80"],
        kept["below"],
        kept["above"],
        kept["true"],
        columns,
        axes=tuple(_axis(name, columns[name], count, threshold) for name, count in config.groups),
        alpha=config.alpha,
        smallest_group=config.smallest_group,
        shrinkage=config.shrinkage,
        anatomy=None if config.interval_confidence is None else kept["anatomy"],
        confidence=config.interval_confidence or 0.0,
    )
    return Calibrated(conformal=conformal, score=score, mixing_threshold=threshold)


def _threshold(kept: dict[str, NDArray[Any]], config: TrainConfig) -> float | None:
    """Probability that the wanted share of the range-mixed rays reaches; None where there are too few of them."""
    mixed = kept["mixing"][kept["mixed"]]
    return float(np.quantile(mixed, 1.0 - config.flagged_share)) if mixed.size >= LEAST_MIXED else None


def _axis(name: str, values: Floats, count: int, threshold: float | None) -> GroupAxis:
    """An axis in bins of equal number; that of mixing is cut where rays are flagged, and finer on the side of those."""
    if name != "mixing" or threshold is None:
        return GroupAxis(name=name, edges=quantile_edges(values, count))
    finer = quantile_edges(values[values >= threshold], count - 1) if count > 2 else ()
    return GroupAxis(name=name, edges=tuple(sorted({threshold, *finer})))


def fit_lines(table: RayTable, train: NDArray[np.int64], config: TrainConfig, features: FeatureConfig) -> A50Lines:
    """A50 lines on the training rays under the training scenarios."""
    rng = np.random.default_rng([config.seed, LINES])
    rows = rng.permutation(train)[:LINE_RAYS]
    a50, rsp, known, classes = [], [], [], list[str]()
    for start in range(0, rows.size, _BATCH):
        part = rows[start : start + _BATCH]
        draw = draw_scenarios(config.scenarios, rng, part.size, n_channel=table.production.shape[1])
        rays = apply_scenarios(table, part, draw)
        edge = find_edge(rays.activity, rays.usable, sd_mm=features.smoothing_sd_mm)
        usable = (edge.found & ~edge.truncated).numpy()
        a50.append(np.where(usable, reported_a50_mm(rays, edge), math.nan))
        rsp.append(observe(rays, edge)[:, column("rsp_at_edge")].numpy())
        known.append(rays.rsp_known.any(dim=1).numpy())
        classes += timeline_classes(rays)
    return fit_a50_lines(np.concatenate(a50), np.concatenate(rsp), np.concatenate(known), classes, table.r80_mm[rows])


def _outputs(
    members: tuple[RangeNetwork, ...],
    table: RayTable,
    rows: NDArray[np.int64],
    model: ModelConfig,
    scenario: ScenarioConfig,
    limits: DomainLimits,
    seed: list[int],
) -> CalibrationRays:
    """Network outputs of the rays that no hard rule refuses."""
    rng = np.random.default_rng(seed)
    parts = []
    _, anatomy = np.unique(table.anatomy[rows], return_inverse=True)
    for start in range(0, rows.size, _BATCH):
        some = rows[start : start + _BATCH]
        draw = draw_scenarios(scenario, rng, some.size, n_channel=table.production.shape[1])
        rays = apply_scenarios(table, some, draw)
        features = build_features(rays, model.features)
        observed = observe(rays, features.edge)
        free = np.array([not r for r in hard_reasons(rays, features.edge, observed, limits)], dtype=bool)
        output = run_members(members, features)
        parts.append(
            CalibrationRays(
                true=table.r80_mm[some][free],
                r80=output.r80_mm[free],
                below=output.below_mm[free],
                above=output.above_mm[free],
                disagreement=output.disagreement_mm[free],
                mixing=output.mixing[free],
                mixed=table.range_mixed[some][free],
                observed=observed.numpy()[free],
                shape=edge_shape(rays, features.edge).numpy()[free],
                anatomy=anatomy[start : start + _BATCH][free],
            )
        )
    if not parts:
        raise InputError("no calibration rays", expected="anatomies kept apart from training")
    return CalibrationRays(
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in CalibrationRays.__slots__}
    )
