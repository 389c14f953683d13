"""The shift at which an expected profile fits a measured one best, by whatever cost, for many rays at once.

Coarse search in whole bins, then in tenths, then by golden section. Only the expected profile is read between its bins:
a measured one read there would lose noise at half bins, and every method would prefer those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.physics.curve_marks import NotEvaluable
from protonqa.physics.curves import a50s
from protonqa.study.baselines.interface import RayProfiles
from protonqa.study.baselines.screening import first_of, free, unusable
from protonqa.study.baselines.shifted import SplineProfiles, gathered_bins

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]

#: Cost of measured bins against expected ones; (n_ray, n) each, weight 0 where a bin is not usable -> (n_ray,).
#: The last argument holds the rows of the rays, for costs that know more about each.
Cost = Callable[[Floats, Floats, Floats, Indices], Floats]

#: The fall-off between these depths around A50 must be usable at a shift that is tried.
CORE_PROXIMAL_MM = 10.0
CORE_DISTAL_MM = 5.0
#: Student's t of the correlation at the best shift: noise alone, over all shifts tried, reaches it in 1 of 1000 rays or
#: fewer.
LEAST_T = 5.0

_FINE = 10
_GOLDEN_STEPS = 24
_GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)
_RAYS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which bins are compared: from `proximal_mm` before to `distal_mm` behind A50 of the expected profile.

    Shifts up to `reach_mm` are tried. The window stands still on the measured profile, so that every shift is judged by
    the same bins; where `follows` is True it moves with the shift, in whole bins, and the same stretch of the expected
    profile is always compared.
    """

    proximal_mm: float
    distal_mm: float
    reach_mm: float = 15.0
    follows: bool = False

    def __post_init__(self) -> None:
        sizes = (self.proximal_mm, self.distal_mm, self.reach_mm)
        if not all(np.isfinite(s) and s > 0 for s in sizes) or self.proximal_mm < CORE_PROXIMAL_MM:
            raise InputError(
                "window of a profile match is not usable",
                got=f"{self.proximal_mm:g} + {self.distal_mm:g} mm, reach {self.reach_mm:g} mm",
                expected=f"lengths above 0, at least {CORE_PROXIMAL_MM:g} mm before A50",
            )

    def first_bin(self, a50_mm: Floats, depth_mm: Floats, step_mm: float) -> Indices:
        """First bin of the window of each ray; it can lie in front of the profile."""
        return np.asarray(np.round((a50_mm - self.proximal_mm - depth_mm[0]) / step_mm), dtype=np.intp)

    def bins(self, step_mm: float) -> int:
        """Length in bins."""
        return round((self.proximal_mm + self.distal_mm) / step_mm) + 1


#: Wide enough that the fall-off stays inside at every shift.
DISTAL_WINDOW = Window(proximal_mm=30.0, distal_mm=30.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShiftFits:
    """Best shifts (n_ray,), NaN with a reason in `missing` where there is none, and what was compared there.

    rows : (n_fit,) rays that reached a comparison
    measured, model, slope, weight : (n_fit, n) their bins at the best shift, slope per bin
    """

    shift_mm: Floats
    missing: list[NotEvaluable | None]
    rows: Indices
    measured: Floats
    model: Floats
    slope: Floats
    weight: Floats


def expected_a50_mm(expected: RayProfiles) -> tuple[Floats, list[NotEvaluable | None]]:
    """A50 of expected profiles, and why a profile cannot serve as one."""
    reasons = unusable(expected)
    a50 = np.full(expected.n_ray, np.nan)
    rows = free(reasons)
    if rows.size:
        part = expected.select(rows)
        marks = a50s(part.depth_mm, np.where(part.usable, part.activity, 0.0), mask=_unbroken(part.usable))
        a50[rows] = marks.value_mm
        for row, missing in zip(rows, marks.missing, strict=True):
            reasons[row] = missing
    named = [r and NotEvaluable(code=r.code, reason=f"expected profile: {r.reason}") for r in reasons]
    return a50, named


def best_shifts(measured: RayProfiles, expected: RayProfiles, cost: Cost, window: Window) -> ShiftFits:
    """The shift of least cost for each ray, positive where the measured profile lies deeper."""
    a50, no_edge = expected_a50_mm(expected)
    missing = first_of(unusable(measured), no_edge)
    shift = np.full(measured.n_ray, np.nan)
    rows = free(missing)
    n = window.bins(measured.step_mm)
    parts: list[tuple[Floats, ...]] = [(np.empty((0, n)),) * 4]
    for start in range(0, rows.size, _RAYS_AT_ONCE):
        some = rows[start : start + _RAYS_AT_ONCE]
        search = _Search(measured.select(some), expected.select(some), a50[some], cost, window, some)
        found, reasons, compared = search.run()
        parts.append(compared)
        for row, value, reason in zip(some, found, reasons, strict=True):
            missing[row] = reason
            shift[row] = value if reason is None else np.nan
    data, model, slope, weight = (np.concatenate(p) for p in zip(*parts, strict=True))
    return ShiftFits(shift_mm=shift, missing=missing, rows=rows, measured=data, model=model, slope=slope, weight=weight)


class _Search:
    """One block of rays on its way from whole bins to the best shift."""

    def __init__(
        self, measured: RayProfiles, expected: RayProfiles, a50_mm: Floats, cost: Cost, window: Window, rows: Indices
    ) -> None:
        self.step_mm = measured.step_mm
        self.a50_mm, self.cost, self.window, self.rows = a50_mm, cost, window, rows
        self.usable = measured.usable
        self.depth_mm = measured.depth_mm
        self.activity = np.where(self.usable, measured.activity, 0.0) / ray_size(measured)[:, None]
        known = expected.usable
        scaled = np.where(known, expected.activity, 0.0) / ray_size(expected)[:, None]
        self.splines = SplineProfiles.through(scaled, known)
        self.first = window.first_bin(a50_mm, self.depth_mm, self.step_mm)
        self.n = window.bins(self.step_mm)

    def run(self) -> tuple[Floats, list[NotEvaluable | None], tuple[Floats, ...]]:
        reach = round(self.window.reach_mm / self.step_mm)
        whole = np.arange(-reach, reach + 1)
        covered = np.stack([self._covered(float(s)) for s in whole], axis=1)
        costs = np.full(covered.shape, np.inf)
        for j, s in enumerate(whole):
            at = np.full(self.first.shape, float(s))
            data, weight = self._data(self._start(at))
            costs[:, j] = self._cost(data, weight, at, self._start(at))
        costs[~covered | ~np.isfinite(costs)] = np.inf
        chosen = costs.argmin(axis=1)
        start = self._start(whole[chosen].astype(np.float64))
        data, weight = self._data(start)
        shift = self._refined(data, weight, whole[chosen].astype(np.float64), start)
        model = self.splines.at(shift, start, self.n)
        slope = self.splines.slope_at(shift, start, self.n)
        reasons = _edge_reasons(chosen, covered, np.isfinite(costs), self.window.reach_mm)
        reasons = first_of(reasons, _unlike(correlation(data, model, weight), weight.sum(axis=1)))
        return shift * self.step_mm, reasons, (data, model, slope, weight)

    def _start(self, whole: Floats) -> Indices:
        return self.first + whole.astype(np.intp) if self.window.follows else self.first

    def _data(self, start: Indices) -> tuple[Floats, Floats]:
        data, exists = gathered_bins(self.activity, start, self.n)
        inside, _ = gathered_bins(self.usable, start, self.n)
        return np.asarray(data, dtype=np.float64), np.asarray(inside & exists, dtype=np.float64)

    def _cost(self, data: Floats, weight: Floats, shift: Floats, start: Indices) -> Floats:
        return self.cost(data, self.splines.at(shift, start, self.n), weight, self.rows)

    def _covered(self, shift_bins: float) -> Flags:
        """True where the fall-off, moved by `shift_bins`, lies on usable bins."""
        edge = self.a50_mm + shift_bins * self.step_mm
        beyond = self.depth_mm[None] - edge[:, None]
        near = (beyond >= -CORE_PROXIMAL_MM) & (beyond <= CORE_DISTAL_MM)
        inside = (edge >= self.depth_mm[0]) & (edge + CORE_DISTAL_MM <= self.depth_mm[-1] + self.step_mm)
        return np.asarray(inside & ~(near & ~self.usable).any(axis=1))

    def _refined(self, data: Floats, weight: Floats, whole: Floats, start: Indices) -> Floats:
        """The shift of least cost within a bin of `whole`, half a bin where the next window would follow, in bins."""
        reach = _FINE // 2 if self.window.follows else _FINE
        steps = np.arange(-reach, reach + 1) / _FINE
        costs = np.stack([self._cost(data, weight, whole + f, start) for f in steps], axis=1)
        centre = whole + steps[np.where(np.isfinite(costs), costs, np.inf).argmin(axis=1)]
        low, high = centre - 1.0 / _FINE, centre + 1.0 / _FINE
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        at_left, at_right = (self._cost(data, weight, x, start) for x in (left, right))
        for _ in range(_GOLDEN_STEPS):
            go_left = at_left < at_right
            high, low = np.where(go_left, right, high), np.where(go_left, low, left)
            inner = np.where(go_left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
            value = self._cost(data, weight, inner, start)
            left, right = np.where(go_left, inner, right), np.where(go_left, left, inner)
            at_left, at_right = np.where(go_left, value, at_right), np.where(go_left, at_left, value)
        return np.asarray(0.5 * (low + high))


def ray_size(rays: RayProfiles) -> Floats:
    """Largest size of a usable value of each ray, 1 where all are zero: costs see profiles divided by it."""
    size = np.abs(np.where(rays.usable, rays.activity, 0.0)).max(axis=1, initial=0.0)
    return np.where(size > 0, size, 1.0)


def correlation(a: Floats, b: Floats, weight: Floats) -> Floats:
    """Pearson correlation over the bins of weight 1; (n_ray, n) -> (n_ray,), 0 where one side is constant."""
    count = np.maximum(weight.sum(axis=1, keepdims=True), 1.0)
    da = (a - (a * weight).sum(axis=1, keepdims=True) / count) * weight
    db = (b - (b * weight).sum(axis=1, keepdims=True) / count) * weight
    scale = np.sqrt((da**2).sum(axis=1) * (db**2).sum(axis=1))
    return np.asarray(np.divide((da * db).sum(axis=1), scale, out=np.zeros(scale.shape), where=scale > 0))


def _edge_reasons(chosen: Indices, covered: Flags, answered: Flags, reach_mm: float) -> list[NotEvaluable | None]:
    """Refuse where the best shift is the last one that could be tried: the true one may lie behind it."""
    found: list[NotEvaluable | None] = []
    for at, could, has in zip(chosen, covered, answered, strict=True):
        reason = None
        if not could.any():
            reason = NotEvaluable(
                code="truncated", reason="the window leaves out the fall-off: no shift could be tried in full"
            )
        elif not has.any():
            reason = NotEvaluable(code="no-fit", reason="the expected profile fits at no shift with a positive gain")
        elif at in (0, could.size - 1):
            reason = NotEvaluable(code="beyond-reach", reason=f"the best shift is the largest tried, {reach_mm:g} mm")
        elif not (could[at - 1] and could[at + 1]):
            reason = NotEvaluable(code="truncated", reason="the best shift puts the fall-off at the edge of the window")
        found.append(reason)
    return found


def _unlike(r: Floats, count: Floats) -> list[NotEvaluable | None]:
    freedom = np.maximum(count - 2.0, 0.0)
    t = r * np.sqrt(freedom / np.maximum(1.0 - r**2, 1e-15))
    return [
        None
        if value >= LEAST_T
        else NotEvaluable(
            code="unlike", reason=f"the profile does not resemble the expected one: correlation {like:.2f} at best"
        )
        for value, like in zip(t, r, strict=True)
    ]


def _unbroken(usable: Flags) -> Flags:
    """The most distal unbroken stretch of usable bins of each ray."""
    n = usable.shape[1]
    index = np.arange(n)
    last = np.where(usable, index, -1).max(axis=1, initial=-1)[:, None]
    gap = np.where(~usable & (index <= last), index, -1).max(axis=1, initial=-1)[:, None]
    return np.asarray((index > gap) & (index <= last))
