"""The analysis protocol: parameters, context, checks."""

from __future__ import annotations

import numpy as np
import pydantic
import pytest
from pydantic import Field

from protonqa.analyses.interface import Analysis, AnalysisParams, Check, Commissioning, Context, Input
from protonqa.errors import Cancelled, InputError
from protonqa.values import AnalysisResult, Finding, Severity, State


class Params(AnalysisParams):
    level_mm: float = Field(3.0, gt=0, title="Action level", json_schema_extra={"unit": "mm"})


class Nothing:
    name, title, version = "nothing", "Nothing at all", "1.0"
    inputs = (Input("case", "Case"),)
    Params = Params

    def run(self, context):
        return AnalysisResult(analysis=self.name, version=self.version, state=State.PASS)

    def commission(self, context):
        return Commissioning(checks=(Check(name="zero", value=0.0, unit="mm", limit=1.0),))


def make_context(**changes):
    return Context(**{"inputs": {}, "params": Params(), **changes})


def test_any_class_with_the_members_is_an_analysis():
    assert isinstance(Nothing(), Analysis)
    assert not isinstance(object(), Analysis)


@pytest.mark.parametrize("wrong", [{"levl_mm": 2}, {"level_mm": 0}, {"level_mm": float("nan")}, {"level_mm": "three"}])
def test_parameters_refuse_what_is_unknown_or_out_of_bounds(wrong):
    with pytest.raises(pydantic.ValidationError):
        Params(**wrong)


def test_parameters_cannot_change_after_the_run_began():
    with pytest.raises(pydantic.ValidationError):
        Params().level_mm = 5.0


def test_random_numbers_depend_on_seed_and_stream_alone():
    first, again = make_context(seed=7).rng("noise"), make_context(seed=7).rng("noise")
    assert np.array_equal(first.random(5), again.random(5))
    others = [make_context(seed=8).rng("noise"), make_context(seed=7).rng("setup"), make_context(seed=7).rng()]
    reference = make_context(seed=7).rng("noise").random(5)
    assert not any(np.array_equal(other.random(5), reference) for other in others)


def test_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed"):
        make_context(seed=-1)


def test_cancel_stops_at_the_next_progress_tick():
    ticks = []
    context = make_context(on_progress=lambda *step: ticks.append(step), is_cancelled=lambda: len(ticks) >= 2)
    context.progress(0, 10, "working")
    context.progress(1, 10, "working")
    with pytest.raises(Cancelled):
        context.progress(2, 10, "working")
    assert ticks == [(0, 10, "working"), (1, 10, "working")]


def test_inputs_are_typed_and_read_only():
    context = make_context(inputs={"params": Params()})
    assert context.input("params", Params).level_mm == 3.0
    with pytest.raises(InputError, match="params is missing or of the wrong kind"):
        context.input("params", Check)
    with pytest.raises(TypeError):
        context.inputs["more"] = 1


@pytest.mark.parametrize(
    ("comparison", "value", "limit", "passed"),
    [
        ("<=", 1.0, 1.0, True),
        ("<", 1.0, 1.0, False),
        (">=", 0.94, 0.95, False),
        (">", 2.0, 1.0, True),
        ("==", 3.0, 3.0, True),
        ("abs<=", -1.2, 1.0, False),
        ("abs<=", -0.9, 1.0, True),
        ("<=", None, 1.0, False),
    ],
)
def test_a_check_judges_itself(comparison, value, limit, passed):
    assert Check(name="x", value=value, unit="mm", limit=limit, comparison=comparison).passed is passed


def test_a_check_cannot_claim_what_its_number_denies():
    with pytest.raises(InputError, match="contradicts itself"):
        Check(name="x", value=2.0, unit="mm", limit=1.0, passed=True)
    with pytest.raises(InputError, match="unknown comparison"):
        Check(name="x", value=2.0, unit="mm", limit=1.0, comparison="about")
    with pytest.raises(InputError, match="not a finite number"):
        Check(name="x", value=float("nan"), unit="mm", limit=1.0)


def test_commissioning_without_checks_never_passes():
    finding = Finding(severity=Severity.INFO, code="X", text="x")
    assert not Commissioning(checks=(), findings=(finding,)).passed
    good, bad = (Check(name="x", value=value, unit="", limit=1.0) for value in (0.0, 2.0))
    assert Commissioning(checks=(good,)).passed
    assert not Commissioning(checks=(good, bad)).passed
