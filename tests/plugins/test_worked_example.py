"""The worked example, installed from its own package: everything finds it, and no line of protonqa knows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tests" / "example_plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the installed distribution water-qa 1.0.0; pip fetches nothing."""
    pytest.importorskip("hatchling", reason="hatchling comes with the test extra")
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps"]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_CACHE_DIR": "1"}
    done = subprocess.run(
        [*command, "--target", str(target), str(PACKAGE)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=target,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def call(site, tmp_path, monkeypatch, capsys):
    """The command line in this process; its workers are processes of their own."""
    from protonqa.app import case_run

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delenv("PROTONQA_PLUGINS", raising=False)
    case_run._analysis.cache_clear()

    def run(*words: object) -> tuple[int, str]:
        from protonqa.cli import main

        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, capsys.readouterr().out

    yield run
    case_run._analysis.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "water_qa"]:
        del sys.modules[name]


ENABLE = ("--enable", "water-qa==1.0.0")


def write_phantom(path: Path, *, offset_hu: float) -> Path:
    """A cylinder of water of 200 mm in air, as MetaImage."""
    from protonqa.files.metaimage import write_metaimage
    from protonqa.values import Grid, Volume

    grid = Grid(shape=(3, 64, 64), spacing_mm=(4.0, 4.0, 3.0), origin_mm=(-126.0, -126.0, 0.0))
    along = 4.0 * np.arange(64) - 126.0
    inside = np.hypot(along[None, :], along[:, None]) <= 100.0
    values = np.broadcast_to(np.where(inside, offset_hu, -1000.0), grid.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_metaimage(Volume(grid=grid, array=values.astype(np.float32), unit="HU"), path)
    return path


def test_it_is_listed_and_off_until_enabled_by_name_and_version(call, tmp_path):
    listed = {one["name"]: one for one in json.loads(call("analyses", "--json")[1])["analyses"]}
    assert (listed["water-hu"]["enabled"], listed["water-hu"]["parameters"]) == (False, {})
    assert "water_qa" not in sys.modules, "listing ran the code of a plugin that nobody enabled"
    listed = {one["name"]: one for one in json.loads(call("analyses", "--json", *ENABLE)[1])["analyses"]}
    one = listed["water-hu"]
    assert (one["title"], one["origin"], one["version"]) == ("CT numbers of water", "water-qa 1.0.0", "1.0")
    assert one["parameters"]["properties"]["accuracy_hu"]["unit"] == "HU"
    ct = write_phantom(tmp_path / "ct.mha", offset_hu=0.0)
    assert call("run", "water-hu", "--ct", ct, "--out", "out", "--enable", "water-qa==0.9")[0] == 2
    assert call("run", "water-hu", "--ct", ct, "--out", "out", *ENABLE, "--no-plugins")[0] == 2


def test_the_site_file_enables_it(call, tmp_path):
    (tmp_path / "site.yaml").write_text("plugins: [water-qa==1.0.0]\n")
    listed = json.loads(call("analyses", "--json", "--config", "site.yaml")[1])["analyses"]
    assert {one["name"]: one["enabled"] for one in listed}["water-hu"] is True


def test_its_help_shows_every_parameter_with_unit_bounds_and_default(call):
    code, text = call("run", "water-hu", *ENABLE, "--help")
    assert code == 0
    words = " ".join(text.replace("│", " ").split())
    assert "--ct PATH CT of a water phantom" in words
    assert "--accuracy-hu FLOAT Limit of the mean CT number of water (HU, above 0 to 100) [default: 5]" in words
    assert "--region-mm FLOAT Diameter of a region (mm, 2 to 100) [default: 20]" in words
    assert "water-hu" in call("run", "--help")[1]


def test_it_runs_alone_and_in_a_batch_with_the_same_numbers(call, tmp_path):
    for name, offset in (("good", 1.0), ("wrong", 9.0)):
        write_phantom(tmp_path / "cases" / name / "ct.mha", offset_hu=offset)
    (tmp_path / "cases" / "empty").mkdir()
    code, text = call("run", "water-hu", "--ct", "cases/wrong", "--out", "alone", *ENABLE, "--json", "--no-store")
    assert code == 2, "a folder is no MetaImage and holds no DICOM CT"
    ct = tmp_path / "cases" / "wrong" / "ct.mha"
    code, text = call("run", "water-hu", "--ct", ct, "--out", "alone", *ENABLE, "--json", "--no-store")
    assert (code, json.loads(text)["measurements"]["water"]["value"]) == (1, 9.0)
    assert (tmp_path / "alone" / "report.pdf").is_file()
    words = ("batch", "cases", "--analysis", "water-hu", "--out", "out", "--workers", 1, "--json", *ENABLE)
    code, text = call(*words)
    rows = {row["case"]: row for row in json.loads(text)["cases"]}
    assert (code, rows["good"]["state"], rows["wrong"]["state"], rows["empty"]["state"]) == (2, "PASS", "FAIL", "ERROR")
    alone = json.loads((tmp_path / "alone" / "result.json").read_text())
    batch = json.loads((tmp_path / "out" / rows["wrong"]["folder"] / "result.json").read_text())
    assert batch["measurements"] == alone["measurements"]
    assert batch["figures"] == alone["figures"]
    assert "water_HU" in (tmp_path / "out" / "summary.csv").read_text()


def test_its_acceptance_test_runs_in_a_process_of_its_own_and_is_reported(call, tmp_path):
    from pypdf import PdfReader

    code, text = call("commission", "water-hu", "--quick", "--out", "acceptance", "--json", "--no-store", *ENABLE)
    found = json.loads(text)["analyses"]["water-hu"]
    assert (code, found["passed"], found["origin"]) == (0, True, "water-qa 1.0.0")
    assert {check["name"] for check in found["checks"]} >= {"offset-7-hu", "noise", "cupping"}
    pages = "\n".join(page.extract_text() for page in PdfReader(tmp_path / "acceptance" / "commissioning.pdf").pages)
    for word in ("CT numbers of water", "version 1.0 of water-qa 1.0.0", "5 of 5 checks passed", "Seed"):
        assert word in pages
    assert (tmp_path / "acceptance" / "commissioning.html").is_file()
