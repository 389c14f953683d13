"""Activity profiles: exact round trips, ragged rays, and clear refusals with the line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protonqa.errors import InputError, StoreError
from protonqa.files.csv_table import FileLimits
from protonqa.files.npz_table import write_npz
from protonqa.files.profiles import read_profiles, write_profiles
from protonqa.values import ProfileSet, Severity, Timeline

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
TIMELINE = Timeline(irradiation_s=60.5, delay_s=300.0, acquisition_s=1800.0)


def csv_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "profiles.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@st.composite
def profile_sets(draw: st.DrawFn) -> list[ProfileSet]:
    """Several sets with different depth grids, with or without HU, RSP, time line, PSF."""
    whole = {"hu": draw(st.booleans()), "rsp": draw(st.booleans())}
    sets = []
    for number in range(draw(st.integers(1, 3))):
        n_ray, n_depth = draw(st.integers(1, 3)), draw(st.integers(2, 6))
        steps = draw(hnp.arrays(float, n_depth, elements=st.floats(1e-3, 1e3)))
        shape = (n_ray, n_depth)
        sets.append(
            ProfileSet(
                depth_mm=np.cumsum(steps),
                activity=draw(hnp.arrays(float, shape, elements=finite)),
                ray=tuple(f"{number}/{i}" for i in range(n_ray)),
                timeline=TIMELINE if draw(st.booleans()) else None,
                psf_fwhm_mm=draw(st.sampled_from([None, 0.0, 5.25])),
                **{k: draw(hnp.arrays(float, shape, elements=finite)) if yes else None for k, yes in whole.items()},
            )
        )
    return sets


def rays_of(sets) -> dict[str, tuple]:
    """Every ray with all that belongs to it, in order."""
    return {
        name: (
            one.depth_mm.tolist(),
            one.activity[i].tolist(),
            None if one.hu is None else one.hu[i].tolist(),
            None if one.rsp is None else one.rsp[i].tolist(),
            one.timeline,
            one.psf_fwhm_mm,
        )
        for one in sets
        for i, name in enumerate(one.ray)
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=profile_sets())
def test_csv_round_trip_is_exact_and_keeps_the_order(tmp_path, sets):
    write_profiles(tmp_path / "p.csv", sets)
    back = read_profiles(tmp_path / "p.csv")
    assert list(rays_of(back.sets).items()) == list(rays_of(sets).items())
    assert back.rays == tuple(n for s in sets for n in s.ray)
    assert back.findings == ()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=profile_sets())
def test_npz_round_trip_is_exact_or_refused_where_rays_lack_values(tmp_path, sets):
    uniform = len({(s.timeline is None, s.psf_fwhm_mm is None) for s in sets}) == 1
    if not uniform:
        with pytest.raises(InputError, match="write a CSV"):
            write_profiles(tmp_path / "p.npz", sets)
        return
    write_profiles(tmp_path / "p.npz", sets)
    assert list(rays_of(read_profiles(tmp_path / "p.npz").sets).items()) == list(rays_of(sets).items())


def test_rays_with_one_grid_make_one_set_and_others_their_own(tmp_path):
    text = "depth_mm,activity,ray\n0.5,1,a\n1.5,2,a\n0.5,3,b\n1.5,4,b\n0.5,5,c\n2.5,6,c\n3.5,7,c\n"
    table = read_profiles(csv_file(tmp_path, text))
    assert [s.ray for s in table.sets] == [("a", "b"), ("c",)]
    assert table.sets[0].activity.tolist() == [[1, 2], [3, 4]]
    assert table.sets[1].depth_mm.tolist() == [0.5, 2.5, 3.5]


def test_rows_outside_the_window_are_left_out(tmp_path):
    mask = np.array([[False, True, True, False]])
    one = ProfileSet(depth_mm=[0.5, 1.5, 2.5, 3.5], activity=[[1, 2, 3, 4]], mask=mask)
    write_profiles(tmp_path / "w.csv", one)
    assert (tmp_path / "w.csv").read_bytes() == b"depth_mm,activity,ray\n1.5,2.0,0\n2.5,3.0,0\n"
    empty = ProfileSet(depth_mm=[0.5, 1.5], activity=[[1, 2]], mask=[[True, False]])
    with pytest.raises(InputError, match="fewer than two"):
        write_profiles(tmp_path / "w.csv", empty)


def test_negative_activity_is_kept(tmp_path):
    table = read_profiles(csv_file(tmp_path, "depth_mm,activity\n0.5,-1e-3\n1.5,2\n"))
    assert table.sets[0].activity.tolist() == [[-1e-3, 2]]


@pytest.mark.parametrize(
    "text", ["\ufeffdepth_mm,activity\r\n0.5,1\r\n1.5,2\r\n", "# note\n\ndepth_mm , activity\r0.5,1\r1.5,2"]
)
def test_byte_order_mark_comments_and_any_line_end_are_fine(tmp_path, text):
    table = read_profiles(csv_file(tmp_path, text))
    assert table.sets[0].depth_mm.tolist() == [0.5, 1.5]
    assert table.sets[0].activity.tolist() == [[1, 2]]


def test_an_incomplete_time_line_is_unknown_and_said_so(tmp_path):
    table = read_profiles(csv_file(tmp_path, "depth_mm,activity,delay_s\n0.5,1,300\n1.5,2,300\n"))
    assert table.sets[0].timeline is None
    assert [(f.code, f.severity) for f in table.findings] == [("PROFILE-TIMELINE-INCOMPLETE", Severity.WARNING)]
    whole = "depth_mm,activity,delay_s,acquisition_s,irradiation_s,psf_mm\n0.5,1,300,600,60,5\n1.5,2,300,600,60,5\n"
    table = read_profiles(csv_file(tmp_path, whole))
    assert table.sets[0].timeline == Timeline(irradiation_s=60, delay_s=300, acquisition_s=600)
    assert table.sets[0].psf_fwhm_mm == 5
    assert table.findings == ()


def test_columns_that_are_not_used_are_named_with_the_likely_meaning(tmp_path):
    table = read_profiles(csv_file(tmp_path, "depth_mm,activity,delays_s,note\n0.5,1,300,x\n1.5,2,300,y\n"))
    assert [f.severity for f in table.findings] == [Severity.WARNING, Severity.INFO]
    assert "did you mean 'delay_s'" in table.findings[0].text


HEAD = "depth_mm,activity\n"
HOSTILE = {
    "empty file": ("", "0 bytes"),
    "header only": (HEAD, "no rows"),
    "comments only": ("# a\n# b\n", "no header"),
    "missing column": ("depth_mm,activty\n0.5,1\n", r"no column 'activity'.*did you mean 'activty'"),
    "wrong case": ("Depth_mm,activity\n0.5,1\n", r"did you mean 'Depth_mm'"),
    "nothing alike": ("a,b\n1,2\n", "no column 'depth_mm' and no column 'activity'"),
    "nuclei": ("depth_mm,c11_per_mm\n0.5,1\n1.5,1\n", "protonqa activity"),
    "nan": (HEAD + "0.5,1\n1.5,nan\n2.5,NaN\n", "2 NaN or infinite values, the first in line 3"),
    "infinite": (HEAD + "0.5,inf\n1.5,1\n", "1 NaN or infinite values, the first in line 2"),
    "overflow": (HEAD + "0.5,1e999\n1.5,1\n", "1 NaN or infinite values, the first in line 2"),
    "text": (HEAD + "0.5,1\n1.5,abc\n", "'abc' in line 3"),
    "empty cell": (HEAD + "0.5,\n1.5,1\n", "an empty cell in line 2"),
    "underscore": (HEAD + "0.5,1_0\n1.5,1\n", "'1_0' in line 2"),
    "other digits": (HEAD + "0.5,\uff11\n1.5,1\n", "in line 2"),
    "decimal comma": (HEAD + "0,5,1,0\n1,5,2,0\n", "4 cells in line 2.*decimal points"),
    "quoted decimal comma": (HEAD + '"0,5",1\n1.5,2\n', "line 2.*decimal points"),
    "semicolons": ("depth_mm;activity\n0,5;1\n", "separated by semicolons"),
    "tabs": ("depth_mm\tactivity\n0.5\t1\n", "separated by tabs"),
    "short line": (HEAD + "0.5,1\n1.5\n", "1 cells in line 3.*complete the line"),
    "equal depths": (HEAD + "0.5,1\n0.5,2\n", "0.5 mm after 0.5 mm, line 3"),
    "falling depths": (HEAD + "2.5,1\n1.5,2\n", "do not increase"),
    "a ray twice": (
        "depth_mm,activity,ray\n0.5,1,a\n1.5,1,a\n0.5,1,b\n1.5,1,b\n0.5,1,a\n",
        "0.5 mm after 1.5 mm, line 6",
    ),
    "one depth": (HEAD + "0.5,1\n", "one depth only"),
    "column twice": ("depth_mm,activity,activity\n0.5,1,1\n", "twice"),
    "column without name": ("depth_mm,activity,\n0.5,1,1\n", "without a name"),
    "changing delay": ("depth_mm,activity,delay_s\n0.5,1,300\n1.5,2,301\n", "301 after 300, line 3"),
    "negative delay": ("depth_mm,activity,delay_s\n0.5,1,-3\n1.5,2,-3\n", "negative.*line 2"),
    "half a column": ("depth_mm,activity,hu\n0.5,1,3\n1.5,2,\n", "an empty cell, line 3"),
    "formula": ("depth_mm,activity,ray\n0.5,1,=cmd()\n1.5,2,=cmd()\n", "no usable name.*line 2"),
    "signed formula": ("depth_mm,activity,ray\n0.5,1,-1+cmd\n1.5,2,-1+cmd\n", "no usable name"),
    "no ray name": ("depth_mm,activity,ray\n0.5,1,\n1.5,2,\n", "no usable name"),
    "markup": ("depth_mm,activity,ray\n0.5,1,<b>\n1.5,2,<b>\n", "no usable name"),
    "open quote": (HEAD + '0.5,"1\n1.5,2\n', "not a CSV"),
    "binary": (b"depth_mm,activity\n\x00\x01", "binary"),
    "latin-1": ("depth_mm,activity,größe\n".encode("latin-1"), "not UTF-8"),
    "utf-16": (HEAD.encode("utf-16"), "UTF-16"),
    "a long line": (HEAD + "0.5," + "1" * 70_000, "too long"),
    "many columns": (",".join(f"c{i}" for i in range(300)) + "\n", "too many columns"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tables_are_refused_in_one_clear_line(tmp_path, name):
    content, message = HOSTILE[name]
    with pytest.raises(InputError, match=message) as caught:
        read_profiles(csv_file(tmp_path, content))
    line = caught.value.line()
    assert "\n" not in line
    assert len(line) < 500
    assert str(tmp_path) not in line
    assert "cmd" not in line


def test_huge_files_are_refused_before_they_are_parsed(tmp_path):
    path = csv_file(tmp_path, HEAD + "0.5,1\n1.5,2\n" * 50)
    with pytest.raises(InputError, match="at most 500 bytes"):
        read_profiles(path, limits=FileLimits(max_bytes=500))
    with pytest.raises(InputError, match="at most 20 rows"):
        read_profiles(path, limits=FileLimits(max_rows=20))
    with pytest.raises(InputError, match="cannot be read"):
        read_profiles(tmp_path / "absent.csv")


def test_a_matrix_npz_takes_one_grid_for_all_rays_and_values_a_ray(tmp_path):
    arrays = {
        "depth_mm": np.array([0.5, 1.5, 2.5]),
        "activity": np.arange(6, dtype=np.float32).reshape(2, 3),
        "hu": np.zeros((2, 3), dtype=np.int16),
        "psf_mm": np.array([4.0, 5.0]),
        "delay_s": np.array(300.0),
        "irradiation_s": np.array(60),
        "acquisition_s": np.array([600.0, 600.0]),
    }
    np.savez(tmp_path / "m.npz", **arrays)
    table = read_profiles(tmp_path / "m.npz")
    assert table.rays == ("0", "1")
    assert [s.psf_fwhm_mm for s in table.sets] == [4.0, 5.0]
    assert table.sets[1].activity.tolist() == [[3, 4, 5]]
    assert table.sets[1].timeline == Timeline(irradiation_s=60, delay_s=300, acquisition_s=600)
    np.savez(tmp_path / "one.npz", depth_mm=arrays["depth_mm"], activity=np.ones(3))
    assert read_profiles(tmp_path / "one.npz").sets[0].activity.shape == (1, 3)


def test_the_same_profiles_give_the_same_bytes(tmp_path):
    one = ProfileSet(depth_mm=[0.5, 1.5], activity=[[1, 2]], timeline=TIMELINE)
    for name in ("p.npz", "p.csv"):
        write_profiles(tmp_path / name, one)
        first = (tmp_path / name).read_bytes()
        write_profiles(tmp_path / name, one)
        assert (tmp_path / name).read_bytes() == first


class Payload:
    """Unpickling this makes a file: the canary of a reader that unpickles."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def npz(folder: Path, **arrays) -> Path:
    np.savez(folder / "h.npz", **arrays)
    return folder / "h.npz"


def test_a_pickle_inside_an_npz_never_runs(tmp_path):
    path = npz(tmp_path, depth_mm=np.array([Payload(tmp_path / "canary")], dtype=object), activity=np.ones(2))
    with pytest.raises(InputError, match="objects"):
        read_profiles(path)
    assert not (tmp_path / "canary").exists()


def test_hostile_npz_files_are_refused(tmp_path):
    depth, ones = np.array([0.5, 1.5]), np.ones(2)
    with pytest.raises(InputError, match=r"1 NaN or infinite values, the first at index \(1,\)"):
        read_profiles(npz(tmp_path, depth_mm=depth, activity=np.array([1, np.nan])))
    with pytest.raises(InputError, match="did you mean 'activty'"):
        read_profiles(npz(tmp_path, depth_mm=depth, activty=ones))
    with pytest.raises(InputError, match="wrong shape"):
        read_profiles(npz(tmp_path, depth_mm=depth, activity=np.ones((2, 2, 2))))
    with pytest.raises(InputError, match="does not fit"):
        read_profiles(npz(tmp_path, depth_mm=depth, activity=np.ones(3)))
    with pytest.raises(InputError, match="not numeric"):
        read_profiles(npz(tmp_path, depth_mm=depth, activity=np.array(["a", "b"])))
    with pytest.raises(InputError, match="one name"):
        read_profiles(npz(tmp_path, depth_mm=depth, activity=np.ones((2, 2)), ray=np.array(["a", "a"])))
    with pytest.raises(InputError, match="no usable name"):
        read_profiles(npz(tmp_path, depth_mm=depth, activity=np.ones((1, 2)), ray=np.array(["=1+1"])))
    (tmp_path / "t.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match="damaged"):
        read_profiles(tmp_path / "t.npz")


def test_npz_bombs_and_lying_headers_allocate_nothing(tmp_path):
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("activity.npy", bytes(50_000_000))
    with pytest.raises(InputError, match="inflates to too much"):
        read_profiles(bomb)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    for raw in (header.getvalue(), header.getvalue()[:20], b"\x93NUMPY\x07\x00", b""):
        with zipfile.ZipFile(bomb, "w") as archive:
            archive.writestr("activity.npy", raw)
        with pytest.raises(InputError, match=r"truncated array|damaged array"):
            read_profiles(bomb)
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("../activity.npy", b"x")
    with pytest.raises(InputError, match="not an array"):
        read_profiles(bomb)


def test_an_npz_cut_or_flipped_anywhere_is_refused(tmp_path):
    path = tmp_path / "p.npz"
    write_npz(path, {"depth_mm": np.arange(5.0), "activity": np.ones(5)}, label="p")
    content = path.read_bytes()
    for length in range(1, len(content), 16):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            read_profiles(path)


def test_names_that_could_do_harm_are_not_written_and_a_full_disk_keeps_the_old_table(tmp_path, monkeypatch):
    good = ProfileSet(depth_mm=[0.5, 1.5], activity=[[1, 2]])
    write_profiles(tmp_path / "p.csv", good)
    old = (tmp_path / "p.csv").read_bytes()
    for names in (("=cmd",), ("a\nb",)):
        with pytest.raises(InputError, match="plain names"):
            write_profiles(tmp_path / "p.csv", ProfileSet(depth_mm=[0.5, 1.5], activity=[[1, 2]], ray=names))
    with pytest.raises(InputError, match="plain names"):
        write_profiles(tmp_path / "p.csv", [good, good])

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="profile table"):
        write_profiles(tmp_path / "p.csv", ProfileSet(depth_mm=[0.5, 1.5], activity=[[3, 4]]))
    assert (tmp_path / "p.csv").read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["p.csv"]
