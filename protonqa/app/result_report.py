"""The report files of a result, whoever ran it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protonqa.values import AnalysisResult, Case


def write_result_report(
    result: AnalysisResult, inputs: Mapping[str, Any], out: Path, *, anonymous: bool = False
) -> tuple[str, ...]:
    """Write the report of a result; the identity block comes from the first case among the inputs."""
    from protonqa.report.files import write_report
    from protonqa.report.subject import subject_of_case

    case = next((value for value in inputs.values() if isinstance(value, Case)), None)
    subject = subject_of_case(case) if case is not None else None
    return write_report(result, out, subject=subject, anonymous=anonymous)
