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
    start: str | None = Field(None, description="Model to begin with: shipped, or a folder of train. With a case.")
    case: Path | None = Field(None, description="Folder with CT and plan of the one patient that the model is for.")
    beam: int | None = Field(None, ge=0, description="Beam of the plan [default: all].")
    replay: Path | None = Field(None, description="Stored training set that is trained on beside the patient's twins.")
    training_set: Path | None = Field(None, description="Folder of the training set [default: OUT/training-set].")
    set_only: bool = Field(False, description="Make the training set and stop; the next call goes on from there.")
    set_workers: int | None = Field(
        None, ge=0, le=1024, description="Local processes that simulate [default: one a core]; 0 is this process."
    )
    scheduler: str | None = Field(None, description="Address of a Dask scheduler that simulates instead.")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMade:
    """A training set, closed."""

    folder: Path
    rays: int
    set_hash: str
    seconds: float

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "training_set": str(self.folder),
            "rays": self.rays,
            "training_set_hash": self.set_hash,
            "seconds": self.seconds,
        }


def make_set(params: TrainParams, *, progress: Callable[[float, float, str], None] | None = None) -> SetMade:
    """Make the training set of a recipe where it is not there yet; killed at any moment, the next call goes on.

    Raises
    ------
    InputError
        A recipe that cannot be used, or patients that could not be computed.
    StoreError
        The folder cannot be written, or holds another set.
    Cancelled
    """
    from protonqa.jobs.runner import backend_for
    from protonqa.range_model.recipe import load_recipe, shipped_recipe
    from protonqa.range_model.training_set import make_training_set

    began = time.perf_counter()
    recipe = shipped_recipe() if params.config is None else load_recipe(params.config)
    folder = params.training_set or params.out / "training-set"
    backend = backend_for(params.set_workers, params.scheduler)
    manifest = make_training_set(recipe.training_set, folder, on=backend, progress=progress)
    return SetMade(folder=folder, rays=manifest.n_ray, set_hash=manifest.set_hash, seconds=time.perf_counter() - began)


def train(params: TrainParams, *, progress: Callable[[float, float, str], None] | None = None) -> Trained:
    """Make the training set where it is not there yet, train, calibrate, test and save; with a case, for one patient.

    Raises
    ------
    InputError
        A recipe that cannot be used.
    StoreError
        The folders cannot be written, or hold another training.
    Cancelled
    """
    if params.start is not None or params.case is not None:
        from protonqa.app.train_patient import train_patient

        return train_patient(params, progress=progress)
    from protonqa.range_model.pipeline import train_model
    from protonqa.range_model.recipe import load_recipe, shipped_recipe
    from protonqa.range_model.shards import read_training_set

    began = time.perf_counter()
    recipe = shipped_recipe() if params.config is None else load_recipe(params.config)
    simulating, training = stages(progress, (1, 1))
    made = make_set(params, progress=simulating)
    table = read_training_set(made.folder)
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
        rays=made.rays,
        set_hash=made.set_hash,
        seconds=time.perf_counter() - began,
        metrics=tuple(row.model_dump(mode="json") for row in model.card.metrics),
    )
