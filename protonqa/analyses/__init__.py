"""The plugin interface and the built-in analyses, one package each; third-party ones come through the same door."""

from protonqa.analyses.interface import (
    Analysis,
    AnalysisParams,
    Check,
    Commissioning,
    Context,
    Input,
)

__all__ = ["Analysis", "AnalysisParams", "Check", "Commissioning", "Context", "Input"]
