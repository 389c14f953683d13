"""The sensitivity study as an analysis: how far range and interval can be trusted, and what disturbs them most."""

from __future__ import annotations

import tempfile
from pathlib import Path

from protonqa.analyses.interface import Commissioning, Context, Input
from protonqa.analyses.sensitivity_study.params import StudyParams
from protonqa.values import AnalysisResult, SettingsFile


class SensitivityStudy:
    """Rays with known truth under drawn conditions, asked of the range model and of every simple alternative."""

    name = "sensitivity-study"
    title = "Sensitivity study"
    version = "1.0"
    inputs = (Input("study", SettingsFile, title="Study file (YAML); protonqa study template writes one"),)
    Params = StudyParams

    def run(self, context: Context[StudyParams]) -> AnalysisResult:
        """Compute the study; what is finished in ``work`` is kept and not computed again."""
        from protonqa.jobs.runner import backend_for
        from protonqa.study.result import study_result
        from protonqa.study.run import run_study
        from protonqa.study.settings import study_from_text

        params, settings = context.params, context.input("study", SettingsFile)
        study = study_from_text(settings.text, settings.folder)
        backend = backend_for(params.workers, params.scheduler)
        with tempfile.TemporaryDirectory(prefix="protonqa-study-") as scratch:
            outcome = run_study(
                study,
                Path(params.work or scratch).resolve(),
                on=backend,
                progress=context.progress,
                cancelled=context.is_cancelled,
            )
            return study_result(outcome, context.out)

    def commission(self, context: Context[StudyParams]) -> Commissioning:
        """A small study on rays of known truth: replayed cells, known errors and known coverage come back."""
        from protonqa.analyses.sensitivity_study.commissioning import commission

        return commission(context)
