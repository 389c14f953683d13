"""Tasks of hours and of the results store: studies, batches, acceptance tests, control charts. No Qt here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from protonqa.errors import Cancelled, InputError
from protonqa.jobs.cell import CellContext

if TYPE_CHECKING:
    from protonqa.device import Device
    from protonqa.jobs.progress import JobProgress

VERIFY = "range-verification"


def study_size(given: dict[str, Any], _: CellContext) -> object:
    """How large a study is: ``text`` (YAML), ``folder`` its paths count from."""
    from protonqa.app import study_size as sizes

    return sizes.study_size(given["text"], Path(given["folder"])).to_plain()


def study_template(_: dict[str, Any], __: CellContext) -> object:
    """A commented study file."""
    from protonqa.app.study import template_text

    return template_text()


def study(given: dict[str, Any], context: CellContext) -> object:
    """Compute a study: ``file``, ``out``, ``workers``, ``seed``, ``device``."""
    from protonqa.app.study import StudyRunParams, run_study
    from protonqa.device import resolve_device

    params = StudyRunParams(study=Path(given["file"]), out=Path(given["out"]), workers=given["workers"])
    found = run_study(
        params,
        seed=given["seed"],
        device=resolve_device(given["device"]),
        progress=context.progress,
        cancel=context.cancelled,
    )
    return {"out": given["out"], "state": found.result.state.value, "reason": found.result.reason}


def batch(given: dict[str, Any], context: CellContext) -> object:
    """Run a batch file: ``file``, ``out``, ``workers``, ``seed``, ``device``, ``report`` -> its summary."""
    from protonqa.app.batch import BatchParams
    from protonqa.app.batch import batch as run
    from protonqa.app.recording import open_recorder
    from protonqa.device import resolve_device

    def told(state: JobProgress) -> None:
        last = "" if state.latest is None else f"; {state.latest.cell_id}"
        context.progress(state.finished, max(state.total, 1), state.text() + last)

    params = BatchParams(
        source=Path(given["file"]), out=Path(given["out"]), workers=given["workers"], report=given["report"]
    )
    with open_recorder() as record:
        found = run(
            params,
            seed=given["seed"],
            device=resolve_device(given["device"]),
            progress=told,
            cancel=context.cancelled,
            record=record,
        )
    if context.cancelled():
        raise Cancelled("stopped by the user")
    return {**found.to_plain(), "page": str(found.out / "summary.html")}


def commission(given: dict[str, Any], context: CellContext) -> object:
    """Run the acceptance test of an analysis: ``name``, ``quick``, ``out``, ``device``, ``seed``."""
    from protonqa.app.commission import CommissionParams
    from protonqa.app.commission import commission as run
    from protonqa.app.recording import open_recorder
    from protonqa.device import resolve_device

    params = CommissionParams(names=(given["name"],), quick=given["quick"], out=Path(given["out"]))
    with open_recorder() as record:
        found = run(
            params,
            seed=given["seed"],
            device=resolve_device(given["device"]),
            progress=context.progress,
            cancel=context.cancelled,
            record=record,
        )
        stored = record.to_plain()
    return {**found.to_plain(), **stored, "out": given["out"]}


def commissionings(_: dict[str, Any], __: CellContext) -> object:
    """The stored acceptance tests, newest first; none where there is no store yet."""
    from protonqa.app.history import commissioning_to_plain, list_commissionings
    from protonqa.errors import ProtonQAError

    try:
        return {"rows": [commissioning_to_plain(one) for one in list_commissionings()], "problem": ""}
    except ProtonQAError as error:
        return {"rows": [], "problem": error.line()}


def trend_form(_: dict[str, Any], __: CellContext) -> object:
    """The parameters of control charts as a JSON schema; as text, because its order is that of the form."""
    import json

    from protonqa.app.trend_values import TrendParams

    return json.dumps(TrendParams.model_json_schema())


def trend(given: dict[str, Any], _: CellContext) -> object:
    """Control charts: ``params``, ``folder`` -> state, and the page for a text view."""
    from datetime import UTC, datetime

    from pydantic import ValidationError

    from protonqa.app.trend import trend as run
    from protonqa.app.trend_page import trend_document
    from protonqa.app.trend_values import TrendParams
    from protonqa.report.preview import preview_html

    folder = Path(given["folder"])
    try:
        params = TrendParams.model_validate(given["params"])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = " ".join(str(one) for one in first["loc"])
        raise InputError(f"{place} cannot be used", got=str(first["input"])[:60], expected=str(first["msg"])) from error
    found = run(params, out=folder)
    page = preview_html(trend_document(found, created=datetime.now(UTC)))
    return {"state": found.state.value, "page": page, "pdf": str(folder / "trend.pdf")}


def commissioned(device: Device) -> dict[str, Any]:
    """Whether range verification passed its acceptance test here: ``passed`` (None: not known) and a ``text``."""
    from protonqa.analyses.registry import load_analysis
    from protonqa.app.recording import open_recorder

    analysis = load_analysis(VERIFY).analysis
    with open_recorder() as record:
        findings = record.commissioning(analysis.name, analysis.version, device)
    text = "; ".join(one.text for one in findings)
    good = bool(findings) and all(one.severity.value == "info" for one in findings)
    return {"passed": True if good else None, "text": text}


def model_name() -> str:
    """Name of the range model that comes with the program, ``none`` where there is none; its weights are not read."""
    import json
    from importlib.resources import files

    card = files("protonqa.range_model").joinpath("weights", "card.json")
    try:
        return str(json.loads(card.read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError):
        return "none"


TASKS = {
    "study-size": study_size,
    "study-template": study_template,
    "study": study,
    "batch": batch,
    "commission": commission,
    "commissionings": commissionings,
    "trend-form": trend_form,
    "trend": trend,
}
