"""The range network: a recurrent net over depth with a range head and a dose head that hangs on the range."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor, nn

from protonqa.range_model.config import FeatureConfig, NetworkConfig

#: Where R80 is looked for before anything is learned: this SD around A50.
POINT_SD_MM = 15.0

# The generator of torch belongs to the whole process.
_SEEDING = Lock()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkOutput:
    """What one member says.

    Parameters
    ----------
    offset_mm : (n_ray,)
        R80 minus the anchor.
    below_mm, above_mm : (n_ray,)
        Distance from the offset to its predicted lower and upper quantile; positive.
    hidden : (n_ray, n_bin, k)
        What the dose head needs to know of each depth.
    shift_mm : (n_ray,)
        Position of the anchor on the grid of the features.
    """

    offset_mm: Tensor
    below_mm: Tensor
    above_mm: Tensor
    hidden: Tensor
    shift_mm: Tensor


class RangeNetwork(nn.Module):
    """Encoder, recurrent layers over depth, and two heads.

    The range head points at a depth (a softmax over bins times their position) and corrects it from what it finds
    there, so that an edge moved by a millimetre moves the answer by a millimetre. The dose head gives the dose in bins
    relative to R80: the peak stands still there and stays sharp, whatever the range.
    """

    centre_mm: Tensor
    dose_centre_mm: Tensor
    dose_prior: Tensor

    def __init__(self, features: FeatureConfig, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.offset_channel = features.channels.index("offset")
        edges = torch.tensor(features.edges_mm(), dtype=torch.float64)
        dose_edges = torch.tensor(config.dose_edges_mm(), dtype=torch.float64)
        self.register_buffer("centre_mm", _centres(edges[:: config.stride]), persistent=False)
        self.register_buffer("dose_centre_mm", _centres(dose_edges), persistent=False)
        self.register_buffer("dose_prior", _rough_bragg_curve(self.dose_centre_mm), persistent=False)
        n_channel = len(features.channels)
        reach = 2 * config.stride + 3
        self.encode = nn.Sequential(
            nn.Conv1d(n_channel, config.encoder, reach, stride=config.stride, padding=reach // 2), nn.GELU()
        )
        self.join = nn.AvgPool1d(config.stride) if config.stride > 1 else nn.Identity()
        kind = nn.LSTM if config.cell == "lstm" else nn.GRU
        self.recurrent = kind(
            config.encoder + n_channel,
            config.hidden,
            num_layers=config.layers,
            bidirectional=config.bidirectional,
            batch_first=True,
        )
        width = config.hidden * (2 if config.bidirectional else 1)
        self.point = nn.Linear(width, 2)
        self.range = nn.Sequential(nn.Linear(2 * width + 1, config.head), nn.GELU(), nn.Linear(config.head, 3))
        self.dose_hidden = nn.Linear(width, config.head)
        self.dose_place = nn.Parameter(torch.zeros(self.dose_centre_mm.numel(), config.head))
        self.dose_out = nn.Linear(config.head, 1)
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.recurrent.named_parameters():
            if "weight_hh" in name:
                for block in parameter.data.chunk(4 if self.config.cell == "lstm" else 3):
                    nn.init.orthogonal_(block)
            elif "bias_ih" in name and self.config.cell == "lstm":
                # An open forget gate lets the first steps carry depth over the whole ray.
                hidden = self.config.hidden
                parameter.data[hidden : 2 * hidden] = 1.0
        nn.init.normal_(self.dose_place, std=0.3)
        nn.init.zeros_(self.dose_out.bias)
        last = self.range[-1]
        if isinstance(last, nn.Linear):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> NetworkOutput:
        """x: (n_ray, n_bin, n_channel) float32."""
        along = x.transpose(1, 2)
        joined = self.join(along).transpose(1, 2)
        hidden, _ = self.recurrent(torch.cat([self.encode(along).transpose(1, 2), joined], dim=2))
        # Positions come from the input, in mm: they are relative to A50 whatever the grid is anchored to.
        position = 100.0 * joined[:, :, self.offset_channel]
        score = self.point(hidden)
        prior = -0.5 * (position / POINT_SD_MM) ** 2
        weight = torch.softmax(torch.stack([score[..., 0] + prior, score[..., 1]], dim=2), dim=1)
        pointed = (weight[..., 0] * position).sum(dim=1)
        seen = torch.einsum("ntk,nth->nkh", weight, hidden).flatten(1)
        answer = self.range(torch.cat([seen, pointed[:, None] / 100.0], dim=1))
        spread = torch.nn.functional.softplus(answer[:, 1:]) + self.config.spread_floor_mm
        return NetworkOutput(
            offset_mm=pointed + 10.0 * answer[:, 0],
            below_mm=spread[:, 0],
            above_mm=spread[:, 1],
            hidden=self.dose_hidden(hidden),
            shift_mm=self.centre_mm[0].to(x.dtype) - position[:, 0],
        )

    def decode_dose(self, output: NetworkOutput, offset_mm: Tensor) -> Tensor:
        """Dose in bins relative to an R80 at `offset_mm` (n_ray,) from the anchor; (n_ray, n_dose), about 1 at most.

        Training gives the true offset, so that shape and range are learned apart.
        """
        centre = self.centre_mm.to(output.hidden.dtype)
        wanted = self.dose_centre_mm.to(centre.dtype)[None] + (offset_mm + output.shift_mm)[:, None]
        left = (torch.searchsorted(centre, wanted.contiguous()) - 1).clamp(0, centre.numel() - 2)
        part = ((wanted - centre[left]) / (centre[left + 1] - centre[left])).clamp(0.0, 1.0)[..., None]
        index = left[..., None].expand(-1, -1, output.hidden.shape[2])
        here = torch.lerp(output.hidden.gather(1, index), output.hidden.gather(1, index + 1), part)
        bent = torch.nn.functional.gelu(here + self.dose_place)
        return torch.nn.functional.softplus(self.dose_out(bent)[..., 0] + self.dose_prior.to(bent.dtype))


def new_network(features: FeatureConfig, config: NetworkConfig, seed: int) -> RangeNetwork:
    """A network whose first weights depend on `seed` alone, not on the state of torch; safe from several threads."""
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RangeNetwork(features, config)


def _rough_bragg_curve(depth_mm: Tensor) -> Tensor:
    """What the dose head starts from and corrects, before the softplus: a plateau, a peak and nothing behind it."""
    rise = 0.35 + 0.65 * torch.exp(depth_mm.clamp(max=0.0) / 8.0)
    dose = rise * torch.sigmoid((1.5 - depth_mm) / 0.9) + 2e-3
    return torch.log(torch.expm1(dose))


def _centres(edges: Tensor) -> Tensor:
    return 0.5 * (edges[1:] + edges[:-1])
