"""What the speed of the window is measured on is what it says."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.app.case_display import open_case, write_display
from protonqa.app.what_if import WhatIf, answer, measured_under
from protonqa.app.window_material import rays_for_timing, write_large_ct


def test_the_ct_is_read_as_a_case_of_its_size(tmp_path):
    write_large_ct(tmp_path / "case", shape=(5, 64, 48))
    shown = write_display(open_case(tmp_path / "case"), tmp_path / "views")
    (volume,) = shown["volumes"]
    assert np.load(volume["file"]).shape == (5, 64, 48)
    # Body, lung and bone, with a little texture.
    assert volume["low"] <= -1000
    assert volume["high"] > 680


def test_the_rays_end_where_they_were_made_to_end():
    rays = rays_for_timing(9, method="a50")
    question = WhatIf(irradiation_s=90, delay_s=150, acquisition_s=1200, washout="none", psf_mm=0.0)
    found = answer(rays, question)
    # 15O lies up to the range; decay moves no edge, the way of the positrons softens it only.
    np.testing.assert_allclose(found.a50_mm, rays.planned_r80_mm, atol=1.0)


def test_a_kept_measured_side_changes_no_answer():
    rays = rays_for_timing(4, method="a50")
    question = WhatIf(irradiation_s=90, delay_s=600, acquisition_s=1200, window_mm=125.0)
    kept = measured_under(rays, question)
    for one in ("measured_r80_mm", "r80_mm", "a50_mm"):
        with_it = getattr(answer(rays, question, measured=kept), one)
        assert with_it == pytest.approx(getattr(answer(rays, question), one), nan_ok=True, abs=0)
