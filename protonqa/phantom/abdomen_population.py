"""The population of abdomens: how bodies, organs, fillings and tissues are drawn, and how a day differs.

The spreads are wide on purpose, wider than a clinic's patients: a range model that is judged on anatomy it never saw
must not learn one body. Lengths are mm, CT numbers HU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from protonqa.phantom.anatomy import Abdomen, Organ, Pair, Triple
from protonqa.phantom.twin_draws import (
    Rng,
    cut_normal,
    draw_gas_fraction,
    draw_hu,
    draw_small_bowel,
    moved,
    other_loop,
    varied,
    varied_loop,
)
from protonqa.phantom.twin_parameters import DayChange

WIDTH_MM: Pair = (250.0, 420.0)
DEPTH_MM: Pair = (160.0, 330.0)
FAT_MM: Pair = (5.0, 50.0)

# Ranges of CT numbers between patients, unenhanced; other tissues stay near their reference.
_HU_RANGE: Mapping[str, Pair] = {
    "subcutaneous_fat": (-120.0, -80.0),
    "visceral_fat": (-118.0, -75.0),
    "muscle": (15.0, 65.0),
    "rib_cortical": (500.0, 1400.0),
    "rib_marrow": (80.0, 420.0),
    "vertebra_cortical": (400.0, 1200.0),
    "vertebra_spongiosa": (70.0, 350.0),
    "pelvic_cortical": (500.0, 1400.0),
    "pelvic_spongiosa": (60.0, 300.0),
    "cartilage": (60.0, 250.0),
    "lung": (-880.0, -560.0),
    "liver": (10.0, 75.0),
    "liver_lesion": (-5.0, 110.0),
    "bowel_content": (-40.0, 90.0),
    "stomach_content": (-20.0, 90.0),
    "bowel_gas": (-1000.0, -880.0),
    "stomach_gas": (-1000.0, -900.0),
}
# Added at full contrast enhancement.
_CONTRAST_HU: Mapping[str, float] = {
    "liver": 60.0,
    "spleen": 75.0,
    "kidney_cortex": 140.0,
    "kidney_medulla": 100.0,
    "pancreas": 60.0,
    "aorta": 150.0,
    "vena_cava": 110.0,
    "hepatic_vein": 110.0,
    "heart": 110.0,
    "bowel_wall": 45.0,
    "stomach_wall": 40.0,
    "muscle": 12.0,
    "liver_lesion": 25.0,
}


def draw_abdomen(rng: Rng, base: Abdomen) -> Abdomen:
    """A random abdomen after `base`."""
    abdomen, scale = _draw_body(rng, base)
    abdomen = abdomen.model_copy(
        update={
            **_draw_skeleton(rng, abdomen, scale),
            **_draw_organs(rng, base, scale),
            **_draw_bowel(rng, base, scale),
            "hu": draw_hu(rng, base.hu, _HU_RANGE, _CONTRAST_HU),
        }
    )
    return abdomen.model_copy(update={"lesions": _draw_lesions(rng, abdomen)})


def _draw_body(rng: Rng, base: Abdomen) -> tuple[Abdomen, Triple]:
    """Outer shape: cavity, muscle wall and fat drawn freely, repeated until width and depth are human."""
    while True:
        half_width = float(rng.uniform(96, 148))
        half_depth = half_width * float(rng.uniform(0.52, 0.76))
        wall = (float(rng.uniform(7, 20)), float(rng.uniform(6, 16)), float(rng.uniform(8, 20)))
        fat = math.exp(float(rng.uniform(math.log(FAT_MM[0]), math.log(FAT_MM[1]))))
        around = [float(np.clip(fat * math.exp(cut_normal(rng, 0.3)), *FAT_MM)) for _ in range(2)]
        skin = float(rng.uniform(1.5, 3.0))
        width = 2 * (half_width + wall[0] + fat + skin)
        depth = 2 * half_depth + wall[1] + wall[2] + sum(around) + 2 * skin
        if WIDTH_MM[0] <= width <= WIDTH_MM[1] and DEPTH_MM[0] <= depth <= DEPTH_MM[1]:
            break
    scale = (
        half_width / base.cavity_half_width_mm,
        half_depth / base.cavity_half_depth_mm,
        float(rng.uniform(0.85, 1.2)),
    )
    abdomen = base.model_copy(
        update={
            "cavity_half_width_mm": half_width,
            "cavity_half_depth_mm": half_depth,
            # The body is centred in the grid, the cavity lies where wall and fat leave it.
            "cavity_center_y_mm": (wall[1] + around[0] - wall[2] - around[1]) / 2,
            "exponent": float(rng.uniform(2.0, 3.0)),
            "wall_mm": wall,
            "fat_mm": (fat, *around),
            "skin_mm": skin,
            "level_mm": float(rng.uniform(-45, 75)),
            "overhang_mm": 45.0,
        }
    )
    return abdomen, scale


def _draw_skeleton(rng: Rng, abdomen: Abdomen, scale: Triple) -> dict[str, Any]:
    pitch = float(rng.uniform(30, 40))
    size = math.sqrt(scale[0])
    vertebra = (24.0 * size * float(rng.uniform(0.88, 1.12)), 17.0 * size * float(rng.uniform(0.88, 1.12)))
    back = abdomen.cavity_center_y_mm + abdomen.cavity_half_depth_mm
    rib = (min(float(rng.uniform(3.0, 5.5)), abdomen.wall_mm[0] / 2), float(rng.uniform(5.5, 9.0)))
    return {
        "rib_count": 11,
        "rib_base_z_mm": 118.0 + cut_normal(rng, 10.0),
        "rib_pitch_mm": float(rng.uniform(22, 34)),
        "rib_drop_mm": float(rng.uniform(40, 120)),
        "rib_half_mm": rib,
        "iliac_top_z_mm": cut_normal(rng, 14.0) - 5.0,
        "spine_center_mm": (cut_normal(rng, 3.0), back - vertebra[1] - float(rng.uniform(10, 20))),
        "vertebra_radii_mm": vertebra,
        "vertebra_pitch_mm": pitch,
        "vertebra_phase_mm": float(rng.uniform(0, pitch)),
        "disc_mm": float(rng.uniform(5, 12)),
        "paraspinal_radii_mm": (30.0 * size * float(rng.uniform(0.75, 1.2)), float(rng.uniform(15, 28))),
        "psoas_radii_mm": (float(rng.uniform(11, 22)), float(rng.uniform(12, 25))),
        "aorta_radius_mm": float(rng.uniform(7.5, 15)),
        "vena_cava_radii_mm": (float(rng.uniform(8, 16)), float(rng.uniform(5, 12))),
    }


def _draw_organs(rng: Rng, base: Abdomen, scale: Triple) -> dict[str, Any]:
    kidneys = tuple(varied(rng, organ, scale, 6.0, 0.12) for organ in base.kidneys)
    if rng.uniform() < 0.04:
        kidneys = kidneys[int(rng.integers(2)) :][:1]
    stomach = varied(rng, base.stomach, scale, 9.0, 0.22).model_copy(
        update={"wall_mm": float(rng.uniform(3, 8)), "gas_fraction": draw_gas_fraction(rng, 0.8)}
    )
    return {
        "lungs": tuple(varied(rng, organ, scale, 10.0, 0.12) for organ in base.lungs),
        "heart": varied(rng, base.heart, scale, 12.0, 0.15) if base.heart is not None else None,
        "kidneys": kidneys,
        "pancreas": varied_loop(rng, base.pancreas, scale, 6.0),
        "spleen": varied(rng, base.spleen, scale, 7.0, 0.2),
        "stomach": stomach,
        "liver": tuple(varied(rng, organ, scale, 8.0, 0.13) for organ in base.liver),
        "gallbladder": varied(rng, base.gallbladder, scale, 8.0, 0.2),
    }


def _draw_bowel(rng: Rng, base: Abdomen, scale: Triple) -> dict[str, Any]:
    colon = tuple(
        varied(rng, organ, scale, 6.0, 0.2).model_copy(
            update={"wall_mm": float(rng.uniform(1.5, 5)), "gas_fraction": draw_gas_fraction(rng, 0.6)}
        )
        for organ in base.colon
    )
    transverse = varied_loop(rng, base.loops[-1], scale, 10.0).model_copy(
        update={"gas_fraction": draw_gas_fraction(rng, 0.6), "wall_mm": float(rng.uniform(1.5, 4))}
    )
    small = draw_small_bowel(rng, (-75.0, -48.0, -45.0), (75.0, 14.0, 112.0), scale, (5, 19))
    loops = [transverse, *small]
    return {"colon": colon, "loops": tuple(loops)}


def _draw_lesions(rng: Rng, abdomen: Abdomen) -> tuple[Organ, ...]:
    lesions = []
    for _ in range(min(int(rng.poisson(1.0)), 4)):
        lobe = abdomen.liver[int(rng.integers(len(abdomen.liver)))]
        direction = rng.normal(size=3)
        direction *= 0.7 * rng.uniform() ** (1 / 3) / np.linalg.norm(direction)
        center = tuple(float(c + r * d) for c, r, d in zip(lobe.center_mm, lobe.radii_mm, direction, strict=True))
        radius = float(rng.uniform(4, 28))
        radii = tuple(radius * float(rng.uniform(0.7, 1.3)) for _ in range(3))
        lesions.append(Organ(center_mm=center, radii_mm=radii))  # type: ignore[arg-type]
    return tuple(lesions)


def abdomen_on_another_day(rng: Rng, a: Abdomen, change: DayChange) -> Abdomen:
    """The same abdomen on another day: fat, breathing, organs, filling and gas differ."""
    fat = cut_normal(rng, change.fat_mm)
    breath = cut_normal(rng, change.breathing_mm)

    def carried(organ: Organ, share: float) -> Organ:
        x, y, z = moved(rng, organ.center_mm, change.organ_mm)
        return organ.model_copy(update={"center_mm": (x, y + 0.3 * share * breath, z - share * breath)})

    def refilled(organ: Organ, share: float, gas: float) -> Organ:
        size = math.exp(cut_normal(rng, change.filling))
        redrawn, fraction = rng.uniform() < change.gas_redrawn, draw_gas_fraction(rng, 0.7)
        radii = tuple(r * size for r in organ.radii_mm)
        return carried(organ, share).model_copy(
            update={"radii_mm": radii, "gas_fraction": fraction if redrawn else gas}
        )

    liver = tuple(carried(lobe, 1.0) for lobe in a.liver)
    first = liver[0].center_mm
    drift = tuple(new - old for new, old in zip(first, a.liver[0].center_mm, strict=True))
    lesions = tuple(
        lesion.model_copy(update={"center_mm": tuple(c + d for c, d in zip(lesion.center_mm, drift, strict=True))})
        for lesion in a.lesions
    )
    update = {
        "fat_mm": tuple(max(thickness + fat, 2.0) for thickness in a.fat_mm),
        "lungs": tuple(carried(organ, 1.0) for organ in a.lungs),
        "heart": None if a.heart is None else carried(a.heart, 0.5),
        "colon": tuple(refilled(organ, 0.1, organ.gas_fraction) for organ in a.colon),
        "loops": tuple(other_loop(rng, loop, change.bowel_mm, change.filling, change.gas_redrawn) for loop in a.loops),
        "kidneys": tuple(carried(organ, 0.6) for organ in a.kidneys),
        "spleen": carried(a.spleen, 0.9),
        "stomach": refilled(a.stomach, 0.8, a.stomach.gas_fraction),
        "liver": liver,
        "lesions": lesions,
        "gallbladder": carried(a.gallbladder, 0.9),
    }
    return a.model_copy(update=update)
