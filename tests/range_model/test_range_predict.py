"""Prediction with a small trained model: right, invariant, honest."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from protonqa.errors import InputError
from protonqa.range_model.dataset import RayTable
from protonqa.range_model.metrics import dose_errors
from protonqa.range_model.model_file import RangeModel
from protonqa.range_model.predict import NOT_EVALUABLE, OK, predict_ranges, torch_threads
from protonqa.range_model.rays import WORKING_BINS
from protonqa.values import ProfileSet, Timeline


@pytest.fixture(scope="module")
def rays(toy: SimpleNamespace) -> list[object]:
    """Anatomies that training never saw."""
    return list(toy.rays(80, 1, seed=4711))


def truth(rays: list[object]) -> np.ndarray:
    return np.array([r.r80_mm for r in rays])  # type: ignore[attr-defined]


def activity_of(rays: list[object]) -> np.ndarray:
    return np.stack([r.production.sum(axis=0) for r in rays])  # type: ignore[attr-defined]


def test_a_small_training_reaches_below_a_millimetre_and_beats_the_mean(
    toy_model: RangeModel, toy: SimpleNamespace, rays: list[object], toy_table: RayTable
) -> None:
    found = predict_ranges(toy_model, toy.profiles(rays))
    ok = found.answered
    assert ok.mean() > 0.9
    error = np.abs(found.r80_mm - truth(rays))[ok]
    assert error.mean() < 0.7
    assert error.mean() < 0.05 * np.abs(truth(rays) - toy_table.r80_mm.mean()).mean()
    line = np.abs(found.a50_line_r80_mm - truth(rays))[ok]
    assert line.mean() < 0.7
    inside = (found.low_mm <= truth(rays)) & (truth(rays) <= found.high_mm)
    assert inside[ok].mean() > 0.85
    assert (found.low_mm < found.high_mm)[ok].all()


def test_the_dose_has_its_maximum_one_and_its_falloff_at_r80(
    toy_model: RangeModel, toy: SimpleNamespace, rays: list[object]
) -> None:
    found = predict_ranges(toy_model, toy.profiles(rays))
    ok = found.answered
    assert np.allclose(found.dose[ok].max(axis=1), 1.0)
    true = np.stack([r.dose.reshape(-1, 2).mean(axis=1) for r in rays])[ok]  # type: ignore[attr-defined]
    errors = dose_errors(found.depth_mm, found.dose[ok], true, truth(rays)[ok])
    assert np.median(errors.mae) < 0.08
    for row in np.flatnonzero(ok):
        behind = found.depth_mm > found.r80_mm[row] + 25
        assert found.dose[row, behind].max() < 0.1


def test_the_unit_of_activity_does_not_matter(toy_model: RangeModel, toy: SimpleNamespace, rays: list[object]) -> None:
    base = predict_ranges(toy_model, toy.profiles(rays))
    for gain in (1e-20, 3.7, 1e15):
        other = predict_ranges(toy_model, toy.profiles(rays, activity=activity_of(rays) * gain))
        assert np.allclose(other.network_r80_mm, base.network_r80_mm, atol=1e-3)
        assert other.state == base.state


@pytest.mark.parametrize("shift", [-9, -4, 6])
def test_activity_and_ct_that_move_together_move_the_answer(
    toy_model: RangeModel, toy: SimpleNamespace, rays: list[object], shift: int
) -> None:
    rsp = np.stack([r.rsp for r in rays])  # type: ignore[attr-defined]
    base = predict_ranges(toy_model, toy.profiles(rays))
    moved = predict_ranges(
        toy_model, toy.profiles(rays, activity=rolled(activity_of(rays), shift), rsp=rolled(rsp, shift))
    )
    ok = base.answered & moved.answered
    gained = (moved.r80_mm - base.r80_mm)[ok]
    assert np.abs(gained - shift).mean() < 0.3
    assert np.allclose((moved.a50_mm - base.a50_mm)[ok], shift, atol=1e-3)


def test_the_answer_follows_the_edge_not_the_planning_ct(
    toy_model: RangeModel, toy: SimpleNamespace, rays: list[object]
) -> None:
    shifts = np.arange(-10, 11, 4)
    mean = []
    for shift in shifts:
        moved = predict_ranges(toy_model, toy.profiles(rays, activity=rolled(activity_of(rays), int(shift))))
        mean.append(np.nanmean(moved.network_r80_mm - truth(rays)))
    assert np.polyfit(shifts, mean, 1)[0] == pytest.approx(1.0, abs=0.1)


def rolled(array: np.ndarray, shift: int) -> np.ndarray:
    """Moved along depth; what comes in at the skin is more of the first value."""
    if shift >= 0:
        return np.concatenate([np.repeat(array[:, :1], shift, axis=1), array[:, : array.shape[1] - shift]], axis=1)
    return np.concatenate([array[:, -shift:], np.repeat(array[:, -1:], -shift, axis=1)], axis=1)


def noise_of(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = (100, WORKING_BINS)
    box = np.ones(9) / 9
    table = {
        "zero": lambda: np.zeros(shape),
        "constant": lambda: np.full(shape, 3.0),
        "gauss": lambda: rng.normal(size=shape),
        "uniform": lambda: rng.random(shape),
        "poisson": lambda: rng.poisson(3.0, shape).astype(float),
        "few counts": lambda: rng.poisson(0.02, shape).astype(float),
        "lognormal": lambda: rng.lognormal(size=shape),
        "smooth": lambda: np.stack([np.convolve(v, box, "same") for v in rng.normal(size=shape)]),
        "three voxels": lambda: np.eye(WORKING_BINS)[:100] + np.eye(WORKING_BINS)[1:101] + np.eye(WORKING_BINS)[2:102],
    }
    return table[kind]()


@pytest.mark.parametrize(
    "kind",
    ["zero", "constant", "gauss", "uniform", "poisson", "few counts", "lognormal", "smooth", "three voxels"],
)
@pytest.mark.parametrize("with_ct", [True, False])
def test_noise_is_never_answered(toy_model: RangeModel, kind: str, with_ct: bool) -> None:
    rsp = np.ones((100, WORKING_BINS)) if with_ct else None
    found = predict_ranges(
        toy_model, ProfileSet(depth_mm=np.arange(WORKING_BINS) + 0.5, activity=noise_of(kind), rsp=rsp)
    )
    assert set(found.state) == {NOT_EVALUABLE}
    assert all(found.reason)
    assert np.isnan(found.r80_mm).all()
    assert np.isnan(found.low_mm).all()
    assert np.isnan(found.dose).all()


def test_windows_and_absent_channels_still_answer(
    toy_model: RangeModel, toy: SimpleNamespace, rays: list[object]
) -> None:
    end = truth(rays) + 25
    depth = np.arange(WORKING_BINS) + 0.5
    mask = (depth[None] <= end[:, None]) & (depth[None] >= end[:, None] - 100)
    line = Timeline(irradiation_s=60, delay_s=120, acquisition_s=600)
    for change in ({"mask": mask}, {"rsp": None}, {"timeline": line}, {"psf_fwhm_mm": 0.0}):
        found = predict_ranges(toy_model, toy.profiles(rays, **change))
        ok = found.answered
        assert ok.mean() > 0.8, change
        assert np.abs(found.r80_mm - truth(rays))[ok].mean() < 2.0, change


def test_a_falloff_cut_by_the_window_is_refused(
    toy_model: RangeModel, toy: SimpleNamespace, rays: list[object]
) -> None:
    depth = np.arange(WORKING_BINS) + 0.5
    mask = depth[None] <= (truth(rays) - 20)[:, None]
    found = predict_ranges(toy_model, toy.profiles(rays, mask=mask))
    assert not found.answered.any()
    assert all("cut by the edge of the window" in r for r in found.reason)


def test_a_table_of_the_window_alone_answers_like_the_masked_profile(
    toy_model: RangeModel, toy: SimpleNamespace
) -> None:
    ray = toy.rays(1, 1, seed=77)
    end = int(ray[0].r80_mm) + 25
    depth = np.arange(WORKING_BINS) + 0.5
    mask = ((depth < end) & (depth > end - 100))[None]
    cut = slice(*np.flatnonzero(mask[0])[[0, -1]])
    activity = activity_of(ray)
    masked = predict_ranges(toy_model, toy.profiles(ray, mask=mask, rsp=None))
    table = predict_ranges(toy_model, ProfileSet(depth_mm=depth[cut], activity=activity[:, cut]))
    assert table.r80_mm[0] == pytest.approx(masked.r80_mm[0], abs=0.3)
    assert table.dose.shape == (1, cut.stop - cut.start)


def test_irregular_depths_change_little(toy_model: RangeModel, toy: SimpleNamespace, rays: list[object]) -> None:
    base = predict_ranges(toy_model, toy.profiles(rays))
    step = np.where(np.arange(330) % 2, 1.5, 0.9)
    depth = np.cumsum(step)
    fine = np.arange(WORKING_BINS) + 0.5
    activity = np.stack([np.interp(depth, fine, a) for a in activity_of(rays)])
    rsp = np.stack([np.interp(depth, fine, r.rsp) for r in rays])  # type: ignore[attr-defined]
    other = predict_ranges(toy_model, ProfileSet(depth_mm=depth, activity=activity, rsp=rsp))
    ok = base.answered & other.answered
    assert ok.mean() > 0.8
    assert np.abs(other.r80_mm - base.r80_mm)[ok].mean() < 0.4


def test_coarse_bins_are_refused(toy_model: RangeModel) -> None:
    depth = np.arange(4.0, 300, 8.0)
    found = predict_ranges(toy_model, ProfileSet(depth_mm=depth, activity=(depth < 150)[None].astype(float)))
    assert found.state == (NOT_EVALUABLE,)
    assert "bins of 8.0 mm" in found.reason[0]


def test_the_answer_does_not_depend_on_the_batch_or_the_company(
    toy_model: RangeModel, toy: SimpleNamespace, rays: list[object]
) -> None:
    whole = predict_ranges(toy_model, toy.profiles(rays), batch=128)
    parts = predict_ranges(toy_model, toy.profiles(rays), batch=7, threads=3)
    assert np.allclose(whole.network_r80_mm, parts.network_r80_mm, atol=1e-3)
    assert whole.state == parts.state
    alone = predict_ranges(toy_model, toy.profiles(rays[3:4]))
    assert alone.network_r80_mm[0] == pytest.approx(whole.network_r80_mm[3], abs=1e-3)


def test_ranges_beyond_training_are_refused(toy_model: RangeModel, toy: SimpleNamespace) -> None:
    rng = np.random.default_rng(1)
    deep = [toy.ray(rng, "deep", layers=1, range_mm=330.0) for _ in range(5)]
    found = predict_ranges(toy_model, toy.profiles(deep))
    assert not found.answered.any()
    assert any("training range" in r for r in found.reason)


def test_doubts_are_findings(toy_model: RangeModel, toy: SimpleNamespace, rays: list[object]) -> None:
    rng = np.random.default_rng(2)
    noisy = activity_of(rays) + rng.normal(0, 0.01, (len(rays), WORKING_BINS))
    found = predict_ranges(toy_model, toy.profiles(rays, activity=noisy, rsp=None))
    assert {f.code for f in found.findings} >= {"NEGATIVE-ACTIVITY", "NO-CT", "NO-TIMELINE"}
    line = Timeline(irradiation_s=60, delay_s=120, acquisition_s=600)
    told = predict_ranges(toy_model, toy.profiles(rays, timeline=line))
    assert not {f.code for f in told.findings} & {"NO-CT", "NO-TIMELINE", "NEGATIVE-ACTIVITY"}


def test_states_reasons_and_numbers_agree(toy_model: RangeModel, toy: SimpleNamespace, rays: list[object]) -> None:
    activity = activity_of(rays)
    activity[::3] = 0.0
    found = predict_ranges(toy_model, toy.profiles(rays, activity=activity))
    for row, state in enumerate(found.state):
        assert (state == OK) == np.isfinite(found.r80_mm[row])
        assert (state == OK) == (found.reason[row] == "")
    assert found.ray == tuple(str(i) for i in range(len(rays)))


def test_no_rays_are_no_error(toy_model: RangeModel) -> None:
    empty = ProfileSet(depth_mm=np.arange(10) + 0.5, activity=np.empty((0, 10)))
    found = predict_ranges(toy_model, empty)
    assert found.state == ()
    assert found.dose.shape == (0, 10)


def test_bad_arguments_are_named(toy_model: RangeModel, toy: SimpleNamespace, rays: list[object]) -> None:
    with pytest.raises(InputError, match="batch"):
        predict_ranges(toy_model, toy.profiles(rays), batch=0)
    with pytest.raises(InputError, match="threads"):
        predict_ranges(toy_model, toy.profiles(rays), threads=0)
    with pytest.raises(InputError, match="threads"), torch_threads(0):
        pass
