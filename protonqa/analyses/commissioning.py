"""Acceptance tests: an analysis on cases with known truth, measured against stated limits."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from protonqa.analyses.failures import failure_line, failure_text
from protonqa.analyses.interface import Analysis, CancelCallback, Check, Commissioning, Context, ProgressCallback
from protonqa.analyses.result_check import check_figure
from protonqa.analyses.result_json import (
    figure_from_plain,
    figure_to_plain,
    finding_from_plain,
    finding_to_plain,
    table_from_plain,
    table_to_plain,
)
from protonqa.analyses.run_folder import TRACEBACK
from protonqa.analyses.runner import check_params
from protonqa.device import CPU, Device
from protonqa.errors import Cancelled, PluginError
from protonqa.files.atomic import write_text_atomic
from protonqa.values import Finding, Severity


def commission_analysis(
    analysis: Analysis,
    *,
    seed: int = 0,
    device: Device = CPU,
    quick: bool = False,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    out: Path | None = None,
) -> Commissioning:
    """Run the acceptance test of an analysis with its default parameters.

    A failing test program never passes: it gives no checks and a critical finding, with its traceback in `out`.

    Raises
    ------
    Cancelled
        The run was stopped.
    """
    clock = time.perf_counter()
    try:
        context: Context[Any] = Context(
            inputs={},
            params=check_params(analysis, None),
            seed=seed,
            device=device,
            out=out,
            quick=quick,
            on_progress=progress,
            is_cancelled=cancel,
        )
        with contextlib.redirect_stdout(sys.stderr):
            outcome = _checked(analysis.commission(context))
    except Cancelled:
        raise
    except (Exception, SystemExit) as error:
        if out is not None:
            write_text_atomic(out / TRACEBACK, failure_text(error))
        outcome = failed_commissioning(failure_line(error))
    return replace(outcome, timings_s={**outcome.timings_s, "run": time.perf_counter() - clock})


def commissioning_to_plain(outcome: Commissioning) -> dict[str, Any]:
    """Checks, findings and tables as JSON types."""
    return {
        "passed": outcome.passed,
        "checks": [check_to_plain(check) for check in outcome.checks],
        "findings": [finding_to_plain(finding) for finding in outcome.findings],
        "tables": [table_to_plain(table) for table in outcome.tables],
        "timings_s": {name: round(float(seconds), 3) for name, seconds in sorted(outcome.timings_s.items())},
    }


def outcome_to_plain(outcome: Commissioning) -> dict[str, Any]:
    """The whole outcome, figures included, on its way between processes."""
    figures = [figure_to_plain(figure) for figure in outcome.figures]
    return {**commissioning_to_plain(outcome), "figures": figures}


def outcome_from_plain(plain: Mapping[str, Any]) -> Commissioning:
    """The outcome that `outcome_to_plain` wrote."""
    return Commissioning(
        checks=tuple(Check(**one) for one in plain["checks"]),
        findings=tuple(finding_from_plain(one) for one in plain["findings"]),
        tables=tuple(table_from_plain(one) for one in plain["tables"]),
        figures=tuple(figure_from_plain(one) for one in plain["figures"]),
        timings_s=dict(plain["timings_s"]),
    )


def failed_commissioning(reason: str) -> Commissioning:
    """The outcome of an acceptance test that gave none: no checks, so it never passes."""
    finding = Finding(severity=Severity.CRITICAL, code="COMMISSION-FAILED", text=reason)
    return Commissioning(checks=(), findings=(finding,))


def check_to_plain(check: Check) -> dict[str, Any]:
    """One check as JSON types."""
    return {
        "name": check.name,
        "title": check.title,
        "value": None if check.value is None else float(check.value),
        "unit": check.unit,
        "limit": float(check.limit),
        "comparison": check.comparison,
        "passed": bool(check.passed),
    }


def _checked(outcome: object) -> Commissioning:
    if not isinstance(outcome, Commissioning) or not all(isinstance(one, Check) for one in outcome.checks):
        raise PluginError("the acceptance test returned something else", got=type(outcome).__name__)
    if not outcome.checks:
        raise PluginError("the acceptance test made no check", expected="at least one")
    for figure in outcome.figures:
        check_figure(figure)
    for table in outcome.tables:
        table_to_plain(table)
    return outcome
