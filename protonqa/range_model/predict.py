"""Ranges and depth dose from activity profiles, with an interval, a baseline and the right not to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protonqa.device import CPU, Device
from protonqa.errors import InputError
from protonqa.range_model.a50line import reported_a50_mm, timeline_classes
from protonqa.range_model.config import ModelConfig
from protonqa.range_model.domain import hard_reasons, range_reason
from protonqa.range_model.features import Features, at_positions, build_features, cumulative
from protonqa.range_model.model_file import RangeModel
from protonqa.range_model.network import RangeNetwork
from protonqa.range_model.observables import OBSERVABLES, column, edge_shape, observe
from protonqa.range_model.rays import RayBatch, depth_edges_mm, rays_from_profiles
from protonqa.values import Finding, ProfileSet, Severity

Floats = NDArray[np.float64]

OK, NOT_EVALUABLE = "OK", "NOT EVALUABLE"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangePrediction:
    """What the model says about each ray. Rays that are NOT EVALUABLE carry NaN, never a guess.

    Parameters
    ----------
    ray : (n_ray,) str
    r80_mm, low_mm, high_mm : (n_ray,)
        R80 and its 95 % interval.
    a50_mm : (n_ray,)
        A50 by the definition; NaN where there is none.
    a50_line_r80_mm : (n_ray,)
        What the A50 line says: the baseline beside the network.
    state, reason : (n_ray,) str
        ``OK`` or ``NOT EVALUABLE`` with why.
    depth_mm : (n_depth,)
    dose : (n_ray, n_depth)
        Depth dose, maximum 1.
    domain_score : (n_ray,)
        Above 1 the ray lies outside what the model was calibrated on; NaN where no network ran.
    network_r80_mm : (n_ray,)
        What the network said also on refused rays: for tables of the refused share, never for an answer.
    mixing : (n_ray,)
        Predicted probability that protons stop at two depths; NaN where the model has no head for it or did not run.
    range_mixed : (n_ray,) bool
        Rays flagged as range-mixed: their R80 stands for one of several ranges.
    findings : tuple of Finding
        Doubts that still permit the numbers.
    """

    ray: tuple[str, ...]
    r80_mm: Floats
    low_mm: Floats
    high_mm: Floats
    a50_mm: Floats
    a50_line_r80_mm: Floats
    state: tuple[str, ...]
    reason: tuple[str, ...]
    depth_mm: Floats
    dose: Floats
    domain_score: Floats
    network_r80_mm: Floats
    mixing: Floats = field(default_factory=lambda: np.empty(0))
    range_mixed: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    findings: tuple[Finding, ...] = ()

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(n_ray,) True where the model gave an answer."""
        return np.array([s == OK for s in self.state], dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EnsembleOutput:
    """The members together, on the CPU: R80, spreads, disagreement and probability of mixing (n_ray,), dose
    (n_ray, n_dose) in bins relative to that R80."""

    r80_mm: Floats
    below_mm: Floats
    above_mm: Floats
    disagreement_mm: Floats
    mixing: Floats
    dose: Tensor


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Run the block with `threads` torch threads (None: as it is) and give back the number that was set."""
    if threads is not None and threads < 1:
        raise InputError("number of threads is not positive", got=str(threads), expected="1 or more")
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_members(members: tuple[RangeNetwork, ...], features: Features) -> EnsembleOutput:
    """Forward through every member; spreads are the mean spread plus the disagreement."""
    with torch.inference_mode():
        outputs = [member(features.x) for member in members]
        offset = torch.stack([o.offset_mm for o in outputs])
        # All members draw the dose at the same range: averaging must not blur the peak.
        common = offset.mean(dim=0)
        doses = [member.decode_dose(o, common) for member, o in zip(members, outputs, strict=True)]
    offset = offset.to(torch.float64)
    disagreement = offset.std(dim=0, correction=0)
    dose = torch.stack(doses).mean(dim=0).to(torch.float64)
    mixing = torch.stack([torch.sigmoid(o.mixed) for o in outputs]).mean(dim=0)
    below = torch.stack([o.below_mm for o in outputs]).mean(dim=0).to(torch.float64) + disagreement
    above = torch.stack([o.above_mm for o in outputs]).mean(dim=0).to(torch.float64) + disagreement
    return EnsembleOutput(
        r80_mm=(features.anchor_mm + offset.mean(dim=0)).cpu().numpy(),
        below_mm=below.cpu().numpy(),
        above_mm=above.cpu().numpy(),
        disagreement_mm=disagreement.cpu().numpy(),
        mixing=mixing.to(torch.float64).cpu().numpy(),
        dose=dose.cpu(),
    )


def observed_columns(observed: Floats, output: EnsembleOutput) -> dict[str, Floats]:
    """Columns that group axes may name."""
    named = {name: observed[:, i] for i, name in enumerate(OBSERVABLES)}
    spread = 0.5 * (output.below_mm + output.above_mm)
    return {**named, "spread_mm": spread, "disagreement_mm": output.disagreement_mm, "mixing": output.mixing}


def predict_ranges(
    model: RangeModel,
    profiles: ProfileSet,
    device: Device = CPU,
    *,
    batch: int = 64,
    threads: int | None = None,
    ct_identity: str | None = None,
) -> RangePrediction:
    """R80 with interval, depth dose and state of each ray.

    Parameters
    ----------
    profiles : ProfileSet
        Activity in any linear unit; RSP (or HU), time line and PSF where known.
    device : Device
        Where the network runs.
    batch : int
        Rays at once.
    threads : int or None
        Batches at once on the CPU; None is as many as torch may use threads.
    ct_identity : str or None
        Planning CT of the profiles, `patient_case.ct_identity`: a model that was made for one patient answers on that
        patient's CT alone, every other ray is NOT EVALUABLE. Other models need none.

    Raises
    ------
    InputError
        Depths that do not increase, a batch or thread number below 1.
    """
    if batch < 1:
        raise InputError("batch size is not positive", got=str(batch), expected="1 or more")
    edges = depth_edges_mm(profiles.depth_mm)
    rays = rays_from_profiles(profiles)
    where = torch.device(device.kind)
    members = tuple(m.to(where) for m in model.members)
    rows = [slice(start, start + batch) for start in range(0, profiles.n_ray, batch)]

    def work(part: slice) -> BatchPrediction:
        return predict_batch(model, members, rays.select(part), where, edges)

    parts = _for_all(work, rows, threads if where.type == "cpu" else 1)
    # Coarse profiles hide the fall-off between two bins.
    coarse = float(np.diff(edges).max())
    reasons = [text for part in parts for text in part.reason]
    if coarse > model.card.domain.widest_bin_mm:
        text = f"depth bins of {coarse:.1f} mm, at most {model.card.domain.widest_bin_mm:.1f} mm can be read"
        reasons = [text] * profiles.n_ray
    if foreign := foreign_reason(model, ct_identity):
        reasons = [foreign] * profiles.n_ray
    return _assemble(profiles, parts, reasons)


def foreign_reason(model: RangeModel, ct_identity: str | None) -> str:
    """Why a model must not be used on this CT; empty where it may."""
    patient = model.card.patient
    if patient is None or patient.ct_identity == ct_identity:
        return ""
    if ct_identity is None:
        return "the model was made for one patient, and it is not known whose CT these profiles belong to"
    return "the model was made for one patient, and these profiles belong to another CT"


def _for_all(
    work: Callable[[slice], BatchPrediction], parts: list[slice], threads: int | None
) -> list[BatchPrediction]:
    """Do all batches, several at once and each with torch single-threaded.

    Torch would share out every small step of the recurrent layers; on a busy computer that is ten times slower.
    """
    if threads is not None and threads < 1:
        raise InputError("number of threads is not positive", got=str(threads), expected="1 or more")
    at_once = min(threads or torch.get_num_threads(), len(parts))
    with torch_threads(1):
        if at_once < 2:
            return [work(part) for part in parts]
        with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, parts))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchPrediction:
    """As `RangePrediction`, with the numbers of refused rays still in it; `reason` is empty where answered."""

    r80: Floats
    low: Floats
    high: Floats
    a50: Floats
    line: Floats
    score: Floats
    network: Floats
    mixing: Floats
    mixed: NDArray[np.bool_]
    dose: Floats
    reason: list[str]
    negative: Floats
    crossings: NDArray[np.int64]


def predict_batch(
    model: RangeModel, members: tuple[RangeNetwork, ...], rays: RayBatch, device: torch.device, edges: Floats
) -> BatchPrediction:
    """Predict rays on the working grid; `edges` are the depth bins the dose is wanted in, mm."""
    config, card = model.config, model.card
    features = build_features(rays, config.features)
    edge = features.edge
    table = observe(rays, edge)
    observed = table.numpy()
    reasons = hard_reasons(rays, edge, table, card.domain)
    on_device = Features(
        x=features.x.to(device), anchor_mm=features.anchor_mm.to(device), origin_mm=features.origin_mm, edge=edge
    )
    output = run_members(members, on_device)
    ran = np.array([not r for r in reasons])
    score = model.score.score(observed, edge_shape(rays, edge).numpy(), output.disagreement_mm)
    for row in np.flatnonzero(ran):
        text = range_reason(float(output.r80_mm[row]), card.domain)
        if not text and score[row] > 1.0:
            text = f"the profile is unlike those of training: domain score {score[row]:.2f}, at most 1 is answered"
        reasons[row] = text
    low, high = card.conformal.intervals(
        output.r80_mm, output.below_mm, output.above_mm, observed_columns(observed, output)
    )
    told = card.mixing_threshold is not None
    mixed = ran & (output.mixing >= card.mixing_threshold) if card.mixing_threshold is not None else np.zeros_like(ran)
    a50 = reported_a50_mm(rays, edge)
    known = rays.rsp_known.any(dim=1).numpy()
    line = card.a50_lines.predict(a50, observed[:, column("rsp_at_edge")], known, timeline_classes(rays))
    return BatchPrediction(
        r80=output.r80_mm,
        low=np.minimum(low, output.r80_mm),
        high=np.maximum(high, output.r80_mm),
        a50=a50,
        line=line,
        score=np.where(ran, score, np.nan),
        network=np.where(ran, output.r80_mm, np.nan),
        mixing=np.where(ran & told, output.mixing, np.nan),
        mixed=mixed,
        dose=_dose_on(edges, output.dose, output.r80_mm, config),
        reason=reasons,
        negative=observed[:, column("negative_fraction")],
        crossings=edge.crossings.numpy(),
    )


def _dose_on(edges: Floats, dose: Tensor, r80_mm: Floats, config: ModelConfig) -> Floats:
    """Mean dose in each input bin, maximum 1; in front of the dose bins the first value holds, behind there is none."""
    fine = torch.tensor(config.network.dose_edges_mm(), dtype=torch.float64)
    range_mm = torch.from_numpy(r80_mm)[:, None]
    # Bins outside the body carry no meaning.
    dose = dose.masked_fill(fine[1:][None] + range_mm <= 0.0, 0.0)
    dose = dose / dose.amax(dim=1, keepdim=True).clamp(min=1e-12)
    width = fine.diff()
    integral = cumulative(dose * width)[:, None]
    wanted = torch.from_numpy(edges)[None] - range_mm
    # From mm to the bins of the dose grid, which is piecewise uniform.
    index = torch.searchsorted(fine, wanted.contiguous(), right=True).clamp(1, fine.numel() - 1) - 1
    position = index + ((wanted - fine[index]) / width[index]).clamp(0.0, 1.0)
    inside = at_positions(integral, position)[:, 0]
    before = (wanted - fine[0]).clamp(max=0.0) * dose[:, :1]
    mean = (inside + before).diff(dim=1) / torch.from_numpy(np.diff(edges))[None]
    peak = (fine[:-1][dose.argmax(dim=1)] + range_mm[:, 0]).numpy()
    held = torch.from_numpy((peak >= edges[0]) & (peak <= edges[-1]))
    top = mean.amax(dim=1).clamp(min=1e-12)
    return (mean / torch.where(held, top, torch.ones_like(top))[:, None]).clamp(min=0.0).numpy()


def _assemble(profiles: ProfileSet, parts: list[BatchPrediction], reasons: list[str]) -> RangePrediction:
    def joined(name: str) -> Floats:
        if not parts:
            return np.empty(0)
        return np.concatenate([getattr(p, name) for p in parts])

    answered = np.array([not r for r in reasons], dtype=bool)

    def kept(name: str) -> Floats:
        return np.where(answered, joined(name), np.nan)

    dose = np.concatenate([p.dose for p in parts]) if parts else np.empty((0, profiles.depth_mm.size))
    return RangePrediction(
        ray=profiles.ray,
        r80_mm=kept("r80"),
        low_mm=kept("low"),
        high_mm=kept("high"),
        a50_mm=joined("a50"),
        a50_line_r80_mm=joined("line"),
        state=tuple(OK if a else NOT_EVALUABLE for a in answered),
        reason=tuple(reasons),
        depth_mm=profiles.depth_mm,
        dose=np.where(answered[:, None], dose, np.nan),
        domain_score=joined("score"),
        network_r80_mm=joined("network"),
        mixing=joined("mixing"),
        range_mixed=joined("mixed").astype(bool) & answered,
        findings=_findings(profiles, joined("negative"), joined("crossings"), joined("mixed"), answered),
    )


def _findings(
    profiles: ProfileSet, negative: Floats, crossings: Floats, mixed: Floats, answered: NDArray[np.bool_]
) -> tuple[Finding, ...]:
    found = []
    if (negative > 0).any():
        text = f"{100 * float(negative.mean()):.1f} % of the usable activity values are negative; they were kept"
        found.append(Finding(severity=Severity.INFO, code="NEGATIVE-ACTIVITY", text=text))
    several = int((crossings[answered] > 1).sum()) if answered.size else 0
    if several:
        text = f"{several} rays cross half of their distal activity more than once; the most distal crossing counts"
        found.append(Finding(severity=Severity.INFO, code="SEVERAL-CROSSINGS", text=text))
    flagged = int(np.count_nonzero(mixed.astype(bool) & answered))
    if flagged:
        text = f"{flagged} rays look as if their protons stopped at two depths; their R80 stands for one of them"
        found.append(Finding(severity=Severity.INFO, code="RANGE-MIXED", text=text))
    if profiles.rsp is None and profiles.hu is None:
        text = "no CT along the rays: the range was read from the activity alone"
        found.append(Finding(severity=Severity.WARNING, code="NO-CT", text=text))
    if profiles.timeline is None:
        text = "no time line: washout and decay are unknown to the model"
        found.append(Finding(severity=Severity.WARNING, code="NO-TIMELINE", text=text))
    return tuple(found)
