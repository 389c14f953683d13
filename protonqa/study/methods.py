"""Every method of a study on the rays of one anatomy: model, paper's protocol, lines and shifts, answered alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protonqa.study.baselines.a50_line import FittedA50Line
from protonqa.study.baselines.catalogue import shift_baselines, trainable_baselines
from protonqa.study.baselines.cramer_rao import AdditiveNoise, MultiplicativeNoise, PoissonNoise, shift_bounds_mm
from protonqa.study.baselines.interface import Baseline, KnownProfiles, RangeEstimates, RayProfiles
from protonqa.study.baselines.paper_protocol import PaperProtocol
from protonqa.study.baselines.screening import free, unusable
from protonqa.study.perturb import draw_for, expected_rays, measured_rays

if TYPE_CHECKING:
    from protonqa.range_model.dataset import RayTable
    from protonqa.range_model.metrics import DoseErrors
    from protonqa.range_model.model_file import RangeModel
    from protonqa.range_model.predict import RangePrediction
    from protonqa.range_model.rays import RayBatch
    from protonqa.range_model.scenarios import ScenarioDraw
    from protonqa.study.scenarios import StudyScenario

Floats = NDArray[np.float64]

MODEL, PAPER = "model", PaperProtocol.name
TITLES: dict[str, str] = {
    MODEL: "Range model",
    PAPER: PaperProtocol.title,
    **{one.name: one.title for one in trainable_baselines()},
    **{one.name: one.title for one in shift_baselines()},
}
#: Methods that need profiles of the planning CT.
SHIFTS: tuple[str, ...] = tuple(one.name for one in shift_baselines())
LINES: tuple[str, ...] = tuple(one.name for one in trainable_baselines())
#: Letters of a reason that are kept.
REASON = 80


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What one method says about each ray; (n,) each, NaN where it says nothing.

    Parameters
    ----------
    r80_mm
        Also on refused rays where the method had a number; ``answered`` tells.
    dose : (n, 448) or None
        Maximum 1.
    """

    answered: NDArray[np.bool_]
    r80_mm: Floats
    low_mm: Floats
    high_mm: Floats
    sigma_mm: Floats
    dose_mae: Floats
    dose_mre_percent: Floats
    dose_mre_without_falloff_percent: Floats
    reason: NDArray[np.str_]
    dose: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """Rays of one anatomy under one scenario, in every form a method may ask for.

    Parameters
    ----------
    clean : (n, 448)
        Without noise and window.
    expected : KnownProfiles or None
    floor_mm : (n,)
        Cramer-Rao bound of a shift under the noise of each ray; NaN without noise.
    """

    table: RayTable
    draw: ScenarioDraw
    batch: RayBatch
    rays: RayProfiles
    clean: Floats
    expected: KnownProfiles | None
    floor_mm: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tools:
    """What the methods work with: models and fitted lines."""

    model: RangeModel
    paper: RangeModel | None = None
    lines: Mapping[str, FittedA50Line] = field(default_factory=dict)


def show(scenario: StudyScenario, table: RayTable, anatomy: str, *, seed: int, expected_washout: str) -> Shown:
    """Draw and apply a scenario to the rays of one anatomy, which are all of `table`."""
    draw = draw_for(scenario, table, anatomy, seed)
    batch = measured_rays(scenario, table, draw)
    clean = np.asarray(measured_rays(scenario, table, _unwindowed(draw), noise=False).activity.numpy())
    total = clean.sum(axis=1)
    rays = RayProfiles.from_batch(batch)
    counted = draw.noise == "poisson"
    background = np.where(counted, draw.background_fraction * np.maximum(total, 0.0) / clean.shape[1], 0.0)
    rays = RayProfiles(
        depth_mm=rays.depth_mm,
        activity=rays.activity,
        mask=rays.mask,
        rsp=rays.rsp,
        times_s=rays.times_s,
        background=background,
    )
    planned = expected_rays(table, draw, expected_washout)
    known = None
    if planned is not None:
        known = KnownProfiles(profiles=RayProfiles.from_batch(planned), r80_mm=table.planned_r80_mm)
    return Shown(
        table=table,
        draw=draw,
        batch=batch,
        rays=rays,
        clean=clean,
        expected=known,
        floor_mm=_floors(rays, clean, draw),
    )


def answer(name: str, shown: Shown, tools: Tools) -> Answers:
    """Ask one method; a method that lacks what it needs refuses every ray and says why."""
    if name == MODEL:
        return _of_model(shown, tools.model)
    if name == PAPER:
        return _refused(shown, "no weights of the paper's protocol") if tools.paper is None else _of_paper(shown, tools)
    baseline: Baseline | None = tools.lines.get(name)
    if name in LINES:
        if baseline is None:
            return _refused(shown, "no line could be fitted under this scenario")
        return _of_estimates(baseline.range_mm(shown.rays), shown)
    if shown.expected is None:
        return _refused(shown, "the rays hold no expected profiles")
    baseline = next(one for one in shift_baselines() if one.name == name)
    return _of_estimates(baseline.range_mm(shown.rays, shown.expected), shown)


def true_dose(table: RayTable) -> Floats:
    """Dose of the truth in 1 mm bins, (n, 448)."""
    dose = np.asarray(table.dose, dtype=np.float64)
    return np.asarray(dose.reshape(dose.shape[0], 448, -1).mean(axis=2))


def _of_model(shown: Shown, model: RangeModel) -> Answers:
    from protonqa.range_model.predict import predict_batch
    from protonqa.range_model.rays import WORKING_BINS

    edges = np.arange(WORKING_BINS + 1, dtype=np.float64)
    # The device of the rays: the CPU, where the same bits come back whatever computer computes the cell.
    part = predict_batch(model, model.members, shown.batch, shown.batch.activity.device, edges)
    reason = _texts(part.reason)
    dose = _dose_errors(part.dose, shown)
    return Answers(
        answered=reason == "",
        r80_mm=np.asarray(part.network),
        low_mm=np.asarray(part.low),
        high_mm=np.asarray(part.high),
        sigma_mm=_nothing(shown),
        dose_mae=dose.mae,
        dose_mre_percent=dose.mre_percent,
        dose_mre_without_falloff_percent=dose.mre_without_falloff_percent,
        reason=reason,
        dose=np.asarray(part.dose),
    )


def _of_paper(shown: Shown, tools: Tools) -> Answers:
    """As the baseline answers, with dose and interval of the network behind it."""
    from protonqa.range_model.predict import predict_ranges

    paper = tools.paper
    seen: list[RangePrediction] = []

    def predictor(profiles: Any) -> RangePrediction:
        seen.append(predict_ranges(paper, profiles, threads=1))  # type: ignore[arg-type]
        return seen[-1]

    with_ct = bool(paper is not None and paper.card.training.config.get("scenarios", {}).get("no_ct_share", 1.0) < 1.0)
    found = PaperProtocol(predictor=predictor, with_ct=with_ct).range_mm(shown.rays)
    low, high, dose = _nothing(shown), _nothing(shown), np.zeros_like(shown.clean)
    if seen:
        asked = free(unusable(shown.rays))
        low[asked], high[asked] = seen[0].low_mm, seen[0].high_mm
        dose[asked] = np.nan_to_num(seen[0].dose)
    errors = _dose_errors(dose, shown)
    answers = _of_estimates(found, shown)
    kept = answers.answered
    return Answers(
        answered=kept,
        r80_mm=answers.r80_mm,
        low_mm=np.where(kept, low, np.nan),
        high_mm=np.where(kept, high, np.nan),
        sigma_mm=answers.sigma_mm,
        dose_mae=np.where(kept, errors.mae, np.nan),
        dose_mre_percent=np.where(kept, errors.mre_percent, np.nan),
        dose_mre_without_falloff_percent=np.where(kept, errors.mre_without_falloff_percent, np.nan),
        reason=answers.reason,
        dose=dose,
    )


def _of_estimates(found: RangeEstimates, shown: Shown) -> Answers:
    nothing = _nothing(shown)
    return Answers(
        answered=found.valid,
        r80_mm=found.r80_mm,
        low_mm=nothing,
        high_mm=nothing,
        sigma_mm=found.sigma_mm,
        dose_mae=nothing,
        dose_mre_percent=nothing,
        dose_mre_without_falloff_percent=nothing,
        reason=_texts(found.reason),
    )


def _refused(shown: Shown, reason: str) -> Answers:
    nothing = _nothing(shown)
    return Answers(
        answered=np.zeros(nothing.shape, dtype=bool),
        r80_mm=nothing,
        low_mm=nothing,
        high_mm=nothing,
        sigma_mm=nothing,
        dose_mae=nothing,
        dose_mre_percent=nothing,
        dose_mre_without_falloff_percent=nothing,
        reason=_texts([reason] * nothing.size),
    )


def _dose_errors(dose: Floats, shown: Shown) -> DoseErrors:
    from protonqa.range_model.metrics import dose_errors

    depth = np.arange(dose.shape[1], dtype=np.float64) + 0.5
    return dose_errors(depth, dose, true_dose(shown.table), np.asarray(shown.table.r80_mm))


def _floors(rays: RayProfiles, clean: Floats, draw: ScenarioDraw) -> Floats:
    """Cramer-Rao bound of each ray, gain unknown; the noise level follows the whole profile, as the noise itself."""
    floor = np.full(rays.n_ray, np.nan)
    total, top = np.maximum(clean.sum(axis=1), 1e-300), np.maximum(clean.max(axis=1), 1e-300)
    profiles = RayProfiles(depth_mm=rays.depth_mm, activity=np.maximum(clean, 0.0), mask=rays.usable)
    for kind in sorted(set(draw.noise.tolist()) - {"none"}):
        rows = np.flatnonzero(draw.noise == kind)
        noise: AdditiveNoise | MultiplicativeNoise | PoissonNoise
        if kind == "snr-additive":
            noise = AdditiveNoise(sd=top[rows] / draw.snr[rows])
        elif kind == "snr-multiplicative":
            noise = MultiplicativeNoise(snr=draw.snr[rows])
        else:
            background = draw.background_fraction * total[rows] / clean.shape[1]
            noise = PoissonNoise(counts_per_unit=draw.counts[rows] / total[rows], background=background)
        floor[rows] = shift_bounds_mm(profiles.select(rows), noise)
    return np.where(np.isfinite(floor), floor, np.nan)


def _unwindowed(draw: ScenarioDraw) -> ScenarioDraw:
    from dataclasses import replace

    n = len(draw)
    return replace(draw, window_start_mm=np.full(n, -np.inf), window_end_mm=np.full(n, np.inf))


def _nothing(shown: Shown) -> Floats:
    return np.full(len(shown.table), np.nan)


def _texts(reasons: Sequence[str]) -> NDArray[np.str_]:
    return np.array([text[:REASON] for text in reasons], dtype=f"<U{REASON}")
