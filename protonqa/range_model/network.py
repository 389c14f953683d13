"""The range network: a recurrent net over depth with a range head and a dose head that hangs on the range."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from threading import Lock

import torch
from torch import Tensor, nn

from protonqa.range_model.config import FeatureConfig, NetworkConfig

#: Where R80 is looked for before anything is learned: this SD around A50.
POINT_SD_MM = 15.0
#: Added to the standard deviation of each input of the edge path.
SMALLEST_SCALE = 0.02

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
    mixed : (n_ray,)
        Logit that the ray is range-mixed; 0 where the network has no such head.
    hidden : (n_ray, n_bin, k)
        What the dose head needs to know of each depth.
    shift_mm : (n_ray,)
        Position of the anchor on the grid of the features.
    dose_code : (n_ray, n_dose) or None
        What the edge path adds to the dose before the softplus.
    """

    offset_mm: Tensor
    below_mm: Tensor
    above_mm: Tensor
    mixed: Tensor
    hidden: Tensor
    shift_mm: Tensor
    dose_code: Tensor | None = None


class RangeNetwork(nn.Module):
    """Encoder, recurrent layers over depth, and two heads.

    The range head points at a depth (a softmax over bins times their position) and corrects it from what it finds
    there, so that an edge moved by a millimetre moves the answer by a millimetre. The dose head gives the dose in bins
    relative to R80: the peak stands still there and stays sharp, whatever the range.
    """

    centre_mm: Tensor
    dose_centre_mm: Tensor
    dose_prior: Tensor
    edge_bins: Tensor
    edge_mean: Tensor
    edge_scale: Tensor

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
        self.blocks = nn.ModuleList(
            ResidualBlock(config.encoder, config.kernel, dilation=2 ** (i % 6)) for i in range(config.blocks)
        )
        self.recurrent, width = _core(config, config.encoder + n_channel)
        self.point = nn.Linear(width, 2)
        code = self._add_edge_path(features) if config.edge else 0
        n_answer = (4 if config.mixed_head else 3) + (1 if config.edge else 0)
        self.range = nn.Sequential(
            nn.Linear(2 * width + 1 + code, config.head), nn.GELU(), nn.Linear(config.head, n_answer)
        )
        dose_width = config.dose_width or config.head
        self.dose_hidden = nn.Linear(width, dose_width)
        self.dose_place = nn.Parameter(torch.zeros(self.dose_centre_mm.numel(), dose_width))
        self.dose_out = nn.Linear(dose_width, 1)
        self._initialise()

    def _add_edge_path(self, features: FeatureConfig) -> int:
        """Layers that see the bins around A50 at their places; width of what they say."""
        config = self.config
        edges = torch.tensor(features.edges_mm())
        low, high = config.edge_span_mm
        inside = (edges[:-1] >= low - 1e-6) & (edges[1:] <= high + 1e-6)
        self.register_buffer("edge_bins", torch.nonzero(inside)[:, 0], persistent=False)
        n_in = int(inside.sum()) * len(features.channels)
        self.register_buffer("edge_mean", torch.zeros(n_in))
        self.register_buffer("edge_scale", torch.ones(n_in))
        widths = [n_in, *[config.edge] * config.edge_layers]
        layers = [part for i, o in pairwise(widths) for part in (nn.Linear(i, o), nn.GELU())]
        self.edge = nn.Sequential(*layers)
        self.dose_code = nn.Linear(config.edge, self.dose_centre_mm.numel())
        nn.init.zeros_(self.dose_code.weight)
        nn.init.zeros_(self.dose_code.bias)
        return config.edge

    def standardise(self, x: Tensor) -> None:
        """Set the scale of each input of the edge path from many rays; nothing to do without one.

        What hardly varies stays small: a floor keeps the noise of a quiet bin from being blown up.
        """
        if self.config.edge:
            seen = x[:, self.edge_bins].flatten(1)
            self.edge_mean.copy_(seen.mean(dim=0))
            self.edge_scale.copy_(seen.std(dim=0) + SMALLEST_SCALE)

    def _initialise(self) -> None:
        if self.config.core == "recurrent":
            self._open_gates()
        nn.init.normal_(self.dose_place, std=0.3)
        nn.init.zeros_(self.dose_out.bias)
        last = self.range[-1]
        if isinstance(last, nn.Linear):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def _open_gates(self) -> None:
        for name, parameter in self.recurrent.named_parameters():
            if "weight_hh" in name:
                for block in parameter.data.chunk(4 if self.config.cell == "lstm" else 3):
                    nn.init.orthogonal_(block)
            elif "bias_ih" in name and self.config.cell == "lstm":
                # An open forget gate lets the first steps carry depth over the whole ray.
                hidden = self.config.hidden
                parameter.data[hidden : 2 * hidden] = 1.0

    def forward(self, x: Tensor) -> NetworkOutput:
        """x: (n_ray, n_bin, n_channel) float32."""
        along = x.transpose(1, 2)
        joined = self.join(along).transpose(1, 2)
        local = self.encode(along)
        for block in self.blocks:
            local = block(local)
        hidden = self.recurrent(torch.cat([local.transpose(1, 2), joined], dim=2))
        if isinstance(hidden, tuple):
            hidden = hidden[0]
        # Positions come from the input, in mm: they are relative to A50 whatever the grid is anchored to.
        position = 100.0 * joined[:, :, self.offset_channel]
        score = self.point(hidden)
        prior = -0.5 * (position / POINT_SD_MM) ** 2
        weight = torch.softmax(torch.stack([score[..., 0] + prior, score[..., 1]], dim=2), dim=1)
        pointed = (weight[..., 0] * position).sum(dim=1)
        seen = [torch.einsum("ntk,nth->nkh", weight, hidden).flatten(1), pointed[:, None] / 100.0]
        code = None
        if self.config.edge:
            code = self.edge((x[:, self.edge_bins].flatten(1) - self.edge_mean) / self.edge_scale)
            seen.append(code)
        answer = self.range(torch.cat(seen, dim=1))
        spread = torch.nn.functional.softplus(answer[:, 1:3]) + self.config.spread_floor_mm
        # Beside an edge path pointing serves rays whose edge is not where A50 says; it begins almost shut.
        gate = torch.sigmoid(answer[:, -1] - 4.0) if self.config.edge else torch.ones_like(pointed)
        return NetworkOutput(
            offset_mm=gate * pointed + 10.0 * answer[:, 0],
            below_mm=spread[:, 0],
            above_mm=spread[:, 1],
            mixed=answer[:, 3] if self.config.mixed_head else torch.zeros_like(pointed),
            hidden=self.dose_hidden(hidden),
            dose_code=None if code is None else self.dose_code(code),
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
        logit = self.dose_out(bent)[..., 0] + self.dose_prior.to(bent.dtype)
        if output.dose_code is not None:
            logit = logit + output.dose_code
        return torch.nn.functional.softplus(logit)


class ResidualBlock(nn.Module):
    """``x + GELU(convolution of x)`` over depth, length kept."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(width, width, kernel, padding=dilation * (kernel // 2), dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """x: (n_ray, width, n_bin)."""
        return x + torch.nn.functional.gelu(self.convolve(x))


class Attention(nn.Module):
    """A small transformer encoder; depth is known from the channels themselves."""

    def __init__(self, n_in: int, config: NetworkConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(n_in, config.hidden)
        layer = nn.TransformerEncoderLayer(
            config.hidden, config.attention, 2 * config.hidden, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (n_ray, n_bin, n_in) -> (n_ray, n_bin, hidden)."""
        return torch.as_tensor(self.layers(self.widen(x)))


def _core(config: NetworkConfig, n_in: int) -> tuple[nn.Module, int]:
    """What carries knowledge over depth, and the width it puts out."""
    if config.core == "tcn":
        return nn.Identity(), n_in
    if config.core == "transformer":
        return Attention(n_in, config), config.hidden
    kind = nn.LSTM if config.cell == "lstm" else nn.GRU
    core = kind(n_in, config.hidden, num_layers=config.layers, bidirectional=config.bidirectional, batch_first=True)
    return core, config.hidden * (2 if config.bidirectional else 1)


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
