"""The site file: found in one order, wrong keys told by their line, and nothing ever taken from a neighbour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field

from protonqa.analyses.interface import AnalysisParams, Input
from protonqa.app.plugins import allowed_plugins
from protonqa.app.site_values import with_site
from protonqa.errors import CalibrationError, InputError
from protonqa.site.choice import ct_calibration, machine, pet_scanner
from protonqa.site.reading import (
    CONFIG_VARIABLE,
    chosen_site_file,
    current_site,
    read_site,
    site_file,
    template,
)
from protonqa.values import (
    Beam,
    BeamModel,
    Case,
    EnergyLayer,
    Grid,
    Hlut,
    IonPlan,
    PetImage,
    PetTiming,
    SeriesInfo,
    Volume,
)

SITE = """
name: Test clinic
ct_scanners:
  - name: CT 1
    manufacturer: SIEMENS*
    model: SOMATOM*
    calibrations:
      - {protocol: "*", hlut: all.csv}
      - {protocol: "Head*", hlut: head.csv}
  - name: CT 2
    manufacturer: GE*
    calibrations: [{protocol: "Body", hlut: all.csv}]
pet_scanners:
  - {name: PET 1, manufacturer: SIEMENS*, model: Biograph*, psf_mm: 4.5}
machines:
  - {name: Gantry 1, treatment_machine: GTR1, beam_model: gantry.yaml, tolerance_mm: 2.5}
  - {name: Gantry 2, treatment_machine: GTR2}
tolerances: {range_mm: 4.0}
plugins: [acme-qa == 1.2.0]
"""
BEAM_MODEL = """
name: Gantry 1
energies:
  - {nominal_mev: 70, mean_mev: 70.4, spread_percent: 0.9, sigma_x_mm: 6.5, sigma_y_mm: 6.6,
     divergence_x_mrad: 3.1, divergence_y_mrad: 3.0, protons_per_mu: 5.8e7}
  - {nominal_mev: 220, mean_mev: 220.6, spread_percent: 0.5, sigma_x_mm: 3.1, sigma_y_mm: 3.1,
     divergence_x_mrad: 2.0, divergence_y_mrad: 2.0, protons_per_mu: 1.1e8}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "all.csv").write_text("HU,RSP\n-1000,0\n0,1\n3000,2.5\n")
    (tmp_path / "head.csv").write_text("HU,RSP\n-1000,0\n0,1.01\n3000,2.6\n")
    (tmp_path / "gantry.yaml").write_text(BEAM_MODEL)
    (tmp_path / "site.yaml").write_text(SITE)
    return tmp_path


@pytest.fixture
def site(folder):
    return read_site(folder / "site.yaml")


def case(*, ct: tuple[str, str, str], pet: tuple[str, str] = ("SIEMENS", "Biograph 128"), machines=("GTR1",)) -> Case:
    grid = Grid(shape=(2, 2, 2), spacing_mm=(1, 1, 1), origin_mm=(0, 0, 0))
    layer = EnergyLayer(energy_mev=80.0, spot_xy_mm=np.zeros((1, 2)), meterset_mu=np.ones(1))
    beams = tuple(
        Beam(number=n + 1, name="b", gantry_deg=0, couch_deg=0, isocenter_mm=(0, 0, 0), layers=(layer,), machine=name)
        for n, name in enumerate(machines)
    )
    image = PetImage(
        volume=Volume(grid=grid, array=np.ones(grid.shape), unit="Bq/ml"),
        timing=PetTiming(decay_correction="NONE"),
        info=SeriesInfo(modality="PT", manufacturer=pet[0], model=pet[1]),
    )
    return Case(
        ct=Volume(grid=grid, array=np.zeros(grid.shape), unit="HU"),
        ct_info=SeriesInfo(modality="CT", manufacturer=ct[0], model=ct[1], protocol=ct[2]),
        plan=IonPlan(patient_position="HFS", beams=beams),
        pet=image,
    )


SOMATOM_HEAD = ("Siemens Healthineers", "SOMATOM go.Open", "HeadRoutine")


class Params(AnalysisParams):
    beam: int | None = None
    psf_mm: float | None = Field(None, ge=0, json_schema_extra={"site": "pet_psf_mm"})
    tolerance_mm: float = Field(3.0, gt=0, json_schema_extra={"site": "range_tolerance_mm"})
    other: int = 1


class Asks:
    """Any analysis: what makes it use the site file stands in its schema and inputs alone."""

    name, title, version = "asks", "Asks", "1"
    inputs = (Input("case", Case), Input("hlut", Hlut, optional=True), Input("model", BeamModel, optional=True))
    Params = Params


# ---- finding it


def test_the_file_is_found_by_option_then_variable_then_user_folder(folder, tmp_path, monkeypatch):
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setattr("protonqa.site.reading.user_site_file", lambda: own / "site.yaml")
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    assert site_file() is None
    assert current_site() is None
    (own / "site.yaml").write_text("name: own\n")
    assert current_site().settings.name == "own"
    monkeypatch.setenv(CONFIG_VARIABLE, str(folder / "site.yaml"))
    assert current_site().settings.name == "Test clinic"
    (tmp_path / "third.yaml").write_text("name: third\n")
    with chosen_site_file(tmp_path / "third.yaml"):
        assert current_site().settings.name == "third"
        assert current_site(own / "site.yaml").settings.name == "own"
    assert current_site().settings.name == "Test clinic"
    monkeypatch.setenv(CONFIG_VARIABLE, "")
    assert current_site() is None, "set and empty means: none, wherever one may lie"
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "absent.yaml"))
    with pytest.raises(InputError, match="the site file is not there"):
        current_site()


# ---- what is wrong in it


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("psf_mm: 4.5", "psf_m: 4.5", r"unknown key 'psf_m' in pet_scanners\[1\] \(line 14.*did you mean 'psf_mm'"),
        ("machines:", "machine:", r"unknown key 'machine' in the document \(line 15.*did you mean 'machines'"),
        ("psf_mm: 4.5", "psf_mm: 45", r"pet_scanners\[1\] psf_mm is wrong \(line 14"),
        ("psf_mm: 4.5", "psf_mm: .nan", r"psf_mm is wrong \(line 14"),
        ('protocol: "Head*", ', "", r"key 'protocol' is missing in ct_scanners\[1\] calibrations\[2\] \(line 9"),
        ("hlut: head.csv", "hlut: hed.csv", r"names a file that cannot be read \(line 9"),
        ("name: Gantry 2", "name: gantry 1", r"two of machines have one name \(line 17"),
        ("acme-qa == 1.2.0", "acme-qa", r"a plugin is enabled without its version \(line 19"),
        ("range_mm: 4.0", "range_mm: -1", r"tolerances range_mm is wrong \(line 18"),
        ("name: Test clinic", "name: [", "not valid YAML"),
        ("name: Test clinic", "name: !!python/name:os.system x", "uses a tag in line 2"),
        ("tolerances: {range_mm: 4.0}", "store: {url: 'mysql://h/d'}", r"the store is no database address \(line 18"),
        ("tolerances: {range_mm: 4.0}", "pacs: [{name: a, ae_title: A, host: h, port: 0}]", r"pacs\[1\] port is wrong"),
        ("tolerances: {range_mm: 4.0}", r'pacs: [{name: a, ae_title: "A\\B", host: h, port: 1}]', "ae_title is wrong"),
    ],
)
def test_the_first_error_is_told_with_its_line(folder, old, new, message):
    assert old in SITE
    (folder / "site.yaml").write_text(SITE.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_site(folder / "site.yaml")


def test_an_empty_file_and_the_template_are_sound(folder):
    (folder / "empty.yaml").write_text("# nothing yet\n")
    assert read_site(folder / "empty.yaml").settings.ct_scanners == []
    for name in ("hlut_head.csv", "hlut_body.csv"):
        (folder / name).write_text("HU,RSP\n-1000,0\n0,1\n")
    (folder / "gantry1.yaml").write_text(BEAM_MODEL)
    (folder / "template.yaml").write_text(template())
    assert read_site(folder / "template.yaml").settings.machines[0].treatment_machine == "GTR1"


def test_the_hash_follows_every_file_it_names(folder):
    before = read_site(folder / "site.yaml").sha256
    (folder / "head.csv").write_text("HU,RSP\n-1000,0\n0,1.02\n3000,2.6\n")
    assert read_site(folder / "site.yaml").sha256 != before


# ---- what it says about a case


def test_scanner_and_protocol_choose_the_calibration(site):
    def chosen(*ct: str) -> str | None:
        found = ct_calibration(site, case(ct=ct).ct_info)
        return None if found is None else found.value.hlut

    assert chosen(*SOMATOM_HEAD) == "head.csv"  # the more special of two that fit
    assert chosen("SIEMENS", "SOMATOM go.Open", "Abdomen") == "all.csv"
    assert chosen("GE MEDICAL SYSTEMS", "Discovery", "Body") == "all.csv"
    assert chosen("GE MEDICAL SYSTEMS", "Discovery", "Body thin") is None
    assert chosen("GE MEDICAL SYSTEMS", "Discovery", "") is None
    assert chosen("Philips", "Big Bore", "Head") is None
    found = ct_calibration(site, case(ct=SOMATOM_HEAD).ct_info)
    assert found.source == "site file: CT scanner CT 1, protocol Head* (line 9)"


def test_two_entries_that_fit_equally_are_an_error(folder):
    text = SITE.replace('- {protocol: "*", hlut: all.csv}', '- {protocol: "Head?", hlut: all.csv}')
    (folder / "site.yaml").write_text(text.replace('"Head*"', '"?Head"').replace('"?Head"', '"Head*"'))
    twice = read_site(folder / "site.yaml")
    with pytest.raises(CalibrationError, match="fit this case equally"):
        ct_calibration(twice, SeriesInfo(modality="CT", manufacturer="SIEMENS", model="SOMATOM", protocol="Head1"))


def test_machine_and_pet_scanner(site):
    plan = case(ct=SOMATOM_HEAD).plan
    assert machine(site, plan).value.name == "Gantry 1"
    assert machine(site, case(ct=SOMATOM_HEAD, machines=("GTR1", "GTR2")).plan) is None
    assert machine(site, case(ct=SOMATOM_HEAD, machines=("GTR1", "GTR2")).plan, 2).value.name == "Gantry 2"
    assert machine(site, case(ct=SOMATOM_HEAD, machines=("",)).plan) is None
    assert pet_scanner(site, case(ct=SOMATOM_HEAD).pet.info).value.psf_mm == 4.5
    assert pet_scanner(site, SeriesInfo(modality="PT", manufacturer="SIEMENS", model="mCT")) is None


# ---- what a run takes from it


def test_what_the_user_left_out_comes_from_the_site_and_says_so(site):
    done = with_site(Asks(), {"case": case(ct=SOMATOM_HEAD)}, Params(), site)
    assert (done.params.psf_mm, done.params.tolerance_mm, done.params.other) == (4.5, 2.5, 1)
    assert done.values["hlut"].rsp_from_hu(0.0) == pytest.approx(1.01)
    assert done.values["model"].mean_mev[0] == 70.4
    assert done.sources == {
        "psf_mm": "site file: PET scanner PET 1 (line 14)",
        "tolerance_mm": "site file: machine Gantry 1 (line 16)",
        "hlut": "site file: CT scanner CT 1, protocol Head* (line 9)",
        "model": "site file: machine Gantry 1 (line 16)",
        "site_file": f"Test clinic, {site.sha256[:16]}",
    }
    assert done.findings == ()


def test_what_the_user_gave_goes_before_the_site(site):
    own = Hlut(hu=np.array([-1000.0, 0.0]), rsp=np.array([0.0, 1.2]))
    given = Params(psf_mm=6.0, tolerance_mm=3.0)
    done = with_site(Asks(), {"case": case(ct=SOMATOM_HEAD), "hlut": own}, given, site)
    assert (done.params.psf_mm, done.params.tolerance_mm) == (6.0, 3.0)
    assert done.values["hlut"] is own
    assert {done.sources[name] for name in ("psf_mm", "tolerance_mm", "hlut")} == {"the user"}


def test_unknown_equipment_gets_nothing_and_a_finding(site):
    stranger = case(ct=("Philips", "Big Bore", "Head"), pet=("GE", "Discovery"), machines=("TR9",))
    done = with_site(Asks(), {"case": stranger}, Params(), site)
    assert set(done.values) == {"case"}
    assert (done.params.psf_mm, done.params.tolerance_mm) == (None, 4.0)
    assert done.sources["tolerance_mm"] == "site file: tolerances (line 18)"
    assert done.sources["psf_mm"] == "the default"
    assert [one.code for one in done.findings] == ["SITE-NO-HLUT", "SITE-NO-PET-SCANNER", "SITE-NO-MACHINE"]


def test_without_a_site_file_nothing_changes(site):
    values, params = {"case": case(ct=SOMATOM_HEAD)}, Params()
    done = with_site(Asks(), values, params, None)
    assert (done.values, done.params, done.findings) == (values, params, ())
    assert done.sources == {"psf_mm": "the default", "tolerance_mm": "the default"}


def test_a_damaged_calibration_is_an_error_and_not_a_generic_curve(folder):
    (folder / "head.csv").write_text("HU,RSP\n0,x\n")
    with pytest.raises(CalibrationError):
        with_site(Asks(), {"case": case(ct=SOMATOM_HEAD)}, Params(), read_site(folder / "site.yaml"))


def test_range_verification_asks_for_what_the_site_file_has():
    from protonqa.analyses.range_verification import RangeVerification

    asked = {
        name: field.json_schema_extra["site"]
        for name, field in RangeVerification.Params.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and "site" in field.json_schema_extra
    }
    assert asked == {"psf_mm": "pet_psf_mm", "tolerance_mm": "range_tolerance_mm"}


def test_plugins_of_environment_site_and_user_add_up_and_the_safe_mode_empties_them(site, monkeypatch):
    monkeypatch.setenv("PROTONQA_PLUGINS", "a==1, b==2")
    assert allowed_plugins(None, site) == ("a==1", "b==2", "acme-qa==1.2.0")
    assert allowed_plugins(("c==3",), None) == ("a==1", "b==2", "c==3")
    assert allowed_plugins((), site) == ()


# ---- through the commands


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str, str]:
        from protonqa.cli import main

        capsys.readouterr()
        code = main([str(word) for word in words])
        done = capsys.readouterr()
        return code, done.out, done.err

    return call


def test_config_check_show_and_template(command, folder):
    import json

    code, out, _ = command("config", "check", "--config", folder / "site.yaml", "--json")
    plain = json.loads(out)
    assert (code, plain["ok"], plain["ct_scanners"]) == (0, True, 2)
    listed = [(one["file"], one["line"], one["rows"]) for one in plain["files"]]
    assert listed[:2] == [("all.csv", 8, 3), ("head.csv", 9, 3)]
    (folder / "head.csv").write_text("HU,RSP\n0,1\n")
    code, out, err = command("config", "check", "--config", folder / "site.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("error[CALIBRATION]: a file of the site file cannot be used (line 9)")
    text = SITE + "store: {url: 'postgresql://me:secret@db/protonqa'}\n"
    (folder / "site.yaml").write_text(text)
    code, out, _ = command("config", "show", "--config", folder / "site.yaml")
    assert code == 0
    assert "postgresql://me@db/protonqa" in out
    assert "secret" not in out
    assert command("config", "template", "--out", folder / "new.yaml")[0] == 0
    assert command("config", "template", "--out", folder / "new.yaml")[0] == 2
    assert "ct_scanners:" in command("config", "template")[1]


def test_without_a_site_file_config_says_how_to_begin_one(command, monkeypatch):
    monkeypatch.setenv(CONFIG_VARIABLE, "")
    code, _, err = command("config", "show")
    assert code == 2
    assert "protonqa config template" in err


def test_the_machine_of_a_beam_is_read_from_the_plan(tmp_path):
    from datetime import UTC, datetime

    from protonqa.dicom import read_plan
    from protonqa.dicom.write_identity import DicomIdentity
    from protonqa.dicom.write_plan import write_plan
    from protonqa.values import PatientIdentity

    made = case(ct=SOMATOM_HEAD).plan
    identity = DicomIdentity.new(
        seed="s",
        patient=PatientIdentity(patient_id="1"),
        study_time=datetime(2026, 1, 5, tzinfo=UTC),
        patient_position="HFS",
    )
    write_plan(replace(made, sop_instance_uid=""), tmp_path / "plan.dcm", identity=identity, machine="GTR1")
    assert read_plan(tmp_path / "plan.dcm")[0].beams[0].machine == "GTR1"


def test_paths_count_from_the_site_file(site, folder):
    assert site.beside("head.csv") == Path(folder / "head.csv").resolve()
