"""The table of `simulate`: fixed columns, exact round trip, no nuclide lost without a word."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import GeometryError, InputError
from protonqa.files.depth_profiles import COLUMNS, read_depth_profile, read_depth_profiles, write_depth_profiles
from protonqa.values import DepthProfile


def profile(ray: str = "", seed: int = 0, n: int = 4, **changes) -> DepthProfile:
    rng = np.random.default_rng(seed)
    values = {
        "depth_mm": np.arange(n) + 0.5,
        "production_per_mm": rng.random((7, n)) * 1e-5,
        "idd_mev_per_mm": rng.random(n),
        "dose_mev_cm2_per_g": rng.random(n),
        "hu": rng.normal(size=n) * 100,
        "rsp": rng.random(n),
    }
    return DepthProfile(**{**values, **changes}, ray=ray)


def same(a: DepthProfile, b: DepthProfile) -> bool:
    names = ("depth_mm", "production_per_mm", "idd_mev_per_mm", "dose_mev_cm2_per_g", "hu", "rsp")
    pairs = [(getattr(a, n), getattr(b, n)) for n in names]
    return a.ray == b.ray and all((x is None and y is None) or np.array_equal(x, y) for x, y in pairs)


def test_columns_are_those_of_the_outside_interface_in_their_order(tmp_path):
    write_depth_profiles(tmp_path / "p.csv", profile())
    assert (tmp_path / "p.csv").read_text().splitlines()[0] == (
        "depth_mm,idd_mev_per_mm,dose_mev_cm2_per_g,c11_per_mm,n13_per_mm,o15_per_mm,c10_per_mm,o14_per_mm,"
        "p30_per_mm,k38_per_mm,hu,rsp"
    )


def test_each_nuclide_stands_in_its_own_column(tmp_path):
    made = np.arange(7)[:, None] * np.ones((7, 2))
    write_depth_profiles(tmp_path / "p.csv", profile(n=2, production_per_mm=made))
    rows = np.genfromtxt(tmp_path / "p.csv", delimiter=",", names=True)
    expected = {"c11": 0, "n13": 1, "o15": 2, "c10": 3, "o14": 4, "p30": 5, "k38": 6}
    assert {k: rows[f"{k}_per_mm"][0] for k in expected} == expected
    assert profile(n=2, production_per_mm=made).raw_per_mm.tolist() == [21, 21]


@pytest.mark.parametrize("absent", [(), ("hu", "rsp"), ("idd_mev_per_mm", "dose_mev_cm2_per_g", "hu", "rsp")])
def test_round_trip_is_exact(tmp_path, absent):
    one = profile(**dict.fromkeys(absent))
    write_depth_profiles(tmp_path / "p.csv", one)
    assert same(read_depth_profile(tmp_path / "p.csv"), one)
    assert set(absent).isdisjoint((tmp_path / "p.csv").read_text().splitlines()[0].split(","))


def test_several_rays_keep_order_length_and_names(tmp_path):
    rays = [profile("b", 1, 4), profile("a", 2, 3, hu=None), profile("-1.5", 3, 5)]
    write_depth_profiles(tmp_path / "p.csv", rays)
    back = read_depth_profiles(tmp_path / "p.csv")
    assert [p.ray for p in back] == ["b", "a", "-1.5"]
    assert all(same(a, b) for a, b in zip(back, rays, strict=True))
    with pytest.raises(InputError, match="3 rays"):
        read_depth_profile(tmp_path / "p.csv")


def test_a_missing_or_misspelt_nuclide_is_refused_not_taken_as_zero(tmp_path):
    write_depth_profiles(tmp_path / "p.csv", profile())
    text = (tmp_path / "p.csv").read_text()
    for column in COLUMNS[3:10]:
        (tmp_path / "q.csv").write_text(text.replace(column, column[:-1]))
        with pytest.raises(InputError, match=f"no column '{column}'.*did you mean '{column[:-1]}'"):
            read_depth_profiles(tmp_path / "q.csv")


def test_impossible_tables_are_refused_with_the_line(tmp_path):
    write_depth_profiles(tmp_path / "p.csv", profile())
    lines = (tmp_path / "p.csv").read_text().splitlines()
    for column, value, message in ((3, "-1e-6", "negative.*line 3"), (5, "nan", "line 3"), (0, "0.5", "line 3")):
        cells = lines[2].split(",")
        cells[column] = value
        (tmp_path / "q.csv").write_text("\n".join([*lines[:2], ",".join(cells), *lines[3:]]))
        with pytest.raises(InputError, match=message):
            read_depth_profiles(tmp_path / "q.csv")


def test_profiles_without_names_of_their_own_are_not_written(tmp_path):
    for rays in ([], [profile("a"), profile("a")], [profile("a"), profile("")], [profile("=x")]):
        with pytest.raises(InputError, match="plain names"):
            write_depth_profiles(tmp_path / "p.csv", rays)
    assert list(tmp_path.iterdir()) == []


def test_the_value_refuses_what_is_no_profile():
    with pytest.raises(InputError, match="do not increase"):
        profile(depth_mm=np.array([0.5, 1.5, 1.5, 2.5]))
    with pytest.raises(InputError, match="negative"):
        profile(production_per_mm=-np.ones((7, 4)))
    with pytest.raises(GeometryError, match="wrong shape"):
        profile(production_per_mm=np.ones((6, 4)))
    with pytest.raises(InputError, match="1 NaN"):
        profile(hu=np.array([0, np.nan, 0, 0]))
    assert not profile().production_per_mm.flags.writeable
