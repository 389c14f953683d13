"""``protonqa benchmark``."""

from __future__ import annotations

from typing import Annotated

from protonqa.app.benchmark import BenchmarkParams
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.options import OPTIONS
from protonqa.cli.task import task

_DEFAULTS = BenchmarkParams()


def benchmark(*, params: Annotated[BenchmarkParams, OPTIONS] = _DEFAULTS, common: Common = DEFAULT) -> int:
    """Speed of Monte Carlo, range model, activity chain and verify on this computer."""
    from protonqa.app.benchmark import benchmark as run
    from protonqa.app.benchmark import benchmark_text

    with task(common) as job:
        answer = run(params, seed=common.seed, device=job.device, progress=job.progress)
    return job.finish(answer, text=benchmark_text(answer))
