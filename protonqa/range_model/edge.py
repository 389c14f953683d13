"""The distal edge of activity, steady against noise, for many rays at once: what the network's grid is aligned with.

The rule is that of A50 (`protonqa.physics.curves`), read from a profile that is always smoothed alike. It is an anchor,
not the A50 that is reported: that one is read from the profile itself (`a50line.reported_a50_mm`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: A50 is half the maximum found within this length before the end of the activity.
LOCAL_LENGTH_MM = 20.0
#: The activity ends where it last exceeds the pedestal by this fraction of its maximum; noise raises it to one half.
END_FRACTION = 0.1
#: Noise counts this many times: a bump of the tail must not pass for the end of the activity.
NOISE_FACTOR = 4.5
#: The pedestal is read over this length before the end of the window.
PEDESTAL_MM = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edge:
    """Where the activity ends, per ray.

    Parameters
    ----------
    a50_mm : (n_ray,)
        NaN where there is no crossing.
    found : (n_ray,) bool
    truncated : (n_ray,) bool
        The activity has not fallen below half its local maximum where the window ends.
    local, peak : (n_ray,)
        Local and global maximum, in the unit of the activity.
    noise : (n_ray,)
        Standard deviation of independent bin noise, in the unit of the activity.
    crossings : (n_ray,) int
        Falling crossings of the A50 level along the whole ray.
    smoothed : (n_ray, n_bin)
        The profile the edge was read from.
    """

    a50_mm: Tensor
    found: Tensor
    truncated: Tensor
    local: Tensor
    peak: Tensor
    noise: Tensor
    crossings: Tensor
    smoothed: Tensor


def noise_level(activity: Tensor, usable: Tensor) -> Tensor:
    """Standard deviation of the bin noise from second differences; (n_ray, n_bin) -> (n_ray,).

    The 68.3 % quantile of |second difference| / sqrt(6) is the SD of independent Gaussian bins and cares little about
    tissue boundaries. Bins below a fifth of the maximum are left out: multiplicative noise vanishes there.
    """
    bright = usable & (activity > 0.2 * activity.where(usable, -math.inf).amax(dim=1, keepdim=True))
    whole = usable[:, :-2] & usable[:, 1:-1] & usable[:, 2:] & bright[:, 1:-1]
    second = (activity[:, :-2] - 2 * activity[:, 1:-1] + activity[:, 2:]).abs() / math.sqrt(6.0)
    ordered = second.where(whole, math.inf).sort(dim=1).values
    count = whole.sum(dim=1)
    rank = (0.6827 * (count - 1).clamp(min=0)).round().long()
    value = ordered.gather(1, rank[:, None])[:, 0]
    return value.where(count >= 5, torch.zeros_like(value))


def smooth(activity: Tensor, usable: Tensor, sd_mm: float) -> Tensor:
    """Gaussian mean over the usable bins only, on 1 mm bins; bins far from any usable one become 0."""
    if sd_mm <= 0:
        return activity.where(usable, torch.zeros_like(activity))
    reach = max(1, math.ceil(3.5 * sd_mm))
    n_bin = activity.shape[1]
    # By Fourier transform, long enough that nothing wraps around: a short kernel in double precision is slow on a CPU.
    size = 32 * math.ceil((n_bin + reach) / 32)
    index = torch.arange(size, device=activity.device)
    x = torch.minimum(index, size - index).to(activity.dtype)
    kernel = torch.exp(-0.5 * (x / sd_mm) ** 2) * (x <= reach)
    weight = usable.to(activity.dtype)
    spectrum = torch.fft.rfft(torch.stack([activity * weight, weight]), n=size) * torch.fft.rfft(kernel)
    total, norm = torch.fft.irfft(spectrum, n=size)[..., :n_bin].unbind(0)
    return torch.where(norm > 1e-3, total / norm.clamp(min=1e-3), torch.zeros_like(total))


def find_edge(activity: Tensor, usable: Tensor, *, sd_mm: float) -> Edge:
    """The distal edge of each ray: most distal crossing of half the local maximum in the last 20 mm of activity.

    Parameters
    ----------
    activity : (n_ray, n_bin) float64 on 1 mm bins from depth 0
    usable : (n_ray, n_bin) bool
    sd_mm : float
        Gaussian smoothing before the search; 0 reads the profile as it is.
    """
    n_bin = activity.shape[1]
    noise = noise_level(activity, usable)
    s = smooth(activity, usable, sd_mm)
    seen = s.where(usable, torch.full_like(s, -math.inf))
    peak = seen.amax(dim=1)
    peak = peak.where(torch.isfinite(peak), torch.zeros_like(peak))
    shrink = math.sqrt(2 * math.sqrt(math.pi) * sd_mm) if sd_mm > 0.3 else 1.0
    fraction = (NOISE_FACTOR * noise / shrink / peak.clamp(min=1e-300)).clamp(END_FRACTION, 0.5)
    index = torch.arange(n_bin, device=s.device)
    edge_bin = index.where(usable, torch.full_like(index, -1)).amax(dim=1)
    tail = usable & (index[None] > (edge_bin - PEDESTAL_MM)[:, None])
    pedestal = s.where(tail, torch.zeros_like(s)).sum(dim=1) / tail.sum(dim=1).clamp(min=1)
    foot = torch.minimum(fraction * peak + pedestal.clamp(min=0.0), 0.5 * peak)
    end = index.where(seen >= foot[:, None], torch.full_like(index, -1)).amax(dim=1)
    near = (index[None] <= end[:, None]) & (index[None] > end[:, None] - LOCAL_LENGTH_MM)
    local = seen.where(near, torch.full_like(seen, -math.inf)).amax(dim=1)
    local = local.where(torch.isfinite(local), torch.zeros_like(local))
    level = 0.5 * local[:, None]
    above = (s >= level) & usable
    falling = above[:, :-1] & usable[:, 1:] & ~above[:, 1:]
    last = index[:-1].where(falling, torch.full_like(index[:-1], -1)).amax(dim=1)
    found = (last >= 0) & (peak > 0)
    at = last.clamp(min=0)[:, None]
    high, low = s.gather(1, at)[:, 0], s.gather(1, at + 1)[:, 0]
    step = (high - level[:, 0]) / (high - low).clamp(min=1e-300)
    a50 = at[:, 0].to(s.dtype) + 0.5 + step.clamp(0.0, 1.0)
    at_end = above.gather(1, edge_bin.clamp(min=0)[:, None])[:, 0]
    return Edge(
        a50_mm=a50.where(found, torch.full_like(a50, math.nan)),
        found=found,
        truncated=at_end & (peak > 0),
        local=local,
        peak=peak,
        noise=noise,
        crossings=falling.sum(dim=1),
        smoothed=s,
    )
