"""The NumPy door: same numbers, checked input, no torch until it is used."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from protonqa.activity.arrays import bq_per_ml, profile_activity, stack_nuclides, torch_device, volume_activity
from protonqa.activity.chain import apply_chain
from protonqa.activity.scenario import activity_scenario
from protonqa.errors import DeviceError, InputError
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.values import Grid, Timeline

TIMELINE = Timeline(irradiation_s=0, delay_s=300, acquisition_s=0)
DEPTH = np.arange(90) + 0.5


def made(n_ray: int = 2) -> np.ndarray:
    return np.random.default_rng(0).random((7, n_ray, DEPTH.size))


def test_naming_things_loads_no_torch() -> None:
    code = (
        "import sys, protonqa.activity.arrays, protonqa.activity.scenario;"
        "from protonqa.activity.washout import washout_names; washout_names();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_profiles_are_those_of_the_tensors() -> None:
    scenario = activity_scenario(TIMELINE, washout="parodi-hu", psf_fwhm_mm=5, window_length_mm=40)
    hu = np.random.default_rng(1).uniform(-200, 1200, DEPTH.size)
    activity, mask = profile_activity(made(), DEPTH, scenario, hu=hu, distal_point_mm=60.0)
    expected = apply_chain(
        torch.tensor(made()), scenario, spacing_mm=(1.0,), hu=torch.tensor(hu), distal_point_mm=torch.tensor([60.0])
    )
    np.testing.assert_array_equal(activity, expected.activity.numpy())
    assert mask.dtype == bool
    assert mask.sum(1).tolist() == [40, 40]
    assert profile_activity(made(), DEPTH, activity_scenario(TIMELINE))[1].all()


def test_read_only_arrays_are_welcome() -> None:
    production = made()
    production.setflags(write=False)
    depth = DEPTH.copy()
    depth.setflags(write=False)
    activity, _ = profile_activity(production, depth, activity_scenario(None))
    np.testing.assert_allclose(activity, production.sum(0), rtol=1e-12)


def test_volume_voxel_axes_are_z_y_x() -> None:
    # A spike spreads over the same millimetres along each axis, so over fewer of the longer voxels.
    grid = Grid(shape=(15, 21, 41), spacing_mm=(1.0, 2.0, 3.0), origin_mm=(0, 0, 0))
    production = np.zeros((7, *grid.shape))
    production[0, 7, 10, 20] = 1.0
    seen = volume_activity(production, grid, activity_scenario(None, psf_fwhm_mm=7.0))
    assert seen.dtype == np.float32
    for axis, spacing in enumerate((3.0, 2.0, 1.0)):
        line = seen.sum(axis=tuple(a for a in range(3) if a != axis))
        x = np.arange(line.size) * spacing
        variance = (line * (x - (line * x).sum()) ** 2).sum()
        assert variance == pytest.approx((7.0 / 2.3548) ** 2, rel=2e-3)


def test_nuclides_are_stacked_in_the_agreed_order() -> None:
    by_key = {key: np.full(3, float(i)) for i, key in reversed(list(enumerate(NUCLIDE_KEYS)))}
    assert stack_nuclides(by_key)[:, 0].tolist() == list(range(7))
    del by_key["k38"]
    with pytest.raises(InputError, match="missing or unknown"):
        stack_nuclides(by_key)


def test_concentration_is_the_mean_over_the_frame() -> None:
    decays = np.full((1, 1, 2), 600.0)
    assert bq_per_ml(decays, 300.0, 0.5).tolist() == [[[4.0, 4.0]]]
    assert bq_per_ml(decays, 0.0, 0.5).tolist() == [[[1200.0, 1200.0]]]
    with pytest.raises(InputError):
        bq_per_ml(decays, 300.0, 0.0)


def test_unequal_bins_are_fine_without_blur_and_refused_with_it() -> None:
    depth = DEPTH.copy()
    depth[50:] += 0.5
    profile_activity(made(), depth, activity_scenario(TIMELINE))
    for scenario in (
        activity_scenario(TIMELINE, psf_fwhm_mm=5),
        activity_scenario(TIMELINE, counts=100),
        activity_scenario(TIMELINE, positron_range=True),
    ):
        with pytest.raises(InputError, match="equal width"):
            profile_activity(made(), depth, scenario)


def test_bad_arrays_are_refused() -> None:
    scenario = activity_scenario(TIMELINE)
    broken = made()
    broken[3, 1, 7] = np.nan
    with pytest.raises(InputError, match=r"not finite.*1 NaN or infinite.*\(3, 1, 7\)"):
        profile_activity(broken, DEPTH, scenario)
    with pytest.raises(InputError, match="do not fit the depths"):
        profile_activity(made(), DEPTH[:-1], scenario)
    with pytest.raises(InputError, match="do not increase"):
        profile_activity(made(), DEPTH[::-1], scenario)
    grid = Grid(shape=(2, 2, 2), spacing_mm=(1, 1, 1), origin_mm=(0, 0, 0))
    with pytest.raises(InputError, match="do not fit the grid"):
        volume_activity(np.ones((7, 2, 2, 3)), grid, scenario)


def test_device_is_taken_at_its_word() -> None:
    assert torch_device("cpu").type == "cpu"
    for name in ("auto", "tpu", "cuda:x"):
        with pytest.raises(DeviceError, match="unknown device"):
            torch_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="no CUDA device"):
            torch_device("cuda")
