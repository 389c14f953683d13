"""Digital twins: reproducible, different, human in size, in air, on one grid on all days."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from protonqa.errors import GeometryError
from protonqa.phantom.abdomen import abdomen_shapes, body_extent_mm
from protonqa.phantom.shapes import Fill
from protonqa.phantom.twin_parameters import DayChange, Pose, TwinParameters
from protonqa.phantom.twins import _body_blocks, _body_coordinates, draw_twin, perturb_twin, voxelise_twin
from protonqa.phantom.voxelise import Canvas, VoxelPhantom

NO_CHANGE = DayChange(
    setup_mm=0, rotation_deg=0, fat_mm=0, breathing_mm=0, organ_mm=0, bowel_mm=0, filling=0, gas_redrawn=0
)
STILL: dict[str, object] = {"waves": (), "pose": Pose()}


def body(phantom: VoxelPhantom) -> np.ndarray:
    outside = [i for i, t in enumerate(phantom.tissues) if t in ("air", "couch_shell", "couch_core")]
    return np.asarray(~np.isin(phantom.tissue_index, outside))


def middle_mm(phantom: VoxelPhantom, mask: np.ndarray) -> np.ndarray:
    z, y, x = np.nonzero(mask)
    return np.asarray(phantom.grid.world_from_index(np.stack([x, y, z], axis=-1)).mean(axis=0))


def test_same_seed_same_bits_also_through_json() -> None:
    first, second = draw_twin(5), draw_twin(5)
    assert first == second
    again = TwinParameters.model_validate_json(first.model_dump_json())
    assert again == first
    a, b = voxelise_twin(first, 6.0, ct_noise=True), voxelise_twin(again, 6.0, ct_noise=True)
    assert a.hu.tobytes() == b.hu.tobytes()
    assert a.tissue_index.tobytes() == b.tissue_index.tobytes()


def test_another_seed_is_another_patient() -> None:
    twins = [draw_twin(seed) for seed in range(20)]
    for quantity in (
        lambda t: t.anatomy.cavity_half_width_mm,
        lambda t: t.anatomy.fat_mm[0],
        lambda t: t.anatomy.liver[0].center_mm,
        lambda t: t.anatomy.hu["liver"],
        lambda t: t.texture.seed,
    ):
        assert len({quantity(t) for t in twins}) == 20


def test_bodies_span_the_range_of_adults() -> None:
    twins = [draw_twin(seed) for seed in range(300)]
    width = np.array([2 * body_extent_mm(t.anatomy)[0] for t in twins])
    depth = np.array([np.diff(body_extent_mm(t.anatomy)[1:])[0] for t in twins])
    fat = np.array([t.anatomy.fat_mm[0] for t in twins])
    assert width.min() >= 250
    assert width.max() <= 420
    assert width.min() < 275
    assert width.max() > 390
    assert depth.min() >= 160
    assert depth.max() <= 330
    assert fat.min() < 7
    assert fat.max() > 40
    liver = np.array([t.anatomy.hu["liver"] for t in twins])
    assert np.ptp(liver) > 80
    assert {t.couch is None for t in twins} == {True, False}
    assert any(t.anatomy.lesions for t in twins)
    assert all(r.hu_keys_complete for r in map(_Complete, twins))


class _Complete:
    """Every tissue of the reference has a CT number within the calibration."""

    def __init__(self, twin: TwinParameters) -> None:
        values = np.array(list(twin.anatomy.hu.values()))
        self.hu_keys_complete = len(values) == 33 and (values >= -1000).all() and (values <= 2995).all()


@pytest.mark.parametrize("seed", range(12))
def test_the_body_stays_in_the_grid_with_air_around_on_every_day(seed: int) -> None:
    twin = draw_twin(seed)
    for params in (twin, perturb_twin(twin, 1), perturb_twin(twin, 2)):
        phantom = voxelise_twin(params, 8.0)
        mask = body(phantom)
        assert mask.any(axis=(1, 2)).all()  # cut at head and foot, as a CT is
        lateral, sagittal = mask.any(axis=(0, 1)), mask.any(axis=(0, 2))
        for side in (lateral[:1], lateral[-1:], sagittal[:1], sagittal[-1:]):
            assert not side.any()
        assert phantom.hu.min() >= -1000
        assert phantom.hu.max() <= 2995
        assert (phantom.material_index == -1).all()


def test_a_twin_is_an_abdomen() -> None:
    phantom = voxelise_twin(draw_twin(3), 4.0)
    present = {t for t in phantom.tissues if phantom.tissue_volume_ml(t) > 1.0}
    assert len(present) >= 20
    assert {"skin", "subcutaneous_fat", "muscle", "liver", "rib_cortical", "vertebra_spongiosa"} <= present
    right = middle_mm(phantom, phantom.tissue_mask("liver"))[0]
    assert right < middle_mm(phantom, phantom.tissue_mask("spleen"))[0]


def test_all_days_and_spacings_share_the_grid_rule() -> None:
    twin = draw_twin(8)
    planned, delivered = voxelise_twin(twin, 5.0), voxelise_twin(perturb_twin(twin, 4), 5.0)
    assert planned.grid.matches(delivered.grid)
    assert voxelise_twin(twin, (4.0, 4.0, 5.0)).grid.size_mm == pytest.approx(twin.size_mm)
    odd = voxelise_twin(twin, 7.0).grid
    assert all(0 <= have - want < 7.0 for have, want in zip(odd.size_mm, twin.size_mm, strict=True))
    with pytest.raises(GeometryError, match="not positive"):
        voxelise_twin(twin, 0.0)
    with pytest.raises(GeometryError, match="too many voxels"):
        voxelise_twin(twin, 0.01)


def test_another_day_is_the_same_patient() -> None:
    twin = draw_twin(11)
    day = perturb_twin(twin, 7)
    assert day == perturb_twin(twin, 7)
    assert day != perturb_twin(twin, 8)
    assert day.days == (7,)
    for kept in ("texture", "waves", "couch", "size_mm", "seed"):
        assert getattr(day, kept) == getattr(twin, kept)
    for kept in ("hu", "cavity_half_width_mm", "vertebra_radii_mm", "rib_base_z_mm", "skin_mm"):
        assert getattr(day.anatomy, kept) == getattr(twin.anatomy, kept)
    assert day.pose != twin.pose
    assert day.anatomy.loops != twin.anatomy.loops
    a, b = voxelise_twin(twin, 6.0), voxelise_twin(day, 6.0)
    assert 0.01 < np.mean(body(a) & (a.tissue_index != b.tissue_index)) < 0.3


def test_a_day_without_change_changes_nothing_but_the_noise() -> None:
    twin = draw_twin(2)
    day = perturb_twin(twin, 7, day=NO_CHANGE)
    assert voxelise_twin(day, 6.0).hu.tobytes() == voxelise_twin(twin, 6.0).hu.tobytes()
    assert day.ct_noise.seed != twin.ct_noise.seed


def test_set_up_shift_moves_the_body_by_that_much_and_texture_with_it() -> None:
    twin = draw_twin(2).model_copy(update={"waves": (), "pose": Pose(), "couch": None})
    moved = twin.model_copy(update={"pose": Pose(shift_mm=(10.0, -5.0, 0.0))})
    a, b = voxelise_twin(twin, 5.0), voxelise_twin(moved, 5.0)
    assert np.array_equal(a.tissue_index[:, 1:, :-2], b.tissue_index[:, :-1, 2:])
    assert np.allclose(a.hu[:, 1:, :-2], b.hu[:, :-1, 2:], atol=0.5)


def test_roll_turns_plus_x_towards_plus_y() -> None:
    twin = draw_twin(2).model_copy(update={"waves": (), "pose": Pose(), "couch": None})
    rolled = twin.model_copy(update={"pose": Pose(rotation_deg=(0.0, 0.0, 10.0))})
    still, turned = voxelise_twin(twin, 5.0), voxelise_twin(rolled, 5.0)
    pivot = np.array([0.0, twin.anatomy.cavity_center_y_mm])
    before = middle_mm(still, still.tissue_mask("spleen"))[:2] - pivot
    after = middle_mm(turned, turned.tissue_mask("spleen"))[:2] - pivot
    angle = np.degrees(np.arctan2(after[1], after[0]) - np.arctan2(before[1], before[0]))
    assert angle == pytest.approx(10.0, abs=0.7)
    assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before), abs=1.0)


def test_texture_has_its_amplitude_and_its_length_whatever_the_voxels() -> None:
    twin = draw_twin(4)
    texture = twin.texture.model_copy(update={"amplitude_hu": 10.0, "correlation_mm": 16.0})
    twin = twin.model_copy(update={**STILL, "texture": texture})
    for spacing in (3.0, 6.0):
        phantom = voxelise_twin(twin, spacing)
        fat = phantom.hu[phantom.tissue_mask("subcutaneous_fat")]
        assert fat.mean() == pytest.approx(round(twin.anatomy.hu["subcutaneous_fat"], 1), abs=1.5)
        assert fat.std() == pytest.approx(10.0, rel=0.25)
    phantom = voxelise_twin(twin, 4.0)
    mask = phantom.tissue_mask("subcutaneous_fat")
    value = phantom.hu - phantom.hu[mask].mean()
    correlation = []
    for steps in (1, 8):
        pair = mask[:-steps] & mask[steps:]
        correlation.append(float(np.mean(value[:-steps][pair] * value[steps:][pair]) / value[mask].var()))
    assert correlation[0] > 0.7  # 4 mm
    assert correlation[1] < 0.3  # 32 mm


def test_scanner_noise_is_added_only_on_request_and_keeps_the_tissues() -> None:
    twin = draw_twin(6)
    clean, noisy = voxelise_twin(twin, 6.0), voxelise_twin(twin, 6.0, ct_noise=True)
    assert np.array_equal(clean.tissue_index, noisy.tissue_index)
    difference = (noisy.hu - clean.hu)[clean.tissue_mask("muscle")]
    assert difference.std() == pytest.approx(twin.ct_noise.amplitude_hu, rel=0.1)
    assert abs(difference.mean()) < 1.0


def test_the_couch_lies_below_the_patient_and_touches_no_tissue() -> None:
    seed = next(s for s in range(20) if draw_twin(s).couch is not None)
    phantom = voxelise_twin(draw_twin(seed), 4.0)
    couch = phantom.tissue_mask("couch_shell") | phantom.tissue_mask("couch_core")
    assert couch.any()
    lowest_body = np.flatnonzero(body(phantom).any(axis=(0, 2))).max()
    assert np.flatnonzero(couch.any(axis=(0, 2))).min() >= lowest_body - 6  # a rolled body may dip into its gap


def test_unknown_parameters_are_refused() -> None:
    text = draw_twin(1).model_dump_json()
    with pytest.raises(ValidationError, match="extra"):
        TwinParameters.model_validate_json(text.replace('"seed"', '"sead"', 1))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_every_seed_and_every_chain_of_days_makes_a_body(seed: int, day: int) -> None:
    twin = draw_twin(seed)
    for _ in range(3):
        twin = perturb_twin(twin, day)
    phantom = voxelise_twin(twin, 20.0)
    assert np.isfinite(phantom.hu).all()
    assert phantom.tissue_mask("subcutaneous_fat").any() or phantom.tissue_mask("muscle").any()


def test_the_blocks_in_which_shapes_are_painted_lose_no_voxel() -> None:
    twin = draw_twin(13).model_copy(update={"pose": Pose(shift_mm=(6.0, -4.0, 5.0), rotation_deg=(4.0, -5.0, 12.0))})
    grid = voxelise_twin(twin, 8.0).grid
    coordinates = _body_coordinates(grid, twin)
    everything = (slice(None), slice(None), slice(None))
    fast, slow = Canvas(grid, Fill(hu=-1000.0)), Canvas(grid, Fill(hu=-1000.0))
    shapes = abdomen_shapes(twin.anatomy)
    fast.paint(shapes, _body_blocks(grid, twin, coordinates))
    slow.paint(shapes, lambda *_: (everything, (coordinates[0], coordinates[1], coordinates[2])))
    assert np.array_equal(fast.tissue_index, slow.tissue_index)
