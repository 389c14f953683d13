"""Results as JSON, their schema check, and the folder they lie in."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protonqa.analyses.result_check import check_result
from protonqa.analyses.result_json import result_from_json, result_id, result_to_json, to_plain
from protonqa.analyses.run_folder import staged_folder
from protonqa.errors import InputError, PluginError, StoreError
from protonqa.files.atomic import check_manifest
from protonqa.values import (
    AnalysisResult,
    Finding,
    ImageFigure,
    LineFigure,
    Mark,
    Measurement,
    Series,
    Severity,
    State,
    Table,
)


def make_result(**changes):
    x = np.arange(4) / 3.0
    image = np.array([[0.1, np.nan], [-2.5, 1 / 3]])
    values = {
        "analysis": "range-verification",
        "version": "1.0",
        "title": "Range",
        "state": State.PASS,
        "measurements": {"b": Measurement(name="b", value=1 / 3, unit="mm", low=0.1, high=0.5, confidence=0.95)},
        "tables": (Table(name="t", title="T", columns=("a", "b"), rows=((1, None), (np.float64(0.1), "x"))),),
        "figures": (
            ImageFigure(
                name="map", title="M", x_label="x", y_label="y", image=image, extent_mm=(-2, 2, -1, 1), unit="mm"
            ),
            LineFigure(
                name="ray",
                title="R",
                x_label="x",
                y_label="y",
                series=(Series(label="a", x=x, y=x**2, low=x - 1, high=x + 1, style="steps", axis="right"),),
                marks=(Mark(label="R80", x=0.7, low=0.6),),
            ),
        ),
        "findings": (Finding(severity=Severity.WARNING, code="GENERIC-HLUT", text="generic"),),
        "provenance": {"seed": 3, "parameters": {"z": 1, "a": (1.5, None)}},
        "timings_s": {"run": 0.25},
    }
    return AnalysisResult(**{**values, **changes})


def test_round_trip_keeps_every_number_to_the_last_bit():
    result = make_result(parts=(make_result(state=State.NOT_EVALUABLE, reason="no time line"),))
    text = result_to_json(result)
    back = result_from_json(text)
    assert result_to_json(back) == text
    assert back.measurements["b"].value == 1 / 3
    assert np.array_equal(back.figures[0].image, result.figures[0].image, equal_nan=True)
    assert np.array_equal(back.figures[1].series[0].y, result.figures[1].series[0].y)
    assert back.parts[0].state is State.NOT_EVALUABLE


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_any_finite_numbers_survive(numbers):
    table = Table(name="t", title="", columns=("x",), rows=tuple((number,) for number in numbers))
    back = result_from_json(result_to_json(make_result(tables=(table,), figures=())))
    assert [row[0] for row in back.tables[0].rows] == numbers


def test_json_has_a_stable_order_and_no_nan():
    first = make_result(provenance={"b": 1, "a": {"d": 2, "c": 3}})
    second = make_result(provenance={"a": {"c": 3, "d": 2}, "b": 1})
    assert result_to_json(first) == result_to_json(second)
    assert result_id(first) == result_id(second) != result_id(make_result(title="Other"))
    json.loads(result_to_json(first), parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan"), object(), {1, 2}])
def test_values_that_no_reader_can_use_are_refused(value):
    with pytest.raises(InputError):
        to_plain({"a": [value]}, "provenance")


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"schema": "protonqa.result/9"}', '{"schema": "protonqa.result/1"}', "[" * 5000]
)
def test_damaged_json_is_a_store_error(text):
    with pytest.raises(StoreError):
        result_from_json(text)


def bad_line(**changes):
    x = np.arange(3.0)
    series = Series(**{"label": "a", "x": x, "y": x, **changes})
    return (LineFigure(name="f", title="", x_label="", y_label="", series=(series,)),)


def bad_image(**changes):
    values = {"image": np.zeros((2, 2)), "extent_mm": (0, 1, 0, 1), **changes}
    return (ImageFigure(name="m", title="", x_label="", y_label="", unit="mm", **values),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"figures": bad_line(y=np.array([0, np.nan, 1]))}, "cannot be stored"),
        ({"figures": bad_line(y=np.zeros(2))}, "uneven arrays"),
        ({"figures": bad_line(style="wiggly")}, "unknown style"),
        ({"figures": bad_image(image=np.zeros(3))}, "without two axes"),
        ({"figures": bad_image(image=np.full((2, 2), np.inf))}, "cannot be stored"),
        ({"figures": bad_image(extent_mm=(1, 0, 0, 1))}, "without an extent"),
        ({"figures": ("picture.png",)}, "figure of another kind"),
        ({"measurements": {"a": Measurement(name="b", value=1.0, unit="mm")}}, "wrong name"),
        ({"measurements": {"a": Measurement(name="a", value=1.0, unit="mm", low=2, high=1)}}, "upside down"),
        ({"measurements": {"a": 3.0}}, "wrong name or of another kind"),
        ({"tables": (Table(name="t", title="", columns=("x",), rows=((np.nan,),)),)}, "cannot be stored"),
        ({"findings": ["careful"]}, "members of another kind"),
        ({"provenance": {"model": object()}}, "cannot be stored"),
        ({"state": "PASS"}, "state of another kind"),
        ({"artefacts": {"../escape.txt": "x"}}, "outside its folder"),
        ({"artefacts": {"missing.txt": "x"}}, "does not exist"),
        ({"parts": (make_result(measurements={"a": 1}),)}, "wrong name"),
    ],
)
def test_what_is_not_a_result_is_named(changes, message, tmp_path):
    with pytest.raises(PluginError, match=message):
        check_result(make_result(**changes), out=tmp_path)


def test_a_whole_result_passes_the_check(tmp_path):
    (tmp_path / "dose.mha").write_bytes(b"x")
    result = make_result(artefacts={"dose.mha": "dose"})
    assert check_result(result, out=tmp_path) is result
    for other in (None, 3, {"state": "PASS"}):
        with pytest.raises(PluginError, match="value of another kind"):
            check_result(other)


def test_folder_is_a_result_only_when_whole(tmp_path):
    out = tmp_path / "out"
    with staged_folder(out) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text("1")
        (folder / "old.txt").write_text("1")
        assert not (out / "manifest.json").exists()
    assert {entry.file for entry in check_manifest(out).entries} == {"sub/a.txt", "old.txt"}
    (out / "notes.txt").write_text("mine")
    with staged_folder(out) as folder:
        (folder / "new.txt").write_text("2")
    names = {path.name for path in out.iterdir() if path.is_file()}
    assert names == {"manifest.json", "new.txt", "notes.txt"}, "files of the old result go, those of the user stay"


def test_a_failing_run_leaves_the_old_result_whole(tmp_path):
    with staged_folder(tmp_path) as folder:
        (folder / "a.txt").write_text("old")

    def failing_run():
        with staged_folder(tmp_path) as folder:
            (folder / "a.txt").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing_run()
    check_manifest(tmp_path)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert not list(tmp_path.glob(".partial-*"))


def test_an_output_folder_that_is_a_file_is_refused_before_computing(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="output folder cannot be written"), staged_folder(tmp_path / "file"):
        pytest.fail("the block must not run")


def test_result_with_other_numpy_types_is_stored():
    result = dataclasses.replace(make_result(), provenance={"n": np.int64(3), "ok": np.True_, "v": np.arange(2)})
    assert json.loads(result_to_json(result))["provenance"] == {"n": 3, "ok": True, "v": [0, 1]}
