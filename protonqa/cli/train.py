"""``protonqa train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from protonqa.app.train import TrainParams
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.task import task


def train(
    config: Annotated[Path | None, Parameter(help="Recipe (YAML); that of the shipped weights when absent.")] = None,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder of model.safetensors, card.json and card.html.")],
    training_set: Annotated[
        Path | None, Parameter(help="Folder of the training set [default: OUT/training-set].")
    ] = None,
    workers: Annotated[int, Parameter(help="Members trained at once.")] = 2,
    threads: Annotated[int, Parameter(help="Threads of each.")] = 1,
    common: Common = DEFAULT,
) -> int:
    """Training set, model and calibrated, carded weights; goes on where it was interrupted."""
    from protonqa.app.train import train as run

    params = TrainParams(config=config, out=out, training_set=training_set, workers=workers, threads=threads)
    with task(common) as job:
        outcome = run(params, progress=job.progress)
    text = f"model of {outcome.rays} rays in {outcome.folder}, {outcome.seconds:.0f} s; read card.html for its errors"
    return job.finish(outcome.to_plain(), text=text)
