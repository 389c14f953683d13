"""A result as the report shows it, findings in front: verdict, numbers, tables, figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QLabel, QScrollArea, QVBoxLayout, QWidget

from protonqa.app.results import all_findings
from protonqa.values import AnalysisResult, Measurement
from protonqa_gui.figure_plots import figure_widget
from protonqa_gui.theme import LIGHT, SEVERITY_COLOURS, STATE_COLOURS, Theme

_WEIGHT = {"critical": 0, "warning": 1, "info": 2}


#: Between two figures, for the mouse and the keys.
_PAUSE_MS = 25


class ResultView(QScrollArea):
    """Shows one result."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self._theme = LIGHT
        self.result: AnalysisResult | None = None
        self._stale = False
        self._waiting: list[tuple[QVBoxLayout, Callable[[], QWidget]]] = []
        self._turn = QTimer(self)
        self._turn.setSingleShot(True)
        self._turn.timeout.connect(self._draw_next)
        self.clear()

    def clear(self) -> None:
        """Nothing to show yet."""
        self.result = None
        self._waiting.clear()
        label = QLabel(self.tr("The result of a run appears here."))
        label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setWidget(label)

    def set_theme(self, theme: Theme) -> None:
        """Draw again in other colours."""
        self._theme = theme
        self._stale = self.result is not None and not self.isVisible()
        if self._stale:
            return
        if self.result is not None:
            self.set_result(self.result)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Draw in the colours that were chosen while nobody looked."""
        super().showEvent(event)
        if self._stale and self.result is not None:
            self.set_result(self.result)

    def set_result(self, result: AnalysisResult) -> None:
        """Show a result."""
        self.result = result
        self._stale = False
        self._waiting.clear()
        page = QWidget()
        column = QVBoxLayout(page)
        column.addWidget(_banner(result))
        findings = sorted(all_findings(result), key=lambda one: _WEIGHT.get(one.severity.value, 3))
        if findings:
            rows = [(one.severity.value.upper(), one.text) for one in findings]
            colours = [SEVERITY_COLOURS[one.severity.value] for one in findings]
            column.addWidget(_text(self.tr("Findings ({n})").format(n=len(rows)), (), rows, colours))
        for part in result.parts or (result,):
            if len(result.parts) > 1:
                column.addWidget(QLabel(f"<h3>{part.title}: {part.state.value}</h3>"))
            self._add_part(column, part)
        column.addStretch(1)
        self.setWidget(page)
        self._turn.start(_PAUSE_MS)

    def _draw_next(self) -> None:
        """Draw one piece, and leave the next to a later turn of the event loop: the window must not stand still."""
        if not self._waiting:
            return
        place, made = self._waiting.pop(0)
        place.addWidget(made())
        self._turn.start(_PAUSE_MS)

    def _add_part(self, column: QVBoxLayout, part: AnalysisResult) -> None:
        measured = list(part.measurements.values())
        if measured:
            rows = [(one.title or one.name, _value(one), _interval(one)) for one in measured]
            heads = (self.tr("Quantity"), self.tr("Value"), self.tr("Interval"))
            self._later(column, partial(_text, self.tr("Measurements"), heads, rows))
        for one in part.tables:
            cells = [tuple("-" if cell is None else _cell(cell) for cell in row) for row in one.rows]
            self._later(column, partial(_text, one.title, one.columns, cells))
        for figure in part.figures:
            self._later(column, partial(figure_widget, figure, self._theme))

    def _later(self, column: QVBoxLayout, made: Callable[[], QWidget]) -> None:
        """Keep a place in the column and fill it when its turn comes."""
        place = QVBoxLayout()
        column.addLayout(place)
        self._waiting.append((place, made))


def _banner(result: AnalysisResult) -> QLabel:
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setText(f"{result.state.value}   {result.reason}")
    colour = STATE_COLOURS[result.state.value]
    label.setStyleSheet(f"background: {colour}; color: white; font-weight: bold; padding: 8px;")
    return label


def _text(
    title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], colours: list[str] | None = None
) -> QLabel:
    """A titled table that wraps, can be selected and copied; `colours` are of the first cell of each row."""
    head = "".join(f"<th align='left'>{escape(one)}</th>" for one in columns)
    body = ""
    for place, row in enumerate(rows):
        ink = f" style='color: {colours[place]}; font-weight: bold'" if colours else ""
        cells = [f"<td{ink if at == 0 else ''}>{escape(cell)}</td>" for at, cell in enumerate(row)]
        body += f"<tr>{''.join(cells)}</tr>"
    label = QLabel(f"<h4>{escape(title)}</h4><table width='100%' cellpadding='3'><tr>{head}</tr>{body}</table>")
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setAccessibleName(title)
    return label


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _value(one: Measurement) -> str:
    if one.value is None:
        return "-"
    if one.name.startswith("fraction"):
        return f"{100 * one.value:.0f} %"
    return f"{one.value:.2f} {one.unit}".strip() if one.unit else f"{one.value:.4g}"


def _interval(one: Measurement) -> str:
    return "" if one.low is None or one.high is None else f"{one.low:.2f} to {one.high:.2f}"
