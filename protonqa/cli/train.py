"""``protonqa train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from protonqa.app.train_values import TrainParams
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.task import task


def train(
    config: Annotated[Path | None, Parameter(help="Recipe (YAML); that of the shipped weights when absent.")] = None,
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder of model.safetensors, card.json and card.html.")] = Path("model-out"),
    start: Annotated[
        str | None,
        Parameter(name="--from", help="Fine-tune this model for one patient: shipped, or a folder."),
    ] = None,
    case: Annotated[Path | None, Parameter(help="With --from: folder with CT and plan of the patient.")] = None,
    beam: Annotated[int | None, Parameter(help="With --case: beam of the plan [default: all].")] = None,
    replay: Annotated[
        Path | None, Parameter(help="With --case: stored training set that is trained on beside the patient's twins.")
    ] = None,
    training_set: Annotated[
        Path | None, Parameter(help="Folder of the training set [default: OUT/training-set].")
    ] = None,
    set_only: Annotated[
        bool, Parameter(negative="", help="Make the training set and stop; the next call goes on from there.")
    ] = False,
    set_workers: Annotated[
        int | None, Parameter(help="Local processes that simulate [default: one a core]; 0 is this process.")
    ] = None,
    scheduler: Annotated[str | None, Parameter(help="Address of a Dask scheduler that simulates instead.")] = None,
    workers: Annotated[int, Parameter(help="Members trained at once.")] = 2,
    threads: Annotated[int, Parameter(help="Threads of each.")] = 1,
    common: Common = DEFAULT,
) -> int:
    """Training set, model and calibrated, carded weights; goes on where it was interrupted.

    With --from and --case: a model for one patient, from digital twins of the CT along the beams of the plan. CONFIG
    then holds seed, twins, epochs and so on. It answers on that CT alone.
    """
    from protonqa.app.train import make_set
    from protonqa.app.train import train as run

    params = TrainParams(
        config=config,
        out=out,
        start=start,
        case=case,
        beam=beam,
        replay=replay,
        training_set=training_set,
        set_only=set_only,
        set_workers=set_workers,
        scheduler=scheduler,
        workers=workers,
        threads=threads,
    )
    if params.set_only and params.case is None:
        with task(common) as job:
            made = make_set(params, progress=job.progress)
        text = f"training set of {made.rays} rays in {made.folder}, {made.seconds:.0f} s; read data-card.md"
        return job.finish(made.to_plain(), text=text)
    with task(common) as job:
        outcome = run(params, progress=job.progress)
    if params.set_only:
        text = f"twins of one patient, {outcome.rays} rays in {outcome.folder}, {outcome.seconds:.0f} s"
        return job.finish(outcome.to_plain(), text=text)
    text = f"model of {outcome.rays} rays in {outcome.folder}, {outcome.seconds:.0f} s; read card.html for its errors"
    return job.finish(outcome.to_plain(), text=text)
