"""What training minimises: range error, its quantiles and the depth dose together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from protonqa.range_model.config import ModelConfig, Settings
from protonqa.range_model.dataset import RayTable
from protonqa.range_model.features import Features, at_positions, cumulative
from protonqa.range_model.network import NetworkOutput

#: Rays whose R80 lies further from their A50 carry no lesson for the range head.
LARGEST_OFFSET_MM = 60.0
LARGEST_MISS_MM = 30.0
#: The dose counts fully up to here behind R80, and this much further on.
JUDGED_BEHIND_MM = 10.0
FAR_WEIGHT = 0.25


class LossConfig(Settings):
    """Weights of the parts of the loss."""

    range_weight: float = Field(1.0, ge=0.0)
    spread_weight: float = Field(0.3, ge=0.0)
    dose_weight: float = Field(5.0, ge=0.0)
    #: Dose errors count relative to the dose plus this share of its maximum.
    dose_floor: float = Field(0.25, gt=0.0)
    #: Weight of range-mixed rays in the range error: they have no single range to learn.
    mixed_weight: float = Field(1.0, ge=0.0, le=1.0)
    #: Errors beyond this count linearly: rays with two ranges must not rule the others.
    huber_mm: float = Field(1.0, gt=0.0)
    #: Rays with a wide predicted spread count less, by (spread / mean spread)^-focus: noisy must not rule clean ones.
    focus: float = Field(0.0, ge=0.0, le=1.0)
    #: Weight of telling range-mixed rays from others, where the network has a head for it.
    mixing_weight: float = Field(0.2, ge=0.0)
    #: What the spread head learns: outer quantiles, or the likely size of the error below and above. Either way the
    #: intervals are calibrated afterwards.
    spread_law: Literal["quantile", "laplace"] = "quantile"
    #: Lower and upper quantile of ``quantile``.
    tail: float = Field(0.025, gt=0.0, lt=0.5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targets:
    """Truth in the frame of the features.

    Parameters
    ----------
    offset_mm : (n_ray,) float32
        True R80 minus the anchor.
    valid : (n_ray,) float32
        1 for rays that teach the range head.
    mixed : (n_ray,) float32
        1 for range-mixed rays.
    dose, dose_weight : (n_ray, n_dose) float32
        Mean dose in each bin relative to R80 over the maximum of the ray, and the length inside the body that it counts
        for, mm.
    """

    offset_mm: Tensor
    valid: Tensor
    mixed: Tensor
    dose: Tensor
    dose_weight: Tensor


def build_targets(table: RayTable, rows: NDArray[np.int64], features: Features, config: ModelConfig) -> Targets:
    """Targets of rays `rows` of `table`, aligned like their features."""
    r80 = torch.from_numpy(table.r80_mm[rows])
    offset = r80 - features.anchor_mm
    valid = features.edge.found & ~features.edge.truncated & (offset.abs() <= LARGEST_OFFSET_MM)
    edges = torch.tensor(config.network.dose_edges_mm(), dtype=torch.float64)
    depth = r80[:, None] + edges[None]
    dose = torch.from_numpy(table.dose[rows]).to(torch.float64)
    dose = dose / dose.amax(dim=1, keepdim=True)
    bin_mm = table.schema.dose_bin_mm
    integral = at_positions(cumulative(dose)[:, None] * bin_mm, depth / bin_mm)[:, 0]
    # The bin that holds the skin has its mean over the part inside.
    length = depth.clamp(min=0.0).diff(dim=1).clamp(min=1e-3)
    # Errors are judged up to 10 mm behind R80; further on the dose must be nothing, but need not be exact.
    weight = torch.where(edges[1:] <= JUDGED_BEHIND_MM, 1.0, FAR_WEIGHT) * depth.clamp(min=0.0).diff(dim=1)
    return Targets(
        offset_mm=offset.to(torch.float32),
        valid=valid.to(torch.float32),
        mixed=torch.from_numpy(table.range_mixed[rows]).to(torch.float32),
        dose=(integral.diff(dim=1) / length).to(torch.float32),
        dose_weight=(weight * valid[:, None]).to(torch.float32),
    )


def total_loss(
    output: NetworkOutput, dose: Tensor, target: Targets, config: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum and its parts; `dose` is decoded at the true offset. Rays that are not valid count nothing."""
    count = target.valid.sum().clamp(min=1.0)
    error = output.offset_mm - target.offset_mm
    huber = torch.nn.functional.huber_loss(output.offset_mm, target.offset_mm, delta=config.huber_mm, reduction="none")
    trust = target.valid * (1.0 - (1.0 - config.mixed_weight) * target.mixed)
    if config.focus > 0:
        trust = trust * _focus(output, trust, config.focus)
    # Beyond its bend the loss grows by 1 per mm, wherever the bend is.
    range_part = (huber * trust).sum() / count / min(config.huber_mm, 1.0)
    spread_part = (_spread_loss(-error.detach(), output, config) * target.valid).sum() / count
    gap = (dose - target.dose).abs() / (target.dose + config.dose_floor)
    dose_part = (gap * target.dose_weight).sum() / target.dose_weight.sum().clamp(min=1.0)
    total = config.range_weight * range_part + config.spread_weight * spread_part + config.dose_weight * dose_part
    mixing_part = torch.nn.functional.binary_cross_entropy_with_logits(
        output.mixed, target.mixed, target.valid, reduction="sum"
    ).div(count)
    total = total + config.mixing_weight * mixing_part
    mae = (error.detach().abs() * target.valid).sum() / count
    return total, {
        "loss": total.detach(),
        "range_mae_mm": mae,
        "spread": spread_part.detach(),
        "dose": dose_part.detach(),
        "mixing": mixing_part.detach(),
    }


def _focus(output: NetworkOutput, trust: Tensor, power: float) -> Tensor:
    """Weights with a mean of 1 over the rays that count; no gradient: the spread must not grow to be spared."""
    spread = (0.5 * (output.below_mm + output.above_mm)).detach()
    weight = spread.pow(-power)
    mean = (weight * trust).sum() / trust.sum().clamp(min=1e-6)
    return weight / mean.clamp(min=1e-6)


def _spread_loss(miss_mm: Tensor, output: NetworkOutput, config: LossConfig) -> Tensor:
    """Per ray; `miss_mm`, truth minus prediction, is fixed: the spread must not pull the prediction."""
    if config.spread_law == "laplace":
        # A ray with two ranges may be off by tens of millimetres; beyond this it says nothing more.
        miss = miss_mm.clamp(-LARGEST_MISS_MM, LARGEST_MISS_MM)
        unlikely = miss.clamp(min=0.0) / output.above_mm - miss.clamp(max=0.0) / output.below_mm
        return torch.log(output.below_mm + output.above_mm) + unlikely
    below = _pinball(miss_mm + output.below_mm, config.tail)
    above = _pinball(miss_mm - output.above_mm, 1.0 - config.tail)
    return below.clamp(max=5.0) + above.clamp(max=5.0)


def _pinball(difference: Tensor, level: float) -> Tensor:
    """Quantile loss of truth minus quantile."""
    return torch.maximum(level * difference, (level - 1.0) * difference)
