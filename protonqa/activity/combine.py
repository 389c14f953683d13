"""Sum over nuclides, each weighted by its factor and by the tissue it sits in; profiles and volumes alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from protonqa.errors import InputError


def combine(production: Tensor, factors: Tensor, level: Tensor | None = None, edges: Sequence[float] = ()) -> Tensor:
    """Activity from nuclei made.

    The per-tissue sums are formed by one matrix product and picked bin by bin, so neither the weights nor the weighted
    nuclides are ever spread over (n_nuclide, n_ray, n_depth).

    Parameters
    ----------
    production : (n_nuclide, n_row, n_bin)
        Nuclei made; a volume is one row of voxels.
    factors : (n_row or 1, n_tissue, n_nuclide)
    level : (n_row, n_bin) or None
        HU, or tissue class, of each bin; needed when ``n_tissue`` > 1.
    edges : n_tissue - 1 numbers
        Tissue class c + 1 begins at ``edges[c]`` of `level` (a value on the edge belongs to c + 1).

    Returns
    -------
    (n_row, n_bin)
    """
    n_nuclide, n_row, n_bin = production.shape
    n_tissue = factors.shape[1]
    if factors.shape[0] == 1 and level is not None and len(edges) == n_tissue - 1 and _alike(level):
        return _weighted(production, factors[0], level[0], edges)
    if factors.shape[0] == 1:
        sums = (factors[0] @ production.reshape(n_nuclide, -1)).reshape(n_tissue, n_row, n_bin)
    else:
        sums = torch.bmm(factors, production.permute(1, 0, 2)).permute(1, 0, 2)
    if n_tissue == 1:
        return sums[0].contiguous()
    if level is None or len(edges) != n_tissue - 1:
        raise InputError("tissue-dependent washout without tissue", expected="HU or a tissue map beside the activity")
    total = sums[0].clone()
    above = torch.empty_like(total)
    for edge, tissue_sum in zip(edges, sums[1:], strict=True):
        # A weight of exactly 0 or 1 makes lerp a choice; as float it is several times faster than torch.where.
        torch.ge(level, edge, out=above)
        total.lerp_(tissue_sum, above)
    return total


def _alike(level: Tensor) -> bool:
    """Whether all rows are one row seen again."""
    return level.shape[0] == 1 or level.stride(0) == 0


def _weighted(production: Tensor, factors: Tensor, level: Tensor, edges: Sequence[float]) -> Tensor:
    """Rows of the same tissue under the same factors: one weight a nuclide and bin."""
    steps = torch.tensor(edges, dtype=level.dtype, device=level.device)
    weights = factors[torch.bucketize(level, steps, right=True)]
    total = production[0] * weights[:, 0]
    for nuclide in range(1, production.shape[0]):
        total.addcmul_(production[nuclide], weights[:, nuclide])
    return total
