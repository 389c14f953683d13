"""Inputs of analyses that are no patient's case: tables, graphs, series and sets of images, texts, settings, models."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from protonqa.analyses.interface import Input
from protonqa.app.case_files import describe_case
from protonqa.app.input_sources import SOURCES
from protonqa.app.inputs import load_inputs
from protonqa.errors import GeometryError, InputError, ModelFileError, ProtonQAError
from protonqa.files.metaimage import write_metaimage
from protonqa.values import Grid, Volume


def volume(value, *, nx=4, unit="Bq/ml"):
    grid = Grid(shape=(2, 3, nx), spacing_mm=(1, 1, 1), origin_mm=(0, 0, 0))
    return Volume(grid=grid, array=np.full(grid.shape, value, dtype=np.float32), unit=unit)


def loaded(kind, path):
    """The value behind a path, given as a user gives it."""
    return load_inputs((Input("x", kind),), {"x": path})[0]["x"]


def test_every_kind_that_can_be_asked_for_is_explained():
    assert [kind for kind, source in SOURCES.items() if not all(source.paths.values())] == []


def test_a_table_keeps_numbers_gaps_and_texts_apart(tmp_path):
    path = tmp_path / "nodes.csv"
    path.write_text("name,group,score,code\nA,x,1.5,1_0\nB,,,7\n")
    table = loaded("CaseTable", path)
    assert len(table) == 2
    assert table.texts("group") == ("x", "")
    np.testing.assert_array_equal(table.numbers("score"), [1.5, np.nan])
    assert table.texts("code") == ("1_0", "7"), "1_0 is no number"
    with pytest.raises(InputError, match="no column 'age', got columns name, group"):
        table.numbers("age")
    with pytest.raises(InputError, match="holds texts"):
        table.numbers("name")
    path.write_text("a\ninf\n")
    with pytest.raises(InputError):
        loaded("CaseTable", path)


def test_the_summary_of_a_batch_is_a_table(tmp_path):
    """Methods that look at many fields at once begin with what a batch wrote."""
    from protonqa.app.batch_summary import BatchSummary, CaseRow, summary_csv

    row = CaseRow(case="one", folder="one", state="PASS", measurements=(("shift", "mm", 1.25, 1.0, 1.5),))
    lost = CaseRow(case="two", folder="two", state="ERROR", reason="no PET, no plan")
    path = tmp_path / "summary.csv"
    path.write_text(summary_csv(BatchSummary(analysis="probe", rows=(row, lost))))
    table = loaded("CaseTable", path)
    np.testing.assert_array_equal(table.numbers("shift_mm"), [1.25, np.nan])
    assert table.texts("state") == ("PASS", "ERROR")


def test_a_graph_is_two_tables_and_centres_are_many(tmp_path):
    for name in ("nodes", "edges"):
        (tmp_path / name).mkdir()
        for centre in ("a", "b", "c"):
            text = "from,to,weight\n0,1,0.5\n" if name == "edges" else "dose,group\n1,x\n2,y\n"
            (tmp_path / name / f"{centre}.csv").write_text(text)
    wanted = (Input("nodes", "CaseTable", many=True), Input("edges", "CaseTable", many=True))
    found = describe_case(tmp_path, wanted)
    values, _ = load_inputs(wanted, found.inputs)
    assert [len(one) for one in values["nodes"]] == [2, 2, 2]
    assert [one.numbers("weight")[0] for one in values["edges"]] == [0.5] * 3


def test_a_series_comes_in_the_order_of_time_on_one_grid(tmp_path):
    for name, value in (("late", 2.0), ("early", 1.0)):
        write_metaimage(volume(value), tmp_path / f"{name}.mha")
    (tmp_path / "frames.csv").write_text("file,start_s,duration_s\nlate.mha,90,30\nearly.mha,30,60\n")
    series = loaded("ImageSeries", tmp_path)
    assert [float(one.array.mean()) for one in series.frames] == [1.0, 2.0]
    assert (series.start_s.tolist(), series.duration_s.tolist(), series.unit) == ([0.0, 60.0], [60.0, 30.0], "Bq/ml")
    write_metaimage(volume(2.0, nx=5), tmp_path / "late.mha")
    with pytest.raises(GeometryError, match="different grids"):
        loaded("ImageSeries", tmp_path)
    (tmp_path / "frames.csv").write_text("file,start_s\n../late.mha,90\n")
    with pytest.raises(InputError, match="outside its folder"):
        loaded("ImageSeries", tmp_path)


def test_a_set_has_a_row_of_facts_an_image(tmp_path):
    write_metaimage(volume(3.0), tmp_path / "b.mha")
    Image.fromarray(np.array([[0, 255], [51, 102]], dtype=np.uint8)).save(tmp_path / "a.png")
    assert loaded("ImageSet", tmp_path).table.texts("name") == ("a", "b")
    (tmp_path / "images.csv").write_text("file,counts,label\nb.mha,1e5,liver\na.png,,lung\n")
    images = loaded("ImageSet", tmp_path)
    assert images.table.texts("label") == ("liver", "lung")
    assert images.images[0].unit == "Bq/ml"
    np.testing.assert_allclose(images.images[1].array, [[[0.0, 1.0], [0.2, 0.4]]], rtol=1e-6)


def test_pictures_in_colour_are_three_slices_and_hostile_ones_are_refused(tmp_path):
    red = np.zeros((2, 3, 4), dtype=np.uint8)
    red[..., 0], red[..., 3] = 255, 255
    red[0, 0, 3] = 0
    Image.fromarray(red, "RGBA").save(tmp_path / "x.png")
    (picture,) = loaded("ImageSet", tmp_path).images
    assert picture.grid.shape == (3, 2, 3)
    assert (picture.array[0, 1, 1], picture.array[1].max(), picture.array[0, 0, 0]) == (1.0, 0.0, 0.0)
    Image.fromarray(red, "RGBA").save(tmp_path / "y.gif")
    (tmp_path / "x.png").write_bytes((tmp_path / "y.gif").read_bytes())
    with pytest.raises(InputError, match="expected a PNG picture"):
        loaded("ImageSet", tmp_path)
    whole = Image.fromarray(red, "RGBA")
    whole.save(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:60])
    with pytest.raises(InputError, match="expected a PNG picture"):
        loaded("ImageSet", tmp_path)


def test_a_picture_that_unpacks_to_a_flood_is_refused_before(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size < 100_000
    with pytest.raises(InputError, match="the picture cannot be used"):
        loaded("ImageSet", tmp_path)


def test_texts_know_their_language_by_their_name(tmp_path):
    (tmp_path / "comment.de.txt").write_text("Strahl\n")
    (tmp_path / "comment.v2.txt").write_text("beam\n")
    assert loaded("TextDocument", tmp_path / "comment.de.txt").language == "de"
    assert loaded("TextDocument", tmp_path / "comment.v2.txt").language == ""
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00\x00")
    with pytest.raises(InputError):
        loaded("TextDocument", tmp_path / "bad.txt")


def test_settings_know_the_folder_their_paths_count_from(tmp_path):
    (tmp_path / "study.yaml").write_text("seed: 1\n")
    settings = loaded("SettingsFile", tmp_path / "study.yaml")
    assert (settings.text, settings.folder) == ("seed: 1\n", tmp_path.resolve())
    found = describe_case(tmp_path, (Input("study", "SettingsFile"),))
    assert found.inputs == {"study": tmp_path / "study.yaml"}


def test_a_model_is_arrays_and_facts_and_no_code(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"layer.weight": np.eye(2, dtype=np.float32), "steps": np.arange(3)}, path)
    (tmp_path / "card.json").write_text(json.dumps({"name": "student", "licence": "CC0"}))
    model = loaded("TrainedModel", path)
    assert (model.name, len(model.sha256), sorted(model.tensors)) == ("student", 64, ["layer.weight", "steps"])
    assert not model.tensors["layer.weight"].flags.writeable
    assert loaded("TrainedModel", tmp_path).sha256 == model.sha256, "the folder of a run is a model too"
    save_file({"w": np.array([np.nan], dtype=np.float32)}, path)
    with pytest.raises(InputError, match="not finite"):
        loaded("TrainedModel", path)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ModelFileError, match="damaged"):
        loaded("TrainedModel", path)


@pytest.mark.parametrize("kind", sorted(SOURCES))
def test_what_is_not_there_is_one_error_of_ours(kind, tmp_path):
    first = next(iter(SOURCES[kind].paths))
    option = first or "x"
    with pytest.raises(ProtonQAError):
        load_inputs((Input("x", kind),), {option: tmp_path / "absent"})
