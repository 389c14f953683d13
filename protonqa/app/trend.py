"""`trend`: control charts of one measurement over all stored results, by machine, site or field."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field

from protonqa.app.history import HistoryQuery, opened_store
from protonqa.app.moments import moment
from protonqa.errors import InputError, NotEvaluableError
from protonqa.store.reading import history
from protonqa.store.trend.charts import GOOD_BASELINE, LEAST_BASELINE, ChartSettings, ControlCharts, control_charts
from protonqa.store.trend.cusum import DEFAULT_H, DEFAULT_K
from protonqa.store.trend.individuals import RULES
from protonqa.store.trend.points import TrendPoint, grouped, trend_points
from protonqa.store.trend.run_length import FalseAlarms, false_alarms
from protonqa.store.values import HistoryFilter
from protonqa.values import Finding, Severity, State

if TYPE_CHECKING:
    from protonqa.store import Store

TREND_JSON = "trend.json"
#: More points after the baseline than this no longer move the simulated share of false alarms.
_MOST_SIMULATED = 100
#: Results that are looked at for the names of measurements.
_LOOKED_AT = 20


class TrendParams(HistoryQuery):
    """Which values, how they are grouped, and how they are judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    analysis: str = Field("range-verification", description="Name of the analysis.")
    measurement: str = Field("mean_shift", description="Name of the measurement.")
    by: tuple[Literal["machine", "site", "field"], ...] = Field((), description="One set of charts for each of these.")
    baseline: int = Field(20, ge=LEAST_BASELINE, le=10_000, description="The first so many points set the limits.")
    baseline_until: str = Field("", description="Points up to this day set the limits, instead of a number.")
    rules: tuple[Literal["beyond-3", "2-of-3-beyond-2", "4-of-5-beyond-1", "8-on-one-side"], ...] = Field(
        ("beyond-3", "2-of-3-beyond-2", "4-of-5-beyond-1", "8-on-one-side"), description="Run rules of the individuals."
    )
    ranges: bool = Field(True, description="Judge the moving ranges too.")
    cusum_k: float = Field(DEFAULT_K, gt=0, le=3, description="Reference value of the CUSUM, SD.")
    cusum_h: float = Field(DEFAULT_H, ge=1, le=10, description="Decision level of the CUSUM, SD.")
    recent: int = Field(5, ge=1, le=1000, description="The verdict rests on the last so many points.")

    def settings(self) -> ChartSettings:
        """How points are judged."""
        return ChartSettings(
            rules=tuple(name for name in RULES if name in self.rules),
            ranges=self.ranges,
            k=self.cusum_k,
            h=self.cusum_h,
            recent=self.recent,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrendGroup:
    """The charts of one machine, site or field; ``charts`` is None where they could not be made, with the reason."""

    name: str
    unit: str
    title: str
    state: State
    reason: str
    points: tuple[TrendPoint, ...]
    charts: ControlCharts | None
    expected: FalseAlarms | None
    findings: tuple[Finding, ...]

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        plain: dict[str, Any] = {
            "group": self.name,
            "state": self.state.value,
            "reason": self.reason,
            "unit": self.unit,
            "points": [_point_plain(self, index) for index in range(len(self.points))],
            "findings": [{"severity": f.severity.value, "code": f.code, "text": f.text} for f in self.findings],
        }
        if self.charts is None or self.expected is None:
            return plain
        limits, settings = self.charts.limits, self.charts.settings
        return plain | {
            "baseline_points": limits.points,
            "centre": limits.centre,
            "sd": limits.sd,
            "low": limits.low,
            "high": limits.high,
            "range_mean": limits.range_mean,
            "range_high": limits.range_high,
            "cusum_k": settings.k,
            "cusum_h": settings.h,
            "rules": list(settings.rules),
            "false_alarms_per_point": self.expected.per_point,
            "false_alarms_per_verdict": self.expected.per_window,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trend:
    """All groups, and the worst of their states."""

    params: TrendParams
    groups: tuple[TrendGroup, ...]

    @property
    def state(self) -> State:
        """FAIL where any group is out of control, then NOT EVALUABLE where any could not be judged."""
        states = {group.state for group in self.groups}
        return next((one for one in (State.FAIL, State.NOT_EVALUABLE) if one in states), State.PASS)

    def to_plain(self) -> dict[str, Any]:
        """JSON types with the key ``groups``."""
        return {
            "state": self.state.value,
            "analysis": self.params.analysis,
            "measurement": self.params.measurement,
            "groups": [group.to_plain() for group in self.groups],
        }


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


def _point_plain(group: TrendGroup, index: int) -> dict[str, Any]:
    point, charts = group.points[index], group.charts
    plain: dict[str, Any] = {
        "result": point.number,
        "performed_utc": point.performed_utc.isoformat(timespec="seconds"),
        "value": point.value,
        "machine": point.machine,
        "site": point.site,
        "field": point.field,
    }
    if charts is None:
        return plain
    return plain | {
        "baseline": index < charts.limits.points,
        "moving_range": float(charts.ranges[index - 1]) if index else None,
        "cusum_up": float(charts.upper[index]),
        "cusum_down": float(charts.lower[index]),
        "flags": list(charts.flags[index]),
    }


def _write(found: Trend, out: Path) -> None:
    from protonqa.analyses.run_folder import staged_folder
    from protonqa.app.trend_page import write_trend_page
    from protonqa.files.atomic import write_text_atomic

    with staged_folder(out) as folder:
        write_trend_page(found, folder)
        write_text_atomic(folder / TREND_JSON, json.dumps(found.to_plain(), allow_nan=False, indent=1) + "\n")
