"""Colours: light and dark, and curves and maps that colour-blind readers tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QPalette

#: Curves, after Okabe and Ito: distinct for every kind of colour vision.
MEASURED, EXPECTED, RAW, RSP = "#E69F00", "#0072B2", "#999999", "#CC79A7"
PREDICTED, PLANNED, CROSS_HAIR = "#D55E00", "#009E73", "#56B4E9"
SERIES = (EXPECTED, PREDICTED, PLANNED, RSP, MEASURED, CROSS_HAIR, RAW)

STATE_COLOURS = {"PASS": "#00734C", "FAIL": "#B23A00", "NOT EVALUABLE": "#5F5F5F", "ERROR": "#8A1253"}
#: Legible on light and on dark ground.
SEVERITY_COLOURS = {"critical": "#D9480F", "warning": "#B57600", "info": "#3F8AD0"}

#: Maps with even steps of lightness, and one that diverges from white.
MAPS = ("inferno", "viridis", "cividis", "magma", "plasma")
DIVERGING = "CET-D1A"


@dataclass(frozen=True, slots=True)
class Theme:
    """Background and ink of the plots."""

    name: str
    background: str
    ink: str
    faint: str


_LIGHT_ROLES = {
    "Window": "#F0F0F0",
    "WindowText": "#151515",
    "Base": "#FFFFFF",
    "AlternateBase": "#F5F5F5",
    "Text": "#151515",
    "Button": "#ECECEC",
    "ButtonText": "#151515",
    "ToolTipBase": "#FFFFE8",
    "ToolTipText": "#151515",
    "PlaceholderText": "#808080",
    "Highlight": "#2F7FBF",
    "HighlightedText": "#FFFFFF",
    "Link": "#0B5FA5",
}
_DARK_ROLES = {
    "Window": "#26282C",
    "WindowText": "#E6E6E6",
    "Base": "#3A3F46",
    "AlternateBase": "#42474F",
    "Text": "#E6E6E6",
    "Button": "#34373C",
    "ButtonText": "#E6E6E6",
    "ToolTipBase": "#34373C",
    "ToolTipText": "#E6E6E6",
    "PlaceholderText": "#A0A0A0",
    "Highlight": "#3A86C8",
    "HighlightedText": "#FFFFFF",
    "Link": "#7CB8EA",
}

LIGHT = Theme("light", "#FFFFFF", "#202020", "#808080")
DARK = Theme("dark", "#1B1D20", "#E6E6E6", "#9A9A9A")


def theme_named(name: str) -> Theme:
    """The theme of that name; light for any other name."""
    return DARK if name == DARK.name else LIGHT


def apply_theme(theme: Theme) -> None:
    """Tell Qt and pyqtgraph; plots that are already drawn are told by their owner."""
    dark = theme is DARK
    QGuiApplication.styleHints().setColorScheme(Qt.ColorScheme.Dark if dark else Qt.ColorScheme.Light)
    # A palette of our own too: not every platform follows the hint.
    QGuiApplication.setPalette(_palette(_DARK_ROLES if dark else _LIGHT_ROLES))
    pg.setConfigOptions(background=theme.background, foreground=theme.ink, imageAxisOrder="row-major")


def _palette(roles: dict[str, str]) -> QPalette:
    palette = QPalette()
    for name, colour in roles.items():
        palette.setColor(getattr(QPalette.ColorRole, name), QColor(colour))
    faint = QColor(roles["PlaceholderText"])
    for name in ("Text", "WindowText", "ButtonText"):
        palette.setColor(QPalette.ColorGroup.Disabled, getattr(QPalette.ColorRole, name), faint)
    return palette


def paint_plot(plot: pg.PlotItem, theme: Theme) -> None:
    """Axes and labels of a plot in the ink of the theme."""
    for name in ("left", "bottom", "right"):
        axis = plot.getAxis(name)
        axis.setPen(pg.mkPen(theme.faint))
        axis.setTextPen(pg.mkPen(theme.ink))


def overlay_lut(name: str, opacity: float) -> object:
    """Lookup table (256, 4) of an overlay: nothing at zero, up to `opacity` from a tenth of the scale on."""
    import numpy as np

    table = pg.colormap.get(name).getLookupTable(0.0, 1.0, 256, alpha=True)
    ramp = np.clip(np.linspace(0.0, 10.0, 256), 0.0, 1.0)
    table[:, 3] = (255 * opacity * ramp).astype(np.uint8)
    return table
