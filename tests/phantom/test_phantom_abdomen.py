"""The stylised abdomen: organ masses of ICRP 89, densities of ICRP 110, sizes and sides; the YAML is the model."""

from __future__ import annotations

import numpy as np
import pytest

from protonqa.phantom import VoxelPhantom, load_phantom, voxelise
from protonqa.phantom.abdomen import abdomen_definition, body_extent_mm
from protonqa.phantom.anatomy import ICRP_89_MASS_G, REFERENCE_HU, Abdomen
from protonqa.physics.materials import density_from_hu

ORGANS = {
    "liver": ("liver", "hepatic_vein"),
    "spleen": ("spleen",),
    "kidneys": ("kidney_cortex", "kidney_medulla", "renal_pelvis"),
    "pancreas": ("pancreas",),
    "stomach_wall": ("stomach_wall",),
    "stomach_content": ("stomach_content",),
    "gallbladder": ("gallbladder_wall", "bile"),
}

# ICRP Publication 110 (2009), Table B.1, media of the adult male (g/cm3).
ICRP_110_DENSITY = {
    "skin": 1.09,
    "muscle": 1.05,
    "liver": 1.05,
    "heart": 1.05,
    "pancreas": 1.05,
    "kidney_cortex": 1.05,
    "kidney_medulla": 1.05,
    "spleen": 1.04,
    "stomach_wall": 1.04,
    "stomach_content": 1.04,
    "bowel_wall": 1.04,
    "bowel_content": 1.04,
    "gallbladder_wall": 1.03,
    "aorta": 1.06,
    "vena_cava": 1.06,
    "cartilage": 1.10,
    "rib_marrow": 1.165,
    "vertebra_spongiosa": 1.112,
    "lung": 0.382,
}


@pytest.fixture(scope="module")
def abdomen() -> VoxelPhantom:
    return voxelise(load_phantom("abdomen"))


def mean_position(phantom: VoxelPhantom, tissue: str) -> np.ndarray:
    z, y, x = np.nonzero(phantom.tissue_mask(tissue))
    return np.asarray(phantom.grid.world_from_index(np.stack([x, y, z], axis=-1)).mean(axis=0))


def test_the_yaml_is_the_reference_from_which_twins_are_drawn() -> None:
    packaged = load_phantom("abdomen")
    built = abdomen_definition(Abdomen(), "abdomen", (400.0, 280.0, 240.0), (2.0, 2.0, 2.0))
    assert packaged.model_dump(exclude={"description"}) == built.model_dump(exclude={"description"})


@pytest.mark.parametrize("organ", ICRP_89_MASS_G)
def test_organ_masses_are_those_of_icrp_89_within_4_percent(abdomen: VoxelPhantom, organ: str) -> None:
    mass = 0.0
    for tissue in ORGANS[organ]:
        mass += abdomen.tissue_volume_ml(tissue) * float(density_from_hu(REFERENCE_HU[tissue]))
    assert mass == pytest.approx(ICRP_89_MASS_G[organ], rel=0.04)


def test_kidneys_are_a_pair_of_equal_mass(abdomen: VoxelPhantom) -> None:
    mask = sum(abdomen.tissue_mask(t) for t in ORGANS["kidneys"])
    half = abdomen.grid.shape[2] // 2
    right, left = int(mask[..., :half].sum()), int(mask[..., half:].sum())
    assert right == pytest.approx(left, rel=0.05)


@pytest.mark.parametrize("tissue", ICRP_110_DENSITY)
def test_ct_numbers_give_the_densities_of_icrp_110_within_2_percent(tissue: str) -> None:
    assert float(density_from_hu(REFERENCE_HU[tissue])) == pytest.approx(ICRP_110_DENSITY[tissue], rel=0.02)


def test_at_least_14_tissues_with_ct_numbers_of_their_own(abdomen: VoxelPhantom) -> None:
    present = [t for t in abdomen.tissues if t != "air" and abdomen.tissue_volume_ml(t) > 0.5]
    assert len(present) >= 25
    assert len({REFERENCE_HU[t] for t in present}) >= 20
    assert abdomen.findings == ()
    assert (abdomen.material_index == -1).all()


def test_the_body_is_340_by_230_mm_in_air(abdomen: VoxelPhantom) -> None:
    body = ~abdomen.tissue_mask("air")
    middle = body[60]
    assert np.ptp(np.flatnonzero(middle.any(axis=0))) * 2.0 + 2.0 == pytest.approx(340.0, abs=2.0)
    assert np.ptp(np.flatnonzero(middle.any(axis=1))) * 2.0 + 2.0 == pytest.approx(230.0, abs=2.0)
    assert body_extent_mm(Abdomen()) == pytest.approx((170.0, -115.0, 115.0))
    assert not body[:, :, :14].any()
    assert not body[:, :12].any()


def test_the_patient_lies_head_first_on_the_back(abdomen: VoxelPhantom) -> None:
    assert mean_position(abdomen, "liver")[0] < -30  # right is low x
    assert mean_position(abdomen, "spleen")[0] > 60
    assert mean_position(abdomen, "stomach_content")[0] > 30
    assert mean_position(abdomen, "spinal_canal")[1] > 60  # back is high y
    assert mean_position(abdomen, "bowel_gas")[1] < mean_position(abdomen, "bowel_content")[1]  # gas rises to the front
    assert mean_position(abdomen, "lung")[2] > mean_position(abdomen, "kidney_cortex")[2]  # head is high z
    assert mean_position(abdomen, "vena_cava")[0] < mean_position(abdomen, "aorta")[0]


def test_layers_lie_in_each_other_from_skin_to_organ(abdomen: VoxelPhantom) -> None:
    row = abdomen.tissue_index[80, 70]  # through the liver, from the right
    order = [abdomen.tissues[i] for i in row[np.insert(np.diff(row) != 0, 0, True)]]
    assert order[:4] == ["air", "skin", "subcutaneous_fat", "muscle"]
    assert "liver" in order
    assert order[-2:] == ["skin", "air"]
    # No organ leaves the cavity: outside the muscle wall there is fat, skin and air alone.
    allowed = [abdomen.tissues.index(t) for t in ("air", "skin", "subcutaneous_fat")]
    assert np.isin(abdomen.tissue_index[:, 70, :25], allowed).all()
