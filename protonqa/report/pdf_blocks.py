"""Blocks of a report as reportlab flowables."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor, white
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import CondPageBreak, Flowable, Image, KeepTogether, Paragraph, Spacer
from reportlab.platypus import Table as Grid

from protonqa.report.document import (
    Block,
    Facts,
    FigureBlock,
    Findings,
    GridTable,
    Heading,
    KeyNumbers,
    Pair,
    Signature,
    Verdict,
)
from protonqa.report.figures import figure_png
from protonqa.report.fonts import BOLD, REGULAR, font_runs
from protonqa.report.style import (
    FIGURE_MM,
    INK,
    MUTED,
    PAIR_SHARE,
    RULE,
    SEVERITY_COLOUR,
    SHADE,
    STATE_COLOUR,
    STATE_SIGN,
)
from protonqa.report.text import visual_order

_GUTTER = 5 * mm
#: Tables of more columns stand closer; a column of text is never narrower than this.
MANY_COLUMNS, LEAST_TEXT_MM = 9, 14.0


def _style(name: str) -> ParagraphStyle:
    base: dict[str, Any] = {"fontName": REGULAR, "fontSize": 8, "leading": 10.4, "textColor": HexColor(INK)}
    changes: dict[str, dict[str, Any]] = {
        "title": {"fontName": BOLD, "fontSize": 14, "leading": 17},
        "title_long": {"fontName": BOLD, "fontSize": 9.6, "leading": 11.4},
        "running": {"fontName": BOLD, "fontSize": 8, "leading": 10},
        "heading": {"fontName": BOLD, "fontSize": 10.5, "leading": 13, "spaceBefore": 8, "spaceAfter": 4},
        "table_title": {"fontName": BOLD, "fontSize": 8.4, "leading": 11},
        "column": {"fontName": BOLD, "fontSize": 7.2, "leading": 9},
        "column_right": {"fontName": BOLD, "fontSize": 7.2, "leading": 9, "alignment": TA_RIGHT},
        "cell": {"fontSize": 7.4, "leading": 9.4},
        "cell_right": {"fontSize": 7.4, "leading": 9.4, "alignment": TA_RIGHT},
        "label": {"fontSize": 7.2, "leading": 9.4, "textColor": HexColor(MUTED)},
        "note": {"fontSize": 6.8, "leading": 8.6, "textColor": HexColor(MUTED)},
        "word": {"fontName": BOLD, "fontSize": 21, "leading": 25, "textColor": white},
        "sentence": {"fontName": BOLD, "fontSize": 10, "leading": 13, "textColor": white},
        "meaning": {"fontSize": 8, "leading": 10.4, "textColor": white},
        "number": {"fontName": BOLD, "fontSize": 13, "leading": 16},
        "tag": {"fontName": BOLD, "fontSize": 6.6, "leading": 9, "textColor": white},
    }
    return ParagraphStyle(name, **{**base, **changes.get(name, {})})


def paragraph(text: str, style: str = "body") -> Paragraph:
    """A paragraph of literal text: markup in it is shown, not run."""
    pieces = []
    for font, run in font_runs(visual_order(text)):
        literal = escape(run, {'"': "&quot;", "'": "&#39;"})
        pieces.append(f'<font name="{font}">{literal}</font>' if font else literal)
    return Paragraph("".join(pieces), _style(style))


def flowables(block: Block, width: float) -> list[Any]:
    match block:
        case Verdict():
            return [_verdict(block, width), Spacer(1, 3 * mm)]
        case KeyNumbers():
            return [_key_numbers(block, width), Spacer(1, 4 * mm)]
        case Facts():
            return [*_facts(block, width), Spacer(1, 3.5 * mm)]
        case Findings():
            return [*_findings(block, width), Spacer(1, 3 * mm)]
        case FigureBlock():
            return [_figure(block, width), Spacer(1, 2.5 * mm)]
        case GridTable():
            return [*_grid_table(block, width), Spacer(1, 3.5 * mm)]
        case Pair():
            return [_pair(block, width), Spacer(1, 2.5 * mm)]
        case Heading():
            # A section with figures begins a page unless nearly all of one is still free.
            room = A4[1] - 62 * mm if block.new_page else 45 * mm
            return [CondPageBreak(room), paragraph(block.text, "heading")]
        case Signature():
            return [_signature(block, width)]


def _verdict(block: Verdict, width: float) -> Flowable:
    colour = HexColor(STATE_COLOUR[block.state])
    word = paragraph(f"{STATE_SIGN[block.state]} {block.state.value}", "word")
    wide = len(block.state.value) > 6
    texts = [paragraph(block.sentence, "sentence"), Spacer(1, 1.2 * mm), paragraph(block.meaning, "meaning")]
    if wide:
        cells: list[list[Any]] = [[word], [texts]]
        widths = [width]
    else:
        cells, widths = [[word, texts]], [48 * mm, width - 48 * mm]
    box = Grid(cells, colWidths=widths)
    style: list[tuple[Any, ...]] = [
        ("BACKGROUND", (0, 0), (-1, -1), colour),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("LEFTPADDING", (0, 0), (-1, -1), 5 * mm),
        ("RIGHTPADDING", (0, 0), (-1, -1), 5 * mm),
        ("TOPPADDING", (0, 0), (-1, -1), 3.4 * mm),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3.8 * mm),
    ]
    if wide:
        style += [("BOTTOMPADDING", (0, 0), (0, 0), 0), ("TOPPADDING", (0, 1), (0, 1), 1.2 * mm)]
    box.setStyle(style)
    return box


def _key_numbers(block: KeyNumbers, width: float) -> Flowable:
    cells = [
        [paragraph(one.label, "label"), paragraph(one.value, "number"), paragraph(one.note or " ", "note")]
        for one in block.numbers
    ]
    table = Grid([cells], colWidths=[width / len(cells)] * len(cells))
    style: list[tuple[Any, ...]] = [
        ("BOX", (0, 0), (-1, -1), 0.5, HexColor(RULE)),
        ("LINEBEFORE", (1, 0), (-1, -1), 0.5, HexColor(RULE)),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 2.6 * mm),
        ("RIGHTPADDING", (0, 0), (-1, -1), 1.5 * mm),
        ("TOPPADDING", (0, 0), (-1, -1), 1.8 * mm),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.2 * mm),
    ]
    table.setStyle(style)
    return table


def _facts(block: Facts, width: float) -> list[Any]:
    """Label and value rows, read down the columns."""
    columns = min(block.columns, max(len(block.rows), 1))
    per_column = -(-len(block.rows) // columns)
    label_width = block.label_mm * mm
    rows = []
    for row in range(per_column):
        cells: list[Any] = []
        for column in range(columns):
            index = column * per_column + row
            label, value = block.rows[index] if index < len(block.rows) else ("", "")
            cells += [paragraph(label, "label"), paragraph(value, "cell")]
        rows.append(cells)
    table = Grid(rows, colWidths=[label_width, width / columns - label_width] * columns)
    table.setStyle(_tight_style())
    return _titled(block.title, [table])


def _titled(title: str, flowables: list[Any]) -> list[Any]:
    if not title:
        return flowables
    return [KeepTogether([paragraph(title, "table_title"), Spacer(1, 1 * mm), flowables[0]]), *flowables[1:]]


def _tight_style() -> list[tuple[Any, ...]]:
    return [
        ("LINEABOVE", (0, 0), (-1, 0), 0.5, HexColor(RULE)),
        ("LINEBELOW", (0, 0), (-1, -1), 0.3, HexColor(SHADE)),
        ("LINEBELOW", (0, -1), (-1, -1), 0.5, HexColor(RULE)),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 2 * mm),
        ("TOPPADDING", (0, 0), (-1, -1), 1.6),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.4),
    ]


def _findings(block: Findings, width: float) -> list[Any]:
    if not block.findings:
        return _titled("Findings", [paragraph("None.", "cell")])
    rows = [
        [paragraph(one.severity.value.upper(), "tag"), paragraph(one.text, "cell"), paragraph(one.code, "note")]
        for one in block.findings
    ]
    table = Grid(rows, colWidths=[19 * mm, width - 57 * mm, 38 * mm])
    style = _tight_style()
    style += [("LEFTPADDING", (0, 0), (0, -1), 1.6 * mm), ("LEFTPADDING", (1, 0), (1, -1), 2.4 * mm)]
    for index, one in enumerate(block.findings):
        style.append(("BACKGROUND", (0, index), (0, index), HexColor(SEVERITY_COLOUR[one.severity])))
        style.append(("LINEBELOW", (0, index), (0, index), 0.6, white))
    table.setStyle(style)
    return _titled(f"Findings ({len(block.findings)})", [table])


def _figure(block: FigureBlock, width: float) -> Flowable:
    _, height_mm = FIGURE_MM[block.size]
    image = figure_png(block.figure, width_mm=width / mm, height_mm=height_mm, action_level=block.action_level)
    parts = [paragraph(block.caption, "table_title"), Image(io.BytesIO(image), width=width, height=height_mm * mm)]
    return KeepTogether([*parts, paragraph(block.note, "note")] if block.note else parts)


def _grid_table(block: GridTable, width: float) -> list[Any]:
    if not block.rows:
        return _titled(block.title, [paragraph("None.", "cell")])
    head = [
        paragraph(text, "column_right" if index in block.numeric else "column")
        for index, text in enumerate(block.columns)
    ]
    body = [
        [paragraph(text, "cell_right" if index in block.numeric else "cell") for index, text in enumerate(row)]
        for row in block.rows
    ]
    table = Grid([head, *body], colWidths=_column_widths(block, width), repeatRows=1)
    style = _tight_style()
    style += [
        ("BACKGROUND", (0, 0), (-1, 0), HexColor(SHADE)),
        ("LINEBELOW", (0, 0), (-1, 0), 0.5, HexColor(RULE)),
        ("LEFTPADDING", (0, 0), (-1, -1), _padding(block) - 0.2 * mm),
        ("RIGHTPADDING", (0, 0), (-1, -1), _padding(block) - 0.2 * mm),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
    ]
    table.setStyle(style)
    parts: list[Any] = [table]
    if block.note:
        parts += [Spacer(1, 0.8 * mm), paragraph(block.note, "note")]
    return _titled(block.title, parts)


def _padding(block: GridTable) -> float:
    return 1.6 * mm if len(block.columns) <= MANY_COLUMNS else 1.0 * mm


def _squeezed(least: list[float], numeric: frozenset[int], width: float) -> list[float]:
    """Words may break, numbers may not: what is missing is taken from the columns of text while they have any."""
    words = [index for index in range(len(least)) if index not in numeric]
    spare = sum(max(least[index] - LEAST_TEXT_MM * mm, 0.0) for index in words)
    missing = sum(least) - width
    if not spare or missing > spare:
        return [width * one / sum(least) for one in least]
    return [
        one - missing * max(one - LEAST_TEXT_MM * mm, 0.0) / spare if index in words else one
        for index, one in enumerate(least)
    ]


def _column_widths(block: GridTable, width: float) -> list[float]:
    """Each column gets its longest word (numbers are one word), then a share of the rest by its whole text."""
    padding = 2.0 * _padding(block)
    least, wanted = [], []
    for index, title in enumerate(block.columns):
        texts = [row[index] for row in block.rows]
        whole = max(stringWidth(text, REGULAR, 7.4) for text in texts)
        head = max(stringWidth(word, BOLD, 7.2) for word in [*title.split(), ""])
        words = texts if index in block.numeric else [word for text in texts for word in text.split()]
        longest = max((stringWidth(word, REGULAR, 7.4) for word in words), default=0.0)
        least.append(max(min(longest, 0.4 * width), head) + padding)
        wanted.append(max(whole, stringWidth(title, BOLD, 7.2)) + padding)
    if sum(least) >= width:
        return _squeezed(least, block.numeric, width)
    spare, missing = width - sum(least), [max(want - have, 0.0) for want, have in zip(wanted, least, strict=True)]
    if sum(missing) > spare:
        return [have + spare * lack / sum(missing) for have, lack in zip(least, missing, strict=True)]
    filled = [have + lack for have, lack in zip(least, missing, strict=True)]
    return [one * width / sum(filled) for one in filled]


def _pair(block: Pair, width: float) -> Flowable:
    # A table beside a map needs the wider half, or its names break into many lines.
    share = PAIR_SHARE if isinstance(block.right, GridTable) else 0.5
    left = share * (width - _GUTTER)
    right = width - _GUTTER - left
    cells: Sequence[Any] = [_loose(flowables(block.left, left)), "", _loose(flowables(block.right, right))]
    table = Grid([cells], colWidths=[left, _GUTTER, right])
    table.setStyle(
        [("VALIGN", (0, 0), (-1, -1), "TOP")]
        + [(f"{side}PADDING", (0, 0), (-1, -1), 0) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")]
    )
    return table


def _loose(flowables: Sequence[Any]) -> list[Any]:
    """Flowables without KeepTogether, which has no size inside a table cell."""
    loose: list[Any] = []
    for one in flowables:
        loose += _loose(one._content) if isinstance(one, KeepTogether) else [one]
    return loose


def _signature(block: Signature, width: float) -> Flowable:
    """Two roles with room to write by hand, and what was decided."""
    gap = 4 * mm
    widths = [50 * mm, 44 * mm, gap, 24 * mm, gap, width - 118 * mm - 2 * gap]
    titles = [paragraph(text, "label") for text in ("Name", "Date", "Signature")]
    rows: list[list[Any]] = [["", titles[0], "", titles[1], "", titles[2]]]
    rows += [[paragraph(role, "cell"), "", "", "", "", ""] for role in block.roles]
    rows.append([paragraph("☐ accepted", "cell"), paragraph("☐ further action:", "cell"), "", "", "", ""])
    table = Grid(rows, colWidths=widths, rowHeights=[11, *([22] * (len(rows) - 1))])
    style: list[tuple[Any, ...]] = [
        ("VALIGN", (0, 0), (-1, -1), "BOTTOM"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
        ("LINEBELOW", (3, -1), (-1, -1), 0.6, HexColor(INK)),
    ]
    style += [("LINEBELOW", (column, 1), (column, -2), 0.6, HexColor(INK)) for column in (1, 3, 5)]
    table.setStyle(style)
    return KeepTogether([paragraph("Review", "heading"), table])
