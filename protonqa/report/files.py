"""Writing the report of a result into its folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from protonqa.files.atomic import write_bytes_atomic, write_text_atomic
from protonqa.report.build import build_document
from protonqa.report.html import html_text
from protonqa.report.pdf import pdf_bytes
from protonqa.report.subject import ReportSubject
from protonqa.values import AnalysisResult

PDF_NAME, HTML_NAME = "report.pdf", "report.html"


def write_report(
    result: AnalysisResult,
    folder: Path,
    *,
    subject: ReportSubject | None = None,
    created: datetime | None = None,
    anonymous: bool = False,
) -> tuple[str, str]:
    """Write ``report.pdf`` and ``report.html``; returns their names, for the manifest.

    Raises
    ------
    StoreError
        A file cannot be written.
    """
    document = build_document(result, subject, created=created or datetime.now(UTC), anonymous=anonymous)
    write_bytes_atomic(folder / PDF_NAME, pdf_bytes(document))
    write_text_atomic(folder / HTML_NAME, html_text(document))
    return PDF_NAME, HTML_NAME
