"""The parts that anatomies are described with, and the numbers of the abdomen, with the reference adult as defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Triple = tuple[float, float, float]
Pair = tuple[float, float]

#: CT numbers whose Schneider density meets the density of ICRP Publication 110 (2009), Table B.1, within 2 %: skin
#: 1.09, muscle, liver, kidney and pancreas 1.05, spleen and stomach 1.04, blood 1.06, cartilage 1.10, rib spongiosa
#: 1.165, lumbar spongiosa 1.11, deflated lung 0.38 g/cm3. Fat has the CT number seen in adults. Cortical bone (1.92
#: g/cm3) is thinner than the 2 mm shells painted here and so has the CT number of its partial volume.
REFERENCE_HU: Mapping[str, float] = {
    "skin": 74.0,
    "subcutaneous_fat": -102.0,
    "muscle": 44.0,
    "visceral_fat": -98.0,
    "rib_cortical": 950.0,
    "rib_marrow": 250.0,
    "cartilage": 84.0,
    "lung": -630.0,
    "heart": 42.0,
    "bowel_wall": 34.0,
    "bowel_content": 22.0,
    "bowel_gas": -980.0,
    "kidney_cortex": 40.0,
    "kidney_medulla": 32.0,
    "renal_pelvis": 8.0,
    "pancreas": 38.0,
    "spleen": 36.0,
    "stomach_wall": 32.0,
    "stomach_content": 28.0,
    "stomach_gas": -985.0,
    "liver": 46.0,
    "hepatic_vein": 50.0,
    "liver_lesion": 20.0,
    "gallbladder_wall": 30.0,
    "bile": 12.0,
    "aorta": 49.0,
    "vena_cava": 48.0,
    "disc": 86.0,
    "vertebra_cortical": 800.0,
    "vertebra_spongiosa": 160.0,
    "spinal_canal": 26.0,
    "pelvic_cortical": 900.0,
    "pelvic_spongiosa": 140.0,
}

#: ICRP Publication 89 (2002), reference adult male, organs that lie wholly inside the reference abdomen (g).
ICRP_89_MASS_G: Mapping[str, float] = {
    "liver": 1800.0,
    "spleen": 150.0,
    "kidneys": 310.0,
    "pancreas": 140.0,
    "stomach_wall": 150.0,
    "stomach_content": 250.0,
    "gallbladder": 68.0,
}


class Part(BaseModel):
    """Plain checked values; unknown keys and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Organ(Part):
    """An ellipsoid: centre, semi-axes (mm), rotation about z (deg)."""

    center_mm: Triple
    radii_mm: Triple
    rotation_deg: float = 0.0


class HollowOrgan(Organ):
    """An ellipsoid with a wall; gas fills the front `gas_fraction` of its inner height."""

    wall_mm: float
    gas_fraction: float = 0.0


class Loop(Part):
    """A loop of bowel along an elliptic arc (see `schema.Arc`), with a wall and gas in front."""

    center_mm: Triple
    radii_mm: Pair
    tube_mm: Pair
    start_deg: float = 0.0
    stop_deg: float = 360.0
    rise_mm: float = 0.0
    wall_mm: float = 2.5
    gas_fraction: float = 0.0


class Spine(Part):
    """Vertebrae one above the other: centre and semi-axes of their bodies, distance, where one of them lies (phase).

    `arch_size` is the size of arch, processes and canal against a lumbar vertebra.
    """

    center_mm: Pair
    radii_mm: Pair
    pitch_mm: float
    phase_mm: float
    disc_mm: float
    arch_size: float = 1.0
    bone_tissues: tuple[str, str] = ("vertebra_cortical", "vertebra_spongiosa")
    disc_tissue: str = "disc"
    canal_tissue: str = "spinal_canal"


class Abdomen(Part):
    """Everything that decides where tissue is; lengths in mm, thicknesses as (lateral, anterior, posterior).

    The defaults are the reference adult: 340 x 230 mm. `cavity_*` is the inside of the muscle wall; the wall, fat and
    skin grow outwards from it. `level_mm` shifts the anatomy towards the head.
    """

    site: Literal["abdomen"] = "abdomen"
    length_mm: float = 240.0
    overhang_mm: float = 0.0
    level_mm: float = 0.0
    cavity_half_width_mm: float = 134.0
    cavity_half_depth_mm: float = 82.5
    cavity_center_y_mm: float = 0.5
    exponent: float = 2.3
    wall_mm: Triple = (14.0, 11.0, 12.0)
    fat_mm: Triple = (20.0, 20.0, 18.0)
    skin_mm: float = 2.0

    rib_count: int = 7
    rib_base_z_mm: float = 118.0
    rib_pitch_mm: float = 28.0
    rib_drop_mm: float = 90.0
    rib_half_mm: Pair = (4.5, 7.0)
    iliac_top_z_mm: float | None = None

    spine_center_mm: Pair = (0.0, 49.0)
    vertebra_radii_mm: Pair = (24.0, 17.0)
    vertebra_pitch_mm: float = 36.0
    vertebra_phase_mm: float = 0.0
    disc_mm: float = 9.0

    paraspinal_radii_mm: Pair = (30.0, 22.0)
    psoas_radii_mm: Pair = (17.0, 20.0)
    lungs: tuple[Organ, ...] = (
        Organ(center_mm=(-70.0, 4.0, 252.0), radii_mm=(62.0, 74.0, 84.0)),
        Organ(center_mm=(74.0, 4.0, 252.0), radii_mm=(60.0, 74.0, 66.0)),
    )
    heart: Organ | None = Organ(center_mm=(16.0, -36.0, 262.0), radii_mm=(56.0, 40.0, 44.0))
    colon: tuple[HollowOrgan, ...] = (
        HollowOrgan(center_mm=(-104.0, 10.0, 52.0), radii_mm=(24.0, 26.0, 62.0), wall_mm=3.0, gas_fraction=0.3),
        HollowOrgan(center_mm=(110.0, 16.0, 72.0), radii_mm=(16.0, 17.0, 92.0), wall_mm=3.0, gas_fraction=0.2),
    )
    loops: tuple[Loop, ...] = (
        Loop(center_mm=(-44.0, -20.0, 6.0), radii_mm=(30.0, 30.0), tube_mm=(13.0, 14.0)),
        Loop(center_mm=(40.0, -26.0, 8.0), radii_mm=(36.0, 26.0), tube_mm=(14.0, 15.0), gas_fraction=0.25),
        Loop(center_mm=(-36.0, -30.0, 35.0), radii_mm=(38.0, 24.0), tube_mm=(14.0, 14.0), gas_fraction=0.2),
        Loop(center_mm=(46.0, -18.0, 38.0), radii_mm=(32.0, 32.0), tube_mm=(13.0, 14.0), rise_mm=-6.0),
        Loop(center_mm=(-34.0, -22.0, 65.0), radii_mm=(34.0, 30.0), tube_mm=(13.0, 14.0)),
        Loop(center_mm=(40.0, -28.0, 68.0), radii_mm=(34.0, 24.0), tube_mm=(14.0, 14.0), gas_fraction=0.15),
        Loop(
            center_mm=(4.0, -12.0, 94.0),
            radii_mm=(60.0, 20.0),
            tube_mm=(13.0, 14.0),
            start_deg=-30.0,
            stop_deg=210.0,
        ),
        Loop(  # transverse colon
            center_mm=(0.0, -12.0, 104.0),
            radii_mm=(94.0, 50.0),
            tube_mm=(17.0, 18.0),
            start_deg=195.0,
            stop_deg=345.0,
            rise_mm=36.0,
            wall_mm=3.0,
            gas_fraction=0.45,
        ),
    )
    kidneys: tuple[Organ, ...] = (
        Organ(center_mm=(-68.0, 43.0, 92.0), radii_mm=(28.0, 24.5, 55.0), rotation_deg=-35.0),
        Organ(center_mm=(68.0, 43.0, 108.0), radii_mm=(28.0, 24.5, 55.0), rotation_deg=35.0),
    )
    pancreas: Loop = Loop(
        center_mm=(20.0, 42.0, 126.0),
        radii_mm=(58.0, 40.0),
        tube_mm=(16.0, 30.0),
        start_deg=205.0,
        stop_deg=330.0,
        rise_mm=32.0,
    )
    spleen: Organ = Organ(center_mm=(98.0, 34.0, 176.0), radii_mm=(22.0, 36.0, 46.0), rotation_deg=30.0)
    stomach: HollowOrgan = HollowOrgan(
        center_mm=(60.0, -24.0, 168.0), radii_mm=(54.0, 42.0, 50.0), wall_mm=6.0, gas_fraction=0.3
    )
    liver: tuple[Organ, ...] = (
        Organ(center_mm=(-66.0, 0.0, 161.0), radii_mm=(70.0, 74.0, 80.0)),
        Organ(center_mm=(-10.0, -38.0, 180.0), radii_mm=(60.0, 36.0, 42.0)),
    )
    lesions: tuple[Organ, ...] = ()
    gallbladder: HollowOrgan = HollowOrgan(center_mm=(-44.0, -52.0, 104.0), radii_mm=(18.0, 18.0, 48.0), wall_mm=2.0)
    aorta_radius_mm: float = 10.0
    vena_cava_radii_mm: Pair = (13.0, 10.0)
    hu: Mapping[str, float] = Field(default_factory=lambda: dict(REFERENCE_HU))

    @property
    def middle_y_mm(self) -> float:
        """y about which the body turns."""
        return self.cavity_center_y_mm

    @property
    def spine(self) -> Spine:
        """The spine as it is painted."""
        return Spine(
            center_mm=self.spine_center_mm,
            radii_mm=self.vertebra_radii_mm,
            pitch_mm=self.vertebra_pitch_mm,
            phase_mm=self.vertebra_phase_mm,
            disc_mm=self.disc_mm,
        )
