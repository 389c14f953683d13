"""What a model reaches on rays it never saw: rows of the card and of the study, always beside the A50 line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from protonqa.range_model.augmentation import apply_scenarios
from protonqa.range_model.card import MetricRow
from protonqa.range_model.dataset import RayTable
from protonqa.range_model.metrics import coverage, dose_errors, interval_width_mm, range_errors
from protonqa.range_model.model_file import RangeModel
from protonqa.range_model.predict import predict_batch
from protonqa.range_model.rays import WORKING_BINS
from protonqa.range_model.scenarios import WINDOW_ROWS_MM, ScenarioConfig, draw_scenarios
from protonqa.range_model.training import TEST

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MODEL, LINE, REFUSED = "model", "a50-line", "model, refused rays"
#: Scenarios of a clinic, and the rays in domain that the mean over a field needs.
FIELD_ROWS: tuple[str, ...] = ("realistic ray",)
LEAST_FIELD_RAYS = 8
_BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScenarioOutcome:
    """Predictions and truth of test rays under one scenario; arrays (n_ray,)."""

    true: Floats
    r80: Floats
    low: Floats
    high: Floats
    line: Floats
    network: Floats
    answered: Flags
    mixed: Flags
    dose_mae: Floats
    dose_mre: Floats
    dose_mre_plateau: Floats


def run_scenario(
    model: RangeModel, table: RayTable, rows: NDArray[np.int64], scenario: ScenarioConfig, seed: int
) -> ScenarioOutcome:
    """Predict rays `rows` under a scenario drawn with `seed`."""
    rng = np.random.default_rng([seed, TEST])
    edges = np.arange(WORKING_BINS + 1, dtype=np.float64)
    collected: dict[str, list[NDArray[Any]]] = {name: [] for name in ScenarioOutcome.__slots__}
    for start in range(0, rows.size, _BATCH):
        some = rows[start : start + _BATCH]
        draw = draw_scenarios(scenario, rng, some.size, n_channel=table.production.shape[1])
        rays = apply_scenarios(table, some, draw)
        part = predict_batch(model, model.members, rays, torch.device("cpu"), edges)
        dose = dose_errors(edges[:-1] + 0.5, part.dose, _true_dose(table, some), table.r80_mm[some])
        values: dict[str, NDArray[Any]] = {
            "true": table.r80_mm[some],
            "r80": part.r80,
            "low": part.low,
            "high": part.high,
            "line": part.line,
            "network": part.network,
            "answered": np.array([not r for r in part.reason], dtype=bool),
            "mixed": part.mixed,
            "dose_mae": dose.mae,
            "dose_mre": dose.mre_percent,
            "dose_mre_plateau": dose.mre_without_falloff_percent,
        }
        for name, value in values.items():
            collected[name].append(value)
    columns: dict[str, Any] = {name: np.concatenate(parts) for name, parts in collected.items()}
    return ScenarioOutcome(**columns)


def evaluate(
    model: RangeModel,
    table: RayTable,
    rows: NDArray[np.int64],
    scenarios: Mapping[str, ScenarioConfig],
    *,
    seed: int,
    prefix: str = "",
    progress: Callable[[int, int, str], object] | None = None,
) -> tuple[MetricRow, ...]:
    """Rows for every scenario, subset and method.

    Subsets, each behind `prefix`: ``all`` rays; ``in domain``, all that are not range-mixed; of those ``flat mono``
    (neither heterogeneous nor SOBP) and ``heterogeneous``; ``range-mixed``; and, in the scenarios of a clinic,
    ``field mean``: the mean over the rays in domain of a field, a field a row. Window rows score rays deeper than the
    window is long. The A50 line answers the same rays as the model.
    """
    found: list[MetricRow] = []
    for number, (name, scenario) in enumerate(scenarios.items()):
        outcome = run_scenario(model, table, rows, scenario, seed)
        deep = table.r80_mm[rows] > WINDOW_ROWS_MM.get(name, 0.0)
        for subset, inside in _subsets(table, rows).items():
            found += _rows(name, prefix + subset, outcome, inside & deep)
        if name in FIELD_ROWS:
            found += _field_rows(name, f"{prefix}field mean", outcome, _fields(table, rows), ~table.range_mixed[rows])
        if progress is not None:
            progress(number + 1, len(scenarios), name)
    return tuple(found)


def _subsets(table: RayTable, rows: NDArray[np.int64]) -> dict[str, Flags]:
    mixed, rough, sobp = table.range_mixed[rows], table.heterogeneous[rows], table.sobp[rows]
    return {
        "all": np.ones(rows.size, dtype=bool),
        "in domain": ~mixed,
        "flat mono": ~rough & ~sobp & ~mixed,
        "heterogeneous": rough & ~mixed,
        "range-mixed": mixed,
    }


def _rows(name: str, subset: str, outcome: ScenarioOutcome, inside: Flags) -> list[MetricRow]:
    if not inside.any():
        return []
    kept = inside & outcome.answered
    share = float(outcome.answered[inside].mean())
    rows = []
    if kept.any():
        rows.append(
            _row(
                name,
                subset,
                MODEL,
                outcome.r80[kept],
                outcome.true[kept],
                dose_mae=_mean(outcome.dose_mae[kept]),
                dose_mre_percent=_mean(outcome.dose_mre[kept]),
                dose_mre_plateau_percent=_mean(outcome.dose_mre_plateau[kept]),
                coverage=coverage(outcome.low[kept], outcome.high[kept], outcome.true[kept]),
                interval_width_mm=interval_width_mm(outcome.low[kept], outcome.high[kept]),
                answered=share,
                flagged=float(outcome.mixed[kept].mean()),
            )
        )
    lined = kept & np.isfinite(outcome.line)
    if lined.any():
        rows.append(_row(name, subset, LINE, outcome.line[lined], outcome.true[lined]))
    refused = inside & ~outcome.answered & np.isfinite(outcome.network)
    if refused.any():
        rows.append(_row(name, subset, REFUSED, outcome.network[refused], outcome.true[refused], answered=1.0 - share))
    return rows


def _fields(table: RayTable, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Positions in `rows` of the rays of each field: rays of one anatomy with the same energies are of one beam."""
    keys = [f"{table.anatomy[r]} {table.energy_low_mev[r]!r} {table.energy_high_mev[r]!r}" for r in rows]
    _, which = np.unique(np.array(keys), return_inverse=True)
    fields = [np.flatnonzero(which == one) for one in range(int(which.max(initial=-1)) + 1)]
    return [field for field in fields if field.size >= LEAST_FIELD_RAYS]


def _field_rows(
    name: str, subset: str, outcome: ScenarioOutcome, fields: list[NDArray[np.int64]], inside: Flags
) -> list[MetricRow]:
    """Rows of the mean over each field; a field without enough answered rays is left out."""
    kept = [field[(inside & outcome.answered)[field]] for field in fields]
    kept = [field for field in kept if field.size >= LEAST_FIELD_RAYS]
    if not kept:
        return []
    true = np.array([outcome.true[field].mean() for field in kept])
    rows = []
    for method, values in ((MODEL, outcome.r80), (LINE, outcome.line)):
        mean = np.array([np.nanmean(values[field]) for field in kept])
        if np.isfinite(mean).all():
            rows.append(_row(name, subset, method, mean, true))
    return rows


def _row(scenario: str, subset: str, method: str, predicted: Floats, true: Floats, **more: float | None) -> MetricRow:
    errors = range_errors(predicted, true)
    return MetricRow(
        scenario=scenario,
        subset=subset,
        method=method,
        n=errors.n,
        range_mean_mm=errors.mean_mm,
        range_mae_mm=errors.mae_mm,
        range_sd_mm=errors.sd_mm,
        range_median_mm=errors.median_mm,
        range_p95_mm=errors.p95_mm,
        **more,
    )


def _mean(values: Floats) -> float | None:
    """Mean of the finite values; None where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None


def _true_dose(table: RayTable, rows: NDArray[np.int64]) -> Floats:
    """True dose in 1 mm bins."""
    bins = round(1.0 / table.schema.dose_bin_mm)
    return np.asarray(table.dose[rows].reshape(rows.size, WORKING_BINS, bins).mean(axis=2), dtype=np.float64)
