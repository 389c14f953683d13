"""The stylised pelvis: published masses, sizes and densities; bones, organs, sides; the YAML is the model."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.geometry.body import body_mask
from protonqa.phantom import VoxelPhantom, load_phantom, voxelise
from protonqa.phantom.pelvis import pelvis_definition, pelvis_extent_mm
from protonqa.phantom.pelvis_anatomy import PELVIS_HU, PELVIS_MASS_G, Femur, Pelvis
from protonqa.physics.materials import density_from_hu

BONE = (
    "femur_compact",
    "femur_marrow",
    "hip_cortical",
    "hip_spongiosa",
    "pelvic_cortical",
    "pelvic_spongiosa",
    "sacrum_cortical",
    "sacrum_spongiosa",
)

# ICRP Publication 110 (2009), Table B.1, media of the adult male (g/cm3).
ICRP_110_DENSITY = {
    "skin": 1.09,
    "muscle": 1.05,
    "femur_compact": 1.92,
    "femur_marrow": 0.98,
    "hip_spongiosa": 1.124,
    "pelvic_spongiosa": 1.123,
    "sacrum_spongiosa": 1.031,
    "vertebra_spongiosa": 1.112,
    "cartilage": 1.10,
    "bladder_wall": 1.04,
    "urine": 1.04,
    "prostate": 1.03,
    "rectum_wall": 1.04,
    "rectum_content": 1.04,
    "bowel_wall": 1.04,
    "bowel_content": 1.04,
    "artery": 1.06,
    "vein": 1.06,
}


@pytest.fixture(scope="module")
def pelvis() -> VoxelPhantom:
    return voxelise(load_phantom("pelvis"))


def mask_of(phantom: VoxelPhantom, *tissues: str) -> np.ndarray:
    return np.isin(phantom.tissue_index, [phantom.tissues.index(t) for t in tissues])


def middle_mm(phantom: VoxelPhantom, *tissues: str) -> np.ndarray:
    z, y, x = np.nonzero(mask_of(phantom, *tissues))
    return np.asarray(phantom.grid.world_from_index(np.stack([x, y, z], axis=-1)).mean(axis=0))


def test_the_yaml_is_the_reference_from_which_twins_are_drawn() -> None:
    packaged = load_phantom("pelvis")
    built = pelvis_definition(Pelvis(), "pelvis", (400.0, 280.0, 240.0), (2.0, 2.0, 2.0))
    assert packaged.model_dump(exclude={"description"}) == built.model_dump(exclude={"description"})


def test_prostate_and_bladder_wall_have_the_masses_of_icrp_89(pelvis: VoxelPhantom) -> None:
    for tissue, expected in PELVIS_MASS_G.items():
        mass = pelvis.tissue_volume_ml(tissue) * float(density_from_hu(PELVIS_HU[tissue]))
        assert mass == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize("tissue", ICRP_110_DENSITY)
def test_ct_numbers_give_the_densities_of_icrp_110_within_2_percent(tissue: str) -> None:
    assert float(density_from_hu(PELVIS_HU[tissue])) == pytest.approx(ICRP_110_DENSITY[tissue], rel=0.02)


def test_hips_are_as_broad_and_deep_as_those_of_adults(pelvis: VoxelPhantom) -> None:
    # 2012 survey, men: hip breadth about 343 mm, buttock depth about 250 mm (standing).
    half_width, front, back = pelvis_extent_mm(Pelvis())
    assert 2 * half_width == pytest.approx(343, abs=20)
    assert back - front == pytest.approx(235, abs=25)
    body = ~mask_of(pelvis, "air")
    waist = body[60]
    assert np.ptp(np.flatnonzero(waist.any(axis=0))) * 2.0 <= 2 * half_width
    assert np.ptp(np.flatnonzero(body.any(axis=(0, 1)))) * 2.0 == pytest.approx(2 * half_width, abs=4)
    assert body.any(axis=(1, 2)).all()


def test_femora_have_heads_necks_and_hollow_shafts(pelvis: VoxelPhantom) -> None:
    femur, reference = Femur(), Pelvis()
    half = pelvis.grid.shape[2] // 2
    z = int(reference.level_mm / 2)
    head = mask_of(pelvis, "hip_cortical", "hip_spongiosa")[..., half:]
    y = pelvis.grid.origin_mm[1] + 2.0 * np.flatnonzero(head[z, :, int(femur.head_x_mm / 2)])
    assert np.ptp(y) + 2.0 == pytest.approx(2 * femur.head_radius_mm, abs=3.0)
    low = pelvis.tissue_index[3, :, half:]
    marrow, compact = (low == pelvis.tissues.index(t) for t in ("femur_marrow", "femur_compact"))
    outer = 2 * np.sqrt((marrow.sum() + compact.sum()) * 4.0 / np.pi)
    inner = 2 * np.sqrt(marrow.sum() * 4.0 / np.pi)
    assert outer == pytest.approx(2 * femur.shaft_radius_mm, abs=2.5)
    assert (outer - inner) / 2 == pytest.approx(femur.compact_mm, abs=1.5)


def test_a_ray_through_both_hips_meets_femur_and_socket_on_both_sides(pelvis: VoxelPhantom) -> None:
    reference = Pelvis()
    z, y = int((reference.level_mm + 4) / 2), int((reference.middle_y_mm - pelvis.grid.origin_mm[1]) / 2)
    row = [pelvis.tissues[i] for i in pelvis.tissue_index[z, y]]
    for side in (row, row[::-1]):
        order = [name for name, before in zip(side, ["", *side], strict=False) if name != before]
        assert order[:4] == ["air", "skin", "subcutaneous_fat", "muscle"]
        assert order.index("hip_spongiosa") < order.index("cartilage") < order.index("pelvic_cortical")
    bone = np.isin(row, BONE).astype(int)
    middle = len(row) // 2
    assert bone[: middle - 20].any()
    assert bone[middle + 20 :].any()
    assert not bone[middle - 20 : middle + 20].any()  # the true pelvis is open


def test_left_and_right_bones_are_alike(pelvis: VoxelPhantom) -> None:
    mask = mask_of(pelvis, *BONE)
    assert (mask != mask[..., ::-1]).sum() < 0.01 * mask.sum()


def test_organs_lie_as_in_a_man_on_his_back(pelvis: VoxelPhantom) -> None:
    prostate, bladder, rectum = (middle_mm(pelvis, t) for t in ("prostate", "urine", "rectum_wall"))
    sacrum, joint = middle_mm(pelvis, "sacrum_spongiosa"), middle_mm(pelvis, "cartilage")
    assert bladder[2] > prostate[2] + 25
    assert bladder[1] < rectum[1] < sacrum[1]
    assert prostate[1] < rectum[1]
    assert abs(prostate[0]) < 1.0
    assert sacrum[2] > joint[2]
    gas, content = middle_mm(pelvis, "rectum_gas"), middle_mm(pelvis, "rectum_content")
    assert gas[1] < content[1]  # gas rises to the front


def test_from_front_to_back_on_the_midline(pelvis: VoxelPhantom) -> None:
    reference = Pelvis()
    z = int((reference.level_mm - 20) / 2)
    column = [pelvis.tissues[i] for i in pelvis.tissue_index[z, :, pelvis.grid.shape[2] // 2]]
    order = list(dict.fromkeys(column))
    places = [order.index(t) for t in ("skin", "subcutaneous_fat", "cartilage", "prostate", "rectum_wall")]
    assert places == sorted(places)


def test_every_tissue_is_present_and_none_is_lost(pelvis: VoxelPhantom) -> None:
    assert {t for t in PELVIS_HU if t not in pelvis.tissues or pelvis.tissue_volume_ml(t) == 0} == set()
    assert pelvis.findings == ()
    assert (pelvis.material_index == -1).all()


def test_the_body_mask_of_the_pelvis_is_what_is_not_air(pelvis: VoxelPhantom) -> None:
    body = body_mask(pelvis.volume())
    inside = ~mask_of(pelvis, "air")
    assert body[inside].mean() > 0.98
    assert not body[~inside].mean() > 0.01
