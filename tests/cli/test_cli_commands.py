"""The commands: analyses, run, commission, doctor."""

from __future__ import annotations

import json

import pytest

from protonqa.files.atomic import check_manifest


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_analyses_as_json_and_as_text(shell):
    listed = {one["name"]: one for one in shell("analyses", "--json").json()["analyses"]}
    one = listed["mean-hu"]
    assert {"name", "title", "version", "origin", "inputs", "parameters"} <= set(one)
    assert (one["title"], one["version"], one["origin"]) == ("Mean HU", "2.0", "acme-qa 1.2.0")
    assert one["inputs"] == [{"name": "ct", "kind": "Volume", "optional": False, "title": "a CT", "many": False}]
    assert one["parameters"]["properties"]["above_hu"]["unit"] == "HU"
    assert "above_hu = -500.0 HU: Threshold" in shell("analyses").out


def test_a_plugin_is_off_until_enabled(shell, ct_file):
    shell.environment.pop("PROTONQA_PLUGINS")
    listed = {one["name"]: one for one in shell("analyses", "--json").json()["analyses"]}
    assert listed["mean-hu"]["enabled"] is False
    refused = shell("run", "mean-hu", "--ct", ct_file, "--out", "out")
    assert refused.code == 2
    assert refused.error.startswith("error[PLUGIN]: analysis mean-hu cannot be used")
    allowed = shell("run", "mean-hu", "--ct", ct_file, "--out", "out", "--plugins", "acme-qa==1.2.0", "--no-report")
    assert allowed.code == 0


def test_run_writes_a_whole_result_and_one_json_object(shell, ct_file, tmp_path):
    done = shell("run", "mean-hu", "--ct", ct_file, "--box-mm", 1, -2, 3, "--seed", 2, "--out", "out", "--json")
    assert done.code == 0
    plain = done.json()
    assert plain["state"] == "PASS"
    assert plain["measurements"]["mean_hu"] == {"value": 42.0, "unit": "HU", "low": None, "high": None}
    out = tmp_path / "out"
    assert files_in(out) == ["manifest.json", "report.html", "report.pdf", "result.json"]
    check_manifest(out)
    stored = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert stored["provenance"]["seed"] == 2
    assert stored["provenance"]["origin"] == "acme-qa 1.2.0"
    assert stored["provenance"]["parameters"]["box_mm"] == [1.0, -2.0, 3.0]


@pytest.mark.parametrize(
    ("mode", "code", "state"),
    [("fail", 1, "FAIL"), ("evidence", 3, "NOT EVALUABLE"), ("input", 2, "ERROR"), ("raise", 4, "ERROR")],
)
def test_exit_codes_follow_the_state(shell, ct_file, tmp_path, mode, code, state):
    done = shell("run", "mean-hu", "--ct", ct_file, "--mode", mode, "--out", "out", "--json", "--no-report")
    assert done.code == code
    assert done.json()["state"] == state
    assert "CANARY" not in done.out + done.err
    assert ("traceback.txt" in files_in(tmp_path / "out")) is (state == "ERROR")


@pytest.mark.parametrize("mode", ["exit", "nan"])
def test_a_misbehaving_plugin_is_a_failed_analysis(inside, ct_file, mode):
    done = inside("run", "mean-hu", "--ct", ct_file, "--mode", mode, "--out", "out", "--no-report")
    assert done.code == 4
    assert "Mean HU: ERROR" in done.out
    assert "error[" in done.error


def test_parameters_from_file_pairs_and_options_in_this_order(inside, ct_file, tmp_path):
    (tmp_path / "p.yaml").write_text("size: 5\nabove_hu: -900\nmode: fail\n")
    words = ["--params", "p.yaml", "--param", "above_hu=-800", "--param", "mode=pass", "--above-hu", "-700"]
    assert inside("run", "mean-hu", "--ct", ct_file, *words, "--out", "out", "--no-report").code == 0
    stored = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert stored["provenance"]["parameters"] == {"above_hu": -700.0, "box_mm": None, "mode": "pass", "size": 5}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "error[INPUT]: input ct is missing, expected --ct PATH"),
        (["--sise", 3], "error[USAGE]: unknown option, got '--sise', did you mean --size?"),
        (["--size", "-3"], "error[INPUT]: parameter size cannot be used, got -3, expected greater than 0"),
        (["--size", "x"], "error[USAGE]: --size cannot be used, got 'x', expected a valid integer"),
        (["--mode", "ras"], "error[USAGE]: --mode cannot be used, got 'ras', expected 'pass', 'fail'"),
        (["--param", "sise=3"], "error[INPUT]: unknown parameter sise"),
        (["--param", "size"], "error[INPUT]: --param is not a pair, got 'size', expected NAME=VALUE"),
        (["--params", "none.yaml"], "error[INPUT]: the parameter file cannot be read, got No such file"),
        (["--ct", "none.mha"], "error[INPUT]:"),
    ],
)
def test_wrong_words_for_an_analysis(inside, tmp_path, words, line):
    done = inside("run", "mean-hu", *words, "--out", "out")
    assert (done.code, done.out) == (2, "")
    assert done.error.startswith(line)
    assert not (tmp_path / "out" / "result.json").exists()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("p.yaml", "size: 3\nsize: 4\n", "found duplicate key"),
        ("p.yaml", "a: [1\n", "not valid YAML"),
        ("p.yaml", "!!python/object/apply:os.system ['touch ran']\n", "error[INPUT]"),
        ("p.yaml", "- 1\n", "not a list of names and values"),
        ("p.json", '{"size": 3, "size": 4}', "a name twice"),
        ("p.json", '{"size": NaN}', "not finite"),
        ("p.json", '{"size": ', "not valid JSON, got Expecting value in line 1"),
    ],
)
def test_parameter_files_are_read_as_plain_data(inside, ct_file, tmp_path, name, text, line):
    (tmp_path / name).write_text(text)
    done = inside("run", "mean-hu", "--ct", ct_file, "--params", name, "--out", "out")
    assert done.code == 2
    assert line in done.error
    assert not (tmp_path / "ran").exists()


def test_a_usage_error_leaves_the_old_result_whole(inside, ct_file, tmp_path):
    assert inside("run", "mean-hu", "--ct", ct_file, "--out", "out", "--no-report").code == 0
    assert inside("run", "mean-hu", "--ct", "none.mha", "--out", "out").code == 2
    check_manifest(tmp_path / "out")


def test_an_unwritable_output_is_told_before_computing(inside, ct_file, tmp_path):
    (tmp_path / "file").write_text("x")
    done = inside("run", "mean-hu", "--ct", ct_file, "--out", "file")
    assert done.code == 4
    assert done.error.startswith("error[STORE]: the output folder cannot be written")


def test_progress_without_a_terminal_is_lines_on_standard_error(inside, ct_file):
    done = inside("run", "mean-hu", "--ct", ct_file, "--out", "out", "--no-report", "--progress", "--json")
    assert done.json()["state"] == "PASS"
    assert "% reading" in done.err


def test_run_without_a_name_lists_the_names(inside):
    assert "mean-hu" in inside("run").out
    assert "mean-hu" in inside("run", "--help").out


def test_commission_compares_and_exits(inside, tmp_path):
    full = inside("commission", "mean-hu", "--out", "full", "--json")
    quick = inside("commission", "mean-hu", "--quick", "--out", "quick", "--json")
    assert (full.code, quick.code) == (1, 0)
    checks = quick.json()["analyses"]["mean-hu"]["checks"]
    keys = {"name", "value", "unit", "limit", "comparison", "passed"}
    assert keys <= set(checks[0])
    assert checks[0]["passed"] is True
    check_manifest(tmp_path / "full")
    assert "FAIL Bias: 0.5 HU, limit <= 0.1 HU" in inside("commission", "mean-hu", "--out", "full").out


def test_commission_of_an_unknown_name_does_nothing(inside, tmp_path):
    done = inside("commission", "mean-huu", "--out", "out")
    assert done.code == 2
    assert "did you mean mean-hu?" in done.error
    assert not (tmp_path / "out").exists()


def test_doctor_tells_what_there_is(shell):
    plain = shell("doctor", "--device", "cpu", "--json").json()
    states = {check["name"]: check["state"] for check in plain["checks"]}
    assert states["device self-test"] == "ok"
    assert states["database"] == "ok"
    assert states["working folder"] == "ok"
    assert {"window", "memory", "cores", "numpy", "torch"} <= set(states)
    assert plain["device_kind"] == "cpu"
    assert plain["libraries"]["numpy"]


def test_doctor_fails_on_an_output_folder_that_cannot_be_written(inside, tmp_path):
    (tmp_path / "file").write_text("x")
    done = inside("doctor", "--device", "cpu", "--out", "file")
    assert done.code == 1
    assert "failed   output folder" in done.out


def test_cuda_asked_for_is_never_replaced(shell):
    environment_hides_gpu = {"CUDA_VISIBLE_DEVICES": ""}
    shell.environment.update(environment_hides_gpu)
    done = shell("doctor", "--device", "cuda")
    assert done.code == 2
    assert done.error.startswith("error[DEVICE]: no usable CUDA device")


def test_an_analysis_may_have_neither_inputs_nor_parameters(inside):
    page = inside("run", "bare", "--help").out
    assert "--out" in page
    assert "INPUTS" not in page
    assert "OPTIONS]" in page
    seeded = inside("run", "bare", "--out", "out", "--seed", "3", "--no-report", "--no-store", "--json")
    assert (seeded.code, seeded.json()["measurements"]["draw"]["unit"]) == (0, "1")


def test_plugins_may_be_enabled_one_by_one(inside, monkeypatch):
    monkeypatch.delenv("PROTONQA_PLUGINS")
    words = ("--out", "out", "--no-report", "--no-store", "--enable", "other==1", "--enable", "acme-qa==1.2.0")
    assert inside("run", "bare", *words).code == 0
