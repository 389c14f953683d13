"""One field: planned, expected and measured ranges, their differences, the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.activity.washout import washout_findings
from protonqa.analyses.interface import Context
from protonqa.analyses.range_verification.activity_rays import expected_activity, nuclides_on_rays, profile_set
from protonqa.analyses.range_verification.estimates import (
    LEAST_CORRELATION,
    RangeEstimates,
    estimate,
    identity_for,
    load_model,
    resemblance,
)
from protonqa.analyses.range_verification.figures import ray_figures, shift_map
from protonqa.analyses.range_verification.params import VerifyParams
from protonqa.analyses.range_verification.planning import PlannedField, plan_field
from protonqa.analyses.range_verification.uncertainty import statistical_sd_mm, systematic_sd_mm
from protonqa.analyses.range_verification.verdict import Evidence, verdict
from protonqa.geometry.resample import resample
from protonqa.geometry.wepl import wepl_mm
from protonqa.values import (
    AnalysisResult,
    Beam,
    BeamModel,
    Case,
    Finding,
    Hlut,
    Measurement,
    PetImage,
    ProfileSet,
    Severity,
    State,
    Table,
    Timeline,
)

Floats = NDArray[np.float64]
MARGIN_PERCENT, MARGIN_MM = 3.5, 1.0
BIAS_LIMIT_MM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """What every field of a case shares."""

    case: Case
    pet: PetImage
    timeline: Timeline
    psf_mm: float
    model: BeamModel
    hlut: Hlut | None
    expected: PetImage | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """Ranges of all rays of one field."""

    field: PlannedField
    measured: ProfileSet
    expected: ProfileSet
    of_measured: RangeEstimates
    of_expected: RangeEstimates
    shift_mm: Floats
    used: NDArray[np.bool_]


def evaluate_field(
    context: Context[VerifyParams],
    setting: Setting,
    beam: Beam,
    share: Callable[..., None],
    watch: Callable[[Compared, Setting], None] | None = None,
) -> AnalysisResult:
    """Verify one beam; raises NotEvaluableError where the plan gives nothing to verify. `watch` gets its rays."""
    params, began = context.params, time.perf_counter()
    timings: dict[str, float] = {}
    field = plan_field(
        setting.case,
        beam,
        hlut=setting.hlut,
        model=setting.model,
        protons=params.protons,
        seed=context.seed,
        cross_sections=params.cross_sections,
        pitch_mm=params.ray_pitch_mm,
        width_mm=params.ray_width_mm,
        psf_mm=setting.psf_mm,
        progress=share,
    )
    timings["plan_simulation"] = time.perf_counter() - began
    began = time.perf_counter()
    share(1.0, 1.0, "comparing activity")
    own = expected_activity(field, setting.timeline, washout=params.washout, psf_mm=setting.psf_mm)
    # On the voxels of the measured PET: what its sampling does to a fall-off must be in both.
    volume = resample(own if setting.expected is None else setting.expected.volume, setting.pet.volume.grid)
    size = {"psf_mm": setting.psf_mm, "width_mm": params.ray_width_mm}
    measured = profile_set(field, setting.pet.volume, setting.timeline, **size)
    expected = profile_set(field, volume, setting.timeline, **size)
    model, findings = load_model(params.method, context.inputs.get("range_model"))
    identity = identity_for(model, setting.case)

    def judge(profiles: ProfileSet) -> RangeEstimates:
        return estimate(model, profiles, context.device, ct_identity=identity)

    of_measured, of_expected = judge(measured), judge(expected)
    shift = of_measured.r80_mm - of_expected.r80_mm
    alike = resemblance(measured, expected) >= LEAST_CORRELATION
    used = field.evaluable & np.isfinite(shift) & alike
    compared = Compared(
        field=field,
        measured=measured,
        expected=expected,
        of_measured=of_measured,
        of_expected=of_expected,
        shift_mm=shift,
        used=used,
    )
    if watch is not None:
        watch(compared, setting)
    timings["activity_and_ranges"] = time.perf_counter() - began
    began = time.perf_counter()
    share(1.0, 1.0, "uncertainty of the mean")
    statistical = statistical_sd_mm(shift[used], field.rays.lateral_mm[used], **size)
    systematic = (
        systematic_sd_mm(
            field,
            nuclides_on_rays(field, **size),
            of_expected,
            expected,
            setting.timeline,
            washout=params.washout,
            psf_mm=setting.psf_mm,
            draws=params.systematic_draws,
            rng=context.rng(f"systematics-{beam.number}"),
            calibrated=setting.hlut is not None,
            judge=judge,
            rays=used,
        )
        if used.any()
        else float("inf")
    )
    timings["uncertainty"] = time.perf_counter() - began
    doubts = (*field.findings, *washout_findings(params.washout), *findings, *of_measured.findings)
    used_model = "" if model is None else f"{model.card.name}, card {model.card.own_hash()[:12]}"
    return _result(context, compared, statistical, systematic, doubts, timings, used_model)


def _mean(values: Floats) -> float | None:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if kept.size else None


def _result(
    context: Context[VerifyParams],
    c: Compared,
    statistical_mm: float,
    systematic_mm: float,
    doubts: tuple[Finding, ...],
    timings: dict[str, float],
    range_model: str,
) -> AnalysisResult:
    params, field, used = context.params, c.field, c.used
    half_width = 1.96 * float(np.hypot(statistical_mm, systematic_mm))
    mean = _mean(c.shift_mm[used])
    beyond = float((np.abs(c.shift_mm[used]) > params.tolerance_mm).mean()) if used.any() else None
    state, reason = verdict(
        Evidence(
            evaluable_rays=int(field.evaluable.sum()),
            answered_rays=int(used.sum()),
            mean_shift_mm=mean,
            half_width_mm=half_width if np.isfinite(half_width) else None,
            fraction_beyond=beyond,
            tolerance_mm=params.tolerance_mm,
        )
    )
    measurements = _measurements(c, mean, half_width, beyond, statistical_mm, systematic_mm, params, bool(range_model))
    figures = (
        shift_map(field, np.where(used, c.shift_mm, np.nan), limit_mm=2.0 * params.tolerance_mm),
        *ray_figures(field, c.measured, c.expected, c.of_measured, c.shift_mm, used),
    )
    return AnalysisResult(
        analysis="range-verification",
        version="1.0",
        title=f"Beam {field.beam.number}",
        state=state,
        reason=reason,
        measurements={m.name: m for m in measurements},
        tables=tuple(table for table in (_groups_table(c), _refused_table(c)) if table.rows),
        figures=figures,
        findings=_findings(c, doubts, measurements),
        provenance={
            "planned_range_from": field.dose_source,
            "simulated_protons": int(field.simulated),
            "range_model": range_model or "none, judged by A50",
        },
        timings_s=timings,
    )


def _measurements(
    c: Compared,
    mean: float | None,
    half_width: float,
    beyond: float | None,
    statistical_mm: float,
    systematic_mm: float,
    params: VerifyParams,
    by_model: bool,
) -> list[Measurement]:
    field, used = c.field, c.used
    shift = c.shift_mm[used]
    planned = field.planned_r80_mm
    known = mean is not None and np.isfinite(half_width)
    a50 = (c.of_measured.a50_mm - c.of_expected.a50_mm)[field.evaluable]
    line = (c.of_measured.a50_line_mm - c.of_expected.a50_line_mm)[field.evaluable]
    bias = _mean((c.of_expected.r80_mm - planned)[field.evaluable]) if by_model else None
    wepl = _wepl_shift(field, np.where(used, c.shift_mm, np.nan))
    planned_mean = _mean(planned[field.evaluable])
    margin = None if planned_mean is None else MARGIN_PERCENT / 100 * planned_mean + MARGIN_MM

    def length(name: str, title: str, value: float | None, **more: float | None) -> Measurement:
        kept = None if value is None or not np.isfinite(value) else float(value)
        return Measurement(name=name, title=title, value=kept, unit="mm", **more)

    def number(name: str, title: str, value: float | None) -> Measurement:
        return Measurement(name=name, title=title, value=value, unit="")

    interval = (
        {"low": mean - half_width, "high": mean + half_width, "confidence": 0.95} if known and mean is not None else {}
    )
    return [
        length("mean_shift", "Mean range difference, measured - planned", mean, **interval),
        length("shift_sd", "SD over the rays", float(shift.std(ddof=1)) if shift.size > 1 else None),
        number("fraction_beyond_tolerance", "Share of rays beyond the action level", beyond),
        length("wepl_shift", "Mean difference in water-equivalent depth", _mean(wepl)),
        length("a50_shift", "A50 measured - A50 expected", _mean(a50)),
        length("a50_line_shift", "A50 line, measured - expected", _mean(line)),
        length("method_bias", "Method's own bias, model(expected) - planned", bias),
        number("rays_used", "Rays used", float(used.sum())),
        number("evaluable_rays", "Evaluable rays (from the plan alone)", float(field.evaluable.sum())),
        length("statistical_sd", "Standard error of the mean, rays", statistical_mm),
        length("systematic_sd", "Systematic SD: washout, yields, RSP", systematic_mm),
        length("planned_r80_mean", "Mean planned R80", planned_mean),
        length("planning_margin", "Planning margin, 3.5 % + 1 mm", margin),
        length("action_level", "Action level", params.tolerance_mm),
    ]


def _wepl_shift(field: PlannedField, shift_mm: Floats) -> Floats:
    """Difference in water-equivalent depth between the measured and the planned end of each ray."""
    water = np.concatenate([np.zeros((field.rays.n_ray, 1)), wepl_mm(np.maximum(field.rsp, 0.0), 1.0)], axis=1)
    edges = np.arange(water.shape[1], dtype=np.float64)
    out = np.full(field.rays.n_ray, np.nan)
    for i in np.flatnonzero(np.isfinite(shift_mm)):
        planned = float(field.planned_r80_mm[i])
        ends = np.interp([planned + shift_mm[i], planned], edges, water[i])
        out[i] = ends[0] - ends[1]
    return out


def _groups_table(c: Compared) -> Table:
    """Range-mixed rays in a row of their own."""
    rows = []
    for name, member in (
        ("all evaluable", c.used),
        ("one fall-off", c.used & ~c.field.range_mixed),
        ("range-mixed", c.used & c.field.range_mixed),
    ):
        shift = c.shift_mm[member]
        rows.append(
            (
                name,
                int(member.sum()),
                round(float(shift.mean()), 2) if shift.size else None,
                round(float(shift.std(ddof=1)), 2) if shift.size > 1 else None,
            )
        )
    return Table(
        name=f"groups-{c.field.beam.number}",
        title=f"Rays of beam {c.field.beam.number} by kind",
        columns=("rays", "number", "mean shift (mm)", "SD (mm)"),
        rows=tuple(rows),
    )


def _refused_table(c: Compared) -> Table:
    """Why evaluable rays gave no answer."""
    reasons: dict[str, int] = {}
    for i in np.flatnonzero(c.field.evaluable & ~c.used):
        text = c.of_measured.reasons[i] or c.of_expected.reasons[i]
        text = text or "the measured activity does not resemble the expected one"
        reasons[text] = reasons.get(text, 0) + 1
    rows = tuple(sorted(reasons.items(), key=lambda item: -item[1])[:8])
    return Table(
        name=f"refused-{c.field.beam.number}",
        title=f"Evaluable rays of beam {c.field.beam.number} without an answer",
        columns=("reason", "rays"),
        rows=rows,
    )


def _findings(c: Compared, doubts: tuple[Finding, ...], measurements: list[Measurement]) -> tuple[Finding, ...]:
    found = list(dict.fromkeys(doubts))
    value = {m.name: m.value for m in measurements}
    bias = value.get("method_bias")
    if bias is not None and abs(bias) > BIAS_LIMIT_MM:
        found.append(
            Finding(
                severity=Severity.WARNING,
                code="METHOD-BIAS",
                text=f"On the expected activity the method is off by {bias:+.1f} mm; the double difference removes it.",
            )
        )
    by_a50, mean = value.get("a50_shift"), value.get("mean_shift")
    if by_a50 is not None and mean is not None and abs(by_a50 - mean) > 2.0:
        found.append(
            Finding(
                severity=Severity.WARNING,
                code="A50-DISAGREES",
                text=f"A50 alone gives {by_a50:+.1f} mm, the reported shift is {mean:+.1f} mm.",
            )
        )
    mixed = int((c.used & c.field.range_mixed).sum())
    if c.used.any() and mixed > 0.25 * c.used.sum():
        found.append(
            Finding(
                severity=Severity.INFO,
                code="RANGE-MIXED",
                text=f"{mixed} of {int(c.used.sum())} rays used have more than one range (tissue edges along the ray).",
            )
        )
    return tuple(found)


def worst(states: list[State]) -> State:
    """The worst of the fields' states."""
    order = (State.ERROR, State.FAIL, State.NOT_EVALUABLE, State.PASS)
    return min(states, key=order.index) if states else State.NOT_EVALUABLE
