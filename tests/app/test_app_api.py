"""protonqa from Python: three functions, nothing heavy before they are called."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

import protonqa
from protonqa.errors import InputError
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import (
    Beam,
    Case,
    EnergyLayer,
    Grid,
    IonPlan,
    PetImage,
    PetTiming,
    SeriesInfo,
    State,
    Volume,
)


def test_the_public_names_load_nothing_heavy():
    code = (
        "import sys, protonqa\n"
        "from protonqa import read_case, simulate, verify\n"
        "import protonqa.cli.simulate, protonqa.cli.phantom, protonqa.cli.plan\n"
        "import protonqa.cli.activity, protonqa.cli.predict, protonqa.cli.benchmark\n"
        "heavy = ('torch', 'numba', 'scipy', 'pydicom', 'SimpleITK', 'matplotlib', 'reportlab')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_simulate_a_phantom(tmp_path):
    done = protonqa.simulate(
        phantom="pmma", energy_mev=40, protons=200, seed=1, spacing_mm=(10, 10, 10), threads=1, out=tmp_path / "out"
    )
    assert done.r80_mm == pytest.approx(float(csda_range_water_mm(40.0)) / 1.16, abs=0.5)
    assert done.protons == 200
    assert (tmp_path / "out" / "profile.csv").is_file()
    assert done.nuclide("o15").unit == "1/proton"
    again = protonqa.simulate("pmma", energy_mev=40, protons=200, seed=1, spacing_mm=(10, 10, 10), threads=1)
    assert again.r80_mm == done.r80_mm


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"energy_mev": 400}, "energy_mev cannot be used, got 400"),
        ({"energy_mev": float("nan")}, "energy_mev cannot be used"),
        ({"energy_mev": 40, "spot_size": 3}, "spot_size cannot be used"),
        ({"energy_mev": 40, "protons": 0}, "protons cannot be used"),
    ],
)
def test_wrong_options_are_one_input_error(options, message):
    with pytest.raises(InputError, match=message):
        protonqa.simulate("water", **options)


def case(pet: PetImage | None) -> Case:
    grid = Grid(shape=(6, 6, 6), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(0.0, 0.0, 0.0))
    layer = EnergyLayer(energy_mev=80.0, spot_xy_mm=np.zeros((1, 2)), meterset_mu=np.ones(1))
    beam = Beam(number=1, name="b", gantry_deg=0.0, couch_deg=0.0, isocenter_mm=(10.0, 10.0, 10.0), layers=(layer,))
    return Case(
        ct=Volume(grid=grid, array=np.zeros(grid.shape), unit="HU"),
        ct_info=SeriesInfo(modality="CT"),
        plan=IonPlan(patient_position="HFS", beams=(beam,)),
        pet=pet,
    )


def pet_without_times() -> PetImage:
    grid = Grid(shape=(6, 6, 6), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(0.0, 0.0, 0.0))
    return PetImage(
        volume=Volume(grid=grid, array=np.ones(grid.shape), unit="Bq/ml"),
        timing=PetTiming(decay_correction="NONE", frame_start=datetime(2026, 1, 5, tzinfo=UTC)),
        info=SeriesInfo(modality="PT"),
    )


def test_verify_runs_the_analysis_and_keeps_its_honesty(tmp_path):
    without_pet = protonqa.verify(case(None))
    assert (without_pet.state, without_pet.reason) == (State.NOT_EVALUABLE, "there is no PET")
    out = tmp_path / "out"
    without_times = protonqa.verify(case(pet_without_times()), out=out, seed=2, device="cpu", tolerance_mm=2.0)
    assert without_times.state is State.NOT_EVALUABLE
    assert "time line" in without_times.reason
    assert without_times.provenance["parameters"]["tolerance_mm"] == 2.0
    assert (out / "report.pdf").is_file()
    with pytest.raises(InputError, match="did you mean tolerance_mm"):
        protonqa.verify(case(None), tolerence_mm=2.0)


def test_read_case_takes_text_paths(tmp_path):
    with pytest.raises(InputError, match="no file or folder for the CT"):
        protonqa.read_case(ct=str(tmp_path / "ct"))
