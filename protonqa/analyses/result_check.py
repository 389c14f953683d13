"""Is it a result? What a plugin gave back is checked before anybody believes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from protonqa.analyses.result_json import result_to_plain
from protonqa.errors import PluginError, ProtonQAError
from protonqa.values import (
    AnalysisResult,
    BarFigure,
    Figure,
    Finding,
    ImageFigure,
    LineFigure,
    Measurement,
    State,
    Table,
)

_STYLES = ("line", "dashed", "points", "steps")


def check_result(result: object, *, out: Path | None = None) -> AnalysisResult:
    """Return `result` when it is a complete, finite AnalysisResult whose artefacts exist.

    Parameters
    ----------
    result : object
        What ``run`` returned.
    out : Path or None
        The run folder; artefacts are looked for in it when given.

    Raises
    ------
    PluginError
        Names the first thing that is wrong.
    """
    if not isinstance(result, AnalysisResult):
        raise _wrong("a value of another kind", type(result).__name__, "AnalysisResult")
    if not isinstance(result.state, State):
        raise _wrong("a state of another kind", type(result.state).__name__, "State")
    _check_members(result)
    for figure in result.figures:
        check_figure(figure)
    _check_artefacts(result.artefacts, out)
    for part in result.parts:
        check_result(part, out=out)
    try:
        result_to_plain(result)
    except ProtonQAError as error:
        raise _wrong(
            "numbers or values that cannot be stored", error.line(), "finite numbers and plain values"
        ) from error
    return result


def _check_members(result: AnalysisResult) -> None:
    if not isinstance(result.measurements, Mapping):
        raise _wrong("measurements of another kind", type(result.measurements).__name__, "a mapping")
    for name, one in result.measurements.items():
        if not isinstance(one, Measurement) or one.name != name:
            raise _wrong("a measurement under a wrong name or of another kind", str(name)[:40], "a Measurement")
        if one.low is not None and one.high is not None and one.low > one.high:
            raise _wrong("an interval upside down", f"{one.low} to {one.high} for {name}", "low <= high")
    for members, kind in ((result.tables, Table), (result.findings, Finding), (result.parts, AnalysisResult)):
        if not isinstance(members, tuple) or not all(isinstance(one, kind) for one in members):
            raise _wrong("members of another kind", type(members).__name__, f"a tuple of {kind.__name__}")
    if not isinstance(result.figures, tuple):
        raise _wrong("figures of another kind", type(result.figures).__name__, "a tuple of figures")


def check_figure(figure: Figure) -> None:
    """Raise PluginError where a figure cannot be drawn."""
    if isinstance(figure, ImageFigure):
        if np.ndim(figure.image) != 2 or np.size(figure.image) == 0:
            raise _wrong(f"an image {figure.name} without two axes", str(np.shape(figure.image)), "(n_y, n_x)")
        x_min, x_max, y_min, y_max = figure.extent_mm
        if not (x_min < x_max and y_min < y_max):
            raise _wrong(f"an image {figure.name} without an extent", str(figure.extent_mm), "min < max")
    elif isinstance(figure, LineFigure):
        for series in figure.series:
            shapes = {np.shape(one) for one in (series.x, series.y, series.low, series.high) if one is not None}
            if len(shapes) != 1 or len(next(iter(shapes))) != 1:
                raise _wrong(f"a curve of {figure.name} with uneven arrays", str(sorted(shapes)), "equal lengths")
            if series.style not in _STYLES or series.axis not in ("left", "right"):
                raise _wrong(
                    f"a curve of {figure.name} with an unknown style",
                    f"{series.style}, {series.axis}",
                    f"{', '.join(_STYLES)}; left, right",
                )
    elif isinstance(figure, BarFigure):
        if not figure.bars or any(one.low > one.high for one in figure.bars):
            raise _wrong(f"bars of {figure.name} that are none or upside down", str(len(figure.bars)), "low <= high")
    else:
        raise _wrong("a figure of another kind", type(figure).__name__, "LineFigure, ImageFigure or BarFigure")


def _check_artefacts(artefacts: Mapping[str, str], out: Path | None) -> None:
    for name in artefacts:
        path = PurePosixPath(name)
        outside = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not path.parts
        if outside:
            raise _wrong("an artefact outside its folder", "a name with a path", "a plain file name")
        if out is not None and not (out / path).is_file():
            raise _wrong("an artefact that does not exist", path.name, "a file in the result folder")


def _wrong(what: str, got: str, expected: str) -> PluginError:
    return PluginError(f"the analysis returned {what}", got=got, expected=expected)
