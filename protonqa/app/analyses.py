"""Listing, running and commissioning analyses, built-in or third-party."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from protonqa.analyses.interface import AnalysisParams
from protonqa.analyses.limits import deadline_s_of, memory_mib_of
from protonqa.analyses.registry import LoadedAnalysis, describe, listed_analyses, load_analysis
from protonqa.analyses.result_json import finding_to_plain
from protonqa.analyses.run_folder import prove_writable, staged_folder
from protonqa.analyses.runner import check_params, run_analysis
from protonqa.app.case_run import CaseOrder
from protonqa.app.inputs import absolute, load_inputs
from protonqa.app.labels import CaseFacts, facts_of_paths
from protonqa.app.plugins import allowed_plugins
from protonqa.app.progress import Cancel, Progress, stages
from protonqa.app.recording import Recorder
from protonqa.app.result_report import write_result_report
from protonqa.app.site_values import with_site
from protonqa.device import CPU, Device
from protonqa.site.reading import Site, current_site
from protonqa.values import AnalysisResult, Finding, State


class RunParams(BaseModel):
    """What to run on which files.

    ``inputs`` and ``params`` are by the names the analysis gives them; see ``protonqa analyses``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(title="Analysis")
    inputs: Mapping[str, Path | tuple[Path, ...]] = Field(default_factory=dict, title="Paths of the inputs")
    params: Mapping[str, Any] = Field(default_factory=dict, title="Parameters")
    out: Path = Field(title="Folder of the result")
    report: bool = Field(True, title="Write report.pdf and report.html")
    anonymous: bool = Field(False, title="Withhold identity and dates in the report")
    plugins: tuple[str, ...] | None = Field(None, title="Plugins to enable, as distribution==version")
    config: Path | None = Field(None, title="Site file")
    isolate: bool | None = Field(None, title="Run in a worker process; by default third-party analyses do")
    deadline_s: float | None = Field(None, gt=0, title="Longest time of a run in a worker process, s")
    memory_mib: int | None = Field(None, ge=64, title="Memory that a worker process may take, MiB")


def list_analyses(plugins: tuple[str, ...] | None = None, config: Path | None = None) -> dict[str, Any]:
    """All installed analyses with inputs and parameters, under the key ``analyses``."""
    allowed = allowed_plugins(plugins, current_site(config))
    return {"analyses": [describe(listed) for listed in listed_analyses(allowed)]}


def run(
    params: RunParams,
    *,
    seed: int = 0,
    device: Device = CPU,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    record: Recorder | None = None,
) -> AnalysisResult:
    """Read the inputs, run the analysis, publish result, report and manifest.

    With `record` the result also says when this version was last commissioned on this device, and is stored.

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
    site = current_site(params.config)
    loaded = load_analysis(params.name, allowed_plugins(params.plugins, site))
    # Parameters and folder are checked before the images are read: a typing error must not cost a minute.
    checked = check_params(loaded.analysis, params.params)
    prove_writable(params.out)
    known = () if record is None else record.commissioning(loaded.analysis.name, loaded.analysis.version, device)
    facts: CaseFacts | None = None
    if params.isolate if params.isolate is not None else not loaded.built_in:
        values: Mapping[str, Any] = {}
        result = _run_apart(
            loaded, params, site, seed=seed, device=device, progress=progress, cancel=cancel, findings=known
        )
        facts = facts_of_paths(loaded.analysis.inputs, params.inputs)
    else:
        reading, running = stages(progress, (1, 9))
        reading(0, 1, "reading")
        values, findings = load_inputs(loaded.analysis.inputs, params.inputs)
        completed = with_site(loaded.analysis, values, checked, site)
        result = run_into_folder(
            loaded,
            completed.values,
            completed.params,
            out=params.out,
            seed=seed,
            device=device,
            progress=running,
            cancel=cancel,
            findings=findings + completed.findings + known,
            sources=completed.sources,
            report=params.report,
            anonymous=params.anonymous,
        )
    if record is not None:
        record.result(result, values=values, paths=params.inputs, out=params.out, facts=facts)
    return result


def _run_apart(
    loaded: LoadedAnalysis,
    params: RunParams,
    site: Site | None,
    *,
    seed: int,
    device: Device,
    progress: Progress | None,
    cancel: Cancel | None,
    findings: tuple[Finding, ...] = (),
) -> AnalysisResult:
    """Read and run in a worker process under a deadline, and publish what comes back."""
    from protonqa.app.isolated import run_isolated

    order = CaseOrder(
        analysis=loaded.analysis.name,
        plugins=loaded.requirement,
        inputs=absolute(params.inputs),
        params=dict(params.params),
        seed=seed,
        device={"kind": device.kind, "requested": device.requested},
        report=params.report,
        anonymous=params.anonymous,
        timed=True,
        strict=True,
        site="" if site is None else str(site.path),
        site_sha256="" if site is None else site.sha256,
        findings=[finding_to_plain(one) for one in findings],
    )
    with staged_folder(params.out) as folder:
        result = run_isolated(
            loaded,
            order,
            folder,
            deadline_s=params.deadline_s or deadline_s_of(loaded),
            memory_mib=params.memory_mib or memory_mib_of(loaded, 1),
            progress=progress,
            cancel=cancel,
        )
        if params.report and not (folder / "report.pdf").is_file():
            write_result_report(result, {}, folder, anonymous=params.anonymous)
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
    sources: Mapping[str, str] | None = None,
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
    sources : mapping of str to str, optional
        Where inputs and parameters came from that the user did not give.
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
            sources=sources,
        )
        if report:
            reporting(0, 1, "report")
            write_result_report(result, values, folder, anonymous=anonymous)
    return result


def failure_of(result: AnalysisResult) -> tuple[str, str] | None:
    """(code, line) of a result in state ERROR, else None."""
    if result.state is not State.ERROR:
        return None
    error = result.provenance.get("error")
    code = str(error.get("code", "INTERNAL")) if isinstance(error, Mapping) else "INTERNAL"
    return code, result.reason
