"""Twins of head and pelvis: reproducible, different, human, in air, on one grid on all days, and changed as said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protonqa.errors import InputError
from protonqa.phantom.anatomy import Abdomen
from protonqa.phantom.head import head_sizes_mm
from protonqa.phantom.head_anatomy import HEAD_HU, Head
from protonqa.phantom.head_population import _CONTRAST_HU as HEAD_CONTRAST
from protonqa.phantom.head_population import _HU_RANGE as HEAD_RANGE
from protonqa.phantom.head_population import SKULL_MM
from protonqa.phantom.library import voxel_phantom
from protonqa.phantom.pelvis import pelvis_extent_mm
from protonqa.phantom.pelvis_anatomy import PELVIS_HU, Pelvis
from protonqa.phantom.pelvis_population import _CONTRAST_HU as PELVIS_CONTRAST
from protonqa.phantom.pelvis_population import _HU_RANGE as PELVIS_RANGE
from protonqa.phantom.pelvis_population import BLADDER_ML, PROSTATE_ML
from protonqa.phantom.texture import TEXTURE_SHARE
from protonqa.phantom.twin_parameters import DayChange, Pose, TwinParameters
from protonqa.phantom.twins import SITES, draw_twin, perturb_twin, voxelise_twin
from protonqa.phantom.voxelise import VoxelPhantom

NEW = ("head", "pelvis")
NO_CHANGE = DayChange(
    setup_mm=0, rotation_deg=0, fat_mm=0, breathing_mm=0, organ_mm=0, bowel_mm=0, filling=0, gas_redrawn=0
)
STILL: dict[str, object] = {"waves": (), "pose": Pose(), "couch": None}


def body(phantom: VoxelPhantom) -> np.ndarray:
    outside = [i for i, t in enumerate(phantom.tissues) if t in ("air", "couch_shell", "couch_core")]
    return np.asarray(~np.isin(phantom.tissue_index, outside))


def volume_ml(radii: tuple[float, float, float]) -> float:
    return 4 / 3 * math.pi * math.prod(radii) / 1000


@pytest.mark.parametrize("site", NEW)
def test_same_seed_same_bits_also_through_json(site: str) -> None:
    first, second = draw_twin(5, site=site), draw_twin(5, site=site)
    assert first == second
    assert first.site == site
    again = TwinParameters.model_validate_json(first.model_dump_json())
    assert again == first
    assert type(again.anatomy) is type(first.anatomy)
    a, b = voxelise_twin(first, 5.0, ct_noise=True), voxelise_twin(again, 5.0, ct_noise=True)
    assert a.hu.tobytes() == b.hu.tobytes()


def test_sites_share_a_seed_but_no_random_numbers() -> None:
    twins = [draw_twin(3, site=site) for site in SITES]
    assert len({t.texture.seed for t in twins}) == 3
    assert draw_twin(3) == twins[0]
    assert SITES == ("abdomen", "head", "pelvis")


def test_unknown_and_unfitting_sites_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown anatomy.*'hed'.*did you mean 'head'\?"):
        draw_twin(1, site="hed")
    with pytest.raises(InputError, match="of another site"):
        draw_twin(1, site="head", base=Abdomen())
    assert draw_twin(1, base=Pelvis()).site == "pelvis"


def test_twins_of_a_site_are_phantoms_by_name() -> None:
    twin = voxel_phantom("twin:pelvis:5", (10.0, 10.0, 10.0))
    assert twin.name == "pelvis twin 5"
    assert twin.hu.tobytes() == voxelise_twin(draw_twin(5, site="pelvis"), 10.0).hu.tobytes()
    with pytest.raises(InputError, match="unknown anatomy"):
        voxel_phantom("twin:hips:5")
    with pytest.raises(InputError, match="seed of a twin"):
        voxel_phantom("twin:head:x")


def test_heads_span_women_and_men() -> None:
    heads = [t.anatomy for t in (draw_twin(seed, site="head") for seed in range(150)) if isinstance(t.anatomy, Head)]
    breadth, length = np.array([head_sizes_mm(h) for h in heads]).T
    # 2012 survey: 5th percentile of women about 138 and 176 mm, 95th of men about 163 and 211 mm.
    assert breadth.min() < 141
    assert breadth.max() > 160
    assert length.min() < 180
    assert length.max() > 207
    assert np.all((breadth >= 132) & (breadth <= 171) & (length >= 167) & (length <= 218))
    around = np.pi * (3 * (breadth + length) - np.sqrt((3 * breadth + length) * (breadth + 3 * length))) / 2
    assert np.all((around > 470) & (around < 625))
    skull = np.array([[h.skull.lateral_mm, h.skull.frontal_mm, h.skull.occipital_mm] for h in heads])
    assert skull.min() >= SKULL_MM[0]
    assert skull.max() <= SKULL_MM[1]
    assert (np.diff(skull.mean(axis=0)) > 0).all()
    sinus = np.array([volume_ml(o.radii_mm) for h in heads for o in h.maxillary])
    assert 11 < sinus.mean() < 21
    assert 0.2 < sinus.std() / sinus.mean() < 0.5  # PMID 28341352: 0.34
    assert 0.1 < np.mean([o.gas_fraction < 1 for h in heads for o in h.maxillary]) < 0.4
    assert {len(h.frontal) for h in heads} >= {1, 2}
    assert any(len(h.missing_teeth) == 32 for h in heads)
    assert all(h.metal_teeth == () for h in heads)


def test_pelves_span_slim_and_heavy_men() -> None:
    drawn = [draw_twin(seed, site="pelvis").anatomy for seed in range(150)]
    pelves = [p for p in drawn if isinstance(p, Pelvis)]
    extent = np.array([pelvis_extent_mm(p) for p in pelves])
    width, depth = 2 * extent[:, 0], extent[:, 2] - extent[:, 1]
    assert np.all((width >= 300) & (width <= 460) & (depth >= 185) & (depth <= 330))
    assert width.min() < 315
    assert width.max() > 420
    fat = np.array([p.fat_mm[0] for p in pelves])
    assert fat.min() < 7
    assert fat.max() > 45
    prostate = np.array([volume_ml(p.prostate.radii_mm) for p in pelves])
    bladder = np.array([volume_ml(p.bladder.radii_mm) for p in pelves])
    assert np.all((prostate > 0.6 * PROSTATE_ML[0]) & (prostate < 1.6 * PROSTATE_ML[1]))
    assert 30 < np.median(prostate) < 50
    assert np.all((bladder > 0.99 * BLADDER_ML[0]) & (bladder < 1.01 * BLADDER_ML[1]))
    angle = np.array([p.femur.neck_shaft_deg for p in pelves])
    # Carmona et al. (2019): 124.7 +- 6.2 deg.
    assert angle.mean() == pytest.approx(124.7, abs=2.0)
    assert angle.std() == pytest.approx(6.2, abs=1.2)
    for p in pelves:
        # The bladder stands on the prostate, which lies before the rectum.
        top = p.prostate.center_mm[2] + p.prostate.radii_mm[2]
        assert p.bladder.center_mm[2] - p.bladder.radii_mm[2] == pytest.approx(top, abs=3.0)
        assert p.prostate.center_mm[1] < p.rectum[0].center_mm[1]


@pytest.mark.parametrize(
    ("site", "reference", "ranges", "contrast"),
    [("head", HEAD_HU, HEAD_RANGE, HEAD_CONTRAST), ("pelvis", PELVIS_HU, PELVIS_RANGE, PELVIS_CONTRAST)],
)
def test_ct_numbers_lie_in_their_ranges_and_organs_are_told_apart(site, reference, ranges, contrast) -> None:  # type: ignore[no-untyped-def]
    assert set(ranges) | set(contrast) <= set(reference)
    drawn = [draw_twin(seed, site=site).anatomy.hu for seed in range(60)]
    for tissue, usual in reference.items():
        values = np.array([hu[tissue] for hu in drawn])
        low, high = ranges.get(tissue, (usual - 15.5, usual + 15.5))
        oral = 300.0 if tissue == "bowel_content" else 0.0
        assert values.min() >= low
        assert values.max() <= min(high + 1.1 * contrast.get(tissue, 0.0) + oral, 2900.0)
        assert np.ptp(values) > 5
        assert low - 1e-9 <= usual <= high + 1e-9  # the reference is a member of its population


@pytest.mark.parametrize("site", NEW)
def test_texture_lies_on_the_drawn_ct_number_of_each_organ(site: str) -> None:
    twin = draw_twin(4, site=site)
    texture = twin.texture.model_copy(update={"amplitude_hu": 6.0, "correlation_mm": 8.0})
    twin = twin.model_copy(update={**STILL, "texture": texture})
    phantom = voxelise_twin(twin, 4.0)
    for tissue in phantom.tissues[1:]:
        values = phantom.hu[phantom.tissue_mask(tissue)]
        if values.size < 400:
            continue
        share = TEXTURE_SHARE.get(tissue, 1.0)
        assert values.mean() == pytest.approx(twin.anatomy.hu[tissue], abs=3.0 * share + 0.1)
        assert values.std() == pytest.approx(6.0 * share, rel=0.35, abs=0.1)
    assert set(TEXTURE_SHARE) <= {"air", "couch_shell", "couch_core", *Abdomen().hu, *HEAD_HU, *PELVIS_HU}


@pytest.mark.parametrize("site", NEW)
@pytest.mark.parametrize("seed", range(6))
def test_the_body_stays_in_the_grid_with_air_around_on_every_day(site: str, seed: int) -> None:
    twin = draw_twin(seed, site=site)
    for params in (twin, perturb_twin(twin, 1), perturb_twin(twin, 2)):
        phantom = voxelise_twin(params, 8.0)
        mask = body(phantom)
        assert mask[0].any()
        assert bool(mask[-1].any()) is (site == "pelvis")
        for axes in ((0, 1), (0, 2)):
            line = mask.any(axis=axes)
            assert not line[0]
            assert not line[-1]
        assert phantom.hu.min() >= -1000
        assert phantom.hu.max() <= 2995


@pytest.mark.parametrize("site", NEW)
def test_another_day_is_the_same_patient(site: str) -> None:
    twin = draw_twin(11, site=site)
    day = perturb_twin(twin, 7)
    assert day == perturb_twin(twin, 7)
    assert day != perturb_twin(twin, 8)
    assert day.days == (7,)
    for kept in ("texture", "waves", "couch", "size_mm", "seed"):
        assert getattr(day, kept) == getattr(twin, kept)
    for kept in ("hu", "size", "spine", "skin_mm"):
        assert getattr(day.anatomy, kept) == getattr(twin.anatomy, kept)
    a, b = voxelise_twin(twin, 6.0), voxelise_twin(day, 6.0)
    assert a.grid.matches(b.grid)
    assert 0.01 < np.mean(body(a) & (a.tissue_index != b.tissue_index)) < 0.3


@pytest.mark.parametrize("site", NEW)
def test_a_day_without_change_changes_nothing_but_the_noise(site: str) -> None:
    twin = draw_twin(2, site=site)
    day = perturb_twin(twin, 7, day=NO_CHANGE)
    assert voxelise_twin(day, 5.0).hu.tobytes() == voxelise_twin(twin, 5.0).hu.tobytes()
    assert day.ct_noise.seed != twin.ct_noise.seed


def test_each_change_of_a_day_changes_what_it_names() -> None:
    pelvis, head = draw_twin(5, site="pelvis"), draw_twin(5, site="head")
    fat = perturb_twin(pelvis, 3, day=NO_CHANGE.model_copy(update={"fat_mm": 4.0})).anatomy
    assert fat.model_copy(update={"fat_mm": pelvis.anatomy.fat_mm}) == pelvis.anatomy  # type: ignore[union-attr]
    assert fat.fat_mm != pelvis.anatomy.fat_mm  # type: ignore[union-attr]
    full = perturb_twin(pelvis, 3, day=NO_CHANGE.model_copy(update={"filling": 0.2})).anatomy
    assert isinstance(full, Pelvis)
    assert isinstance(pelvis.anatomy, Pelvis)
    before, after = pelvis.anatomy.bladder, full.bladder
    assert after.radii_mm != before.radii_mm
    floor = [organ.center_mm[2] - organ.radii_mm[2] for organ in (before, after)]
    assert floor[0] == pytest.approx(floor[1])
    clear = NO_CHANGE.model_copy(update={"gas_redrawn": 1.0})
    sinuses = [perturb_twin(head, day, day=clear).anatomy.maxillary for day in range(8)]  # type: ignore[union-attr]
    assert len({tuple(s.gas_fraction for s in pair) for pair in sinuses}) > 1
    moved = perturb_twin(head, 3, day=NO_CHANGE.model_copy(update={"setup_mm": 2.0}))
    assert moved.anatomy == head.anatomy
    assert moved.pose.shift_mm != head.pose.shift_mm


def test_a_wider_rectum_pushes_the_prostate_to_the_front() -> None:
    twin = draw_twin(6, site="pelvis")
    change = NO_CHANGE.model_copy(update={"filling": 0.25})
    days = [perturb_twin(twin, day, day=change).anatomy for day in range(30)]
    width = np.array([p.rectum[0].radii_mm[1] for p in days if isinstance(p, Pelvis)])
    prostate = np.array([p.prostate.center_mm[1] for p in days if isinstance(p, Pelvis)])
    assert np.corrcoef(width, prostate)[0, 1] < -0.99
    # Crook et al. (1995): SD about 4 mm.
    assert 1.0 < np.ptp(prostate) < 30.0


def test_dental_metal_of_the_base_stays_in_its_twins() -> None:
    twin = draw_twin(1, base=Head(metal_teeth=(3, 20)))
    assert isinstance(twin.anatomy, Head)
    assert twin.anatomy.metal_teeth == (3, 20)
    assert not {3, 20} & set(twin.anatomy.missing_teeth)
    assert voxelise_twin(twin, 2.0).hu.max() == pytest.approx(2850.0, abs=60.0)
    assert "dental_metal" not in voxelise_twin(draw_twin(1, site="head"), 8.0).tissues


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(NEW), st.integers(0, 2**31), st.integers(0, 2**31))
def test_every_seed_and_every_chain_of_days_makes_a_body(site: str, seed: int, day: int) -> None:
    twin = draw_twin(seed, site=site)
    for _ in range(3):
        twin = perturb_twin(twin, day)
    phantom = voxelise_twin(twin, 20.0)
    assert np.isfinite(phantom.hu).all()
    assert body(phantom).mean() > 0.05
