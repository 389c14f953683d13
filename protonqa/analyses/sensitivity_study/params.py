"""Parameters of the sensitivity study: which study, and who computes it; the study itself is a file."""

from __future__ import annotations

from pydantic import Field

from protonqa.analyses.interface import AnalysisParams


class StudyParams(AnalysisParams):
    """Where the study is described, and on what it is computed; the result depends on the first alone."""

    study: str = Field("", title="Study file", description="YAML; protonqa study template writes one.")
    workers: int | None = Field(
        None, ge=0, le=1024, title="Local workers", description="One a core where none is given."
    )
    scheduler: str | None = Field(None, title="Dask scheduler", description="Address of a cluster instead of workers.")
    work: str | None = Field(
        None,
        title="Folder of finished cells",
        description="A killed study goes on there; without it nothing is kept.",
    )
