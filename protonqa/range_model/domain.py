"""When not to answer: hard rules on the ray, and a score of how far it lies from what the model was calibrated on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from protonqa.errors import InputError
from protonqa.range_model.config import Settings
from protonqa.range_model.edge import Edge
from protonqa.range_model.observables import OBSERVABLES, column
from protonqa.range_model.rays import RAW_ACQUISITION_S, RayBatch

Floats = NDArray[np.float64]

#: Usable length that must lie before and behind A50 (less where the skin is nearer): the fall-off and its both sides.
LEAST_PROXIMAL_MM = 20.0
LEAST_DISTAL_MM = 6.0
#: The step of activity over the edge in standard errors: chance alone, along a whole ray, gives up to about 3.
LEAST_CONTRAST = 3.5
#: Bins with activity that a profile needs.
LEAST_BINS = 5

#: Observables that go into the score, and whether they are compared on a logarithmic scale.
SCORED: tuple[tuple[str, bool], ...] = (
    ("noise", True),
    ("edge_contrast", True),
    ("edge_width_mm", True),
    ("tail_level", False),
    ("negative_fraction", False),
    ("peak_ratio", True),
    ("rsp_spread", False),
    ("rsp_max", False),
)


class DomainLimits(Settings):
    """What the training set held: outside, the model does not answer.

    Energies are for the reader of the card; the model never sees one.
    """

    r80_low_mm: float
    r80_high_mm: float
    energy_low_mev: float
    energy_high_mev: float
    longest_delay_s: float = Field(ge=0.0)
    longest_irradiation_s: float = Field(ge=0.0)
    longest_acquisition_s: float = Field(ge=0.0)
    widest_psf_mm: float = Field(ge=0.0)
    shortest_proximal_mm: float = Field(ge=0.0)
    widest_bin_mm: float = Field(gt=0.0, default=5.0)
    sites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DomainScore:
    """Distance from the calibration set, 1 = the limit that 99 % of it meets.

    Three parts, each divided by its own 99 % level, the largest counts: Mahalanobis distance of the observables,
    what principal components leave of the activity shape, and disagreement of the ensemble.

    Parameters
    ----------
    centre, spread : (k,)
        Median and scale of the observables (after the logarithm).
    precision : (k, k)
        Inverse covariance of the scaled observables.
    shape_mean : (m,), shape_basis : (p, m)
        Mean and principal components of the activity around the edge.
    levels : (4,)
        99 % levels of the three parts and of their maximum.
    """

    centre: Floats
    spread: Floats
    precision: Floats
    shape_mean: Floats
    shape_basis: Floats
    levels: Floats

    def score(self, observed: Floats, shape: Floats, disagreement_mm: Floats) -> Floats:
        """Score of each ray, (n_ray,); above 1 the ray lies outside."""
        parts = self._parts(observed, shape, disagreement_mm)
        return np.asarray((parts / self.levels[:3]).max(axis=1) / self.levels[3])

    def _parts(self, observed: Floats, shape: Floats, disagreement_mm: Floats) -> Floats:
        z = (_scaled(observed) - self.centre) / self.spread
        distance = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", z, self.precision, z), 0.0))
        rest = shape - self.shape_mean
        rest = rest - (rest @ self.shape_basis.T) @ self.shape_basis
        noise = observed[:, column("noise")]
        # Noise is no reason to refuse by itself: what remains is measured against it.
        left = np.sqrt((rest**2).mean(axis=1)) / (0.02 + noise)
        return np.stack([distance, left, disagreement_mm], axis=1)


def fit_domain_score(
    observed: Floats, shape: Floats, disagreement_mm: Floats, *, components: int = 8, level: float = 0.99
) -> DomainScore:
    """Fit on the calibration rays, so that `level` of them score 1 or less.

    Raises
    ------
    InputError
        Fewer than 50 rays.
    """
    n = observed.shape[0]
    if n < 50:
        raise InputError("too few calibration rays for the domain score", got=str(n), expected="50 or more")
    z = _scaled(observed)
    centre = np.median(z, axis=0)
    spread = np.maximum(np.quantile(z, 0.84, axis=0) - np.quantile(z, 0.16, axis=0), 1e-3) / 2
    scaled = np.clip((z - centre) / spread, -6.0, 6.0)
    covariance = np.cov(scaled, rowvar=False) + 0.05 * np.eye(z.shape[1])
    mean = shape.mean(axis=0)
    _, _, basis = np.linalg.svd(shape - mean, full_matrices=False)
    fitted = DomainScore(
        centre=centre,
        spread=spread,
        precision=np.asarray(np.linalg.inv(covariance), dtype=np.float64),
        shape_mean=mean,
        shape_basis=basis[: min(components, basis.shape[0])],
        levels=np.ones(4),
    )
    parts = fitted._parts(observed, shape, disagreement_mm)
    levels = np.maximum(np.quantile(parts, level, axis=0), 1e-6)
    total = float(np.quantile((parts / levels).max(axis=1), level))
    return DomainScore(
        centre=centre,
        spread=spread,
        precision=fitted.precision,
        shape_mean=mean,
        shape_basis=fitted.shape_basis,
        levels=np.append(levels, max(total, 1e-6)),
    )


def hard_reasons(rays: RayBatch, edge: Edge, observed: Tensor, limits: DomainLimits) -> list[str]:
    """Why a ray cannot be answered before any network runs; an empty text where nothing forbids it."""
    active = ((rays.activity != 0) & rays.usable).sum(dim=1).cpu().numpy()
    inf = torch.full_like(rays.activity, torch.inf)
    top = torch.where(rays.usable, rays.activity, -inf).amax(dim=1)
    bottom = torch.where(rays.usable, rays.activity, inf).amin(dim=1)
    flat = (top - bottom <= 1e-9 * torch.maximum(top.abs(), bottom.abs())).cpu().numpy()
    positive = (top > 0).cpu().numpy()
    found, truncated = edge.found.cpu().numpy(), edge.truncated.cpu().numpy()
    table = observed.cpu().numpy()
    times = _timeline_reasons(rays, limits)
    reasons = []
    for row in range(len(rays)):
        proximal, distal = table[row, column("proximal_mm")], table[row, column("distal_mm")]
        if active[row] < LEAST_BINS:
            text = f"activity in {active[row]} bins, at least {LEAST_BINS} needed"
        elif flat[row]:
            text = "activity is constant: there is no fall-off"
        elif not positive[row]:
            text = "activity is nowhere above zero"
        elif truncated[row]:
            text = "the fall-off is cut by the edge of the window"
        elif not found[row]:
            text = "the activity has no distal fall-off"
        elif distal < LEAST_DISTAL_MM:
            text = f"{distal:.0f} mm of window behind A50, at least {LEAST_DISTAL_MM:.0f} mm needed"
        elif proximal < (needed := min(limits.shortest_proximal_mm, table[row, column("a50_mm")] - 2.0)):
            text = f"{proximal:.0f} mm of window before A50, at least {needed:.0f} mm needed"
        elif (contrast := table[row, column("edge_contrast")]) < LEAST_CONTRAST:
            text = f"the fall-off is {contrast:.1f} standard errors high, at least {LEAST_CONTRAST:.0f} needed"
        else:
            text = times[row]
        reasons.append(text)
    return reasons


def range_reason(r80_mm: float, limits: DomainLimits) -> str:
    """Why a predicted range is refused; empty where it lies in the training range."""
    if limits.r80_low_mm <= r80_mm <= limits.r80_high_mm:
        return ""
    low, high = limits.r80_low_mm, limits.r80_high_mm
    return f"R80 of {r80_mm:.0f} mm lies outside the training range of {low:.0f} to {high:.0f} mm"


def _timeline_reasons(rays: RayBatch, limits: DomainLimits) -> list[str]:
    times, known = rays.times_s.cpu().numpy(), rays.times_known.cpu().numpy()
    psf, psf_known = rays.psf_mm.cpu().numpy(), rays.psf_known.cpu().numpy()
    reasons = []
    for row in range(len(rays)):
        irradiation, delay, acquisition = times[row]
        raw = acquisition >= RAW_ACQUISITION_S and irradiation == 0 and delay == 0
        checks = (
            ("irradiation", irradiation, limits.longest_irradiation_s, "s"),
            ("delay", delay, limits.longest_delay_s, "s"),
            ("acquisition", 0.0 if raw else acquisition, limits.longest_acquisition_s, "s"),
        )
        bad = [c for c in checks if known[row] and c[1] > c[2]]
        if psf_known[row] and psf[row] > limits.widest_psf_mm:
            bad.append(("PSF", psf[row], limits.widest_psf_mm, "mm"))
        reasons.append("; ".join(f"{n} of {v:g} {u} is above the {most:g} {u} of training" for n, v, most, u in bad))
    return reasons


def _scaled(observed: Floats) -> Floats:
    columns = []
    for name, logarithmic in SCORED:
        value = observed[:, OBSERVABLES.index(name)]
        columns.append(np.log(np.maximum(value, 1e-3)) if logarithmic else value)
    return np.stack(columns, axis=1)
