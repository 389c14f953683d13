"""`study`: a commented study file, a study from its file to the report, and one of its cells alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from protonqa.app.progress import Cancel, Progress, stages
from protonqa.device import CPU, Device
from protonqa.errors import ProtonQAError
from protonqa.values import AnalysisResult, State

ANALYSIS = "sensitivity-study"
#: Folder of finished cells below the result.
WORK = "work"


class StudyRunParams(BaseModel):
    """Which study, where its result goes, and on what it is computed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    study: Path = Field(description="Study file (YAML); protonqa study template writes one.")
    out: Path = Field(description="Folder of report, tables and cells; a killed study goes on there.")
    workers: int | None = Field(None, ge=0, le=1024, description="Local workers [default: one a core].")
    scheduler: str | None = Field(None, description="Address of a Dask scheduler instead of local workers.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyRun:
    """A finished study."""

    result: AnalysisResult
    folder: Path

    def to_plain(self) -> dict[str, Any]:
        """JSON types: ``rows`` with the keys of the interface, the other tables, and the result's own facts."""
        from protonqa.app.results import run_to_plain
        from protonqa.study.result import table_rows
        from protonqa.study.summary import ROW_KEYS

        tables = {table.name: table_rows(table) for table in self.result.tables}
        full = tables.pop("rows", [])
        tables.pop("definitions", None)
        return {
            "rows": [{key: row[key] for key in ROW_KEYS} for row in full],
            "details": full,
            **tables,
            **run_to_plain(self.result),
            "report": str(self.folder / "report.pdf"),
        }

    def summary(self) -> str:
        """The table of the named scenarios as text."""
        from protonqa.study.result import table_rows

        rows = next((table_rows(one) for one in self.result.tables if one.name == "rows"), [])
        lines = [f"{self.result.reason}; report in {self.folder / 'report.html'}"]
        lines += [
            f"  {row['scenario']:28.28} {row['method']:28} {_numbers(row)}"
            for row in rows
            if row["group"] in ("named", "base") and row["subset"] != "range-mixed"
        ]
        return "\n".join([*lines, *(f"  {one.severity.value}: {one.text}" for one in self.result.findings)])


def write_template(path: Path) -> None:
    """Write the commented study file.

    Raises
    ------
    InputError
        The file is there already.
    StoreError
        It cannot be written.
    """
    from protonqa.durable import write_text_atomic
    from protonqa.errors import InputError
    from protonqa.study.settings import study_template

    if path.exists():
        raise InputError("the study file is there already", remedy="choose another name; it was not touched")
    write_text_atomic(path, study_template(), label="study file")


def template_text() -> str:
    """The commented study file."""
    from protonqa.study.settings import study_template

    return study_template()


def run_study(
    params: StudyRunParams,
    *,
    seed: int = 0,
    device: Device = CPU,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> StudyRun:
    """Compute a study and publish result, report, tables and manifest; what is finished is kept in ``OUT/work``.

    Raises
    ------
    InputError
        A study file that cannot be used.
    StoreError
        The folder cannot be written, or holds another study.
    Cancelled
    """
    from protonqa.analyses.registry import load_analysis
    from protonqa.analyses.run_folder import prove_writable, staged_folder
    from protonqa.analyses.runner import check_params, run_analysis
    from protonqa.app.result_report import write_result_report
    from protonqa.files.collections import read_settings_file
    from protonqa.study.settings import study_from_text

    settings = read_settings_file(params.study)
    study_from_text(settings.text, settings.folder)  # a slip in the file must not leave a folder behind
    prove_writable(params.out)
    loaded = load_analysis(ANALYSIS)
    plain = {
        "workers": params.workers,
        "scheduler": params.scheduler,
        "work": str((params.out / WORK).resolve()),
    }
    running, reporting = stages(progress, (19, 1))
    with staged_folder(params.out) as folder:
        result = run_analysis(
            loaded.analysis,
            {"study": settings},
            check_params(loaded.analysis, plain),
            seed=seed,
            device=device,
            progress=running,
            cancel=cancel,
            out=folder,
            origin=loaded.origin,
        )
        if result.state is not State.PASS:
            # Raised inside the block: what stood in the folder before stays.
            raise _failure(result, folder, params.out)
        reporting(0, 1, "report")
        write_result_report(result, {}, folder)
    return StudyRun(result=result, folder=params.out)


def _failure(result: AnalysisResult, staged: Path, out: Path) -> ProtonQAError:
    """The error behind a failed study; the traceback of a fault of the program stays beside the result."""
    from protonqa import errors
    from protonqa.analyses.run_folder import TRACEBACK
    from protonqa.durable import write_text_atomic

    facts = result.provenance.get("error")
    kind = getattr(errors, str(facts.get("kind")), None) if isinstance(facts, Mapping) else None
    if result.state is State.NOT_EVALUABLE:
        return errors.NotEvaluableError(result.reason)
    if isinstance(kind, type) and issubclass(kind, ProtonQAError):
        return kind(result.reason)
    if (staged / TRACEBACK).is_file():
        text = (staged / TRACEBACK).read_text(encoding="utf-8")
        write_text_atomic(out / TRACEBACK, text, label="traceback")
    return errors.PluginError("the study failed", got=result.reason, remedy=f"see {TRACEBACK} in its folder")


def replay_cell(out: Path, cell: str) -> dict[str, Any]:
    """Compute one cell of a finished study again, alone, and compare it with what the study holds.

    Raises
    ------
    InputError
        No such cell.
    StoreError
        No study in this folder.
    """
    from protonqa.study.run import replay

    with tempfile.TemporaryDirectory(prefix="protonqa-cell-") as scratch:
        same = replay(out / WORK, cell, Path(scratch) / "cell")
    return {"cell": cell, "identical": same}


def _numbers(row: dict[str, Any]) -> str:
    def text(key: str, form: str) -> str:
        return "     -" if row[key] is None else format(row[key], form)

    parts = [
        f"MAE {text('range_mae_mm', '6.2f')} mm",
        f"SD {text('range_sd_mm', '6.2f')} mm",
        f"P95 {text('range_p95_mm', '6.2f')} mm",
        f"answered {100 * row['answered']:5.1f} %",
    ]
    return ", ".join(parts)
