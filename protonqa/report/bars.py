"""Horizontal bars about a base line: what each factor does to a number, the widest at the top."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from protonqa.report.labels import INK, PALETTE, label_text
from protonqa.values import Bar, BarFigure

_LOW, _HIGH = PALETTE[0], PALETTE[1]


def draw_bars(canvas: Canvas, figure: BarFigure) -> None:
    """Draw `figure`; the part of a bar below the base and the part above it differ in colour."""
    axes = canvas.add_subplot()
    axes.grid(visible=False, axis="y")
    places = np.arange(len(figure.bars), dtype=float)[::-1]
    ends = [end for bar in figure.bars for end in (bar.low, bar.high)]
    low, high = min(ends), max(ends)
    # Room for the words at the ends.
    reach = 0.28 * max(high - low, 1e-9)
    axes.set_xlim(low - reach, high + reach)
    axes.set_ylim(-0.7, len(figure.bars) - 0.3)
    for place, bar in zip(places, figure.bars, strict=True):
        _draw_bar(axes, float(place), bar, bar.low if figure.base is None else figure.base)
    axes.set_yticks(places, [label_text(bar.label) for bar in figure.bars])
    axes.tick_params(axis="y", length=0)
    if figure.base is not None:
        axes.axvline(figure.base, color=INK, linewidth=0.9)
    axes.set_xlabel(label_text(figure.x_label))
    axes.set_ylabel(label_text(figure.y_label))


def _draw_bar(axes: Axes, place: float, bar: Bar, base: float) -> None:
    middle = min(max(base, bar.low), bar.high)
    axes.barh(place, middle - bar.low, left=bar.low, height=0.6, color=_LOW)
    axes.barh(place, bar.high - middle, left=middle, height=0.6, color=_HIGH)
    for end, text, side, shift in ((bar.low, bar.low_label, "right", -3), (bar.high, bar.high_label, "left", 3)):
        if text:
            axes.annotate(
                label_text(text),
                xy=(end, place),
                xytext=(shift, 0),
                textcoords="offset points",
                ha=side,
                va="center",
                fontsize=6.8,
                color=INK,
            )
