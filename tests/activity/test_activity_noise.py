"""Noise: the right distribution, the right moments, the same numbers in any batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from protonqa.activity.noise import (
    add_counting_noise,
    add_snr_noise,
    keyed_uniform,
    noise_keys,
    poisson_quantile,
)
from protonqa.errors import InputError


def keys(seed: int, n: int) -> torch.Tensor:
    return torch.from_numpy(noise_keys(seed, n))


def plain_hash(key: np.ndarray, counter: np.ndarray) -> np.ndarray:
    """The keyed hash in unsigned NumPy arithmetic."""

    def mix(x: np.ndarray) -> np.ndarray:
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
        return x ^ (x >> np.uint32(16))

    pair = key.view(np.uint32)
    bits = mix(mix(counter.astype(np.uint32)[None] + pair[:, :1]) + pair[:, 1:])
    return ((bits >> np.uint32(8)).astype(np.float64) + 0.5) * 2.0**-24


def test_torch_hash_equals_unsigned_arithmetic() -> None:
    # Signed products that did not wrap, or shifts that drag the sign, would show here.
    pair = noise_keys(11, 50)
    expected = plain_hash(pair, np.arange(1000, 1300))
    drawn = keyed_uniform(torch.from_numpy(pair), 1000, 300, torch.float64)
    np.testing.assert_array_equal(drawn.numpy(), expected)


def test_uniform_numbers_are_uniform_and_independent() -> None:
    drawn = keyed_uniform(keys(3, 1000), 0, 400, torch.float64).numpy()
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 1e-3
    assert 0 < drawn.min() < drawn.max() < 1
    centred = drawn - 0.5
    for a, b in ((centred[:, 1:], centred[:, :-1]), (centred[1:], centred[:-1])):
        correlation = float((a * b).mean() * 12)
        assert abs(correlation) < 5 / np.sqrt(a.size)


def test_rows_and_seeds_have_streams_of_their_own() -> None:
    assert np.unique(noise_keys(0, 10_000), axis=0).shape[0] == 10_000
    assert np.unique(noise_keys(np.arange(10_000), 10_000), axis=0).shape[0] == 10_000
    assert not np.array_equal(noise_keys(1, 5), noise_keys(2, 5))
    np.testing.assert_array_equal(noise_keys(7, 1), noise_keys(np.array([7, 8]), 2)[:1])
    assert noise_keys(-1, 1).shape == (1, 2)
    with pytest.raises(InputError, match="do not match"):
        noise_keys(np.array([1, 2, 3]), 4)


def test_bins_do_not_depend_on_how_the_row_is_cut() -> None:
    pair = keys(5, 3)
    whole = keyed_uniform(pair, 0, 100)
    parts = torch.cat([keyed_uniform(pair, 0, 37), keyed_uniform(pair, 37, 63)], dim=1)
    assert torch.equal(whole, parts)
    with pytest.raises(InputError, match="too many"):
        keyed_uniform(pair, 2**31 - 10, 20)


@pytest.mark.parametrize("mean", [0.03, 0.4, 1.7, 3.9, 4.0, 5.3, 8.0, 25.0, 400.0])
def test_poisson_distribution(mean: float) -> None:
    # Quantiles of an even comb of probabilities: the distribution itself, without sampling noise.
    n = 400_000
    uniform = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    drawn = poisson_quantile(torch.full((n,), mean, dtype=torch.float64), uniform).numpy()
    counted = np.bincount(drawn.astype(int)) / n
    exact = stats.poisson.pmf(np.arange(counted.size), mean)
    assert 0.5 * np.abs(counted - exact).sum() < (1e-3 if mean >= 4 else 2e-5)
    assert drawn.mean() == pytest.approx(mean, rel=2e-4)
    assert drawn.var() == pytest.approx(mean, rel=1e-3)
    assert np.all(np.diff(drawn) >= 0)


def test_zero_mean_gives_zero() -> None:
    uniform = keyed_uniform(keys(1, 1), 0, 1000)
    assert not poisson_quantile(torch.zeros(1, 1000), uniform).any()


@pytest.mark.parametrize("counts", [300.0, 1e4])
def test_counting_noise_is_unbiased_with_poisson_variance_plus_background(counts: float) -> None:
    n_row, n_bin = 4000, 60
    shape = torch.linspace(0.0, 3.0, n_bin, dtype=torch.float64).expand(n_row, n_bin)
    seen = add_counting_noise(shape, torch.tensor([counts]), keys(1, n_row), background_fraction=0.10).numpy()
    scale = counts / float(shape[0].sum())
    expected_variance = (shape[0].numpy() * scale + 0.10 * counts / n_bin) / scale**2
    error = np.sqrt(expected_variance / n_row)
    assert np.abs((seen.mean(0) - shape[0].numpy()) / error).max() < 5
    np.testing.assert_allclose(seen.var(0) / expected_variance, 1.0, atol=0.15)
    total = seen.sum(1) * scale
    assert total.mean() == pytest.approx(counts, abs=5 * np.sqrt(1.1 * counts / n_row))
    assert total.var() == pytest.approx(1.1 * counts, rel=0.12)


def test_counting_noise_keeps_the_unit_of_its_input() -> None:
    shape = torch.rand(3, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one = add_counting_noise(shape, torch.tensor([1e3]), keys(4, 3))
    thousand = add_counting_noise(shape * 1000, torch.tensor([1e3]), keys(4, 3))
    torch.testing.assert_close(thousand, one * 1000, rtol=1e-9, atol=1e-9)


def test_each_row_may_have_its_own_counts() -> None:
    shape = torch.ones(2, 5000, dtype=torch.float64)
    seen = add_counting_noise(shape, torch.tensor([5e3, 5e5]), keys(2, 2), background_fraction=0.0)
    assert float(seen[0].std() / seen[1].std()) == pytest.approx(10.0, rel=0.06)


def test_snr_4_multiplicative_has_its_moments_and_leaves_the_tail_alone() -> None:
    profile = torch.tensor([4.0, 1.0, 0.01, 0.0], dtype=torch.float64).expand(40_000, 4)
    noise = (add_snr_noise(profile, torch.tensor([4.0]), keys(6, 40_000)) - profile).numpy()
    np.testing.assert_allclose(noise.std(0), [1.0, 0.25, 0.0025, 0.0], rtol=0.02)
    np.testing.assert_allclose(noise.mean(0), 0.0, atol=0.02)
    assert stats.kstest(noise[:, 0], "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(noise[:, :3].T) - np.eye(3)).max() < 0.025


def test_snr_4_additive_is_a_quarter_of_the_maximum_everywhere() -> None:
    profile = torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64).expand(40_000, 3)
    noise = (add_snr_noise(profile, torch.tensor([4.0]), keys(6, 40_000), mode="additive") - profile).numpy()
    np.testing.assert_allclose(noise.std(0), [1.0, 1.0, 1.0], rtol=0.02)
    np.testing.assert_allclose(noise.mean(0), 0.0, atol=0.02)


def test_noise_of_a_row_is_the_same_alone_and_in_a_batch() -> None:
    shape = torch.rand(5, 40, generator=torch.Generator().manual_seed(1)) + 0.1
    seeds = np.array([9, 8, 7, 6, 5])
    batch = add_counting_noise(shape, torch.tensor([1e4]), torch.from_numpy(noise_keys(seeds, 5)))
    alone = add_counting_noise(shape[3:4], torch.tensor([1e4]), torch.from_numpy(noise_keys(6, 1)))
    torch.testing.assert_close(batch[3:4], alone)
    again = add_counting_noise(shape, torch.tensor([1e4]), torch.from_numpy(noise_keys(seeds, 5)))
    assert torch.equal(batch, again)
    other = add_counting_noise(shape, torch.tensor([1e4]), torch.from_numpy(noise_keys(seeds + 1, 5)))
    assert not torch.equal(batch, other)


def test_long_rows_are_drawn_in_pieces_without_a_seam() -> None:
    n = (1 << 18) + 77
    flat = torch.ones(1, n)
    seen = add_snr_noise(flat, torch.tensor([4.0]), keys(3, 1))
    z = (seen - 1) * 4
    direct = torch.erfinv(keyed_uniform(keys(3, 1), 0, n) * 2 - 1) * 2**0.5
    torch.testing.assert_close(z, direct, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("activity", "counts", "message"),
    [
        (torch.zeros(2, 10), 100.0, "2 rows without activity"),
        (torch.tensor([[1.0, -0.5, 2.0]]), 100.0, "1 negative bins"),
        (torch.ones(1, 10), 0.0, "counts or background"),
        (torch.ones(1, 10), float("inf"), "counts or background"),
    ],
)
def test_counts_that_cannot_be_drawn_are_refused(activity: torch.Tensor, counts: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        add_counting_noise(activity, torch.tensor([counts]), keys(0, activity.shape[0]))


def test_unusable_noise_models_are_refused() -> None:
    with pytest.raises(InputError, match="background"):
        add_counting_noise(torch.ones(1, 4), torch.tensor([10.0]), keys(0, 1), background_fraction=-0.1)
    with pytest.raises(InputError, match="unknown noise model"):
        add_snr_noise(torch.ones(1, 4), torch.tensor([4.0]), keys(0, 1), mode="both")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="signal-to-noise"):
        add_snr_noise(torch.ones(1, 4), torch.tensor([0.0]), keys(0, 1))
