"""The A50 line as a baseline: R80 = a + b A50, one line per time line, without CT and in three ways with it.

A50 and the fit are those of the range model's own line (`protonqa.range_model.a50line`), so that the tables of the
study and the card of the model speak of the same baseline. They use torch and are imported when a line is used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.physics.curve_marks import NotEvaluable
from protonqa.study.baselines.interface import (
    KnownProfiles,
    Needs,
    Profiles,
    RangeEstimates,
    RayProfiles,
    as_rays,
    estimates,
)
from protonqa.study.baselines.screening import free, unusable
from protonqa.study.baselines.wepl_axis import WeplAxis, filled_rsp, on_wepl_axis, rsp_known
from protonqa.values import ProfileSet

if TYPE_CHECKING:
    from protonqa.range_model.a50line import A50Lines

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Variant = Literal["plain", "rsp", "density", "wepl"]

_TITLES: dict[str, str] = {
    "plain": "A50 line",
    "rsp": "A50 line with RSP",
    "density": "A50 line, activity over RSP",
    "wepl": "A50 line, water-equivalent",
}
#: The RSP at the fall-off is the mean this far to both sides of A50.
RSP_REACH_MM = 5.0
#: The CT must be known this far before A50 for a line that uses it.
CT_BEFORE_MM = 20.0
#: Activity in gas is divided by this RSP at least.
LOWEST_RSP = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class A50Line:
    """The line before it is fitted.

    - ``plain``: R80 = a + b A50;
    - ``rsp``: R80 = a + b A50 + c RSP at the fall-off;
    - ``density``: the same with A50 of activity over RSP;
    - ``wepl``: A50 of activity over RSP and R80 both on the water-equivalent axis, turned back into depth.

    Rays without a CT at the fall-off are answered by the plain line: the baseline gets every advantage.
    """

    variant: Variant = "plain"

    def __post_init__(self) -> None:
        if self.variant not in _TITLES:
            raise InputError("unknown kind of A50 line", got=repr(self.variant), expected=", ".join(_TITLES))

    @property
    def name(self) -> str:
        """Key in tables and files."""
        return "a50-line" if self.variant == "plain" else f"a50-line-{self.variant}"

    @property
    def title(self) -> str:
        """Words for people."""
        return _TITLES[self.variant]

    @property
    def needs(self) -> Needs:
        """The CT is wanted by all but the plain line."""
        return Needs(training=True, rsp=self.variant != "plain")

    def fit(self, training: KnownProfiles) -> FittedA50Line:
        """Fit on rays of known R80, a line per time line.

        Raises
        ------
        InputError
            Fewer than ten rays with an A50, or for a line with RSP with a CT too.
        """
        from protonqa.range_model.a50line import fit_a50_lines

        rays = as_rays(training.profiles)
        r80 = np.asarray(training.r80_mm)
        read = _read(rays)
        classes = _classes(rays)
        nothing = np.zeros(rays.n_ray)
        plain = fit_a50_lines(read.a50_mm, nothing, nothing > 0, classes, r80)
        if self.variant == "plain":
            return FittedA50Line(variant=self.variant, plain=plain, lines=plain)
        if self.variant != "rsp":
            read = _read_over_rsp(rays, read, self.variant)
        truth = WeplAxis.of(rays).to_wepl_mm(r80) if self.variant == "wepl" else r80
        a50 = np.where(read.with_ct, read.a50_mm, np.nan)
        used = read.with_ct & (self.variant != "wepl")
        lines = fit_a50_lines(a50, np.where(used, read.rsp, 0.0), used, classes, truth)
        return FittedA50Line(variant=self.variant, plain=plain, lines=lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedA50Line:
    """A fitted line; `lines` are those of the variant, `plain` those for rays without a CT."""

    variant: Variant
    plain: A50Lines
    lines: A50Lines

    @property
    def name(self) -> str:
        """Key in tables and files."""
        return A50Line(variant=self.variant).name

    @property
    def title(self) -> str:
        """Words for people."""
        return A50Line(variant=self.variant).title

    @property
    def needs(self) -> Needs:
        """As before the fit."""
        return A50Line(variant=self.variant).needs

    def range_mm(self, profiles: Profiles, expected: KnownProfiles | None = None) -> RangeEstimates:
        """R80 of each ray from its A50; `expected` serves the shift alone.

        Refused: no fall-off inside the window, a fall-off that does not stand out of the noise, unusable profiles.
        """
        rays = as_rays(profiles)
        read = _read(rays)
        classes = _classes(rays)
        never = np.zeros(rays.n_ray, dtype=bool)
        value = self.plain.predict(read.a50_mm, np.zeros(rays.n_ray), never, classes)
        if self.variant != "plain":
            better = read if self.variant == "rsp" else _read_over_rsp(rays, read, self.variant)
            uses = better.with_ct & (self.variant != "wepl")
            found = self.lines.predict(better.a50_mm, better.rsp, uses, classes)
            if self.variant == "wepl":
                found = WeplAxis.of(rays).to_depth_mm(found)
            value = np.where(better.with_ct & np.isfinite(found), found, value)
        return estimates(value, read.missing, expected=expected)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Reading:
    """A50 of each ray, RSP there, whether the CT can be used, and why there is no A50."""

    a50_mm: Floats
    rsp: Floats
    with_ct: Flags
    missing: list[NotEvaluable | None]


def _read(rays: RayProfiles) -> _Reading:
    """A50 along the geometric axis; RSP at the fall-off where the CT is known around it."""
    missing = unusable(rays)
    a50 = np.full(rays.n_ray, np.nan)
    rows = free(missing)
    if rows.size:
        part = rays.select(rows)
        a50[rows], reasons = _a50s(part.depth_mm, np.where(part.usable, part.activity, 0.0), part.usable)
        for row, reason in zip(rows, reasons, strict=True):
            missing[row] = reason
    rsp, known = _rsp_around(rays, a50)
    return _Reading(a50_mm=a50, rsp=rsp, with_ct=known, missing=missing)


def _read_over_rsp(rays: RayProfiles, plain: _Reading, variant: Variant) -> _Reading:
    """A50 of activity over RSP, on the geometric or the water-equivalent axis; rays that `plain` refused stay so."""
    a50 = np.full(rays.n_ray, np.nan)
    rows = np.flatnonzero(plain.with_ct & np.isfinite(plain.a50_mm))
    if rows.size:
        part = rays.select(rows)
        if variant == "wepl":
            axis = WeplAxis.of(part)
            activity, usable = on_wepl_axis(part, axis, int(np.ceil(axis.wepl_mm.max())))
            depth = np.arange(activity.shape[1], dtype=np.float64) + 0.5
        else:
            usable = part.usable & rsp_known(part)
            activity = np.where(usable, part.activity, 0.0) / np.maximum(filled_rsp(part), LOWEST_RSP)
            depth = part.depth_mm
        a50[rows], _ = _a50s(depth, activity, usable)
    with_ct = plain.with_ct & np.isfinite(a50)
    return replace(plain, a50_mm=np.where(with_ct, a50, np.nan), with_ct=with_ct)


def _a50s(depth_mm: Floats, activity: Floats, usable: Flags) -> tuple[Floats, list[NotEvaluable | None]]:
    """A50 as the range model reports it, NaN with a reason where there is none that can be trusted."""
    from protonqa.range_model.a50line import reported_a50_mm
    from protonqa.range_model.config import FeatureConfig
    from protonqa.range_model.domain import LEAST_CONTRAST
    from protonqa.range_model.edge import find_edge
    from protonqa.range_model.observables import column, observe
    from protonqa.range_model.rays import rays_from_profiles

    batch = rays_from_profiles(ProfileSet(depth_mm=depth_mm, activity=activity, mask=usable))
    edge = find_edge(batch.activity, batch.usable, sd_mm=FeatureConfig().smoothing_sd_mm)
    contrast = observe(batch, edge)[:, column("edge_contrast")].numpy()
    found, cut = edge.found.numpy(), edge.truncated.numpy()
    a50 = np.array(reported_a50_mm(batch, edge), dtype=np.float64)
    last = np.where(usable, depth_mm, -np.inf).max(axis=1)
    reasons: list[NotEvaluable | None] = []
    for row in range(a50.size):
        reason = None
        if cut[row] or not found[row] or not np.isfinite(a50[row]) or a50[row] > last[row] - 1.0:
            reason = NotEvaluable(code="truncated", reason="the activity does not fall to half inside the window")
        elif contrast[row] < LEAST_CONTRAST:
            reason = NotEvaluable(
                code="too-noisy", reason=f"the fall-off is {contrast[row]:.1f} times the noise, {LEAST_CONTRAST} needed"
            )
        reasons.append(reason)
    a50[[r is not None for r in reasons]] = np.nan
    return a50, reasons


def _rsp_around(rays: RayProfiles, a50_mm: Floats) -> tuple[Floats, Flags]:
    """Mean RSP around A50, and whether the CT is known from there back far enough; (n_ray,)."""
    known = rsp_known(rays)
    depth = rays.depth_mm[None]
    at = np.nan_to_num(a50_mm, nan=-1e9)[:, None]
    half = 0.5 * rays.step_mm
    low, high = np.maximum(depth - half, at - RSP_REACH_MM), np.minimum(depth + half, at + RSP_REACH_MM)
    weight = np.clip(high - low, 0.0, None) * known
    total = weight.sum(axis=1)
    value = np.where(known, 0.0 if rays.rsp is None else rays.rsp, 0.0)
    rsp = np.divide((weight * value).sum(axis=1), total, out=np.zeros(total.shape), where=total > 0)
    wanted = (depth > at - CT_BEFORE_MM) & (depth < at + RSP_REACH_MM)
    return rsp, np.asarray((total > 0) & ~(wanted & ~known).any(axis=1) & np.isfinite(a50_mm))


def _classes(rays: RayProfiles) -> list[str]:
    """Class of the time line of each ray."""
    from protonqa.range_model.a50line import frame_classes

    if rays.times_s is None:
        return ["unknown"] * rays.n_ray
    known = np.asarray(np.isfinite(rays.times_s).all(axis=1))
    return frame_classes(np.nan_to_num(rays.times_s), known)
