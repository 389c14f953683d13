"""Parts of the window by themselves: slices, sliders, forms, figures, commands."""

from __future__ import annotations

import shlex

import numpy as np
import pytest

from protonqa.app.batch_file import read_batch_file
from protonqa.values import Bar, BarFigure, ImageFigure, LineFigure, Mark, Series
from protonqa_gui.bev_map import BevMap
from protonqa_gui.command_text import batch_file, command_line
from protonqa_gui.display_case import VIEW_AXES, DisplayVolume
from protonqa_gui.figure_plots import figure_widget
from protonqa_gui.job_strip import duration
from protonqa_gui.schema_form import SchemaForm
from protonqa_gui.theme import DARK, LIGHT
from protonqa_gui.value_slider import ValueSlider
from protonqa_gui.what_if_controls import WhatIfControls
from tests.gui.made_rays import made_rays

SCHEMA = {
    "properties": {
        "tolerance_mm": {
            "type": "number",
            "default": 3.0,
            "exclusiveMinimum": 0,
            "maximum": 50,
            "title": "Action level",
            "unit": "mm",
        },
        "beam": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}], "default": None, "title": "Beam"},
        "method": {"type": "string", "enum": ["auto", "model", "a50"], "default": "auto"},
        "volumes": {"type": "boolean", "default": True},
        "center_mm": {"anyOf": [{"type": "array"}, {"type": "null"}], "default": None},
        "phantom": {"type": "string", "default": "water"},
    }
}


@pytest.fixture
def volume() -> DisplayVolume:
    """The value of each voxel tells where it is: x + 100 y + 10000 z in voxels."""
    z, y, x = np.meshgrid(np.arange(4), np.arange(5), np.arange(6), indexing="ij")
    return DisplayVolume(
        name="ct",
        unit="HU",
        array=x + 100.0 * y + 10000.0 * z,
        spacing_mm=(1.0, 2.0, 3.0),
        origin_mm=(-10.0, -20.0, -30.0),
        low=0.0,
        high=30405.0,
    )


def test_a_value_is_read_where_the_voxel_lies(volume):
    assert volume.value_at(np.array([-7.2, -14.1, -23.0])) == 3 + 100 * 3 + 10000 * 2
    assert volume.value_at(np.array([-11.0, -14.0, -23.0])) is None


@pytest.mark.parametrize("view", VIEW_AXES)
def test_a_slice_lies_where_its_rectangle_says(volume, view):
    """First and last pixel of each view, against the voxels whose place is known."""
    axis, right, up = VIEW_AXES[view]
    plane = volume.plane(axis, 1)
    step = (1.0, 100.0, 10000.0)
    assert plane[0, 0] == step[axis]
    assert plane[-1, -1] == step[axis] + step[right] * (volume.count(right) - 1) + step[up] * (volume.count(up) - 1)
    left, low, width, height = volume.rect_mm(view)
    assert (left, low) == (volume.extent_mm(right)[0], volume.extent_mm(up)[0])
    assert width / plane.shape[1] == pytest.approx(volume.spacing_mm[right])
    assert height / plane.shape[0] == pytest.approx(volume.spacing_mm[up])


def test_between_slices_the_overlay_is_the_weighted_mean(volume):
    position = volume.position_mm(2, 1.25)
    assert np.allclose(volume.plane_at(2, position) - volume.plane(2, 1), 2500.0)
    assert volume.plane_at(2, 100.0) is None


def test_form_gives_back_only_what_differs(qtbot):
    form = SchemaForm()
    qtbot.addWidget(form)
    form.set_schema(SCHEMA)
    assert (form.values(), form.problems()) == ({}, [])
    form.set_value("tolerance_mm", 2.5)
    form.set_value("beam", 2)
    form.set_value("method", "a50")
    form.set_value("volumes", False)
    form.set_value("center_mm", [1.0, 2.0, 3.0])
    expected = {"tolerance_mm": 2.5, "beam": 2, "method": "a50", "volumes": False, "center_mm": [1.0, 2.0, 3.0]}
    assert form.values() == expected
    form.reset()
    assert form.values() == {}


@pytest.mark.parametrize(("name", "value"), [("beam", "-1"), ("beam", "two"), ("beam", "1.5"), ("tolerance_mm", 0.0)])
def test_form_names_what_cannot_be_used(qtbot, name, value):
    form = SchemaForm()
    qtbot.addWidget(form)
    form.set_schema(SCHEMA)
    form.set_value(name, value)
    assert len(form.problems()) == 1
    assert SCHEMA["properties"][name]["title"] in form.problems()[0]


def test_command_line_is_read_by_the_command_as_it_was_meant():
    from protonqa.analyses.registry import load_analysis
    from protonqa.cli.run import _app_of

    params = {"tolerance_mm": 2.5, "method": "a50", "beam": 1}
    inputs = {"ct": "/a folder/ct", "plan": "/a folder/it's.dcm"}
    words = shlex.split(command_line("range-verification", inputs, params, "out", seed=4))
    assert words[:3] == ["protonqa", "run", "range-verification"]
    app = _app_of(load_analysis("range-verification").analysis)
    _, bound, _ = app.parse_args(words[3:], exit_on_error=False, print_error=False)
    given = bound.arguments
    assert str(given["inputs"].plan) == "/a folder/it's.dcm"
    assert {name: getattr(given["options"], name) for name in params} == params
    assert given["common"].seed == 4


def test_batch_file_is_read_by_the_batch_as_it_was_meant(tmp_path):
    path = tmp_path / "BATCH.yaml"
    inputs = {"ct": "C:\\case: 1\\ct", "pet": '/a "b"/pet'}
    path.write_text(batch_file("range-verification", "no: 1", inputs, {"method": "a50"}, seed=7), encoding="utf-8")
    read = read_batch_file(path)
    assert (read.analysis, read.seed, read.params) == ("range-verification", 7, {"method": "a50"})
    assert (read.cases[0].name, read.cases[0].inputs) == ("no: 1", inputs)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda one: one.name)
def test_every_kind_of_figure_is_drawn(qtbot, theme):
    x = np.arange(10.0)
    left = Series(label="a", x=x, y=x, low=x - 1, high=x + 1)
    right = Series(label="b", x=x, y=x, style="points", axis="right")
    line = LineFigure(
        name="l",
        title="L",
        x_label="x",
        y_label="y",
        series=(left, right),
        marks=(Mark(label="R80", x=4.0),),
        y2_label="r",
    )
    holes = np.array([[1.0, np.nan], [-2.0, 3.0]])
    image = ImageFigure(
        name="i", title="I", x_label="x", y_label="y", image=holes, extent_mm=(0, 2, 0, 2), unit="mm", diverging=True
    )
    bars = BarFigure(name="b", title="B", x_label="x", y_label="", bars=(Bar(label="one", low=-1, high=2),), base=0.0)
    for figure in (line, image, bars):
        widget = figure_widget(figure, theme)
        qtbot.addWidget(widget)
        picture = widget.grab().toImage()
        colours = {picture.pixel(px, py) for px in range(0, picture.width(), 7) for py in range(0, picture.height(), 7)}
        assert len(colours) > 2


def test_a_click_in_the_map_finds_its_ray(qtbot):
    rays = made_rays(side=6)
    bev = BevMap()
    qtbot.addWidget(bev)
    bev.set_rays(rays)
    for row in (0, 7, 35):
        x, y = rays.lateral_mm[row]
        assert bev.row_at(x + 1.5, y - 1.5) == row
    assert bev.row_at(100.0, 0.0) == -1


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_slider_tells_while_it_moves_and_when_it_rests(qtbot, logarithmic):
    slider = ValueSlider(1, 1000, decimals=2, logarithmic=logarithmic)
    qtbot.addWidget(slider)
    moved, rested = [], []
    slider.moving.connect(moved.append)
    slider.settled.connect(rested.append)
    slider.slide_to(100)
    assert moved == [pytest.approx(100, rel=0.01)]
    assert rested == []
    slider.release()
    assert rested == [pytest.approx(100, rel=0.01)]
    slider.set_value(5)
    assert len(moved) + len(rested) == 2
    assert slider.value() == 5


def test_changes_of_a_question_are_undone_and_done_again(qtbot):
    controls = WhatIfControls()
    qtbot.addWidget(controls)
    controls.set_rays(made_rays())
    first = controls.question()
    controls.set_window(100.0, 20.0)
    controls.sliders["delay_s"]._box.setValue(600.0)
    second = controls.question()
    assert (second["delay_s"], second["window_mm"]) == (600.0, 100.0)
    controls.undo.undo()
    assert controls.question()["delay_s"] == first["delay_s"]
    controls.undo.undo()
    assert controls.question() == first
    controls.undo.redo()
    controls.undo.redo()
    assert controls.question() == second
    controls.back_to_measurement()
    assert controls.question() == first


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (61, "61 s"), (185, "3 min"), (5400, "1 h 30 min")])
def test_time_left_in_words(seconds, text):
    assert duration(seconds) == text


def test_a_change_in_the_form_is_undone_and_a_reset_is_one_step(qtbot):
    form = SchemaForm()
    qtbot.addWidget(form)
    form.set_schema(SCHEMA)
    form.set_value("tolerance_mm", 2.0)
    form.set_value("method", "a50")
    form.reset()
    assert form.values() == {}
    form.undo.undo()
    assert form.values() == {"tolerance_mm": 2.0, "method": "a50"}
    form.undo.undo()
    assert form.values() == {"tolerance_mm": 2.0}
    form.set_value("volumes", False)
    form.undo.undo()
    assert form.values() == {"tolerance_mm": 2.0}
