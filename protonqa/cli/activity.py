"""``protonqa activity``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from protonqa.app.activity import ActivityParams
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.options import OPTIONS, completed, without
from protonqa.cli.task import task

if TYPE_CHECKING:
    Options = ActivityParams
else:
    Options = without(ActivityParams, "profile")


def activity(
    profile: Path,
    /,
    *,
    options: Annotated[Options, OPTIONS],
    common: Common = DEFAULT,
) -> int:
    """Time line, washout and window on a simulated profile; without any time the nuclei made are summed.

    Parameters
    ----------
    profile
        Profile table as simulate writes it; a column ray makes several profiles.
    """
    from protonqa.app.activity import make_activity

    params = completed(ActivityParams, options, profile=profile)
    with task(common) as job:
        made = make_activity(params, seed=common.seed, device=job.device, progress=job.progress)
    return job.finish(made.to_plain(), text=made.summary())
