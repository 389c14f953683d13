"""The numbers of a stylised head and neck, with the reference adult as defaults.

Frame: x to the patient's left, y to the back, z to the vertex; the origin lies between the ear canals, z = 0 is the
Frankfurt plane. The neck is cut at the lower end of the grid.

Sources of sizes. Head length, breadth and circumference: Gordon et al., 2012 Anthropometric Survey of U.S. Army
Personnel, NATICK/TR-15/007 (2014). Skull thickness, in the literature 6.0 mm at the middle of the frontal bone, 6.8 mm
at bregma and 8.1 mm at lambda: Karapetian, Human cranial vault thickness revisited (2020); least at the sides: del Olmo
Lianes et al., Anthropol Sci 127:47 (2019). Brain and eyes: ICRP Publication 89 (2002). Intracranial volume 1469 +- 102
(men) and 1289 +- 111 ml (women), cerebrospinal fluid 11.4 % of it: Matsumae et al., J Neurosurg 84:982 (1996). Lateral
ventricles 25.3 +- 4.6 ml: Condon et al., Lancet 327:1355 (1986). Maxillary, sphenoid and frontal sinuses 12.8 +- 4.4,
4.0 +- 2.0 and 2.9 +- 2.6 ml: Volumetric analysis of the maxillary, sphenoid and frontal sinuses (2017), PMID 28341352.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from protonqa.phantom.anatomy import HollowOrgan, Organ, Pair, Part, Spine, Triple

#: CT numbers whose Schneider density meets ICRP Publication 110 (2009), Table B.1, within 2 %: brain, eyes and muscle
#: 1.05, mucosa and glands 1.03, skin 1.09, cartilage 1.10, spongiosa of the mandible 1.228 g/cm3; grey and white matter
#: stand to both sides of brain. Tables and diploe of the skull are set so that the whole skull has the 1.61 g/cm3 of
#: ICRU Report 46 (1992); petrous bone and dentine are those of compact bone, 1.92. Spongiosa of the cervical spine has
#: the CT number seen in adults, well above that of ICRP 110 (1.05). Thin facial bone has that of its partial volume.
HEAD_HU: Mapping[str, float] = {
    "skin": 74.0,
    "subcutaneous_fat": -102.0,
    "muscle": 44.0,
    "ear_cartilage": 84.0,
    "skull_table": 1350.0,
    "diploe": 480.0,
    "skull_base": 750.0,
    "petrous_bone": 1500.0,
    "csf": 5.0,
    "grey_matter": 40.0,
    "white_matter": 30.0,
    "cerebellum": 38.0,
    "brainstem": 32.0,
    "ventricle": 5.0,
    "pituitary": 42.0,
    "air_cells": -850.0,
    "sinus_air": -990.0,
    "sinus_mucus": 20.0,
    "airway": -995.0,
    "mucosa": 30.0,
    "facial_bone": 750.0,
    "orbital_fat": -90.0,
    "eye_wall": 50.0,
    "vitreous": 14.0,
    "lens": 75.0,
    "optic_nerve": 32.0,
    "jaw_cortical": 1400.0,
    "jaw_spongiosa": 350.0,
    "dentine": 1550.0,
    "enamel": 2500.0,
    "dental_metal": 2850.0,
    "tongue": 50.0,
    "salivary_gland": 15.0,
    "thyroid": 75.0,
    "cartilage": 84.0,
    "carotid": 48.0,
    "jugular": 46.0,
    "disc": 86.0,
    "vertebra_cortical": 850.0,
    "vertebra_spongiosa": 230.0,
    "spinal_canal": 26.0,
}

#: ICRP Publication 89 (2002), reference adult male (g).
HEAD_MASS_G: Mapping[str, float] = {"brain": 1450.0, "eyes": 15.0}

#: Teeth of one jaw, from the right wisdom tooth to the left one.
TEETH_A_JAW = 16


class Thickness(Part):
    """Thickness of the skull at the side, front, back and top, and of its floor."""

    lateral_mm: float = 4.8
    frontal_mm: float = 6.5
    occipital_mm: float = 8.0
    top_mm: float = 6.8
    floor_mm: float = 4.0
    outer_table_mm: float = 2.0
    inner_table_mm: float = 1.6


class Head(Part):
    """Everything that decides where tissue is in a head; lengths in mm.

    `size` stretches the whole head, `face` what lies below and before the braincase on top of that; thicknesses of
    skin, fat, bone and fluid are real millimetres. `level_mm` is the height of the ear canals above the lower end of
    the grid, `middle_y_mm` their y.
    """

    site: Literal["head"] = "head"
    length_mm: float = 300.0
    overhang_mm: float = 0.0
    level_mm: float = 150.0
    middle_y_mm: float = 10.0
    size: Triple = (1.0, 1.0, 1.0)
    face: Triple = (1.0, 1.0, 1.0)

    skin_mm: float = 2.0
    scalp_mm: float = 4.0
    face_fat_mm: float = 5.0
    neck_fat_mm: float = 6.0
    neck_half_mm: Pair = (59.0, 58.0)
    ear_mm: float = 14.0

    skull: Thickness = Thickness()
    csf_mm: float = 2.0
    cortex_mm: float = 5.0
    ventricles: float = 1.0

    maxillary: tuple[HollowOrgan, ...] = (
        HollowOrgan(center_mm=(-29.0, -61.0, -18.0), radii_mm=(14.5, 18.0, 17.0), wall_mm=1.8, gas_fraction=1.0),
        HollowOrgan(center_mm=(29.0, -61.0, -18.0), radii_mm=(14.5, 18.0, 17.0), wall_mm=1.8, gas_fraction=1.0),
    )
    sphenoid: tuple[HollowOrgan, ...] = (
        HollowOrgan(center_mm=(-7.5, -25.0, 7.0), radii_mm=(8.5, 11.5, 9.5), wall_mm=1.6, gas_fraction=1.0),
        HollowOrgan(center_mm=(7.5, -25.0, 7.0), radii_mm=(8.5, 11.5, 9.5), wall_mm=1.6, gas_fraction=1.0),
    )
    frontal: tuple[HollowOrgan, ...] = (
        HollowOrgan(center_mm=(-12.0, -87.0, 35.0), radii_mm=(12.5, 6.4, 12.0), wall_mm=1.6, gas_fraction=1.0),
        HollowOrgan(center_mm=(12.0, -87.0, 35.0), radii_mm=(12.5, 6.4, 12.0), wall_mm=1.6, gas_fraction=1.0),
    )
    ethmoid: tuple[Organ, ...] = tuple(
        Organ(center_mm=(side * x, y, z), radii_mm=(5.0, 5.6, 6.5))
        for side in (-1.0, 1.0)
        for x, y, z in ((7.0, -74.0, 14.0), (7.2, -62.0, 14.5), (7.2, -50.0, 14.5), (7.0, -38.5, 13.5))
    )
    mastoid: tuple[Organ, ...] = tuple(
        Organ(center_mm=(side * x, y, z), radii_mm=(r, r, r * 1.2))
        for side in (-1.0, 1.0)
        for x, y, z, r in (
            (49.0, 14.0, -4.0, 4.0),
            (56.0, 17.0, -8.0, 3.2),
            (50.0, 22.0, -9.0, 3.2),
            (57.0, 13.0, -15.0, 2.8),
            (52.0, 16.0, -17.0, 3.2),
            (55.0, 21.0, -16.0, 2.6),
            (53.0, 15.0, -26.0, 2.8),
            (47.0, 19.0, -17.0, 2.6),
        )
    )
    turbinate: float = 1.0
    eye_mm: float = 12.0
    missing_teeth: tuple[int, ...] = (0, 15, 16, 31)
    metal_teeth: tuple[int, ...] = ()
    jaw_drop_mm: float = 0.0
    tongue_shift_mm: Triple = (0.0, 0.0, 0.0)
    spine: Spine = Spine(
        center_mm=(0.0, 8.0), radii_mm=(13.0, 9.0), pitch_mm=18.0, phase_mm=-57.0, disc_mm=5.0, arch_size=0.72
    )
    hu: Mapping[str, float] = Field(default_factory=lambda: dict(HEAD_HU))
