"""The report of a finished result once more, with what its reader has to say: a comment, a name, a decision."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from protonqa.analyses.result_json import result_from_json
from protonqa.analyses.run_folder import RESULT, prove_writable
from protonqa.durable import write_bytes_atomic, write_text_atomic
from protonqa.errors import InputError, StoreError
from protonqa.values import AnalysisResult, Case

#: A row of the report holds no more; a longer comment goes on in the next one.
_ROW_LETTERS = 560


class Remarks(BaseModel):
    """What a person adds to a report; it stands in a box of its own and changes no number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    comment: str = Field("", max_length=4000, title="Comment")
    signed_by: str = Field("", max_length=120, title="Signed by")
    role: str = Field("", max_length=80, title="Role")

    def rows(self) -> tuple[tuple[str, str], ...]:
        """(label, text) of what was filled in."""
        parts = textwrap.wrap(" ".join(self.comment.split()), _ROW_LETTERS)
        rows = [("Comment" if i == 0 else "", part) for i, part in enumerate(parts)]
        rows += [(label, text.strip()) for label, text in (("Signed by", self.signed_by), ("Role", self.role))]
        return tuple((label, text) for label, text in rows if text)


def read_result(folder: Path) -> AnalysisResult:
    """The result in a run folder.

    Raises
    ------
    InputError
        Missing or damaged.
    """
    try:
        return result_from_json((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, StoreError) as error:
        raise InputError("there is no readable result in the folder", expected=RESULT) from error


def write_signed_report(
    result_folder: Path, values: Mapping[str, Any], out: Path, *, remarks: Remarks, anonymous: bool = False
) -> dict[str, Path]:
    """Write the report of the result in `result_folder` into `out`: paths of ``pdf``, ``html`` and ``preview``.

    The result folder itself stays as it is: its manifest still fits. The preview is HTML for plain text views.

    Parameters
    ----------
    values : mapping of input name to value
        The identity block comes from the first case among them.

    Raises
    ------
    InputError, StoreError
    """
    from protonqa.report.build import build_document
    from protonqa.report.html import html_text
    from protonqa.report.pdf import pdf_bytes
    from protonqa.report.preview import preview_html
    from protonqa.report.subject import subject_of_case

    result = read_result(result_folder)
    prove_writable(out)
    case = next((value for value in values.values() if isinstance(value, Case)), None)
    subject = subject_of_case(case) if case is not None else None
    document = build_document(result, subject, created=datetime.now(UTC), anonymous=anonymous, remarks=remarks.rows())
    paths = {"pdf": out / "report.pdf", "html": out / "report.html", "preview": out / "preview.html"}
    write_bytes_atomic(paths["pdf"], pdf_bytes(document), label="report")
    write_text_atomic(paths["html"], html_text(document), label="report")
    write_text_atomic(paths["preview"], preview_html(document), label="preview of the report")
    return paths
