"""Running a study: rays, lines, cells, tables; killed at any moment, the next call goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protonqa.errors import InputError, NotEvaluableError
from protonqa.jobs.cell import load_function
from protonqa.jobs.crew import Backend
from protonqa.jobs.journal import read_job, read_outcomes, results_hash
from protonqa.jobs.progress import JobProgress
from protonqa.jobs.runner import replay_cell, run_job
from protonqa.jobs.table import Job
from protonqa.study.cell import CellRays, computed, decoded, open_model
from protonqa.study.columns import RayFacts, scenario_answers
from protonqa.study.conditions import STORED
from protonqa.study.jobs import Setting, Weights, ask_job, fit_job
from protonqa.study.lines import lines_of_card
from protonqa.study.methods import LINES, PAPER, SHIFTS
from protonqa.study.perturb import expected_production
from protonqa.study.rays import StudyRays, laid_out, lay_out, open_rays
from protonqa.study.scenarios import StudyScenario, scenarios_of
from protonqa.study.settings import Method, StudyConfig
from protonqa.study.summary import Summary, summarise
from protonqa.values import Finding, Severity

if TYPE_CHECKING:
    from protonqa.range_model.card import ModelCard

#: Gets (done, total, text); total 1.
Progress = Callable[[float, float, str], None]

RAYS, LINE_RAYS, FIT_FOLDER, ASK_FOLDER = "rays", "line-rays", "lines", "cells"
#: Shares of the progress: rays, lines, cells, tables.
_SHARES = ((0.0, 0.2), (0.2, 0.3), (0.3, 0.9), (0.9, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyOutcome:
    """A computed study.

    Parameters
    ----------
    facts : mapping
        Where the rays came from, hashes, counts.
    model : mapping
        Name, hash of the weights, training set and domain of the model under study.
    folder : Path
        Journal of the cells.
    results_hash : str
        The same for any number of workers and interruptions.
    """

    setting: Setting
    rays: RayFacts
    facts: Mapping[str, Any]
    model: Mapping[str, Any]
    summary: Summary
    findings: tuple[Finding, ...]
    folder: Path
    results_hash: str
    failed: int


def run_study(
    study: StudyConfig,
    work: Path,
    *,
    on: Backend | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> StudyOutcome:
    """Compute a study in `work`, where everything that is finished is kept.

    Parameters
    ----------
    on : Backend, optional
        See `protonqa.jobs.runner.backend_for`.

    Raises
    ------
    InputError
        Rays, weights or conditions that cannot be used.
    NotEvaluableError
        No cell could be computed.
    StoreError
        The folder cannot be written, or holds another study.
    Cancelled
        What was finished stays.
    """
    stages = [_stage(progress, low, high) for low, high in _SHARES]
    model = open_model(study.model)
    paper = None if study.paper_protocol is None else open_model(study.paper_protocol)
    stages[0](0, 1, "rays of the study")
    opened = open_rays(
        study.rays,
        model.card,
        work,
        seed=study.seed,
        line_rays=study.line_rays,
        on=on,
        progress=stages[0],
        cancelled=cancelled,
    )
    study, left_out = _possible(study, opened)
    scenarios, lacking = _simulated(scenarios_of(study), opened)
    setting = Setting(
        study=study,
        scenarios=scenarios,
        anatomies=tuple(sorted(set(opened.table.anatomy.tolist()))),
        rays=work / RAYS,
        rays_hash=lay_out(opened.table, work / RAYS),
        lines=None if opened.lines is None else work / LINE_RAYS,
        lines_hash="" if opened.lines is None else lay_out(opened.lines, work / LINE_RAYS),
        model=Weights(folder=study.model, sha256=model.card.weights_sha256),
        paper=None if paper is None else Weights(folder=study.paper_protocol, sha256=paper.card.weights_sha256),
    )
    lines = _lines(setting, lines_of_card(model.card, setting.line_methods), work, on, stages[1], cancelled)
    job = ask_job(setting, lines)
    report = run_job(job, work / ASK_FOLDER, on=on, progress=_told(stages[2]), cancelled=cancelled)
    if report.done == 0:
        raise NotEvaluableError("no cell of the study could be computed", got=_first_failure(work / ASK_FOLDER))
    facts = RayFacts.of(laid_out(setting.rays, setting.rays_hash))
    names = [one.name for one in setting.scenarios]
    summary = summarise(
        study,
        scenario_answers(work / ASK_FOLDER, setting.scenarios, study.methods, facts),
        facts,
        progress=lambda number, name: stages[3](number, len(names), f"tables: {name}"),
    )
    return StudyOutcome(
        setting=setting,
        rays=facts,
        facts=opened.facts,
        model=_about(model.card),
        summary=summary,
        findings=(*opened.findings, *left_out, *lacking, *_failures(report.failed, work / ASK_FOLDER)),
        folder=work / ASK_FOLDER,
        results_hash=results_hash(work / ASK_FOLDER),
        failed=report.failed,
    )


def replay(work: Path, cell_id: str, folder: Path) -> bool:
    """Compute one cell of a study anew, alone, and compare it with what the study holds.

    Parameters
    ----------
    work : Path
        Folder that `run_study` was given.
    cell_id : str
        Such as ``s003.twin-00012``.
    folder : Path
        Empty folder the cell may write into.

    Returns
    -------
    bool
        True where both are the same to the last bit.

    Raises
    ------
    InputError
        No such cell, or it has no result.
    """
    job = _own_job(work)
    stored = next((one for one in read_outcomes(work / ASK_FOLDER) if one.cell_id == cell_id), None)
    if stored is None:
        raise InputError("the study has no such cell", got=cell_id[:40], expected="SCENARIO.ANATOMY, such as s000.NAME")
    again = replay_cell(job, cell_id, folder)
    return again.done == stored.done and again.content == stored.content


def cell_rays(outcome: StudyOutcome, cell_id: str, methods: tuple[str, ...]) -> CellRays:
    """One cell with its profiles, for figures."""
    for one in read_job(outcome.folder).cells:
        if one.cell_id == cell_id:
            return computed(one.parameters, methods=methods)
    raise InputError("the study has no such cell", got=cell_id[:40])


def cell_arrays(outcome: StudyOutcome, cell_id: str) -> dict[str, np.ndarray[Any, Any]]:
    """Numbers of one cell as they were stored."""
    for one in read_outcomes(outcome.folder):
        if one.cell_id == cell_id and one.done:
            return decoded(one.content)
    raise InputError("the study has no such cell", got=cell_id[:40])


def _about(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "weights_sha256": card.weights_sha256,
        "training_set": card.training.set_hash,
        "domain": card.domain.model_dump(mode="json"),
    }


def _own_job(work: Path) -> Job:
    """The job of a study; its function must be the study's own, whatever the journal says."""
    job = read_job(work / ASK_FOLDER)
    load_function(job.function)
    if job.function != "protonqa.study.cell:study_cell":
        raise InputError("the folder holds another job", got=job.function[:60], expected="a study")
    return job


def _possible(study: StudyConfig, opened: StudyRays) -> tuple[StudyConfig, tuple[Finding, ...]]:
    """The study less the methods that lack what they need, and what to say about them."""
    reasons: dict[str, str] = {}
    if study.paper_protocol is None:
        reasons[PAPER] = "no weights of a network trained by it were given (paper_protocol)"
    if expected_production(opened.table) is None:
        reasons |= dict.fromkeys(SHIFTS, "the rays hold no profiles of the planning CT")
    if opened.lines is None:
        text = "it is fitted on training rays, and none were given (rays: lines)"
        reasons |= dict.fromkeys([name for name in LINES if name not in ("a50-line", "a50-line-rsp")], text)
    kept: tuple[Method, ...] = tuple(name for name in study.methods if name not in reasons)
    if not kept:
        raise InputError("no method of the study can be used", got="; ".join(dict.fromkeys(reasons.values())))
    by_reason: dict[str, list[str]] = {}
    for name in study.methods:
        if name in reasons:
            by_reason.setdefault(reasons[name], []).append(name)
    findings = tuple(
        Finding(severity=Severity.WARNING, code="STUDY-METHOD-LEFT-OUT", text=f"{', '.join(names)} left out: {reason}.")
        for reason, names in by_reason.items()
    )
    if opened.lines is None and any(name in LINES for name in kept):
        text = (
            "The A50 lines are those of the model's card, fitted under its training scenarios, not under each scenario."
        )
        findings += (Finding(severity=Severity.INFO, code="STUDY-LINES-OF-CARD", text=text),)
    return study.model_copy(update={"methods": kept}), findings


def _simulated(
    scenarios: tuple[StudyScenario, ...], opened: StudyRays
) -> tuple[tuple[StudyScenario, ...], tuple[Finding, ...]]:
    """The scenarios whose cross sections the rays were simulated with, and what to say about the others."""
    tables = (STORED, *opened.table.schema.tables)
    lacking = sorted({one.cross_sections for one in scenarios} - set(tables))
    if not lacking:
        return scenarios, ()
    kept = tuple(one for one in scenarios if one.cross_sections in tables)
    text = f"Scenarios with cross sections {', '.join(lacking)} left out: the rays hold {', '.join(tables)}."
    return kept, (Finding(severity=Severity.WARNING, code="STUDY-CROSS-SECTIONS", text=text),)


def _lines(
    setting: Setting,
    of_card: Mapping[str, Any],
    work: Path,
    on: Backend | None,
    stage: Progress,
    cancelled: Callable[[], bool] | None,
) -> dict[str, Mapping[str, Any]]:
    """Lines by the key of the scenario: fitted where there are training rays, else those of the card."""
    if setting.lines is None or not setting.line_methods:
        return {one.key: of_card for one in setting.scenarios}
    folder = work / FIT_FOLDER
    run_job(fit_job(setting), folder, on=on, progress=_told(stage), cancelled=cancelled)
    nothing = dict.fromkeys(setting.line_methods)
    found: dict[str, Mapping[str, Any]] = {one.key: nothing for one in setting.scenarios}
    for outcome in read_outcomes(folder):
        if outcome.done:
            found[outcome.cell_id] = json.loads(outcome.content)
    return found


def _failures(failed: int, folder: Path) -> tuple[Finding, ...]:
    if not failed:
        return ()
    text = f"{failed} cells failed and are missing from every table; the first: {_first_failure(folder)}."
    return (Finding(severity=Severity.CRITICAL, code="STUDY-CELLS-FAILED", text=text),)


def _first_failure(folder: Path) -> str:
    for one in read_outcomes(folder):
        if not one.done:
            return f"{one.cell_id}: {one.message}"[:200]
    return ""


def _stage(progress: Progress | None, low: float, high: float) -> Progress:
    def part(done: float, total: float, text: str) -> None:
        if progress is not None:
            progress(low + (high - low) * min(done / max(total, 1e-9), 1.0), 1.0, text)

    return part


def _told(stage: Progress) -> Callable[[JobProgress], None]:
    return lambda state: stage(state.finished, state.total, state.text())
