"""Weights and card on disk: data only, everything checked before anything is used.

Order of the checks: card (size, JSON, own hash, version, feature schema), then weights (size, header, SHA-256, types
and shapes against the card and against the network of the config), then loading. No pickle path exists.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from protonqa.durable import write_bytes_atomic, write_text_atomic
from protonqa.errors import ModelFileError
from protonqa.range_model.card import CARD_VERSION, ModelCard, TensorEntry, card_html
from protonqa.range_model.config import ModelConfig, canonical_hash
from protonqa.range_model.domain import DomainScore
from protonqa.range_model.network import RangeNetwork, new_network

WEIGHTS_FILE, CARD_FILE, PAGE_FILE = "model.safetensors", "card.json", "card.html"
#: Larger files are not read at all.
LARGEST_WEIGHTS = 256 * 2**20
LARGEST_CARD = 4 * 2**20
LARGEST_HEADER = 2**20

_DTYPES = {"F32": torch.float32, "F64": torch.float64}
_DOMAIN = ("centre", "spread", "precision", "shape_mean", "shape_basis", "levels")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeModel:
    """A trained and calibrated model, ready to predict."""

    members: tuple[RangeNetwork, ...]
    score: DomainScore
    card: ModelCard

    @property
    def config(self) -> ModelConfig:
        """Features, network and number of members."""
        return self.card.config


def model_tensors(members: tuple[RangeNetwork, ...], score: DomainScore) -> dict[str, Tensor]:
    """Every number of a model by name: ``member0.…`` float32, ``domain.…`` float64."""
    named: dict[str, Tensor] = {}
    for i, member in enumerate(members):
        for name, value in member.state_dict().items():
            named[f"member{i}.{name}"] = value.detach().cpu().to(torch.float32).contiguous()
    for name in _DOMAIN:
        named[f"domain.{name}"] = torch.from_numpy(np.array(getattr(score, name), dtype=np.float64))
    return named


def describe_tensors(named: Mapping[str, Tensor]) -> dict[str, TensorEntry]:
    """Types and shapes for the card."""
    kinds = {kind: name for name, kind in _DTYPES.items()}
    return {n: TensorEntry(dtype=kinds[t.dtype], shape=tuple(t.shape)) for n, t in sorted(named.items())}


def serialise(named: Mapping[str, Tensor]) -> bytes:
    """The bytes of the weights file."""
    return bytes(save_tensors(dict(named)))


def save_model(folder: Path, model: RangeModel) -> None:
    """Write ``model.safetensors``, ``card.html`` and, last, ``card.json``.

    Raises
    ------
    ModelFileError
        The card does not belong to these weights.
    StoreError
        The folder cannot be written.
    """
    content = serialise(model_tensors(model.members, model.score))
    card = model.card.sealed()
    _check_weights(content, card)
    write_bytes_atomic(folder / WEIGHTS_FILE, content, label="model weights")
    write_text_atomic(folder / PAGE_FILE, card_html(card), label="model card page")
    write_text_atomic(folder / CARD_FILE, card.model_dump_json(indent=1), label="model card")


def load_model(path: Path) -> RangeModel:
    """A model from its folder, or from its weights file with the card beside it.

    Raises
    ------
    ModelFileError
        Missing, damaged, too large, inconsistent, or made for other features.
    """
    folder = path if path.is_dir() else path.parent
    weights = folder / WEIGHTS_FILE if path.is_dir() else path
    card = _read(folder / CARD_FILE, LARGEST_CARD, "model card")
    return model_from_bytes(_read(weights, LARGEST_WEIGHTS, "model weights"), card)


@cache
def shipped_model() -> RangeModel:
    """The model that comes with protonqa.

    Raises
    ------
    ModelFileError
        The installation has no weights, or they are damaged.
    """
    folder = files("protonqa.range_model").joinpath("weights")
    parts = {name: folder.joinpath(name) for name in (WEIGHTS_FILE, CARD_FILE)}
    if not all(part.is_file() for part in parts.values()):
        raise ModelFileError(
            "no range model is installed", remedy="reinstall protonqa, or train one with protonqa train"
        )
    return model_from_bytes(parts[WEIGHTS_FILE].read_bytes(), parts[CARD_FILE].read_bytes())


def model_from_bytes(weights: bytes, card: bytes) -> RangeModel:
    """Check and build a model.

    Raises
    ------
    ModelFileError
        Any mismatch between weights, card and this program.
    """
    read = _check_card(card)
    _check_weights(weights, read)
    named = load_tensors(weights)
    members = tuple(_member(named, i, read.config) for i in range(read.config.members))
    arrays = {name: named[f"domain.{name}"].numpy().copy() for name in _DOMAIN}
    if not all(bool(torch.isfinite(t).all()) for t in named.values()):
        raise ModelFileError("model weights hold values that are not finite", remedy="install the model again")
    return RangeModel(members=members, score=DomainScore(**arrays), card=read)


def _member(named: Mapping[str, Tensor], index: int, config: ModelConfig) -> RangeNetwork:
    network = new_network(config.features, config.network, seed=0)
    prefix = f"member{index}."
    network.load_state_dict({n.removeprefix(prefix): t for n, t in named.items() if n.startswith(prefix)})
    return network.eval().requires_grad_(False)


def _read(path: Path, largest: int, label: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > largest:
            raise ModelFileError(f"{label} is too large", got=f"{size} bytes", expected=f"at most {largest}")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(
            f"{label} is missing", expected=path.name, remedy="keep weights and card together"
        ) from error
    except OSError as error:
        raise ModelFileError(f"{label} cannot be read", got=str(error.strerror)) from error


def _check_card(content: bytes) -> ModelCard:
    if len(content) > LARGEST_CARD:
        raise ModelFileError("model card is too large", got=f"{len(content)} bytes", expected=f"at most {LARGEST_CARD}")
    try:
        raw = json.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelFileError("model card is not JSON", got=type(error).__name__, remedy=_AGAIN) from error
    version = raw.get("card_version") if isinstance(raw, dict) else None
    if version != CARD_VERSION:
        raise ModelFileError("model card is of another version", got=str(version)[:40], expected=str(CARD_VERSION))
    try:
        card = ModelCard.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        raise ModelFileError("model card is damaged", got=f"{where}: {first['msg']}"[:200], remedy=_AGAIN) from error
    # Of what stands in the file: settings that came later have defaults, which an old card does not list.
    if card.card_sha256 != canonical_hash({key: value for key, value in raw.items() if key != "card_sha256"}):
        raise ModelFileError("model card does not match its own hash", remedy=_AGAIN)
    if card.feature_schema != card.config.features.schema_hash():
        raise ModelFileError(
            "model was made for other features",
            got=card.feature_schema[:12],
            expected=card.config.features.schema_hash()[:12],
            remedy="use the model of this version of protonqa",
        )
    return card


def _check_weights(content: bytes, card: ModelCard) -> None:
    if len(content) != card.weights_bytes:
        raise ModelFileError(
            "model weights have the wrong size",
            got=f"{len(content)} bytes",
            expected=str(card.weights_bytes),
            remedy=_AGAIN,
        )
    header = _header(content)
    if hashlib.sha256(content).hexdigest() != card.weights_sha256:
        raise ModelFileError("model weights do not match the hash in the card", remedy=_AGAIN)
    found = {n: (e.get("dtype"), tuple(e.get("shape", ()))) for n, e in header.items() if n != "__metadata__"}
    listed = {n: (e.dtype, e.shape) for n, e in card.tensors.items()}
    wrong = sorted(n for n in found.keys() | listed.keys() if found.get(n) != listed.get(n))
    if wrong:
        raise ModelFileError("model weights do not match the card", got=f"{len(wrong)} tensors, first {wrong[0]}"[:120])
    _check_shapes(card)


def _check_shapes(card: ModelCard) -> None:
    network = new_network(card.config.features, card.config.network, seed=0)
    wanted = {
        f"member{i}.{name}": ("F32", tuple(value.shape))
        for i in range(card.config.members)
        for name, value in network.state_dict().items()
    }
    have = {n: (e.dtype, e.shape) for n, e in card.tensors.items() if not n.startswith("domain.")}
    wrong = sorted(n for n in wanted.keys() | have.keys() if wanted.get(n) != have.get(n))
    if wrong:
        raise ModelFileError("model weights do not fit the network of the card", got=f"first {wrong[0]}"[:120])
    domain = {n.removeprefix("domain."): e for n, e in card.tensors.items() if n.startswith("domain.")}
    if set(domain) != set(_DOMAIN) or any(e.dtype != "F64" for e in domain.values()):
        raise ModelFileError("model weights lack the domain score", got=", ".join(sorted(domain))[:120])
    k, m = domain["centre"].shape[0], domain["shape_mean"].shape[0]
    fitting = (
        domain["spread"].shape == (k,)
        and domain["precision"].shape == (k, k)
        and len(domain["shape_basis"].shape) == 2
        and domain["shape_basis"].shape[1] == m
        and domain["levels"].shape == (4,)
    )
    if not fitting:
        raise ModelFileError("domain score of the model has wrong shapes", remedy=_AGAIN)


def _header(content: bytes) -> dict[str, Any]:
    """The header of a safetensors file: length, JSON, and tensors that fill the rest without gap or overlap."""
    length = int.from_bytes(content[:8], "little")
    if length > min(LARGEST_HEADER, len(content) - 8):
        raise ModelFileError("model weights have a header that is too long", got=f"{length} bytes", remedy=_AGAIN)
    try:
        header = json.loads(content[8 : 8 + length].decode("utf-8"))
        entries = [(n, e) for n, e in header.items() if n != "__metadata__"]
        spans = sorted(
            (
                int(e["data_offsets"][0]),
                int(e["data_offsets"][1]),
                str(e["dtype"]),
                math.prod(int(d) for d in e["shape"]),
            )
            for _, e in entries
        )
    except (UnicodeDecodeError, ValueError, AttributeError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise ModelFileError(
            "model weights have an unreadable header", got=type(error).__name__, remedy=_AGAIN
        ) from error
    at = 0
    for start, stop, name, count in spans:
        dtype = _DTYPES.get(name)
        if dtype is None or start != at or stop - start != count * dtype.itemsize:
            raise ModelFileError("model weights have an inconsistent header", got=f"at byte {start}", remedy=_AGAIN)
        at = stop
    if at != len(content) - 8 - length:
        raise ModelFileError("model weights have bytes that belong to no tensor", remedy=_AGAIN)
    return dict(header)


_AGAIN = "install or train the model again"
