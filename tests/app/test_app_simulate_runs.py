"""`simulate` beyond the plain run: error, stop rule, beam quality, resume, memory, sets of cross sections."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from protonqa.app.simulate import STATE_FILE, SimulateParams, simulate
from protonqa.errors import Cancelled, InputError
from protonqa.files.atomic import check_manifest
from protonqa.files.metaimage import read_metaimage
from protonqa.montecarlo import simulation
from protonqa.physics.stopping import csda_range_water_mm, stopping_power_water

BLOCK = "name: block\nsize_mm: [60, 60, 60]\nspacing_mm: [4, 4, 4]\nbackground: {{material: {}}}\n"
RANGE_60_MM = float(csda_range_water_mm(60.0))


@pytest.fixture
def water(tmp_path):
    path = tmp_path / "block.yaml"
    path.write_text(BLOCK.format("water"))
    return str(path)


@pytest.fixture
def pmma(tmp_path):
    path = tmp_path / "pmma.yaml"
    path.write_text(BLOCK.format("pmma"))
    return str(path)


def params(source: str, /, **changes: object) -> SimulateParams:
    values: dict[str, object] = {"source": source, "energy_mev": 60.0, "protons": 2000, "threads": 1}
    return SimulateParams(**{**values, **changes})  # type: ignore[arg-type]


def test_error_and_beam_quality_are_volumes_beside_the_dose(water, tmp_path):
    out = tmp_path / "out"
    done = simulate(params(water, uncertainty=True, beam_quality=True, dose="both"), out=out, seed=2)
    check_manifest(out)
    names = ("dose", "dose_medium", "dose_error", "let", "mean_energy")
    dose, medium, error, let, energy = (read_metaimage(out / f"{name}.mha") for name in names)
    assert [one.unit for one in (dose, medium, error, let, energy)] == ["Gy/proton", "Gy/proton", "1", "keV/um", "MeV"]
    # In water, dose to water is dose to the medium.
    assert medium.array == pytest.approx(dose.array, rel=1e-5)
    high = dose.array > 0.5 * dose.array.max()
    assert 100.0 * float(error.array[high].mean()) == pytest.approx(done.result.high_dose_error_percent, rel=0.02)
    # The entrance voxel on the axis: nearly 60 MeV, and the LET that goes with it plus that of slow secondaries.
    middle = (0, 7, 7)
    assert float(energy.array[middle]) == pytest.approx(58.0, abs=1.5)
    assert 0.98 < float(let.array[middle]) / (0.1 * float(stopping_power_water(58.0))) < 1.3
    assert let.array[dose.array > 0].max() > 4.0
    plain = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert plain["dose_error_percent_high_dose"] == done.result.high_dose_error_percent
    assert plain["memory_needed_bytes"] > 0
    assert set(plain["artefacts"]) >= {f"{name}.mha" for name in names}


def test_dose_is_the_same_whatever_else_is_asked_for(water, tmp_path):
    plain = simulate(params(water), seed=2)
    more = simulate(params(water, uncertainty=True, beam_quality=True, cross_section_spread=True), seed=2)
    assert np.array_equal(plain.dose.array, more.dose.array)
    assert plain.result.dose_error is None
    assert plain.result.let_kev_per_um is None
    assert plain.to_plain()["dose_error_percent_high_dose"] is None


def test_a_run_stops_at_the_error_asked_for_or_says_that_it_did_not(water):
    short = simulate(params(water, protons=2_000_000, until_percent=3.0, spot_sigma_mm=1.0), seed=1)
    facts = short.to_plain()
    assert facts["protons"] < facts["protons_asked"] == 2_000_000
    assert facts["dose_error_percent_high_dose"] <= 3.0
    assert facts["protons_per_second"] == pytest.approx(facts["protons"] / facts["seconds"])
    few = simulate(params(water, until_percent=0.01), seed=1)
    assert few.to_plain()["protons"] == 2000
    assert "SIM-NOT-PRECISE" in {one.code for one in few.findings}
    assert "SIM-NOT-PRECISE" not in {one.code for one in short.findings}


class StopAfter:
    """Answers True from the n-th question on."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_cancelled_run_goes_on_in_its_folder_to_the_same_files(water, tmp_path, monkeypatch):
    monkeypatch.setattr(simulation, "_KEEP_EVERY_S", 0.0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    request = params(water, protons=40_000, resume=True)
    simulate(request, out=whole, seed=3)
    with pytest.raises(Cancelled):
        simulate(request, out=broken, seed=3, cancel=StopAfter(20))
    # What is left says that it is unfinished and is no result.
    assert {path.name for path in broken.iterdir()} == {STATE_FILE}
    said, seen = [], []
    done = simulate(
        request, out=broken, seed=3, notice=said.append, progress=lambda now, total, _: seen.append(now / total)
    )
    assert said[0].startswith("memory: at most ")
    assert said[1].startswith("going on from ")
    facts = done.to_plain()
    assert f"going on from {facts['resumed_from']} of 40000 protons" == said[1]
    assert 0 < facts["resumed_from"] < 40_000 == facts["protons"]
    assert facts["protons_per_second"] == pytest.approx((40_000 - facts["resumed_from"]) / facts["seconds"])
    assert seen == sorted(seen)
    for name in ("profile.csv", "dose.mha", "o15.mha"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    assert not (broken / STATE_FILE).exists()
    check_manifest(broken)


KILLED = """
import sys
from pathlib import Path
from protonqa.app.simulate import SimulateParams, simulate
from protonqa.montecarlo import simulation
simulation._KEEP_EVERY_S = 0.0
request = SimulateParams(source=sys.argv[1], energy_mev=60.0, protons=3_000_000, threads=1, resume=True, volumes=False)
simulate(request, out=Path(sys.argv[2]), seed=3)
"""


def test_a_killed_run_leaves_a_state_that_is_whole(water, tmp_path):
    """The state is written beside the old one and takes its place: a kill at any moment leaves one of them."""
    out = tmp_path / "out"
    run = subprocess.Popen([sys.executable, "-c", KILLED, water, str(out)])
    try:
        while not (out / STATE_FILE).exists() and run.poll() is None:
            time.sleep(0.02)
    finally:
        run.kill()
        run.wait()
    assert run.returncode != 0
    assert not (out / "result.json").exists()
    # The state is that of 3e6 protons: another run is refused, and the file stays for the one it belongs to.
    kept = (out / STATE_FILE).read_bytes()
    with pytest.raises(InputError, match="belongs to another simulation"):
        simulate(params(water, protons=5000, resume=True), out=out, seed=3)
    assert (out / STATE_FILE).read_bytes() == kept
    request = params(water, protons=3_000_000, resume=True, volumes=False)
    said: list[str] = []
    with pytest.raises(Cancelled):
        simulate(request, out=out, seed=3, notice=said.append, cancel=StopAfter(4))
    assert said[1].startswith("going on from ")


def test_resuming_needs_a_folder(water):
    with pytest.raises(InputError, match="no folder to keep the state in"):
        simulate(params(water, resume=True))


def test_a_range_shifter_moves_the_range_of_a_pencil_beam_and_stands_in_the_book(water, tmp_path):
    free = simulate(params(water, energy_spread_percent=0.0))
    behind = simulate(params(water, range_shifter_mm=12.0, range_shifter_gap_mm=100.0), out=tmp_path / "out")
    assert free.r80_mm - behind.r80_mm == pytest.approx(12.0, abs=0.25)
    assert 0.1 < behind.energy_balance["range_shifter"] < 0.3
    stored = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert stored["parameters"]["range_shifter_mm"] == 12.0
    with pytest.raises(InputError, match="stops in the range shifter"):
        simulate(params(water, range_shifter_mm=40.0))


def test_sets_of_cross_sections_are_compared_on_the_same_histories(pmma, tmp_path):
    """The ratio of two whole runs with the sets is the ratio of the few histories, and its noise drops out."""
    spread = simulate(params(pmma, protons=10_000, cross_section_spread=True), seed=1).spread
    assert spread is not None
    assert (spread.sets, spread.protons) == (("recommended", "gate"), 2000)
    one, two = (simulate(params(pmma, protons=20_000, cross_sections=name), seed=9) for name in spread.sets)
    made = [run.result.nuclides_per_mm.sum(axis=1) for run in (one, two)]
    carbon, oxygen = 0, 2
    for key in (carbon, oxygen):
        assert spread.ratio()[1, key] == pytest.approx(made[1][key] / made[0][key], rel=2e-3)
    assert spread.ratio()[1, oxygen] > 1.1
    # GATE has no curves for the others: they are the recommended ones, to the last bit.
    assert spread.spread_percent()[1] == 0.0
    table = tmp_path / "half.csv"
    table.write_text("channel,energy_MeV,xs_mb\np+12C->11C,10,0\np+12C->11C,300,50\n")
    own = simulate(params(pmma, protons=100, cross_sections=str(table), cross_section_spread=True)).to_plain()
    assert set(own["cross_section_spread"]) == {"recommended", "gate", "CSV", "protons"}


def test_what_memory_is_needed_is_said_before_the_first_proton(water):
    said: list[str] = []
    with pytest.raises(Cancelled):
        simulate(params(water, protons=2_000_000), notice=said.append, cancel=StopAfter(3))
    assert len(said) == 1
    assert said[0].startswith("memory: at most ")
    assert "GiB are free" in said[0]


def test_too_little_memory_is_one_line_and_leaves_the_old_result(water, tmp_path, monkeypatch):
    out = tmp_path / "out"
    simulate(params(water, volumes=False), out=out, seed=1)
    monkeypatch.setattr(simulation, "available_bytes", lambda: 2**12)
    with pytest.raises(InputError, match="do not fit into memory") as told:
        simulate(params(water), out=out, seed=2)
    assert "GiB needed" in told.value.line()
    assert "GiB free" in told.value.line()
    assert json.loads((out / "result.json").read_text())["seed"] == 1
    check_manifest(out)
