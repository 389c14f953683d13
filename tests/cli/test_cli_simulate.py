"""``protonqa simulate`` and ``protonqa phantom`` from outside: keys, columns, exit codes, one-line errors."""

from __future__ import annotations

import csv
import json

import pytest

from protonqa.dicom import read_ct
from protonqa.files.metaimage import read_metaimage
from protonqa.physics.stopping import csda_range_water_mm

COLUMNS = (
    "depth_mm,idd_mev_per_mm,dose_mev_cm2_per_g,c11_per_mm,n13_per_mm,o15_per_mm,c10_per_mm,o14_per_mm,p30_per_mm,"
    "k38_per_mm,hu,rsp"
)
KEYS = {"protons", "seconds", "protons_per_second", "r80_mm", "r90_mm", "device", "seed", "energy_balance"}
BLOCK = "name: block\nsize_mm: [60, 60, 60]\nspacing_mm: [4, 4, 4]\nbackground: {material: water}\n"


@pytest.fixture
def block(tmp_path):
    (tmp_path / "block.yaml").write_text(BLOCK, encoding="utf-8")
    return "block.yaml"


def test_simulate_writes_the_promised_files_and_one_json_object(shell, block, tmp_path):
    words = ["--energy-mev", 60, "--protons", 300, "--seed", 4, "--threads", 1, "--out", "out", "--json"]
    done = shell("simulate", block, *words, "--progress")
    assert done.code == 0
    plain = done.json()
    assert set(plain) >= KEYS
    assert (plain["protons"], plain["seed"], plain["device"]) == (300, 4, "cpu")
    assert plain["r80_mm"] == pytest.approx(float(csda_range_water_mm(60.0)), abs=0.3)
    assert sum(plain["energy_balance"].values()) == pytest.approx(1.0, abs=5e-3)
    assert plain["protons_per_second"] == pytest.approx(300 / plain["seconds"])
    assert "% simulating protons" in done.err
    with (tmp_path / "out" / "profile.csv").open(encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert ",".join(rows[0]) == COLUMNS
    assert [float(row[0]) for row in rows[1:4]] == [0.5, 1.5, 2.5]
    for name in ("dose", "c11", "n13", "o15", "c10", "o14", "p30", "k38"):
        assert read_metaimage(tmp_path / "out" / f"{name}.mha").grid.shape == (15, 15, 15)


def test_the_same_seed_gives_the_same_profile(inside, block, tmp_path):
    words = ["simulate", block, "--energy-mev", 60, "--protons", 200, "--no-volumes", "--threads", 1, "--seed", 9]
    assert inside(*words, "--out", "one").code == 0
    assert inside(*words, "--out", "two").code == 0
    first, second = ((tmp_path / name / "profile.csv").read_bytes() for name in ("one", "two"))
    assert first == second


def test_text_names_range_energy_and_findings(inside, block):
    done = inside("simulate", block, "--energy-mev", 230, "--protons", 2000, "--no-volumes", "--out", "out")
    assert done.code == 0
    assert "block: no R80" in done.out
    assert "warning: The depth dose has no R80" in done.out


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["block.yaml", "--energy-mev", "0.9"], 2, "error[USAGE]: --energy-mev cannot be used, got '0.9'"),
        (["block.yaml", "--energy-mev", "300.1"], 2, "error[USAGE]: --energy-mev cannot be used, got '300.1'"),
        (["block.yaml", "--energy-mev", "nan"], 2, "error[USAGE]: --energy-mev cannot be used, got 'nan'"),
        (["block.yaml"], 2, "error[INPUT]: the energy is missing"),
        ([], 2, "error[INPUT]: there is nothing to simulate"),
        (["watr", "--energy-mev", "60"], 2, "error[INPUT]: unknown phantom, got 'watr'"),
        (["block.yaml", "extra", "--energy-mev", "60"], 2, "error[USAGE]: unexpected argument, got 'extra'"),
        (["block.yaml", "--energy-mev", "60", "--cross-sections", "x.csv"], 2, "error[CALIBRATION]"),
        (["block.yaml", "--energy-mev", "60", "--hlut", "none.csv"], 2, "error[CALIBRATION]"),
        (["block.yaml", "--energy-mev", "60", "--enrgy-mev", "3"], 2, "error[USAGE]: unknown option"),
    ],
)
def test_wrong_requests_are_one_line(inside, block, tmp_path, words, code, line):
    done = inside("simulate", *words, "--protons", 10, "--out", "out", "--json")
    assert (done.code, done.out) == (code, "")
    assert done.error.startswith(line)
    assert not (tmp_path / "out" / "result.json").exists()


def test_no_protons_and_no_folder(inside, block, tmp_path):
    assert inside("simulate", block, "--energy-mev", 60, "--protons", 0, "--out", "o").code == 2
    assert inside("simulate", block, "--energy-mev", 60, "--protons", 5).error.startswith("error[USAGE]: --out")
    (tmp_path / "file").write_text("x")
    refused = inside("simulate", block, "--energy-mev", 60, "--protons", 5, "--out", "file")
    assert refused.code == 4
    assert refused.error.startswith("error[STORE]: the output folder cannot be written")


def test_a_phantom_as_metaimage_names_what_the_export_changes(inside, block, tmp_path):
    done = inside("phantom", block, "--out", "out", "--spacing-mm", 10, 10, 20, "--json")
    plain = done.json()
    assert (plain["voxels"], plain["files"]) == ([6, 6, 3], ["ct.mha"])
    assert [one["code"] for one in plain["findings"]] == ["PHANTOM-EXPORT-RSP"]
    assert "reads back as RSP 1.024" in plain["findings"][0]["text"]
    ct = read_metaimage(tmp_path / "out" / "ct.mha")
    assert ct.unit == "HU"
    assert not ct.array.any()


def test_a_phantom_as_dicom_reads_back_and_repeats(inside, tmp_path):
    words = ["phantom", "slab", "--spacing-mm", 20, 20, 20, "--dicom", "--out"]
    assert inside(*words, "one").code == 0
    assert inside(*words, "two").code == 0
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == [f"IM{index + 1:04d}.dcm" for index in range(19)]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    ct, info, findings = read_ct(tmp_path / "one")
    assert (ct.grid.shape, info.patient_position, info.patient.patient_id) == ((19, 6, 6), "HFS", "PHANTOM-slab")
    assert sorted(set(ct.array[:, 0, 0].tolist())) == [-740.0, 0.0, 1000.0]
    assert findings == ()
    # A shorter series takes the place of the longer one as a whole.
    assert inside("phantom", "slab", "--spacing-mm", 20, 20, 38, "--dicom", "--out", "one").code == 0
    assert len(list((tmp_path / "one").iterdir())) == 10


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["abdomn"], "error[INPUT]: unknown phantom, got 'abdomn'"),
        (["twin:one"], "error[INPUT]: the seed of a twin is not a whole number"),
        (["none.yaml"], "error[INPUT]: phantom file is not there"),
        (["block.yaml", "--spacing-mm", "7", "7", "7"], "error[GEOMETRY]"),
        (["block.yaml", "--spacing-mm", "0", "4", "4"], "error[USAGE]: --spacing-mm cannot be used, got '0'"),
        (["block.yaml", "--spacing-mm", "4", "4"], "error[USAGE]: --spacing-mm is incomplete"),
        ([], "error[USAGE]: SOURCE is missing"),
    ],
)
def test_wrong_phantoms_are_one_line(inside, block, words, line):
    done = inside("phantom", *words, "--out", "out")
    assert (done.code, done.out) == (2, "")
    assert done.error.startswith(line)


def test_a_line_in_a_phantom_file_is_named(inside, tmp_path):
    (tmp_path / "p.yaml").write_text(
        BLOCK + "shapes:\n  - {kind: box, hu: 3, centre_mm: [0, 0, 5], size_mm: [1, 1, 1]}\n"
    )
    done = inside("phantom", "p.yaml", "--out", "out")
    assert done.code == 2
    assert "line 6" in done.error
    assert "center_mm" in done.error


def test_a_foreign_series_is_never_replaced(inside, block, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "IM0001.dcm").write_bytes(b"somebody else's")
    done = inside("phantom", block, "--dicom", "--out", "out")
    assert done.code == 4
    assert "another origin" in done.error
    assert (out / "IM0001.dcm").read_bytes() == b"somebody else's"


def test_the_analysis_montecarlo_runs_from_the_command_line(inside, block, tmp_path):
    words = ["--phantom", block, "--energy-mev", 60, "--protons", 200, "--no-report", "--out", "out", "--json"]
    plain = inside("run", "montecarlo", *words).json()
    assert plain["state"] == "PASS"
    assert plain["measurements"]["r80"]["unit"] == "mm"
    stored = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert stored["provenance"]["parameters"]["phantom"] == block
