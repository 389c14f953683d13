"""What the worker processes of the window do: each task is one call of ``protonqa.app``. No Qt here.

A worker keeps the case it read last and the rays it was asked about last, so that the next task need not read again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protonqa.errors import InputError
from protonqa.jobs.cell import CellContext
from protonqa_gui import long_tasks

if TYPE_CHECKING:
    from protonqa.analyses.range_verification.estimates import RangeEstimates
    from protonqa.app.case_display import OpenedCase
    from protonqa.app.field_rays import FieldRays

CASE_INPUTS = ("ct", "pet", "plan", "dose")


#: Answers about the measured side that are kept: some windows of all pieces of a large field.
_MOST_MEASURED = 256


@dataclass
class _Desk:
    """What lies open in this worker."""

    opened: OpenedCase | None = None
    rays: tuple[str, FieldRays] | None = None
    measured: dict[tuple[Any, ...], RangeEstimates] = field(default_factory=dict)


_DESK = _Desk()


def compute(parameters: dict[str, Any], context: CellContext) -> object:
    """The function of the worker: JSON in, JSON or bytes out.

    Raises
    ------
    InputError
        An unknown task; and as the task.
    """
    given = dict(parameters)
    name = given.pop("task", "")
    task = _TASKS.get(name)
    if task is None:
        raise InputError("the worker does not know the task", got=str(name)[:40], expected=", ".join(_TASKS))
    return task(given, context)


def _open(given: dict[str, Any], context: CellContext) -> object:
    """Read a case and write its views: ``folder``, ``views`` -> what `write_display` says."""
    from protonqa.app.case_display import open_case, write_display
    from protonqa.app.progress import stages

    reading, writing = stages(context.progress, (4, 1))
    opened = open_case(Path(given["folder"]), progress=reading, cancel=context.cancelled)
    _DESK.opened = opened
    return write_display(opened, Path(given["views"]), progress=writing, cancel=context.cancelled)


def _demo(given: dict[str, Any], context: CellContext) -> object:
    """Make the demo case, unless it is there: ``folder``, ``seed``, ``protons`` -> the folder."""
    from protonqa.app.demo import make_demo_case

    folder = Path(given["folder"])
    done = folder / "complete"
    if not done.is_file():
        make_demo_case(folder, seed=given["seed"], protons=given["protons"], progress=context.progress)
        done.write_text("made by protonqa\n", encoding="utf-8")
    return str(folder)


def _list(given: dict[str, Any], context: CellContext) -> object:
    """All analyses, each with the options of its inputs, and the device and model of this computer."""
    from protonqa.analyses.registry import load_analysis
    from protonqa.app.analyses import list_analyses
    from protonqa.app.inputs import input_paths
    from protonqa.device import resolve_device
    from protonqa.errors import ProtonQAError

    found: list[dict[str, Any]] = list_analyses()["analyses"]
    for one in found:
        one["options"] = []
        if one["enabled"] and not one["problem"]:
            try:
                inputs = load_analysis(one["name"]).analysis.inputs
                required = {each.name for each in inputs if not each.optional}
                first: set[str] = set()
                for option, (name, _kind, text) in input_paths(inputs).items():
                    needed = name in required and name not in first
                    first.add(name)
                    one["options"].append({"option": option, "input": name, "help": text, "needed": needed})
            except ProtonQAError as error:
                one["problem"] = error.line()
    context.check_cancelled()
    device = resolve_device(given["device"])
    # As bytes: JSON of a worker is canonical, and the order of the parameters is the order of the form.
    about = {
        "analyses": found,
        "device": f"{device.kind}: {device.label}",
        "model": long_tasks.model_name(),
        "commissioned": long_tasks.commissioned(device),
        "trend_form": long_tasks.trend_form({}, context),
    }
    return json.dumps(about).encode("ascii")


def _run(given: dict[str, Any], context: CellContext) -> object:
    """Run an analysis: ``name``, ``inputs``, ``params``, ``out``, ``seed``, ``device`` -> where its result lies."""
    if given["name"] == "range-verification":
        return _verify(given, context)
    from protonqa.app.analyses import RunParams, run
    from protonqa.app.recording import open_recorder
    from protonqa.device import resolve_device

    params = RunParams(name=given["name"], inputs=given["inputs"], params=given["params"], out=Path(given["out"]))
    with open_recorder() as record:
        result = run(
            params,
            seed=given["seed"],
            device=resolve_device(given["device"]),
            progress=context.progress,
            cancel=context.cancelled,
            record=record,
        )
    return {"out": given["out"], "state": result.state.value, "rays": []}


def _verify(given: dict[str, Any], context: CellContext) -> object:
    from protonqa.app.field_rays import verify_with_rays
    from protonqa.app.recording import open_recorder
    from protonqa.device import resolve_device

    values, paths = _case_values(given["inputs"])
    with open_recorder() as record:
        result, rays = verify_with_rays(
            values,
            given["params"],
            out=Path(given["out"]),
            rays_folder=Path(given["rays"]),
            paths=paths,
            seed=given["seed"],
            device=resolve_device(given["device"]),
            progress=context.progress,
            cancel=context.cancelled,
            record=record,
        )
    return {"out": given["out"], "state": result.state.value, "rays": [str(path) for path in rays]}


def _case_values(inputs: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Path]]:
    """Values of range verification; the case that lies open here is not read again."""
    from protonqa.analyses.registry import load_analysis
    from protonqa.app.inputs import load_inputs

    paths = {name: Path(path) for name, path in inputs.items()}
    of_case = {name: path for name, path in paths.items() if name in CASE_INPUTS}
    wanted = load_analysis("range-verification").analysis.inputs
    opened = _DESK.opened
    if opened is None or dict(opened.paths) != of_case:
        return load_inputs(wanted, paths)[0], paths
    others = {name: path for name, path in paths.items() if name not in CASE_INPUTS}
    values, _ = load_inputs(tuple(one for one in wanted if one.name != "case"), others)
    return {**values, "case": opened.case}, paths


def _ask(given: dict[str, Any], context: CellContext) -> object:
    """A what-if question: ``rays`` (path), ``question``, ``rows`` or None, ``preview`` -> NPZ bytes."""
    from protonqa.app.what_if import WhatIf, answer, measured_under

    rays, question, preview = _rays_at(given["rays"]), WhatIf(**given["question"]), given["preview"]
    rows = None if given["rows"] is None else np.asarray(given["rows"], dtype=np.int64)
    # Most sliders leave the measured side as it is.
    key = (given["rays"], str(given["rows"]), preview, question.window_mm, question.window_end_mm, question.psf_mm)
    if key not in _DESK.measured:
        if len(_DESK.measured) >= _MOST_MEASURED:
            _DESK.measured.clear()
        _DESK.measured[key] = measured_under(rays, question, rows, preview=preview)
    found = answer(rays, question, rows, preview=preview, measured=_DESK.measured[key])
    context.check_cancelled()
    arrays: dict[str, Any] = {one.name: np.asarray(getattr(found, one.name)) for one in fields(found)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _tissues(given: dict[str, Any], _: CellContext) -> object:
    """Tissue classes of each washout model."""
    from protonqa.app.what_if import tissues_of

    return {name: list(tissues_of(name)) for name in given["models"]}


def _rays_at(path: str) -> FieldRays:
    from protonqa.app.field_rays import read_field_rays

    if _DESK.rays is None or _DESK.rays[0] != path:
        _DESK.rays = (path, read_field_rays(Path(path)))
    return _DESK.rays[1]


def _report(given: dict[str, Any], _: CellContext) -> object:
    """Write the report of a result anew: ``result``, ``inputs``, ``folder``, ``remarks`` -> its paths."""
    from protonqa.app.signed_report import Remarks, write_signed_report

    values = _case_values(given["inputs"])[0] if given["inputs"] else {}
    written = write_signed_report(
        Path(given["result"]),
        values,
        Path(given["folder"]),
        remarks=Remarks(**given["remarks"]),
        anonymous=given["anonymous"],
    )
    return {name: str(path) for name, path in written.items()}


_TASKS: dict[str, Callable[[dict[str, Any], CellContext], object]] = {
    "open": _open,
    "demo": _demo,
    "list": _list,
    "run": _run,
    "ask": _ask,
    "tissues": _tissues,
    "report": _report,
    **long_tasks.TASKS,
}
