"""``protonqa simulate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from protonqa.app.simulate import SimulateParams
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.options import OPTIONS, completed, without
from protonqa.cli.task import task

if TYPE_CHECKING:
    Options = SimulateParams
else:
    Options = without(SimulateParams, "source")


def simulate(
    source: str | None = None,
    /,
    *,
    out: Path,
    options: Annotated[Options, OPTIONS],
    common: Common = DEFAULT,
) -> int:
    """Monte Carlo of a pencil beam or of a plan.

    Parameters
    ----------
    source
        Phantom name, twin:SEED, phantom YAML, .mha volume in HU, or CT (DICOM folder or zip). A beam enters a
        phantom or volume along +z at the centre of its face, a CT along gantry and couch angle.
    out
        Folder of profile.csv, the volumes and result.json.
    """
    from protonqa.app.simulate import simulate as run

    params = completed(SimulateParams, options, source=source)
    with task(common) as job:
        outcome = run(params, out=out, seed=common.seed, device=job.device, progress=job.progress, notice=_notice)
    return job.finish(outcome.to_plain(), text=f"{outcome.summary()}\n  files in {out}")


def _notice(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
