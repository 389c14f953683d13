"""Where a training stands: weights, their average, optimiser and history in one safetensors file, replaced whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from protonqa.durable import write_bytes_atomic, write_text_atomic
from protonqa.errors import InputError, StoreError
from protonqa.range_model.network import RangeNetwork

_HEADER_LIMIT = 2**22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """State after a whole number of epochs.

    Parameters
    ----------
    weights, averaged : tensors by name
    moments : tensors by name
        Optimiser: ``first.NUMBER`` and ``second.NUMBER`` by parameter, and ``step.NUMBER``.
    identity : mapping
        Hash of the config, hash of the training set, number of the member.
    epoch : int
        Epochs done.
    spent_s : float
        Training time so far.
    history : list of mapping
        A row of numbers an epoch.
    """

    weights: dict[str, Tensor]
    averaged: dict[str, Tensor]
    moments: dict[str, Tensor]
    identity: Mapping[str, Any]
    epoch: int
    spent_s: float
    history: list[dict[str, float]]

    @classmethod
    def fresh(cls, network: RangeNetwork, identity: Mapping[str, Any]) -> Checkpoint:
        """Before the first step."""
        weights = _copied(network.state_dict())
        return cls(
            weights=weights,
            averaged=_copied(weights),
            moments={},
            identity=identity,
            epoch=0,
            spent_s=0.0,
            history=[],
        )

    @classmethod
    def of(
        cls,
        network: RangeNetwork,
        averaged: Mapping[str, Tensor],
        optimiser: torch.optim.Optimizer,
        identity: Mapping[str, Any],
        epoch: int,
        spent_s: float,
        history: list[dict[str, float]],
    ) -> Checkpoint:
        """After `epoch` epochs."""
        moments: dict[str, Tensor] = {}
        for number, entry in optimiser.state_dict()["state"].items():
            moments[f"first.{number}"] = entry["exp_avg"].detach().clone()
            moments[f"second.{number}"] = entry["exp_avg_sq"].detach().clone()
            moments[f"step.{number}"] = entry["step"].detach().clone().reshape(1)
        return cls(
            weights=_copied(network.state_dict()),
            averaged=_copied(averaged),
            moments=moments,
            identity=identity,
            epoch=epoch,
            spent_s=spent_s,
            history=list(history),
        )

    def restore(self, optimiser: torch.optim.Optimizer) -> None:
        """Put the moments back into an optimiser of the same parameters."""
        if not self.moments:
            return
        numbers = sorted(int(name.split(".")[1]) for name in self.moments if name.startswith("step."))
        state = {
            n: {
                "exp_avg": self.moments[f"first.{n}"].clone(),
                "exp_avg_sq": self.moments[f"second.{n}"].clone(),
                "step": self.moments[f"step.{n}"].clone().reshape(()),
            }
            for n in numbers
        }
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def checkpoint_path(folder: Path, member: int) -> Path:
    """File of a member's checkpoint."""
    return folder / f"member{member}.safetensors"


def write_checkpoint(folder: Path, member: int, state: Checkpoint) -> None:
    """Replace the checkpoint of a member; the old one stays whole until the new one is.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    tensors = {f"weights.{n}": t for n, t in state.weights.items()}
    tensors |= {f"averaged.{n}": t for n, t in state.averaged.items()}
    tensors |= {f"moments.{n}": t for n, t in state.moments.items()}
    facts = {
        "identity": dict(state.identity),
        "epoch": state.epoch,
        "spent_s": state.spent_s,
        "history": state.history,
    }
    content = save_tensors({n: t.contiguous() for n, t in tensors.items()}, metadata={"state": json.dumps(facts)})
    write_bytes_atomic(checkpoint_path(folder, member), bytes(content), label="training checkpoint")


def read_checkpoint(folder: Path, member: int, identity: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint of a member, or None where there is none.

    Raises
    ------
    StoreError
        Damaged.
    InputError
        It belongs to another config, training set or member.
    """
    path = checkpoint_path(folder, member)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError("training checkpoint cannot be read", got=str(error.strerror)) from error
    try:
        tensors = load_tensors(content)
        length = min(int.from_bytes(content[:8], "little"), _HEADER_LIMIT)
        facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["state"])
        state = Checkpoint(
            weights=_part(tensors, "weights."),
            averaged=_part(tensors, "averaged."),
            moments=_part(tensors, "moments."),
            identity=facts["identity"],
            epoch=int(facts["epoch"]),
            spent_s=float(facts["spent_s"]),
            history=list(facts["history"]),
        )
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "training checkpoint is damaged", got=type(error).__name__, remedy="delete it to train anew"
        ) from error
    if dict(state.identity) != dict(identity):
        differ = sorted(k for k in identity if state.identity.get(k) != identity[k])
        raise InputError(
            "training checkpoint belongs to another training",
            got=f"another {' and '.join(differ)}",
            remedy="choose another output folder",
        )
    return state


def write_history(folder: Path, member: int, identity: Mapping[str, Any], history: list[dict[str, float]]) -> None:
    """The numbers of every epoch as JSON, for people and plots."""
    text = json.dumps({"identity": dict(identity), "epochs": history}, indent=1)
    write_text_atomic(folder / f"member{member}.json", text, label="training history")


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in tensors.items()}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
