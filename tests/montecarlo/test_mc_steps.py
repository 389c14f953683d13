"""Visits and legs: a proton must end where its stopping powers say, however its path is cut."""

from __future__ import annotations

import json

import numpy as np
import pytest

from protonqa.montecarlo import simulation
from protonqa.montecarlo.simulation import simulate
from protonqa.physics.stopping import csda_range_water_mm
from tests.oracles import cut_paths
from tests.oracles.cut_paths import range_and_sigma_mm
from tests.oracles.ion_ranges import tables_without_chance


@pytest.mark.parametrize("spacing_mm", [0.5, 1.0, 2.0])
def test_without_chance_a_proton_ends_at_its_csda_range(make_medium, make_beam, monkeypatch, spacing_mm):
    """Path so far plus residual range is the CSDA range at every voxel face, down to the last before the end."""
    monkeypatch.setattr(simulation, "standard_tables", lambda *_: tables_without_chance())
    medium = make_medium(size_mm=(12, 12, 90), spacing_mm=(4.0, 4.0, spacing_mm))
    result = simulate(medium=medium, source=make_beam(medium, 97.3), protons=20, seed=1)
    whole = float(csda_range_water_mm(97.3))
    face_mm = spacing_mm * np.arange(1, int(whole / spacing_mm) + 1)
    face_mm = face_mm[face_mm < whole - 0.3]
    deposited = np.concatenate(([0.0], np.cumsum(result.fine_idd_mev_per_mm * 0.25)))
    left = 97.3 - deposited[np.rint(face_mm / 0.25).astype(int)]
    ends = face_mm + csda_range_water_mm(left)
    assert np.abs(ends - whole).max() < 0.02


@pytest.fixture(scope="module")
def at_one_millimetre():
    return range_and_sigma_mm(1.0, 1.0, 1)


@pytest.mark.parametrize("cut", ["1 x 1 x 2 mm", "2 x 2 x 2 mm", "4 x 4 x 4 mm", "1 x 1 x 0.5 mm", "half the steps"])
def test_range_and_spread_do_not_depend_on_how_the_path_is_cut(at_one_millimetre, engine_copy, cut):
    """R80 within 0.2 mm and sigma within 2 %, for other voxels and for steps of scattering half as long."""
    if cut == "half the steps":
        # Compiled kernels hold their constants: an edited copy of the package runs in a child process.
        engine_copy.scale("walk", r"(STEP|LEG)_(LIMIT|FRACTION|GROWTH|FLOOR)", 0.5)
        found = json.loads(engine_copy.run(cut_paths.__file__, "1.0", "1.0", "2"))
    else:
        across, _, along = (float(v) for v in cut.removesuffix(" mm").split(" x "))
        found = range_and_sigma_mm(across, along, 2)
    assert found[0] == pytest.approx(at_one_millimetre[0], abs=0.2)
    assert found[1] == pytest.approx(at_one_millimetre[1], rel=0.02)
