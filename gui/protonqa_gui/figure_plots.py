"""Figures of a result drawn with pyqtgraph from their data, as the report draws them on paper."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt

from protonqa.values import BarFigure, Figure, ImageFigure, LineFigure
from protonqa_gui.theme import DIVERGING, SERIES, Theme, paint_plot

_HEIGHT = 320


def figure_widget(figure: Figure, theme: Theme) -> pg.PlotWidget:
    """A plot of the figure."""
    widget = pg.PlotWidget()
    widget.setBackground(theme.background)
    widget.setMinimumHeight(_HEIGHT)
    plot = widget.getPlotItem()
    plot.setMenuEnabled(False)
    plot.hideButtons()
    plot.setTitle(figure.title, color=theme.ink, size="10pt")
    plot.setLabel("bottom", figure.x_label)
    plot.setLabel("left", figure.y_label)
    paint_plot(plot, theme)
    if isinstance(figure, LineFigure):
        _draw_lines(plot, figure, theme)
    elif isinstance(figure, ImageFigure):
        _draw_image(plot, figure)
    else:
        _draw_bars(plot, figure, theme)
    return widget


def _draw_lines(plot: pg.PlotItem, figure: LineFigure, theme: Theme) -> None:
    legend = plot.addLegend(offset=(-8, 8), labelTextColor=theme.ink)
    right = _right_axis(plot, figure, theme) if figure.y2_label else None
    for place, one in enumerate(figure.series):
        colour = SERIES[place % len(SERIES)]
        look = {"dashed": Qt.PenStyle.DashLine}.get(one.style, Qt.PenStyle.SolidLine)
        if one.style == "points":
            curve = pg.PlotDataItem(
                one.x, one.y, pen=None, symbol="o", symbolSize=5, symbolBrush=colour, symbolPen=None
            )
        else:
            step = "left" if one.style == "steps" else None
            curve = pg.PlotDataItem(one.x, one.y, pen=pg.mkPen(colour, width=2, style=look), stepMode=step)
        box = right if right is not None and one.axis == "right" else plot
        box.addItem(curve)
        legend.addItem(curve, one.label)
        if one.low is not None and one.high is not None:
            shade = pg.mkColor(colour)
            shade.setAlpha(50)
            edges = [pg.PlotCurveItem(np.asarray(one.x), np.asarray(edge), pen=None) for edge in (one.low, one.high)]
            for item in (*edges, pg.FillBetweenItem(*edges, brush=shade)):
                box.addItem(item)
    for place, mark in enumerate(figure.marks):
        colour = SERIES[place % len(SERIES)]
        options = {"position": 0.95 - 0.08 * place, "color": colour, "anchors": [(1, 0.5), (1, 0.5)]}
        label = f"{mark.label} {mark.x:.1f}"
        plot.addItem(pg.InfiniteLine(mark.x, angle=90, pen=pg.mkPen(colour, width=2), label=label, labelOpts=options))


def _right_axis(plot: pg.PlotItem, figure: LineFigure, theme: Theme) -> pg.ViewBox:
    box = pg.ViewBox(enableMenu=False)
    plot.showAxis("right")
    plot.setLabel("right", figure.y2_label)
    paint_plot(plot, theme)
    plot.scene().addItem(box)
    plot.getAxis("right").linkToView(box)
    box.setXLink(plot)
    plot.vb.sigResized.connect(lambda: box.setGeometry(plot.vb.sceneBoundingRect()))
    return box


def _draw_image(plot: pg.PlotItem, figure: ImageFigure) -> None:
    known = figure.image[np.isfinite(figure.image)]
    high = figure.limit or (float(np.abs(known).max()) if known.size else 1.0)
    levels = (-high, high) if figure.diverging else (float(known.min()) if known.size else 0.0, high)
    item = pg.ImageItem(np.asarray(figure.image), axisOrder="row-major")
    left, right, low, top = figure.extent_mm
    item.setRect(QRectF(left, low, right - left, top - low))
    plot.setAspectLocked(True)
    plot.addItem(item)
    colours = pg.colormap.get(DIVERGING if figure.diverging else "viridis")
    bar = pg.ColorBarItem(values=levels, colorMap=colours, label=figure.unit, interactive=False, width=14)
    bar.setImageItem(item, insert_in=plot)


def _draw_bars(plot: pg.PlotItem, figure: BarFigure, theme: Theme) -> None:
    n = len(figure.bars)
    y = np.arange(n)[::-1].astype(float)
    low, high = np.array([one.low for one in figure.bars]), np.array([one.high for one in figure.bars])
    plot.addItem(pg.BarGraphItem(x0=low, width=high - low, y=y, height=0.6, brush=SERIES[0], pen=None))
    plot.getAxis("left").setTicks([[(float(place), one.label) for place, one in zip(y, figure.bars, strict=True)]])
    if figure.base is not None:
        plot.addItem(pg.InfiniteLine(figure.base, angle=90, pen=pg.mkPen(theme.ink)))
