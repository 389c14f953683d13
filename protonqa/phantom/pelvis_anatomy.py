"""The numbers of a stylised male pelvis, with the reference adult as defaults.

Frame: x to the patient's left, y to the back, z to the head; the origin lies half way between the hip joints. Trunk and
thighs run through the ends of the grid, as in a CT that was cut there.

Sources of sizes. Hip breadth and buttock depth: Gordon et al., 2012 Anthropometric Survey of U.S. Army Personnel,
NATICK/TR-15/007 (2014). Neck-shaft angle 124.7 +- 6.2 deg and femoral offset 42.9 +- 6.8 mm: Carmona et al., J
Arthroplasty 34:2487 (2019). Prostate and bladder wall: ICRP Publication 89 (2002). Full bladders of patients at
planning, 373 +- 160 ml (184 to 757): Cramp et al., J Med Radiat Sci 63:179 (2016). Motion of the prostate within a
course of treatment, some 4 mm (SD), with the filling of rectum and bladder: Crook et al., Radiother Oncol 37:35 (1995).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from protonqa.phantom.anatomy import HollowOrgan, Loop, Organ, Part, Spine, Triple

#: CT numbers whose Schneider density meets ICRP Publication 110 (2009), Table B.1, within 2 %: bladder and bowel 1.04,
#: prostate 1.03, muscle 1.05, blood 1.06, cartilage 1.10; spongiosa of the upper femur 1.124, pelvis 1.123, sacrum
#: 1.031; marrow of the femoral shaft 0.98, compact bone of the shaft 1.92 g/cm3. Compact bone of hip and pelvis is
#: thinner than the shells painted here and so has the CT number of its partial volume.
PELVIS_HU: Mapping[str, float] = {
    "skin": 74.0,
    "subcutaneous_fat": -102.0,
    "muscle": 44.0,
    "pelvic_fat": -98.0,
    "femur_compact": 1500.0,
    "femur_marrow": -43.0,
    "hip_cortical": 950.0,
    "hip_spongiosa": 185.0,
    "pelvic_cortical": 900.0,
    "pelvic_spongiosa": 178.0,
    "sacrum_cortical": 650.0,
    "sacrum_spongiosa": 34.0,
    "cartilage": 84.0,
    "vertebra_cortical": 800.0,
    "vertebra_spongiosa": 160.0,
    "disc": 86.0,
    "spinal_canal": 26.0,
    "bowel_wall": 34.0,
    "bowel_content": 22.0,
    "bowel_gas": -980.0,
    "rectum_wall": 34.0,
    "rectum_content": 30.0,
    "rectum_gas": -980.0,
    "bladder_wall": 32.0,
    "urine": 8.0,
    "prostate": 36.0,
    "seminal_vesicle": 24.0,
    "penile_bulb": 44.0,
    "artery": 49.0,
    "vein": 48.0,
}

#: ICRP Publication 89 (2002), reference adult male (g).
PELVIS_MASS_G: Mapping[str, float] = {"prostate": 17.0, "bladder_wall": 50.0}


class Femur(Part):
    """One shape for both sides: head, neck and shaft, from the centre of the head."""

    head_x_mm: float = 88.0
    head_radius_mm: float = 24.0
    neck_shaft_deg: float = 125.0
    offset_mm: float = 43.0
    neck_radius_mm: float = 15.5
    shaft_radius_mm: float = 15.5
    compact_mm: float = 6.0


class Pelvis(Part):
    """Everything that decides where tissue is in a pelvis; lengths in mm, fat as (lateral, front, back).

    `size` stretches bones, muscles and organs; fat, skin, walls and cortex are true millimetres. `level_mm` is the
    height of the hip joints above the lower end of the grid.
    """

    site: Literal["pelvis"] = "pelvis"
    length_mm: float = 240.0
    overhang_mm: float = 0.0
    level_mm: float = 90.0
    middle_y_mm: float = -8.0
    size: Triple = (1.0, 1.0, 1.0)
    fat_mm: Triple = (18.0, 20.0, 20.0)
    skin_mm: float = 2.0
    exponent: float = 2.4
    buttock: float = 1.0

    femur: Femur = Femur()
    wing_mm: float = 8.0
    cortex_mm: float = 2.0
    spine: Spine = Spine(center_mm=(0.0, 22.0), radii_mm=(25.0, 17.0), pitch_mm=36.0, phase_mm=116.0, disc_mm=10.0)

    bladder: HollowOrgan = HollowOrgan(center_mm=(0.0, -13.0, 24.0), radii_mm=(42.0, 36.0, 32.0), wall_mm=3.7)
    prostate: Organ = Organ(center_mm=(0.0, -8.0, -22.0), radii_mm=(20.0, 13.2, 15.0))
    vesicles: tuple[Organ, ...] = (
        Organ(center_mm=(-14.0, 11.0, 0.0), radii_mm=(14.0, 5.5, 7.0), rotation_deg=-20.0),
        Organ(center_mm=(14.0, 11.0, 0.0), radii_mm=(14.0, 5.5, 7.0), rotation_deg=20.0),
    )
    rectum: tuple[HollowOrgan, ...] = (
        HollowOrgan(center_mm=(0.0, 25.0, -12.0), radii_mm=(18.0, 17.0, 34.0), wall_mm=3.0, gas_fraction=0.35),
        HollowOrgan(center_mm=(4.0, 38.0, 34.0), radii_mm=(15.0, 13.0, 28.0), wall_mm=3.0, gas_fraction=0.0),
    )
    colon: tuple[HollowOrgan, ...] = (
        HollowOrgan(center_mm=(-82.0, -26.0, 104.0), radii_mm=(24.0, 25.0, 44.0), wall_mm=3.0, gas_fraction=0.35),
        HollowOrgan(center_mm=(86.0, -20.0, 116.0), radii_mm=(16.0, 17.0, 52.0), wall_mm=3.0, gas_fraction=0.2),
    )
    loops: tuple[Loop, ...] = (
        Loop(  # sigmoid
            center_mm=(22.0, 2.0, 74.0),
            radii_mm=(40.0, 26.0),
            tube_mm=(14.0, 15.0),
            start_deg=20.0,
            stop_deg=290.0,
            rise_mm=-16.0,
            wall_mm=3.0,
            gas_fraction=0.4,
        ),
        Loop(center_mm=(-40.0, -26.0, 80.0), radii_mm=(30.0, 20.0), tube_mm=(12.0, 13.0)),
        Loop(center_mm=(34.0, -36.0, 80.0), radii_mm=(30.0, 16.0), tube_mm=(12.0, 13.0), gas_fraction=0.2),
        Loop(center_mm=(-34.0, -30.0, 106.0), radii_mm=(32.0, 22.0), tube_mm=(13.0, 14.0), gas_fraction=0.25),
        Loop(center_mm=(36.0, -30.0, 108.0), radii_mm=(34.0, 22.0), tube_mm=(13.0, 14.0)),
        Loop(center_mm=(-28.0, -32.0, 136.0), radii_mm=(36.0, 22.0), tube_mm=(13.0, 14.0)),
        Loop(center_mm=(34.0, -32.0, 138.0), radii_mm=(34.0, 22.0), tube_mm=(13.0, 14.0), gas_fraction=0.15),
    )
    hu: Mapping[str, float] = Field(default_factory=lambda: dict(PELVIS_HU))
