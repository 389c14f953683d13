"""`train`: recipe -> training set -> calibrated, carded weights. Killed at any moment, the next call goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from protonqa.app.progress import stages


class TrainParams(BaseModel):
    """Where the model goes; how many cores may be used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: Path | None = Field(None, description="Recipe (YAML); that of the shipped weights when absent.")
    out: Path = Field(description="Folder of model.safetensors, card.json and card.html.")
    training_set: Path | None = Field(None, description="Folder of the training set [default: OUT/training-set].")
    workers: int = Field(2, ge=1, le=64, description="Members trained at once.")
    threads: int = Field(1, ge=1, le=64, description="Threads of each; the weights depend on it in their last bits.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What was made, and how well it does on anatomies it never saw."""

    folder: Path
    rays: int
    set_hash: str
    seconds: float
    metrics: tuple[dict[str, Any], ...]

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "model": str(self.folder / "model.safetensors"),
            "card": str(self.folder / "card.json"),
            "rays": self.rays,
            "training_set_hash": self.set_hash,
            "seconds": self.seconds,
            "metrics": list(self.metrics),
        }


def train(params: TrainParams, *, progress: Callable[[float, float, str], None] | None = None) -> Trained:
    """Make the training set where it is not there yet, train, calibrate, test and save.

    Raises
    ------
    InputError
        A recipe that cannot be used.
    StoreError
        The folders cannot be written, or hold another training.
    Cancelled
    """
    from protonqa.range_model.pipeline import train_model
    from protonqa.range_model.recipe import load_recipe, shipped_recipe
    from protonqa.range_model.shards import read_training_set
    from protonqa.range_model.training_set import make_training_set

    began = time.perf_counter()
    recipe = shipped_recipe() if params.config is None else load_recipe(params.config)
    simulating, training = stages(progress, (1, 1))
    folder = params.training_set or params.out / "training-set"
    manifest = make_training_set(
        recipe.training_set,
        folder,
        progress=simulating,
    )
    table = read_training_set(folder)
    model = train_model(
        recipe.training,
        table,
        params.out,
        recipe=recipe.model_dump(mode="json"),
        threads=params.threads,
        workers=params.workers,
        progress=training,
    )
    return Trained(
        folder=params.out,
        rays=manifest.n_ray,
        set_hash=manifest.set_hash,
        seconds=time.perf_counter() - began,
        metrics=tuple(row.model_dump(mode="json") for row in model.card.metrics),
    )
