"""``protonqa doctor``."""

from __future__ import annotations

from pathlib import Path

from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.task import task


def doctor(*, out: Path | None = None, common: Common = DEFAULT) -> int:
    """What this computer has, and whether it computes correctly.

    Parameters
    ----------
    out
        A folder whose write access is to be proved.
    """
    from protonqa.app.doctor import examine

    with task(common) as job:
        report = examine(job.device, out=out)
    width = max(len(probe.name) for probe in report.probes)
    lines = [f"{probe.state:<8} {probe.name:<{width}}  {probe.detail}" for probe in report.probes]
    lines.append("all that protonqa needs is here" if report.ok else "something that protonqa needs has failed")
    return job.finish(report.to_plain(), text="\n".join(lines), code=0 if report.ok else 1)
