"""A run in a process of its own: a bad analysis costs a result, never the program; good ones lose nothing by it."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path

import pytest

from protonqa.app.analyses import RunParams, run
from protonqa.app.commission import CommissionParams, commission
from protonqa.app.progress import CancelToken
from protonqa.device import resolve_device
from protonqa.errors import Cancelled, InputError
from protonqa.files.atomic import check_manifest
from protonqa.values import State

PLUGIN = Path(__file__).parents[1] / "batch" / "probe_plugin.py"


@pytest.fixture(scope="module")
def probe_site(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("kill_run", PLUGIN.with_name("kill_run.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    site = tmp_path_factory.mktemp("site") / "site"
    module.make_site(site)
    return site


@pytest.fixture
def probe(probe_site, monkeypatch):
    monkeypatch.syspath_prepend(str(probe_site))
    monkeypatch.setenv("PROTONQA_PLUGINS", "probe-qa==1.0")
    yield
    sys.modules.pop("probe_plugin", None)


@pytest.fixture
def text(tmp_path):
    def make(word: str) -> Path:
        path = tmp_path / f"{word}.txt"
        path.write_text(word)
        return path

    return make


def params(path: Path, out: Path, **more) -> RunParams:
    return RunParams(name="probe", inputs={"text": path}, out=out, report=False, **more)


def test_apart_and_together_give_the_same_result(probe, text, tmp_path):
    told = []
    cpu = resolve_device("cpu")
    apart = run(params(text("word"), tmp_path / "a"), seed=3, device=cpu, progress=lambda *step: told.append(step))
    here = run(params(text("word"), tmp_path / "b", isolate=False), seed=3, device=cpu)
    stored = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("a", "b")]
    for one in stored:
        one["provenance"].pop("started_utc")
        one.pop("timings_s")
    assert stored[0] == stored[1]
    assert apart.value("length") == here.value("length")
    assert (tmp_path / "a" / "word.txt").read_text() == "word"
    check_manifest(tmp_path / "a")


@pytest.mark.skipif(sys.platform == "win32", reason="a memory limit for workers is not available on Windows")
@pytest.mark.parametrize(("word", "code"), [("hangs", "DEADLINE"), ("dies", "WORKER"), ("hog", "MEMORY")])
def test_a_lost_worker_is_a_failed_result_that_replaces_nothing_half(probe, text, tmp_path, word, code):
    out = tmp_path / "out"
    result = run(params(text(word), out, deadline_s=3.0, memory_mib=900))
    assert (result.state, result.provenance["error"]["code"]) == (State.ERROR, code)
    assert "the cell" not in result.reason
    check_manifest(out)
    assert json.loads((out / "result.json").read_text())["state"] == "ERROR"
    assert not list(out.glob(".partial*"))


def test_files_that_cannot_be_read_are_an_error_and_leave_the_old_result(probe, text, tmp_path):
    out = tmp_path / "out"
    run(params(text("word"), out))
    with pytest.raises(InputError, match="the text cannot be read"):
        run(params(tmp_path / "absent.txt", out))
    assert json.loads((out / "result.json").read_text())["state"] == "PASS"
    check_manifest(out)


def test_a_cancelled_run_is_no_result(probe, text, tmp_path):
    cancel = CancelToken()
    began = time.monotonic()

    def progress(*_: object) -> None:
        cancel.cancel()

    with pytest.raises(Cancelled):
        # It says that it is half done and then never looks again: the process is ended.
        run(params(text("hangs"), tmp_path / "out"), progress=progress, cancel=cancel)
    assert time.monotonic() - began < 60.0
    assert not list((tmp_path / "out").iterdir())


def test_the_acceptance_test_of_a_bad_plugin_is_not_passed(probe, tmp_path, monkeypatch):
    """It dies while it is tested: no checks, a critical finding, and the report says so."""
    monkeypatch.setenv("PROBE_ACCEPTANCE", "dies")
    done = commission(CommissionParams(names=("probe",), out=tmp_path / "out"))
    outcome = done.outcomes["probe"]
    assert (done.passed, outcome.checks) == (False, ())
    assert "the worker process was lost" in outcome.findings[0].text
    assert "COMMISSION-FAILED" in (tmp_path / "out" / "commissioning.html").read_text()
    check_manifest(tmp_path / "out")
