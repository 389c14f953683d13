"""Listing, running and commissioning analyses, built-in or third-party."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from protonqa.analyses.commissioning import commission_analysis, commissioning_to_plain
from protonqa.analyses.interface import AnalysisParams, Commissioning
from protonqa.analyses.registry import LoadedAnalysis, describe, listed_analyses, load_analysis
from protonqa.analyses.run_folder import prove_writable, staged_folder
from protonqa.analyses.runner import check_params, run_analysis, versions
from protonqa.app.inputs import load_inputs
from protonqa.app.progress import Cancel, Progress, stages
from protonqa.app.recording import Recorder
from protonqa.device import CPU, Device, cpu_label
from protonqa.errors import InputError
from protonqa.files.atomic import write_text_atomic
from protonqa.values import AnalysisResult, Case, Finding, State

COMMISSIONING = "commissioning.json"


class RunParams(BaseModel):
    """What to run on which files.

    ``inputs`` and ``params`` are by the names the analysis gives them; see ``protonqa analyses``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(title="Analysis")
    inputs: Mapping[str, Path] = Field(default_factory=dict, title="Paths of the inputs")
    params: Mapping[str, Any] = Field(default_factory=dict, title="Parameters")
    out: Path = Field(title="Folder of the result")
    report: bool = Field(True, title="Write report.pdf and report.html")
    anonymous: bool = Field(False, title="Withhold identity and dates in the report")
    plugins: tuple[str, ...] | None = Field(None, title="Plugins to enable, as distribution==version")


class CommissionParams(BaseModel):
    """Which acceptance tests to run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = Field((), title="Analyses; none means all that are enabled")
    quick: bool = Field(False, title="Fewer histories and cases, the same limits")
    out: Path = Field(title="Folder of the outcome")
    plugins: tuple[str, ...] | None = Field(None, title="Plugins to enable, as distribution==version")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommissioningRun:
    """Outcomes by analysis, and when, where and with what they were made."""

    outcomes: Mapping[str, Commissioning] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True when every analysis passed all of its checks."""
        return bool(self.outcomes) and all(outcome.passed for outcome in self.outcomes.values())

    def to_plain(self) -> dict[str, Any]:
        """JSON types with the key ``analyses``."""
        return {
            "passed": self.passed,
            **self.facts,
            "analyses": {name: commissioning_to_plain(outcome) for name, outcome in self.outcomes.items()},
        }


def list_analyses(plugins: tuple[str, ...] | None = None) -> dict[str, Any]:
    """All installed analyses with inputs and parameters, under the key ``analyses``."""
    return {"analyses": [describe(listed) for listed in listed_analyses(plugins)]}


def run(
    params: RunParams,
    *,
    seed: int = 0,
    device: Device = CPU,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    record: Recorder | None = None,
) -> AnalysisResult:
    """Read the inputs, run the analysis, publish result, report and manifest; store it where `record` is given.

    Raises
    ------
    PluginError
        Unknown or disabled analysis.
    InputError
        Inputs or parameters that cannot be used.
    StoreError
        The folder cannot be written.
    Cancelled
    """
    loaded = load_analysis(params.name, params.plugins)
    # Parameters and folder are checked before the images are read: a typing error must not cost a minute.
    checked = check_params(loaded.analysis, params.params)
    prove_writable(params.out)
    reading, running = stages(progress, (1, 9))
    reading(0, 1, "reading")
    values, findings = load_inputs(loaded.analysis.inputs, params.inputs)
    result = run_into_folder(
        loaded,
        values,
        checked,
        out=params.out,
        seed=seed,
        device=device,
        progress=running,
        cancel=cancel,
        findings=findings,
        report=params.report,
        anonymous=params.anonymous,
    )
    if record is not None:
        record.result(result, values=values, paths=params.inputs, out=params.out)
    return result


def run_into_folder(
    loaded: LoadedAnalysis,
    values: Mapping[str, Any],
    params: AnalysisParams,
    *,
    out: Path,
    seed: int = 0,
    device: Device = CPU,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    findings: tuple[Finding, ...] = (),
    report: bool = True,
    anonymous: bool = False,
) -> AnalysisResult:
    """Run an analysis on values and publish result, artefacts, report and manifest in `out`, all or nothing.

    Parameters
    ----------
    loaded : LoadedAnalysis
    values : mapping of input name to value object
    params : AnalysisParams
    out : Path
        An older result in it is replaced when the new one is whole.
    findings : tuple of Finding
        What the readers of the inputs noticed.
    report, anonymous : bool

    Raises
    ------
    InputError, StoreError, Cancelled
    """
    running, reporting = stages(progress, (9, 1))
    with staged_folder(out) as folder:
        result = run_analysis(
            loaded.analysis,
            values,
            params,
            seed=seed,
            device=device,
            progress=running,
            cancel=cancel,
            out=folder,
            origin=loaded.origin,
            input_findings=findings,
        )
        if report:
            reporting(0, 1, "report")
            write_result_report(result, values, folder, anonymous=anonymous)
    return result


def write_result_report(
    result: AnalysisResult, inputs: Mapping[str, Any], out: Path, *, anonymous: bool = False
) -> tuple[str, ...]:
    """Write the report of a result; the identity block comes from the first case among the inputs."""
    from protonqa.report.files import write_report
    from protonqa.report.subject import subject_of_case

    case = next((value for value in inputs.values() if isinstance(value, Case)), None)
    subject = subject_of_case(case) if case is not None else None
    return write_report(result, out, subject=subject, anonymous=anonymous)


def commission(
    params: CommissionParams,
    *,
    seed: int = 0,
    device: Device = CPU,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    record: Recorder | None = None,
) -> CommissioningRun:
    """Run acceptance tests; a failing one never stops the others. Outcomes are stored where `record` is given.

    Raises
    ------
    PluginError
        An unknown or disabled name.
    InputError
        No analysis to commission.
    Cancelled
    """
    from protonqa.report.commissioning_page import write_commissioning_page

    loaded = _to_commission(params)
    outcomes: dict[str, Commissioning] = {}
    facts = {
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": params.quick,
        "seed": seed,
        "computer": cpu_label(),
        "device": device.label,
        "versions": versions(),
    }
    with staged_folder(params.out) as folder:
        for one, part in zip(loaded, stages(progress, [1.0] * len(loaded)), strict=True):
            name = one.analysis.name
            part(0, 1, name)
            own = folder / name
            own.mkdir()
            outcomes[name] = commission_analysis(
                one.analysis, seed=seed, device=device, quick=params.quick, progress=part, cancel=cancel, out=own
            )
            write_commissioning_page(outcomes[name], own, title=one.analysis.title, facts=_for_people(facts))
        run = CommissioningRun(outcomes=outcomes, facts=facts)
        write_text_atomic(folder / COMMISSIONING, json.dumps(run.to_plain(), allow_nan=False, indent=1) + "\n")
    if record is not None:
        for one in loaded:
            name, version = one.analysis.name, one.analysis.version
            record.acceptance_test(name, version, outcomes[name], device=device, seed=seed, quick=params.quick)
    return run


def _for_people(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts of an acceptance test as its page names them."""
    return {
        "program": f"protonqa {facts['versions']['protonqa']}",
        "date": str(facts["started_utc"])[:10],
        "extent": "quick: fewer histories and cases, the same limits" if facts["quick"] else "full",
        "computer": " with ".join(dict.fromkeys((str(facts["computer"]), str(facts["device"])))),
        "seed": str(facts["seed"]),
    }


def _to_commission(params: CommissionParams) -> list[LoadedAnalysis]:
    names = params.names or tuple(
        listed.name for listed in listed_analyses(params.plugins) if listed.enabled and not listed.obstacle
    )
    if not names:
        raise InputError(
            "there is no analysis to commission",
            expected="the analyses of an installed protonqa",
            remedy="install protonqa as a package (pip install .)",
        )
    return [load_analysis(name, params.plugins) for name in dict.fromkeys(names)]


def failure_of(result: AnalysisResult) -> tuple[str, str] | None:
    """(code, line) of a result in state ERROR, else None."""
    if result.state is not State.ERROR:
        return None
    error = result.provenance.get("error")
    code = str(error.get("code", "INTERNAL")) if isinstance(error, Mapping) else "INTERNAL"
    return code, result.reason
