"""From rays to network input: scale-free channels on a grid aligned with the distal edge of the activity.

What the network may see stands in ``config.CHANNELS``: the measured activity, the planning CT along the ray and the
time line and PSF that a clinic knows, each optional and masked when absent. Nothing comes from the plan.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from protonqa.range_model.config import FeatureConfig
from protonqa.range_model.edge import Edge, find_edge
from protonqa.range_model.rays import WORKING_BINS, RayBatch

#: Activity in a gas-filled bin is divided by this RSP at least.
LOWEST_RSP = 0.2
#: Channels are clamped here: one hot bin must not drown the rest.
ACTIVITY_LIMIT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Network input and where it lies.

    Parameters
    ----------
    x : (n_ray, n_bin, n_channel) float32
    anchor_mm : (n_ray,) float64
        Depth of offset 0 of the range head: A50, also when the grid starts at the surface.
    origin_mm : (n_ray,) float64
        Depth of the zero of the bin edges: A50 or the surface.
    edge : Edge
    """

    x: Tensor
    anchor_mm: Tensor
    origin_mm: Tensor
    edge: Edge


def cumulative(values: Tensor) -> Tensor:
    """Integral from depth 0 at each bin edge, 1 mm bins; (..., n) -> (..., n + 1)."""
    return torch.nn.functional.pad(values.cumsum(dim=-1), (1, 0))


def at_positions(integral: Tensor, position_bins: Tensor) -> Tensor:
    """Value of a cumulative curve between its edges, linear: rebinning by differences conserves the integral.

    integral: (n_ray, k, n + 1); position_bins: (n_ray, m) in bins from the first edge -> (n_ray, k, m).
    """
    last = integral.shape[-1] - 1
    where = position_bins.clamp(0.0, float(last))
    left = where.floor().clamp(max=last - 1).long()
    part = (where - left)[:, None]
    index = left[:, None].expand(-1, integral.shape[1], -1)
    low, high = integral.gather(2, index), integral.gather(2, index + 1)
    return low + part * (high - low)


def build_features(rays: RayBatch, config: FeatureConfig) -> Features:
    """Network input of `rays`; a ray without an edge is anchored at the end of its window and must be refused later."""
    edge = find_edge(rays.activity, rays.usable, sd_mm=config.smoothing_sd_mm)
    index = torch.arange(WORKING_BINS, device=rays.activity.device, dtype=torch.float64) + 1.0
    window_end = torch.where(rays.usable, index, torch.zeros_like(index)).amax(dim=1)
    anchor = torch.where(edge.found, edge.a50_mm.nan_to_num(), window_end)
    origin = anchor if config.anchor == "a50" else torch.zeros_like(anchor)
    edges = torch.tensor(config.edges_mm(), dtype=torch.float64, device=anchor.device)
    channels = _channels(rays, edge, anchor, origin, edges)
    x = torch.stack([channels[name] for name in config.channels], dim=2).to(torch.float32)
    return Features(x=x, anchor_mm=anchor, origin_mm=origin, edge=edge)


def _channels(rays: RayBatch, edge: Edge, anchor: Tensor, origin: Tensor, edges: Tensor) -> dict[str, Tensor]:
    scale = torch.where(edge.local > 0, edge.local, torch.where(edge.peak > 0, edge.peak, torch.ones_like(edge.peak)))
    usable = rays.usable.to(torch.float64)
    known = rays.rsp_known.to(torch.float64)
    both = usable * known
    activity = rays.activity / scale[:, None] * usable
    ratio = activity * known / rays.rsp.clamp(min=LOWEST_RSP)
    wepl_known = known.cumprod(dim=1)
    spread, spread_known = _spread(rays)
    stack = torch.stack([activity, usable, ratio, both, rays.rsp * known, known, wepl_known, spread], dim=1)
    position = origin[:, None] + edges[None]
    integral = cumulative(stack)
    at_edge = at_positions(integral, position)
    a, u, r, b, s, k, w, d = (at_edge[..., 1:] - at_edge[..., :-1]).unbind(dim=1)
    width = (edges[1:] - edges[:-1])[None].expand_as(a)
    inside = position.clamp(0.0, float(WORKING_BINS)).diff(dim=1)
    centre = 0.5 * (position[:, 1:] + position[:, :-1])
    wepl_share = _ratio(w, inside)
    wepl = at_positions(integral[:, 4:5], centre)[:, 0] * wepl_share
    # The reference RSP before the edge makes activity/RSP as scale-free as the activity itself.
    before = at_positions(integral[:, 4:6], torch.stack([anchor - 20.0, anchor], dim=1)).diff(dim=2)[..., 0]
    reference = _ratio(before[:, 0], before[:, 1]).clamp(min=LOWEST_RSP)
    log_times = torch.log1p(rays.times_s) / 10.0 * rays.times_known[:, None]
    noise = (edge.noise / scale).clamp(max=1.0)

    def along(value: Tensor) -> Tensor:
        return value.to(torch.float64)[:, None].expand_as(a)

    return {
        "activity": _ratio(a, u).clamp(-ACTIVITY_LIMIT, ACTIVITY_LIMIT),
        "activity_over_rsp": (_ratio(r, b) * reference[:, None]).clamp(-ACTIVITY_LIMIT, ACTIVITY_LIMIT),
        "usable": u / width,
        "rsp": _ratio(s, k).clamp(max=4.0),
        "rsp_known": k / width,
        "wepl": wepl / 200.0,
        "wepl_known": wepl_share,
        "in_body": inside / width,
        "offset": (centre - anchor[:, None]) / 100.0,
        "bin_width": width / 4.0,
        "depth": centre.clamp(min=0.0) / 200.0 * (inside > 0),
        "noise": along(4.0 * noise),
        "log_irradiation": along(log_times[:, 0]),
        "log_delay": along(log_times[:, 1]),
        "log_acquisition": along(log_times[:, 2]),
        "timeline_known": along(rays.times_known),
        "psf": along(rays.psf_mm * rays.psf_known / 5.0),
        "psf_known": along(rays.psf_known),
        # Logarithm: a tenth of a millimetre matters where there is little, millimetres where there is much.
        "wepl_spread": torch.log1p(_ratio(d, inside).clamp(min=0.0)),
        "spread_known": along(spread_known),
    }


def _spread(rays: RayBatch) -> tuple[Tensor, Tensor]:
    if rays.wepl_spread is None or rays.spread_known is None:
        return torch.zeros_like(rays.rsp), torch.zeros_like(rays.times_known)
    return rays.wepl_spread * rays.spread_known[:, None], rays.spread_known


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    safe = bottom > 1e-9
    return torch.where(safe, top / torch.where(safe, bottom, torch.ones_like(bottom)), torch.zeros_like(top))
