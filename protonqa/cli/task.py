"""What a command function works with. The pattern of every command::

    # protonqa/cli/simulate.py, registered by one line in protonqa/cli/commands.py
    def simulate(*, params: Annotated[SimulateParams, FLAT], common: Common = DEFAULT) -> int:
        \"\"\"Monte Carlo of a pencil beam or of a plan.\"\"\"
        from protonqa.app import simulation

        with task(common) as job:
            outcome = simulation.simulate(params, seed=common.seed, device=job.device, progress=job.progress)
        return job.finish(outcome.to_plain(), text=outcome.summary())

Errors are raised, not printed: the frame makes the one line and the exit code of them. An analysis result gives its
exit code by `finish_result`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from protonqa.cli.bar import ProgressBar
from protonqa.cli.common import Common
from protonqa.cli.frame import answer, print_error
from protonqa.device import Device, resolve_device
from protonqa.errors import InputError
from protonqa.values import AnalysisResult


@dataclass(frozen=True, kw_only=True)
class Task:
    """Common options at work: device, progress, output."""

    common: Common
    progress: Callable[[float, float, str], None]

    @cached_property
    def device(self) -> Device:
        """The device, resolved once."""
        return resolve_device(self.common.device)

    def finish(self, plain: Mapping[str, Any], *, text: str, code: int = 0) -> int:
        """Give the answer, as JSON or as text, and return the exit code."""
        answer(json_line(plain) if self.common.json else text)
        return code

    def finish_result(self, result: AnalysisResult, plain: Mapping[str, Any], *, text: str) -> int:
        """As `finish`, with the exit code of the result's state; a failed result gets its error line too."""
        from protonqa.app.analyses import failure_of
        from protonqa.app.results import exit_code

        failure = failure_of(result)
        if failure is not None:
            print_error(*failure)
        return self.finish(plain, text=text, code=exit_code(result))


@contextmanager
def task(common: Common) -> Iterator[Task]:
    """A job with its progress bar; the bar is gone when the block ends."""
    if common.seed < 0:
        raise InputError("--seed is negative", got=str(common.seed), expected="0 or more")
    with _site(common), ProgressBar(wanted=common.progress) as bar:
        yield Task(common=common, progress=bar)


def _site(common: Common) -> AbstractContextManager[None]:
    """Whatever asks for the site file inside the job gets the one that was named."""
    if common.config is None:
        return nullcontext()
    from protonqa.site.reading import chosen_site_file

    return chosen_site_file(common.config)


def json_line(plain: Mapping[str, Any]) -> str:
    """One JSON object in ASCII, so that any console and pipe carries it; NaN is refused."""
    from protonqa.analyses.result_json import to_plain_ordered

    return json.dumps(to_plain_ordered(plain, "the answer"), allow_nan=False)
