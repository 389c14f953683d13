"""``protonqa commission``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from protonqa.analyses.interface import Check, Commissioning
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.options import Enable, NoPlugins
from protonqa.cli.storing import STORING, Storing, with_record
from protonqa.cli.task import task


def commission(
    *names: str,
    out: Path,
    quick: Annotated[bool, Parameter(negative="")] = False,
    enable: Enable = None,
    no_plugins: NoPlugins = False,
    storing: Storing = STORING,
    common: Common = DEFAULT,
) -> int:
    """Acceptance tests with known truth: measured against limit. Exits 1 when a check fails.

    Parameters
    ----------
    names
        Analyses; none means all that are enabled.
    out
        Folder of the outcome.
    quick
        Fewer histories and cases, the same limits.
    enable
        Third-party plugins to enable, each as distribution==version.
    no_plugins
        Safe mode: built-in analyses only.
    """
    from protonqa.app.commission import CommissionParams
    from protonqa.app.commission import commission as run_commission

    params = CommissionParams(names=names, quick=quick, out=out, plugins=() if no_plugins else enable)
    with task(common) as job, storing.recorder() as record:
        outcome = run_commission(params, seed=common.seed, device=job.device, progress=job.progress, record=record)
    text = with_record("\n".join(_text(name, one) for name, one in outcome.outcomes.items()), record)
    return job.finish({**outcome.to_plain(), **record.to_plain()}, text=text, code=0 if outcome.passed else 1)


def _text(name: str, outcome: Commissioning) -> str:
    lines = [f"{name}: {'PASS' if outcome.passed else 'FAIL'}"]
    lines += [_check_line(check) for check in outcome.checks]
    lines += [f"  {finding.severity.value}: {finding.text}" for finding in outcome.findings]
    return "\n".join(lines)


def _check_line(check: Check) -> str:
    value = "no value" if check.value is None else f"{check.value:.4g} {check.unit}".strip()
    mark = "ok  " if check.passed else "FAIL"
    return (
        f"  {mark} {check.title or check.name}: {value}, limit {check.comparison} {check.limit:g} {check.unit}".rstrip()
    )
