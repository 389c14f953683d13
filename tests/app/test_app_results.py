"""The flat JSON of a verification, exit codes, stages of progress, inputs from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from protonqa.analyses.interface import Input
from protonqa.app.inputs import input_paths, load_inputs
from protonqa.app.progress import CancelToken, report_progress, stages
from protonqa.app.results import exit_code, verify_to_plain
from protonqa.errors import Cancelled, InputError, PluginError
from protonqa.values import AnalysisResult, Finding, Measurement, Severity, State

KEYS = {
    "state",
    "mean_shift_mm",
    "shift_sd_mm",
    "interval_mm",
    "method_bias_mm",
    "a50_shift_mm",
    "rays_used",
    "fraction_beyond_tolerance",
    "findings",
    "timings_s",
}


def result_of(state, shift_mm, *, title="", parts=(), code="A"):
    values = {"mean_shift": shift_mm, "shift_sd": 1.1, "method_bias": 0.2, "a50_shift": -0.4, "rays_used": 120.0}
    numbers = {name: Measurement(name=name, value=value, unit="mm") for name, value in values.items()}
    numbers["mean_shift"] = Measurement(
        name="mean_shift", value=shift_mm, unit="mm", low=shift_mm - 1, high=shift_mm + 1
    )
    return AnalysisResult(
        analysis="range-verification",
        version="1",
        state=state,
        title=title,
        measurements=numbers,
        findings=(Finding(severity=Severity.INFO, code=code, text=code.lower()),),
        timings_s={"run": 1.5},
        parts=parts,
    )


def test_one_field_has_the_agreed_keys():
    plain = verify_to_plain(result_of(State.PASS, -0.5))
    assert set(plain) >= KEYS | {"fields"}
    assert (plain["state"], plain["mean_shift_mm"], plain["interval_mm"]) == ("PASS", -0.5, [-1.5, 0.5])
    assert plain["rays_used"] == 120
    assert isinstance(plain["rays_used"], int)
    assert plain["fraction_beyond_tolerance"] is None
    assert plain["findings"] == [{"severity": "info", "code": "A", "text": "a"}]
    assert len(plain["fields"]) == 1
    assert plain["fields"][0]["mean_shift_mm"] == -0.5
    json.dumps(plain, allow_nan=False)


def test_every_field_has_the_same_keys_and_its_findings_reach_the_whole():
    parts = tuple(
        result_of(state, shift, title=f"Field {n}", code=f"C{n}")
        for n, (state, shift) in enumerate([(State.PASS, 0.1), (State.FAIL, -5.0)])
    )
    plain = verify_to_plain(result_of(State.FAIL, -2.0, parts=parts))
    assert [one["state"] for one in plain["fields"]] == ["PASS", "FAIL"]
    assert all(set(one) >= KEYS for one in plain["fields"])
    assert [one["code"] for one in plain["findings"]] == ["A", "C0", "C1"]


def test_no_evidence_gives_nulls_not_zeros():
    result = AnalysisResult(analysis="x", version="1", state=State.NOT_EVALUABLE, reason="no time line")
    plain = verify_to_plain(result)
    assert plain["state"] == "NOT EVALUABLE"
    assert plain["reason"] == "no time line"
    assert all(plain[key] is None for key in ("mean_shift_mm", "interval_mm", "rays_used"))


@pytest.mark.parametrize(
    ("state", "error", "code"),
    [
        (State.PASS, {}, 0),
        (State.FAIL, {}, 1),
        (State.NOT_EVALUABLE, {}, 3),
        (State.ERROR, {"input": True}, 2),
        (State.ERROR, {"input": False}, 4),
        (State.ERROR, None, 4),
    ],
)
def test_exit_codes(state, error, code):
    result = AnalysisResult(analysis="x", version="1", state=state, reason="why", provenance={"error": error})
    assert exit_code(result) == code


def test_stages_fill_one_bar():
    steps = []
    first, second = stages(lambda done, total, text: steps.append((done, total, text)), (1, 3))
    first(5, 10, "a")
    second(0, 1, "b")
    second(4, 2, "c")
    second(1, 0, "d")
    assert steps == [(0.125, 1.0, "a"), (0.25, 1.0, "b"), (1.0, 1.0, "c"), (0.25, 1.0, "d")]


def test_a_cancel_token_stops_the_work():
    token, steps = CancelToken(), []
    report_progress(lambda *step: steps.append(step), token, 1, 2, "x")
    token.cancel()
    with pytest.raises(Cancelled):
        report_progress(lambda *step: steps.append(step), token, 2, 2)
    assert steps == [(1, 2, "x")]


def test_input_options_follow_the_kinds():
    assert list(input_paths((Input("case", "Case"),))) == ["ct", "pet", "plan", "dose"]
    two = input_paths((Input("before", "Case"), Input("after", "Case"), Input("curve", "Hlut", optional=True)))
    assert list(two)[:2] == ["before_ct", "before_pet"]
    assert list(two)[-1] == "curve"
    with pytest.raises(PluginError, match="cannot be read from a file"):
        input_paths((Input("x", "Nonsense"),))
    assert input_paths((Input("x", "Nonsense", optional=True),)) == {}


def test_missing_and_unknown_inputs_are_named():
    wanted = (Input("case", "Case"),)
    with pytest.raises(InputError, match="case is missing, expected --ct PATH"):
        load_inputs(wanted, {})
    with pytest.raises(InputError, match="case is incomplete, expected --ct PATH"):
        load_inputs(wanted, {"pet": Path("pet")})
    with pytest.raises(InputError, match="unknown input"):
        load_inputs(wanted, {"mri": Path("mri")})


@pytest.mark.parametrize(
    "kind", ["BeamModel", "Case", "DoseImage", "Hlut", "IonPlan", "PetImage", "ProfileSet", "Volume"]
)
def test_every_reader_refuses_an_absent_file_as_an_input_error(kind, tmp_path):
    wanted = (Input("x", kind),)
    option = next(iter(input_paths(wanted)))
    with pytest.raises(InputError):
        load_inputs(wanted, {option: tmp_path / "absent.mha"})


def test_profiles_and_volumes_are_loaded(tmp_path):
    import numpy as np

    from protonqa.files.metaimage import write_metaimage
    from protonqa.values import Grid, ProfileSet, Volume

    (tmp_path / "p.csv").write_text("depth_mm,activity\n0.5,1\n1.5,2\n2.5,0.5\n")
    grid = Grid(shape=(2, 2, 2), spacing_mm=(1, 1, 1), origin_mm=(0, 0, 0))
    write_metaimage(Volume(grid=grid, array=np.zeros(grid.shape), unit="HU"), tmp_path / "v.mha")
    wanted = (Input("rays", "ProfileSet"), Input("ct", "Volume"))
    values, _ = load_inputs(wanted, {"rays": tmp_path / "p.csv", "ct": tmp_path / "v.mha"})
    assert isinstance(values["rays"], ProfileSet)
    assert values["ct"].unit == "HU"


def test_rays_with_different_depths_are_not_one_profile_set(tmp_path):
    rows = ["ray,depth_mm,activity", *(f"a,{d + 0.5},1" for d in range(3)), *(f"b,{d + 0.5},1" for d in range(4))]
    (tmp_path / "p.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match="several sets of rays"):
        load_inputs((Input("rays", "ProfileSet"),), {"rays": tmp_path / "p.csv"})
