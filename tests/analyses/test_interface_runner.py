"""Running an analysis: whatever a plugin does, a result comes back and says so (FAULTS row 38)."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from pydantic import Field

from protonqa.analyses.commissioning import commission_analysis, commissioning_to_plain
from protonqa.analyses.failures import FULL_VARIABLE, failure_line, failure_text
from protonqa.analyses.interface import AnalysisParams, Check, Commissioning, Input
from protonqa.analyses.result_json import result_from_json
from protonqa.analyses.runner import run_analysis
from protonqa.device import Device
from protonqa.errors import Cancelled, DicomError, InputError, NotEvaluableError
from protonqa.values import AnalysisResult, Finding, LineFigure, Measurement, Series, Severity, State, Timeline

CANARY = "CANARY^JANE"


class Params(AnalysisParams):
    factor: float = Field(2.0, gt=0, title="Factor", json_schema_extra={"unit": "mm"})
    names: tuple[str, ...] = ()


class Plugin:
    """An analysis whose run is given by the test."""

    name, title, version = "plugin", "A plugin", "3.1"
    inputs = (Input("timeline", Timeline), Input("more", "Volume", optional=True))
    Params = Params

    def __init__(self, run=None, commission=None):
        self._run, self._commission = run, commission

    def run(self, context):
        return self._run(context)

    def commission(self, context):
        return self._commission(context)


INPUTS = {"timeline": Timeline(irradiation_s=60, delay_s=300, acquisition_s=1200)}


def good(context):
    value = context.params.factor * context.rng().random()
    measurement = Measurement(name="x", value=value, unit="mm")
    return AnalysisResult(analysis="plugin", version="3.1", state=State.PASS, measurements={"x": measurement})


def raises(error):
    def run(context):
        raise error

    return run


def returns(value):
    return lambda _context: value


def nan_curve(context):
    x = np.array([0.0, np.nan])
    figure = LineFigure(name="f", title="", x_label="", y_label="", series=(Series(label="", x=x, y=x),))
    return AnalysisResult(analysis="plugin", version="3.1", state=State.PASS, figures=(figure,))


def test_a_run_is_traceable_and_repeatable(tmp_path):
    device = Device(kind="cpu", label="Test CPU", requested="auto", note="why")
    first, again, other = (
        run_analysis(Plugin(good), INPUTS, {"factor": 4}, seed=seed, device=device, origin="acme 1.0", out=tmp_path)
        for seed in (5, 5, 6)
    )
    assert first.value("x") == again.value("x") != other.value("x")
    known = first.provenance
    assert known["seed"] == 5
    assert known["device"] == {"kind": "cpu", "label": "Test CPU", "requested": "auto", "note": "why"}
    assert known["parameters"] == {"factor": 4.0, "names": []}
    assert known["parameter_info"]["factor"] == {"title": "Factor", "unit": "mm"}
    assert known["origin"] == "acme 1.0"
    assert {"protonqa", "python", "numpy"} <= set(known["versions"])
    assert first.timings_s["run"] >= 0
    stored = result_from_json((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert stored.value("x") == other.value("x")


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (raises(ValueError(CANARY)), "unexpected ValueError"),
        (raises(SystemExit(0)), "unexpected SystemExit"),
        (raises(MemoryError()), "unexpected MemoryError"),
        (raises(DicomError("a slice is missing", got="gap at 12 mm")), "a slice is missing, got gap at 12 mm"),
        (returns(None), "returned a value of another kind, got NoneType"),
        (returns({"state": "PASS"}), "returned a value of another kind, got dict"),
        (nan_curve, "cannot be stored"),
    ],
)
def test_a_broken_plugin_is_a_failed_result_with_its_traceback(run, reason, tmp_path):
    result = run_analysis(Plugin(run), INPUTS, out=tmp_path)
    assert result.state is State.ERROR
    assert reason in result.reason
    assert result.artefacts == {"traceback.txt": "where the analysis failed"}
    everything = "".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    assert "guarded_run" in everything
    assert CANARY not in everything


def test_missing_evidence_is_not_evaluable_with_its_reason(tmp_path):
    result = run_analysis(Plugin(raises(NotEvaluableError("no time line"))), INPUTS, out=tmp_path)
    assert (result.state, result.reason) == (State.NOT_EVALUABLE, "no time line")
    assert not (tmp_path / "traceback.txt").exists()


def test_input_errors_are_told_apart_from_faults():
    by_input = run_analysis(Plugin(raises(DicomError("bad"))), INPUTS)
    by_fault = run_analysis(Plugin(raises(KeyError("bad"))), INPUTS)
    assert by_input.provenance["error"] == {"code": "DICOM", "kind": "DicomError", "input": True}
    assert by_fault.provenance["error"] == {"code": "INTERNAL", "kind": "KeyError", "input": False}


def test_cancel_is_not_a_result(tmp_path):
    def run(context):
        context.progress(1, 2, "half")
        return good(context)

    with pytest.raises(Cancelled):
        run_analysis(Plugin(run), INPUTS, cancel=lambda: True, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_plugin_prints_stays_off_standard_output(capsys):
    def run(context):
        sys.stdout.write("noise")
        return good(context)

    run_analysis(Plugin(run), INPUTS)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "noise")


def test_findings_of_the_readers_come_first_and_once():
    seen = Finding(severity=Severity.INFO, code="A", text="seen by the reader")

    def run(context):
        result = good(context)
        return AnalysisResult(analysis="plugin", version="3.1", state=result.state, findings=(seen,))

    other = Finding(severity=Severity.WARNING, code="B", text="other")
    result = run_analysis(Plugin(run), INPUTS, input_findings=(other, seen))
    assert result.findings == (other, seen)


@pytest.mark.parametrize(
    ("inputs", "params", "message"),
    [
        ({}, {}, "input timeline is missing"),
        ({"timeline": 3}, {}, "timeline is of another kind, got int"),
        ({**INPUTS, "pet": 1}, {}, "unknown input"),
        (INPUTS, {"factr": 3}, "unknown parameter factr.*did you mean factor"),
        (INPUTS, {"factor": -1}, "parameter factor cannot be used, got -1, expected greater than 0"),
    ],
)
def test_wrong_inputs_and_parameters_are_the_callers_error(inputs, params, message):
    with pytest.raises(InputError, match=message):
        run_analysis(Plugin(good), inputs, params)


def test_parameters_of_another_analysis_are_refused():
    with pytest.raises(InputError, match="belong to another analysis"):
        run_analysis(Plugin(good), INPUTS, AnalysisParams())


def test_tracebacks_hold_frames_but_no_foreign_messages(monkeypatch):
    def fail():
        try:
            raise KeyError(CANARY)
        except KeyError as error:
            raise OSError(f"/data/{CANARY}/ct.dcm") from error

    with pytest.raises(OSError, match="CANARY") as caught:
        fail()
    text = failure_text(caught.value)
    assert "builtins.OSError" in text
    assert "builtins.KeyError" in text
    assert "in fail" in text
    assert CANARY not in text
    assert CANARY not in failure_line(caught.value)
    monkeypatch.setenv(FULL_VARIABLE, "1")
    assert CANARY in failure_text(caught.value)


def test_commissioning_compares_with_limits():
    def commission(context):
        limit = 1.0 if context.quick else 0.1
        check = Check(name="bias", value=-0.5, unit="mm", limit=limit, comparison="abs<=", title="Bias in water")
        return Commissioning(checks=(check,))

    quick = commission_analysis(Plugin(commission=commission), quick=True)
    full = commission_analysis(Plugin(commission=commission))
    assert quick.passed
    assert not full.passed
    assert commissioning_to_plain(quick)["checks"] == [
        {
            "name": "bias",
            "title": "Bias in water",
            "value": -0.5,
            "unit": "mm",
            "limit": 1.0,
            "comparison": "abs<=",
            "passed": True,
        }
    ]


@pytest.mark.parametrize("commission", [raises(ValueError(CANARY)), returns(None), returns(Commissioning(checks=()))])
def test_an_acceptance_test_that_breaks_never_passes(commission, tmp_path):
    outcome = commission_analysis(Plugin(commission=commission), out=tmp_path)
    assert not outcome.passed
    assert outcome.findings[0].severity is Severity.CRITICAL
    assert CANARY not in outcome.findings[0].text
    assert (tmp_path / "traceback.txt").exists()
