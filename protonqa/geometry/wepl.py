"""Water-equivalent depth from the relative stopping power along rays, and back."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def wepl_mm(
    rsp: ArrayLike, bin_mm: float = 1.0, *, at: Literal["end", "centre"] = "end", upstream_mm: ArrayLike = 0.0
) -> FloatArray:
    """Water-equivalent depth along rays.

    Parameters
    ----------
    rsp : (n_ray, n_depth)
        Mean relative stopping power in each bin.
    at : {"end", "centre"}
        Whether the value holds at the distal end or at the centre of each bin.
    upstream_mm : (n_ray,) or float
        Water-equivalent path before depth 0, see `upstream_wepl_mm`.

    Returns
    -------
    (n_ray, n_depth)
    """
    profile = np.atleast_2d(np.asarray(rsp, dtype=np.float64))
    ends = np.cumsum(profile, axis=1) * bin_mm
    if at == "centre":
        ends -= 0.5 * bin_mm * profile
    return np.asarray(ends + np.reshape(np.asarray(upstream_mm, dtype=np.float64), (-1, 1)))


def wepl_to_depth_mm(
    rsp: ArrayLike, wepl_mm_wanted: ArrayLike, bin_mm: float = 1.0, *, upstream_mm: ArrayLike = 0.0
) -> FloatArray:
    """Depth at which each ray reaches a water-equivalent depth; the inverse of `wepl_mm`.

    Parameters
    ----------
    rsp : (n_ray, n_depth)
    wepl_mm_wanted : (n_ray,) or float
    upstream_mm : (n_ray,) or float

    Returns
    -------
    (n_ray,)
        Geometric depth in mm. NaN where the profile ends before, or where the path is used up before depth 0.
    """
    ends = wepl_mm(rsp, bin_mm)
    n_ray, n_depth = ends.shape
    ends = np.concatenate([np.zeros((n_ray, 1)), ends], axis=1)
    wanted = np.broadcast_to(np.asarray(wepl_mm_wanted, dtype=np.float64) - np.asarray(upstream_mm), (n_ray,))
    after = (ends < wanted[:, None]).sum(axis=1)
    upper = np.clip(after, 1, n_depth)
    rows = np.arange(n_ray)
    low, high = ends[rows, upper - 1], ends[rows, upper]
    share = np.divide(wanted - low, high - low, out=np.zeros(n_ray), where=high > low)
    depth = (upper - 1 + share) * bin_mm
    return np.where((wanted < 0) | (after > n_depth), np.nan, depth)
