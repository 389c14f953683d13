"""Rays of a field and what-if questions about them, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.app.field_rays import FieldRays, read_field_rays
from protonqa.app.what_if import WhatIf, answer, numbers, tissues_of
from protonqa.errors import InputError
from protonqa.physics.nuclides import NUCLIDE_KEYS, decay_constants_per_s
from tests.gui.made_rays import made_rays

NOW = {"irradiation_s": 0.0, "delay_s": 60.0, "acquisition_s": 0.0, "washout": "none", "psf_mm": 0.0}


@pytest.fixture(scope="module")
def rays() -> FieldRays:
    return made_rays()


def test_a_longer_delay_leaves_what_decay_leaves(rays):
    """One nuclide, no washout, no blur but the positron range: the sum decays as the law says."""
    first, second = (answer(rays, WhatIf(**{**NOW, "delay_s": delay})).activity.sum() for delay in (60.0, 300.0))
    rate = decay_constants_per_s()[NUCLIDE_KEYS.index("o15")]
    assert second / first == pytest.approx(np.exp(-rate * 240.0), rel=1e-6)


def test_the_window_ends_behind_the_planned_range_of_each_ray(rays):
    found = answer(rays, WhatIf(**NOW, window_mm=50.0, window_end_mm=10.0), np.array([4]))
    inside = rays.depth_mm[found.window[0]]
    # Planned R80 80 mm: depths 40 to 90 mm.
    assert (inside[0], inside[-1]) == (40.5, 89.5)


def test_a_window_hides_and_changes_nothing_else(rays):
    whole, cut = (answer(rays, WhatIf(**NOW, window_mm=length)).activity for length in (None, 60.0))
    assert np.array_equal(whole, cut)


def test_a_window_that_cuts_the_fall_off_gives_no_range(rays):
    found = answer(rays, WhatIf(**NOW, window_mm=40.0, window_end_mm=-30.0), np.array([0]))
    assert np.isnan(found.r80_mm[0])
    assert found.reasons[0] != ""


def test_a_ray_answers_alone_as_among_all_with_noise(rays):
    question = WhatIf(**NOW, counts=2000.0, seed=5)
    every = answer(rays, question)
    alone = answer(rays, question, np.array([7]))
    assert np.array_equal(every.activity[7], alone.activity[0])
    assert not np.array_equal(every.activity[7], every.activity[8])


def test_measured_rays_keep_their_own_time_line(rays):
    """The question changes what is expected, never what was measured."""
    near, far = (answer(rays, WhatIf(**{**NOW, "delay_s": delay})).measured_r80_mm for delay in (60.0, 900.0))
    assert near == pytest.approx(far)


def test_slower_washout_leaves_more(rays):
    fast, slow = (
        answer(rays, WhatIf(**{**NOW, "washout": "parodi-hu"}, half_life_factor=factor)).activity.sum()
        for factor in (0.5, 2.0)
    )
    assert slow > 1.05 * fast


def test_factors_on_another_tissue_change_nothing_here(rays):
    """The rays are soft tissue (0 HU): washout of bone does not matter."""
    tissues = tissues_of("parodi-hu")
    bone = next(name for name in tissues if "bone" in name)
    plain = {**NOW, "washout": "parodi-hu"}
    found = [answer(rays, WhatIf(**plain, half_life_factor=f, tissue=bone)).activity for f in (1.0, 3.0)]
    assert np.array_equal(*found)
    with pytest.raises(InputError, match="does not know the tissue"):
        answer(rays, WhatIf(**plain, tissue="feathers"))


def test_numbers_are_those_of_the_definitions(rays):
    r80 = rays.planned_r80_mm + np.linspace(-1.0, 3.0, rays.n_ray)
    found = numbers(rays, np.arange(rays.n_ray), r80, r80 + 2.5)
    assert found["mean_mm"] == pytest.approx(1.0)
    assert found["shift_mm"] == pytest.approx(2.5)
    assert found["sd_mm"] == pytest.approx(np.std(np.linspace(-1, 3, rays.n_ray), ddof=1))
    assert (found["answered"], found["rays"]) == (36, 36)
    r80[:6] = np.nan
    assert numbers(rays, np.arange(rays.n_ray), r80, r80)["answered"] == 30


def test_rays_survive_the_file(rays, tmp_path):
    path = tmp_path / "rays-1.npz"
    path.write_bytes(rays.to_bytes())
    back = read_field_rays(path)
    assert np.array_equal(back.nuclei_per_ml, rays.nuclei_per_ml)
    assert (back.method, back.beam, back.times) == (rays.method, rays.beam, rays.times)


def test_a_damaged_file_of_rays_is_an_error_in_words(rays, tmp_path):
    path = tmp_path / "rays-1.npz"
    path.write_bytes(rays.to_bytes()[:5000])
    with pytest.raises(InputError, match="run the verification again"):
        read_field_rays(path)
