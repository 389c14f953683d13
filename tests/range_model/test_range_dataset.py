"""Training sets: what is written comes back, what is damaged does not, anatomies stay apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from protonqa.errors import InputError, StoreError
from protonqa.range_model.dataset import Channel, RayTable, SetSchema, split_by_anatomy
from protonqa.range_model.shards import MANIFEST, read_manifest, read_training_set, write_manifest, write_shard

SCHEMA = SetSchema()


@pytest.fixture
def folder(tmp_path: Path, toy: SimpleNamespace) -> Path:
    rays = toy.rays(4, 2, seed=1)
    write_shard(tmp_path, "b-1", rays[4:], SCHEMA)
    write_shard(tmp_path, "a-1", rays[:4], SCHEMA)
    write_manifest(tmp_path, SCHEMA, {"seed": 1, "sites": ["toy"]})
    return tmp_path


def test_a_set_comes_back_as_it_was(folder: Path, toy: SimpleNamespace) -> None:
    rays = toy.rays(4, 2, seed=1)
    table = read_training_set(folder)
    assert len(table) == 8
    assert table.anatomy.tolist() == [r.anatomy for r in rays]
    assert np.array_equal(table.production, np.stack([r.production for r in rays]).astype(np.float32))
    assert table.r80_mm.tolist() == [r.r80_mm for r in rays]
    assert table.heterogeneous.tolist() == [r.heterogeneous for r in rays]
    assert read_manifest(folder).recipe == {"seed": 1, "sites": ["toy"]}
    assert read_manifest(folder).n_ray == 8
    direct = RayTable.from_rays(rays, SCHEMA)
    assert np.array_equal(direct.dose, table.dose)


def test_the_same_rays_make_the_same_bytes_and_the_same_hash(
    folder: Path, tmp_path: Path, toy: SimpleNamespace
) -> None:
    other = tmp_path / "again"
    rays = toy.rays(4, 2, seed=1)
    write_shard(other, "a-1", rays[:4], SCHEMA)
    write_shard(other, "b-1", rays[4:], SCHEMA)
    assert (other / "a-1.npz").read_bytes() == (folder / "a-1.npz").read_bytes()
    again = write_manifest(other, SCHEMA, {"another": "recipe"})
    assert again.set_hash == read_manifest(folder).set_hash
    write_shard(other, "b-1", [replace(r, r80_mm=r.r80_mm + 1e-9) for r in rays[4:]], SCHEMA)
    assert write_manifest(other, SCHEMA, {}).set_hash != again.set_hash


def test_no_manifest_is_no_set(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(StoreError, match="no manifest"):
        read_training_set(folder)


@pytest.mark.parametrize("fault", ["cut", "flip", "swap", "missing", "manifest", "schema"])
def test_a_damaged_set_is_refused(folder: Path, fault: str) -> None:
    shard = folder / "a-1.npz"
    content = bytearray(shard.read_bytes())
    if fault == "cut":
        shard.write_bytes(content[: len(content) // 2])
    elif fault == "flip":
        content[len(content) // 2] ^= 4
        shard.write_bytes(content)
    elif fault == "swap":
        shard.write_bytes((folder / "b-1.npz").read_bytes())
    elif fault == "missing":
        shard.unlink()
    elif fault == "manifest":
        (folder / MANIFEST).write_text('{"version": 1}', encoding="utf-8")
    else:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        assert '"dose_bin_mm": 0.5' in text
        (folder / MANIFEST).write_text(text.replace('"dose_bin_mm": 0.5', '"dose_bin_mm": 1.0'), encoding="utf-8")
    with pytest.raises(StoreError):
        read_training_set(folder)


def test_a_pickled_array_is_not_executed(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (canary,))

    arrays = dict(np.load(folder / "a-1.npz"))
    arrays["site"] = np.array([Payload()], dtype=object)
    np.savez(folder / "a-1.npz", **arrays)
    with pytest.raises(StoreError):
        read_training_set(folder)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"rsp": np.ones(10)}, "rsp"),
        ({"production": -np.ones((7, 448))}, "negative"),
        ({"hu": np.full(448, np.nan)}, "finite"),
        ({"r80_mm": 600.0}, "grid"),
        ({"dose": np.zeros(896)}, "no dose"),
        ({"kind": "photon"}, "kind"),
    ],
)
def test_a_ray_that_does_not_fit_is_refused(toy: SimpleNamespace, change: dict[str, object], word: str) -> None:
    ray = replace(toy.rays(1, 1, seed=1)[0], **change)
    with pytest.raises(InputError, match=word):
        RayTable.from_rays([ray], SCHEMA)


def test_shard_names_stay_in_the_folder(tmp_path: Path, toy: SimpleNamespace) -> None:
    for name in ("../out", "a/b", "", "a.b"):
        with pytest.raises(InputError, match="plain"):
            write_shard(tmp_path, name, toy.rays(1, 1, seed=1), SCHEMA)


def test_channels_know_their_nuclide() -> None:
    schema = SetSchema(channels=(Channel(name="o16-pn", nuclide="o15"), Channel(name="c12-pn", nuclide="c11", hu=40.0)))
    assert schema.nuclide_index().tolist() == [2, 0]
    with pytest.raises(InputError, match="f18"):
        SetSchema(channels=(Channel(name="x", nuclide="f18"),)).nuclide_index()


def test_no_anatomy_stands_in_two_parts() -> None:
    names = [f"a{i % 20}" for i in range(200)]
    split = split_by_anatomy(names, seed=1)
    parts = [{names[i] for i in rows} for rows in (split.train, split.calibrate, split.test)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert sorted(np.concatenate([split.train, split.calibrate, split.test]).tolist()) == list(range(200))
    assert [len(p) for p in parts] == [13, 4, 3]


def test_the_part_of_an_anatomy_does_not_depend_on_the_order_of_rays() -> None:
    names = [f"a{i % 20}" for i in range(60)]
    one = split_by_anatomy(names, seed=4)
    two = split_by_anatomy(names[::-1], seed=4)
    assert {names[i] for i in one.test} == {names[::-1][i] for i in two.test}
    assert {names[i] for i in one.test} != {names[i] for i in split_by_anatomy(names, seed=5).test}


def test_three_anatomies_are_the_least() -> None:
    split = split_by_anatomy(["a", "b", "c"], seed=0)
    assert all(part.size == 1 for part in (split.train, split.calibrate, split.test))
    with pytest.raises(InputError, match="anatom"):
        split_by_anatomy(["a", "b", "b"], seed=0)
