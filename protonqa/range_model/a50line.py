"""The A50 line, the baseline that every table shows: R80 = a + b A50 (+ c RSP at the fall-off), one per time line."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from protonqa.errors import InputError
from protonqa.physics.curves import a50s
from protonqa.range_model.config import Settings
from protonqa.range_model.edge import Edge
from protonqa.range_model.rays import RAW_ACQUISITION_S, RayBatch

Floats = NDArray[np.float64]

#: Middle of the frame after the beam, s: where one time line ends and the next begins.
CLASS_EDGES_S: tuple[float, ...] = (30.0, 120.0, 240.0, 420.0, 900.0)
#: Bin noise above this fraction of the local maximum: A50 is read from a smoothed profile.
CLEAN_NOISE = 0.015
NOISY_FWHM_MM = 6.0
#: Residuals beyond this many scales count less (Huber): rays with two ranges must not bend the line.
_HUBER = 1.345


class Line(Settings):
    """One fitted line; ``rsp`` is None for the line that works without a CT."""

    n: int = Field(ge=1)
    intercept_mm: float
    slope: float
    rsp: float | None = None


class A50Lines(Settings):
    """Lines by time-line class, with and without CT; key ``CLASS`` or ``CLASS+rsp``, ``any`` where all are pooled."""

    lines: dict[str, Line]

    def predict(self, a50_mm: Floats, rsp: Floats, rsp_known: NDArray[np.bool_], classes: list[str]) -> Floats:
        """R80 of each ray from its A50, (n_ray,); NaN stays NaN."""
        answer = np.full(a50_mm.shape, math.nan)
        for row, name in enumerate(classes):
            keys = [f"{name}+rsp", "any+rsp"] if rsp_known[row] else []
            for key in (*keys, name, "any"):
                line = self.lines.get(key)
                if line is not None:
                    answer[row] = line.intercept_mm + line.slope * a50_mm[row] + (line.rsp or 0.0) * rsp[row]
                    break
        return answer


def timeline_classes(rays: RayBatch) -> list[str]:
    """Class of each ray: ``unknown``, ``raw`` or ``frame0`` ... by the middle of the frame."""
    return frame_classes(rays.times_s.cpu().numpy(), rays.times_known.cpu().numpy())


def frame_classes(times_s: Floats, known: NDArray[np.bool_]) -> list[str]:
    """As `timeline_classes`, from irradiation, delay and acquisition, (n_ray, 3)."""
    middle = times_s[:, 1] + 0.5 * times_s[:, 2]
    raw = times_s[:, 2] >= RAW_ACQUISITION_S
    number = np.searchsorted(np.asarray(CLASS_EDGES_S), middle, side="right")
    return ["unknown" if not k else "raw" if r else f"frame{n}" for k, r, n in zip(known, raw, number, strict=True)]


def reported_a50_mm(rays: RayBatch, edge: Edge) -> Floats:
    """A50 by the definition, (n_ray,); NaN where there is none.

    A clean profile is read as it is: smoothing would move A50 by tenths of a millimetre. A noisy one is smoothed by
    6 mm FWHM; where even that is not enough for the rule, the steadier anchor of the network serves.
    """
    anchor = edge.a50_mm.cpu().numpy()
    noisy = (edge.noise > CLEAN_NOISE * edge.local).cpu().numpy()
    activity = rays.activity.cpu().numpy()
    window = _unbroken(rays.usable.cpu().numpy(), anchor)
    depth = np.arange(activity.shape[1]) + 0.5
    answer = np.full(anchor.shape, math.nan)
    for rows, fwhm_mm in ((~noisy, 0.0), (noisy, NOISY_FWHM_MM)):
        if rows.any():
            answer[rows] = a50s(depth, activity[rows], mask=window[rows], smooth_fwhm_mm=fwhm_mm).value_mm
    return np.where(np.isfinite(answer), answer, anchor)


def fit_a50_lines(
    a50_mm: Floats, rsp: Floats, rsp_known: NDArray[np.bool_], classes: list[str], true_r80_mm: Floats
) -> A50Lines:
    """Fit every line on the rays of the model's own training set.

    Raises
    ------
    InputError
        Fewer than ten rays with an A50.
    """
    good = np.isfinite(a50_mm)
    if int(good.sum()) < 10:
        raise InputError("too few rays with an A50 for the A50 line", got=str(int(good.sum())), expected="10 or more")
    names = np.asarray(classes)
    lines: dict[str, Line] = {}
    for name in ("any", *sorted(set(classes))):
        rows = good if name == "any" else good & (names == name)
        lines.update(_fit_pair(name, rows, a50_mm, rsp, rsp_known, true_r80_mm))
    return A50Lines(lines=lines)


def _fit_pair(
    name: str, rows: NDArray[np.bool_], a50_mm: Floats, rsp: Floats, known: NDArray[np.bool_], r80_mm: Floats
) -> dict[str, Line]:
    found: dict[str, Line] = {}
    if int(rows.sum()) >= 10:
        a, b = _robust(np.stack([np.ones(int(rows.sum())), a50_mm[rows]], axis=1), r80_mm[rows])
        found[name] = Line(n=int(rows.sum()), intercept_mm=a, slope=b)
    both = rows & known
    if int(both.sum()) >= 10 and float(np.ptp(rsp[both])) > 1e-6:
        design = np.stack([np.ones(int(both.sum())), a50_mm[both], rsp[both]], axis=1)
        a, b, c = _robust(design, r80_mm[both])
        found[f"{name}+rsp"] = Line(n=int(both.sum()), intercept_mm=a, slope=b, rsp=c)
    return found


def _robust(design: Floats, target: Floats) -> list[float]:
    """Huber regression by iteratively reweighted least squares."""
    weight = np.ones(target.size)
    solution: Floats = np.zeros(design.shape[1])
    for _ in range(30):
        root = np.sqrt(weight)
        update = np.asarray(np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0], dtype=np.float64)
        residual = np.abs(target - design @ update)
        scale = max(1.4826 * float(np.median(residual)), 1e-6)
        weight = np.minimum(1.0, _HUBER * scale / np.maximum(residual, 1e-12))
        settled = np.allclose(update, solution, rtol=1e-10, atol=1e-10)
        solution = update
        if settled:
            break
    return [float(v) for v in solution]


def _unbroken(usable: NDArray[np.bool_], anchor_mm: Floats) -> NDArray[np.bool_]:
    """The stretch of usable bins around the anchor: a window with gaps has no A50 by the rule."""
    out = np.zeros_like(usable)
    for row, at in enumerate(np.nan_to_num(anchor_mm)):
        gaps = np.flatnonzero(~usable[row])
        left = gaps[gaps < at]
        right = gaps[gaps >= at]
        out[row, (left[-1] + 1 if left.size else 0) : (right[0] if right.size else usable.shape[1])] = True
    return out
