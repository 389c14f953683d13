"""``protonqa predict`` with a small model that was trained here, and ``protonqa benchmark``."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from protonqa.files.profiles import write_profiles
from protonqa.values import ProfileSet, Timeline

RANGE_COLUMNS = ["ray", "r80_mm", "r80_low_mm", "r80_high_mm", "a50_mm", "a50_line_r80_mm", "state"]


@pytest.fixture(scope="module")
def invented():
    """The invented rays on which the tests of the range model train."""
    path = Path(__file__).resolve().parents[1] / "range_model" / "conftest.py"
    spec = importlib.util.spec_from_file_location("invented_rays", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def weights(invented, tmp_path_factory):
    import torch

    from protonqa.range_model.dataset import RayTable, SetSchema
    from protonqa.range_model.pipeline import train_model
    from protonqa.range_model.scenarios import ScenarioConfig

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    table = RayTable.from_rays(invented.toy_rays(24, 12, seed=11), SetSchema())
    quiet = {"raw": ScenarioConfig.model_validate(invented.QUIET)}
    train_model(invented.toy_config(epochs=2), table, folder, recipe={"note": "invented"}, scenarios=quiet)
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="module")
def rays(invented):
    return invented.toy_rays(6, 1, seed=99)


@pytest.fixture
def profiles(invented, rays, tmp_path):
    one = invented.toy_profiles(rays, ray=tuple(f"r{i}" for i in range(len(rays))))
    write_profiles(tmp_path / "profiles.csv", one)
    return one


def rows_of(path):
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_answers_go_to_two_tables_and_one_json_object(inside, weights, profiles, rays, tmp_path):
    words = ["predict", "profiles.csv", "--weights", weights, "--threads", 1, "--device", "cpu"]
    done = inside(*words, "--out", "sub/dose.csv", "--json")
    assert done.code == 0
    plain = done.json()
    assert (plain["rays"], plain["device"], plain["model"]) == (6, "cpu", "toy")
    by_name = {row["ray"]: row for row in plain["ranges"]}
    assert list(by_name) == list(profiles.ray)
    answered = [name for name, row in by_name.items() if row["state"] == "OK"]
    assert len(answered) == plain["answered"] >= 4
    for name, ray in zip(profiles.ray, rays, strict=True):
        if name in answered:
            row = by_name[name]
            assert row["r80_low_mm"] <= row["r80_mm"] <= row["r80_high_mm"]
            assert row["r80_mm"] == pytest.approx(ray.r80_mm, abs=6.0)
    ranges = rows_of(tmp_path / "sub" / "dose_ranges.csv")
    assert list(ranges[0])[:7] == RANGE_COLUMNS
    assert float(ranges[0]["r80_mm"]) == by_name["r0"]["r80_mm"]
    dose = rows_of(tmp_path / "sub" / "dose.csv")
    assert list(dose[0]) == ["ray", "depth_mm", "dose"]
    for name in answered:
        mine = [float(row["dose"]) for row in dose if row["ray"] == name]
        assert max(mine) == pytest.approx(1.0, abs=1e-6)
        assert len(mine) == profiles.depth_mm.size


def test_a_ray_that_cannot_be_read_is_refused_with_its_reason(inside, weights, invented, rays, tmp_path):
    good = invented.toy_profiles(rays[:1], ray=("good",))
    zero = ProfileSet(depth_mm=good.depth_mm, activity=np.zeros_like(good.activity), rsp=good.rsp, ray=("zero",))
    cut = ProfileSet(depth_mm=good.depth_mm[:50], activity=good.activity[:, :50], rsp=good.rsp[:, :50], ray=("cut",))
    write_profiles(tmp_path / "p.csv", [good, zero, cut])
    done = inside("predict", "p.csv", "--weights", weights, "--out", "d.csv", "--json")
    assert done.code == 0
    rows = {row["ray"]: row for row in done.json()["ranges"]}
    assert (rows["good"]["state"], rows["good"]["reason"]) == ("OK", "")
    for name in ("zero", "cut"):
        assert (rows[name]["state"], rows[name]["r80_mm"]) == ("NOT EVALUABLE", None)
        assert rows[name]["reason"]
    assert {row["ray"] for row in rows_of(tmp_path / "d.csv")} == {"good"}
    assert rows_of(tmp_path / "d_ranges.csv")[1]["r80_mm"] == ""


def test_no_answer_at_all_exits_3_with_the_reasons(inside, weights, profiles, tmp_path):
    write_profiles(tmp_path / "p.csv", ProfileSet(depth_mm=profiles.depth_mm, activity=np.zeros((1, 448))))
    done = inside("predict", "p.csv", "--weights", weights, "--out", "d.csv", "--json")
    assert done.code == 3
    assert [row["state"] for row in done.json()["ranges"]] == ["NOT EVALUABLE"]
    assert len(rows_of(tmp_path / "d_ranges.csv")) == 1
    text = inside("predict", "p.csv", "--weights", weights, "--out", "d.csv")
    assert "0 of 1 rays answered" in text.out
    assert "NOT EVALUABLE, " in text.out


def test_a_plain_table_without_ct_and_times_is_one_ray_with_findings(inside, weights, rays, tmp_path):
    activity = rays[0].production.sum(axis=0)
    lines = [f"{i + 0.5},{value!r}" for i, value in enumerate(activity.tolist())]
    (tmp_path / "p.csv").write_text("depth_mm,activity\n" + "\n".join(lines) + "\n")
    plain = inside("predict", "p.csv", "--weights", weights, "--out", "d.csv", "--json").json()
    assert len(plain["ranges"]) == 1
    assert {"NO-CT", "NO-TIMELINE"} <= {one["code"] for one in plain["findings"]}


def test_npz_and_csv_give_the_same_answer_in_any_unit(inside, weights, profiles, tmp_path):
    scaled = ProfileSet(
        depth_mm=profiles.depth_mm, activity=profiles.activity * 1e9, rsp=profiles.rsp, ray=profiles.ray
    )
    write_profiles(tmp_path / "p.npz", scaled)
    words = ["--weights", weights, "--threads", 1, "--json", "--out", "d.csv"]
    first = inside("predict", "profiles.csv", *words).json()["ranges"]
    second = inside("predict", "p.npz", *words).json()["ranges"]
    for one, two in zip(first, second, strict=True):
        assert one["state"] == two["state"]
        assert one["r80_mm"] == pytest.approx(two["r80_mm"], abs=1e-6)


def test_depths_beyond_the_working_grid_are_no_error(inside, weights, profiles, tmp_path):
    depth = np.arange(600) + 0.5
    activity = np.zeros((1, 600))
    activity[:, :448] = profiles.activity[:1]
    rsp = np.ones((1, 600))
    rsp[:, :448] = profiles.rsp[:1]
    write_profiles(tmp_path / "p.csv", ProfileSet(depth_mm=depth, activity=activity, rsp=rsp, ray=("long",)))
    short = inside("predict", "profiles.csv", "--weights", weights, "--out", "s.csv", "--json").json()["ranges"][0]
    long = inside("predict", "p.csv", "--weights", weights, "--out", "d.csv", "--json").json()["ranges"][0]
    assert long["state"] == short["state"] == "OK"
    assert long["r80_mm"] == pytest.approx(short["r80_mm"], abs=1e-6)
    assert len([row for row in rows_of(tmp_path / "d.csv") if row["ray"] == "long"]) == 600


def test_times_of_activity_reach_the_model(inside, weights, profiles, tmp_path):
    timed = ProfileSet(
        depth_mm=profiles.depth_mm,
        activity=profiles.activity,
        rsp=profiles.rsp,
        ray=profiles.ray,
        timeline=Timeline(irradiation_s=60.0, delay_s=300.0, acquisition_s=600.0),
        psf_fwhm_mm=5.0,
    )
    write_profiles(tmp_path / "t.csv", timed)
    plain = inside("predict", "t.csv", "--weights", weights, "--out", "d.csv", "--json").json()
    assert "NO-TIMELINE" not in {one["code"] for one in plain["findings"]}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("depth_mm,c11_per_mm\n0.5,1\n1.5,1\n", "give it a time line with 'protonqa activity' first"),
        ("depth_mm,activity\n0.5,1\n1.5,nan\n", "line 3"),
        ("depth_mm,activity\n1.5,1\n0.5,1\n", "do not increase"),
        ("depth_mm,activty\n0.5,1\n1.5,1\n", "did you mean"),
    ],
)
def test_unusable_tables_are_one_line(inside, weights, tmp_path, content, line):
    (tmp_path / "p.csv").write_text(content)
    done = inside("predict", "p.csv", "--weights", weights, "--out", "d.csv")
    assert (done.code, done.out) == (2, "")
    assert line in done.error
    assert not (tmp_path / "d.csv").exists()


def test_a_missing_or_damaged_model_is_one_line(inside, weights, profiles, tmp_path):
    (tmp_path / "empty").mkdir()
    none = inside("predict", "profiles.csv", "--weights", "empty", "--out", "d.csv")
    assert none.code == 2
    assert none.error.startswith("error[MODEL-FILE]: model card is missing")
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("card.json", "model.safetensors"):
        content = bytearray((weights / name).read_bytes())
        if name == "model.safetensors":
            content[len(content) // 2] ^= 1
        (broken / name).write_bytes(bytes(content))
    assert inside("predict", "profiles.csv", "--weights", "broken", "--out", "d.csv").error.startswith(
        "error[MODEL-FILE]"
    )


def test_benchmark_has_the_promised_keys(inside, weights, monkeypatch):
    from protonqa.app import benchmark
    from protonqa.range_model import model_file

    loaded = model_file.load_model(weights)
    monkeypatch.setattr(model_file, "shipped_model", lambda: loaded)
    monkeypatch.setattr(benchmark, "_LEAST_S", 0.01)
    monkeypatch.setattr(benchmark, "_SIZE_MM", (20.0, 20.0, 180.0))
    words = ["benchmark", "--parts", "montecarlo", "model", "activity", "--protons", 100, "--profiles", 4]
    plain = inside(*words, "--threads", 1, "--device", "cpu", "--json").json()
    assert plain["montecarlo"]["protons_per_second"] > 0
    assert (plain["montecarlo"]["threads"], plain["montecarlo"]["energy_mev"]) == (1, 150.0)
    assert plain["model"]["profiles_per_second"] > 0
    assert plain["activity"]["profiles_per_second"] > 0
    assert plain["activity"]["profiles_per_second_poisson"] > 0
    assert plain["device"] == "cpu"
    assert "verify" not in plain
    text = benchmark.benchmark_text(plain)
    assert "protons per second (CPU, 1 thread, 150 MeV, water, 1 mm voxels)" in text
    two = {**plain, "montecarlo": {**plain["montecarlo"], "threads": 2}}
    assert "(CPU, 2 threads, " in benchmark.benchmark_text(two)
    gpu = {**plain, "montecarlo": {**plain["montecarlo"], "device": "cuda"}}
    assert "(GPU, 150 MeV, " in benchmark.benchmark_text(gpu)
    assert "profiles per second" in text


def test_benchmark_times_the_verify_job_and_not_the_making_of_its_case(inside, monkeypatch):
    """Both jobs have tests of their own; here only the clock and the wiring count."""
    from types import SimpleNamespace

    from protonqa.app import benchmark, demo, verify
    from protonqa.values import State

    clock = [0.0]
    monkeypatch.setattr(benchmark, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    files = SimpleNamespace(**{name: Path(name) for name in ("ct", "pet", "plan", "dose")})
    seen = []

    def make(folder, *, seed, protons, progress):
        clock[0] += 100.0
        return files, None

    def job(command, *, seed, device, progress):
        clock[0] += 7.0
        seen.append((command.ct, command.dose, command.protons))
        return SimpleNamespace(state=State.PASS)

    monkeypatch.setattr(demo, "make_demo_case", make)
    monkeypatch.setattr(verify, "verify", job)
    plain = inside("benchmark", "--parts", "verify", "--verify-protons", 2000, "--json").json()
    assert seen == [(Path("ct"), Path("dose"), 2000)]
    assert plain["verify"]["state"] == "PASS"
    assert plain["verify"]["seconds"] == 7.0


def test_benchmark_without_a_model_says_why(inside, monkeypatch):
    from protonqa.errors import ModelFileError
    from protonqa.range_model import model_file

    def none():
        raise ModelFileError("no range model is installed")

    monkeypatch.setattr(model_file, "shipped_model", none)
    plain = inside("benchmark", "--parts", "model", "--json").json()
    assert plain["model"] == {"profiles_per_second": None, "reason": "no range model is installed"}
