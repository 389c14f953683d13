"""The page of a trend, as PDF and HTML: verdict, charts with their limits, flagged points, stated false alarms."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protonqa import __version__
from protonqa.app.moments import shown
from protonqa.files.atomic import write_bytes_atomic, write_text_atomic
from protonqa.report.document import (
    Block,
    Facts,
    FigureBlock,
    Findings,
    GridTable,
    Heading,
    KeyNumber,
    KeyNumbers,
    ReportDocument,
    Signature,
    Verdict,
)
from protonqa.report.html import html_text
from protonqa.report.pdf import pdf_bytes
from protonqa.report.scrub import each_text
from protonqa.report.text import NBSP, clean
from protonqa.report.wording import number, sentence
from protonqa.store.trend.charts import CUSUM_DOWN, CUSUM_UP, MOVING_RANGE, ControlCharts
from protonqa.store.trend.cusum import cusum_run_length
from protonqa.store.trend.individuals import RULES, range_false_alarms
from protonqa.store.trend.run_length import run_length
from protonqa.values import LineFigure, Mark, Series, State

if TYPE_CHECKING:
    from protonqa.app.trend_values import Trend, TrendGroup

PDF_NAME, HTML_NAME = "trend.pdf", "trend.html"
_MEANING = {
    State.PASS: "In control: recent values scatter as those of the baseline do.",
    State.FAIL: "Out of control: recent values differ from the baseline. Find the cause before you rely on new ones.",
    State.NOT_EVALUABLE: "There are too few values for limits. This is neither in nor out of control.",
}
_MOST_ROWS = 60


def write_trend_page(trend: Trend, folder: Path) -> tuple[str, str]:
    """Write ``trend.pdf`` and ``trend.html``; returns their names.

    Raises
    ------
    StoreError
        A file cannot be written.
    """
    document = trend_document(trend, created=datetime.now(UTC))
    write_bytes_atomic(folder / PDF_NAME, pdf_bytes(document))
    write_text_atomic(folder / HTML_NAME, html_text(document))
    return PDF_NAME, HTML_NAME


def trend_document(trend: Trend, *, created: datetime) -> ReportDocument:
    """The page as blocks that PDF and HTML print alike."""
    groups = trend.groups
    blocks: list[Block] = [_verdict(trend)]
    if len(groups) > 1:
        blocks.append(_overview(groups))
    blocks.append(Facts(title="What is shown", rows=tuple(_facts(trend)), columns=2))
    for group in groups:
        blocks += _group_blocks(group, heading=len(groups) > 1)
    blocks.append(Signature(roles=("Performed by", "Reviewed by (medical physicist)")))
    text = json.dumps(trend.to_plain(), allow_nan=False)
    document = ReportDocument(
        title=f"Trend: {groups[0].title}",
        report_id=hashlib.sha256(text.encode()).hexdigest()[:16],
        created=created,
        created_text=f"{created:%Y-%m-%d %H:%M %Z}".strip(),
        program=f"protonqa {__version__}",
        blocks=tuple(blocks),
    )
    return each_text(document, lambda line: clean(line, limit=600))


def _verdict(trend: Trend) -> Verdict:
    worst = [group for group in trend.groups if group.state is trend.state]
    named = f"{worst[0].name}: " if len(trend.groups) > 1 else ""
    more = f" ({len(worst)} of {len(trend.groups)} groups alike)" if len(worst) > 1 else ""
    return Verdict(
        state=trend.state, sentence=sentence(f"{named}{worst[0].reason}{more}"), meaning=_MEANING[trend.state]
    )


def _overview(groups: tuple[TrendGroup, ...]) -> Block:
    rows = tuple(
        (
            group.name,
            group.state.value,
            str(len(group.points)),
            "–" if group.charts is None else number(group.charts.limits.centre, group.unit),
            "–" if group.charts is None else number(group.charts.limits.sd, group.unit),
            group.reason,
        )
        for group in groups
    )
    columns = ("Group", "State", "Points", "Centre", "SD", "Why")
    return GridTable(title="Groups", columns=columns, rows=rows, numeric=frozenset({2, 3, 4}))


def _facts(trend: Trend) -> list[tuple[str, str]]:
    params = trend.params
    moments = [point.performed_utc for group in trend.groups for point in group.points]
    rows = [("Analysis", params.analysis or "any"), ("Measurement", params.measurement)]
    rows += [(name.capitalize(), text) for name in ("machine", "site", "field") if (text := getattr(params, name))]
    if moments:
        rows.append(("From", shown(min(moments))))
        rows.append(("To", shown(max(moments))))
    baseline = f"up to {params.baseline_until}" if params.baseline_until else f"the first {params.baseline} points"
    rows.append(("Baseline", baseline))
    rows.append(("Verdict rests on", f"the last {params.recent} points"))
    return rows


def _group_blocks(group: TrendGroup, *, heading: bool) -> list[Block]:
    blocks: list[Block] = [Heading(text=group.name, new_page=True)] if heading else []
    if group.charts is None:
        blocks.append(Facts(title="", rows=(("State", group.state.value), ("Reason", group.reason)), columns=1))
        return [*blocks, Findings(findings=group.findings)]
    charts = group.charts
    return [
        *blocks,
        _key_numbers(group, charts),
        Findings(findings=group.findings),
        _figure(_individuals(group, charts), f"Individuals: {group.title}", "Dashed: centre ± 3 SD; band: ± 1 SD."),
        _figure(_ranges(group, charts), "Moving ranges", "Absolute difference from the point before."),
        _figure(_cusum(charts), "CUSUM", "Both sums begin anew after an alarm."),
        _flag_table(group, charts),
        _rule_table(group, charts),
    ]


def _key_numbers(group: TrendGroup, charts: ControlCharts) -> Block:
    limits, unit = charts.limits, f"{NBSP}{group.unit}" if group.unit not in ("", "1") else ""
    low, high = (number(value, group.unit) for value in (limits.low, limits.high))
    flagged = sum(bool(flags) for flags in charts.flags[limits.points :])
    last = charts.values[-1]
    return KeyNumbers(
        numbers=(
            KeyNumber(label="Last value", value=f"{number(float(last), group.unit)}{unit}", note=_place(charts)),
            KeyNumber(
                label="Centre", value=f"{number(limits.centre, group.unit)}{unit}", note=f"{limits.points} points"
            ),
            KeyNumber(label="Limits, 3 SD", value=f"{low} to {high}", note=f"SD {number(limits.sd, group.unit)}{unit}"),
            KeyNumber(
                label="Flagged since the baseline",
                value=f"{flagged} of {len(charts.flags) - limits.points}",
                note=f"in control {100 * _expected(group):.1f}{NBSP}% would be",
            ),
        )
    )


def _expected(group: TrendGroup) -> float:
    return group.expected.per_point if group.expected is not None else 0.0


def _place(charts: ControlCharts) -> str:
    return f"{number(float(charts.z[-1]), signed=True, decimals=1)} SD from the centre"


def _figure(figure: LineFigure, caption: str, note: str) -> FigureBlock:
    return FigureBlock(
        figure=figure, caption=caption, size="wide" if figure.name == "individuals" else "curve", note=note
    )


def _axis(charts: ControlCharts) -> NDArray[np.float64]:
    return np.arange(1, charts.values.size + 1, dtype=np.float64)


def _level(label: str, x: NDArray[np.float64], value: float, style: str = "dashed", band: float = 0.0) -> Series:
    ends = np.array([x[0], x[-1]])
    y = np.full(2, value)
    low, high = (y - band, y + band) if band else (None, None)
    return Series(label=label, x=ends, y=y, low=low, high=high, style=style)


def _flagged(charts: ControlCharts, names: set[str]) -> NDArray[np.intp]:
    return np.array([i for i, flags in enumerate(charts.flags) if names & set(flags)], dtype=np.intp)


def _with_flags(
    charts: ControlCharts, series: list[Series], x: NDArray[np.float64], y: NDArray[np.float64], names: set[str]
) -> tuple[Series, ...]:
    """The series, then the flagged values as points."""
    places = _flagged(charts, names)
    if places.size:
        series.append(Series(label="flagged", x=x[places], y=y[places], style="points"))
    return tuple(series)


def _marks(group: TrendGroup, charts: ControlCharts) -> tuple[Mark, ...]:
    """Where the baseline ends, and where another version or device begins."""
    marks = [_baseline_mark(charts)]
    for index in range(1, len(group.points)):
        before, now = group.points[index - 1], group.points[index]
        if before.program != now.program:
            marks.append(Mark(label="new version", x=index + 0.5))
        if before.device != now.device:
            marks.append(Mark(label="other device", x=index + 0.5))
    # A page of marks marks nothing.
    return tuple(marks) if len(marks) <= 6 else tuple(marks[:1])


def _baseline_mark(charts: ControlCharts) -> Mark:
    return Mark(label="baseline ends", x=charts.limits.points + 0.5)


def _spans(charts: ControlCharts, names: set[str]) -> tuple[Mark, ...]:
    """A shade behind each flagged point: a dot alone is easily missed."""
    last = charts.values.size
    return tuple(
        Mark(label="", x=float(place + 1), low=max(place + 0.6, 1.0), high=min(place + 1.4, float(last)))
        for place in _flagged(charts, names).tolist()
    )


def _individuals(group: TrendGroup, charts: ControlCharts) -> LineFigure:
    x, limits = _axis(charts), charts.limits
    series = [
        Series(label="value", x=x, y=charts.values),
        _level("centre", x, limits.centre, "line", limits.sd),
        _level("upper limit", x, limits.high),
        _level("lower limit", x, limits.low),
    ]
    unit = f" [{group.unit}]" if group.unit not in ("", "1") else ""
    return LineFigure(
        name="individuals",
        title="Individuals",
        x_label="point, in order of time",
        y_label=f"{group.title}{unit}",
        series=_with_flags(charts, series, x, charts.values, set(RULES)),
        marks=(*_marks(group, charts), *_spans(charts, set(RULES))),
    )


def _ranges(group: TrendGroup, charts: ControlCharts) -> LineFigure:
    x = _axis(charts)
    ranges = np.concatenate([[0.0], charts.ranges])
    series = [
        Series(label="moving range", x=x[1:], y=charts.ranges),
        _level("mean", x, charts.limits.range_mean, "line"),
        _level("upper limit", x, charts.limits.range_high),
    ]
    unit = f" [{group.unit}]" if group.unit not in ("", "1") else ""
    return LineFigure(
        name="moving-ranges",
        title="Moving ranges",
        x_label="point, in order of time",
        y_label=f"moving range{unit}",
        series=_with_flags(charts, series, x, ranges, {MOVING_RANGE}),
        marks=(_baseline_mark(charts), *_spans(charts, {MOVING_RANGE})),
    )


def _cusum(charts: ControlCharts) -> LineFigure:
    x = _axis(charts)
    series = [
        Series(label="shift up", x=x, y=charts.upper),
        Series(label="shift down", x=x, y=-charts.lower),
        _level("decision level", x, charts.settings.h),
        _level("decision level, down", x, -charts.settings.h),
    ]
    tops = np.where(charts.upper >= charts.lower, charts.upper, -charts.lower)
    return LineFigure(
        name="cusum",
        title="CUSUM",
        x_label="point, in order of time",
        y_label="sum [SD]",
        series=_with_flags(charts, series, x, tops, {CUSUM_UP, CUSUM_DOWN}),
        marks=(_baseline_mark(charts), *_spans(charts, {CUSUM_UP, CUSUM_DOWN})),
    )


def _flag_table(group: TrendGroup, charts: ControlCharts) -> Block:
    """Flagged points, the newest first."""
    places = [index for index in range(len(charts.flags)) if charts.flags[index]][::-1]
    rows = tuple(
        (
            str(group.points[index].number),
            shown(group.points[index].performed_utc),
            number(float(charts.values[index]), group.unit),
            number(float(charts.z[index]), signed=True, decimals=1),
            ", ".join(charts.flags[index]),
            "baseline" if index < charts.limits.points else "",
        )
        for index in places[:_MOST_ROWS]
    )
    note = f"The newest {_MOST_ROWS} of {len(places)} flagged points." if len(places) > _MOST_ROWS else ""
    unit = f", {group.unit}" if group.unit not in ("", "1") else ""
    columns = ("Result", "Time", f"Value{unit}", "SD", "Rules", "")
    return GridTable(title="Flagged points", columns=columns, rows=rows, numeric=frozenset({0, 2, 3}), note=note)


def _rule_table(group: TrendGroup, charts: ControlCharts) -> Block:
    """What each rule asks and how often it speaks without cause."""
    settings = charts.settings
    rules = [RULES[name] for name in settings.rules]
    rows = [(rule.name, rule.text, _every(run_length([rule]))) for rule in rules]
    if len(rules) > 1:
        rows.append(("these together", "any of the run rules", _every(run_length(rules))))
    if settings.ranges:
        rows.append((MOVING_RANGE, "moving range beyond its upper limit", _every(1.0 / range_false_alarms())))
    text = f"sum beyond h = {settings.h:g} SD, with k = {settings.k:g} SD"
    rows.append(("cusum", text, _every(cusum_run_length(settings.k, settings.h))))
    expected = group.expected
    own = (
        ""
        if expected is None
        else (
            f"With limits from {charts.limits.points} points, {100 * expected.per_point:.1f} % of points in control "
            f"are flagged by at least one rule, and {100 * expected.per_window:.0f} % of verdicts are a false alarm "
            f"(simulated, ± {200 * expected.standard_error:.0f} %). "
        )
    )
    note = (
        f"{own}The table holds for known centre and SD and for independent normal values "
        "(run rules: Markov chain, after Champ and Woodall 1987; CUSUM: integral equation, after Goel and Wu 1971)."
    )
    columns = ("Rule", "What it asks", "False alarm once in")
    return GridTable(title="Rules and their false alarms", columns=columns, rows=tuple(rows), note=note)


def _every(points: float) -> str:
    return f"{points:.0f} points"
