"""A distribution with one analysis, installed beside protonqa for the commands to find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

PLUGIN = """
import sys
import time
from typing import Literal

from pydantic import Field

from protonqa.analyses import AnalysisParams, Check, Commissioning, Input
from protonqa.errors import DicomError, NotEvaluableError
from protonqa.values import AnalysisResult, Finding, Measurement, Severity, State, Volume

print("noise while importing")


class MeanHu:
    name, title, version = "mean-hu", "Mean HU", "2.0"
    inputs = (Input("ct", Volume, title="a CT"),)

    class Params(AnalysisParams):
        above_hu: float = Field(-500.0, ge=-1000, le=3000, title="Threshold", json_schema_extra={"unit": "HU"})
        mode: Literal["pass", "fail", "evidence", "input", "raise", "exit", "nan", "slow"] = "pass"
        size: int = Field(3, gt=0, title="Size", description="Of something.")
        box_mm: tuple[float, float, float] | None = None

    def run(self, context):
        print("noise while running")
        mode, ct = context.params.mode, context.input("ct", Volume)
        if mode == "evidence":
            raise NotEvaluableError("no voxel above the threshold")
        if mode == "input":
            raise DicomError("a slice is missing", got="gap at 12 mm")
        if mode == "raise":
            raise ValueError("CANARY^JANE")
        if mode == "exit":
            sys.exit(0)
        if mode == "slow":
            sys.stderr.write("started\\n")
            sys.stderr.flush()
            while True:
                time.sleep(0.02)
                context.check_cancelled()
        value = float(ct.array[ct.array > context.params.above_hu].mean()) + context.seed
        if mode == "nan":
            return {"mean_hu": float("nan")}
        numbers = {"mean_hu": Measurement(name="mean_hu", value=value, unit="HU", title="Mean HU")}
        found = (Finding(severity=Severity.INFO, code="SIZE", text=f"size {context.params.size}"),)
        state = State.FAIL if mode == "fail" else State.PASS
        facts = {"analysis": self.name, "version": self.version, "title": self.title, "state": state}
        return AnalysisResult(**facts, measurements=numbers, findings=found)

    def commission(self, context):
        limit = 1.0 if context.quick else 0.1
        return Commissioning(checks=(Check(name="bias", value=0.5, unit="HU", limit=limit, title="Bias"),))


class Bare:
    name, title, version, inputs, Params = "bare", "A draw", "1.0", (), AnalysisParams

    def run(self, context):
        number = Measurement(name="draw", value=context.rng().random(), unit="1")
        return AnalysisResult(analysis="bare", version="1.0", state=State.PASS, measurements={"draw": number})

    def commission(self, context):
        return Commissioning(checks=(Check(name="one", value=1.0, unit="1", limit=1.0),))
"""


@dataclass(frozen=True)
class Done:
    """Outcome of a command."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Standard output, which must be one JSON object and nothing else."""
        assert self.out.count("\n") == 1, f"more than one line on standard output: {self.out!r}"
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line of error, without box or traceback."""
        lines = [line for line in self.err.splitlines() if not line.startswith("noise ")]
        assert len(lines) == 1, lines
        assert "Traceback" not in self.err
        assert "╭" not in self.err
        return lines[0]


@dataclass(frozen=True)
class Shell:
    """Runs ``protonqa`` in a process of its own."""

    folder: Path
    environment: dict[str, str]

    def __call__(self, *words: object) -> Done:
        command = [sys.executable, "-m", "protonqa", *map(str, words)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=self.folder,
            env=self.environment,
            timeout=120,
        )
        return Done(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture(scope="session")
def plugin_site(tmp_path_factory):
    """A folder for the Python path with the distribution acme-qa 1.2.0."""
    site = tmp_path_factory.mktemp("site")
    (site / "acme_qa.py").write_text(PLUGIN, encoding="utf-8")
    info = site / "acme_qa-1.2.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: acme-qa\nVersion: 1.2.0\nSummary: Mean HU\n")
    info.joinpath("entry_points.txt").write_text("[protonqa.analyses]\nmean-hu = acme_qa:MeanHu\nbare = acme_qa:Bare\n")
    return site


@pytest.fixture
def shell(plugin_site, tmp_path):
    """The command line, with the plugin installed and enabled, in an empty folder."""
    path = os.pathsep.join([str(plugin_site), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "PROTONQA_PLUGINS": "acme-qa==1.2.0", "OMP_NUM_THREADS": "1"}
    environment |= {"TMPDIR": str(tmp_path), "TEMP": str(tmp_path), "COLUMNS": "100", "PYTHONUTF8": "1"}
    return Shell(folder=tmp_path, environment=environment)


@pytest.fixture
def inside(plugin_site, tmp_path, monkeypatch, capsys):
    """The command line within this process: as `shell`, but fast. For errors that need no process of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(plugin_site))
    monkeypatch.setenv("PROTONQA_PLUGINS", "acme-qa==1.2.0")

    def call(*words: object) -> Done:
        from protonqa.cli import main

        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Done(code=code, out=captured.out, err=captured.err)

    yield call
    sys.modules.pop("acme_qa", None)


@pytest.fixture(scope="session")
def ct_file(tmp_path_factory):
    """A uniform CT of 40 HU."""
    from protonqa.files.metaimage import write_metaimage
    from protonqa.values import Grid, Volume

    path = tmp_path_factory.mktemp("ct") / "ct.mha"
    grid = Grid(shape=(3, 4, 5), spacing_mm=(1, 2, 3), origin_mm=(0, 0, 0))
    write_metaimage(Volume(grid=grid, array=np.full(grid.shape, 40.0), unit="HU"), path)
    return path
