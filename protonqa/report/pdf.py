"""The report as PDF (A4), printed from the document's blocks with reportlab."""

from __future__ import annotations

import io
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

from protonqa.report.document import ReportDocument
from protonqa.report.fonts import REGULAR, register_fonts
from protonqa.report.pdf_blocks import flowables, paragraph
from protonqa.report.style import INK, MUTED, RULE

_MARGIN = 17 * mm
_WIDTH = A4[0] - 2 * _MARGIN
#: Height (points) above which a title has more than one line.
_ONE_LINE = 20.0


def pdf_bytes(document: ReportDocument) -> bytes:
    """The document as PDF bytes; the same document gives the same bytes."""
    register_fonts()
    stream = io.BytesIO()
    frame = Frame(
        _MARGIN, 19 * mm, _WIDTH, A4[1] - 41 * mm, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0
    )
    template = BaseDocTemplate(
        stream,
        pagesize=A4,
        title=f"{document.title} {document.report_id}",
        author=document.program,
        subject=document.intended_use,
        creator=document.program,
        lang="en",
        invariant=1,
        pageTemplates=[PageTemplate(id="page", frames=[frame])],
    )
    story: list[Any] = []
    for block in document.blocks:
        story += flowables(block, _WIDTH)
    template.build(story, canvasmaker=_paged_canvas(document))
    return stream.getvalue()


def _paged_canvas(document: ReportDocument) -> type[Canvas]:
    """A canvas that knows the number of pages, for 'page x of y'."""

    class PagedCanvas(Canvas):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._kept: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802
            self._kept.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for page, state in enumerate(self._kept, start=1):
                self.__dict__.update(state)
                _decorate(self, document, page, len(self._kept))
                super().showPage()
            super().save()

    return PagedCanvas


def _decorate(canvas: Any, document: ReportDocument, page: int, pages: int) -> None:
    top, bottom, right = A4[1] - 12.5 * mm, 12 * mm, A4[0] - _MARGIN
    first = page == 1
    heading = paragraph(document.title, "title" if first else "running")
    _, height = heading.wrap(_WIDTH - 60 * mm, 20 * mm)
    if first and height > _ONE_LINE:
        heading = paragraph(document.title, "title_long")
        _, height = heading.wrap(_WIDTH - 50 * mm, 20 * mm)
    heading.drawOn(canvas, _MARGIN, top - 0.5 * height)
    canvas.setFont(REGULAR, 7)
    canvas.setFillColor(HexColor(MUTED))
    canvas.drawRightString(right, top + 1 * mm, f"Report {document.report_id}")
    canvas.drawRightString(right, top - 2.5 * mm, document.created_text)
    canvas.setStrokeColor(HexColor(INK if first else RULE))
    canvas.setLineWidth(0.9 if first else 0.5)
    canvas.line(_MARGIN, top - 5 * mm, right, top - 5 * mm)
    canvas.setStrokeColor(HexColor(RULE))
    canvas.setLineWidth(0.5)
    canvas.line(_MARGIN, bottom + 3.4 * mm, right, bottom + 3.4 * mm)
    canvas.drawString(_MARGIN, bottom, document.intended_use)
    canvas.drawCentredString(A4[0] / 2 + 18 * mm, bottom, document.program)
    canvas.drawRightString(right, bottom, f"Page {page} of {pages}")
