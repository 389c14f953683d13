"""The demo as a new user runs it: hidden error, files, verdict, report."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "protonqa", "demo", "--out", str(out), "--protons", "120000", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)
    return out, done


def test_the_hidden_error_is_found_within_one_millimetre(demo_run):
    _, done = demo_run
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert abs(answer["mean_shift_mm"] - answer["planted_shift_mm"]) <= 1.0
    assert abs(answer["planted_shift_mm"]) > 1.0
    low, high = answer["interval_mm"]
    assert low <= answer["mean_shift_mm"] <= high


def test_the_answer_has_the_keys_other_programs_rely_on(demo_run):
    answer = json.loads(demo_run[1].stdout)
    keys = "state mean_shift_mm shift_sd_mm interval_mm method_bias_mm a50_shift_mm rays_used planted_shift_mm"
    assert set(f"{keys} fraction_beyond_tolerance findings timings_s fields".split()) <= set(answer)
    assert set(keys.split()) - {"planted_shift_mm"} <= set(answer["fields"][0])


def test_report_result_and_dicom_case_are_there(demo_run):
    from pypdf import PdfReader

    out, _ = demo_run
    for name in ("report.pdf", "report.html", "result.json", "manifest.json"):
        assert (out / name).stat().st_size > 0
    text = PdfReader(out / "report.pdf").pages[0].extract_text()
    assert "not for treatment decisions" in text
    for part in ("ct", "pet", "plan.dcm", "dose.dcm"):
        assert (out / "case" / part).exists()


def test_verify_is_not_told_the_planted_error(demo_run):
    """Nothing in the written case may hold the thickness or the truth: neither names nor private elements."""
    import pydicom

    out, _ = demo_run
    dataset = pydicom.dcmread(next((out / "case" / "pet").glob("*.dcm")), stop_before_pixels=True)
    assert not any(element.tag.is_private for element in dataset)
    assert "shift" not in str(dataset).lower()
