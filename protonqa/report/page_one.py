"""Does the evidence of a single field fit on page one? An estimate of heights, for the balance of pages only."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from protonqa.report.document import Block, Facts, FigureBlock, Findings, GridTable, Heading, KeyNumbers, Pair, Verdict
from protonqa.report.style import FIGURE_MM

_PAGE_MM = 254.0
_LINE_MM = 3.32


def fits_page_one(blocks: Iterable[Block]) -> bool:
    """True when everything up to the first section that asks for a page of its own fits on one."""
    height_mm = 0.0
    for block in blocks:
        if isinstance(block, Heading) and block.new_page:
            break
        height_mm += _height_mm(block, half=False)
    return height_mm <= _PAGE_MM


def _height_mm(block: Block, *, half: bool) -> float:
    match block:
        case Verdict():
            return 16.0 + 4.6 * ceil(len(block.sentence) / 62)
        case KeyNumbers():
            return 20.5
        case Facts():
            rows = ceil(len(block.rows) / block.columns)
            longest = [max((len(value) for _, value in block.rows[row::rows]), default=0) for row in range(rows)]
            return 8.0 + sum(1.4 + _LINE_MM * ceil(max(one, 1) / 40) for one in longest)
        case Findings():
            return 7.5 + sum(1.4 + _LINE_MM * ceil(max(len(one.text), 1) / 84) for one in block.findings)
        case FigureBlock():
            return 10.0 + FIGURE_MM[block.size][1] + (4.0 if block.note else 0.0)
        case GridTable():
            letters = 38 if half else 90
            return 14.0 + sum(1.4 + _LINE_MM * ceil(len(row[0]) / letters) for row in block.rows)
        case Pair():
            return 3.0 + max(_height_mm(block.left, half=True), _height_mm(block.right, half=True))
        case _:
            return 9.0
