"""The rules of range verification, each alone: verdict, evaluable rays, planned dose, uncertainty, resemblance."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.analyses.range_verification.estimates import resemblance
from protonqa.analyses.range_verification.planning import _evaluable, _why_not
from protonqa.analyses.range_verification.uncertainty import statistical_sd_mm
from protonqa.analyses.range_verification.verdict import Evidence, verdict
from protonqa.values import (
    Beam,
    Case,
    DoseImage,
    EnergyLayer,
    Grid,
    IonPlan,
    ProfileSet,
    SeriesInfo,
    State,
    Volume,
)


def evidence(**changes):
    base = {
        "evaluable_rays": 100,
        "answered_rays": 90,
        "mean_shift_mm": 0.5,
        "half_width_mm": 1.0,
        "fraction_beyond": 0.0,
        "tolerance_mm": 3.0,
    }
    return Evidence(**{**base, **changes})


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, State.PASS),
        ({"mean_shift_mm": 3.1}, State.FAIL),
        ({"mean_shift_mm": -3.1}, State.FAIL),
        ({"fraction_beyond": 0.11}, State.FAIL),
        ({"fraction_beyond": 0.10}, State.PASS),
        ({"evaluable_rays": 19, "answered_rays": 19}, State.NOT_EVALUABLE),
        ({"answered_rays": 49}, State.NOT_EVALUABLE),
        ({"half_width_mm": 3.1}, State.NOT_EVALUABLE),
        ({"half_width_mm": 3.1, "mean_shift_mm": 9.0}, State.NOT_EVALUABLE),
        ({"mean_shift_mm": None}, State.NOT_EVALUABLE),
    ],
)
def test_the_verdict_follows_the_rule_and_missing_evidence_never_passes(changes, state):
    found, reason = verdict(evidence(**changes))
    assert found is state
    assert reason


def test_independent_rays_give_the_textbook_error_of_the_mean():
    rng = np.random.default_rng(1)
    shift = rng.normal(0.0, 2.0, 400)
    place = np.stack(np.meshgrid(np.arange(20) * 100.0, np.arange(20) * 100.0), axis=-1).reshape(-1, 2)
    found = statistical_sd_mm(shift, place, psf_mm=5.0, width_mm=8.0)
    assert found == pytest.approx(shift.std(ddof=1) / 20.0, rel=0.02)


def test_rays_that_share_their_blur_count_for_less():
    """The error of a mean of correlated rays is larger than SD/sqrt(n): checked against simulated blurred noise."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(2)
    place = np.stack(np.meshgrid(np.arange(15) * 4.0, np.arange(15) * 4.0), axis=-1).reshape(-1, 2)
    sigma = np.hypot(5.0 / 2.3548, 8.0 / np.sqrt(12.0))
    means, stated = [], []
    for _ in range(150):
        field = gaussian_filter(rng.normal(size=(120, 120)), sigma, mode="wrap")[20:80:4, 20:80:4].ravel()
        field *= 10.0
        means.append(field.mean())
        stated.append(statistical_sd_mm(field, place, psf_mm=5.0, width_mm=8.0))
    assert np.sqrt(np.mean(np.square(stated))) == pytest.approx(np.std(means), rel=0.2)
    assert np.mean(stated) > 1.3 * np.std(field) / 15.0


def test_evaluable_rays_are_strong_and_one_psf_inside_the_edge():
    places = np.stack(np.meshgrid(np.arange(15), np.arange(15), indexing="ij"), axis=-1).reshape(-1, 2)
    center = np.hypot(places[:, 0] - 7, places[:, 1] - 7)
    reference = np.where(center <= 5, 1.0, 0.4)
    mask = _evaluable(reference, np.full(225, 100.0), places, (15, 15), 4.0, 5.0)
    assert mask[center <= 3].all()
    assert not mask[center > 5].any()
    assert mask.sum() < (center <= 5).sum()
    without_range = np.where(center < 1, np.nan, 100.0)
    assert not _evaluable(reference, without_range, places, (15, 15), 4.0, 5.0)[center < 1].any()


def _case(beams, dose):
    grid = Grid(shape=(2, 2, 2), spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0))
    zeros = np.zeros(grid.shape, dtype=np.float32)
    layer = EnergyLayer(energy_mev=100.0, spot_xy_mm=np.zeros((1, 2)), meterset_mu=np.ones(1))
    plan = IonPlan(
        patient_position="HFS",
        beams=tuple(
            Beam(number=n, name="", gantry_deg=0.0, couch_deg=0.0, isocenter_mm=(0, 0, 0), layers=(layer,))
            for n in beams
        ),
    )
    image = DoseImage(volume=Volume(grid=grid, array=zeros, unit="Gy"), **dose)
    return Case(ct=Volume(grid=grid, array=zeros, unit="HU"), ct_info=SeriesInfo(modality="CT"), plan=plan, dose=image)


@pytest.mark.parametrize(
    ("beams", "dose", "used"),
    [
        ((1,), {"summation_type": "PLAN"}, True),
        ((1, 2), {"summation_type": "PLAN"}, False),
        ((1, 2), {"summation_type": "BEAM", "referenced_beam": 1}, True),
        ((1, 2), {"summation_type": "BEAM", "referenced_beam": 2}, False),
        ((1,), {"summation_type": "PLAN", "dose_units": "RELATIVE"}, False),
    ],
)
def test_a_planned_range_never_comes_from_the_dose_of_other_beams(beams, dose, used):
    case = _case(beams, dose)
    assert (_why_not(case, case.dose, case.plan.beams[0]) == "") is used


def _profiles(activity):
    return ProfileSet(depth_mm=np.arange(activity.shape[1]) + 0.5, activity=activity)


def test_noise_does_not_resemble_the_expected_activity_and_a_shifted_profile_does():
    depth = np.arange(200) + 0.5
    curve = 1.0 / (1.0 + np.exp((depth - 120.0) / 3.0)) * (1.0 + 0.2 * np.sin(depth / 15.0))
    moved = np.interp(depth - 7.0, depth, curve)
    noise = np.random.default_rng(1).poisson(5.0, (50, 200)).astype(float)
    expected = _profiles(np.tile(curve, (50, 1)))
    assert resemblance(_profiles(np.tile(moved, (50, 1))), expected).min() > 0.9
    assert resemblance(_profiles(noise), expected).max() < 0.5
