"""What the words of a study's tables mean, printed in its report."""

from __future__ import annotations

from collections.abc import Mapping

from protonqa.study.settings import StudyConfig
from protonqa.values import Table

_TERMS: tuple[tuple[str, str], ...] = (
    ("R80", "Depth from the body surface at which the dose last falls to 80 % of its maximum in the 30 mm before."),
    ("Range error", "Predicted minus true R80. Range uncertainty is its SD; MAE and P95 are of its size."),
    ("Dose MAE", "Mean difference of depth doses, each over its own maximum, from the surface to R80 + 10 mm."),
    (
        "MRE",
        "Mean relative difference of the depth doses, in percent, where the true one is 10 % of its maximum or more.",
    ),
    ("Answered", "Share of the rays with an answer. Errors are those of answered rays; n counts the rays asked about."),
    ("Coverage, width", "Share of the intervals that hold the true R80, and their mean width."),
    ("Range-mixed ray", "R20 - R80 exceeds that of one material at this range by more than 3 mm; a row of its own."),
    ("Flat, heterogeneous", "Fixed when the rays were simulated, from the CT in front of the range."),
    ("Raw", "Nuclei produced, summed over seven positron emitters, per mm and proton."),
    ("Washout 5 min", "Activity 300 s after an instantaneous irradiation, any washout model, numbers drawn."),
    ("Window of L mm", "The L mm before planned R80 + 20 mm + a draw within 10 mm. Its row scores rays deeper than L."),
    ("SNR S multiplicative", "Each 1 mm bin times 1 + N(0, 1) / S."),
    ("SNR S additive", "Each 1 mm bin plus N(0, 1) times the maximum over S."),
    ("Counts", "Detected true coincidences of a ray, Poisson, with a uniform background that is taken off again."),
    ("Floor", "Cramer-Rao bound of a shift of the noise-free profile, gain unknown: root mean square over the rays."),
    ("Model", "Sees activity, and where told RSP of the planning CT, time line and resolution; nothing of the plan."),
    ("Paper's protocol", "A network that learned from raw whole profiles, without washout, asked about everything."),
    ("A50 line", "R80 = a + b A50, fitted on training rays under the scenario of the row; three variants use the CT."),
    ("Shift methods", "Compare with profiles simulated on the planning CT; their range is planned R80 plus the shift."),
    ("Intervals of statistics", "Bootstrap over anatomies, not rays (BCa, widened by Student's t)."),
    ("Pairing", "Draws belong to the anatomy: the same patient meets the same draws in every scenario."),
)


def definitions(study: StudyConfig, facts: Mapping[str, object]) -> Table:
    """Terms and meanings, with those that this study chose."""
    own = (
        ("Expected washout", _expected(study.expected_washout)),
        ("Bootstrap", f"{study.bootstrap.resamples} draws, {100 * study.bootstrap.level:g} % intervals."),
        ("Rays", f"{facts.get('source')}: {facts.get('rays')} rays of {facts.get('anatomies')} anatomies."),
    )
    return Table(name="definitions", title="Definitions", columns=("Term", "Meaning"), rows=(*_TERMS, *own))


def _expected(washout: str) -> str:
    if washout == "same":
        return "Profiles of the planning CT carry the washout model of the truth with its published numbers."
    return f"Profiles of the planning CT carry {washout} with its published numbers."
