"""`simulate` from files: sources, profile and volumes that agree with each other, choices that exclude each other."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from protonqa.app.progress import CancelToken
from protonqa.app.simulate import SimulateParams, simulate
from protonqa.app.sources import load_anatomy, source_kind
from protonqa.device import Device
from protonqa.errors import CalibrationError, Cancelled, DeviceError, InputError, StoreError
from protonqa.files.atomic import check_manifest
from protonqa.files.depth_profiles import read_depth_profile
from protonqa.files.metaimage import read_metaimage, write_metaimage
from protonqa.physics.stopping import csda_range_water_mm
from protonqa.values import Grid, Volume

RANGE_60_MM = float(csda_range_water_mm(60.0))


@pytest.fixture
def water(tmp_path):
    path = tmp_path / "block.yaml"
    path.write_text("name: block\nsize_mm: [60, 60, 60]\nspacing_mm: [4, 4, 4]\nbackground: {material: water}\n")
    return str(path)


@pytest.fixture
def pmma(tmp_path):
    path = tmp_path / "pmma.yaml"
    path.write_text("name: pmma-block\nsize_mm: [60, 60, 60]\nspacing_mm: [4, 4, 4]\nbackground: {material: pmma}\n")
    return str(path)


@pytest.fixture
def zero_hu(tmp_path):
    """The same block as CT numbers: HU 0 is not water."""
    grid = Grid(shape=(15, 15, 15), spacing_mm=(4.0, 4.0, 4.0), origin_mm=(-28.0, -28.0, 2.0))
    path = tmp_path / "block.mha"
    write_metaimage(Volume(grid=grid, array=np.zeros(grid.shape), unit="HU"), path)
    return str(path)


def params(source: str, /, **changes: object) -> SimulateParams:
    values: dict[str, object] = {"source": source, "energy_mev": 60.0, "protons": 400, "threads": 1}
    return SimulateParams(**{**values, **changes})


def test_files_hold_what_the_numbers_say(water, tmp_path):
    out = tmp_path / "out"
    done = simulate(params(water), out=out, seed=3)
    check_manifest(out)
    profile = read_depth_profile(out / "profile.csv")
    assert profile.depth_mm == pytest.approx(np.arange(60) + 0.5)
    assert profile.rsp == pytest.approx(np.ones(60))
    assert done.r80_mm == pytest.approx(RANGE_60_MM, abs=0.3)
    assert done.r90_mm < done.r80_mm
    # Neutrals are booked as the mean of their tables: the sum has a noise of 0.16 over the root of the protons.
    assert sum(done.energy_balance.values()) == pytest.approx(1.0, abs=4 * 0.16 / np.sqrt(400))
    # Dose volume, depth curve and energy book are three ways to the same energy.
    dose = read_metaimage(out / "dose.mha")
    assert dose.unit == "Gy/proton"
    joule = float(dose.array.sum(dtype=np.float64)) * dose.grid.voxel_ml * 1e-3
    deposited_mev = float(profile.idd_mev_per_mm.sum())
    assert joule / 1.602176634e-13 == pytest.approx(deposited_mev, rel=1e-3)
    assert deposited_mev == pytest.approx(60.0 * done.energy_balance["deposited"], rel=1e-3)
    oxygen = read_metaimage(out / "o15.mha")
    assert float(oxygen.array.sum(dtype=np.float64)) == pytest.approx(profile.production_per_mm[2].sum(), rel=1e-4)
    stored = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert (stored["seed"], stored["protons"], stored["parameters"]["energy_mev"]) == (3, 400, 60.0)
    assert "source" not in stored["parameters"]
    assert set(done.artefacts) | {"manifest.json"} == {path.name for path in out.iterdir()}


def test_hu_0_is_not_water_and_the_calibration_can_say_otherwise(water, zero_hu, tmp_path):
    plain = simulate(params(zero_hu))
    assert plain.r80_mm == pytest.approx(RANGE_60_MM / 1.024, abs=0.3)
    assert {one.code for one in plain.findings} == {"HLUT-GENERIC"}
    hlut = tmp_path / "hlut.csv"
    hlut.write_text("HU,RSP\n-1000,0.001\n0,1.0\n1000,1.5\n")
    calibrated = simulate(params(zero_hu, hlut=hlut))
    assert calibrated.r80_mm == pytest.approx(simulate(params(water)).r80_mm, abs=0.1)
    assert calibrated.findings == ()


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads(water):
    one = simulate(params(water, protons=5000), seed=5)
    two = simulate(params(water, protons=5000, threads=2), seed=5)
    assert np.array_equal(one.dose.array, two.dose.array)
    assert np.array_equal(one.profile.production_per_mm, two.profile.production_per_mm)
    assert not np.array_equal(one.dose.array, simulate(params(water, protons=5000), seed=6).dose.array)


def test_a_users_cross_sections_replace_their_channels_only(pmma, tmp_path):
    from protonqa.physics.emission import cross_section_set

    energy, xs = cross_section_set("recommended").curves["p+12C->11C"]
    table = tmp_path / "double.csv"
    rows = [f"p+12C->11C,{e!r},{2 * x!r}" for e, x in zip(energy.tolist(), xs.tolist(), strict=True)]
    table.write_text("channel,energy_MeV,xs_mb\n" + "\n".join(rows) + "\n")
    plain, doubled = simulate(params(pmma)), simulate(params(pmma, cross_sections=str(table)))
    made, more = plain.result.channels_per_mm.sum(axis=1), doubled.result.channels_per_mm.sum(axis=1)
    assert more[0] == pytest.approx(2 * made[0], rel=1e-6)
    assert more[1:] == pytest.approx(made[1:], rel=1e-6)
    assert np.array_equal(plain.dose.array, doubled.dose.array)
    assert [one.code for one in doubled.findings] == ["XS-RECOMMENDED"]
    gate = simulate(params(pmma, cross_sections="gate"))
    assert gate.result.channels_per_mm.sum() != pytest.approx(made.sum(), rel=1e-3)
    with pytest.raises(CalibrationError, match="recommended, gate or a CSV"):
        simulate(params(pmma, cross_sections="gats"))


def test_a_beam_model_brings_energy_and_spot(water, tmp_path):
    model = tmp_path / "model.csv"
    head = (
        "nominal_mev,mean_mev,spread_percent,sigma_x_mm,sigma_y_mm,divergence_x_mrad,divergence_y_mrad,protons_per_mu"
    )
    model.write_text(f"{head}\n50,54,0.1,2,2,0,0,1e8\n70,74,0.1,2,2,0,0,1e8\n")
    moved = simulate(params(water, beam_model=model))
    assert moved.r80_mm == pytest.approx(float(csda_range_water_mm(64.0)), abs=0.3)
    with pytest.raises(InputError, match="beam model and spot are both given"):
        simulate(params(water, beam_model=model, spot_sigma_mm=2.0))


def test_spot_size_and_energy_spread_do_what_they_say(water):
    wide = simulate(params(water, spot_sigma_mm=6.0, protons=2000))
    entrance = wide.dose.array[0].sum(axis=0, dtype=np.float64)
    x = (np.arange(15) - 7.0) * 4.0
    assert np.sqrt((entrance * x**2).sum() / entrance.sum()) == pytest.approx(6.0, abs=0.4)
    blurred = simulate(params(water, energy_spread_percent=3.0, protons=2000))
    sharp = simulate(params(water, protons=2000))
    assert blurred.r80_mm - blurred.r90_mm > 1.5 * (sharp.r80_mm - sharp.r90_mm)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energy_mev": None}, "the energy is missing"),
        ({"source": None}, "nothing to simulate"),
        ({"ct": "somewhere"}, "SOURCE and --ct are both given"),
        ({"beam": 1}, "--beam belongs to a plan"),
        ({"plan": "plan.dcm"}, "--energy-mev belongs to a pencil beam"),
        ({"plan": "plan.dcm", "energy_mev": None}, "the CT of the plan is missing"),
        ({"gantry_deg": 0.0}, "--gantry-deg is for a DICOM CT"),
        ({"isocenter_mm": (0, 0, 0)}, "--isocenter-mm is for a DICOM CT"),
        ({"spacing_mm": (7, 7, 7)}, "whole number"),
        ({"source": "/no/such/place"}, "nothing at the path"),
        ({"source": "none.mha"}, "the volume is not there"),
        ({"source": "abdomn"}, "did you mean 'abdomen'"),
        ({"source": "twin:x"}, "seed of a twin"),
    ],
)
def test_what_cannot_be_simulated_is_one_clear_error(water, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        simulate(params(water, **changes), out=tmp_path / "out")
    assert not (tmp_path / "out" / "result.json").exists()


def test_an_unknown_material_names_the_nearest(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("name: p\nsize_mm: [40, 40, 40]\nspacing_mm: [4, 4, 4]\nbackground: {material: watr}\n")
    with pytest.raises(InputError, match="did you mean 'water'"):
        simulate(params(str(path)))


def test_an_image_has_its_own_voxels(zero_hu):
    with pytest.raises(InputError, match="voxel size is for phantoms"):
        simulate(params(zero_hu, spacing_mm=(2, 2, 2)))


def test_a_nan_in_the_ct_is_found_before_anything_runs(zero_hu, tmp_path):
    write_metaimage(read_metaimage(zero_hu), tmp_path / "bad.mhd")
    (raw,) = tmp_path.glob("*.raw")
    values = np.frombuffer(raw.read_bytes(), dtype="<f4").copy()
    values[777] = np.nan
    raw.write_bytes(values.tobytes())
    with pytest.raises(InputError, match="1 NaN or infinite values"):
        simulate(params(str(tmp_path / "bad.mhd")))


def test_a_gpu_asked_for_by_name_is_an_error_and_auto_is_recorded(water):
    with pytest.raises(DeviceError, match="does not run on this device"):
        simulate(params(water), device=Device(kind="cuda", label="GPU", requested="cuda"))
    auto = simulate(params(water, protons=10), device=Device(kind="cuda", label="GPU", requested="auto"))
    assert auto.to_plain()["device"] == "cpu"
    assert auto.to_plain()["device_note"].startswith("the Monte Carlo runs on the CPU: ")
    assert "SIM-ON-CPU" in {one.code for one in auto.findings}


def test_cancelling_leaves_the_old_result(water, tmp_path):
    out = tmp_path / "out"
    simulate(params(water), out=out, seed=1)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        simulate(params(water), out=out, seed=2, cancel=token)
    assert json.loads((out / "result.json").read_text())["seed"] == 1
    check_manifest(out)


def test_progress_rises_to_the_end(water, tmp_path):
    seen = []
    simulate(params(water), out=tmp_path / "out", progress=lambda done, total, _: seen.append(done / total))
    assert seen == sorted(seen)
    assert seen[-1] > 0.95


def test_an_unwritable_folder_is_told_before_computing(water, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="output folder cannot be written"):
        simulate(params(water, protons=2_000_000_000), out=tmp_path / "file")


def test_sources_are_told_apart_by_name_and_place(tmp_path, zero_hu):
    (tmp_path / "water").mkdir()
    assert source_kind("water") == "phantom"
    assert source_kind(str(tmp_path / "water")) == "ct"
    assert source_kind("twin:4") == "phantom"
    assert source_kind("somewhere.YAML") == "phantom"
    assert source_kind(zero_hu) == "volume"
    anatomy = load_anatomy("slab", spacing_mm=(20, 20, 20))
    assert (anatomy.kind, anatomy.name) == ("phantom", "slab")
    assert replace(anatomy, name="x").ct.grid.shape == (19, 6, 6)
