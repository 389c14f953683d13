"""The report for a text view that knows tables and images but no style sheet: the same blocks, a third time.

A window shows it beside the buttons that write the PDF; what it shows is what the PDF says.
"""

from __future__ import annotations

import base64
from html import escape

from protonqa.report import style
from protonqa.report.document import (
    Block,
    Facts,
    FigureBlock,
    Findings,
    GridTable,
    Heading,
    KeyNumbers,
    Pair,
    ReportDocument,
    Signature,
    Verdict,
)
from protonqa.report.figures import figure_png

_PIXELS_PER_MM = 3.7
_DPI = 110


def preview_html(document: ReportDocument) -> str:
    """The document as HTML of tables and embedded PNG images; every text is escaped."""
    head = (
        f"<table width='100%'><tr><td><h1>{escape(document.title)}</h1></td>"
        f"<td align='right'>{escape(document.report_id)}<br>{escape(document.created_text)}</td></tr></table>"
    )
    body = "".join(_block(one) for one in document.blocks)
    foot = f"<hr><p>{escape(document.program)} &nbsp; {escape(document.intended_use)}</p>"
    return f"<html><body>{head}{body}{foot}</body></html>"


def _block(block: Block) -> str:
    if isinstance(block, Verdict):
        return _verdict(block)
    if isinstance(block, KeyNumbers):
        cells = "".join(
            f"<td>{escape(one.label)}<br><b><big>{escape(one.value)}</big></b><br>{escape(one.note)}</td>"
            for one in block.numbers
        )
        return f"<table width='100%' cellpadding='6' border='1' cellspacing='0'><tr>{cells}</tr></table>"
    if isinstance(block, Facts):
        return _titled(block.title) + _rows([[label, value] for label, value in block.rows])
    if isinstance(block, Findings):
        return _findings(block)
    if isinstance(block, GridTable):
        note = f"<p>{escape(block.note)}</p>" if block.note else ""
        return _titled(block.title) + _rows([list(row) for row in block.rows], list(block.columns)) + note
    if isinstance(block, FigureBlock):
        return _figure(block)
    if isinstance(block, Pair):
        left, right = _block(block.left), _block(block.right)
        cells = f"<td valign='top' width='34%'>{left}</td><td valign='top'>{right}</td>"
        return f"<table width='100%'><tr>{cells}</tr></table>"
    if isinstance(block, Heading):
        return f"<h2>{escape(block.text)}</h2>"
    return _signature(block)


def _titled(title: str) -> str:
    return f"<h3>{escape(title)}</h3>" if title else ""


def _verdict(block: Verdict) -> str:
    colour, sign = style.STATE_COLOUR[block.state], style.STATE_SIGN[block.state]
    return (
        f"<table width='100%' cellpadding='12' bgcolor='{colour}'><tr><td><font color='#ffffff'>"
        f"<b><big>{escape(sign)} {escape(block.state.value)}</big></b></font></td>"
        f"<td><font color='#ffffff'><b>{escape(block.sentence)}</b><br>{escape(block.meaning)}</font></td></tr></table>"
    )


def _findings(block: Findings) -> str:
    if not block.findings:
        return "<h3>Findings</h3><p>None.</p>"
    rows = "".join(
        f"<tr><td bgcolor='{style.SEVERITY_COLOUR[one.severity]}'><font color='#ffffff'>"
        f"<b>{escape(one.severity.value.upper())}</b></font></td><td>{escape(one.text)}</td></tr>"
        for one in block.findings
    )
    return f"<h3>Findings ({len(block.findings)})</h3><table width='100%' cellpadding='4'>{rows}</table>"


def _rows(rows: list[list[str]], columns: list[str] | None = None) -> str:
    if not rows:
        return "<p>None.</p>"
    cells = "".join(f"<th align='left'>{escape(one)}</th>" for one in columns or ())
    head = f"<tr>{cells}</tr>" if columns else ""
    # Rows without heads are label and value: the label takes what it needs.
    first = "" if columns else " width='26%'"
    body = "".join(
        "<tr>" + "".join(f"<td{'' if place else first}>{escape(cell)}</td>" for place, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<table width='100%' cellpadding='2'>{head}{body}</table>"


def _figure(block: FigureBlock) -> str:
    width_mm, height_mm = style.FIGURE_MM[block.size]
    png = figure_png(block.figure, width_mm=width_mm, height_mm=height_mm, action_level=block.action_level, dpi=_DPI)
    image = base64.b64encode(png).decode("ascii")
    width = round(width_mm * _PIXELS_PER_MM)
    note = f"<p>{escape(block.note)}</p>" if block.note else ""
    caption = f"<p><b>{escape(block.caption)}</b></p>"
    return f"{caption}<img width='{width}' src='data:image/png;base64,{image}'>{note}"


def _signature(block: Signature) -> str:
    cells = "".join(f"<td>{escape(role)}<br><br>______________________</td>" for role in block.roles)
    return f"<table width='100%' cellpadding='8'><tr>{cells}</tr></table>"
