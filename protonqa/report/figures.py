"""Figures drawn from figure data: one style, colours that colour-blind readers can tell apart, no global state.

The same function serves PDF (PNG) and HTML (SVG). Titles are set by the documents, so figures carry only axes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure as Canvas

from protonqa.report.bars import draw_bars
from protonqa.report.labels import INK, PALETTE, label_text
from protonqa.values import BarFigure, Figure, ImageFigure, LineFigure, Mark, Series

GAP = "#E4E4E4"
_MM = 1 / 25.4

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#D9D9D9",
    "grid.linewidth": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    # A dollar sign in a label is a dollar sign, never a formula to be run.
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "protonqa",
    "axes.formatter.use_locale": False,
}


def figure_png(
    figure: Figure, *, width_mm: float, height_mm: float, action_level: float | None = None, dpi: int = 220
) -> bytes:
    """The figure as PNG bytes of `width_mm` by `height_mm` at `dpi`."""
    return _rendered(figure, "png", width_mm, height_mm, action_level, dpi)


def figure_svg(figure: Figure, *, width_mm: float, height_mm: float, action_level: float | None = None) -> bytes:
    """The figure as SVG bytes; text is drawn as outlines, so no font is needed to view it."""
    return _rendered(figure, "svg", width_mm, height_mm, action_level, 200)


def _rendered(
    figure: Figure, form: str, width_mm: float, height_mm: float, action_level: float | None, dpi: int
) -> bytes:
    with _style():
        canvas = Canvas(figsize=(width_mm * _MM, height_mm * _MM), dpi=dpi, layout="constrained")
        FigureCanvasAgg(canvas)
        if isinstance(figure, ImageFigure):
            _draw_image(canvas, figure, action_level)
        elif isinstance(figure, BarFigure):
            draw_bars(canvas, figure)
        else:
            _draw_lines(canvas, figure)
        stream = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        canvas.savefig(stream, format=form, dpi=dpi, metadata=metadata)
    return stream.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def _draw_image(canvas: Canvas, figure: ImageFigure, action_level: float | None) -> None:
    axes = canvas.add_subplot()
    image = np.asarray(figure.image, dtype=float)
    finite = image[np.isfinite(image)]
    axes.set_facecolor(GAP)
    axes.grid(visible=False)
    x_min, x_max, y_min, y_max = figure.extent_mm
    options: dict[str, Any] = {"extent": (x_min, x_max, y_min, y_max), "origin": "lower", "interpolation": "nearest"}
    if figure.diverging:
        reach = figure.limit or max((float(np.abs(finite).max()) if finite.size else 0.0), 1e-9)
        options |= {"cmap": "RdBu_r", "norm": TwoSlopeNorm(0.0, -reach, reach)}
        over = bool(finite.size) and bool(np.abs(finite).max() > reach * (1 + 1e-9))
        extend = "both" if over else "neither"
    else:
        high = figure.limit or (float(finite.max()) if finite.size else 1.0)
        low = min(0.0, float(finite.min())) if finite.size else 0.0
        options |= {"cmap": "viridis", "vmin": low, "vmax": max(high, low + 1e-9)}
        extend = "max" if finite.size and float(finite.max()) > options["vmax"] * (1 + 1e-9) else "neither"
    shown = axes.imshow(np.ma.masked_invalid(image), **options)
    axes.set_xlabel(label_text(figure.x_label))
    axes.set_ylabel(label_text(figure.y_label))
    axes.set_aspect("equal")
    bar = canvas.colorbar(shown, ax=axes, extend=extend, shrink=0.95, pad=0.03)
    bar.set_label(label_text(figure.unit))
    bar.outline.set_linewidth(0.6)  # type: ignore[operator]
    if figure.diverging and action_level is not None and figure.unit == "mm":
        for level in (-action_level, action_level):
            if abs(level) <= options["norm"].vmax:
                bar.ax.axhline(level, color=INK, linewidth=1.2)
    if not finite.size:
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", va="center", color=INK)


def _draw_lines(canvas: Canvas, figure: LineFigure) -> None:
    left = canvas.add_subplot()
    right: Axes | None = None
    if any(series.axis == "right" for series in figure.series):
        right = left.twinx()
        right.grid(visible=False)
        right.set_ylabel(label_text(figure.y2_label))
    handles = []
    for index, series in enumerate(figure.series):
        axes = right if right is not None and series.axis == "right" else left
        handles.append(_draw_series(axes, series, PALETTE[index % len(PALETTE)]))
    left.set_xlabel(label_text(figure.x_label))
    left.set_ylabel(label_text(figure.y_label))
    left.margins(x=0.0)
    for side in (left, right):
        if side is not None:
            low, high = side.get_ylim()
            # Curves that reach about zero share one base line, whichever axis they belong to.
            side.set_ylim(-0.04 * high if -0.12 * high <= low <= 0.5 * high else low, 1.04 * high)
    _draw_marks(canvas, left, figure)
    if handles:
        canvas.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4), handlelength=2.4)


def _draw_series(axes: Axes, series: Series, colour: str) -> Any:
    x, y = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
    label = label_text(series.label) or "curve"
    # matplotlib hides labels that begin with an underscore.
    label = f" {label}" if label.startswith("_") else label
    if series.low is not None and series.high is not None:
        axes.fill_between(x, series.low, series.high, color=colour, alpha=0.18, linewidth=0)
    if series.style == "points":
        return axes.plot(x, y, ".", color=colour, markersize=3.5, label=label)[0]
    if series.style == "steps":
        return axes.plot(x, y, drawstyle="steps-mid", color=colour, linewidth=0.9, label=label)[0]
    line = (0, (4, 1.8)) if series.style == "dashed" else "solid"
    return axes.plot(x, y, linestyle=line, color=colour, label=label)[0]


def _draw_marks(canvas: Canvas, axes: Axes, figure: LineFigure) -> None:
    """Vertical marks with labels above the axes, side by side or in rows so that none touches another."""
    if not figure.marks:
        return
    marks = sorted(figure.marks, key=lambda one: one.x)
    low, high = axes.get_xlim()
    low, high = min(low, marks[0].x), max(high, marks[-1].x)
    axes.set_xlim(low, high)
    labels = [label_text(mark.label) for mark in marks]
    # Room a label needs along x, as a share of the axis: its letters at this font size over the width of the figure.
    share = 0.55 * 6.8 / 72 / (0.86 * canvas.get_figwidth())
    places = [(mark.x - low) / max(high - low, 1e-9) for mark in marks]
    for mark, label, (centre, row) in zip(marks, labels, _label_places(places, labels, share), strict=True):
        colour = _mark_colour(mark, figure)
        axes.axvline(mark.x, color=colour, linewidth=1.0, linestyle=(0, (1.5, 1.2)))
        if mark.low is not None and mark.high is not None:
            axes.axvspan(mark.low, mark.high, color=colour, alpha=0.12, linewidth=0)
        axes.annotate(
            label,
            xy=(centre, 1.0),
            xycoords="axes fraction",
            xytext=(0, 2.5 + 8.5 * row),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=6.8,
            color=colour,
        )


def _label_places(places: list[float], labels: list[str], share: float) -> list[tuple[float, int]]:
    """(centre, row) of each label: on the side away from the nearer mark, in the first row where it fits."""
    taken: list[list[tuple[float, float]]] = []
    found = []
    for index, place in enumerate(places):
        wide = share * len(labels[index]) + 0.008
        before = place - places[index - 1] if index else np.inf
        after = places[index + 1] - place if index + 1 < len(places) else np.inf
        sides = {"centre": place - wide / 2, "left": place - wide, "right": place}
        if min(before, after) < wide:
            order = ("left", "right", "centre") if after < before else ("right", "left", "centre")
        else:
            order = ("centre", "left", "right")
        starts = [min(max(sides[side], 0.0), max(1 - wide, 0.0)) for side in order]
        row, start = _first_free(taken, starts, wide)
        taken[row].append((start, start + wide))
        found.append((start + wide / 2, row))
    return found


def _first_free(taken: list[list[tuple[float, float]]], starts: list[float], wide: float) -> tuple[int, float]:
    for row in range(len(taken) + 1):
        if row == len(taken):
            taken.append([])
        for start in starts:
            if all(start >= end or start + wide <= begin for begin, end in taken[row]):
                return row, start
    return len(taken) - 1, starts[0]


def _mark_colour(mark: Mark, figure: LineFigure) -> str:
    """The colour of the curve that shares most words with the mark's label; ink where none does."""
    words = set(mark.label.lower().replace(",", " ").split())
    scores = [len(words & set(series.label.lower().replace(",", " ").split())) for series in figure.series]
    best = max(scores, default=0)
    return PALETTE[scores.index(best) % len(PALETTE)] if best else INK
