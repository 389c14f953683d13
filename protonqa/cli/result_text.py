"""A result as a few lines for a terminal."""

from __future__ import annotations

from pathlib import Path

from protonqa.app.results import all_findings
from protonqa.values import AnalysisResult, Measurement


def result_text(result: AnalysisResult, out: Path | None = None) -> str:
    """State and reason, measurements with intervals, findings, and where the files lie."""
    lines = [
        f"{result.title or result.analysis}: {result.state.value}" + (f" ({result.reason})" if result.reason else "")
    ]
    lines += [f"  {_measurement(one)}" for one in result.measurements.values()]
    for part in result.parts:
        lines.append(
            f"  {part.title or part.analysis}: {part.state.value}" + (f" ({part.reason})" if part.reason else "")
        )
        lines += [f"    {_measurement(one)}" for one in part.measurements.values()]
    lines += [f"  {one.severity.value}: {one.text}" for one in all_findings(result)]
    if out is not None:
        lines.append(f"  files in {out}")
    return "\n".join(lines)


def _measurement(one: Measurement) -> str:
    unit = "" if one.unit == "1" else one.unit
    value = "no value" if one.value is None else f"{one.value:.4g} {unit}".strip()
    interval = "" if one.low is None or one.high is None else f" ({one.low:.4g} to {one.high:.4g})"
    return f"{one.title or one.name}: {value}{interval}"
