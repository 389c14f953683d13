"""The report of a sensitivity study: the table first, then floors, coverage, what matters most, worst cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from protonqa.report.document import Block, Facts, FigureBlock, Findings, GridTable, Heading, KeyNumber, KeyNumbers
from protonqa.report.text import clean
from protonqa.report.wording import interval, number, sentence, with_unit
from protonqa.values import AnalysisResult, BarFigure, Finding, LineFigure, Measurement, Table

#: Analyses that this layout prints.
ANALYSIS = "sensitivity-study"
_DASH = "–"
#: Headings of methods where a table has a column for each.
SHORT = {
    "model": "Model",
    "paper-protocol": "Paper protocol",
    "a50-line": "Line",
    "a50-line-rsp": "Line RSP",
    "a50-line-density": "Line density",
    "a50-line-wepl": "Line WEPL",
    "most-likely-shift": "Likely shift",
    "profile-match-additive": "Match add.",
    "profile-match-multiplicative": "Match mult.",
    "profile-match-poisson": "Match Poisson",
    "pearson": "Pearson",
}
ANSWERS_ENOUGH = 0.95
Row = Mapping[str, Any]


def study_blocks(result: AnalysisResult, findings: tuple[Finding, ...]) -> Iterator[Block]:
    """Blocks of the report of a study, up to its traceability."""
    tables = {table.name: _rows(table) for table in result.tables}
    yield KeyNumbers(numbers=tuple(_key_number(one) for one in list(result.measurements.values())[:4]))
    yield Facts(title="Study", rows=(("Extent", sentence(result.reason)),), columns=1)
    yield Findings(findings=findings)
    yield from _summary(tables.get("rows", []))
    yield Heading(text="Errors of range and dose", new_page=True)
    yield from _error_tables(tables.get("rows", []))
    yield from _floor_tables(_named(tables.get("floors", [])))
    yield from _tornado(result, tables.get("tornado", []))
    worst = [one for one in result.figures if isinstance(one, LineFigure)]
    if worst:
        yield Heading(text="Worst cases of the range model", new_page=True)
        for one in worst:
            yield FigureBlock(figure=one, caption=clean(one.title, limit=160), size="curve")
    yield Heading(text="Coverage, comparisons and kinds of ray")
    yield from _coverage_tables(_named(tables.get("coverage", [])))
    yield from _comparison_tables(_named(tables.get("comparisons", [])))
    yield from _subset_tables(
        [row for row in _named(tables.get("subsets", [])) if row["method"] in ("model", "a50-line-rsp")]
    )
    yield Heading(text="Definitions")
    for table in result.tables:
        if table.name in ("definitions", "domain"):
            yield Facts(
                title=clean(table.title, limit=120),
                rows=tuple((clean(str(term), limit=60), clean(str(text), limit=300)) for term, text in table.rows),
                columns=1,
                label_mm=48.0,
            )


def _summary(rows: Sequence[Row]) -> Iterator[Block]:
    """Every named scenario by every method, a page at most: what a reader wants first."""
    named = [row for row in rows if row["group"] == "named" and row["subset"] != "range-mixed"]
    methods = list(dict.fromkeys(str(row["method"]) for row in named))
    scenarios = list(dict.fromkeys(str(row["scenario"]) for row in named))
    found = {(str(row["scenario"]), str(row["method"])): row for row in named}
    if named:
        yield GridTable(
            title="Mean absolute error of the range (mm) by scenario and method",
            columns=("Scenario", *(SHORT.get(method, method) for method in methods)),
            rows=tuple(
                (_scenario(name), *(_mae(found.get((name, method))) for method in methods)) for name in scenarios
            ),
            numeric=frozenset(range(1, len(methods) + 1)),
            note="Rays that are not range-mixed and that the method answers; a star where it answers less than 95 %. "
            "Line: A50. Shift and match compare with the expected profile of the planning CT.",
        )


def _mae(row: Row | None) -> str:
    if row is None or row["range_mae_mm"] is None or not row["answered"]:
        return _DASH
    return _mm(row["range_mae_mm"]) + ("*" if row["answered"] < ANSWERS_ENOUGH else "")


def _named(rows: Sequence[Row]) -> list[Row]:
    """Rows of named scenarios and of the base: all others stand in the CSV files beside the report."""
    return [row for row in rows if not str(row["scenario"]).startswith(("vary:", "grid:"))]


def _key_number(one: Measurement) -> KeyNumber:
    share = one.name.startswith("fraction")
    value = f"{100 * (one.value or 0.0):.1f} %" if share else with_unit(one)
    note = f"95 % interval {interval(one)}" if one.low is not None and one.confidence == 0.95 else ""
    return KeyNumber(label=one.title, value=value, note=note)


def _error_tables(rows: Sequence[Row]) -> Iterator[Block]:
    groups = (
        ("named", False, "Named scenarios"),
        ("named", True, "Named scenarios, range-mixed rays"),
        ("other", False, "Base, grid and variations, range model"),
    )
    for group, mixed, title in groups:
        chosen = [
            row
            for row in rows
            if (row["group"] == "named") == (group == "named")
            and (row["subset"] == "range-mixed") == mixed
            and (group == "named" or row["method"] == "model")
        ]
        if chosen:
            yield GridTable(
                title=title,
                columns=(
                    "Scenario",
                    "Method",
                    "n",
                    "Mean",
                    "SD",
                    "MAE",
                    "95 % of MAE",
                    "P95",
                    "Dose MAE",
                    "MRE %",
                    "Cov. %",
                    "Width",
                    "Answ. %",
                ),
                rows=tuple(_error_row(row, chosen[i - 1] if i else None) for i, row in enumerate(chosen)),
                numeric=frozenset(range(2, 13)),
                note="Lengths in mm: mean and SD (range uncertainty) of the error, MAE and 95th percentile of its "
                "size. Dose MAE over the maximum. Cov., width: of the 95 % intervals. n counts the rays asked about, "
                "errors are those of the answered ones. Every scenario and method stands in rows.csv.",
            )


def _error_row(row: Row, before: Row | None) -> tuple[str, ...]:
    scenario = "" if before is not None and before["scenario"] == row["scenario"] else _scenario(row["scenario"])
    return (
        scenario,
        clean(str(row["method"]), limit=40),
        number(row["n"]),
        _mm(row["range_mean_mm"]),
        _mm(row["range_sd_mm"]),
        _mm(row["range_mae_mm"]),
        _between(row.get("range_mae_mm_low"), row.get("range_mae_mm_high")),
        _mm(row["range_p95_mm"]),
        _places(row["dose_mae"], 3),
        _places(row["dose_mre_percent"], 1),
        _percent(row["coverage"]),
        _mm(row["interval_width_mm"]),
        _percent(row["answered"]),
    )


def _floor_tables(rows: Sequence[Row]) -> Iterator[Block]:
    if rows:
        yield GridTable(
            title="Standard deviation beside the Cramer-Rao bound of the same rays",
            columns=("Scenario", "Method", "n", "SD (mm)", "Bound (mm)", "SD / bound"),
            rows=tuple(
                (
                    _scenario(row["scenario"]),
                    str(row["method"]),
                    number(row["n"]),
                    _mm(row["range_sd_mm"]),
                    _places(row["floor_mm"], 3),
                    _places(row["sd_over_floor"], 2),
                )
                for row in rows
            ),
            numeric=frozenset(range(2, 6)),
            note="The bound holds for a profile known but for shift and gain; the SD also has what is not noise.",
        )


def _comparison_tables(rows: Sequence[Row]) -> Iterator[Block]:
    if rows:
        yield GridTable(
            title="The range model against each other method on the rays both answered",
            columns=("Scenario", "Rays", "Against", "n", "MAE model", "MAE other", "Times better", "95 %", "p"),
            rows=tuple(
                (
                    _scenario(row["scenario"]),
                    str(row["subset"]),
                    str(row["against"]),
                    number(row["n"]),
                    _mm(row["model_mae_mm"]),
                    _mm(row["other_mae_mm"]),
                    _places(row["times_better"], 2),
                    _between(row["times_better_low"], row["times_better_high"]),
                    _places(row["p_value"], 3),
                )
                for row in rows
            ),
            numeric=frozenset(range(3, 9)),
            note="p: exchanging both methods in whole anatomies.",
        )


def _coverage_tables(rows: Sequence[Row]) -> Iterator[Block]:
    if rows:
        yield GridTable(
            title="Coverage and width of the intervals by subgroup",
            columns=("Scenario", "Method", "By", "Subgroup", "n", "Anatomies", "Coverage %", "95 %", "Width (mm)"),
            rows=tuple(
                (
                    _scenario(row["scenario"]),
                    str(row["method"]),
                    str(row["by"]),
                    str(row["subgroup"]),
                    number(row["n"]),
                    number(row["n_anatomies"]),
                    _percent(row["coverage"]),
                    _between(row["coverage_low"], row["coverage_high"], scale=100.0, places=1),
                    _mm(row["interval_width_mm"]),
                )
                for row in rows
            ),
            numeric=frozenset(range(4, 9)),
        )


def _subset_tables(rows: Sequence[Row]) -> Iterator[Block]:
    if rows:
        yield GridTable(
            title="Errors by kind of ray and by site, model and line (all methods: subsets.csv)",
            columns=("Scenario", "Rays", "Method", "n", "Mean", "SD", "MAE", "P95", "MRE %", "Answ. %"),
            rows=tuple(
                (
                    _scenario(row["scenario"]),
                    str(row["subset"]),
                    str(row["method"]),
                    number(row["n"]),
                    _mm(row["range_mean_mm"]),
                    _mm(row["range_sd_mm"]),
                    _mm(row["range_mae_mm"]),
                    _mm(row["range_p95_mm"]),
                    _places(row["dose_mre_percent"], 1),
                    _percent(row["answered"]),
                )
                for row in rows
            ),
            numeric=frozenset(range(3, 10)),
        )


def _tornado(result: AnalysisResult, rows: Sequence[Row]) -> Iterator[Block]:
    bars = [one for one in result.figures if isinstance(one, BarFigure)]
    if not bars:
        return
    yield Heading(text="What matters most")
    for one in bars:
        yield FigureBlock(
            figure=one,
            caption=clean(one.title, limit=160),
            size="wide" if len(one.bars) > 5 else "tall",
            note="The line is the base, levels stand at the ends. Where a window judges some rays, so does its base.",
        )
    yield GridTable(
        title="One factor at a time, every method",
        columns=("Method", "Factor", "Base", "at base", "Least at", "Value", "Most at", "Value", "Swing"),
        rows=tuple(
            (
                str(row["method"]),
                str(row["factor"]),
                str(row["base_level"]),
                _mm(row["base_value"]),
                str(row["low_level"]),
                _mm(row["low_value"]),
                str(row["high_level"]),
                _mm(row["high_value"]),
                _mm(row["swing"]),
            )
            for row in rows
        ),
        numeric=frozenset({3, 5, 7, 8}),
    )


def _rows(table: Table) -> list[Row]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _scenario(name: object) -> str:
    return clean(str(name), limit=80)


def _mm(value: float | None) -> str:
    return _places(value, 2)


def _percent(value: float | None) -> str:
    return _DASH if value is None else number(100.0 * value, decimals=1)


def _places(value: float | None, places: int) -> str:
    return _DASH if value is None else number(float(value), decimals=places)


def _between(low: float | None, high: float | None, *, scale: float = 1.0, places: int = 2) -> str:
    if low is None or high is None:
        return _DASH
    return f"{number(scale * low, decimals=places)} to {number(scale * high, decimals=places)}"
