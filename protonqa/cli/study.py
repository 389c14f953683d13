"""``protonqa study template | run | cell``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.task import task

app = App(name="study", help_format="plaintext", version_flags=[])


@app.command(sort_key=0)
def template(
    file: Annotated[Path | None, Parameter(help="File to write; standard output where none is given.")] = None,
    /,
    *,
    common: Common = DEFAULT,
) -> int:
    """Write a commented study file."""
    from protonqa.app.study import template_text, write_template

    with task(common) as job:
        if file is not None:
            write_template(file)
    text = template_text() if file is None else f"study file written: {file}"
    plain = {"file": None if file is None else str(file), "template": template_text()}
    return job.finish(plain, text=text)


@app.command(sort_key=1)
def run(
    file: Annotated[Path, Parameter(name="STUDY.yaml", help="Study file.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder of report, tables and cells; a killed study goes on there.")],
    workers: Annotated[int | None, Parameter(help="Local workers [default: one a core]; 0 is this process.")] = None,
    scheduler: Annotated[str | None, Parameter(help="Address of a Dask scheduler instead of local workers.")] = None,
    common: Common = DEFAULT,
) -> int:
    """Compute a study: cells, tables, report. Goes on where it was interrupted."""
    from protonqa.app.study import StudyRunParams, run_study

    params = StudyRunParams(study=file, out=out, workers=workers, scheduler=scheduler)
    with task(common) as job:
        outcome = run_study(params, seed=common.seed, device=job.device, progress=job.progress)
    return job.finish_result(outcome.result, outcome.to_plain(), text=outcome.summary())


@app.command(sort_key=2)
def cell(
    name: Annotated[str, Parameter(name="CELL", help="Scenario and anatomy, such as s003.twin-00012.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder of a computed study.")],
    common: Common = DEFAULT,
) -> int:
    """Compute one cell again, alone, and compare it with the study bit by bit. Exits 1 where they differ."""
    from protonqa.app.study import replay_cell

    with task(common) as job:
        plain = replay_cell(out, name)
    text = f"cell {name}: {'identical' if plain['identical'] else 'DIFFERENT'}"
    return job.finish(plain, text=text, code=0 if plain["identical"] else 1)
