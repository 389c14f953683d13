"""What `train` is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


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
