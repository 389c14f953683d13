"""A computed study as an AnalysisResult: tables, figures, key numbers, findings and files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from protonqa.study.columns import ScenarioAnswers, scenario_answers
from protonqa.study.definitions import definitions
from protonqa.study.export import write_cells, write_tables
from protonqa.study.methods import MODEL, TITLES
from protonqa.study.run import StudyOutcome
from protonqa.study.summary import HEADLINE, ROW_KEYS, Row, best_line
from protonqa.study.worst import worst_cases, worst_figures
from protonqa.values import AnalysisResult, Bar, BarFigure, Figure, Finding, Measurement, Severity, State, Table

NAME, TITLE, VERSION = "sensitivity-study", "Sensitivity study", "1.0"

ROWS, SUBSETS, COVERAGE, FLOORS, COMPARISONS, TORNADO = (
    "rows",
    "subsets",
    "coverage",
    "floors",
    "comparisons",
    "tornado",
)
#: Fewer anatomies say little about a coverage of 95 %.
FEW_ANATOMIES = 200
#: Least share of answers, by the definitions.
LEAST_ANSWERED = 0.95
_KEY_SCENARIOS = ("raw", "washout 5 min", "125 mm + 5 min", "realistic ray")


def study_result(outcome: StudyOutcome, folder: Path | None) -> AnalysisResult:
    """The result of a study; its files go into `folder`."""
    study, summary = outcome.setting.study, outcome.summary
    artefacts: dict[str, str] = {}
    if folder is not None:
        artefacts = write_cells(folder, _answers(outcome), outcome.rays) | write_tables(folder, summary)
    model = [row for row in summary.rows if row["method"] == MODEL and row["subset"] == HEADLINE]
    return AnalysisResult(
        analysis=NAME,
        title=study.title,
        version=VERSION,
        state=State.PASS,
        reason=_sentence(outcome),
        measurements={one.name: one for one in _measurements(outcome, model)},
        tables=(*_tables(outcome), definitions(study, outcome.facts), _domain(outcome)),
        figures=_figures(outcome),
        findings=(*outcome.findings, *_findings(outcome, model)),
        artefacts=artefacts,
        provenance={
            "rays": {key: value for key, value in outcome.facts.items() if key != "recipe"},
            "model": outcome.model["name"],
            "weights_sha256": outcome.model["weights_sha256"],
            "training_set": outcome.model["training_set"],
            "results_hash": outcome.results_hash,
            "study_seed": study.seed,
        },
    )


def table_rows(table: Table) -> list[Row]:
    """Rows of a table as dicts."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _answers(outcome: StudyOutcome) -> Iterator[ScenarioAnswers]:
    return scenario_answers(outcome.folder, outcome.setting.scenarios, outcome.setting.study.methods, outcome.rays)


def _sentence(outcome: StudyOutcome) -> str:
    setting = outcome.setting
    return (
        f"{outcome.rays.true_mm.size} rays of {len(setting.anatomies)} anatomies under {len(setting.scenarios)} "
        f"scenarios by {len(setting.study.methods)} methods"
    )


def _measurements(outcome: StudyOutcome, model: list[Row]) -> Iterator[Measurement]:
    """MAE of the model in the rows people look for first, then coverage and answers over the named rows."""
    level = outcome.setting.study.bootstrap.level
    for row in model:
        if row["scenario"] in _KEY_SCENARIOS and row["range_mae_mm"] is not None:
            low, high = row["range_mae_mm_low"], row["range_mae_mm_high"]
            slug = row["scenario"].replace(" + ", "_").replace(" ", "_")
            yield Measurement(
                name=f"mae_{slug}",
                title=f"MAE, {row['scenario']}",
                value=row["range_mae_mm"],
                unit="mm",
                low=low,
                high=high,
                confidence=None if low is None else level,
            )
    named = [row for row in model if row["group"] == "named"]
    for key, title in (("coverage", "Coverage of the intervals"), ("answered", "Rays answered")):
        values = [row[key] for row in named if row[key] is not None]
        if values:
            yield Measurement(
                name=f"fraction_{key}_least", title=f"{title}, least of the rows", value=min(values), unit="1"
            )
    yield Measurement(name="rays", title="Rays", value=float(outcome.rays.true_mm.size), unit="")
    yield Measurement(name="anatomies", title="Anatomies", value=float(len(outcome.setting.anatomies)), unit="")


_SUBSET_COLUMNS = (
    "scenario",
    "subset",
    "method",
    *ROW_KEYS[2:],
    "n_anatomies",
    "range_mae_mm_low",
    "range_mae_mm_high",
)
_ROW_COLUMNS = (
    *ROW_KEYS,
    "subset",
    "group",
    "n_answered",
    "n_anatomies",
    "range_median_mm",
    "dose_mre_without_falloff_percent",
    "refused_mae_mm",
    "floor_mm",
    *(f"{name}_{end}" for name in ROW_KEYS[3:11] for end in ("low", "high")),
)


def _tables(outcome: StudyOutcome) -> Iterator[Table]:
    summary = outcome.summary
    plain: tuple[tuple[str, str, list[Row], tuple[str, ...]], ...] = (
        (ROWS, "Range and dose errors of every method under every scenario", summary.rows, _ROW_COLUMNS),
        (SUBSETS, "The same by kind of ray and by site", summary.subsets, _SUBSET_COLUMNS),
        (COVERAGE, "Coverage and width of the intervals by subgroup", summary.coverage, ()),
        (FLOORS, "Standard deviation beside the Cramer-Rao bound", summary.floors, ()),
        (COMPARISONS, "The range model against each other method, ray by ray", summary.comparisons, ()),
        (TORNADO, "What one factor at a time does", summary.tornado, ()),
    )
    for name, title, rows, columns in plain:
        if rows:
            chosen = columns or tuple(rows[0])
            yield Table(
                name=name,
                title=title,
                columns=chosen,
                rows=tuple(tuple(_cell(row.get(column)) for column in chosen) for row in rows),
            )


def _domain(outcome: StudyOutcome) -> Table:
    """What the model's card says it was made for."""
    rows = tuple(
        (name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in outcome.model["domain"].items()
    )
    return Table(name="domain", title=f"Domain of the model {outcome.model['name']}", columns=("", ""), rows=rows)


def _figures(outcome: StudyOutcome) -> tuple[Figure, ...]:
    study = outcome.setting.study
    found: list[Figure] = []
    if outcome.summary.bars:
        measure = {"range_mae_mm": "MAE", "range_sd_mm": "SD", "range_p95_mm": "P95"}[study.tornado.measure]
        bars = tuple(
            Bar(
                label=_factor(bar.factor),
                low=bar.low_value,
                high=bar.high_value,
                low_label=_end(bar.low_level, bar.base_level),
                high_label=_end(bar.high_level, bar.base_level),
            )
            for bar in outcome.summary.bars
        )
        found.append(
            BarFigure(
                name="tornado",
                title=f"What matters most: {TITLES[study.tornado.method].lower()}, one factor at a time",
                x_label=f"{measure} of the range (mm)",
                y_label="",
                bars=bars,
                base=outcome.summary.bars[0].base_value,
            )
        )
    if study.worst_cases and MODEL in study.methods:
        cases = worst_cases(_answers(outcome), outcome.rays, MODEL, study.worst_cases)
        found += worst_figures(outcome, cases)
    return tuple(found)


def _factor(name: str) -> str:
    """Words of an axis, its unit in brackets."""
    for ending, unit in (("_mm", "mm"), ("_s", "s"), ("_percent", "%")):
        if name.endswith(ending):
            return f"{name.removesuffix(ending).replace('_', ' ')} ({unit})"
    return name.replace("_", " ")


def _end(level: object, base: object) -> str:
    return f"{level} (base)" if level == base else str(level)


def _findings(outcome: StudyOutcome, model: list[Row]) -> Iterator[Finding]:
    setting, rows = outcome.setting, outcome.summary.rows
    if len(setting.anatomies) < FEW_ANATOMIES:
        text = f"{len(setting.anatomies)} anatomies: coverage needs {FEW_ANATOMIES} or more to be judged within 2 %."
        yield Finding(severity=Severity.INFO, code="STUDY-FEW-ANATOMIES", text=text)
    silent = [row["scenario"] for row in model if row["answered"] < LEAST_ANSWERED]
    if silent:
        text = f"The range model answers less than {100 * LEAST_ANSWERED:g} % of the rays in: {', '.join(silent)}."
        yield Finding(severity=Severity.WARNING, code="STUDY-FEW-ANSWERS", text=text)
    lost = []
    for row in model:
        line = best_line(rows, row["scenario"])
        other = next((r for r in rows if r["scenario"] == row["scenario"] and r["method"] == line), None)
        if other is not None and row["range_mae_mm"] is not None and other["range_mae_mm"] <= row["range_mae_mm"]:
            lost.append(row["scenario"])
    if lost:
        text = f"An A50 line is as good as the range model or better in: {', '.join(lost)}."
        yield Finding(severity=Severity.WARNING, code="STUDY-LINE-WINS", text=text)


def _cell(value: Any) -> str | float | int | bool | None:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
