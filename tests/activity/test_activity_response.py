"""Positron range and PSF: counts conserved, widths right, edges as stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from protonqa.activity.response import (
    BAND_BINS,
    RANGE_CLASSES,
    SIGMA_PER_FWHM,
    blurred_sum,
    gaussian_blur,
    gaussian_taps,
    mean_positron_range_mm,
    positron_sigma_mm,
)
from protonqa.errors import InputError
from protonqa.physics.nuclides import NUCLIDE_KEYS


def variance(profile: np.ndarray, spacing: float = 1.0) -> float:
    x = (np.arange(profile.size) + 0.5) * spacing
    mean = (x * profile).sum() / profile.sum()
    return float(((x - mean) ** 2 * profile).sum() / profile.sum())


@given(sigma=st.floats(0.0, 12.0))
@settings(deadline=None)
def test_kernel_is_a_distribution_with_the_variance_asked_for(sigma: float) -> None:
    taps = gaussian_taps(sigma)
    steps = np.arange(taps.size) - taps.size // 2
    assert taps.sum() == pytest.approx(1.0, rel=1e-12)
    assert taps.min() >= 0
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-15)
    # Cut at 5 standard deviations: 1.5e-5 of the variance is missing.
    assert (steps**2 * taps).sum() == pytest.approx(sigma**2, rel=1e-4, abs=2e-6)


def test_kernel_narrower_than_a_bin_is_no_kernel_and_never_wider_than_asked() -> None:
    assert gaussian_taps(0.0).tolist() == [1.0]
    narrow = gaussian_taps(0.2)
    assert narrow[narrow.size // 2] == pytest.approx(1 - 0.04, rel=1e-3)


def test_wide_kernel_is_the_gaussian() -> None:
    taps = gaussian_taps(3.0)
    steps = np.arange(taps.size) - taps.size // 2
    np.testing.assert_allclose(taps, np.exp(-0.5 * (steps / 3.0) ** 2) / (3.0 * np.sqrt(2 * np.pi)), atol=2e-6)


def test_each_row_gets_its_own_kernel() -> None:
    widths = np.array([0.3, 2.0, 5.0])
    rows = gaussian_taps(widths)
    for row, width in zip(rows, widths, strict=True):
        alone = gaussian_taps(width)
        pad = (row.size - alone.size) // 2
        np.testing.assert_allclose(row, np.pad(alone, pad), atol=2e-6)


@pytest.mark.parametrize("fwhm", [0.8, 3.0, 5.0, 7.0])
@pytest.mark.parametrize("spacing", [0.5, 1.0, 2.0, 4.0])
def test_blur_conserves_counts_and_adds_its_variance(fwhm: float, spacing: float) -> None:
    n = 400
    x = (np.arange(n) + 0.5) * spacing
    start = np.exp(-0.5 * ((x - 0.5 * n * spacing) / (6 * spacing)) ** 2)
    sigma = fwhm * SIGMA_PER_FWHM
    for edge in ("reflect", "open"):
        seen = gaussian_blur(torch.tensor(start)[None], sigma, (spacing,), edge=edge)[0].numpy()
        assert seen.sum() == pytest.approx(start.sum(), rel=1e-12)
        added = variance(seen, spacing) - variance(start, spacing)
        assert added == pytest.approx(sigma**2, rel=1e-4)


def test_blurring_twice_adds_variances() -> None:
    spike = torch.zeros(1, 201, dtype=torch.float64)
    spike[0, 100] = 1.0
    twice = gaussian_blur(gaussian_blur(spike, 0.75, (1.0,)), 2.1, (1.0,))
    once = gaussian_blur(spike, float(np.hypot(0.75, 2.1)), (1.0,))
    assert variance(twice[0].numpy()) == pytest.approx(0.75**2 + 2.1**2, rel=1e-4)
    torch.testing.assert_close(twice, once, rtol=0, atol=2e-5)


def test_mirror_edges_conserve_the_sum_and_keep_a_constant() -> None:
    rng = np.random.default_rng(0)
    rough = torch.tensor(rng.random((4, 30)))
    # 25 mm is wider than the 30 bins allow for one mirror image: several are needed.
    for sigma in (0.4, 2.0, 25.0):
        seen = gaussian_blur(rough, sigma, (1.0,))
        torch.testing.assert_close(seen.sum(-1), rough.sum(-1), rtol=1e-12, atol=0)
        flat = gaussian_blur(torch.ones(2, 30, dtype=torch.float64), sigma, (1.0,))
        torch.testing.assert_close(flat, torch.ones_like(flat), rtol=1e-12, atol=0)


def test_open_edge_lets_half_of_a_step_at_the_skin_leave() -> None:
    flat = torch.ones(1, 100, dtype=torch.float64)
    seen = gaussian_blur(flat, 3.0, (1.0,), edge="open")[0]
    # Between the first bin (half a bin inside) and the skin itself the blurred step passes one half.
    assert float(seen[0]) == pytest.approx(0.5 + 0.5 / 3.0 / np.sqrt(2 * np.pi), abs=2e-3)
    assert float(seen[50]) == pytest.approx(1.0, rel=1e-6)


def test_rows_blurred_together_equal_rows_blurred_alone() -> None:
    rng = np.random.default_rng(1)
    rows = torch.tensor(rng.random((3, 80)))
    widths = np.array([0.0, 1.3, 4.0])
    for edge in ("reflect", "open"):
        together = gaussian_blur(rows, widths, (1.0,), edge=edge)
        for i, width in enumerate(widths):
            alone = gaussian_blur(rows[i : i + 1], float(width), (1.0,), edge=edge)
            torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=5e-6)


def test_volume_blur_is_the_independent_separable_filter() -> None:
    rng = np.random.default_rng(2)
    volume = rng.random((12, 17, 21))
    spacing = (3.0, 2.0, 1.0)
    sigma = 2.6
    seen = gaussian_blur(torch.tensor(volume), sigma, spacing).numpy()
    expected = gaussian_filter(volume, [sigma / s for s in spacing], mode="reflect", truncate=6.0)
    np.testing.assert_allclose(seen, expected, atol=3e-3)
    assert seen.sum() == pytest.approx(volume.sum(), rel=1e-12)


def test_blur_is_linear_and_not_negative() -> None:
    rng = np.random.default_rng(3)
    a, b = (torch.tensor(rng.random((2, 60))) for _ in range(2))
    both = gaussian_blur(2 * a + 3 * b, 1.7, (1.0,))
    parts = 2 * gaussian_blur(a, 1.7, (1.0,)) + 3 * gaussian_blur(b, 1.7, (1.0,))
    torch.testing.assert_close(both, parts, rtol=1e-12, atol=0)
    assert bool((both >= 0).all())


def test_mean_range_is_the_published_one() -> None:
    # Conti & Eriksson, EJNMMI Physics 3:8 (2016) Table 1.
    assert [mean_positron_range_mm(k) for k in ("c11", "n13", "o15")] == [1.2, 1.8, 3.0]
    rng = np.random.default_rng(4)
    for key in ("c11", "o15"):
        points = rng.normal(0, positron_sigma_mm(key), (200_000, 3))
        mean = float(np.linalg.norm(points, axis=1).mean())
        assert mean == pytest.approx(mean_positron_range_mm(key), rel=0.005)


def test_range_grows_with_the_end_point() -> None:
    order = ["c11", "n13", "o15", "o14", "c10", "k38", "p30"]
    ranges = [mean_positron_range_mm(k) for k in order]
    assert ranges == sorted(ranges)
    assert mean_positron_range_mm("k38") == pytest.approx(3.0 * (2.7 / 1.732) ** 1.14)


@pytest.mark.parametrize(
    ("key", "share", "k1", "k2", "tolerance"),
    [("c11", 0.488, 23.8, 1.8, 0.02), ("n13", 0.426, 20.2, 1.4, 0.16), ("o15", 0.379, 18.1, 0.9, 0.22)],
)
def test_width_against_projected_distributions(key: str, share: float, k1: float, k2: float, tolerance: float) -> None:
    # Levin & Hoffman, Phys Med Biol 44:781 (1999): C exp(-k1 x) + (1 - C) exp(-k2 x), per mm.
    area = share / k1 + (1 - share) / k2
    sigma = np.sqrt((2 * share / k1**3 + 2 * (1 - share) / k2**3) / area)
    assert positron_sigma_mm(key) == pytest.approx(sigma, rel=tolerance)


def test_range_classes_cover_each_nuclide_once() -> None:
    covered = [key for nuclides, _ in RANGE_CLASSES for key in NUCLIDE_KEYS[nuclides]]
    assert covered == list(NUCLIDE_KEYS)
    for nuclides, key in RANGE_CLASSES:
        assert key in NUCLIDE_KEYS[nuclides]
        for other in NUCLIDE_KEYS[nuclides]:
            assert positron_sigma_mm(other) == pytest.approx(positron_sigma_mm(key), rel=0.22)


def test_unusable_blurs_are_refused() -> None:
    with pytest.raises(InputError, match="width of a blur"):
        gaussian_blur(torch.ones(1, 5), -1.0, (1.0,))
    with pytest.raises(InputError, match="width of a blur"):
        gaussian_taps(float("nan"))
    with pytest.raises(InputError, match="edge rule"):
        gaussian_blur(torch.ones(1, 5), 1.0, (1.0,), edge="wrap")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="profiles only"):
        gaussian_blur(torch.ones(2, 5, 5), np.array([1.0, 2.0]), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="unknown nuclide"):
        mean_positron_range_mm("f18")


@pytest.mark.parametrize("edge", ["reflect", "open"])
@pytest.mark.parametrize("n_depth", [1, 7, BAND_BINS, 2 * BAND_BINS + 5])
def test_the_band_of_the_convolution_is_the_sum_of_single_blurs(edge: str, n_depth: int) -> None:
    """Blocks of bins must join without a seam, whatever the number of bins and the widest kernel."""
    rng = np.random.default_rng(n_depth)
    pictures = [torch.from_numpy(rng.random((3, n_depth))) for _ in range(3)]
    widths = [0.0, 0.7, 2.6]
    single = sum(gaussian_blur(one, width, (0.8,), edge=edge) for one, width in zip(pictures, widths, strict=True))
    together = blurred_sum(pictures, widths, 0.8, edge=edge)
    assert torch.allclose(together, single, rtol=1e-12, atol=1e-12)
