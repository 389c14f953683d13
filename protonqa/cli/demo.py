"""``protonqa demo``."""

from __future__ import annotations

from typing import Annotated

from protonqa.app.demo import DemoParams
from protonqa.cli.common import DEFAULT, FLAT, Common
from protonqa.cli.task import task

_DEFAULTS = DemoParams()


def demo(*, params: Annotated[DemoParams, FLAT] = _DEFAULTS, common: Common = DEFAULT) -> int:
    """A phantom case with a hidden range error, from DICOM files to the report."""
    from protonqa.app.demo import demo as run
    from protonqa.cli.result_text import result_text

    with task(common) as job:
        outcome = run(params, seed=common.seed, device=job.device, progress=job.progress)
    error = "nothing was found" if outcome.error_mm is None else f"found within {abs(outcome.error_mm):.2f} mm"
    text = (
        f"{result_text(outcome.result, outcome.out)}\n"
        f"planted shift, read after the verdict: {outcome.planted_shift_mm:+.2f} mm; {error}\n"
        f"{outcome.seconds:.0f} s; report: {outcome.out / 'report.pdf'}"
    )
    return job.finish(outcome.to_plain(), text=text, code=0 if outcome.found else 4)
