"""The commands that store and that look back: what is stored without asking, what never is, and one clear line."""

from __future__ import annotations

import json
import sqlite3

import pytest

from protonqa.app.recording import Recorder, open_recorder
from protonqa.device import Device
from protonqa.errors import InputError
from protonqa.store import open_store, save_commissioning, save_result
from protonqa.values import AnalysisResult, Case, Grid, Measurement, PatientIdentity, SeriesInfo, State, Volume


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """Each test begins without a store."""
    monkeypatch.setenv("PROTONQA_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "results.sqlite"


@pytest.fixture
def run(inside, ct_file):
    """``protonqa run mean-hu`` with more words."""

    def call(*words):
        return inside("run", "mean-hu", "--ct", ct_file, "--out", "out", "--no-report", "--json", *words)

    return call


def test_a_run_is_stored_with_inputs_files_and_labels(run, inside):
    done = run("--label", "machine=G1", "--label", "site=liver", "--label", "performed=2026-11-01")
    stored = done.json()["stored"]
    assert stored["number"] == 1
    shown = inside("history", "show", stored["uid"][:8], "--json").json()
    assert (shown["machine"], shown["site"], shown["state"]) == ("G1", "liver", "PASS")
    assert shown["performed_utc"].startswith(("2026-10-31", "2026-11-01"))
    assert [one["name"] for one in shown["inputs"]] == ["ct"]
    assert {one["name"] for one in shown["artefacts"]} == {"result.json"}
    assert shown["parameters"]["above_hu"] == -500.0
    listed = inside("history", "--machine", "g1", "--json").json()
    assert [one["number"] for one in listed["results"]] == [1]
    assert inside("history", "--machine", "G2", "--json").json()["results"] == []
    assert inside("history").out.splitlines()[1].split()[3:7] == ["mean-hu", "PASS", "G1", "liver"]


def test_no_store_stores_nothing_and_makes_nothing(run, own_store):
    assert run("--no-store").json()["stored"] is None
    assert not own_store.parent.exists()


def test_a_store_switched_off_is_respected(run, inside, own_store, monkeypatch):
    monkeypatch.setenv("PROTONQA_STORE", "off")
    assert run().json()["stored"] is None
    assert not own_store.parent.exists()
    done = inside("history")
    assert done.code == 2
    assert done.error.startswith("error[INPUT]: the results store is switched off")
    assert run("--store").error.startswith("error[INPUT]: the results store is switched off")


@pytest.mark.parametrize("words", ["weather=rain", "machine", "performed=soon"])
def test_a_label_that_does_not_exist_is_told_before_computing(run, tmp_path, words):
    done = run("--label", words)
    assert done.code == 2
    assert done.error.startswith("error[INPUT]")
    assert not (tmp_path / "out").exists()


def test_a_broken_store_costs_a_warning_never_the_result(run, own_store, tmp_path):
    own_store.parent.mkdir()
    own_store.write_bytes(b"x" * 5000)
    done = run()
    assert (done.code, done.json()["state"], done.json()["stored"]) == (0, "PASS", None)
    assert "damaged" in done.json()["store_problem"]
    assert done.error.startswith("warning[STORE]: the results database is damaged")
    assert (tmp_path / "out" / "result.json").exists()
    assert own_store.read_bytes() == b"x" * 5000


def test_a_locked_store_costs_a_warning_never_the_result(run, own_store, monkeypatch):
    assert run().json()["stored"]["number"] == 1
    monkeypatch.setattr(
        "protonqa.store.opening.open_store.__kwdefaults__", {"patience_s": 0.2, "create": True, "migrate": None}
    )
    other = sqlite3.connect(own_store, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        done = run()
    finally:
        other.close()
    assert done.json()["stored"] is None
    assert "locked by another program" in done.error


def test_history_says_what_it_cannot_do_in_one_line(inside, own_store):
    for words, code, line in (
        (("history",), 4, "error[STORE]: there is no results database yet"),
        (("history", "show", "1"), 4, "error[STORE]: there is no results database yet"),
        (("trend",), 4, "error[STORE]: there is no results database yet"),
        (("history", "backup"), 4, "error[STORE]: there is no results database yet"),
        (("history", "restore", "newest"), 2, "error[INPUT]: there is no such backup"),
        (("history", "nonsense"), 2, "error[USAGE]: unexpected argument, got 'nonsense'"),
    ):
        done = inside(*words)
        assert (done.code, done.out) == (code, "")
        assert done.error.startswith(line)
    assert not own_store.exists()


def test_amend_compare_export_back_up_and_restore(run, inside, tmp_path, own_store):
    assert run().code == 0
    assert run("--seed", "5").code == 0
    compared = inside("history", "compare", "1", "2", "--json")
    assert (compared.code, compared.json()["measurements"][0]["difference"]) == (1, 5.0)
    assert inside("history", "compare", "1", "1").code == 0
    assert "+5" in inside("history", "compare", "1", "2").out
    amended = inside(
        "history", "amend", "1", "--label", "machine=G7", "--reason", "forgotten", "--by", "jk", "--json"
    ).json()
    assert (amended["machine"], amended["amendments_made"][0]["made_by"]) == ("G7", "jk")
    assert inside("history", "amend", "1").error.startswith("error[INPUT]: an amendment is one thing at a time")
    assert inside("history", "amend", "1", "--exclude", "wrong phantom").code == 0
    assert "excluded from trends: yes" in inside("history", "show", "1").out
    assert inside("history", "export", "all.csv", "--machine", "g7", "--json").json()["rows"] == 1
    made = inside("history", "backup", "--json").json()
    assert made["results"] == 2
    assert run().code == 0
    restored = inside("history", "restore", "newest", "--json").json()
    assert (restored["results"], restored["kept"].startswith("results-replaced-")) == (2, True)
    assert len(inside("history", "--json").json()["results"]) == 2
    assert len(inside("history", "backups", "--json").json()["backups"]) >= 1
    checked = inside("history", "check", "--json").json()
    assert (checked["results"], checked["amendments"], checked["problems"]) == (2, 2, [])
    assert inside("history", "upgrade").code == 0


def test_a_stored_result_can_be_written_again_and_a_folder_stored_later(run, inside, tmp_path):
    assert run("--no-store").code == 0
    added = [inside("history", "add", "out", "--label", "machine=G1", "--json").json()["stored"][0] for _ in range(2)]
    assert [one["new"] for one in added] == [True, False]
    assert inside("history", "show", "1", "--out", "again", "--json").json()["out"] == "again"
    assert (tmp_path / "again" / "result.json").read_text() == (tmp_path / "out" / "result.json").read_text()
    assert (tmp_path / "again" / "report.pdf").stat().st_size > 0
    (tmp_path / "out" / "result.json").write_text("{}")
    assert inside("history", "add", "out").code == 4
    assert inside("history", "add", "nowhere").error.startswith("error[INPUT]: there is no result in the folder")


def test_trend_exit_codes_and_page(run, inside, tmp_path, own_store):
    with open_store(own_store) as store:
        for value in [0.0, 3.0, 1.0, 2.0, 4.0, 0.0, 3.0, 2.0, 1.0, 2.0]:
            mean = Measurement(name="mean_hu", value=40.0 + value, unit="HU", title="Mean HU")
            save_result(
                store, AnalysisResult(analysis="mean-hu", version="1", state=State.PASS, measurements={"mean_hu": mean})
            )
    words = ("trend", "--analysis", "mean-hu", "--measurement", "mean_hu", "--baseline", "8")
    assert inside(*words, "--json").json()["state"] == "PASS"
    assert run("--seed", 400).code == 0
    done = inside(*words, "--out", "page")
    assert done.code == 1
    assert "beyond-3" in done.out
    assert (tmp_path / "page" / "trend.pdf").stat().st_size > 0
    few = inside(*words[:-1], "20")
    assert few.code == 3
    assert "NOT EVALUABLE" in few.out


def test_an_acceptance_test_is_stored_and_listed(inside):
    assert inside("commission", "mean-hu", "--out", "full", "--json").json()["stored"]["number"] == 1
    assert inside("commission", "mean-hu", "--quick", "--out", "quick").code == 0
    rows = inside("history", "commissioning", "--json").json()["commissionings"]
    assert [(one["quick"], one["passed"], one["checks"]) for one in rows] == [(True, True, 1), (False, False, 1)]
    assert "PASS (quick)" in inside("history", "commissioning").out


CPU = Device(kind="cpu", label="Test CPU")


def finding_of(*tests, device=CPU):
    """What a clinical run says after these acceptance tests: (passed, quick, device)."""
    from protonqa.analyses.interface import Check, Commissioning

    recorder = open_recorder()
    for passed, quick, where in tests:
        checks = (Check(name="bias", value=0.5 if passed else 2.0, unit="mm", limit=1.0),)
        outcome = Commissioning(checks=checks)
        save_commissioning(recorder.store, "range-verification", "1.0", outcome, device=where, seed=0, quick=quick)
    (found,) = recorder.commissioning("range-verification", "1.0", device)
    return found.severity.value, found.code, found.text


def test_a_clinical_run_says_when_this_version_was_commissioned_on_this_device():
    from datetime import UTC, datetime

    severity, code, text = finding_of()
    assert (severity, code) == ("warning", "NOT-COMMISSIONED")
    assert "Run: protonqa commission range-verification" in text
    assert finding_of((False, False, CPU), (True, False, Device(kind="cuda", label="GPU")))[1] == "NOT-COMMISSIONED"
    severity, code, text = finding_of((True, True, CPU))
    assert (severity, code) == ("warning", "COMMISSIONED-QUICK")
    severity, code, text = finding_of((True, False, CPU), (False, False, CPU))
    assert (severity, code) == ("info", "COMMISSIONED")
    assert f"{datetime.now(UTC):%Y-%m-%d}." in text


def test_another_version_is_not_commissioned(monkeypatch):
    assert finding_of((True, False, CPU))[1] == "COMMISSIONED"
    monkeypatch.setattr("protonqa.app.recording.__version__", "9.9")
    assert finding_of()[1] == "NOT-COMMISSIONED"


def test_without_a_store_commissioning_is_unknown_not_assumed(monkeypatch):
    monkeypatch.setenv("PROTONQA_STORE", "off")
    (found,) = open_recorder().commissioning("range-verification", "1.0", CPU)
    assert (found.severity.value, found.code) == ("warning", "COMMISSIONING-UNKNOWN")
    assert "the results store is switched off" in found.text


def test_the_patient_is_stored_as_a_pseudonym_alone(own_store):
    identity = PatientIdentity(patient_id="CANARY-4711", name="CANARY^JANE", birth_date="19600229")
    grid = Grid(shape=(2, 2, 2), spacing_mm=(1, 1, 1), origin_mm=(0, 0, 0))
    import numpy as np

    ct = Volume(grid=grid, array=np.zeros(grid.shape), unit="HU")
    case = Case(ct=ct, ct_info=SeriesInfo(modality="CT", patient=identity))
    result = AnalysisResult(analysis="x", version="1", state=State.PASS)
    with open_recorder(labels=("machine=G1",)) as recorder:
        recorder.result(result, values={"case": case}, paths={}, out=None)
        assert recorder.problems == []
    whole = b"".join(path.read_bytes() for path in own_store.parent.rglob("*") if path.is_file())
    assert b"CANARY" not in whole
    assert b"19600229" not in whole
    from protonqa.app.history import HistoryQuery, list_history

    (row,) = list_history(HistoryQuery(patient="CANARY-4711")).rows
    assert row.patient.startswith("P-")
    assert list_history(HistoryQuery(patient=row.patient)).rows == (row,)
    assert list_history(HistoryQuery(patient="CANARY-4712")).rows == ()


def test_a_recorder_for_a_program_that_stores_nothing(own_store):
    with pytest.raises(InputError, match="a label cannot be used"):
        open_recorder(wanted=False, labels=("x=y",))
    recorder = Recorder()
    recorder.result(AnalysisResult(analysis="x", version="1", state=State.PASS), values={}, paths={}, out=None)
    assert recorder.to_plain() == {"stored": None}
    assert not own_store.exists()


def test_an_automatic_backup_is_made_with_the_first_result(run, own_store):
    assert run().code == 0
    assert run().code == 0
    (backup,) = (own_store.parent / "backups").iterdir()
    assert "-automatic-" in backup.name


def test_json_lines_stay_one_line(run, inside):
    assert run("--label", "machine=G1").code == 0
    for words in (("history",), ("history", "show", "1"), ("history", "compare", "1", "1"), ("history", "check")):
        json.dumps(inside(*words, "--json").json())


def site_file(folder, monkeypatch, text):
    folder.mkdir(exist_ok=True)
    (folder / "site.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PROTONQA_CONFIG", str(folder / "site.yaml"))


def test_the_site_file_names_the_store_and_the_environment_goes_before_it(
    run, inside, tmp_path, monkeypatch, own_store
):
    site_file(tmp_path / "clinic", monkeypatch, "store: {url: kept/results.sqlite}\n")
    assert run().json()["stored"]["number"] == 1
    assert (tmp_path / "clinic" / "kept" / "results.sqlite").exists()
    assert not own_store.exists()
    assert len(inside("history", "--json").json()["results"]) == 1
    monkeypatch.setenv("PROTONQA_STORE", str(own_store))
    assert inside("history").error.startswith("error[STORE]: there is no results database yet")
    monkeypatch.delenv("PROTONQA_STORE")
    site_file(tmp_path / "clinic", monkeypatch, "store: {url: off}\n".replace("off", "'off'"))
    assert run().json()["stored"] is None


def test_machine_and_field_come_from_the_plan(tmp_path, monkeypatch):
    from protonqa.app.labels import completed_labels, facts_of_values

    site_file(tmp_path / "clinic", monkeypatch, "machines:\n  - {name: Gantry 1, treatment_machine: GTR1}\n")
    result = AnalysisResult(
        analysis="range-verification",
        version="1",
        state=State.PASS,
        parts=(
            AnalysisResult(
                analysis="range-verification",
                version="1",
                state=State.PASS,
                measurements={"beam": Measurement(name="beam", value=2.0, unit="")},
            ),
        ),
    )

    def of(machine):
        return completed_labels(None, result, facts_of_values({"case": case_with(machine)}))

    assert (of("GTR1").machine, of("GTR1").field) == ("Gantry 1", "beam 2")
    assert of("GTR9").machine == "GTR9"
    assert of("").machine == ""


def case_with(machine):
    import numpy as np

    from protonqa.values import Beam, IonPlan

    grid = Grid(shape=(2, 2, 2), spacing_mm=(1, 1, 1), origin_mm=(0, 0, 0))
    ct = Volume(grid=grid, array=np.zeros(grid.shape), unit="HU")
    beams = tuple(
        Beam(number=n, name="", gantry_deg=0, couch_deg=0, isocenter_mm=(0, 0, 0), layers=(), machine=machine)
        for n in (1, 2)
    )
    return Case(ct=ct, ct_info=SeriesInfo(modality="CT"), plan=IonPlan(patient_position="HFS", beams=beams))


@pytest.fixture(scope="session")
def dark_case(tmp_path_factory):
    """CT, plan and a PET without activity as DICOM: a clinical run on it ends before anything is simulated."""
    from datetime import UTC, datetime

    import numpy as np

    from protonqa.dicom.write_ct import write_ct
    from protonqa.dicom.write_identity import DicomIdentity
    from protonqa.dicom.write_pet import write_pet
    from protonqa.dicom.write_plan import write_plan
    from protonqa.phantom.field_maker import make_field
    from protonqa.values import Timeline

    folder = tmp_path_factory.mktemp("dark")
    grid = Grid(shape=(24, 40, 40), spacing_mm=(4, 4, 4), origin_mm=(-78, -78, -46))
    hu = np.full(grid.shape, -1000.0)
    hu[:, 5:35, 5:35] = 0.0
    ct = Volume(grid=grid, array=hu, unit="HU")
    target = {"target_center_mm": (0.0, 0.0, 0.0), "target_radius_mm": 20.0, "gantry_deg": 270.0}
    plan = make_field(ct, patient_position="HFS", **target)
    identity = DicomIdentity.new(patient=PatientIdentity(patient_id="CANARY-4711", name="CANARY^JANE"), seed="dark")
    write_ct(ct, folder / "ct", identity=identity)
    write_plan(plan, folder / "plan.dcm", identity=identity, machine="GTR1")
    write_pet(
        Volume(grid=grid, array=np.zeros(grid.shape), unit="Bq/ml"),
        folder / "pet",
        identity=identity,
        timeline=Timeline(irradiation_s=90.0, delay_s=150.0, acquisition_s=1200.0),
        irradiation_end=datetime(2026, 1, 5, 10, 30, tzinfo=UTC),
    )
    return folder


def test_a_clinical_run_carries_its_commissioning_and_is_stored(inside, dark_case, own_store, tmp_path):
    files = ("--ct", dark_case / "ct", "--pet", dark_case / "pet", "--plan", dark_case / "plan.dcm")
    done = inside("verify", *files, "--out", "one", "--device", "cpu", "--json")
    plain = done.json()
    assert (done.code, plain["state"], plain["stored"]["number"]) == (3, "NOT EVALUABLE", 1)
    assert "NOT-COMMISSIONED" in {one["code"] for one in plain["findings"]}
    shown = inside("history", "show", "1", "--json").json()
    assert (shown["machine"], shown["patient"][:2]) == ("GTR1", "P-")
    assert {one["name"]: one["files"] for one in shown["inputs"]} == {"ct": 24, "pet": 24, "plan": 1}
    assert {one["name"] for one in shown["artefacts"]} >= {"result.json", "report.pdf", "report.html"}
    whole = b"".join(path.read_bytes() for path in own_store.parent.rglob("*") if path.is_file())
    assert b"CANARY" not in whole
    assert shown["performed_utc"].startswith("2026-01-05"), "a trend goes by the day of the PET"
    off = inside("verify", *files, "--out", "two", "--device", "cpu", "--no-store", "--json").json()
    assert off["stored"] is None
    assert "COMMISSIONING-UNKNOWN" in {one["code"] for one in off["findings"]}


def test_a_batch_stores_each_case_once_with_machine_patient_and_day(inside, dark_case, own_store, tmp_path):
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "monday").symlink_to(dark_case)
    (tmp_path / "cases" / "empty").mkdir()
    words = ("batch", "cases", "--analysis", "range-verification", "--out", "night", "--workers", "0")
    done = inside(*words, "--label", "site=brain", "--json")
    assert (done.code, done.json()["newly_stored"]) == (2, 1), "a folder without files is no result"
    result = json.loads((tmp_path / "night" / "cases" / "monday" / "result.json").read_text())
    assert "NOT-COMMISSIONED" in {one["code"] for one in result["findings"]}
    (row,) = inside("history", "--json").json()["results"]
    assert (row["machine"], row["site"], row["patient"][:2]) == ("GTR1", "brain", "P-")
    assert row["performed_utc"].startswith("2026-01-05")
    assert inside(*words, "--json").json()["newly_stored"] == 0
    assert inside("history", "add", "night/cases/monday").code == 0
    assert len(inside("history", "--json").json()["results"]) == 1
