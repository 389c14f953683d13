"""Many cases, some of them bad: each is a row, none stops another, and equal work gives equal bytes."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from protonqa.analyses.result_json import result_from_json
from protonqa.app.batch import BatchParams, batch
from protonqa.errors import Cancelled, InputError, PluginError, StoreError
from protonqa.files.atomic import check_manifest


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(source: Path, out: Path, **options):
    seed = options.pop("seed", 0)
    progress = options.pop("progress", None)
    cancel = options.pop("cancel", None)
    options = {"analysis": "probe", "workers": 0, **options}
    return batch(BatchParams(source=source, out=out, **options), seed=seed, progress=progress, cancel=cancel)


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


BAD = ("raises", "hangs", "nan", "exits", "hog", "schema")


@pytest.mark.skipif(sys.platform == "win32", reason="a memory limit for workers is not available on Windows")
def test_six_bad_plugins_are_six_failed_results_and_the_rest_is_unaffected(probe, cases, tmp_path):
    out = tmp_path / "out"
    source = cases("good", *BAD, "dies", "evidence", "fails", "last")
    done = run(source, out, workers=2, deadline_s=5.0, memory_mib=900)
    rows = {row["case"][4:]: row for row in rows_of(out)}
    assert {name: rows[name]["state"] for name in BAD} == dict.fromkeys(BAD, "ERROR")
    codes = {name: rows[name]["code"] for name in (*BAD, "dies")}
    assert codes == {
        "raises": "INTERNAL",
        "hangs": "DEADLINE",
        "nan": "PLUGIN",
        "exits": "INTERNAL",
        "hog": "MEMORY",
        "schema": "PLUGIN",
        "dies": "WORKER",
    }
    assert [rows[name]["state"] for name in ("good", "evidence", "fails", "last")] == [
        "PASS",
        "NOT EVALUABLE",
        "FAIL",
        "PASS",
    ]
    assert (done.summary.state, done.exit_code) == ("ERROR", 4)
    for row in rows.values():
        folder = out / row["folder"]
        check_manifest(folder)
        result = result_from_json((folder / "result.json").read_text(encoding="utf-8"))
        assert (result.state.value, result.reason) == (row["state"], row["reason"])
    assert "CANARY" not in "".join(content.decode() for content in files_below(out / "cases").values())
    assert "in guarded_run" in (out / rows["raises"]["folder"] / "traceback.txt").read_text()


def test_one_two_and_four_workers_give_the_same_bytes(probe, cases, tmp_path):
    source = cases(*(f"word{i}" for i in range(6)), "raises", "evidence", "fails")
    outs = [tmp_path / f"out{workers}" for workers in (0, 1, 2, 4)]
    for workers, out in zip((0, 1, 2, 4), outs, strict=True):
        assert run(source, out, workers=workers).report.computed == 9
    first = files_below(outs[0] / "cases")
    assert len(first) == 2 * 9 + 7 + 1
    for out in outs[1:]:
        assert files_below(out / "cases") == first
        for name in ("summary.csv", "summary.html"):
            assert (out / name).read_bytes() == (outs[0] / name).read_bytes()


def test_a_second_run_computes_only_what_is_missing(probe, cases, tmp_path):
    out = tmp_path / "out"
    run(cases("one", "two"), out)
    before = files_below(out / "cases")
    assert run(tmp_path / "cases", out).report.computed == 0
    assert files_below(out / "cases") == before
    cases("zero", folder="cases/more")
    (tmp_path / "cases" / "more" / "000-zero" / "text.txt").rename(tmp_path / "cases" / "more" / "text.txt")
    again = run(tmp_path / "cases", out)
    assert (again.report.computed, [row.case for row in again.summary.rows]) == (1, ["000-one", "001-two", "more"])


def test_a_case_whose_files_changed_is_computed_again_beside_the_old_result(probe, cases, tmp_path):
    out = tmp_path / "out"
    source = cases("one", "two")
    run(source, out)
    (source / "001-two" / "text.txt").write_text("another\n")
    os.utime(source / "001-two" / "text.txt", ns=(1, 1))
    again = run(source, out)
    assert again.report.computed == 1
    assert [row.folder for row in again.summary.rows] == ["000-one", "001-two.r2"]
    assert (out / "cases" / "001-two" / "word.txt").read_text() == "two"
    assert (out / "cases" / "001-two.r2" / "word.txt").read_text() == "another"


def test_another_setting_needs_another_folder(probe, cases, tmp_path):
    """A summary in which some rows have other parameters would be a lie."""
    source, out = cases("one"), tmp_path / "out"
    run(source, out)
    for options in ({"params": {"factor": 3.0}}, {"seed": 1}):
        with pytest.raises(StoreError, match="another --out"):
            run(source, out, **options)
    assert run(source, out).report.computed == 0


def test_failures_of_the_computer_are_tried_again_and_those_of_the_case_are_not(probe, cases, tmp_path):
    source, out = cases("dies", "raises"), tmp_path / "out"
    assert run(source, out, workers=1).report.computed == 2
    assert run(source, out, workers=1).report.computed == 1
    assert run(source, out, workers=1, retry="none").report.computed == 0


def test_cancelled_the_summary_holds_what_has_finished(probe, cases, tmp_path):
    source, out, seen = cases("one", "two", "three"), tmp_path / "out", []
    with pytest.raises(Cancelled):
        run(source, out, progress=lambda now: seen.append(now.finished), cancel=lambda: max(seen, default=0) >= 1)
    assert [row["state"] for row in rows_of(out)] == ["PASS", "NOT RUN", "NOT RUN"]
    assert run(source, out).report.computed == 2


def test_a_batch_file_gives_cases_parameters_and_seeds(probe, cases, tmp_path):
    cases("one", "two")
    (tmp_path / "cases" / "001-two" / "case.yaml").write_text("params: {factor: 5}\nseed: 9\n")
    (tmp_path / "other.txt").write_text("three\n")
    (tmp_path / "batch.yaml").write_text(
        "analysis: probe\nparams: {factor: 3}\nseed: 4\nfolder: cases\n"
        "cases:\n  - {name: by name, inputs: {text: other.txt}, params: {factor: 7}, seed: 1}\n"
    )
    run(tmp_path / "batch.yaml", tmp_path / "out", analysis="")
    known = {}
    for row in rows_of(tmp_path / "out"):
        provenance = json.loads((tmp_path / "out" / row["folder"] / "result.json").read_text())["provenance"]
        known[row["case"]] = (provenance["parameters"]["factor"], provenance["seed"])
    assert known == {"by name": (7.0, 1), "000-one": (3.0, 4), "001-two": (5.0, 9)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("analysis: probe\nfoldr: cases\n", r"unknown key 'foldr'.*line 2.*did you mean 'folder'"),
        ("cases:\n  - {nam: a, folder: b}\n", r"unknown key 'nam' in cases\[1\] \(line 2.*did you mean 'name'"),
        ("cases:\n  - {folder: b, seed: -1}\n", r"cases\[1\] seed is wrong \(line 2"),
        ("analysis: probe\n", "names no cases"),
        ("cases: [{name: a}]\n", "case 1 of the batch file says nothing"),
        ("cases: [{inputs: {text: a}}]\n", "case 1 of the batch file has no name"),
        ("analysis: other\nfolder: cases\n", "names another analysis"),
        ("cases: [{name: a, folder: x}, {name: A, folder: y}]\n", "the same name"),
        ("- 1\n", "holds no keys"),
        ("a: *x\n", "alias"),
    ],
)
def test_a_wrong_batch_file_is_told_by_its_line(probe, tmp_path, text, message):
    (tmp_path / "batch.yaml").write_text(text)
    (tmp_path / "cases").mkdir()
    with pytest.raises(InputError, match=message):
        run(tmp_path / "batch.yaml", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_wrong_parameter_is_one_error_and_not_as_many_failed_cases(probe, cases, tmp_path):
    with pytest.raises(InputError, match="did you mean factor"):
        run(cases("one"), tmp_path / "out", params={"facto": 3})
    with pytest.raises(PluginError, match="did you mean probe"):
        run(tmp_path / "cases", tmp_path / "out", analysis="prob")
    with pytest.raises(InputError, match="has no analysis"):
        run(tmp_path / "cases", tmp_path / "out", analysis="")
    with pytest.raises(InputError, match="not there"):
        run(tmp_path / "nowhere", tmp_path / "out")


def test_bad_files_are_failed_cases(probe, cases, tmp_path):
    source = cases("one", "two", "three")
    (source / "001-two" / "text.txt").write_bytes(b"\xff\xfe\x00")
    (source / "002-three" / "text.txt").unlink()
    (source / "004-file").mkdir()
    (source / "004-file" / "case.yaml").write_text("parms: {}\n")
    done = run(source, tmp_path / "out")
    states = [(row.state, row.code, row.by_input) for row in done.summary.rows]
    assert states == [("PASS", "", False), *[("ERROR", "INPUT", True)] * 3]
    assert "did you mean 'params'" in done.summary.rows[3].reason
    assert done.exit_code == 2


def test_the_results_inside_the_folder_of_cases_are_no_case(probe, cases, tmp_path):
    source = cases("one")
    out = source / "results"
    run(source, out)
    shutil.copytree(out, source / "older results")
    assert [row.case for row in run(source, out).summary.rows] == ["000-one"]


def test_an_anonymous_batch_names_no_case(probe, cases, tmp_path):
    source, out = cases("one"), tmp_path / "out"
    (source / "000-one").rename(source / "DOE^JANE")
    done = run(source, out, anonymous=True, report=True)
    everything = [*(out / "cases").rglob("*"), out / "summary.csv", out / "summary.html"]
    assert all("JANE" not in path.name for path in everything)
    assert all(b"JANE" not in path.read_bytes() for path in everything if path.is_file())
    # The key to the names, for the clinic alone.
    assert "DOE^JANE" in (out / "cases.csv").read_text()
    assert done.summary.rows[0].folder.startswith("case-")


@pytest.mark.parametrize("name", ["Müller", "con", "a b", "..", "x" * 150, "-"])
def test_names_of_cases_become_names_of_folders_on_any_system(name):
    from protonqa.app.batch_table import cell_name
    from protonqa.jobs.table import cell

    made = cell_name(name)
    assert cell(made, {}).cell_id == made
    assert made != cell_name(name + "x")


def test_the_summary_disarms_formulas_and_keeps_every_digit():
    from protonqa.app.batch_summary import csv_text

    text = csv_text(("a", "b"), [("=1+1", 0.1 + 0.2), ("plain", None), ("line\nbreak", -1.5)])
    assert text == "a,b\n'=1+1,0.30000000000000004\nplain,\nline break,-1.5\n"


def test_exit_codes_tell_the_worst_case():
    from protonqa.app.batch_summary import BatchSummary, CaseRow

    def code(*states: str) -> int:
        rows = tuple(
            CaseRow(case=state, folder="x", state=state.removesuffix("!"), by_input=state.endswith("!"))
            for state in states
        )
        return BatchSummary(analysis="a", rows=rows).exit_code

    assert code("PASS") == 0
    assert code("PASS", "NOT EVALUABLE") == 3
    assert code("PASS", "NOT EVALUABLE", "FAIL") == 1
    assert code("FAIL", "ERROR!") == 2
    assert code("ERROR", "ERROR!", "FAIL") == 4
