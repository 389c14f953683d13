"""The verdict rule, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from protonqa.values import State

LEAST_RAYS = 20
LEAST_ANSWERED = 0.5
MOST_BEYOND = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the rule looks at."""

    evaluable_rays: int
    answered_rays: int
    mean_shift_mm: float | None
    half_width_mm: float | None
    fraction_beyond: float | None
    tolerance_mm: float


def verdict(evidence: Evidence) -> tuple[State, str]:
    """State and its reason: too little evidence first, then the action level."""
    e = evidence
    if e.evaluable_rays < LEAST_RAYS:
        return State.NOT_EVALUABLE, f"only {e.evaluable_rays} evaluable rays, at least {LEAST_RAYS} are needed"
    if e.answered_rays < LEAST_ANSWERED * e.evaluable_rays:
        return State.NOT_EVALUABLE, f"only {e.answered_rays} of {e.evaluable_rays} evaluable rays gave a range"
    if e.mean_shift_mm is None or e.half_width_mm is None or e.fraction_beyond is None:
        return State.NOT_EVALUABLE, "no mean shift could be formed"
    if e.half_width_mm > e.tolerance_mm:
        text = f"the mean is only known to +-{e.half_width_mm:.1f} mm, more than the action level of "
        return State.NOT_EVALUABLE, f"{text}{e.tolerance_mm:g} mm"
    if abs(e.mean_shift_mm) > e.tolerance_mm:
        return State.FAIL, f"mean shift {e.mean_shift_mm:+.1f} mm, action level {e.tolerance_mm:g} mm"
    if e.fraction_beyond > MOST_BEYOND:
        return (
            State.FAIL,
            f"{100 * e.fraction_beyond:.0f} % of the rays are beyond the action level of {e.tolerance_mm:g} mm",
        )
    return State.PASS, f"mean shift {e.mean_shift_mm:+.1f} mm, action level {e.tolerance_mm:g} mm"
