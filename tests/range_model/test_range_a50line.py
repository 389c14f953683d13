"""The A50 line: fitted as well as it can be, one per time line."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.physics.curves import a50_mm
from protonqa.range_model.a50line import fit_a50_lines, reported_a50_mm, timeline_classes
from protonqa.range_model.config import FeatureConfig
from protonqa.range_model.edge import find_edge
from protonqa.range_model.rays import RAW_ACQUISITION_S, WORKING_BINS, rays_from_profiles
from protonqa.values import Timeline


def test_a_planted_line_is_found_in_spite_of_outliers() -> None:
    rng = np.random.default_rng(0)
    n = 400
    a50, rsp = rng.uniform(40, 250, n), rng.uniform(0.9, 1.4, n)
    truth = 10.0 + 1.002 * a50 - 5.0 * rsp + rng.normal(0, 0.05, n)
    truth[:20] += 25.0
    lines = fit_a50_lines(a50, rsp, np.ones(n, dtype=bool), ["raw"] * n, truth)
    line = lines.lines["raw+rsp"]
    assert line.intercept_mm == pytest.approx(10.0, abs=0.1)
    assert line.slope == pytest.approx(1.002, abs=1e-3)
    assert line.rsp == pytest.approx(-5.0, abs=0.1)


def test_each_time_line_has_its_own_line_and_an_unknown_one_the_pooled() -> None:
    rng = np.random.default_rng(1)
    n = 600
    a50 = rng.uniform(40, 250, n)
    classes = ["raw" if i % 2 else "frame3" for i in range(n)]
    truth = a50 + np.where(np.arange(n) % 2, 5.0, 8.0)
    known = np.zeros(n, dtype=bool)
    lines = fit_a50_lines(a50, np.zeros(n), known, classes, truth)
    answer = lines.predict(np.full(3, 100.0), np.zeros(3), known[:3], ["raw", "frame3", "frame0"])
    assert answer[0] == pytest.approx(105.0, abs=0.01)
    assert answer[1] == pytest.approx(108.0, abs=0.01)
    assert 105 < answer[2] < 108
    assert np.isnan(lines.predict(np.array([np.nan]), np.zeros(1), known[:1], ["raw"])[0])


def test_rsp_is_used_only_where_it_is_known() -> None:
    rng = np.random.default_rng(2)
    n = 300
    a50, rsp = rng.uniform(40, 250, n), rng.uniform(0.9, 1.4, n)
    known = np.arange(n) % 2 == 0
    lines = fit_a50_lines(a50, np.where(known, rsp, 0.0), known, ["raw"] * n, a50 + 6.0 / rsp)
    with_ct, without = lines.predict(
        np.array([100.0, 100.0]), np.array([1.3, 0.0]), np.array([True, False]), ["raw", "raw"]
    )
    assert with_ct == pytest.approx(100 + 6 / 1.3, abs=0.1)
    assert without == pytest.approx(100 + 6 / 1.15, abs=0.3)


def test_too_few_rays_are_no_line() -> None:
    with pytest.raises(InputError, match="too few"):
        fit_a50_lines(np.full(20, np.nan), np.zeros(20), np.zeros(20, dtype=bool), ["raw"] * 20, np.zeros(20))


def test_classes_follow_the_middle_of_the_frame(toy: SimpleNamespace) -> None:
    rays = toy.rays(1, 1, seed=1)

    def of(line: Timeline | None) -> str:
        return timeline_classes(rays_from_profiles(toy.profiles(rays, timeline=line)))[0]

    assert of(None) == "unknown"
    assert of(Timeline(irradiation_s=0, delay_s=0, acquisition_s=RAW_ACQUISITION_S)) == "raw"
    assert of(Timeline(irradiation_s=0, delay_s=300, acquisition_s=0)) == "frame3"
    assert of(Timeline(irradiation_s=60, delay_s=0, acquisition_s=40)) == "frame0"
    assert of(Timeline(irradiation_s=60, delay_s=1200, acquisition_s=600)) == "frame5"


def test_the_reported_a50_is_that_of_the_definition_on_clean_profiles(toy: SimpleNamespace) -> None:
    rays = toy.rays(10, 1, seed=9)
    batch = rays_from_profiles(toy.profiles(rays))
    edge = find_edge(batch.activity, batch.usable, sd_mm=FeatureConfig().smoothing_sd_mm)
    depth = np.arange(WORKING_BINS) + 0.5
    assert np.allclose(reported_a50_mm(batch, edge), [a50_mm(depth, r.production.sum(axis=0)) for r in rays])


def test_the_reported_a50_survives_noise_and_a_window_with_a_gap(toy: SimpleNamespace) -> None:
    rng = np.random.default_rng(3)
    rays = toy.rays(20, 1, seed=9)
    clean = np.stack([r.production.sum(axis=0) for r in rays])
    depth = np.arange(WORKING_BINS) + 0.5
    want = np.array([a50_mm(depth, c) for c in clean])
    mask = np.ones_like(clean, dtype=bool)
    mask[:, 5:9] = False
    noisy = clean * (1 + 0.1 * rng.normal(size=clean.shape))
    batch = rays_from_profiles(toy.profiles(rays, activity=noisy, mask=mask))
    edge = find_edge(batch.activity, batch.usable, sd_mm=2.5)
    assert np.abs(reported_a50_mm(batch, edge) - want).mean() < 0.6
