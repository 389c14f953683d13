"""From answers to tables: errors, coverage, floors and comparisons of each scenario, with intervals over anatomies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.range_model.metrics import DoseErrors
from protonqa.study.bootstrap import Interval
from protonqa.study.columns import FLAT, MIXED, ROUGH, RayFacts, ScenarioAnswers
from protonqa.study.methods import LINES, MODEL
from protonqa.study.scenarios import level_text
from protonqa.study.settings import StudyConfig
from protonqa.study.statistics import compare, coverage_by_subgroup, method_statistics
from protonqa.study.tornado import ScenarioRow, TornadoBar, tornado

Flags = NDArray[np.bool_]
Row = dict[str, Any]

#: The rows that the contract of ``study run`` names, in its order.
ROW_KEYS: tuple[str, ...] = (
    "scenario",
    "method",
    "n",
    "range_mean_mm",
    "range_mae_mm",
    "range_sd_mm",
    "range_p95_mm",
    "dose_mae",
    "dose_mre_percent",
    "coverage",
    "interval_width_mm",
    "answered",
)
#: Column of a row and statistic it holds; ``_low`` and ``_high`` of each follow.
_VALUES: dict[str, str] = {
    "range_mean_mm": "mean_mm",
    "range_mae_mm": "mae_mm",
    "range_sd_mm": "sd_mm",
    "range_p95_mm": "p95_mm",
    "dose_mae": "dose_mae",
    "dose_mre_percent": "dose_mre_percent",
    "coverage": "coverage",
    "interval_width_mm": "width_mm",
    "range_median_mm": "median_mm",
    "dose_mre_without_falloff_percent": "dose_mre_without_falloff_percent",
}
HEADLINE = "all but range-mixed"
#: Bands of true R80 for the coverage table, mm.
BANDS_MM = (0.0, 80.0, 160.0, 240.0, np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All tables of a study, rows as plain dicts.

    Parameters
    ----------
    rows : list
        One a scenario and method: all rays but range-mixed ones, which follow as scenarios of their own.
    subsets : list
        The same by kind of ray and by site.
    coverage, floors, comparisons, tornado : list
    bars : tuple of TornadoBar
        Of the method and measure that the study names.
    """

    rows: list[Row]
    subsets: list[Row]
    coverage: list[Row]
    floors: list[Row]
    comparisons: list[Row]
    tornado: list[Row]
    bars: tuple[TornadoBar, ...]


def summarise(
    study: StudyConfig,
    answers: Iterable[ScenarioAnswers],
    facts: RayFacts,
    *,
    progress: Callable[[int, str], None] | None = None,
) -> Summary:
    """Make every table.

    Parameters
    ----------
    answers : iterable of ScenarioAnswers
        In the order of the report; looked at once.
    progress : callable(number, name)
        Called before each scenario.
    """
    rows: list[Row] = []
    mixed: list[Row] = []
    subsets: list[Row] = []
    coverage: list[Row] = []
    floors: list[Row] = []
    comparisons: list[Row] = []
    base: ScenarioAnswers | None = None
    for number, one in enumerate(answers):
        if progress is not None:
            progress(number, one.scenario.name)
        base = one if one.scenario.group == "base" else base
        table = _Table(study, one, facts)
        plain = one.scored & ~facts.mixed[one.rows]
        own = table.rows(plain, HEADLINE)
        rows += own if base is None else _paired(study, facts, base, one.rows[plain], own)
        mixed += table.rows(one.scored & facts.mixed[one.rows], MIXED, name=f"{one.scenario.name}, range-mixed rays")
        if one.scenario.group in ("named", "base"):
            for subset, chosen in _subsets(facts, one).items():
                subsets += table.rows(chosen, subset)
            coverage += table.coverage(plain)
            comparisons += table.comparisons(plain, HEADLINE)
            comparisons += table.comparisons(plain & (facts.group[one.rows] == ROUGH), ROUGH)
        floors += table.floors(plain)
    bars, table_rows = _tornados(study, rows)
    return Summary(
        rows=[*rows, *mixed],
        subsets=subsets,
        coverage=coverage,
        floors=floors,
        comparisons=comparisons,
        tornado=table_rows,
        bars=bars,
    )


def _subsets(facts: RayFacts, one: ScenarioAnswers) -> dict[str, Flags]:
    group, site, kind = facts.group[one.rows], facts.site[one.rows], facts.kind[one.rows]
    found = {name: group == name for name in (FLAT, ROUGH, MIXED)}
    found["heterogeneous"] = facts.heterogeneous[one.rows]
    plain = group != MIXED
    found |= {f"site {name}": plain & (site == name) for name in sorted(set(site.tolist()))}
    found |= {f"{name} rays": plain & (kind == name) for name in sorted(set(kind.tolist()))}
    return {name: np.asarray(chosen & one.scored) for name, chosen in found.items() if (chosen & one.scored).any()}


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows of one scenario."""

    study: StudyConfig
    one: ScenarioAnswers
    facts: RayFacts
    draws: int | None = None

    @property
    def _resamples(self) -> int:
        if self.draws is not None:
            return self.draws
        return self.study.bootstrap.resamples if self.one.scenario.group in ("named", "base") else 0

    def rows(self, chosen: Flags, subset: str, *, name: str = "") -> list[Row]:
        """A row for each method on some rays; none where there are no rays."""
        picked = np.flatnonzero(chosen)
        if picked.size == 0:
            return []
        return [self._row(method, picked, subset, name or self.one.scenario.name) for method in self.one.methods]

    def _row(self, method: str, picked: NDArray[np.intp], subset: str, name: str) -> Row:
        one, m = self.one, self.one.method(method)
        number = {key: value[m, picked] for key, value in one.numbers.items()}
        rays = one.rows[picked]
        answered = one.answered[m, picked]
        with_interval = bool(np.isfinite(number["low_mm"][answered]).all() and answered.any())
        with_dose = bool(np.isfinite(number["dose_mae"][answered]).all() and answered.any())
        found = method_statistics(
            number["r80_mm"],
            self.facts.true_mm[rays],
            self.facts.anatomy[rays],
            seed=self.study.seed,
            answered=answered,
            low_mm=number["low_mm"] if with_interval else None,
            high_mm=number["high_mm"] if with_interval else None,
            dose=_dose(number) if with_dose else None,
            resamples=self._resamples,
            level=self.study.bootstrap.level,
        )
        row: Row = {"scenario": name, "method": method, "n": found.n_ray}
        for key, statistic in _VALUES.items():
            row |= _cells(key, found.values.get(statistic))
        ordered = {key: row.pop(key, None) for key in ROW_KEYS}
        ordered["answered"] = found.answered
        floor = _rms(one.floor_mm[picked][answered])
        return {
            **ordered,
            "subset": subset,
            "group": one.scenario.group,
            "n_answered": int(answered.sum()),
            "n_anatomies": found.n_anatomy,
            **row,
            "refused_mae_mm": found.refused_mae_mm,
            "floor_mm": floor,
            **{f"level_{axis}": level for axis, level in one.scenario.levels.items()},
        }

    def coverage(self, chosen: Flags) -> list[Row]:
        """Coverage and width of each method with intervals, by kind of ray, site and range."""
        one, found = self.one, []
        for method in one.methods:
            m = one.method(method)
            low, high = one.numbers["low_mm"][m], one.numbers["high_mm"][m]
            picked = np.flatnonzero(chosen & one.answered[m] & np.isfinite(low) & np.isfinite(high))
            if picked.size == 0:
                continue
            rays = one.rows[picked]
            for axis, names in _subgroups(self.facts, rays).items():
                subgroups = coverage_by_subgroup(
                    low[picked],
                    high[picked],
                    self.facts.true_mm[rays],
                    names,
                    self.facts.anatomy[rays],
                    seed=self.study.seed,
                    resamples=max(min(self._resamples, 300), 100),
                    level=self.study.bootstrap.level,
                )
                found += [
                    {
                        "scenario": one.scenario.name,
                        "method": method,
                        "by": axis,
                        "subgroup": part.subgroup,
                        "n": part.n_ray,
                        "n_anatomies": part.n_anatomy,
                        **_cells("coverage", part.coverage),
                        **_cells("interval_width_mm", part.width_mm),
                    }
                    for part in subgroups
                ]
        return found

    def comparisons(self, chosen: Flags, subset: str) -> list[Row]:
        """The model against each other method, ray by ray."""
        one = self.one
        if MODEL not in one.methods or not chosen.any():
            return []
        picked = np.flatnonzero(chosen)
        rays = one.rows[picked]
        answer = np.where(one.answered, one.numbers["r80_mm"], np.nan)[:, picked]
        first, found = answer[one.method(MODEL)], []
        for method in one.methods:
            second = answer[one.method(method)]
            if method == MODEL or not (np.isfinite(first) & np.isfinite(second)).any():
                continue
            against = compare(
                first,
                second,
                self.facts.true_mm[rays],
                self.facts.anatomy[rays],
                seed=self.study.seed,
                resamples=max(self._resamples, 100),
                level=self.study.bootstrap.level,
            )
            found.append(
                {
                    "scenario": one.scenario.name,
                    "subset": subset,
                    "against": method,
                    "n": against.n_ray,
                    "n_anatomies": against.n_anatomy,
                    "model_mae_mm": against.first_mae_mm,
                    "other_mae_mm": against.second_mae_mm,
                    **_cells("times_better", against.ratio),
                    **_cells("difference_mm", against.difference_mm),
                    "p_value": against.p_value,
                }
            )
        return found

    def floors(self, chosen: Flags) -> list[Row]:
        """Standard deviation of each method beside the Cramer-Rao bound of the same rays, where there is noise."""
        one, found = self.one, []
        for method in one.methods:
            m = one.method(method)
            picked = np.flatnonzero(chosen & one.answered[m] & np.isfinite(one.floor_mm))
            if picked.size < 2:
                continue
            error = one.numbers["r80_mm"][m, picked] - self.facts.true_mm[one.rows[picked]]
            floor, sd = _rms(one.floor_mm[picked]), float(error.std(ddof=1))
            if floor is None or floor <= 0:
                continue
            found.append(
                {
                    "scenario": one.scenario.name,
                    "method": method,
                    "n": int(picked.size),
                    "range_sd_mm": sd,
                    "floor_mm": floor,
                    "sd_over_floor": sd / floor,
                }
            )
        return found


def best_line(rows: Iterable[Mapping[str, Any]], scenario: str) -> str:
    """The A50 line of least MAE in a scenario; empty where there is none."""
    found = [
        (row["range_mae_mm"], row["method"])
        for row in rows
        if row["scenario"] == scenario and row["method"] in LINES and row["range_mae_mm"] is not None
    ]
    return str(min(found)[1]) if found else ""


def _paired(
    study: StudyConfig, facts: RayFacts, base: ScenarioAnswers, rays: NDArray[np.int64], own: list[Row]
) -> list[Row]:
    """The rows with the measure of the tornado under the base on the same rays: a window judges only some."""
    chosen = np.isin(base.rows, rays)
    at_base = {row["method"]: row[study.tornado.measure] for row in _Table(study, base, facts, 0).rows(chosen, "")}
    return [{**row, "at_base": at_base.get(row["method"])} for row in own]


def _tornados(study: StudyConfig, rows: list[Row]) -> tuple[tuple[TornadoBar, ...], list[Row]]:
    """Bars of each method; those of the method the study names come back as bars too."""
    axes = [*dict.fromkeys((*study.vary, *study.grid))]
    base = {axis: level_text(getattr(study.base, axis)) for axis in axes}
    chosen: tuple[TornadoBar, ...] = ()
    found: list[Row] = []
    if not axes:
        return chosen, found
    for method in study.methods:
        bars = _bars(study, rows, method, base)
        if method == study.tornado.method:
            chosen = bars
        found += [
            {
                "method": method,
                "measure": study.tornado.measure,
                "factor": bar.factor,
                "base_level": str(bar.base_level),
                "base_value": bar.base_value,
                "low_level": str(bar.low_level),
                "low_value": bar.low_value,
                "high_level": str(bar.high_level),
                "high_value": bar.high_value,
                "swing": bar.swing,
                "levels": bar.levels,
            }
            for bar in bars
        ]
    return chosen, found


def _bars(study: StudyConfig, rows: list[Row], method: str, base: Mapping[str, str]) -> tuple[TornadoBar, ...]:
    measure = study.tornado.measure
    mine = [row for row in rows if row["method"] == method and row["group"] != "named" and row[measure] is not None]
    whole = next((row[measure] for row in mine if row["group"] == "base"), None)
    if whole is None:
        return ()
    table = [
        ScenarioRow(
            levels={axis: row.get(f"level_{axis}", level) for axis, level in base.items()},
            value=whole + row[measure] - row["at_base"],
        )
        for row in mine
        if row.get("at_base") is not None
    ]
    return tornado(table, base)


def _subgroups(facts: RayFacts, rays: NDArray[np.int64]) -> dict[str, NDArray[np.str_]]:
    band = np.searchsorted(BANDS_MM, facts.true_mm[rays], side="right")
    names = np.array(
        [
            "",
            *(f"R80 {a:g} mm and more" if np.isinf(b) else f"R80 {a:g} to {b:g} mm" for a, b in pairwise(BANDS_MM)),
            "",
        ]
    )
    return {
        "all": np.full(rays.size, "all"),
        "kind of tissue": facts.group[rays],
        "site": facts.site[rays],
        "kind of profile": facts.kind[rays],
        "range": names[band],
    }


def _dose(number: Mapping[str, NDArray[np.float64]]) -> DoseErrors:
    return DoseErrors(
        mae=number["dose_mae"],
        mre_percent=number["dose_mre_percent"],
        mre_without_falloff_percent=number["dose_mre_without_falloff_percent"],
    )


def _cells(key: str, value: Interval | None) -> Row:
    """Value with its bounds; what is not a number is null."""
    if value is None:
        return {key: None, f"{key}_low": None, f"{key}_high": None}
    return {key: _number(value.value), f"{key}_low": _number(value.low), f"{key}_high": _number(value.high)}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rms(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(finite**2))) if finite.size else None
