"""One case of a batch, in whatever process has time: described, read, analysed, written; a bad case is a result too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from protonqa.analyses.commissioning import commission_analysis, outcome_to_plain
from protonqa.analyses.registry import LoadedAnalysis, load_analysis
from protonqa.analyses.result_json import finding_from_plain, result_to_json
from protonqa.analyses.run_folder import RESULT, write_staged
from protonqa.analyses.runner import check_params, failed_result, run_analysis, versions
from protonqa.app.case_files import DescribedCase, describe_case
from protonqa.app.inputs import load_inputs
from protonqa.app.labels import performed_of
from protonqa.app.site_values import SiteValues, with_site
from protonqa.device import Device, resolve_device
from protonqa.errors import (
    Cancelled,
    DeviceError,
    InputError,
    ModelError,
    NotEvaluableError,
    ProtonQAError,
    StoreError,
)
from protonqa.files.atomic import write_manifest
from protonqa.jobs.cell import CellContext
from protonqa.jobs.outcome import MEMORY
from protonqa.site.reading import Site, read_site
from protonqa.tables import TABLES_VERSION
from protonqa.values import AnalysisResult, Finding, State

#: What the runner calls in its workers.
FUNCTION = "protonqa.app.case_run:run_case"
COMMISSION = "protonqa.app.case_run:commission_case"


class OutOfMemory(ProtonQAError):  # noqa: N818  told apart by its code
    """A worker has used up what it may take."""

    code = MEMORY


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOrder:
    """Everything that one run on one case depends on; plain JSON on its way to a worker.

    Parameters
    ----------
    analysis : str
    plugins : tuple of str
        Enabled third-party distributions, as ``distribution==version``.
    path : str
        Folder, archive or file of the case; empty where `inputs` name everything.
    inputs : mapping of option to path, or to a list of paths
        Given by name; they go before what is found in `path`.
    select : mapping of option to pattern
    params : mapping
        Common to the batch; the case file goes before them.
    own_params : mapping
        Of this case; they go before its case file.
    seed : int
    own_seed : int or None
    device : mapping
        ``kind`` and ``requested``.
    report, anonymous : bool
    timed : bool
        Whether the result says when it ran; False gives equal bytes for equal work.
    strict : bool
        Files that cannot be read are an error; else they are a result, as a batch needs it.
    site : str
        The site file; empty where there is none.
    site_sha256 : str
        What it must hold: a configuration that changes under a batch would mix results.
    findings : list of mapping
        What was known before the case was read, such as the last commissioning; they join those of the result.
    """

    analysis: str
    plugins: tuple[str, ...] = ()
    path: str = ""
    inputs: Mapping[str, str | list[str]] = field(default_factory=dict)
    select: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    own_params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    own_seed: int | None = None
    device: Mapping[str, str] = field(default_factory=lambda: {"kind": "cpu", "requested": "cpu"})
    report: bool = False
    anonymous: bool = False
    timed: bool = False
    strict: bool = False
    site: str = ""
    site_sha256: str = ""
    findings: list[dict[str, str]] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        """As parameters of a cell."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in plain.items()} | {
            "plugins": list(self.plugins)
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> CaseOrder:
        """From the parameters of a cell; what the order does not know belongs to the batch."""
        known = {name: plain[name] for name in cls.__slots__ if name in plain}
        return cls(**{**known, "plugins": tuple(known.get("plugins", ()))})


def run_case(parameters: dict[str, Any], context: CellContext) -> dict[str, Any]:
    """Compute one case; the files of its folder and the row of the summary come back.

    Raises
    ------
    StoreError, DeviceError, OutOfMemory
        The computer failed, not the case: another run may succeed.
    Cancelled
    """
    order = CaseOrder.from_plain(parameters)
    return compute_case(_analysis(order.analysis, order.plugins), order, context)


def commission_case(parameters: dict[str, Any], context: CellContext) -> dict[str, Any]:
    """The acceptance test of an analysis, in this worker.

    Raises
    ------
    Cancelled
    """
    order = CaseOrder.from_plain(parameters)
    outcome = commission_analysis(
        _analysis(order.analysis, order.plugins).analysis,
        seed=order.seed,
        device=device_of(order.device),
        quick=bool(parameters["quick"]),
        progress=context.progress,
        cancel=context.cancelled,
        out=context.folder,
    )
    return outcome_to_plain(outcome)


def compute_case(loaded: LoadedAnalysis, order: CaseOrder, context: CellContext) -> dict[str, Any]:
    """As `run_case`, with the analysis at hand."""
    folder, device = context.folder, device_of(order.device)
    described = DescribedCase(inputs={}, found="")
    values: Mapping[str, Any] = {}
    try:
        described = _described(loaded, order)
        params = check_params(loaded.analysis, {**order.params, **described.params, **order.own_params})
        context.progress(0.0, 1.0, "reading")
        values, findings = load_inputs(loaded.analysis.inputs, described.inputs)
        completed = with_site(loaded.analysis, values, params, _site_of(order))
        values = completed.values
        seed = next(one for one in (order.own_seed, described.seed, order.seed) if one is not None)
        result = _analysed(loaded, order, completed, findings, seed, device, context)
    except (InputError, ModelError, NotEvaluableError) as error:
        if order.strict:
            raise
        # Files that cannot be used: the case has failed, and says why in a result as any other.
        result = _refused(loaded, order, error)
        write_staged(folder, RESULT, result_to_json(result))
    _raise_if_transient(result)
    if order.report:
        from protonqa.app.result_report import write_result_report

        write_result_report(result, values, folder, anonymous=order.anonymous)
    write_manifest(folder, flush=False)
    performed = performed_of(values)
    return row_of(result, described.found) | ({"performed": performed.isoformat()} if performed is not None else {})


def device_of(wanted: Mapping[str, str]) -> Device:
    """The device of a batch, found again in this process.

    Raises
    ------
    DeviceError
        This computer would take another one than the rest of the batch.
    """
    device = resolve_device(wanted["requested"] or wanted["kind"])
    if device.kind != wanted["kind"]:
        raise DeviceError(
            "a worker has another device than the batch was started for",
            got=device.kind,
            expected=wanted["kind"],
            remedy="name the device with --device",
        )
    return device


def row_of(result: AnalysisResult, found: str = "") -> dict[str, Any]:
    """What the summary of a batch says of a result; plain JSON, and nothing of it depends on time."""
    error = result.provenance.get("error")
    facts = error if isinstance(error, Mapping) else {}
    findings = dict.fromkeys([*result.findings, *(one for part in result.parts for one in part.findings)])
    return {
        "state": result.state.value,
        "reason": result.reason,
        "code": str(facts.get("code", "")),
        "by_input": bool(facts.get("input", False)),
        "version": result.version,
        "seed": result.provenance.get("seed"),
        "found": found,
        "findings": [[one.severity.value, one.code] for one in findings],
        "measurements": [
            [one.name, one.unit, _plain(one.value), _plain(one.low), _plain(one.high)]
            for one in result.measurements.values()
        ],
        "artefacts": sorted(result.artefacts),
    }


def _plain(value: float | None) -> float | None:
    return None if value is None else float(value)


@lru_cache(maxsize=8)
def _analysis(name: str, plugins: tuple[str, ...]) -> LoadedAnalysis:
    # Looking through all installed distributions takes longer than a small case.
    return load_analysis(name, plugins)


def _described(loaded: LoadedAnalysis, order: CaseOrder) -> DescribedCase:
    given = {
        option: tuple(Path(one) for one in paths) if isinstance(paths, list) else Path(paths)
        for option, paths in order.inputs.items()
    }
    if not order.path:
        return DescribedCase(inputs=given, found=", ".join(sorted(given)))
    found = describe_case(Path(order.path), loaded.analysis.inputs, order.select)
    return DescribedCase(inputs={**found.inputs, **given}, params=found.params, seed=found.seed, found=found.found)


def _analysed(
    loaded: LoadedAnalysis,
    order: CaseOrder,
    completed: SiteValues,
    findings: tuple[Finding, ...],
    seed: int,
    device: Device,
    context: CellContext,
) -> AnalysisResult:
    return run_analysis(
        loaded.analysis,
        completed.values,
        completed.params,
        seed=seed,
        device=device,
        progress=context.progress,
        cancel=context.cancelled,
        out=context.folder,
        origin=loaded.origin,
        input_findings=findings + completed.findings + tuple(map(finding_from_plain, order.findings)),
        sources=completed.sources,
        timed=order.timed,
    )


def _site_of(order: CaseOrder) -> Site | None:
    """The site file of the order, which must still be what it was.

    Raises
    ------
    StoreError
        It has changed: the computer's fault, not the case's.
    """
    if not order.site:
        return None
    site = _site(order.site)
    if site.sha256 != order.site_sha256:
        raise StoreError(
            "the site file or a file it names has changed since the batch began",
            remedy="choose another --out for the new configuration",
        )
    return site


@lru_cache(maxsize=2)
def _site(path: str) -> Site:
    return read_site(Path(path))


def _refused(loaded: LoadedAnalysis, order: CaseOrder, error: ProtonQAError) -> AnalysisResult:
    """The result of a case that could not be read: nothing was computed, but what would have is on record."""
    state = State.NOT_EVALUABLE if isinstance(error, NotEvaluableError) else State.ERROR
    result = failed_result(loaded.analysis, state, error)
    known = {"seed": order.seed, "origin": loaded.origin, "tables": TABLES_VERSION, "versions": versions()}
    return replace(result, provenance={**known, **result.provenance})


def _raise_if_transient(result: AnalysisResult) -> None:
    """What another run may mend is no result of the case."""
    error = result.provenance.get("error")
    code = error.get("code") if result.state is State.ERROR and isinstance(error, Mapping) else ""
    if code == MEMORY:
        raise OutOfMemory(
            "the case needs more memory than its worker may take",
            remedy="use fewer workers, more --memory-mib, or a smaller case",
        )
    if code in (StoreError.code, DeviceError.code):
        kind = StoreError if code == StoreError.code else DeviceError
        raise kind(result.reason)
    if code == Cancelled.code:
        raise Cancelled(result.reason)
