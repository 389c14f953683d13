"""When the model must not answer."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.range_model.domain import DomainLimits, fit_domain_score, hard_reasons, range_reason
from protonqa.range_model.edge import find_edge
from protonqa.range_model.observables import OBSERVABLES, column, observe
from protonqa.range_model.rays import RAW_ACQUISITION_S, WORKING_BINS, rays_from_profiles
from protonqa.values import ProfileSet, Timeline

LIMITS = DomainLimits(
    r80_low_mm=30,
    r80_high_mm=300,
    energy_low_mev=70,
    energy_high_mev=220,
    longest_delay_s=900,
    longest_irradiation_s=120,
    longest_acquisition_s=1200,
    widest_psf_mm=7,
    shortest_proximal_mm=30,
)
DEPTH = np.arange(WORKING_BINS) + 0.5
EDGE = 0.5 * (1 - np.tanh((DEPTH - 150) / 3))


def reasons(activity: np.ndarray, **more: object) -> list[str]:
    batch = rays_from_profiles(ProfileSet(depth_mm=DEPTH, activity=activity, **more))
    edge = find_edge(batch.activity, batch.usable, sd_mm=2.5)
    return hard_reasons(batch, edge, observe(batch, edge), LIMITS)


def reason(activity: np.ndarray, **more: object) -> str:
    return reasons(activity[None], **more)[0]


def window(first: float, last: float) -> np.ndarray:
    return ((first <= DEPTH) & (last >= DEPTH))[None]


def test_a_plain_edge_is_not_refused() -> None:
    assert reason(EDGE) == ""
    assert reason(EDGE, timeline=Timeline(irradiation_s=60, delay_s=300, acquisition_s=600), psf_fwhm_mm=5.0) == ""
    assert reason(EDGE, timeline=Timeline(irradiation_s=0, delay_s=0, acquisition_s=RAW_ACQUISITION_S)) == ""


@pytest.mark.parametrize(
    ("activity", "more", "word"),
    [
        (np.zeros(WORKING_BINS), {}, "0 bins, at least 5"),
        (np.eye(WORKING_BINS)[100], {}, "1 bins"),
        (np.ones(WORKING_BINS), {}, "constant"),
        (-EDGE, {}, "above zero"),
        (EDGE[::-1].copy(), {}, "cut by the edge"),
        (EDGE, {"mask": window(0, 140)}, "cut by the edge"),
        (EDGE, {"mask": window(0, 153)}, "behind A50"),
        (EDGE, {"mask": window(130, 190)}, "before A50"),
        (EDGE, {"mask": np.zeros((1, WORKING_BINS), dtype=bool)}, "0 bins"),
        (EDGE, {"timeline": Timeline(irradiation_s=60, delay_s=1800, acquisition_s=600)}, "delay of 1800 s"),
        (EDGE, {"timeline": Timeline(irradiation_s=600, delay_s=60, acquisition_s=600)}, "irradiation"),
        (EDGE, {"timeline": Timeline(irradiation_s=60, delay_s=60, acquisition_s=7200)}, "acquisition"),
        (EDGE, {"psf_fwhm_mm": 12.0}, "PSF of 12 mm"),
    ],
)
def test_hard_rules_name_what_is_missing(activity: np.ndarray, more: dict[str, object], word: str) -> None:
    assert word in reason(activity, **more)


def test_a_window_that_ends_at_the_skin_is_not_short() -> None:
    shallow = 0.5 * (1 - np.tanh((DEPTH - 25) / 3))
    assert reason(shallow) == ""


def test_noise_has_no_edge_that_stands_out() -> None:
    rng = np.random.default_rng(0)
    mask = np.repeat(window(20, 260), 100, axis=0)
    for noise in (rng.normal(size=(100, WORKING_BINS)), rng.poisson(2.0, (100, WORKING_BINS)).astype(float)):
        assert all(reasons(noise, mask=mask))


def test_ranges_beyond_training_are_refused_with_the_numbers() -> None:
    assert range_reason(120.0, LIMITS) == ""
    assert "320 mm" in range_reason(320.0, LIMITS)
    assert "30 to 300 mm" in range_reason(12.0, LIMITS)


def observed(rng: np.random.Generator, n: int) -> np.ndarray:
    table = np.zeros((n, len(OBSERVABLES)))
    table[:, column("noise")] = rng.uniform(0.01, 0.3, n)
    table[:, column("edge_contrast")] = 3 / table[:, column("noise")]
    table[:, column("edge_width_mm")] = rng.uniform(6, 12, n)
    table[:, column("peak_ratio")] = rng.uniform(1, 1.5, n)
    table[:, column("rsp_max")] = rng.uniform(1, 1.6, n)
    return table


def test_the_score_answers_the_share_it_was_fitted_for_and_refuses_what_is_far() -> None:
    rng = np.random.default_rng(1)
    x = np.linspace(-1, 1, 40)

    def shapes(n: int) -> np.ndarray:
        return 1 / (1 + np.exp((x[None] - rng.uniform(-0.1, 0.1, (n, 1))) * 12)) + rng.normal(0, 0.02, (n, 40))

    score = fit_domain_score(observed(rng, 3000), shapes(3000), rng.exponential(0.1, 3000))
    inside = score.score(observed(rng, 3000), shapes(3000), rng.exponential(0.1, 3000)) <= 1
    assert 0.98 < inside.mean() < 0.998
    strange = observed(rng, 100)
    strange[:, column("rsp_max")] = 3.5
    assert (score.score(strange, shapes(100), np.full(100, 0.1)) > 1).all()
    assert (score.score(observed(rng, 100), np.sin(9 * x) * np.ones((100, 1)), np.full(100, 0.1)) > 1).all()
    assert (score.score(observed(rng, 100), shapes(100), np.full(100, 5.0)) > 1).all()


def test_a_score_needs_rays() -> None:
    with pytest.raises(InputError, match="too few"):
        fit_domain_score(np.zeros((10, len(OBSERVABLES))), np.zeros((10, 40)), np.zeros(10))
