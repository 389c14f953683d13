"""The window without a screen, settings of its own, and a tiny case of a water block."""

from __future__ import annotations

import os

# Before Qt is imported by anybody.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PySide6", reason="the desktop program is an extra: pip install protonqa[gui]")

from protonqa.app.case_maker import DeliverySettings, write_case
from protonqa.phantom.field_maker import make_field
from protonqa.values import Grid, PatientIdentity, Timeline, Volume
from tests.gui.patience import PATIENCE_MS, PROTONS


@pytest.fixture(scope="session")
def case_folder(tmp_path_factory) -> Path:
    """A block of water with a small field from the front, its dose and its PET, as DICOM."""
    folder = tmp_path_factory.mktemp("cases") / "block"
    grid = Grid(shape=(24, 32, 26), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(-50.0, -62.0, -46.0))
    hu = np.full(grid.shape, -1000.0, dtype=np.float32)
    hu[3:21, 4:28, 4:22] = 0.0
    ct = Volume(grid=grid, array=hu, unit="HU")
    plan = make_field(
        ct, patient_position="HFS", target_center_mm=(0.0, 14.0, 0.0), target_radius_mm=14.0, gantry_deg=0.0
    )
    write_case(
        folder,
        planning_ct=ct,
        delivered_ct=ct,
        plan=plan,
        settings=DeliverySettings(
            timeline=Timeline(irradiation_s=60.0, delay_s=120.0, acquisition_s=600.0), counts=None, protons=PROTONS
        ),
        seed=3,
        patient=PatientIdentity(patient_id="BLOCK-1", name="Block^Water"),
    )
    return folder


@pytest.fixture
def settings_folder(tmp_path, monkeypatch) -> Path:
    """Settings of the window go here, its results into a store of this test alone."""
    folder = tmp_path / "settings"
    folder.mkdir()
    monkeypatch.setenv("PROTONQA_GUI_SETTINGS", str(folder))
    monkeypatch.setenv("PROTONQA_DATA_DIR", str(tmp_path / "data"))
    return folder


@pytest.fixture
def window(qtbot, settings_folder, tmp_path):
    """A window on the (absent) screen; its workers end with the test."""
    from protonqa_gui.main_window import MainWindow
    from protonqa_gui.start import application

    application()
    made = MainWindow(tmp_path / "results")
    qtbot.addWidget(made)
    made.show()
    yield made
    made.close()


@pytest.fixture
def opened(window, qtbot, case_folder):
    """The window with the tiny case open and the analyses listed."""
    with qtbot.waitSignal(window.case_opened, timeout=PATIENCE_MS):
        window.warm_up()
        window.open_folder(str(case_folder))
    return window
