"""``protonqa verify``."""

from __future__ import annotations

from typing import Annotated

from protonqa.app.verify import VerifyCommand
from protonqa.cli.common import DEFAULT, FLAT, Common
from protonqa.cli.storing import STORING, Storing, with_record
from protonqa.cli.task import task


def verify(*, params: Annotated[VerifyCommand, FLAT], storing: Storing = STORING, common: Common = DEFAULT) -> int:
    """Did the protons stop where the plan says? Range difference, verdict and report."""
    from protonqa.app.verify import verify as run
    from protonqa.app.verify import verify_plain
    from protonqa.cli.result_text import result_text

    with task(common) as job, storing.recorder() as record:
        result = run(params, seed=common.seed, device=job.device, progress=job.progress, record=record)
    plain = {**verify_plain(result, params.out), **record.to_plain()}
    return job.finish_result(result, plain, text=with_record(result_text(result, params.out), record))
