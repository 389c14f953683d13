"""The baselines that stand in every table, in the order of the tables."""

from __future__ import annotations

from protonqa.study.baselines.a50_line import A50Line
from protonqa.study.baselines.chi_square import ProfileMatch
from protonqa.study.baselines.interface import Baseline, Trainable
from protonqa.study.baselines.most_likely_shift import MostLikelyShift
from protonqa.study.baselines.pearson import PearsonMatch


def trainable_baselines() -> tuple[Trainable, ...]:
    """Lines to be fitted on the model's own training rays."""
    return (
        A50Line(variant="plain"),
        A50Line(variant="rsp"),
        A50Line(variant="density"),
        A50Line(variant="wepl"),
    )


def shift_baselines() -> tuple[Baseline, ...]:
    """Methods that compare with expected profiles and have nothing to learn."""
    return (
        MostLikelyShift(),
        ProfileMatch(noise="additive"),
        ProfileMatch(noise="multiplicative"),
        ProfileMatch(noise="poisson"),
        PearsonMatch(),
    )
