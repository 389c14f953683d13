"""``protonqa plan``."""

from __future__ import annotations

from typing import Annotated

from protonqa.app.plan import PlanParams
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.options import OPTIONS
from protonqa.cli.task import task


def plan(*, params: Annotated[PlanParams, OPTIONS], common: Common = DEFAULT) -> int:
    """Make a field for a spherical target on a CT: energy layers, spots and weights, as RT Ion Plan."""
    from protonqa.app.plan import make_plan

    with task(common) as job:
        written = make_plan(params, seed=common.seed, progress=job.progress)
    return job.finish(written.to_plain(), text=written.summary())
