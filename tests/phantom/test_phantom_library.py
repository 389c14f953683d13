"""Phantoms by name and by file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.phantom import load_phantom, phantom_names, voxel_phantom, voxelise
from protonqa.phantom.twins import draw_twin, voxelise_twin
from protonqa.physics.materials import material
from protonqa.physics.rsp import material_rsp, rsp_from_hu
from protonqa.physics.stopping import csda_range_water_mm


def test_the_packaged_phantoms_are_there_and_are_named_as_their_files() -> None:
    assert {"water", "pmma", "slab", "slab_half", "abdomen"} <= set(phantom_names())
    for name in phantom_names():
        assert load_phantom(name).name == name


def test_a_path_gives_the_same_phantom_as_the_text_in_it(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("name: own\nsize_mm: [4, 4, 4]\nspacing_mm: [1, 1, 1]\nbackground: {hu: 0}\n", encoding="utf-8")
    assert load_phantom(file) == load_phantom(str(file))
    assert load_phantom(file).name == "own"


def test_unknown_names_name_the_nearest_and_all_known() -> None:
    with pytest.raises(InputError, match=r"unknown phantom.*abdomen.*did you mean 'water'\?"):
        load_phantom("watr")


@pytest.mark.parametrize("name", ["missing.yaml", "folder/water"])
def test_missing_files_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="phantom file is not there"):
        load_phantom(name)


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="not UTF-8"):
        load_phantom(tmp_path / "binary.yaml")
    with pytest.raises(InputError, match="not there"):
        load_phantom(tmp_path)
    (tmp_path / "big.yaml").write_bytes(b"# " + b"\xc3\xa4" * 200_000)
    with pytest.raises(InputError, match="too large"):
        load_phantom(tmp_path / "big.yaml")


@pytest.mark.parametrize("name", ["water", "pmma", "slab", "slab_half"])
def test_a_230_mev_beam_stops_inside_the_plain_phantoms(name: str) -> None:
    phantom = voxelise(load_phantom(name), (4.0, 4.0, 2.0) if name in ("water", "pmma") else None)
    on_axis = (slice(None), phantom.grid.shape[1] // 2, 0)  # the side without slabs in slab_half
    index, hu = phantom.material_index[on_axis], phantom.hu[on_axis]
    rsp = np.where(index >= 0, 0.0, rsp_from_hu(hu))
    for name_used in ("water", "pmma"):
        here = np.array([phantom.tissues[t] == name_used for t in phantom.tissue_index[on_axis]])
        rsp[here] = material_rsp(material(name_used))
    depth = rsp.sum() * phantom.grid.spacing_mm[2]
    assert depth > float(csda_range_water_mm(230.0)) + 10.0


def test_slabs_lie_at_their_depths_and_the_half_slab_on_one_side() -> None:
    whole, half = voxelise(load_phantom("slab")), voxelise(load_phantom("slab_half"))
    for row in (whole.hu[:, 60, 5], whole.hu[:, 60, 110], half.hu[:, 60, 60]):
        assert np.flatnonzero(row == 1000.0).tolist() == list(range(40, 60))
        assert np.flatnonzero(row == -740.0).tolist() == list(range(90, 130))
    assert (half.material_index[:, 60, 59] >= 0).all()


def test_importing_the_room_loads_nothing_heavy() -> None:
    heavy = ("scipy", "torch", "numba", "pydicom", "matplotlib")
    code = f"import sys, protonqa.phantom; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_one_door_gives_voxels_of_names_files_and_twins() -> None:
    assert voxel_phantom("slab", (4.0, 4.0, 2.0)).grid.shape == (190, 30, 30)
    twin = voxel_phantom("twin:5", (8.0, 8.0, 8.0))
    assert twin.name == "twin 5"
    assert twin.hu.tobytes() == voxelise_twin(draw_twin(5), 8.0).hu.tobytes()
    for wrong in ("twin:", "twin:-1", "twin:x", "twin:" + "9" * 40):
        with pytest.raises(InputError, match="seed of a twin"):
            voxel_phantom(wrong)
