"""The doctor notices what is wrong, not only what is there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from protonqa.analyses import self_test
from protonqa.app import doctor
from protonqa.device import CPU, CudaDriver, Device
from protonqa.errors import CalibrationError


def test_the_cpu_multiplies_correctly():
    outcome = self_test.compute_self_test(CPU)
    assert outcome.passed
    assert outcome.relative_error is not None
    assert outcome.relative_error < self_test.LIMIT


def test_a_device_that_does_not_exist_fails_the_test():
    outcome = self_test.compute_self_test(Device(kind="abacus", label="wood"))
    assert not outcome.passed
    assert "abacus" in outcome.detail


@pytest.mark.parametrize("wrong", [1e-3, np.nan])
def test_a_device_that_computes_wrongly_fails_the_test(monkeypatch, wrong):
    import torch

    product = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda left, right: product(left, right) * (1 + wrong))
    assert not self_test.compute_self_test(CPU).passed


@pytest.mark.parametrize(
    ("kind", "requested", "reason", "state"),
    [
        ("cpu", "auto", "never asked", "missing"),
        ("cuda", "auto", "", "ok"),
        ("cuda", "auto", "it counts wrong", "warning"),
        ("cuda", "cuda", "it counts wrong", "failed"),
    ],
)
def test_the_monte_carlo_on_the_gpu_is_tested_where_it_would_run(monkeypatch, kind, requested, reason, state):
    monkeypatch.setattr("protonqa.montecarlo.agreement.obstacle", lambda: reason)
    probe = doctor.montecarlo_probe(Device(kind=kind, label="one", requested=requested))
    assert probe.state == state
    assert reason not in ("it counts wrong",) or probe.detail == reason


def test_a_missing_required_library_is_a_failure(monkeypatch):
    monkeypatch.setattr(doctor, "REQUIRED", (*doctor.REQUIRED, "no-such-library"))
    report = doctor.examine(CPU)
    assert not report.ok
    assert {"name": "no-such-library", "state": "failed", "detail": "not installed; reinstall protonqa"} in (
        report.to_plain()["checks"]
    )


def test_broken_parts_are_named(monkeypatch):
    def no_table(name):
        raise CalibrationError("packaged table is missing", got=name)

    def no_database(name):
        raise sqlite3.OperationalError

    monkeypatch.setattr(doctor, "table_rows", no_table)
    monkeypatch.setattr(doctor.sqlite3, "connect", no_database)
    monkeypatch.setattr(doctor, "cuda_driver", lambda: CudaDriver(devices=("Test GPU",), version="12.4"))
    states = {probe.name: probe for probe in doctor.examine(CPU).probes}
    assert states["data tables"].state == "failed"
    assert states["database"].state == "failed"
    assert states["cuda driver"].detail == "12.4, Test GPU"


def test_the_window_needs_a_display(monkeypatch):
    monkeypatch.setattr(doctor, "find_spec", lambda _name: object())
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert doctor._qt_probe().state == "warning"
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert doctor._qt_probe().state == "ok"


def test_little_space_and_little_memory_are_warnings(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_free_gib", lambda _folder: 0.5)
    assert doctor._write_probe("working folder", tmp_path).state == "warning"
    assert doctor._memory_probe(1.0).state == "warning"
    assert doctor._memory_probe(None).detail == "unknown"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_name_is_never_told(tmp_path):
    probe = doctor._write_probe("output folder", Path(tmp_path / "CANARY" / "absent"))
    assert probe.state == "failed"
    assert "CANARY" not in probe.detail


def test_memory_is_known_here():
    memory_gib = doctor.total_memory_gib()
    assert memory_gib is not None
    assert memory_gib > 0.1
