"""``protonqa expected-pet``."""

from __future__ import annotations

from typing import Annotated

from protonqa.app.expected_pet import ExpectedPetParams
from protonqa.cli.common import DEFAULT, FLAT, Common
from protonqa.cli.task import task


def expected_pet(*, params: Annotated[ExpectedPetParams, FLAT], common: Common = DEFAULT) -> int:
    """The PET that a plan should leave, as DICOM PET (BQML)."""
    from protonqa.app.expected_pet import expected_pet as make

    with task(common) as job:
        outcome = make(params, seed=common.seed, progress=job.progress)
    text = f"PET written to {outcome.folder}: {outcome.slices} slices, up to {outcome.activity_max_bq_per_ml:.3g} Bq/ml"
    return job.finish(outcome.to_plain(), text=text)
