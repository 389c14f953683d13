"""``protonqa plan``, and ``protonqa simulate --ct --plan``: a field that belongs to its CT."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.dicom import read_case, read_ct
from protonqa.files.depth_profiles import read_depth_profile
from protonqa.files.metaimage import read_metaimage

# A block of soft tissue in air, off the middle: depth 0 is its skin, not the edge of the image.
PATIENT = """
name: block
size_mm: [160, 160, 120]
spacing_mm: [4, 4, 4]
background: {hu: -1000}
shapes:
  - {kind: box, hu: 40, center_mm: [8, 0, 60], size_mm: [112, 120, 96]}
"""
TARGET = ["--target-center-mm", 8, 0, 60, "--target-radius-mm", 15, "--gantry-deg", 90]


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    from protonqa.cli import main

    folder = tmp_path_factory.mktemp("patient")
    (folder / "block.yaml").write_text(PATIENT, encoding="utf-8")
    assert main(["phantom", str(folder / "block.yaml"), "--dicom", "--out", str(folder / "ct")]) == 0
    return folder / "ct"


@pytest.fixture(scope="module")
def plan(ct):
    from protonqa.cli import main

    out = ct.parent / "plan.dcm"
    assert main(["plan", "--ct", str(ct), *map(str, TARGET), "--dose-gy", "1.5", "--out", str(out)]) == 0
    return out


def test_the_plan_belongs_to_its_ct(ct, plan):
    case = read_case(ct, plan=plan)
    _, info, _ = read_ct(ct)
    assert not [one for one in case.findings if one.code.startswith("CASE-")]
    assert case.plan_info.study_uid == info.study_uid
    assert case.plan.patient_position == info.patient_position == "HFS"
    (beam,) = case.plan.beams
    assert (beam.gantry_deg, beam.couch_deg, beam.isocenter_mm) == (90.0, 0.0, (8.0, 0.0, 60.0))
    assert not beam.unsupported
    assert len(beam.layers) > 3


def test_json_says_what_was_planned_and_the_same_input_gives_the_same_file(inside, ct, plan, tmp_path):
    plain = inside("plan", "--ct", ct, *TARGET, "--dose-gy", 1.5, "--out", "again.dcm", "--json").json()
    assert (tmp_path / "again.dcm").read_bytes() == plan.read_bytes()
    assert plain["dose_center_gy"] == pytest.approx(1.5, rel=0.01)
    assert 70 <= plain["energy_low_mev"] < plain["energy_high_mev"] < 130
    assert plain["isocenter_mm"] == [8.0, 0.0, 60.0]
    assert {"HLUT-GENERIC", "BEAM-MODEL-GENERIC"} <= {one["code"] for one in plain["findings"]}
    turned = inside("plan", "--ct", ct, *TARGET[:-1], 0, "--couch-deg", 10, "--out", "turned.dcm", "--json").json()
    assert (turned["gantry_deg"], turned["couch_deg"]) == (0.0, 10.0)


def test_a_plan_is_simulated_from_the_skin(inside, ct, plan, tmp_path):
    words = ["simulate", "--ct", ct, "--plan", plan, "--protons", 3000, "--seed", 2, "--out", "out", "--json"]
    plain = inside(*words).json()
    # Gantry 90 of a patient on the back comes from the patient's left: the skin there is at x = 64.
    assert plain["depth_zero_mm"] == pytest.approx([64.0, 0.0, 60.0], abs=1e-3)
    # The centre of the target lies 56 mm behind the skin, its far end 71 mm; away from the axis the sphere ends sooner.
    assert 60.0 < plain["r80_mm"] < 75.0
    assert plain["r80_sd_mm"] is None
    assert plain["field_protons"] > 1e8
    assert {"SIM-FIELD-CURVES", "HLUT-GENERIC", "BEAM-MODEL-GENERIC"} <= {one["code"] for one in plain["findings"]}
    profile = read_depth_profile(tmp_path / "out" / "profile.csv")
    assert profile.depth_mm[0] == 0.5
    assert profile.hu[:100] == pytest.approx(np.full(100, 40.0))
    dose = read_metaimage(tmp_path / "out" / "dose.mha")
    # The dose of the whole field at the centre of the target is the planned one.
    index = np.rint(dose.grid.index_from_world((8.0, 0.0, 60.0))).astype(int)
    near = dose.array[index[2] - 2 : index[2] + 3, index[1] - 2 : index[1] + 3, index[0] - 2 : index[0] + 3]
    assert float(near.mean()) * plain["field_protons"] == pytest.approx(1.5, rel=0.15)


def test_a_pencil_beam_into_a_ct_obeys_gantry_and_isocentre(inside, ct):
    words = ["--energy-mev", 60, "--protons", 300, "--no-volumes", "--out", "out", "--json"]
    front = inside("simulate", ct, *words).json()
    assert front["depth_zero_mm"] == pytest.approx([8.0, -60.0, 60.0], abs=0.1)
    side = inside("simulate", "--ct", ct, "--gantry-deg", 270, "--isocenter-mm", 0, 10, 50, *words).json()
    assert side["depth_zero_mm"] == pytest.approx([-48.0, 10.0, 50.0], abs=1e-3)
    assert side["r80_mm"] == pytest.approx(front["r80_mm"], abs=0.2)
    assert "BEAM-MODEL-GENERIC" not in {one["code"] for one in front["findings"]}


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (
            ["--isocenter-mm", "0", "0", "900", "--energy-mev", "60"],
            2,
            "error[GEOMETRY]: the beam axis misses the body",
        ),
        (
            ["--plan", "PLAN", "--beam", "7"],
            2,
            "error[INPUT]: the plan has no such beam, got beam 7, expected one of: 1",
        ),
        (["--plan", "PLAN", "--gantry-deg", "5"], 2, "error[INPUT]: --gantry-deg belongs to a pencil beam"),
        (["--plan", "none.dcm"], 2, "error[INPUT]: there is no file or folder for the"),
        (["--plan", "PLAN", "--beam-model", "none.csv"], 2, "error[CALIBRATION]"),
    ],
)
def test_wrong_beams_are_one_line(inside, ct, plan, words, code, line):
    words = [plan if word == "PLAN" else word for word in words]
    done = inside("simulate", "--ct", ct, *words, "--protons", 10, "--out", "out")
    assert (done.code, done.out) == (code, "")
    assert done.error.startswith(line)


def test_a_plan_of_another_patient_is_refused(inside, plan, tmp_path):
    (tmp_path / "other.yaml").write_text(PATIENT.replace("block", "other"), encoding="utf-8")
    assert inside("phantom", "other.yaml", "--dicom", "--out", "other").code == 0
    done = inside("simulate", "--ct", "other", "--plan", plan, "--protons", 10, "--out", "out")
    assert done.code == 2
    assert done.error.startswith("error[DICOM]: the plan and the CT belong to different patients")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--target-center-mm", 8, 0, 500, "--target-radius-mm", 15], "error[GEOMETRY]: the target reaches outside"),
        (["--target-center-mm", -70, 0, 60, "--target-radius-mm", 5], "error[GEOMETRY]: the target is not inside"),
        (["--target-center-mm", 56, 0, 60, "--target-radius-mm", 5], "error[INPUT]: the target reaches shallower"),
        (["--target-center-mm", 8, 0, 60, "--target-radius-mm", 0], "error[USAGE]: --target-radius-mm cannot be used"),
        (["--target-center-mm", 8, 0, "--target-radius-mm", 5], "error[USAGE]: --target-center-mm is incomplete"),
        (["--target-center-mm", 8, 0, 60, "--target-radius-mm", 5, "--dose-gy", "inf"], "error[USAGE]: --dose-gy"),
    ],
)
def test_targets_that_no_field_can_treat_are_one_line(inside, ct, tmp_path, words, line):
    done = inside("plan", "--ct", ct, *words, "--gantry-deg", 90, "--out", "plan.dcm")
    assert (done.code, done.out) == (2, "")
    assert done.error.startswith(line)
    assert not (tmp_path / "plan.dcm").exists()


def test_a_plan_needs_a_dicom_ct_and_a_place(inside, ct, tmp_path):
    assert inside("plan", "--ct", "nowhere", *TARGET, "--out", "plan.dcm").error.startswith("error[INPUT]")
    (tmp_path / "file").write_text("x")
    done = inside("plan", "--ct", ct, *TARGET, "--out", "file/plan.dcm")
    assert done.code == 4
    assert done.error.startswith("error[STORE]")
