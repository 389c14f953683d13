"""``protonqa activity``: the time line by closed form, the window by its definition, columns passed through."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from protonqa.files.depth_profiles import write_depth_profiles
from protonqa.files.profiles import read_profiles
from protonqa.physics.nuclides import NUCLIDE_KEYS, decay_constants_per_s
from protonqa.values import DepthProfile

N = 220
DEPTH_MM = np.arange(N) + 0.5


def made(
    end_mm: float = 150.0, *, keys: dict[str, float] | None = None, ray: str = "", hu: float = 40.0
) -> DepthProfile:
    """A plateau of nuclei with a smooth end."""
    edge = 0.5 * (1.0 - np.tanh((DEPTH_MM - end_mm) / 2.0))
    production = np.zeros((7, N))
    for key, height in (keys or {"c11": 1.0, "o15": 2.0}).items():
        production[NUCLIDE_KEYS.index(key)] = height * edge
    return DepthProfile(
        depth_mm=DEPTH_MM, production_per_mm=production, hu=np.full(N, hu), rsp=np.full(N, 1.04), ray=ray
    )


def rows_of(path):
    with path.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def table(tmp_path):
    write_depth_profiles(tmp_path / "profile.csv", made())
    return "profile.csv"


@pytest.mark.parametrize(
    ("washout", "key", "factor"),
    [
        # Activity at 300 s over initial activity: the check values for a washout code.
        ("none", "c11", 0.8435),
        ("none", "o15", 0.1825),
        ("mizuno-brain", "c11", 0.3466),
        ("mizuno-muscle", "o15", 0.0998),
        ("toramatsu-o15", "o15", 0.0646),
    ],
)
def test_activity_at_300_s_has_the_published_factor(inside, tmp_path, washout, key, factor):
    write_depth_profiles(tmp_path / "profile.csv", made(keys={key: 1.0}))
    words = ["activity", "profile.csv", "--delay-s", 300, "--acquisition-s", 0, "--irradiation-s", 0]
    assert inside(*words, "--washout", washout, "--out", "a.csv").code == 0
    rows = rows_of(tmp_path / "a.csv")
    rate = decay_constants_per_s()[NUCLIDE_KEYS.index(key)]
    assert float(rows[0]["activity"]) == pytest.approx(factor * rate, rel=5e-4)
    assert len(rows) == N


def test_columns_pass_through_and_times_stand_in_every_row(inside, table, tmp_path):
    words = ["--delay-s", 120, "--acquisition-s", 600, "--irradiation-s", 60, "--washout", "parodi-hu"]
    plain = inside("activity", table, *words, "--psf-mm", 5, "--out", "a.csv", "--json").json()
    rows = rows_of(tmp_path / "a.csv")
    assert ",".join(rows[0]) == "depth_mm,activity,ray,hu,rsp,delay_s,acquisition_s,irradiation_s,psf_mm"
    assert {(r["delay_s"], r["acquisition_s"], r["irradiation_s"]) for r in rows} == {("120.0", "600.0", "60.0")}
    assert {(r["hu"], r["rsp"]) for r in rows} == {("40.0", "1.04")}
    assert plain["activity_unit"] == "decays per mm and proton"
    assert "WASHOUT-BORROWED" in {one["code"] for one in plain["findings"]}
    (one,) = read_profiles(tmp_path / "a.csv").sets
    assert (one.timeline.delay_s, one.psf_fwhm_mm) == (120.0, 5.0)


def test_a_distal_window_ends_20_mm_behind_a50(inside, table, tmp_path):
    words = ["activity", table, "--delay-s", 300, "--window-mm", 100, "--out", "a.csv", "--json"]
    plain = inside(*words, "--window-anchor", "distal").json()
    (ray,) = plain["rays"]
    assert ray["a50_mm"] == pytest.approx(150.0, abs=0.05)
    depth = [float(row["depth_mm"]) for row in rows_of(tmp_path / "a.csv")]
    assert (depth[0], depth[-1], len(depth)) == (70.5, 169.5, 100)
    assert (ray["first_mm"], ray["last_mm"]) == (70.5, 169.5)
    inside(*words, "--window-anchor", "proximal")
    depth = [float(row["depth_mm"]) for row in rows_of(tmp_path / "a.csv")]
    assert (depth[0], depth[-1]) == (0.5, 99.5)


def test_the_window_is_cut_at_random_only_when_asked(inside, table, tmp_path):
    words = ["activity", table, "--delay-s", 300, "--window-mm", 100, "--out", "a.csv", "--json"]
    ends = [inside(*words, "--seed", seed).json()["rays"][0]["last_mm"] for seed in range(3)]
    assert ends == [169.5] * 3
    jittered = [
        inside(*words, "--window-jitter-mm", 10, "--seed", seed).json()["rays"][0]["last_mm"] for seed in range(8)
    ]
    assert len(set(jittered)) > 3
    assert max(abs(end - 169.5) for end in jittered) <= 10.5
    assert inside(*words, "--window-jitter-mm", 10, "--seed", 5).json()["rays"][0]["last_mm"] == jittered[5]


def test_without_any_time_the_nuclei_made_are_summed(inside, table, tmp_path):
    plain = inside("activity", table, "--out", "raw.csv", "--json").json()
    assert (plain["activity_unit"], plain["delay_s"]) == ("nuclei per mm and proton", None)
    rows = rows_of(tmp_path / "raw.csv")
    assert float(rows[0]["activity"]) == pytest.approx(3.0)
    assert "delay_s" not in rows[0]


def test_many_rays_keep_names_order_and_their_own_depths(inside, tmp_path):
    short = made(100.0, ray="short")
    short = DepthProfile(
        depth_mm=short.depth_mm[:160],
        production_per_mm=short.production_per_mm[:, :160],
        hu=short.hu[:160],
        ray="short",
    )
    write_depth_profiles(tmp_path / "p.csv", [made(ray="b 1"), made(120.0, ray="a"), short])
    plain = inside("activity", "p.csv", "--delay-s", 300, "--window-mm", 50, "--out", "a.csv", "--json").json()
    assert [one["ray"] for one in plain["rays"]] == ["b 1", "a", "short"]
    assert [one["a50_mm"] for one in plain["rays"]] == pytest.approx([150.0, 120.0, 100.0], abs=0.1)
    table = read_profiles(tmp_path / "a.csv")
    assert table.rays == ("b 1", "a", "short")
    assert all(one.activity.shape[1] == 50 for one in table.sets)


def test_counting_noise_follows_the_seed_and_leaves_the_window(inside, table, tmp_path):
    words = ["activity", table, "--delay-s", 300, "--counts", 2000, "--window-mm", 100, "--json"]
    first = inside(*words, "--seed", 1, "--out", "one.csv").json()
    assert inside(*words, "--seed", 1, "--out", "same.csv").json() == first
    assert inside(*words, "--seed", 2, "--out", "two.csv").json()["rays"] == first["rays"]
    texts = [(tmp_path / f"{name}.csv").read_text() for name in ("one", "same", "two")]
    assert texts[0] == texts[1] != texts[2]


def test_rays_without_a_fall_off_are_left_out_and_named(inside, tmp_path):
    flat = made(1000.0, ray="flat")
    write_depth_profiles(tmp_path / "p.csv", [made(ray="good"), flat])
    words = ["activity", "p.csv", "--delay-s", 300, "--window-mm", 50, "--out", "a.csv", "--json"]
    plain = inside(*words).json()
    assert [one["ray"] for one in plain["rays"]] == ["good"]
    assert [one["code"] for one in plain["findings"]] == ["ACTIVITY-NO-WINDOW"]
    write_depth_profiles(tmp_path / "p.csv", flat)
    refused = inside(*words)
    assert refused.code == 3
    assert refused.error.startswith("error[NOT-EVALUABLE]: a distal window has no place")
    assert inside(*words, "--window-anchor", "proximal").code == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--washout", "mizuno-brian", "--delay-s", 1], "error[INPUT]: unknown washout model, got 'mizuno-brian'"),
        (["--washout", "mizuno-brain"], "error[INPUT]: washout needs a time line"),
        (["--delay-s", "-1"], "error[USAGE]: --delay-s cannot be used"),
        (["--delay-s", "nan"], "error[USAGE]: --delay-s cannot be used"),
        (["--delay-s", 1, "--window-mm", 0], "error[USAGE]: --window-mm cannot be used"),
        (["--delay-s", 1, "--window-mm", 1], "error[INPUT]: the depth window keeps fewer than two depths"),
        (["--delay-s", 1, "--window-anchor", "distel"], "error[USAGE]: --window-anchor cannot be used"),
    ],
)
def test_wrong_times_and_windows_are_one_line(inside, table, tmp_path, words, line):
    done = inside("activity", table, *words, "--out", "a.csv")
    assert (done.code, done.out) == (2, "")
    assert done.error.startswith(line)
    assert not (tmp_path / "a.csv").exists()


def test_tissue_washout_needs_hu(inside, tmp_path):
    one = made()
    write_depth_profiles(
        tmp_path / "p.csv", DepthProfile(depth_mm=one.depth_mm, production_per_mm=one.production_per_mm)
    )
    done = inside("activity", "p.csv", "--delay-s", 300, "--washout", "parodi-hu", "--out", "a.csv")
    assert done.code == 2
    assert "depends on tissue" in done.error


def test_a_table_that_cannot_be_read_names_the_line(inside, table, tmp_path):
    text = (tmp_path / table).read_text().splitlines()
    text[5] = text[5].replace("40.0", "nan")
    (tmp_path / table).write_text("\n".join(text))
    done = inside("activity", table, "--delay-s", 300, "--out", "a.csv")
    assert done.code == 2
    assert "line 6" in done.error


def test_an_unwritable_place_is_a_store_error(inside, table, tmp_path):
    (tmp_path / "file").write_text("x")
    done = inside("activity", table, "--delay-s", 300, "--out", "file/a.csv")
    assert done.code == 4
    assert done.error.startswith("error[STORE]")
