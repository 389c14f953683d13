"""`trend`: control charts of one measurement over all stored results, by machine, site or field."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protonqa.app.history import opened_store
from protonqa.app.moments import moment
from protonqa.app.trend_values import Trend, TrendGroup, TrendParams
from protonqa.errors import InputError, NotEvaluableError
from protonqa.store.reading import history
from protonqa.store.trend.charts import GOOD_BASELINE, ChartSettings, ControlCharts, control_charts
from protonqa.store.trend.points import TrendPoint, grouped, trend_points
from protonqa.store.trend.run_length import false_alarms
from protonqa.store.values import HistoryFilter
from protonqa.values import Finding, Severity, State

if TYPE_CHECKING:
    from protonqa.store import Store

TREND_JSON = "trend.json"
#: More points after the baseline than this no longer move the simulated share of false alarms.
_MOST_SIMULATED = 100
#: Results that are looked at for the names of measurements.
_LOOKED_AT = 20


def _nothing(store: Store, params: TrendParams) -> InputError:
    """No point to draw; names what the newest results of the analysis do hold."""
    newest = history(store, HistoryFilter(analysis=params.analysis, limit=_LOOKED_AT))
    names = dict.fromkeys(one.name for row in newest for one in row.measurements)
    return InputError(
        "no stored result holds this measurement",
        got=f"{params.measurement} of {params.analysis or 'any analysis'}",
        expected=f"--measurement with one of {', '.join(list(names)[:12])}" if names else "",
        remedy="see protonqa history for what is stored",
    )


def trend(params: TrendParams, *, out: Path | None = None) -> Trend:
    """Judge the stored values of one measurement, and write page and numbers where `out` is given.

    Raises
    ------
    InputError
        Nothing was stored under these names, values come in several units, or a date that is none.
    StoreError
        The store or `out` cannot be used.
    """
    settings = params.settings()
    with opened_store() as store:
        points = trend_points(store, params.measurement, params.to_filter())
        if not points:
            raise _nothing(store, params)
    groups = grouped(points, params.by)
    found = Trend(params=params, groups=tuple(_group(key, many, params, settings) for key, many in groups.items()))
    if out is not None:
        _write(found, out)
    return found


def _group(
    key: tuple[str, ...], points: tuple[TrendPoint, ...], params: TrendParams, settings: ChartSettings
) -> TrendGroup:
    name = ", ".join(f"{by} {value or 'not stated'}" for by, value in zip(params.by, key, strict=True)) or "all results"
    used = tuple(one for one in points if one.value is not None and not one.excluded)
    findings = _left_out(points)
    units = sorted({one.unit for one in used})
    facts: dict[str, Any] = {
        "name": name,
        "unit": ", ".join(units),
        "title": next((one.title for one in used if one.title), params.measurement.replace("_", " ")),
        "points": used,
    }
    try:
        if len(units) > 1:
            raise NotEvaluableError("the values come in several units", got=facts["unit"])
        values = np.array([one.value for one in used], dtype=np.float64)
        baseline = _baseline(used, params)
        charts = control_charts(values, baseline, settings)
    except NotEvaluableError as error:
        return TrendGroup(
            **facts,
            state=State.NOT_EVALUABLE,
            reason=error.line(),
            charts=None,
            expected=None,
            findings=findings,
        )
    after = min(len(used) - baseline, _MOST_SIMULATED)
    expected = false_alarms(
        baseline, after, min(settings.recent, after), settings.rules, settings.ranges, settings.k, settings.h
    )
    return TrendGroup(
        **facts,
        state=State.PASS if charts.in_control else State.FAIL,
        reason=_reason(charts, used),
        charts=charts,
        expected=expected,
        findings=(*findings, *_doubts(charts, used)),
    )


def _baseline(points: tuple[TrendPoint, ...], params: TrendParams) -> int:
    if not params.baseline_until:
        return min(params.baseline, len(points))
    last: datetime = moment(params.baseline_until, end=True)
    return sum(one.performed_utc < last for one in points)


def _reason(charts: ControlCharts, points: tuple[TrendPoint, ...]) -> str:
    flagged = charts.flagged_recently
    recent = min(charts.settings.recent, len(points) - charts.limits.points)
    if not flagged:
        return f"none of the last {recent} points is flagged"
    rules = ", ".join(dict.fromkeys(name for index in flagged for name in charts.flags[index]))
    numbers = ", ".join(str(points[index].number) for index in flagged)
    return f"{len(flagged)} of the last {recent} points flagged (result {numbers}) by {rules}"


def _left_out(points: tuple[TrendPoint, ...]) -> tuple[Finding, ...]:
    excluded = sum(one.excluded for one in points)
    empty = sum(one.value is None and not one.excluded for one in points)
    found = []
    if excluded:
        text = f"{excluded} results were excluded by an amendment."
        found.append(Finding(severity=Severity.INFO, code="TREND-EXCLUDED", text=text))
    if empty:
        text = f"{empty} results hold no value of this measurement and are not in the charts."
        found.append(Finding(severity=Severity.WARNING, code="TREND-NO-VALUE", text=text))
    return tuple(found)


def _doubts(charts: ControlCharts, points: tuple[TrendPoint, ...]) -> tuple[Finding, ...]:
    size = charts.limits.points
    found = []
    if size < GOOD_BASELINE:
        text = f"The limits rest on {size} points only; fewer than {GOOD_BASELINE} raise many false alarms."
        found.append(Finding(severity=Severity.WARNING, code="TREND-SHORT-BASELINE", text=text))
    beyond = [points[index].number for index in range(size) if "beyond-3" in charts.flags[index]]
    if beyond:
        numbers = ", ".join(map(str, beyond))
        text = f"The baseline itself was not in control: result {numbers}. Exclude what has a cause, or choose another."
        found.append(Finding(severity=Severity.WARNING, code="TREND-BASELINE", text=text))
    if abs(charts.baseline_correlation) > 2.0 / size**0.5:
        text = (
            f"Neighbours within the baseline are not independent (correlation {charts.baseline_correlation:+.2f}); "
            "false alarms are more frequent than stated."
        )
        found.append(Finding(severity=Severity.WARNING, code="TREND-CORRELATED", text=text))
    for code, name in (("TREND-PROGRAM", "program"), ("TREND-DEVICE", "device")):
        kinds = Counter(getattr(one, name) for one in points)
        if len(kinds) > 1:
            text = f"The results come from several {name}s: {'; '.join(kinds)}."
            found.append(Finding(severity=Severity.INFO, code=code, text=text[:600]))
    return tuple(found)


def _write(found: Trend, out: Path) -> None:
    from protonqa.analyses.run_folder import staged_folder
    from protonqa.app.trend_page import write_trend_page
    from protonqa.files.atomic import write_text_atomic

    with staged_folder(out) as folder:
        write_trend_page(found, folder)
        write_text_atomic(folder / TREND_JSON, json.dumps(found.to_plain(), allow_nan=False, indent=1) + "\n")
