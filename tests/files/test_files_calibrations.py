"""Calibrations and cross sections: the formats of the documentation, and one clear line for everything else."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from protonqa.errors import CalibrationError
from protonqa.files.calibrations import read_beam_model, read_hlut
from protonqa.files.cross_sections import read_cross_sections_csv


def file(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_hlut_interpolates_between_its_nodes_and_stays_constant_beyond(tmp_path):
    text = "# name: Scanner A, 120 kV\n# anything else\nHU,RSP\n-1000,0.001\n0,1.0\n\n# bone\n1000,1.5\n"
    hlut = read_hlut(file(tmp_path, "h.csv", text))
    assert hlut.name == "Scanner A, 120 kV"
    assert hlut.rsp_from_hu([-3024, -500, 0, 500, 4000]) == pytest.approx([0.001, 0.5005, 1.0, 1.25, 1.5])


def test_hlut_columns_may_stand_in_any_case_and_order(tmp_path):
    hlut = read_hlut(file(tmp_path, "h.csv", "rsp,hu,note\n0.1,-900,a\n1,0,b\n"))
    assert hlut.hu.tolist() == [-900, 0]


def test_the_published_hlut_of_the_reference_data_reads(reference_data):
    hlut = read_hlut(reference_data / "physics" / "hlut_matrad_default.csv")
    assert hlut.rsp_from_hu(0.0) == pytest.approx(1.0, abs=0.01)
    assert hlut.hu[0] == -1024


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HU,SPR\n0,1\n1,1\n", "no column 'RSP'.*did you mean 'SPR'"),
        ("HU,RSP\n0,1\n", "one row only"),
        ("HU,RSP\n0,1\n-5,1\n", "-5 after 0 in line 3"),
        ("HU,RSP\n0,1\n0,2\n", "does not increase"),
        ("HU,RSP\n0,1\n5,-1\n", "-1 in line 3"),
        ("HU,RSP\n0,1\n5,1100\n", "1100 in line 3"),
        ("HU,RSP\n-1e5,1\n5,1\n", "impossible"),
        ("HU,RSP\n0,nan\n5,1\n", "line 2"),
        ("HU;RSP\n0;1\n", "semicolons"),
        ("HU,hu,RSP\n0,1,1\n", "twice"),
        ("", "empty"),
    ],
)
def test_unusable_hluts_are_calibration_errors_with_the_line(tmp_path, text, message):
    with pytest.raises(CalibrationError, match=message):
        read_hlut(file(tmp_path, "h.csv", text))


ROW = (
    "mean_mev: {m}, spread_percent: 0.8, sigma_x_mm: 5, sigma_y_mm: 5.5, "
    "divergence_x_mrad: 3, divergence_y_mrad: 2.5, protons_per_mu: 6.1e7"
)
YAML = f"""\
# commissioning of spring
name: Gantry 1
virtual_sad_mm: [2000, 1800]
range_shifter_wet_mm: {{RS20: 20.5, RS40: 41}}
energies:
  - {{nominal_mev: 70, {ROW.format(m=70.4)}}}
  - {{nominal_mev: 200, {ROW.format(m=200.9)}}}
"""
CSV_HEAD = (
    "nominal_mev,mean_mev,spread_percent,sigma_x_mm,sigma_y_mm,divergence_x_mrad,divergence_y_mrad,protons_per_mu\n"
)
CSV = (
    "# name: Gantry 1\n# virtual_sad_mm: 2000, 1800\n# range_shifter_wet_mm: RS20=20.5, RS40=41\n"
    + CSV_HEAD
    + "70,70.4,0.8,5,5.5,3,2.5,6.1e7\n200,200.9,0.8,5,5.5,3,2.5,6.1e7\n"
)


def test_beam_model_says_the_same_as_yaml_and_as_csv(tmp_path):
    models = [read_beam_model(file(tmp_path, "b.yaml", YAML)), read_beam_model(file(tmp_path, "b.csv", CSV))]
    for model in models:
        assert model.name == "Gantry 1"
        assert model.virtual_sad_mm == (2000, 1800)
        assert model.range_shifter_wet_mm == (("RS20", 20.5), ("RS40", 41.0))
        assert model.generic is False
        at = model.at(135)
        assert at["mean_mev"] == pytest.approx(135.65)
        assert (at["sigma_x_mm"], at["sigma_y_mm"]) == (5, 5.5)
        assert (at["divergence_x_mrad"], at["divergence_y_mrad"]) == (3, 2.5)
        assert (at["spread_percent"], at["protons_per_mu"]) == (0.8, 6.1e7)


def test_optional_parts_of_a_beam_model_may_be_absent(tmp_path):
    bare = YAML.split("\n", 4)[4]
    model = read_beam_model(file(tmp_path, "b.yml", bare))
    assert model.virtual_sad_mm == (2000.0, 2000.0)
    assert model.range_shifter_wet_mm == ()
    assert read_beam_model(file(tmp_path, "b.csv", CSV.split("\n", 3)[3])).name == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("virtual_sad_mm", "virtual_sad", "unknown key 'virtual_sad'.*line 3.*did you mean 'virtual_sad_mm'"),
        ("sigma_y_mm: 5.5", "sigma_z_mm: 5.5", "unknown key 'sigma_z_mm'.*did you mean 'sigma_"),
        ("energies:", "energy:", "did you mean 'energies'"),
        (", protons_per_mu: 6.1e7", "", "no key 'protons_per_mu'.*line 6"),
        ("mean_mev: 70.4", "mean_mev: seventy", "not a number.*'seventy' in line 6"),
        ("mean_mev: 70.4", "mean_mev: .nan", "not a number"),
        ("mean_mev: 70.4", "mean_mev: [1, 2]", "not a number.*a list"),
        ("mean_mev: 70.4", "mean_mev: !!python/object/apply:os.system [x]", "not a number"),
        ("mean_mev: 70.4", "mean_mev: 0", "impossible mean_mev.*line 6"),
        ("sigma_x_mm: 5,", "sigma_x_mm: -5,", "impossible sigma_x_mm"),
        ("nominal_mev: 200", "nominal_mev: 60", "60 after 70 in line 7"),
        ("[2000, 1800]", "[2000]", "pair of distances.*line 3"),
        ("[2000, 1800]", "2000", "else than a list"),
        ("[2000, 1800]", "[2000, 0]", "pair of distances"),
        ("RS40: 41", "RS20: 41", "key twice"),
        ("RS40: 41", "RS40: -1", "WET"),
        ("name: Gantry 1", "name: [a]", "else than one text.*line 2"),
        ("name: Gantry 1", "name: {", "not valid YAML"),
        ("name: Gantry 1", "name: x\nname: y", "key twice"),
    ],
)
def test_unusable_beam_model_yaml_names_line_and_nearest_key(tmp_path, old, new, message):
    assert old in YAML
    with pytest.raises(CalibrationError, match=message) as caught:
        read_beam_model(file(tmp_path, "b.yaml", YAML.replace(old, new)))
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(
    "text", ["", "# only\n", "energies: []\n", "- 1\n", "energies: 3\n", "a: b\n---\nc: d\n", "[" * 100_000]
)
def test_yaml_that_is_no_beam_model_is_refused(tmp_path, text):
    with pytest.raises(CalibrationError):
        read_beam_model(file(tmp_path, "b.yaml", text))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sigma_y_mm", "sigma_y", "no column 'sigma_y_mm'.*did you mean 'sigma_y'"),
        ("200,200.9", "60,200.9", "60 after 70 in line 6"),
        ("200,200.9", "200,0", "impossible value.*0 in line 6"),
        ("2000, 1800", "2000", "pair of distances.*line 2"),
        ("2000, 1800", "far, 1800", "not a number.*line 2"),
        ("RS40=41", "RS40", "not a number.*line 3"),
        ("RS40=41", "RS20=41", "different names"),
    ],
)
def test_unusable_beam_model_csv_names_the_line(tmp_path, old, new, message):
    with pytest.raises(CalibrationError, match=message):
        read_beam_model(file(tmp_path, "b.csv", CSV.replace(old, new)))


def test_cross_sections_by_channel_in_order(tmp_path):
    text = "channel,energy_MeV,xs_mb,note\np+16O->15O,20,0,a\np+16O->15O,30,70.5,b\n"
    text += "p+12C->11C,20,5,c\np+12C->11C,40,90,d\n"
    table = read_cross_sections_csv(file(tmp_path, "x.csv", text))
    assert list(table) == ["p+16O->15O", "p+12C->11C"]
    energy_mev, xs_mb = table["p+16O->15O"]
    assert (energy_mev.tolist(), xs_mb.tolist()) == ([20, 30], [0, 70.5])


def test_cross_sections_of_the_reference_data_read(reference_data):
    gate = read_cross_sections_csv(reference_data / "physics" / "beta_emitter_xs_gate.csv")
    assert {k: v[0].size for k, v in gate.items()} == {"p+12C->11C": 36, "p+16O->11C": 37, "p+16O->15O": 50}
    recommended = read_cross_sections_csv(reference_data / "physics" / "beta_emitter_xs_recommended.csv")
    assert len(recommended) == 11
    # README of the tables: the mean of the series at 56-64 MeV is 61 to 72 mb.
    assert 60 < np.interp(60, *recommended["p+16O->15O"]) < 73


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("channel,energy_mev,xs_mb\np+16O->15O,20,0\n", "no column 'energy_MeV'.*did you mean 'energy_mev'"),
        ("channel,energy_MeV,xs_mb\n16O->15O,20,0\n", "'16O->15O' in line 2"),
        ("channel,energy_MeV,xs_mb\n,20,0\n", "not one"),
        ("channel,energy_MeV,xs_mb\np+16O->15O,20,0\n", "at least two"),
        ("channel,energy_MeV,xs_mb\np+16O->15O,20,0\np+16O->15O,20,1\n", "line 3"),
        ("channel,energy_MeV,xs_mb\np+16O->15O,20,-1\np+16O->15O,21,1\n", "-1 in line 2"),
        ("channel,energy_MeV,xs_mb\np+16O->15O,20,0\np+16O->15O,2e7,1\n", "2e"),
        ("channel,energy_MeV,xs_mb\np+16O->15O,20,x\n", "'x' in line 2"),
    ],
)
def test_unusable_cross_sections_are_calibration_errors_with_the_line(tmp_path, text, message):
    with pytest.raises(CalibrationError, match=message):
        read_cross_sections_csv(file(tmp_path, "x.csv", text))


def test_the_examples_of_the_documentation_read(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "calibrations.md"
    blocks = re.findall(r"```(?:text|yaml)\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    hlut, yaml, csv, cross_sections = blocks
    assert read_hlut(file(tmp_path, "h.csv", hlut)).hu.size == 5
    models = [read_beam_model(file(tmp_path, "b.yaml", yaml)), read_beam_model(file(tmp_path, "b.csv", csv))]
    assert models[0].at(145) == models[1].at(145)
    assert list(read_cross_sections_csv(file(tmp_path, "x.csv", cross_sections))) == ["p+16O->15O"]
