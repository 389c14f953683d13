"""``protonqa batch``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter
from pydantic import BaseModel, Field

from protonqa.app.batch import BatchParams
from protonqa.cli.batch_table import LiveTable
from protonqa.cli.common import DEFAULT, Common
from protonqa.cli.options import OPTIONS, Enable, NoPlugins, completed, without
from protonqa.cli.storing import STORING, Storing, with_record
from protonqa.cli.task import task
from protonqa.cli.values import file_values, pair_values

if TYPE_CHECKING:
    from protonqa.app.batch import BatchRun
    from protonqa.app.recording import Recorder

_WATCH = Group("Watching a folder", sort_key=50)
_Options: Any = without(BatchParams, "source", "params", "inputs", "select", "plugins", "config")


class WatchOptions(BaseModel):
    """How a folder is watched."""

    watch: bool = Field(False, description="Go on for ever: analyse every case that arrives in the folder.")
    quiet_s: float = Field(60.0, ge=0, description="A case has arrived when nothing in it changed for so long, s.")
    every_s: float = Field(10.0, ge=0.1, description="How often the folder is looked at, s.")


def batch(
    source: Path,
    *,
    options: Annotated[_Options, OPTIONS],
    param: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    params: Path | None = None,
    input: Annotated[tuple[str, ...], Parameter(negative="")] = (),  # noqa: A002  the name of the option
    select: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    enable: Enable = None,
    no_plugins: NoPlugins = False,
    watching: Annotated[WatchOptions, Parameter(name="*", group=_WATCH)] = WatchOptions(),  # noqa: B008  frozen
    storing: Storing = STORING,
    common: Common = DEFAULT,
) -> int:
    """One analysis over many cases: resumable, a bad case never stops the rest.

    Exits with the code of the worst case: 4 where the program failed, 2 where files could not be used, 1 FAIL,
    3 NOT EVALUABLE, 0 when all passed.

    Parameters
    ----------
    source
        Folder of cases, or a batch file (YAML).
    param
        A parameter of the analysis as NAME=VALUE; may be repeated.
    params
        Parameters of the analysis from a YAML or JSON file.
    input
        An input that all cases share as NAME=PATH; may be repeated.
    select
        Which entry of a case folder is which input, as NAME=PATTERN (ct=CT_plan*); may be repeated.
    enable
        Third-party plugins to enable, each as distribution==version.
    no_plugins
        Safe mode: built-in analyses only.
    """
    values = {**file_values(params), **pair_values(param)}
    wanted = completed(
        BatchParams,
        options,
        source=source,
        params=values,
        inputs=pair_values(input, option="--input", plain=True),
        select=pair_values(select, option="--select", plain=True),
        plugins=() if no_plugins else enable,
    )
    if watching.watch:
        return _watch(wanted, watching, storing, common)
    from protonqa.app.batch import batch as run

    quiet = replace(common, progress=False)
    with task(quiet) as job, storing.recorder() as record, LiveTable(wanted=common.progress) as live:
        done = run(wanted, seed=common.seed, device=job.device, progress=live, record=record)
    return _finish(job, done, record)


def _watch(params: BatchParams, watching: WatchOptions, storing: Storing, common: Common) -> int:
    """Until Ctrl-C; what has finished by then is in the summary."""
    from protonqa.app.batch import watch_batch
    from protonqa.app.progress import CancelToken

    cancel = CancelToken()
    quiet = replace(common, progress=False)
    live = LiveTable(wanted=common.progress)
    with task(quiet) as job, storing.recorder() as record, live, _interrupt(cancel):
        done = watch_batch(
            params,
            quiet_s=watching.quiet_s,
            every_s=watching.every_s,
            seed=common.seed,
            device=job.device,
            progress=live,
            cancel=cancel,
            record=record,
        )
    if done is None:
        return job.finish({"analysis": params.analysis, "counts": {}, "cases": []}, text="no case arrived")
    return _finish(job, done, record)


@contextmanager
def _interrupt(cancel: Any) -> Iterator[None]:
    """Ctrl-C and the signal of a service manager end a watch in order."""
    import signal

    names = [one for one in ("SIGINT", "SIGTERM") if hasattr(signal, one)]
    before = {name: signal.signal(getattr(signal, name), lambda *_: cancel.cancel()) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _finish(job: Any, done: BatchRun, record: Recorder) -> int:
    from protonqa.cli.frame import print_error

    failed = done.summary.counts.get("ERROR", 0)
    if failed:
        first = next(row for row in done.summary.rows if row.state == "ERROR")
        count = f"{failed} of {len(done.summary.rows)}"
        print_error("BATCH", f"{count} cases have no result, the first: {first.reason}, see summary.csv")
    plain = {**done.to_plain(), **record.to_plain(), "newly_stored": len(record.stored)}
    return int(job.finish(plain, text=with_record(_text(done), record), code=done.exit_code))


def _text(done: BatchRun) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in done.summary.counts.items())
    lines = [f"{done.summary.analysis}: {len(done.summary.rows)} cases, {counts}"]
    lines += [f"  {row.state:<13} {row.case}" + (f"  {row.reason}" if row.reason else "") for row in done.summary.rows]
    lines.append(f"  {done.report.computed} computed in {done.report.wall_s:.1f} s; files in {done.out}")
    return "\n".join(lines)
