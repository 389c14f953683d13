"""What can be measured on a ray without the answer: it groups the intervals and feeds domain score and refusals."""

from __future__ import annotations

import torch
from torch import Tensor

from protonqa.range_model.edge import Edge, noise_level
from protonqa.range_model.features import at_positions, cumulative
from protonqa.range_model.rays import RayBatch

#: Order of the columns of `observe`.
OBSERVABLES: tuple[str, ...] = (
    "noise",
    "edge_contrast",
    "edge_width_mm",
    "tail_level",
    "negative_fraction",
    "peak_ratio",
    "proximal_mm",
    "distal_mm",
    "rsp_spread",
    "rsp_at_edge",
    "rsp_max",
    "delay_s",
    "a50_mm",
)

#: Bins averaged before the noise behind `edge_contrast` is read.
BLOCK = 4
#: Reach of the activity shape around A50 that the domain score reconstructs.
SHAPE_REACH_MM = 40.0


def observe(rays: RayBatch, edge: Edge) -> Tensor:
    """Observables of each ray; (n_ray, len(OBSERVABLES)) float64, finite.

    noise: SD of the bin noise over the local maximum. edge_contrast: step of activity over the edge in units of its
    standard error. edge_width_mm: 80-20 % of the local maximum on the smoothed profile. tail_level: mean activity
    15 mm and more behind A50 over the local maximum. proximal_mm, distal_mm: usable length before and behind A50.
    rsp_spread: SD of RSP in the 60 mm before A50; 0 without CT. delay_s: -1 when unknown.
    """
    n_bin = rays.activity.shape[1]
    usable = rays.usable.to(torch.float64)
    a50 = edge.a50_mm.nan_to_num()
    local = edge.local.clamp(min=1e-300)
    known = rays.rsp_known.to(torch.float64)
    rsp = rays.rsp * known
    integral = cumulative(torch.stack([rays.activity * usable, usable, rsp, rsp**2, known], dim=1))

    def between(start: Tensor, stop: Tensor) -> tuple[Tensor, ...]:
        return at_positions(integral, torch.stack([start, stop], dim=1)).diff(dim=2)[..., 0].unbind(dim=1)

    before, behind = between(a50 - 27.0, a50 - 3.0), between(a50 + 3.0, a50 + 27.0)
    tail = between(a50 + 15.0, torch.full_like(a50, float(n_bin)))
    step = _ratio(before[0], before[1]) - _ratio(behind[0], behind[1])
    # Half a percent of the local maximum stands for what is not noise: structure of the tissue.
    error = (_block_noise(rays, edge) ** 2 + (0.005 * local) ** 2).sqrt() * (
        BLOCK / before[1].clamp(min=1.0) + BLOCK / behind[1].clamp(min=1.0)
    ).sqrt()
    column = between(a50 - 60.0, a50)
    rsp_mean = _ratio(column[2], column[4])
    spread = (_ratio(column[3], column[4]) - rsp_mean**2).clamp(min=0.0).sqrt()
    edge_rsp = between(a50 - 5.0, a50 + 5.0)
    index = torch.arange(n_bin, device=a50.device, dtype=torch.float64)
    before_a50 = (index[None] + 0.5) < a50[:, None]
    count = usable.sum(dim=1).clamp(min=1.0)
    values = {
        "noise": edge.noise / local,
        "edge_contrast": step / error,
        "edge_width_mm": _edge_width(edge, rays.usable, a50),
        "tail_level": _ratio(tail[0], tail[1]) / local,
        "negative_fraction": ((rays.activity < 0) & rays.usable).sum(dim=1) / count,
        "peak_ratio": edge.peak / local,
        "proximal_mm": (usable * before_a50).sum(dim=1),
        "distal_mm": (usable * ~before_a50).sum(dim=1),
        "rsp_spread": spread,
        "rsp_at_edge": _ratio(edge_rsp[2], edge_rsp[4]),
        "rsp_max": (rsp * before_a50).amax(dim=1),
        "delay_s": torch.where(rays.times_known, rays.times_s[:, 1], torch.full_like(a50, -1.0)),
        "a50_mm": a50,
    }
    table = torch.stack([values[name] for name in OBSERVABLES], dim=1)
    return table.nan_to_num(nan=0.0, posinf=1e9, neginf=-1e9).clamp(-1e9, 1e9)


def edge_shape(rays: RayBatch, edge: Edge) -> Tensor:
    """Activity in 2 mm bins within 40 mm of A50 over its local maximum, 0 where not usable; (n_ray, 40) float64."""
    usable = rays.usable.to(torch.float64)
    steps = torch.arange(-SHAPE_REACH_MM, SHAPE_REACH_MM + 1.0, 2.0, dtype=torch.float64, device=usable.device)
    integral = cumulative(torch.stack([rays.activity * usable, usable], dim=1))
    parts = at_positions(integral, edge.a50_mm.nan_to_num()[:, None] + steps[None]).diff(dim=2)
    return (_ratio(parts[:, 0], parts[:, 1]) / edge.local.clamp(min=1e-300)[:, None]).clamp(-5.0, 5.0)


def column(name: str) -> int:
    """Column of an observable."""
    return OBSERVABLES.index(name)


def _block_noise(rays: RayBatch, edge: Edge) -> Tensor:
    """SD of the noise of 4 mm means: noise that neighbouring bins share, as in a PET, does not average out."""
    n = len(rays)
    whole = rays.usable.reshape(n, -1, BLOCK).all(dim=2)
    mean = rays.activity.reshape(n, -1, BLOCK).mean(dim=2)
    return torch.maximum(noise_level(mean, whole), edge.noise / BLOCK**0.5)


def _edge_width(edge: Edge, usable: Tensor, a50: Tensor) -> Tensor:
    index = torch.arange(usable.shape[1], device=a50.device)
    near = (index[None] > a50[:, None] - 25.0) & (index[None] < a50[:, None] + 25.0) & usable
    middle = a50[:, None] - 0.5
    high = near & (edge.smoothed >= 0.8 * edge.local[:, None]) & (index[None] <= middle)
    low = near & (edge.smoothed <= 0.2 * edge.local[:, None]) & (index[None] >= middle)
    upper = index.where(high, torch.full_like(index, -1)).amax(dim=1)
    lower = index.where(low, torch.full_like(index, usable.shape[1])).amin(dim=1)
    upper = torch.where(upper < 0, (a50 - 25.0).long(), upper)
    lower = torch.where(lower >= usable.shape[1], (a50 + 25.0).long(), lower)
    return (lower - upper).to(torch.float64).clamp(min=0.0)


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    safe = bottom > 1e-9
    return torch.where(safe, top / torch.where(safe, bottom, torch.ones_like(bottom)), torch.zeros_like(top))
