"""Range of every ray from its activity: the model where it can be used, A50 always."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protonqa.device import Device
from protonqa.physics.curves import a50s
from protonqa.values import Case, Finding, ProfileSet, Severity

if TYPE_CHECKING:
    from protonqa.range_model.model_file import RangeModel

Floats = NDArray[np.float64]
# Below this likeness a measured profile is not the activity of this field.
LEAST_CORRELATION = 0.5
A50_SMOOTHING_MM = 6.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeEstimates:
    """Per ray: R80 by the chosen method with its interval, A50 and the A50 line; NaN where there is none.

    dose : (n_ray, n_depth) predicted depth dose, maximum 1; zero where none is predicted.
    reasons : why a ray has no answer, empty where it has one.
    """

    r80_mm: Floats
    low_mm: Floats
    high_mm: Floats
    a50_mm: Floats
    a50_line_mm: Floats
    dose: Floats
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(n_ray,) bool."""
        return np.isfinite(self.r80_mm)


def load_model(method: str, given: object = None) -> tuple[RangeModel | None, tuple[Finding, ...]]:
    """The range model that was `given`, else the shipped one; with ``auto`` its absence is a finding, and A50 serves.

    Raises
    ------
    InputError
        Something else was given.
    ModelFileError
        No model, and ``method`` insists on one.
    """
    from protonqa.errors import InputError, ModelFileError
    from protonqa.range_model.model_file import RangeModel, shipped_model

    if method == "a50":
        return None, (_finding("METHOD-A50", "The range is judged by A50 alone, as asked for."),)
    if given is not None:
        if not isinstance(given, RangeModel):
            raise InputError(
                "input range_model is no range model", got=type(given).__name__, expected="folder of train"
            )
        text = f"The range model is not the shipped one but {given.card.name}."
        return given, (Finding(severity=Severity.INFO, code="MODEL-OF-YOUR-OWN", text=text),)
    try:
        return shipped_model(), ()
    except ModelFileError as error:
        if method == "model":
            raise
        return None, (_finding("MODEL-ABSENT", f"The range model cannot be used ({error.what}); A50 takes its place."),)


def identity_for(model: RangeModel | None, case: Case) -> str | None:
    """Identity of the planning CT, where the model was made for one patient and asks whose it is."""
    if model is None or model.card.patient is None:
        return None
    from protonqa.range_model.patient_case import ct_identity

    return ct_identity(case.ct, case.ct_info.frame_of_reference_uid)


def _finding(code: str, text: str) -> Finding:
    return Finding(severity=Severity.WARNING, code=code, text=text)


def estimate(
    model: RangeModel | None, profiles: ProfileSet, device: Device, *, ct_identity: str | None = None
) -> RangeEstimates:
    """Ranges of all rays of a profile set; `ct_identity` says whose CT they belong to (`identity_for`)."""
    if model is not None:
        from protonqa.range_model.predict import predict_ranges

        found = predict_ranges(model, profiles, device, ct_identity=ct_identity)
        return RangeEstimates(
            r80_mm=np.where(found.answered, found.r80_mm, np.nan),
            low_mm=found.low_mm,
            high_mm=found.high_mm,
            a50_mm=found.a50_mm,
            a50_line_mm=found.a50_line_r80_mm,
            dose=np.nan_to_num(found.dose),
            reasons=found.reason,
            findings=found.findings,
        )
    # Noise lifts the local maximum and would pull A50 proximal; measured and expected are smoothed alike.
    marks = a50s(profiles.depth_mm, profiles.activity, mask=profiles.mask, smooth_fwhm_mm=A50_SMOOTHING_MM)
    value = np.asarray(marks.value_mm, dtype=np.float64)
    nothing = np.full(value.shape, np.nan)
    return RangeEstimates(
        r80_mm=value,
        low_mm=nothing,
        high_mm=nothing,
        a50_mm=value,
        a50_line_mm=nothing,
        dose=np.zeros_like(profiles.activity),
        reasons=tuple("" if m is None else m.reason for m in marks.missing),
    )


def resemblance(measured: ProfileSet, expected: ProfileSet, reach_mm: float = 12.0) -> Floats:
    """Best Pearson correlation of each measured profile with the expected one over shifts up to `reach_mm`.

    The activity of another field, or noise, does not resemble what the plan leaves at any small shift.
    """
    reach = round(reach_mm)
    best = np.full(measured.n_ray, -1.0)
    covered = np.asarray(measured.mask) & np.asarray(expected.mask)
    for shift in range(-reach, reach + 1, 2):
        moved = np.roll(expected.activity, shift, axis=1)
        usable = covered & (moved + expected.activity > 0)
        best = np.maximum(best, _correlation(measured.activity, moved, usable))
    return best


def _correlation(a: Floats, b: Floats, usable: NDArray[np.bool_]) -> Floats:
    weight = usable.astype(np.float64)
    count = np.maximum(weight.sum(axis=1, keepdims=True), 1.0)
    da = (a - (a * weight).sum(axis=1, keepdims=True) / count) * weight
    db = (b - (b * weight).sum(axis=1, keepdims=True) / count) * weight
    scale = np.sqrt((da**2).sum(axis=1) * (db**2).sum(axis=1))
    return np.where(scale > 0, (da * db).sum(axis=1) / np.where(scale > 0, scale, 1.0), -1.0)
