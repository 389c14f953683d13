"""What would the PET of this field look like, and what would the model say, under another time line, washout, window?

The nuclei made along the rays stay; time line, washout, blur, counts and depth window are applied to them anew, and the
range model reads the outcome. One ray with one member of the ensemble answers while a slider moves; all rays with the
whole ensemble answer when it rests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from protonqa.app.field_rays import FieldRays
from protonqa.device import CPU, Device
from protonqa.errors import InputError
from protonqa.values import ProfileSet, Timeline

if TYPE_CHECKING:
    from protonqa.analyses.range_verification.estimates import RangeEstimates
    from protonqa.range_model.model_file import RangeModel

Floats = NDArray[np.float64]
Washout = Literal["none", "mizuno-brain", "mizuno-muscle", "parodi-hu", "toramatsu-o15"]
#: A depth window ends this far behind the planned R80, unless asked otherwise (the definition of the study).
BEYOND_R80_MM = 20.0
#: Members of the ensemble that answer a question while it is still being asked.
PREVIEW_MEMBERS = 1


class WhatIf(BaseModel):
    """A question. The window of `window_mm` ends `window_end_mm` behind the planned R80 of each ray."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    irradiation_s: float = Field(ge=0, le=3600)
    delay_s: float = Field(ge=0, le=7200)
    acquisition_s: float = Field(ge=0, le=7200)
    washout: Washout = "parodi-hu"
    fraction_factor: float = Field(1.0, ge=0.25, le=4, description="Factor on the fast and medium washout fractions.")
    half_life_factor: float = Field(1.0, ge=0.25, le=4, description="Factor on the biological half-lives.")
    tissue: str = Field("", description="Tissue class the two factors act on; empty for all.")
    psf_mm: float = Field(5.0, ge=0, le=30)
    counts: float | None = Field(None, ge=100, le=1e12, description="Counts a ray; None for no noise.")
    window_mm: float | None = Field(None, gt=0, le=1000, description="Length of the depth window; None for all depths.")
    window_end_mm: float = Field(BEYOND_R80_MM, ge=-200, le=200)
    seed: int = Field(0, ge=0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """Rays under a question, in the order asked for.

    Parameters
    ----------
    rows : (n,) int
        Which rays of the field.
    activity, raw : (n, n_depth)
        Expected activity in Bq/ml under the question, at all depths; nuclei made per ml.
    window : (n, n_depth) bool
    r80_mm, low_mm, high_mm, a50_mm, raw_r80_mm, measured_r80_mm, measured_low_mm, measured_high_mm : (n,)
        Of the expected activity, of the nuclei made, and of the measured activity seen through the same window.
    dose, measured_dose : (n, n_depth)
        Predicted, maximum 1.
    reasons : why a ray has no R80, empty where it has one.
    """

    rows: NDArray[np.int64]
    activity: Floats
    raw: Floats
    window: NDArray[np.bool_]
    r80_mm: Floats
    low_mm: Floats
    high_mm: Floats
    a50_mm: Floats
    raw_r80_mm: Floats
    measured_r80_mm: Floats
    measured_low_mm: Floats
    measured_high_mm: Floats
    dose: Floats
    measured_dose: Floats
    reasons: tuple[str, ...]


def tissues_of(washout: str) -> tuple[str, ...]:
    """Tissue classes that a washout model tells apart; one name where it does not."""
    from protonqa.activity.washout import washout_model

    return washout_model(washout).tissues


def answer(
    rays: FieldRays,
    question: WhatIf,
    rows: NDArray[np.int64] | None = None,
    *,
    preview: bool = False,
    device: Device = CPU,
    measured: RangeEstimates | None = None,
) -> Answer:
    """Ask about some rays (None: all with a planned range).

    Parameters
    ----------
    preview : bool
        One member of the ensemble instead of all; its interval is not calibrated and is left out.
    measured : RangeEstimates, optional
        What `measured_under` gave for these rays and a question with the same window and resolution.

    Raises
    ------
    InputError
        A ray without a planned range, a tissue the washout model does not know.
    """
    chosen = _chosen(rays, rows)
    activity, window, raw = _activity(rays, question, chosen, device)
    model = _model(rays, preview)
    line = Timeline(
        irradiation_s=question.irradiation_s, delay_s=question.delay_s, acquisition_s=question.acquisition_s
    )
    seen = _judged(model, rays, chosen, activity, window, line, question, device)
    if measured is None:
        measured = measured_under(rays, question, chosen, preview=preview, device=device)
    nothing = np.full(chosen.size, np.nan)
    of_raw = nothing
    if not preview:
        of_raw = _judged(model, rays, chosen, raw, np.ones_like(window), None, question, device).r80_mm
    return Answer(
        rows=chosen,
        activity=activity,
        raw=raw,
        window=window,
        r80_mm=seen.r80_mm,
        low_mm=nothing if preview else seen.low_mm,
        high_mm=nothing if preview else seen.high_mm,
        a50_mm=seen.a50_mm,
        raw_r80_mm=of_raw,
        measured_r80_mm=measured.r80_mm,
        measured_low_mm=nothing if preview else measured.low_mm,
        measured_high_mm=nothing if preview else measured.high_mm,
        dose=seen.dose,
        measured_dose=measured.dose,
        reasons=seen.reasons,
    )


def measured_under(
    rays: FieldRays,
    question: WhatIf,
    rows: NDArray[np.int64] | None = None,
    *,
    preview: bool = False,
    device: Device = CPU,
) -> RangeEstimates:
    """The measured activity through the window of a question; nothing else of it but the resolution matters here."""
    chosen = _chosen(rays, rows)
    mask = _window(rays, question, chosen) & rays.covered[chosen]
    model = _model(rays, preview)
    return _judged(model, rays, chosen, rays.measured[chosen], mask, rays.times, question, device)


def numbers(
    rays: FieldRays, rows: NDArray[np.int64], r80_mm: Floats, measured_r80_mm: Floats
) -> dict[str, float | int | None]:
    """The figures of a sensitivity study for an answer: range error against the planned R80 over the evaluable rays.

    ``shift_mm`` is the mean of measured minus expected R80, both seen under the question.
    """
    counted = rays.evaluable[rows]
    error = (r80_mm - rays.planned_r80_mm[rows])[counted]
    known = error[np.isfinite(error)]
    shift = (measured_r80_mm - r80_mm)[counted]
    shift = shift[np.isfinite(shift)]
    return {
        "rays": int(counted.sum()),
        "answered": int(known.size),
        "mean_mm": float(known.mean()) if known.size else None,
        "mae_mm": float(np.abs(known).mean()) if known.size else None,
        "sd_mm": float(known.std(ddof=1)) if known.size > 1 else None,
        "p95_mm": float(np.percentile(np.abs(known), 95)) if known.size else None,
        "shift_mm": float(shift.mean()) if shift.size else None,
    }


def _chosen(rays: FieldRays, rows: NDArray[np.int64] | None) -> NDArray[np.int64]:
    chosen = np.flatnonzero(np.isfinite(rays.planned_r80_mm)) if rows is None else np.asarray(rows, dtype=np.int64)
    if not np.isfinite(rays.planned_r80_mm[chosen]).all():
        raise InputError("the ray has no planned range", remedy="choose a ray of the field")
    return chosen


def _judged(
    model: RangeModel | None,
    rays: FieldRays,
    rows: NDArray[np.int64],
    activity: Floats,
    mask: NDArray[np.bool_],
    times: Timeline | None,
    question: WhatIf,
    device: Device,
) -> RangeEstimates:
    from protonqa.analyses.range_verification.estimates import estimate

    profiles = _profiles(rays, rows, activity, mask, times, question.psf_mm)
    return estimate(model, profiles, device, ct_identity=rays.ct_identity or None)


def _activity(
    rays: FieldRays, question: WhatIf, rows: NDArray[np.int64], device: Device
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Activity under the question (Bq/ml), its window, and the nuclei made (per ml)."""
    from protonqa.activity.arrays import profile_activity
    from protonqa.activity.scenario import activity_scenario

    line = Timeline(
        irradiation_s=question.irradiation_s, delay_s=question.delay_s, acquisition_s=question.acquisition_s
    )
    one = activity_scenario(
        line,
        washout=_washout(question),
        positrons=True,
        positron_range=True,
        psf_fwhm_mm=question.psf_mm,
        edge="open",
        counts=question.counts,
    )
    # A seed for each ray by its place in the field: a ray looks the same alone and among all.
    scenario = replace(one, delay_s=np.full(rows.size, question.delay_s), noise_seed=question.seed * 1_000_003 + rows)
    nuclei = rays.nuclei_per_ml[:, rows].astype(np.float64)
    seen, _ = profile_activity(nuclei, rays.depth_mm, scenario, hu=rays.hu[rows], device=device.kind)
    return seen / (question.acquisition_s or 1.0), _window(rays, question, rows), nuclei.sum(axis=0)


def _window(rays: FieldRays, question: WhatIf, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Bins whose centre lies in the depth window of each ray. It hides; it does not change what the scanner sees."""
    if question.window_mm is None:
        return np.ones((rows.size, rays.depth_mm.size), dtype=bool)
    end = rays.planned_r80_mm[rows, None] + question.window_end_mm
    return np.asarray((rays.depth_mm <= end) & (rays.depth_mm >= end - question.window_mm))


def _washout(question: WhatIf) -> Any:
    from protonqa.activity.washout import COMPONENTS, WashoutScenario, washout_model

    model = washout_model(question.washout)
    if question.tissue and question.tissue not in model.tissues:
        raise InputError("the washout model does not know the tissue", expected=", ".join(model.tissues))
    shape = (1, len(model.tissues), model.n_group, len(COMPONENTS))
    fractions, half_lives = np.ones(shape), np.ones(shape)
    at: slice | int = model.tissues.index(question.tissue) if question.tissue else slice(None)
    fractions[:, at, :, : len(COMPONENTS) - 1] = question.fraction_factor
    half_lives[:, at] = question.half_life_factor
    return WashoutScenario(model=question.washout, fraction_factors=fractions, half_life_factors=half_lives)


def _model(rays: FieldRays, preview: bool) -> RangeModel | None:
    """The model that judged the field, for a preview cut down to its first member; None where A50 judged it."""
    if rays.method != "model":
        return None
    model = _model_of(rays.model_folder)
    return replace(model, members=model.members[:PREVIEW_MEMBERS]) if preview else model


@lru_cache(maxsize=2)
def _model_of(folder: str) -> RangeModel:
    from protonqa.range_model.model_file import load_model, shipped_model

    return load_model(Path(folder)) if folder else shipped_model()


def _profiles(
    rays: FieldRays,
    rows: NDArray[np.int64],
    activity: Floats,
    mask: NDArray[np.bool_],
    times: Timeline | None,
    psf_mm: float,
) -> ProfileSet:
    return ProfileSet(
        depth_mm=rays.depth_mm,
        activity=activity,
        mask=mask,
        rsp=rays.rsp[rows],
        hu=rays.hu[rows],
        timeline=times,
        psf_fwhm_mm=psf_mm if times is not None else 0.0,
    )
