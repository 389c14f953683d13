"""The stylised head: published masses, volumes, thickness, densities; layers, sides, airway; the YAML is the model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from protonqa.geometry.body import body_mask
from protonqa.phantom import VoxelPhantom, load_phantom, voxelise
from protonqa.phantom.head import head_definition, head_extent_mm, head_sizes_mm, vertex_mm
from protonqa.phantom.head_anatomy import HEAD_HU, HEAD_MASS_G, Head
from protonqa.physics.materials import density_from_hu

BONE = ("skull_table", "diploe", "skull_base", "petrous_bone", "facial_bone", "jaw_cortical", "jaw_spongiosa")
BRAIN = ("grey_matter", "white_matter", "cerebellum", "brainstem")
EYES = ("eye_wall", "vitreous", "lens")

# ICRP Publication 110 (2009), Table B.1, media of the adult male (g/cm3).
ICRP_110_DENSITY = {
    "skin": 1.09,
    "muscle": 1.05,
    "grey_matter": 1.05,
    "white_matter": 1.05,
    "cerebellum": 1.05,
    "brainstem": 1.05,
    "vitreous": 1.05,
    "eye_wall": 1.05,
    "tongue": 1.05,
    "carotid": 1.06,
    "jugular": 1.06,
    "mucosa": 1.03,
    "salivary_gland": 1.03,
    "cartilage": 1.10,
    "ear_cartilage": 1.10,
    "jaw_spongiosa": 1.228,
    "petrous_bone": 1.92,
    "dentine": 1.92,
}


@pytest.fixture(scope="module")
def head() -> VoxelPhantom:
    return voxelise(load_phantom("head"))


@pytest.fixture(scope="module")
def fine() -> VoxelPhantom:
    """The same in voxels of 1 x 1 x 4 mm, to see the tables of the skull."""
    return voxelise(load_phantom("head"), (1.0, 1.0, 4.0))


def total_ml(phantom: VoxelPhantom, *tissues: str) -> float:
    return sum(phantom.tissue_volume_ml(tissue) for tissue in tissues)


def mask_of(phantom: VoxelPhantom, *tissues: str) -> np.ndarray:
    return np.isin(phantom.tissue_index, [phantom.tissues.index(t) for t in tissues])


def middle_mm(phantom: VoxelPhantom, *tissues: str) -> np.ndarray:
    z, y, x = np.nonzero(mask_of(phantom, *tissues))
    return np.asarray(phantom.grid.world_from_index(np.stack([x, y, z], axis=-1)).mean(axis=0))


def runs(phantom: VoxelPhantom, row: np.ndarray) -> list[tuple[str, float]]:
    """Tissues along a row of 1 mm voxels with the length of each."""
    starts = np.flatnonzero(np.insert(np.diff(row) != 0, 0, True))
    lengths = np.diff(np.append(starts, row.size))
    return [(phantom.tissues[row[s]], float(n)) for s, n in zip(starts, lengths, strict=True)]


def test_the_yaml_is_the_reference_from_which_twins_are_drawn() -> None:
    packaged = load_phantom("head")
    built = head_definition(Head(), "head", (200.0, 260.0, 300.0), (2.0, 2.0, 2.0))
    assert packaged.model_dump(exclude={"description"}) == built.model_dump(exclude={"description"})


def test_brain_and_eyes_have_the_masses_of_icrp_89(head: VoxelPhantom) -> None:
    for organ, tissues, tolerance in (("brain", BRAIN, 0.03), ("eyes", EYES, 0.06)):
        mass = sum(head.tissue_volume_ml(t) * float(density_from_hu(HEAD_HU[t])) for t in tissues)
        assert mass == pytest.approx(HEAD_MASS_G[organ], rel=tolerance)


def test_intracranial_volume_and_fluid_are_those_of_adults(head: VoxelPhantom) -> None:
    # Matsumae et al. (1996): men 1469 +- 102 ml, of which 11.4 % fluid; Condon et al. (1986): ventricles 25.3 +- 4.6.
    fluid = total_ml(head, "csf", "ventricle")
    inside = fluid + total_ml(head, *BRAIN, "pituitary")
    assert inside == pytest.approx(1469, abs=2 * 102)
    assert 0.08 < fluid / inside < 0.15
    assert total_ml(head, "ventricle") == pytest.approx(25.3, abs=2 * 4.6)


def test_sinuses_have_published_volumes(head: VoxelPhantom) -> None:
    # PMID 28341352, one side: maxillary 12.8 +- 4.4, frontal 2.9 +- 2.6 ml; sphenoid 4.0 +- 2.0 ml.
    parts, count = label(mask_of(head, "sinus_air"))
    volumes = sorted(float((parts == i).sum()) * head.grid.voxel_ml for i in range(1, count + 1))
    assert volumes[-2:] == pytest.approx([12.8, 12.8], abs=4.4)
    assert sum(volumes[:-2]) == pytest.approx(4.0 + 2 * 2.9, abs=4.0)


@pytest.mark.parametrize("tissue", ICRP_110_DENSITY)
def test_ct_numbers_give_the_densities_of_icrp_110_within_2_percent(tissue: str) -> None:
    assert float(density_from_hu(HEAD_HU[tissue])) == pytest.approx(ICRP_110_DENSITY[tissue], rel=0.02)


def test_the_whole_skull_has_the_density_of_icru_46(head: VoxelPhantom) -> None:
    vault = head.hu[mask_of(head, "skull_table", "diploe")]
    assert float(density_from_hu(vault).mean()) == pytest.approx(1.61, rel=0.03)
    assert HEAD_HU["white_matter"] < HEAD_HU["grey_matter"]


def test_a_lateral_ray_meets_skin_skull_brain_and_skull_again(fine: VoxelPhantom) -> None:
    row = fine.tissue_index[int((Head().level_mm + 60) / 4), 140]
    met = runs(fine, row)
    names = [name for name, _ in met]
    assert names[:7] == ["air", "skin", "subcutaneous_fat", "skull_table", "diploe", "skull_table", "csf"]
    assert names[-7:] == names[:7][::-1]
    bone = [sum(mm for name, mm in side if name in BONE) for side in (met[:8], met[-8:])]
    # Along x the ray is a little oblique to a parietal bone of about 5 mm.
    assert all(4.0 <= mm <= 7.0 for mm in bone)
    crossings = np.diff(np.isin(row, [fine.tissues.index(t) for t in BONE]).astype(int))
    assert (crossings == 1).sum() == (crossings == -1).sum() == 2


def test_the_skull_is_thickest_at_the_back_and_thinnest_at_the_side(fine: VoxelPhantom) -> None:
    z = int((Head().level_mm + 50) / 4)
    bone = mask_of(fine, *BONE)[z]
    midline = bone[:, fine.grid.shape[2] // 2 + 10]
    half = midline.size // 2
    frontal, occipital = midline[:half].sum(), midline[half:].sum()
    lateral = bone[140].sum() / 2
    assert lateral < frontal < occipital
    # Karapetian (2020), from the literature: 6.0 mm at the middle of the frontal bone, 8.1 mm at lambda.
    assert frontal == pytest.approx(6.5, abs=1.5)
    assert occipital == pytest.approx(8.0, abs=1.5)


def test_left_and_right_are_alike(head: VoxelPhantom) -> None:
    for tissues in (BONE, BRAIN, ("airway",), ("sinus_air",), EYES, ("dentine", "enamel")):
        mask = mask_of(head, *tissues)
        assert (mask != mask[..., ::-1]).sum() < 0.02 * mask.sum()


def test_the_patient_lies_head_first_on_the_back(head: VoxelPhantom) -> None:
    eyes, teeth, cerebellum = middle_mm(head, *EYES), middle_mm(head, "enamel"), middle_mm(head, "cerebellum")
    brain, windpipe = middle_mm(head, "grey_matter"), middle_mm(head, "cartilage")
    assert eyes[1] < brain[1] - 50
    assert teeth[2] < eyes[2] - 40
    assert cerebellum[1] > brain[1] + 30
    assert windpipe[2] < teeth[2] < brain[2]
    assert not mask_of(head, "air")[0].all()
    assert mask_of(head, "air")[-5:].all()


def test_breadth_length_and_height_are_as_stated(head: VoxelPhantom) -> None:
    reference = Head()
    breadth, length = head_sizes_mm(reference)
    outside = mask_of(head, "air")
    ears = mask_of(head, "ear_cartilage").any(axis=(1, 2))
    above = ~outside[np.flatnonzero(ears).max() + 6 :]
    assert np.ptp(np.flatnonzero(above.any(axis=(0, 1)))) * 2.0 + 2.0 == pytest.approx(breadth, abs=3.0)
    assert np.ptp(np.flatnonzero(above.any(axis=(0, 2)))) * 2.0 + 2.0 == pytest.approx(length, abs=4.0)
    top = (np.flatnonzero((~outside).any(axis=(1, 2))).max() + 1) * 2.0
    assert top - reference.level_mm == pytest.approx(vertex_mm(reference), abs=2.0)
    half_width, front, back = head_extent_mm(reference)
    body = ~outside
    assert np.ptp(np.flatnonzero(body.any(axis=(0, 1)))) * 2.0 <= 2 * half_width + 2
    y = head.grid.origin_mm[1] + 2.0 * np.flatnonzero(body.any(axis=(0, 2)))
    assert front - 2 <= y.min()
    assert y.max() <= back + 2


def test_air_runs_from_the_nostrils_to_the_windpipe(head: VoxelPhantom) -> None:
    parts, _ = label(mask_of(head, "airway"), structure=np.ones((3, 3, 3)))
    lowest = set(np.unique(parts[0])) - {0}
    nasal = parts[int((Head().level_mm - 8) / 2), : head.grid.shape[1] // 2]
    assert len(lowest) == 1
    assert lowest <= set(np.unique(nasal))


def test_there_are_28_teeth_and_metal_only_on_request(head: VoxelPhantom) -> None:
    assert "dental_metal" not in head.tissues
    assert head.hu[mask_of(head, "enamel")].min() > 2000
    filled = Head(metal_teeth=(2, 29))
    phantom = voxelise(head_definition(filled, "filled", (200.0, 260.0, 300.0), (2.0, 2.0, 2.0)))
    assert 0.2 < phantom.tissue_volume_ml("dental_metal") < 1.2
    assert phantom.hu.max() == HEAD_HU["dental_metal"]
    one = voxelise(head_definition(Head(missing_teeth=tuple(range(1, 32))), "one", (200.0, 260.0, 300.0), (2.0,) * 3))
    per_tooth = one.tissue_volume_ml("enamel")
    assert head.tissue_volume_ml("enamel") / per_tooth == pytest.approx(28, rel=0.35)


def test_every_tissue_is_present_and_none_is_lost(head: VoxelPhantom) -> None:
    missing = {t for t in HEAD_HU if t not in head.tissues or head.tissue_volume_ml(t) == 0}
    assert missing == {"dental_metal", "sinus_mucus"}  # no fillings, and all sinuses are clear
    assert head.findings == ()


def test_the_body_mask_of_the_head_holds_brain_and_bone(head: VoxelPhantom) -> None:
    body = body_mask(head.volume())
    for tissue in (*BRAIN, "skull_table", "muscle", "petrous_bone"):
        mask = mask_of(head, tissue)
        assert body[mask].mean() > 0.99
    assert not body[mask_of(head, "air")].mean() > 0.01
