"""What `trend` is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, Field

from protonqa.app.history import HistoryQuery
from protonqa.store.trend.charts import LEAST_BASELINE, ChartSettings, ControlCharts
from protonqa.store.trend.cusum import DEFAULT_H, DEFAULT_K
from protonqa.store.trend.individuals import RULES
from protonqa.store.trend.points import TrendPoint
from protonqa.store.trend.run_length import FalseAlarms
from protonqa.values import Finding, State


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
