"""``protonqa predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from protonqa.app.predict import PredictParams
from protonqa.app.results import EXIT_DONE, EXIT_NOT_EVALUABLE
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.options import OPTIONS, completed, without
from protonqa.cli.task import task

if TYPE_CHECKING:
    Options = PredictParams
else:
    Options = without(PredictParams, "profiles")


def predict(
    profiles: Path,
    /,
    *,
    options: Annotated[Options, OPTIONS],
    common: Common = DEFAULT,
) -> int:
    """Range and depth dose from activity profiles. Exits 3 when no ray is answered.

    Parameters
    ----------
    profiles
        CSV or NPZ with depth_mm and activity; optional ray, hu or rsp, delay_s, acquisition_s, irradiation_s, psf_mm.
    """
    from protonqa.app.predict import predict as run

    params = completed(PredictParams, options, profiles=profiles)
    with task(common) as job:
        outcome = run(params, device=job.device, progress=job.progress)
    code = EXIT_DONE if outcome.answered else EXIT_NOT_EVALUABLE
    return job.finish(outcome.to_plain(), text=outcome.summary(), code=code)
