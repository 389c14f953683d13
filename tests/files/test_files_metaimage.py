"""MetaImage: geometry, values and unit survive; hostile files are refused before memory is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protonqa.errors import GeometryError, InputError, StoreError, UnitsError
from protonqa.files.metaimage import ImageLimits, read_metaimage, write_metaimage
from protonqa.values import Grid, Volume


def rotation(seed: int) -> np.ndarray:
    """A random orthonormal matrix of either handedness."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def volume(seed: int = 1, unit: str = "HU") -> Volume:
    rng = np.random.default_rng(seed)
    grid = Grid(
        shape=(4, 3, 5), spacing_mm=(2.0, 3.0, 4.0), origin_mm=tuple(rng.normal(size=3) * 100), direction=rotation(seed)
    )
    return Volume(grid=grid, array=rng.normal(size=(4, 3, 5)) * 1000, unit=unit)


@pytest.fixture
def mha(tmp_path: Path) -> Path:
    path = tmp_path / "v.mha"
    write_metaimage(volume(), path, compress=False)
    return path


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), suffix=st.sampled_from([".mha", ".mhd"]), compress=st.booleans())
def test_round_trip_is_exact_for_any_direction(tmp_path, seed, suffix, compress):
    original = volume(seed, unit="Bq/ml")
    path = tmp_path / f"v{suffix}"
    write_metaimage(original, path, compress=compress)
    back = read_metaimage(path)
    assert back.unit == "Bq/ml"
    assert np.array_equal(back.array, original.array)
    assert back.grid.shape == original.grid.shape
    assert back.grid.matches(original.grid, tolerance_mm=1e-9)


def test_simpleitk_sees_every_voxel_at_its_world_position(tmp_path):
    original = volume(3)
    for name in ("a.mha", "a.mhd"):
        write_metaimage(original, tmp_path / name)
        image = sitk.ReadImage(str(tmp_path / name))
        for x, y, z in ((0, 0, 0), (4, 0, 0), (0, 2, 0), (0, 0, 3), (4, 2, 3), (1, 2, 3)):
            there = image.TransformIndexToPhysicalPoint((x, y, z))
            assert there == pytest.approx(tuple(original.grid.world_from_index((x, y, z))), abs=1e-6)
            assert image[x, y, z] == original.array[z, y, x]


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    write_metaimage(volume(), tmp_path / "a.mha")
    write_metaimage(volume(), tmp_path / "b.mha")
    assert (tmp_path / "a.mha").read_bytes() == (tmp_path / "b.mha").read_bytes()
    assert names(tmp_path) == ["a.mha", "b.mha"]


def test_unit_is_asked_for_where_the_file_has_none_and_never_overruled(tmp_path, mha):
    assert read_metaimage(mha, unit="HU").unit == "HU"
    with pytest.raises(UnitsError, match="another unit"):
        read_metaimage(mha, unit="Gy")
    image = sitk.ReadImage(str(mha))
    image.EraseMetaData("Unit")
    sitk.WriteImage(image, str(tmp_path / "plain.mha"))
    with pytest.raises(UnitsError, match="names no unit"):
        read_metaimage(tmp_path / "plain.mha")
    assert read_metaimage(tmp_path / "plain.mha", unit="Gy").unit == "Gy"
    with pytest.raises(UnitsError, match="unknown unit"):
        read_metaimage(tmp_path / "plain.mha", unit="furlong")


@pytest.mark.parametrize("pixel", [sitk.sitkInt16, sitk.sitkUInt8, sitk.sitkFloat64, sitk.sitkUInt32, sitk.sitkInt64])
def test_other_pixel_types_become_float32(tmp_path, pixel):
    image = sitk.Cast(sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4)), pixel)
    sitk.WriteImage(image, str(tmp_path / "i.mha"))
    back = read_metaimage(tmp_path / "i.mha", unit="HU")
    assert back.array.dtype == np.float32
    assert np.array_equal(back.array.ravel(), np.arange(24))


def test_nan_infinity_and_overflow_to_infinity_are_refused_with_their_place(tmp_path):
    for value in (np.nan, np.inf, 1e300):
        array = np.zeros((2, 3, 4))
        array[1, 2, 3] = value
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "n.mha"))
        with pytest.raises(InputError, match=r"1 NaN or infinite values, the first at index \(1, 2, 3\)"):
            read_metaimage(tmp_path / "n.mha", unit="HU")


def test_vectors_and_other_dimensions_are_refused(tmp_path):
    cases = {
        "vector.mha": sitk.GetImageFromArray(np.zeros((2, 3, 4, 3)), isVector=True),
        "flat.mha": sitk.GetImageFromArray(np.zeros((3, 4))),
        "four.mha": sitk.GetImageFromArray(np.zeros((2, 2, 3, 4)), isVector=False),
    }
    for name, image in cases.items():
        sitk.WriteImage(image, str(tmp_path / name))
        with pytest.raises(InputError, match=r"one number a voxel|not a volume"):
            read_metaimage(tmp_path / name, unit="HU")


def edited(source: Path, target: str, **fields: str) -> Path:
    """The file with header fields replaced or added."""
    head, _, values = source.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    lines = [line for line in head.decode().splitlines() if line.split(" =")[0] not in fields]
    tail = fields.pop("ElementDataFile", "LOCAL")
    lines += [f"{k} = {v}" for k, v in fields.items()]
    path = source.with_name(target)
    path.write_bytes(("\n".join(lines) + f"\nElementDataFile = {tail}\n").encode() + values)
    return path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"DimSize": "60000 60000 60000"}, "too large"),
        ({"DimSize": "0 3 4"}, "too large or empty"),
        ({"DimSize": "-5 3 4"}, "not a volume"),
        ({"DimSize": "5 3 400"}, "truncated"),
        ({"ElementType": "MET_FLOAT_ARRAY"}, "one number a voxel"),
        ({"ElementNumberOfChannels": "3"}, "one number a voxel"),
        ({"ObjectType": "Mesh"}, "not an image"),
        ({"CompressedData": "True"}, "damaged"),
        ({"ElementDataFile": "../secret.raw"}, "from elsewhere"),
        ({"ElementDataFile": "/etc/hostname"}, "from elsewhere"),
        ({"ElementDataFile": "LIST"}, "from elsewhere"),
        ({"ElementDataFile": "slice%03d.raw 1 4 1"}, "from elsewhere"),
        ({"ElementDataFile": "absent.raw"}, "cannot be read"),
        ({"ElementSpacing": "0 1 1"}, "damaged|not positive"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0 0"}, "damaged|perpendicular"),
        ({"TransformMatrix": "1 0 0 0.5 1 0 0 0 1"}, "perpendicular"),
    ],
)
def test_hostile_headers_are_refused_in_one_line(mha, fields, message):
    path = edited(mha, "hostile.mha", **fields)
    with pytest.raises((InputError, GeometryError), match=message) as caught:
        read_metaimage(path)
    assert "\n" not in caught.value.line()
    assert str(path.parent) not in caught.value.line()


def test_a_negative_spacing_is_an_axis_that_runs_backwards(mha):
    original = read_metaimage(mha).grid
    back = read_metaimage(edited(mha, "backwards.mha", ElementSpacing="-2 3 4")).grid
    expected = np.asarray(original.origin_mm) - 2.0 * original.direction[:, 0]
    assert back.world_from_index((1, 0, 0)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "fields",
    [
        {"DimSize": "600 600 600"},
        {"DimSize": "5 3 3"},
        {"CompressedDataSize": "999999999999999"},
        {"CompressedDataSize": "20"},
        {"CompressedDataSize": "-1"},
        {"CompressedDataSize": "1e3"},
    ],
)
def test_compressed_values_of_another_size_than_declared_are_refused(mha, fields):
    write_metaimage(volume(), mha, compress=True)
    with pytest.raises(InputError, match="truncated or damaged"):
        read_metaimage(edited(mha, "lying.mha", **fields))


def test_a_large_compressed_volume_reads_back(tmp_path):
    rng = np.random.default_rng(4)
    grid = Grid(shape=(40, 200, 200), spacing_mm=(1, 1, 1), origin_mm=(0, 0, 0))
    large = Volume(grid=grid, array=rng.normal(size=grid.shape), unit="HU")
    write_metaimage(large, tmp_path / "large.mha")
    assert (tmp_path / "large.mha").stat().st_size > 4_000_000
    assert np.array_equal(read_metaimage(tmp_path / "large.mha").array, large.array)


def test_a_flipped_bit_in_compressed_values_is_noticed(tmp_path):
    path = tmp_path / "z.mha"
    write_metaimage(volume(), path, compress=True)
    content = bytearray(path.read_bytes())
    start = content.index(b"LOCAL\n") + 6
    for place in range(start, len(content), 7):
        broken = bytearray(content)
        broken[place] ^= 0x10
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"damaged|truncated"):
            read_metaimage(path)


def test_a_file_cut_anywhere_is_refused(mha):
    content = mha.read_bytes()
    packed = mha.with_name("packed.mha")
    write_metaimage(volume(), packed, compress=True)
    cut = mha.with_name("cut.mha")
    for whole in (content, packed.read_bytes()):
        for length in [*range(0, len(whole), 16), len(whole) - 1]:
            cut.write_bytes(whole[:length])
            with pytest.raises(InputError):
                read_metaimage(cut)


def test_strangers_and_absent_files_are_refused(tmp_path):
    for name, content in (("a.mha", b"\x00" * 500), ("b.mha", b"DimSize = 1 1 1\n" * 2), ("c.mha", b"x" * 100_000)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="not a MetaImage"):
            read_metaimage(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        read_metaimage(tmp_path / "absent.mha")


def test_the_limit_counts_voxels(mha):
    assert read_metaimage(mha, limits=ImageLimits(max_voxels=60)).array.size == 60
    with pytest.raises(InputError, match="60 voxels"):
        read_metaimage(mha, limits=ImageLimits(max_voxels=59))


def test_other_suffixes_are_not_written(tmp_path):
    with pytest.raises(InputError, match=r"\.mha"):
        write_metaimage(volume(), tmp_path / "v.nii")


def test_a_library_that_fails_or_writes_half_leaves_the_old_file(mha, monkeypatch):
    old = mha.read_bytes()

    def fail(*args, **keywords):
        raise RuntimeError("itk")

    def half(image, path, **keywords):
        Path(path).write_bytes(old[:-100])

    for broken in (fail, half):
        monkeypatch.setattr("protonqa.files.metaimage.sitk.WriteImage", broken)
        with pytest.raises(StoreError, match="unchanged"):
            write_metaimage(volume(2), mha)
        assert mha.read_bytes() == old
        assert names(mha.parent) == ["v.mha"]


def test_rewriting_a_pair_never_changes_the_values_of_the_old_header(tmp_path, monkeypatch):
    path = tmp_path / "v.mhd"
    write_metaimage(volume(1), path)

    def refuse(*args, **keywords):
        raise StoreError("full")

    monkeypatch.setattr("protonqa.files.metaimage.write_text_atomic", refuse)
    with pytest.raises(StoreError):
        write_metaimage(volume(2), path)
    assert np.array_equal(read_metaimage(path).array, volume(1).array)
