"""Running one analysis: whatever it does, a result comes back, complete with provenance and timings.

A plugin that raises, exits, prints or returns something else than a result gives a failed result with its traceback
in the run folder; the program goes on.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pydantic

from protonqa import __version__
from protonqa.analyses.failures import failure_line, failure_text
from protonqa.analyses.interface import (
    Analysis,
    AnalysisParams,
    CancelCallback,
    Context,
    Input,
    ProgressCallback,
)
from protonqa.analyses.result_check import check_result
from protonqa.analyses.result_json import result_to_json
from protonqa.analyses.run_folder import RESULT, TRACEBACK, write_staged
from protonqa.device import CPU, Device
from protonqa.errors import Cancelled, InputError, NotEvaluableError
from protonqa.jobs.outcome import failure_of
from protonqa.tables import TABLES_VERSION
from protonqa.values import AnalysisResult, Finding, State

_NOTHING: Mapping[str, str] = MappingProxyType({})


def run_analysis(
    analysis: Analysis,
    inputs: Mapping[str, Any],
    params: AnalysisParams | Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    device: Device = CPU,
    progress: ProgressCallback | None = None,
    cancel: CancelCallback | None = None,
    out: Path | None = None,
    origin: str = "",
    input_findings: tuple[Finding, ...] = (),
    sources: Mapping[str, str] | None = None,
    timed: bool = True,
) -> AnalysisResult:
    """Run an analysis in this process.

    Parameters
    ----------
    analysis : Analysis
    inputs : mapping of str to value objects
        By the names of ``analysis.inputs``.
    params : AnalysisParams, mapping or None
        A mapping is checked against ``analysis.Params``; None takes all defaults.
    seed, device, progress, cancel
        See `protonqa.analyses.interface.Context`.
    out : Path or None
        Gets ``result.json``, the artefacts and the ``traceback.txt`` of a failure. It is the staging folder of
        `protonqa.analyses.run_folder.staged_folder`, which writes the manifest when everything is there.
    origin : str
        Distribution the analysis came from, for the provenance.
    input_findings : tuple of Finding
        What the readers of the inputs noticed; put before the analysis's own findings, each once.
    sources : mapping of str to str, optional
        Where parameters and inputs came from that the user did not give, such as the site file; for the provenance.
    timed : bool
        False leaves out when it ran and how long it took, so that equal runs give equal bytes; a batch keeps its
        times elsewhere.

    Returns
    -------
    AnalysisResult
        Also for a failure: state ERROR, or NOT EVALUABLE where the evidence is missing.

    Raises
    ------
    InputError
        Inputs or parameters do not fit the analysis; nothing was run.
    Cancelled
        The run was stopped; nothing was marked as done.
    StoreError
        A file cannot be written.
    """
    checked = check_params(analysis, params)
    check_inputs(analysis.inputs, inputs)
    context = Context(
        inputs=inputs,
        params=checked,
        seed=seed,
        device=device,
        out=out,
        on_progress=progress,
        is_cancelled=cancel,
    )
    started, clock = datetime.now(UTC), time.perf_counter()
    result = guarded_run(analysis, context)
    known = provenance(analysis, context, started, origin) | ({"sources": dict(sources)} if sources else {})
    result = replace(
        result,
        findings=_merged(input_findings, result.findings),
        provenance={**known, **result.provenance},
        timings_s={**result.timings_s, "run": time.perf_counter() - clock},
    )
    if not timed:
        result = without_times(result)
    if out is not None:
        write_staged(out, RESULT, result_to_json(result))
    return result


def without_times(result: AnalysisResult) -> AnalysisResult:
    """The result without when it ran and how long it took: what two runs of the same work agree on."""
    return replace(
        result,
        provenance={name: value for name, value in result.provenance.items() if name != "started_utc"},
        timings_s={},
        parts=tuple(without_times(part) for part in result.parts),
    )


def _merged(first: tuple[Finding, ...], then: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(dict.fromkeys((*first, *then)))


def guarded_run(analysis: Analysis, context: Context[Any]) -> AnalysisResult:
    """Call ``run``; every exception but a cancel becomes a result that says so."""
    try:
        # What a plugin prints must not end up inside the JSON on standard output.
        with contextlib.redirect_stdout(sys.stderr):
            return check_result(analysis.run(context), out=context.out)
    except Cancelled:
        raise
    except NotEvaluableError as error:
        return failed_result(analysis, State.NOT_EVALUABLE, error)
    except (Exception, SystemExit) as error:
        artefacts = {}
        if context.out is not None:
            write_staged(context.out, TRACEBACK, failure_text(error))
            artefacts[TRACEBACK] = "where the analysis failed"
        return failed_result(analysis, State.ERROR, error, artefacts)


def failed_result(
    analysis: Analysis, state: State, error: BaseException, artefacts: Mapping[str, str] = _NOTHING
) -> AnalysisResult:
    """The result of a run that ended with an exception: its reason, and for programs the code and kind."""
    # Memory and disk that ran out have codes of their own: another run may well succeed.
    code = failure_of(error)[0]
    facts = {"code": code, "kind": type(error).__name__, "input": isinstance(error, InputError)}
    return AnalysisResult(
        analysis=analysis.name,
        title=analysis.title,
        version=analysis.version,
        state=state,
        reason=failure_line(error) or type(error).__name__,
        artefacts=artefacts,
        provenance={"error": facts},
    )


def check_params(analysis: Analysis, params: AnalysisParams | Mapping[str, Any] | None) -> AnalysisParams:
    """`params` as an instance of the analysis's schema.

    Raises
    ------
    InputError
        Unknown name (the nearest is named), wrong type or out of bounds.
    """
    if isinstance(params, AnalysisParams):
        if not isinstance(params, analysis.Params):
            raise InputError("parameters belong to another analysis", expected=f"those of {analysis.name}")
        return params
    try:
        return analysis.Params.model_validate(dict(params or {}))
    except pydantic.ValidationError as error:
        raise _params_error(error, sorted(analysis.Params.model_fields)) from error


def _params_error(error: pydantic.ValidationError, names: list[str]) -> InputError:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, names, n=1)
        remedy = f"did you mean {near[0]}?" if near else ""
        return InputError(f"unknown parameter {name[:60]}", expected=", ".join(names) or "no parameters", remedy=remedy)
    message = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return InputError(f"parameter {name[:60]} cannot be used", got=repr(first["input"])[:60], expected=message)


def check_inputs(wanted: tuple[Input, ...], given: Mapping[str, Any]) -> None:
    """Every required input is there, none is unknown, each is of its kind.

    Raises
    ------
    InputError
    """
    names = [one.name for one in wanted]
    for name in given:
        if name not in names:
            raise InputError("unknown input of the analysis", got=name[:60], expected=", ".join(names) or "no inputs")
    for one in wanted:
        value = given.get(one.name)
        if value is None or (one.many and isinstance(value, (list, tuple)) and not value):
            if one.optional:
                continue
            raise InputError(f"input {one.name} is missing", expected=one.title or one.kind_name)
        for member in value if one.many and isinstance(value, (list, tuple)) else (value,):
            if one.kind_name not in {kind.__name__ for kind in type(member).__mro__}:
                raise InputError(
                    f"input {one.name} is of another kind",
                    got=type(member).__name__,
                    expected=one.title or one.kind_name,
                )


def provenance(analysis: Analysis, context: Context[Any], started: datetime, origin: str) -> dict[str, Any]:
    """Everything needed to repeat the run: versions, tables, device, seed, parameters with title and unit."""
    dumped = context.params.model_dump(mode="json")
    return {
        "analysis": analysis.name,
        "analysis_version": analysis.version,
        "device": {
            "kind": context.device.kind,
            "label": context.device.label,
            "requested": context.device.requested,
            "note": context.device.note,
        },
        "origin": origin,
        "parameter_info": parameter_info(type(context.params)),
        "parameters": dumped,
        "seed": context.seed,
        "started_utc": started.isoformat(timespec="seconds"),
        "tables": TABLES_VERSION,
        "versions": versions(),
    }


def parameter_info(schema: type[AnalysisParams]) -> dict[str, dict[str, str]]:
    """Title and unit of each parameter."""
    info = {}
    for name, field in schema.model_fields.items():
        extra = field.json_schema_extra
        unit = extra.get("unit", "") if isinstance(extra, Mapping) else ""
        info[name] = {"title": field.title or name.replace("_", " "), "unit": str(unit)}
    return info


def versions() -> dict[str, str]:
    """Versions of what can have computed, the same whatever was loaded before in this process."""
    found = {
        "protonqa": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }
    return found | _library_versions()


@cache
def _library_versions() -> dict[str, str]:
    """From their metadata: nothing is imported."""
    found = {}
    for name in ("torch", "numba", "scipy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
