"""The whole chain: against plain loops, laws, and the agreement of profiles and volumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from protonqa.activity.chain import apply_chain
from protonqa.activity.combine import combine
from protonqa.activity.response import SIGMA_PER_FWHM, positron_sigma_mm
from protonqa.activity.scenario import ActivityScenario, ScenarioRanges, activity_scenario, draw_scenarios
from protonqa.activity.timeline import timeline_factors
from protonqa.activity.washout import draw_washout, tissue_index, washout_names
from protonqa.errors import InputError
from protonqa.values import Timeline

TIMELINE = Timeline(irradiation_s=60, delay_s=120, acquisition_s=300)
EDGE_HU = [-1000.0, -150.001, -150.0, -31.0, -30.0, 0.0, 199.0, 200.0, 999.0, 1000.0, 2500.0]


def made(n_ray: int = 5, n_depth: int = 120, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    depth = np.arange(n_depth) + 0.5
    ends = rng.uniform(60, 100, (7, n_ray, 1))
    return torch.tensor(rng.uniform(0.2, 1, (7, 1, 1)) / (1 + np.exp((depth - ends) / 2.0)))


def ct(n_ray: int = 5, n_depth: int = 120, seed: int = 1) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).choice(EDGE_HU, (n_ray, n_depth)))


def run(production: torch.Tensor, scenario: ActivityScenario, **other: torch.Tensor) -> torch.Tensor:
    spacing = (1.0,) if production.dim() == 3 else (1.0, 2.0, 2.0)
    return apply_chain(production, scenario, spacing_mm=spacing, **other).activity


@pytest.mark.parametrize("model", washout_names())
def test_profiles_equal_a_plain_loop_over_bins(model: str) -> None:
    production, hu = made(), ct()
    seen = run(production, activity_scenario(TIMELINE, washout=model), hu=hu).numpy()
    factors = timeline_factors(TIMELINE, model).numpy()
    for ray in range(seen.shape[0]):
        for i in range(seen.shape[1]):
            tissue = int(tissue_index(float(hu[ray, i]))) if len(factors) > 1 else 0
            expected = sum(float(factors[tissue, k]) * float(production[k, ray, i]) for k in range(7))
            assert seen[ray, i] == pytest.approx(expected, rel=1e-12)


def test_raw_activity_is_the_sum_over_nuclides() -> None:
    torch.testing.assert_close(run(made(), activity_scenario(None)), made().sum(0))


def test_tissue_map_stands_for_hu() -> None:
    hu = ct()
    scenario = activity_scenario(TIMELINE, washout="parodi-hu")
    tissue = torch.from_numpy(tissue_index(hu.numpy()))
    assert torch.equal(run(made(), scenario, hu=hu), run(made(), scenario, tissue=tissue))
    on_axis = run(made(), scenario, hu=hu[0])
    assert torch.equal(on_axis[2], run(made(), scenario, hu=hu[:1].expand(5, -1))[2])


def test_chain_is_linear_in_the_nuclei_made() -> None:
    scenario = activity_scenario(TIMELINE, washout="toramatsu-o15", psf_fwhm_mm=5, positron_range=True)
    one, two = made(seed=2), made(seed=3)
    together = run(2 * one + 0.5 * two, scenario, hu=ct())
    parts = 2 * run(one, scenario, hu=ct()) + 0.5 * run(two, scenario, hu=ct())
    torch.testing.assert_close(together, parts, rtol=1e-12, atol=0)


def test_each_row_of_a_batch_equals_its_scenario_alone() -> None:
    n = 6
    ranges = ScenarioRanges(
        washout="parodi-hu",
        irradiation_s=(0, 120),
        delay_s=(0, 600),
        acquisition_s=(0, 1800),
        psf_fwhm_mm=(0, 7),
        positron_range=True,
        noise="poisson",
        counts=(1e3, 1e5),
        window_lengths_mm=(40.0, 60.0),
    )
    scenario = draw_scenarios(ranges, np.random.default_rng(0), n=n)
    r80 = torch.linspace(60, 90, n, dtype=torch.float64)
    batch = apply_chain(made(n), scenario, spacing_mm=(1.0,), hu=ct(n), distal_point_mm=r80)
    for i in range(n):
        alone = apply_chain(
            made(n)[:, i : i + 1],
            scenario.row(i),
            spacing_mm=(1.0,),
            hu=ct(n)[i : i + 1],
            distal_point_mm=r80[i : i + 1],
        )
        torch.testing.assert_close(batch.activity[i : i + 1], alone.activity, rtol=1e-5, atol=1e-5)
        assert batch.mask is not None
        assert alone.mask is not None
        assert torch.equal(batch.mask[i : i + 1], alone.mask)


def test_many_rows_are_worked_in_pieces_without_a_seam() -> None:
    n = 1100
    production = made(4, 30).repeat(1, n // 4, 1)
    seen = run(production, activity_scenario(TIMELINE, washout="mizuno-brain", psf_fwhm_mm=4))
    torch.testing.assert_close(seen, seen[:4].repeat(n // 4, 1), rtol=1e-13, atol=0)


def test_threads_change_nothing() -> None:
    n = 1100
    production = made(4, 30).repeat(1, n // 4, 1).requires_grad_()
    scenario = activity_scenario(TIMELINE, washout="mizuno-brain", psf_fwhm_mm=4, counts=1e3, seed=5)
    allowed = torch.get_num_threads()
    seen = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            seen.append(run(production, scenario))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(allowed)
    assert torch.equal(*seen)
    assert not seen[1].requires_grad


def test_washout_draws_reach_the_activity() -> None:
    drawn = draw_washout("mizuno-brain", np.random.default_rng(0))
    seen = run(made(), activity_scenario(TIMELINE, washout=drawn))
    expected = torch.einsum("k,krd->rd", timeline_factors(TIMELINE, drawn)[0], made())
    torch.testing.assert_close(seen, expected, rtol=1e-12, atol=0)
    assert not torch.allclose(seen, run(made(), activity_scenario(TIMELINE, washout="mizuno-brain")), rtol=1e-3)


def test_washout_comes_before_the_blur() -> None:
    # A block of fat in brain: blurring first would wash out what came from the other tissue.
    production = torch.zeros(7, 1, 60, dtype=torch.float64)
    production[2, 0, 30] = 1.0
    hu = torch.full((1, 60), 20.0)
    hu[0, 30] = -100.0
    late = Timeline(irradiation_s=0, delay_s=300, acquisition_s=0)
    seen = run(production, activity_scenario(late, washout="parodi-hu", psf_fwhm_mm=5), hu=hu)
    assert float(seen.sum()) == pytest.approx(float(timeline_factors(late, "parodi-hu")[1, 2]), rel=1e-12)


def test_blur_of_each_nuclide_is_its_range_and_the_psf() -> None:
    for nuclide, key in ((0, "c11"), (1, "n13"), (2, "o15"), (3, "o15"), (6, "k38")):
        production = torch.zeros(7, 1, 201, dtype=torch.float64)
        production[nuclide, 0, 100] = 1.0
        seen = run(production, activity_scenario(None, psf_fwhm_mm=5, positron_range=True))[0].numpy()
        spread = ((np.arange(201) - 100) ** 2 * seen).sum() / seen.sum()
        assert spread == pytest.approx((5 * SIGMA_PER_FWHM) ** 2 + positron_sigma_mm(key) ** 2, rel=1e-4)
        assert seen.sum() == pytest.approx(1.0, rel=1e-12)


def test_profile_blur_equals_an_independent_filter() -> None:
    production = made()
    seen = run(production, activity_scenario(None, psf_fwhm_mm=5)).numpy()
    expected = gaussian_filter1d(production.sum(0).numpy(), 5 * SIGMA_PER_FWHM, mode="reflect", truncate=6)
    np.testing.assert_allclose(seen, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("washout", ["none", "mizuno-muscle", "toramatsu-o15"])
def test_volume_that_varies_along_depth_only_equals_the_profile(washout: str) -> None:
    production, hu = made(1, 80), ct(1, 80)
    scenario = activity_scenario(TIMELINE, washout=washout, psf_fwhm_mm=5, positron_range=True, positrons=True)
    profile = run(production, scenario, hu=hu)[0]
    volume = production[:, 0, :, None, None].expand(7, 80, 6, 5).contiguous()
    seen = run(volume, scenario, hu=hu[0][:, None, None].expand(80, 6, 5))
    torch.testing.assert_close(seen, profile[:, None, None].expand(80, 6, 5), rtol=1e-10, atol=0)


def test_laterally_summed_volume_is_the_profile_of_the_sum() -> None:
    # Blur commutes with the lateral sum, so a laterally integrated profile needs the blur along depth only.
    rng = np.random.default_rng(5)
    volume = torch.tensor(rng.random((7, 40, 6, 5)))
    scenario = activity_scenario(TIMELINE, washout="mizuno-brain", psf_fwhm_mm=4, positron_range=True)
    seen = run(volume, scenario).sum((1, 2))
    torch.testing.assert_close(seen, run(volume.sum((2, 3))[:, None], scenario)[0], rtol=1e-10, atol=0)


def test_volume_in_pieces_equals_the_whole() -> None:
    rng = np.random.default_rng(6)
    volume = torch.tensor(rng.random((7, 52, 52, 52)), dtype=torch.float32)
    hu = torch.tensor(rng.choice(EDGE_HU, (52, 52, 52)), dtype=torch.float32)
    scenario = activity_scenario(TIMELINE, washout="parodi-hu")
    factors = timeline_factors(TIMELINE, "parodi-hu").to(torch.float32)
    tissue = torch.from_numpy(tissue_index(hu.numpy()).astype(np.int64))
    expected = (factors[tissue] * volume.movedim(0, -1)).sum(-1)
    torch.testing.assert_close(run(volume, scenario, hu=hu), expected, rtol=1e-5, atol=0)


def test_volume_counts_are_those_of_the_whole_volume() -> None:
    volume = torch.ones(7, 30, 30, 30, dtype=torch.float64)
    clean = run(volume, activity_scenario(TIMELINE))
    noisy = run(volume, activity_scenario(TIMELINE, counts=5e4, seed=3))
    scale = 5e4 / float(clean.sum())
    assert float(noisy.sum()) * scale == pytest.approx(5e4, abs=5 * np.sqrt(1.1 * 5e4))
    assert float((noisy - clean).var()) * scale**2 == pytest.approx(1.1 * 5e4 / 27000, rel=0.05)


def test_smoothing_lowers_the_noise_and_keeps_the_counts() -> None:
    volume = torch.ones(7, 24, 24, 24, dtype=torch.float64)
    rough = run(volume, activity_scenario(TIMELINE, counts=1e5, seed=1))
    smooth = run(volume, activity_scenario(TIMELINE, counts=1e5, seed=1, smoothing_fwhm_mm=8))
    assert float(smooth.sum()) == pytest.approx(float(rough.sum()), rel=1e-10)
    assert float(smooth.std()) < 0.2 * float(rough.std())


@pytest.mark.parametrize("noise", ["poisson", "snr-multiplicative", "snr-additive"])
def test_noise_repeats_with_its_seed_and_rays_differ(noise: str) -> None:
    production = made(1).expand(7, 4, 120).contiguous()

    def noisy(seed: int) -> torch.Tensor:
        return run(production, activity_scenario(TIMELINE, noise=noise, counts=1e3, seed=seed))

    assert torch.equal(noisy(1), noisy(1))
    assert not torch.allclose(noisy(1), noisy(2))
    assert not torch.allclose(noisy(1)[0], noisy(1)[1])


def test_window_masks_and_blanks() -> None:
    scenario = activity_scenario(TIMELINE, window_length_mm=50, window_jitter_mm=-4)
    result = apply_chain(made(), scenario, spacing_mm=(1.0,), distal_point_mm=torch.full((5,), 70.0))
    assert result.mask is not None
    assert torch.equal(result.mask[0].nonzero().ravel(), torch.arange(36, 86))
    assert not result.activity[~result.mask].any()
    torch.testing.assert_close(result.activity[result.mask], run(made(), activity_scenario(TIMELINE))[result.mask])
    given = apply_chain(
        made(),
        scenario,
        spacing_mm=(1.0,),
        depth_mm=torch.arange(120) + 20.5,
        distal_point_mm=torch.tensor([70.0]),
    )
    assert given.mask is not None
    assert torch.equal(given.mask[0].nonzero().ravel(), torch.arange(16, 66))


def test_single_and_double_precision_agree() -> None:
    scenario = activity_scenario(TIMELINE, washout="parodi-hu", psf_fwhm_mm=5, positron_range=True)
    double = run(made(), scenario, hu=ct())
    single = run(made().float(), scenario, hu=ct())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=2e-5, atol=1e-6)


def test_input_is_left_untouched() -> None:
    production, before = made(), made()
    apply_chain(
        production,
        activity_scenario(TIMELINE, counts=1e3, psf_fwhm_mm=5, window_length_mm=40),
        spacing_mm=(1.0,),
        distal_point_mm=torch.tensor([70.0]),
    )
    run(production, activity_scenario(None, window_anchor="proximal", window_length_mm=10))
    assert torch.equal(production, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this computer")
def test_gpu_gives_the_numbers_of_the_cpu() -> None:
    ranges = ScenarioRanges(
        washout="parodi-hu", delay_s=(0, 600), acquisition_s=(60, 600), psf_fwhm_mm=(3, 7), positron_range=True
    )
    scenario = draw_scenarios(ranges, np.random.default_rng(0), n=5)
    here = run(made(), scenario, hu=ct())
    there = run(made().cuda(), scenario, hu=ct().cuda())
    torch.testing.assert_close(there.cpu(), here, rtol=1e-9, atol=0)
    noisy = activity_scenario(TIMELINE, noise="snr-multiplicative", seed=4)
    torch.testing.assert_close(run(made().cuda(), noisy).cpu(), run(made(), noisy), rtol=1e-9, atol=1e-12)


SCENARIO = activity_scenario(TIMELINE)
REFUSED = [
    (torch.ones(6, 2, 9), SCENARIO, (1.0,), {}, "wrong shape"),
    (torch.ones(7, 9), SCENARIO, (1.0,), {}, "wrong shape"),
    (torch.ones(7, 0, 9), SCENARIO, (1.0,), {}, "wrong shape"),
    (torch.ones(7, 2, 9, dtype=torch.int32), SCENARIO, (1.0,), {}, "wrong type"),
    (torch.ones(7, 2, 9), SCENARIO, (1.0, 1.0), {}, "bin widths"),
    (torch.ones(7, 2, 9), SCENARIO, (0.0,), {}, "bin widths"),
    (torch.ones(7, 2, 3, 4), SCENARIO, (1.0,), {}, "bin widths"),
    (torch.ones(7, 2, 9), activity_scenario(TIMELINE, washout="parodi-hu"), (1.0,), {}, "depends on tissue"),
    (
        torch.ones(7, 2, 9),
        activity_scenario(TIMELINE, washout="parodi-hu"),
        (1.0,),
        {"hu": torch.zeros(8)},
        "does not fit",
    ),
    (
        torch.ones(7, 2, 9),
        activity_scenario(TIMELINE, washout="parodi-hu"),
        (1.0,),
        {"hu": torch.full((9,), float("nan"))},
        "not finite",
    ),
    (torch.ones(7, 2, 9), activity_scenario(TIMELINE, noise="snr-additive"), (2.0,), {}, "1 mm bins"),
    (torch.ones(7, 2, 9), activity_scenario(TIMELINE, window_length_mm=5), (1.0,), {}, "no place"),
    (
        torch.ones(7, 2, 9),
        activity_scenario(TIMELINE, window_length_mm=5),
        (1.0,),
        {"distal_point_mm": torch.ones(3)},
        "do not match the rays",
    ),
    (torch.ones(7, 2, 3, 4), activity_scenario(TIMELINE, window_length_mm=5), (1.0, 1.0, 1.0), {}, "on a volume"),
    (
        torch.ones(7, 2, 9),
        draw_scenarios(ScenarioRanges(), np.random.default_rng(0), n=3),
        (1.0,),
        {},
        "does not match the rows",
    ),
    (torch.zeros(7, 2, 9), activity_scenario(TIMELINE, counts=100), (1.0,), {}, "no counts can be drawn"),
]


@pytest.mark.parametrize(("production", "scenario", "spacing_mm", "other", "message"), REFUSED)
def test_what_cannot_be_computed_is_refused(
    production: torch.Tensor,
    scenario: ActivityScenario,
    spacing_mm: tuple[float, ...],
    other: dict[str, torch.Tensor],
    message: str,
) -> None:
    with pytest.raises(InputError, match=message):
        apply_chain(production, scenario, spacing_mm=spacing_mm, **other)


def test_rows_of_one_tissue_are_summed_as_rows_of_their_own_tissue() -> None:
    """The short way for rows that share HU and factors, edges of the classes included."""
    rng = np.random.default_rng(2)
    production, factors = torch.from_numpy(rng.random((7, 3, 12))), torch.from_numpy(rng.random((1, 4, 7)))
    hu = torch.tensor([-900.0, -150.0, -149.9, 0.0, 40.0, 150.0, 151.0, 900.0, 901.0, 40.0, -20.0, 2000.0]).double()
    edges = (-150.0, 150.0, 900.0)
    shared = combine(production, factors, hu.expand(3, 12), edges)
    own = combine(production, factors, hu.repeat(3, 1), edges)
    assert torch.allclose(shared, own, rtol=1e-14)


def test_combine_needs_tissue_for_more_than_one_class() -> None:
    with pytest.raises(InputError, match="without tissue"):
        combine(torch.ones(7, 1, 4), torch.ones(1, 5, 7))
