"""Parameters of the sensitivity study: who computes it; what is studied stands in its file."""

from __future__ import annotations

from pydantic import Field

from protonqa.analyses.interface import AnalysisParams


class StudyParams(AnalysisParams):
    """On what a study is computed; its numbers do not depend on it."""

    workers: int | None = Field(
        None, ge=0, le=1024, title="Local workers", description="One a core where none is given."
    )
    scheduler: str | None = Field(None, title="Dask scheduler", description="Address of a cluster instead of workers.")
    work: str | None = Field(
        None,
        title="Folder of finished cells",
        description="A killed study goes on there; without it nothing is kept.",
    )
