"""Which file of a case is which input: by case file, selector, name and DICOM content, never by a guess."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime

import numpy as np
import pytest

from protonqa.analyses.interface import Input
from protonqa.app.case_files import describe_case
from protonqa.dicom.inventory import inventory
from protonqa.errors import InputError
from protonqa.values import (
    Beam,
    Case,
    EnergyLayer,
    Grid,
    Hlut,
    IonPlan,
    PatientIdentity,
    PetImage,
    ProfileSet,
    TextDocument,
    Timeline,
    Volume,
)

VERIFY = (
    Input("case", Case),
    Input("expected", PetImage, optional=True),
    Input("hlut", Hlut, optional=True),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small CT, plan, dose and PET as DICOM files of one patient."""
    from protonqa.dicom.write_ct import write_ct
    from protonqa.dicom.write_dose import write_dose
    from protonqa.dicom.write_identity import DicomIdentity
    from protonqa.dicom.write_pet import write_pet
    from protonqa.dicom.write_plan import write_plan

    out = tmp_path_factory.mktemp("made")
    grid = Grid(shape=(4, 6, 6), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(0.0, 0.0, 0.0))
    moment = datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
    who = PatientIdentity(patient_id="P1", name="DOE^JANE", birth_date="19700101")
    identity = DicomIdentity.new(seed="case", patient=who, study_time=moment, patient_position="HFS")
    write_ct(Volume(grid=grid, array=np.zeros(grid.shape), unit="HU"), out / "ct", identity=identity)
    layer = EnergyLayer(energy_mev=80.0, spot_xy_mm=np.zeros((1, 2)), meterset_mu=np.ones(1))
    beam = Beam(number=1, name="b", gantry_deg=0.0, couch_deg=0.0, isocenter_mm=(8.0, 8.0, 8.0), layers=(layer,))
    info = write_plan(IonPlan(patient_position="HFS", beams=(beam,)), out / "plan.dcm", identity=identity)
    dose = Volume(grid=grid, array=np.ones(grid.shape), unit="Gy")
    uid = info.sop_instance_uids[0]
    write_dose(dose, out / "dose.dcm", identity=identity, plan_uid=uid, beam_number=1)
    timeline = Timeline(irradiation_s=60, delay_s=120, acquisition_s=600)
    pet = Volume(grid=grid, array=np.ones(grid.shape), unit="Bq/ml")
    write_pet(pet, out / "pet", identity=identity, timeline=timeline, irradiation_end=moment)
    return out


def copy(made, case, **places):
    """Files of the made case under other names: copy(made, case, ct="a/b", plan="x.dcm")."""
    import shutil

    for kind, place in places.items():
        source = made / (kind if (made / kind).is_dir() else f"{kind}.dcm")
        target = case / place
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    return case


def test_dicom_is_found_by_content_whatever_the_names(made, tmp_path):
    case = copy(made, tmp_path / "c", ct="study 1/series 7", pet="study 2/a", plan="study 1/x/RP.1", dose="z")
    (case / "notes.txt").write_text("hello")
    found = describe_case(case, VERIFY)
    assert found.inputs == {
        "ct": case / "study 1" / "series 7",
        "pet": case / "study 2" / "a",
        "plan": case / "study 1" / "x" / "RP.1",
        "dose": case / "z",
    }
    assert found.found == "ct 4 files, dose, pet 4 files, plan"
    held = inventory(case)
    assert (held.strangers, held.other) == (1, 0)


def test_one_folder_and_one_archive_with_everything(made, tmp_path):
    flat = tmp_path / "flat"
    for kind in ("ct", "pet"):
        for number, path in enumerate(sorted((made / kind).iterdir())):
            copy_to = flat / f"{kind}{number}.dcm"
            copy_to.parent.mkdir(exist_ok=True)
            copy_to.write_bytes(path.read_bytes())
    copy(made, flat, plan="p.dcm", dose="d.dcm")
    found = describe_case(flat, VERIFY)
    assert found.inputs == {"ct": flat, "pet": flat, "plan": flat / "p.dcm", "dose": flat / "d.dcm"}
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in flat.iterdir():
            archive.write(path, path.name)
    whole = tmp_path / "all.zip"
    assert describe_case(whole, (Input("case", Case),)).inputs == dict.fromkeys(("ct", "pet", "plan", "dose"), whole)


def test_two_candidates_are_a_question_and_not_a_choice(made, tmp_path):
    case = copy(made, tmp_path / "DOE^JANE", ct="a", plan="p.dcm", pet="b")
    other = copy(made, case, plan="q.dcm")
    with pytest.raises(InputError, match="2 candidates for the plan") as told:
        describe_case(other, VERIFY)
    assert "JANE" not in told.value.line()
    assert describe_case(case, VERIFY, {"plan": "Q*"}).inputs["plan"] == case / "q.dcm"
    (case / "case.yaml").write_text("inputs: {plan: p.dcm}\n")
    assert describe_case(case, VERIFY, {"plan": "Q*"}).inputs["plan"] == case / "p.dcm"
    with pytest.raises(InputError, match="the selector of pet fits 0 entries"):
        describe_case(case, VERIFY, {"pet": "nothing*"})


def test_names_of_inputs_count_and_optional_ones_are_never_guessed(made, tmp_path):
    case = copy(made, tmp_path / "c", ct="CT", pet="pet", plan="plan.dcm")
    (case / "hlut.csv").write_text("HU,RSP\n-1000,0\n0,1\n")
    found = describe_case(case, VERIFY).inputs
    # The one PET is what was measured; nothing was expected.
    assert set(found) == {"ct", "pet", "plan", "hlut"}
    copy(made, case, pet="expected")
    assert describe_case(case, VERIFY).inputs["expected"] == case / "expected"
    assert describe_case(case, VERIFY).inputs["pet"] == case / "pet"


def test_a_case_without_its_ct_says_so(made, tmp_path):
    with pytest.raises(InputError, match="the case holds nothing for case"):
        describe_case(copy(made, tmp_path / "c", plan="p.dcm"), VERIFY)


def test_a_localiser_and_a_single_image_are_no_second_ct(made, tmp_path):
    import pydicom

    case = copy(made, tmp_path / "c", ct="ct images", plan="p.dcm")
    image = pydicom.dcmread(sorted((case / "ct images").iterdir())[0])
    image.SeriesInstanceUID = image.SeriesInstanceUID + ".9"
    image.save_as(case / "single.dcm")
    image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    image.SeriesInstanceUID = image.SeriesInstanceUID + ".8"
    image.save_as(case / "scout.dcm")
    assert describe_case(case, VERIFY).inputs["ct"] == case / "ct images"


def test_a_series_number_far_behind_private_elements_is_found(made, tmp_path):
    """A head of 8 kB does not reach the series when a private block stands before it."""
    import pydicom

    case = copy(made, tmp_path / "c", ct="images")
    for path in (case / "images").iterdir():
        image = pydicom.dcmread(path)
        block = image.private_block(0x0011, "TEST", create=True)
        block.add_new(1, "OB", b"\0" * 20_000)
        image.save_as(path)
    held = inventory(case)
    assert [len(one.files) for one in held.of_kind("ct")] == [4]


def test_plain_files_by_their_ending(tmp_path):
    profiles, text = (Input("profiles", ProfileSet),), (Input("comments", TextDocument, many=True),)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "depth.csv").write_text("depth_mm,activity\n0.5,1\n1.5,1\n")
    assert describe_case(tmp_path / "a", profiles).inputs == {"profiles": tmp_path / "a" / "depth.csv"}
    (tmp_path / "a" / "other.csv").write_text("x\n")
    with pytest.raises(InputError, match="2 candidates for profiles"):
        describe_case(tmp_path / "a", profiles)
    assert describe_case(tmp_path / "a" / "depth.csv", profiles).inputs == {"profiles": tmp_path / "a" / "depth.csv"}
    folder = tmp_path / "b" / "comments"
    folder.mkdir(parents=True)
    for name in ("2.de.txt", "1.en.txt"):
        (folder / name).write_text(name)
    assert describe_case(tmp_path / "b", text).inputs == {"comments": (folder / "1.en.txt", folder / "2.de.txt")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("inputs: {plan: nowhere.dcm}\n", "names a path for plan that is not there"),
        ("input: {}\n", "did you mean 'inputs'"),
        ("seed: -1\n", "seed is wrong"),
        ("params: !!python/name:os.system {}\n", "uses a tag"),
    ],
)
def test_a_wrong_case_file_is_told(made, tmp_path, content, message):
    case = copy(made, tmp_path / "c", ct="ct")
    (case / "case.yaml").write_text(content)
    with pytest.raises(InputError, match=message):
        describe_case(case, VERIFY)


def test_a_folder_that_is_one_case_is_one_case(made, tmp_path):
    from protonqa.app.batch_table import cases_below

    one = copy(made, tmp_path / "one", ct="ct", plan="plan.dcm")
    assert [case.name for case in cases_below(one, VERIFY)] == ["one"]
    flat = copy(made, tmp_path / "flat", plan="x")
    assert [case.name for case in cases_below(flat, VERIFY)] == ["flat"]
    copy(made, tmp_path / "many", ct="A/images")
    copy(made, tmp_path / "many", ct="B/images")
    assert [case.name for case in cases_below(tmp_path / "many", VERIFY)] == ["A", "B"]
