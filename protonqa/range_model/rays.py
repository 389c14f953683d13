"""Rays on the working grid: 1 mm bins from depth 0, as torch tensors, the common ground of training and prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protonqa.errors import InputError
from protonqa.physics.rsp import rsp_from_hu
from protonqa.values import ProfileSet

#: Working grid: 1 mm bins, long enough for 230 MeV (330 mm in water) in fat and a fall-off behind it.
WORKING_BINS = 448

#: Raw production is what an endless frame right after the beam would count without washout.
RAW_ACQUISITION_S = 1.0e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RayBatch:
    """Rays on the working grid.

    Parameters
    ----------
    activity : (n_ray, 448) float64
        Any linear unit.
    usable : (n_ray, 448) bool
        Bins whose activity may be used.
    rsp : (n_ray, 448) float64, rsp_known : (n_ray, 448) bool
        Planning CT; where it is not known the RSP is 0.
    times_s : (n_ray, 3) float64, times_known : (n_ray,) bool
        Irradiation, delay, acquisition.
    psf_mm : (n_ray,) float64, psf_known : (n_ray,) bool
    wepl_spread : (n_ray, 448) float64 or None, spread_known : (n_ray,) bool or None
        SD of the planned water-equivalent depth among the neighbours of the ray, mm; None: known for no ray.
    """

    activity: Tensor
    usable: Tensor
    rsp: Tensor
    rsp_known: Tensor
    times_s: Tensor
    times_known: Tensor
    psf_mm: Tensor
    psf_known: Tensor
    wepl_spread: Tensor | None = None
    spread_known: Tensor | None = None

    def __len__(self) -> int:
        return int(self.activity.shape[0])

    def select(self, rows: slice | Tensor) -> RayBatch:
        """The same rays, only `rows`."""
        return replace(self, **{name: value[rows] for name, value in self._given()})

    def to(self, device: torch.device) -> RayBatch:
        """A copy on `device`."""
        return replace(self, **{name: value.to(device) for name, value in self._given()})

    def _given(self) -> list[tuple[str, Tensor]]:
        pairs = [(name, getattr(self, name)) for name in self.__slots__]
        return [(name, value) for name, value in pairs if value is not None]


def depth_edges_mm(depth_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bin edges half-way between centres; the outer bins are taken as symmetric. (n,) -> (n + 1,)."""
    depth = np.asarray(depth_mm, dtype=np.float64)
    if depth.ndim != 1 or depth.size < 2 or not np.all(np.diff(depth) > 0):
        raise InputError("depths of a profile do not increase", expected="at least two increasing depths in mm")
    middle = 0.5 * (depth[1:] + depth[:-1])
    return np.concatenate([[2 * depth[0] - middle[0]], middle, [2 * depth[-1] - middle[-1]]])


def overlap_mm(edges_from: NDArray[np.float64], edges_to: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length each old bin shares with each new one; (n_from, n_to). ``values @ overlap`` conserves the integral."""
    low = np.maximum(edges_from[:-1, None], edges_to[None, :-1])
    high = np.minimum(edges_from[1:, None], edges_to[None, 1:])
    return np.asarray(np.clip(high - low, 0.0, None))


def rays_from_profiles(profiles: ProfileSet) -> RayBatch:
    """Put profiles on the working grid, conserving the integral of activity and RSP over the usable bins.

    Depths outside 0 to 448 mm are dropped. A working bin is usable where usable input covers at least half of it.

    Raises
    ------
    InputError
        Depths that do not increase.
    """
    edges = depth_edges_mm(profiles.depth_mm)
    working = np.arange(WORKING_BINS + 1, dtype=np.float64)
    share = overlap_mm(edges, working)
    mask = profiles.mask if profiles.mask is not None else np.ones_like(profiles.activity, dtype=bool)
    # Scaled by its own size first: units of 1e-30 or 1e30 must not leave the range of a float.
    size = np.abs(np.where(mask, profiles.activity, 0.0)).max(axis=1, keepdims=True, initial=0.0)
    scaled = np.where(mask, profiles.activity, 0.0) / np.where(size > 0, size, 1.0)
    covered = mask.astype(np.float64) @ share
    activity = np.divide(scaled @ share, covered, out=np.zeros_like(covered), where=covered > 0)
    rsp_in = profiles.rsp
    if rsp_in is None and profiles.hu is not None:
        rsp_in = np.asarray(rsp_from_hu(profiles.hu), dtype=np.float64)
    rsp = np.zeros_like(covered)
    known = np.zeros(covered.shape, dtype=bool)
    if rsp_in is not None:
        inside = np.broadcast_to(share.sum(axis=0), covered.shape)
        rsp = np.divide(rsp_in @ share, inside, out=rsp, where=inside > 0)
        known = inside >= 0.5
        rsp = np.where(known, rsp, 0.0)
    n = profiles.n_ray
    line = profiles.timeline
    times = [0.0, 0.0, 0.0] if line is None else [line.irradiation_s, line.delay_s, line.acquisition_s]
    psf = profiles.psf_fwhm_mm
    return RayBatch(
        activity=torch.from_numpy(activity),
        usable=torch.from_numpy(covered >= 0.5),
        rsp=torch.from_numpy(rsp),
        rsp_known=torch.from_numpy(known),
        times_s=torch.tensor(times, dtype=torch.float64).expand(n, 3),
        times_known=torch.full((n,), line is not None),
        psf_mm=torch.full((n,), 0.0 if psf is None else float(psf), dtype=torch.float64),
        psf_known=torch.full((n,), psf is not None),
    )
