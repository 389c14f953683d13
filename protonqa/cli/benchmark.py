"""``protonqa benchmark``."""

from __future__ import annotations

import importlib
from typing import Annotated

from cyclopts import Parameter

from protonqa.app.benchmark import BenchmarkParams
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.options import OPTIONS
from protonqa.cli.task import task

_DEFAULTS = BenchmarkParams()


def benchmark(
    *,
    params: Annotated[BenchmarkParams, OPTIONS] = _DEFAULTS,
    gui: Annotated[bool, Parameter(negative="", help="Time the desktop window instead.")] = False,
    common: Common = DEFAULT,
) -> int:
    """Speed of Monte Carlo, range model, activity chain and verify on this computer."""
    from protonqa.app.benchmark import benchmark as run
    from protonqa.app.benchmark import benchmark_text
    from protonqa.cli.gui import require_window

    if gui:
        require_window()
        with task(common) as job:
            # By name: the command line itself must not import Qt.
            speed = importlib.import_module("protonqa_gui.speed")
            found = speed.measure(lambda what: job.progress(0, 1, what))
            text = speed.text_of(found)
        return job.finish({"gui": found}, text=text)
    with task(common) as job:
        answer = run(params, seed=common.seed, device=job.device, progress=job.progress)
    return job.finish(answer, text=benchmark_text(answer))
