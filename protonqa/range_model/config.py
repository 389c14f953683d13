"""What the model is made of: features and network, as frozen settings that stand in the card beside the weights."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Raised whenever the meaning of a channel or of what the network puts out changes: old weights are then refused.
FEATURE_VERSION = 1

#: Everything the network may see, in order. Nothing here comes from the plan: no energy, planned dose or range.
CHANNELS: tuple[str, ...] = (
    "activity",
    "activity_over_rsp",
    "usable",
    "rsp",
    "rsp_known",
    "wepl",
    "wepl_known",
    "in_body",
    "offset",
    "bin_width",
    "depth",
    "noise",
    "log_irradiation",
    "log_delay",
    "log_acquisition",
    "timeline_known",
    "psf",
    "psf_known",
)
#: What may be added to them.
OPTIONAL_CHANNELS: tuple[str, ...] = ("wepl_spread", "spread_known")


#: Runs of equal bins that join: (start, stop, bin) in mm.
Segments = tuple[tuple[float, float, float], ...]


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def check_segments(segments: Segments) -> None:
    """Raise ValueError unless the segments join and hold whole numbers of bins."""
    if not segments:
        raise ValueError("segments are empty")
    for start, stop, width in segments:
        count = (stop - start) / width if width > 0 else 0.0
        if count < 1 or abs(count - round(count)) > 1e-9:
            raise ValueError(f"segment ({start}, {stop}, {width}) is not a whole number of bins")
    for left, right in pairwise(segments):
        if left[1] != right[0]:
            raise ValueError("segments do not join")


def segment_edges(segments: Segments) -> tuple[float, ...]:
    """Edges of all bins."""
    edges = [segments[0][0]]
    for start, stop, width in segments:
        edges += [start + (i + 1) * width for i in range(round((stop - start) / width))]
    return tuple(edges)


class FeatureConfig(Settings):
    """How a ray becomes network input.

    ``segments`` are (start, stop, bin) in mm, relative to A50 (``anchor="a50"``) or to the surface (``"surface"``).
    Coarse bins serve the plateau, fine bins the fall-off; each bin holds an average, never a sample.
    """

    anchor: Literal["a50", "surface"] = "a50"
    segments: Segments = ((-336.0, -80.0, 4.0), (-80.0, 40.0, 2.0))
    channels: tuple[str, ...] = CHANNELS
    smoothing_sd_mm: float = Field(2.5, ge=0.0, le=10.0)

    @model_validator(mode="after")
    def _check(self) -> FeatureConfig:
        known = (*CHANNELS, *OPTIONAL_CHANNELS)
        unknown = [c for c in self.channels if c not in known]
        if unknown or "offset" not in self.channels:
            raise ValueError(f"channels need 'offset' and none but {known}, got {unknown or self.channels}")
        check_segments(self.segments)
        return self

    def edges_mm(self) -> tuple[float, ...]:
        """Bin edges relative to the anchor; n_bin + 1 values."""
        return segment_edges(self.segments)

    @property
    def n_bin(self) -> int:
        """Number of depth bins the network sees."""
        return len(self.edges_mm()) - 1

    def schema_hash(self) -> str:
        """SHA-256 of the feature version and these settings: weights belong to exactly one schema."""
        return canonical_hash({"feature_version": FEATURE_VERSION, **self.model_dump(mode="json")})


class NetworkConfig(Settings):
    """The network: encoder, residual convolutions, a core over depth, and heads for range, mixing and dose.

    A ``recurrent`` core ships; ``tcn`` (convolutions alone) and ``transformer`` stand beside it for comparison.
    """

    core: Literal["recurrent", "tcn", "transformer"] = "recurrent"
    cell: Literal["lstm", "gru"] = "lstm"
    bidirectional: bool = True
    hidden: int = Field(48, ge=2, le=512)
    layers: int = Field(2, ge=1, le=4)
    encoder: int = Field(32, ge=2, le=512)
    #: Bins that the encoder joins before the recurrent layers: fewer steps, and nothing averaged away.
    stride: int = Field(1, ge=1, le=8)
    #: Residual convolutions between encoder and core, each looking twice as far as the one before.
    blocks: int = Field(0, ge=0, le=12)
    kernel: int = Field(5, ge=3, le=15)
    #: Attention heads of a transformer.
    attention: int = Field(4, ge=1, le=16)
    #: Whether a head tells range-mixed rays from others.
    mixed_head: bool = False
    #: Width of a path that sees the bins around A50 at their places, beside the core that walks over depth: it reads
    #: the shape of the edge to a fraction of a bin. 0 is none. Needs a grid anchored at A50.
    edge: int = Field(0, ge=0, le=2048)
    edge_layers: int = Field(3, ge=1, le=6)
    edge_span_mm: tuple[float, float] = (-64.0, 24.0)
    #: Width of what the dose head knows of each depth; None is that of `head`.
    dose_width: int | None = Field(None, ge=2, le=512)
    head: int = Field(48, ge=2, le=512)
    #: Dose bins relative to R80, mm: fine around the peak, which stands still there, coarse where the dose is smooth.
    dose_segments: Segments = (
        (-360.0, -80.0, 4.0),
        (-80.0, -20.0, 2.0),
        (-20.0, 12.0, 0.5),
        (12.0, 40.0, 2.0),
    )
    #: Predicted spread stays above this: no calibration set resolves less.
    spread_floor_mm: float = Field(0.02, gt=0.0, le=1.0)

    @model_validator(mode="after")
    def _check(self) -> NetworkConfig:
        check_segments(self.dose_segments)
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {self.kernel}")
        if self.core == "tcn" and self.blocks == 0:
            raise ValueError("a tcn needs blocks")
        if self.core == "transformer" and self.hidden % self.attention:
            raise ValueError(f"hidden {self.hidden} is not a multiple of {self.attention} attention heads")
        return self

    def dose_edges_mm(self) -> tuple[float, ...]:
        """Edges of the dose bins relative to R80; n_dose + 1 values."""
        return segment_edges(self.dose_segments)


class ModelConfig(Settings):
    """Features, network and number of ensemble members."""

    features: FeatureConfig = FeatureConfig()
    network: NetworkConfig = NetworkConfig()
    members: int = Field(2, ge=1, le=16)

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        if self.features.n_bin % self.network.stride:
            raise ValueError(f"{self.features.n_bin} bins cannot be joined by {self.network.stride}")
        if self.network.edge and self.features.anchor != "a50":
            raise ValueError("an edge path needs a grid anchored at A50")
        return self


def canonical_hash(content: object) -> str:
    """SHA-256 of the canonical JSON of `content`."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
