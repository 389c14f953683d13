"""One case through Python, the command line and a batch file: the same result to the bit, times and paths aside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import protonqa
from protonqa.analyses.result_json import result_to_plain
from protonqa.values import Grid, PatientIdentity, Volume

PARAMS = {"psf_mm": 5.0, "protons": 5000, "ray_pitch_mm": 7.0, "systematic_draws": 2, "tolerance_mm": 4.0}
SEED = 3


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Path:
    """A block of soft tissue with one field, delivered as planned, as DICOM."""
    from protonqa.app.case_maker import DeliverySettings, write_case
    from protonqa.phantom.field_maker import make_field

    grid = Grid(shape=(24, 30, 30), spacing_mm=(5, 5, 5), origin_mm=(-72.5, -72.5, -57.5))
    hu = np.full(grid.shape, -1000.0, dtype=np.float32)
    hu[2:-2, 4:-4, 4:-4] = 30.0
    ct = Volume(grid=grid, array=hu, unit="HU")
    target = {"target_center_mm": (0.0, 25.0, 0.0), "target_radius_mm": 22.0}
    plan = make_field(ct, patient_position="HFS", gantry_deg=0.0, **target)
    out = tmp_path_factory.mktemp("case")
    write_case(
        out / "patient",
        planning_ct=ct,
        delivered_ct=ct,
        plan=plan,
        settings=DeliverySettings(protons=5000),
        seed=1,
        patient=PatientIdentity(patient_id="P1"),
    )
    return out / "patient"


def numbers_of(plain: dict[str, Any]) -> dict[str, Any]:
    """A result without when it ran, how long it took, and what the results store knew of its commissioning."""
    plain = json.loads(json.dumps(plain))
    plain["findings"] = [one for one in plain["findings"] if "COMMISSION" not in one["code"]]
    for part in (plain, *plain["parts"]):
        part["timings_s"] = {}
        part["provenance"].pop("started_utc", None)
    return plain


def protonqa_command(*words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PROTONQA_CONFIG": ""}
    command = [sys.executable, "-m", "protonqa", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=600)


def test_python_command_line_and_batch_file_agree_to_the_bit(case, tmp_path, monkeypatch):
    monkeypatch.setenv("PROTONQA_CONFIG", "")
    files = {"ct": case / "ct", "pet": case / "pet", "plan": case / "plan.dcm", "dose": case / "dose.dcm"}
    read = protonqa.read_case(**files)
    python = numbers_of(result_to_plain(protonqa.verify(read, seed=SEED, device="cpu", **PARAMS)))
    assert python["state"] == "PASS"
    assert python["measurements"]["rays_used"]["value"] >= 20

    words = [word for name, path in files.items() for word in (f"--{name}", path)]
    words += [word for name, value in PARAMS.items() for word in (f"--{name.replace('_', '-')}", value)]
    place = tmp_path / "run"
    common = ("--seed", SEED, "--device", "cpu", "--no-report", "--no-store")
    done = protonqa_command("run", "range-verification", *words, *common, "--out", place)
    assert done.returncode == 0, done.stderr
    command = numbers_of(json.loads((place / "result.json").read_text()))

    batch = {"analysis": "range-verification", "params": PARAMS, "seed": SEED}
    batch["cases"] = [{"name": "one", "folder": str(case)}]
    (tmp_path / "batch.yaml").write_text(json.dumps(batch))  # every JSON text is YAML
    done = protonqa_command("batch", tmp_path / "batch.yaml", "--out", tmp_path / "out", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    batched = numbers_of(json.loads((tmp_path / "out" / "cases" / "one" / "result.json").read_text()))

    assert command == python
    assert batched == command
    # Threads, process and time of day apart, it is one text.
    texts = [json.dumps(one, sort_keys=True) for one in (python, command, batched)]
    assert texts[0] == texts[1] == texts[2]
