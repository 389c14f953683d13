"""Analyses whose report is not that of a patient: what stands before the traceability."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from protonqa.report.document import Block
from protonqa.report.study import study_blocks
from protonqa.values import AnalysisResult, Finding

#: Of a result that passed or failed, and its findings in order, the blocks up to the traceability.
Layout = Callable[[AnalysisResult, tuple[Finding, ...]], Iterable[Block]]

LAYOUTS: Mapping[str, Layout] = {"sensitivity-study": study_blocks}
