"""What an analysis gives back: state, measurements with units and intervals, tables, figures as data, findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError


class State(StrEnum):
    """The four states of a result. Missing evidence never becomes PASS."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_EVALUABLE = "NOT EVALUABLE"
    ERROR = "ERROR"


class Severity(StrEnum):
    """How much a finding weighs."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A physical doubt that still permits a number; printed on page one of the report."""

    severity: Severity
    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A named value with its unit and, where there is one, its interval."""

    name: str
    value: float | None
    unit: str
    title: str = ""
    low: float | None = None
    high: float | None = None
    confidence: float | None = None

    def __post_init__(self) -> None:
        for number in (self.value, self.low, self.high):
            if number is not None and not np.isfinite(number):
                raise InputError(f"measurement {self.name} is not a finite number", remedy="use None for no value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of plain values under named columns."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int | bool | None, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InputError(
                    f"table {self.name} has a ragged row", got=f"{len(row)} cells", expected=f"{len(self.columns)}"
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One curve of a line figure; ``low`` and ``high`` draw a band, ``style`` is line, dashed, points or steps."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    style: str = "line"
    axis: str = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical mark with its label, such as R80."""

    label: str
    x: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LineFigure:
    """Curves over one x axis; drawn by the report and by the window."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    y2_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFigure:
    """A map; NaN is 'no value here' and is drawn as a gap.

    ``image`` is (n_y, n_x); ``extent_mm`` is (x_min, x_max, y_min, y_max) of the outer pixel edges.
    ``diverging`` maps are drawn symmetric about zero.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    image: NDArray[np.float64]
    extent_mm: tuple[float, float, float, float]
    unit: str
    diverging: bool = False
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar from `low` to `high`, with a word at each end."""

    label: str
    low: float
    high: float
    low_label: str = ""
    high_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarFigure:
    """Horizontal bars, the first at the top, about a base line: what each factor does."""

    name: str
    title: str
    x_label: str
    y_label: str
    bars: tuple[Bar, ...]
    base: float | None = None


Figure = LineFigure | ImageFigure | BarFigure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnalysisResult:
    """The outcome of one analysis, complete enough to print, store and repeat.

    ``reason`` says why a result is NOT EVALUABLE or ERROR. ``provenance`` holds versions, tables, device, seed and
    parameters. ``artefacts`` maps a file name inside the result folder to what it is. ``parts`` are the results of
    the fields of a plan, in order.
    """

    analysis: str
    version: str
    state: State
    reason: str = ""
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    findings: tuple[Finding, ...] = ()
    artefacts: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    parts: tuple[AnalysisResult, ...] = ()
    title: str = ""

    def __post_init__(self) -> None:
        if self.state in (State.NOT_EVALUABLE, State.ERROR) and not self.reason:
            raise InputError(f"a result that is {self.state} needs its reason")

    def value(self, name: str) -> float | None:
        """The value of a measurement, or None when it is absent."""
        measurement = self.measurements.get(name)
        return None if measurement is None else measurement.value
