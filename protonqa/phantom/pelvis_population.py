"""The population of pelves: how bodies, bones, fillings and tissues are drawn, and how a day differs.

Hip breadth and depth span slim adults to heavy patients, wider than the survey in `pelvis_anatomy` on purpose: a range
model that is judged on anatomy it never saw must not learn one body. Lengths are mm, CT numbers HU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from protonqa.phantom.anatomy import HollowOrgan, Organ, Pair, Triple
from protonqa.phantom.pelvis import pelvis_extent_mm
from protonqa.phantom.pelvis_anatomy import Femur, Pelvis
from protonqa.phantom.twin_draws import (
    Rng,
    cut_normal,
    draw_gas_fraction,
    draw_hu,
    draw_small_bowel,
    log_uniform,
    other_loop,
    uniform,
    varied,
    varied_loop,
)
from protonqa.phantom.twin_parameters import DayChange

WIDTH_MM: Pair = (300.0, 460.0)
DEPTH_MM: Pair = (185.0, 330.0)
FAT_MM: Pair = (5.0, 60.0)
PROSTATE_ML: Pair = (15.0, 95.0)
BLADDER_ML: Pair = (60.0, 650.0)
_RECTUM_SIZE: Pair = (0.7, 1.6)

_HU_RANGE: Mapping[str, Pair] = {
    "subcutaneous_fat": (-120.0, -80.0),
    "pelvic_fat": (-118.0, -75.0),
    "muscle": (15.0, 65.0),
    "femur_compact": (1150.0, 1750.0),
    "femur_marrow": (-80.0, 60.0),
    "hip_cortical": (600.0, 1400.0),
    "hip_spongiosa": (130.0, 450.0),
    "pelvic_cortical": (500.0, 1400.0),
    "pelvic_spongiosa": (60.0, 320.0),
    "sacrum_cortical": (350.0, 1000.0),
    "sacrum_spongiosa": (0.0, 180.0),
    "cartilage": (60.0, 250.0),
    "vertebra_cortical": (400.0, 1200.0),
    "vertebra_spongiosa": (70.0, 350.0),
    "bowel_content": (-40.0, 90.0),
    "bowel_gas": (-1000.0, -880.0),
    "rectum_content": (-120.0, 110.0),
    "rectum_gas": (-1000.0, -900.0),
    "urine": (-2.0, 20.0),
    "prostate": (25.0, 52.0),
}
# Added at full contrast enhancement; urine of a patient who was given some earlier is brighter still.
_CONTRAST_HU: Mapping[str, float] = {
    "artery": 150.0,
    "vein": 110.0,
    "prostate": 35.0,
    "bladder_wall": 40.0,
    "rectum_wall": 45.0,
    "bowel_wall": 45.0,
    "penile_bulb": 50.0,
    "muscle": 12.0,
}


def draw_pelvis(rng: Rng, base: Pelvis) -> Pelvis:
    """A random pelvis after `base`."""
    pelvis = _draw_body(rng, base)
    pelvis = pelvis.model_copy(update={**_draw_bones(rng, base), **_draw_bowel(rng, base)})
    pelvis = pelvis.model_copy(update=_draw_organs(rng, base))
    return pelvis.model_copy(update={"hu": draw_hu(rng, base.hu, _HU_RANGE, _CONTRAST_HU)})


def _draw_body(rng: Rng, base: Pelvis) -> Pelvis:
    """Frame, muscle and fat, repeated until width and depth are human."""
    while True:
        x, y, z = (s * uniform(rng, r) for s, r in zip(base.size, ((0.88, 1.1), (0.86, 1.14), (0.9, 1.1)), strict=True))
        fat = log_uniform(rng, FAT_MM)
        around = [float(np.clip(fat * math.exp(cut_normal(rng, 0.3)), *FAT_MM)) for _ in range(2)]
        pelvis = base.model_copy(
            update={
                "size": (x, y, z),
                "fat_mm": (fat, *around),
                "skin_mm": uniform(rng, (1.5, 3.0)),
                "exponent": uniform(rng, (2.1, 2.8)),
                "buttock": uniform(rng, (0.8, 1.15)),
                "level_mm": uniform(rng, (72.0, 118.0)),
                "overhang_mm": 45.0,
                "middle_y_mm": 0.0,
            }
        )
        half_width, front, back = pelvis_extent_mm(pelvis)
        if WIDTH_MM[0] <= 2 * half_width <= WIDTH_MM[1] and DEPTH_MM[0] <= back - front <= DEPTH_MM[1]:
            # The body is centred in the grid.
            return pelvis.model_copy(update={"middle_y_mm": -(front + back) / 2})


def _draw_bones(rng: Rng, base: Pelvis) -> dict[str, Any]:
    size = math.exp(cut_normal(rng, 0.035))
    neck = base.femur.neck_radius_mm * size * math.exp(cut_normal(rng, 0.05))
    femur = Femur(
        head_x_mm=base.femur.head_x_mm + cut_normal(rng, 2.0),
        head_radius_mm=base.femur.head_radius_mm * size,
        neck_shaft_deg=base.femur.neck_shaft_deg + cut_normal(rng, 6.0),
        offset_mm=min(base.femur.offset_mm + cut_normal(rng, 5.0), 50.0),
        neck_radius_mm=neck,
        shaft_radius_mm=base.femur.shaft_radius_mm * size,
        compact_mm=uniform(rng, (3.5, 8.0)),
    )
    spine = base.spine.model_copy(
        update={
            "center_mm": (cut_normal(rng, 2.0), base.spine.center_mm[1] + cut_normal(rng, 2.5)),
            "phase_mm": base.spine.phase_mm + cut_normal(rng, 2.0),
            "pitch_mm": uniform(rng, (32.0, 39.0)),
            "disc_mm": uniform(rng, (6.0, 13.0)),
        }
    )
    return {
        "femur": femur,
        "spine": spine,
        "wing_mm": uniform(rng, (5.5, 11.0)),
        "cortex_mm": uniform(rng, (1.4, 2.8)),
    }


def _draw_bowel(rng: Rng, base: Pelvis) -> dict[str, Any]:
    one = (1.0, 1.0, 1.0)
    colon = tuple(
        varied(rng, organ, one, 6.0, 0.18).model_copy(
            update={"wall_mm": uniform(rng, (1.5, 5.0)), "gas_fraction": draw_gas_fraction(rng, 0.6)}
        )
        for organ in base.colon
    )
    sigmoid = varied_loop(rng, base.loops[0], one, 9.0).model_copy(
        update={"gas_fraction": draw_gas_fraction(rng, 0.6), "wall_mm": uniform(rng, (2.0, 4.5))}
    )
    small = draw_small_bowel(rng, (-70.0, -42.0, 62.0), (70.0, -8.0, 180.0), one, (4, 14))
    return {"colon": colon, "loops": (sigmoid, *small)}


def _draw_organs(rng: Rng, base: Pelvis) -> dict[str, Any]:
    """Prostate, then the rectum behind it and the bladder on top of it."""
    grown = (log_uniform(rng, PROSTATE_ML) / _volume_ml(base.prostate)) ** (1 / 3)
    shape = [math.exp(cut_normal(rng, 0.06)) for _ in range(3)]
    radii = tuple(r * grown * s for r, s in zip(base.prostate.radii_mm, shape, strict=True))
    bottom = base.prostate.center_mm[2] - base.prostate.radii_mm[2]
    back = base.prostate.center_mm[1] + base.prostate.radii_mm[1]
    center = (cut_normal(rng, 1.0), back - radii[1] + cut_normal(rng, 1.5), bottom + radii[2])
    prostate = base.prostate.model_copy(update={"center_mm": center, "radii_mm": radii})
    filled = (log_uniform(rng, BLADDER_ML) / _volume_ml(base.bladder)) ** (1 / 3)
    bladder = base.bladder.model_copy(update={"wall_mm": uniform(rng, (2.0, 5.5))})
    bladder = bladder.model_copy(update={"center_mm": (cut_normal(rng, 2.0), *bladder.center_mm[1:])})
    raised = center[2] + radii[2] - bottom - 2 * base.prostate.radii_mm[2]
    bladder = _refilled(bladder, filled, raised)
    ampulla = _stretched(base.rectum[0], math.exp(cut_normal(rng, 0.17)), front_mm=_front_mm(base.rectum[0]))
    upper = varied(rng, base.rectum[1], (1.0, 1.0, 1.0), 3.0, 0.12)
    rectum = tuple(
        part.model_copy(update={"wall_mm": uniform(rng, (2.0, 4.5)), "gas_fraction": draw_gas_fraction(rng, chance)})
        for part, chance in ((ampulla, 0.65), (upper, 0.4))
    )
    vesicles = tuple(varied(rng, organ, (1.0, 1.0, 1.0), 1.5, 0.15) for organ in base.vesicles)
    return {"prostate": prostate, "bladder": bladder, "rectum": rectum, "vesicles": vesicles}


def pelvis_on_another_day(rng: Rng, p: Pelvis, change: DayChange) -> Pelvis:
    """The same pelvis on another day: fat, fillings and gas differ, bowel moves, the rectum pushes the prostate."""
    fat = cut_normal(rng, change.fat_mm)
    wider = math.exp(cut_normal(rng, change.filling))
    ampulla = _stretched(p.rectum[0], wider, front_mm=None)
    # A wider rectum bulges to the front and takes prostate and seminal vesicles along; the sacrum does not give way.
    push = 0.6 * (_front_mm(ampulla) - _front_mm(p.rectum[0]))
    gas = [(rng.uniform() < change.gas_redrawn, draw_gas_fraction(rng, chance)) for chance in (0.65, 0.4)]
    rectum = tuple(
        part.model_copy(update={"gas_fraction": fraction if redrawn else part.gas_fraction})
        for part, (redrawn, fraction) in zip((ampulla, p.rectum[1]), gas, strict=True)
    )
    drift = tuple(cut_normal(rng, change.organ_mm) * share for share in (0.4, 1.0, 1.0))
    step: Triple = (drift[0], drift[1] + push, drift[2])
    bladder = _refilled(p.bladder, math.exp(cut_normal(rng, change.filling)), step[2])
    loops = tuple(other_loop(rng, loop, change.bowel_mm, change.filling, change.gas_redrawn) for loop in p.loops)
    update = {
        "fat_mm": tuple(max(thickness + fat, 2.0) for thickness in p.fat_mm),
        "prostate": _shifted(p.prostate, step),
        "vesicles": tuple(_shifted(organ, step) for organ in p.vesicles),
        "rectum": rectum,
        "bladder": bladder,
        "colon": tuple(_other_colon(rng, organ, change) for organ in p.colon),
        "loops": loops,
    }
    return p.model_copy(update=update)


def _other_colon(rng: Rng, organ: HollowOrgan, change: DayChange) -> HollowOrgan:
    size = math.exp(cut_normal(rng, change.filling))
    redrawn, fraction = rng.uniform() < change.gas_redrawn, draw_gas_fraction(rng, 0.6)
    radii = tuple(r * size for r in organ.radii_mm)
    return organ.model_copy(update={"radii_mm": radii, "gas_fraction": fraction if redrawn else organ.gas_fraction})


def _refilled(bladder: HollowOrgan, size: float, raised_mm: float) -> HollowOrgan:
    """A bladder grown from its raised floor upwards; it rises more than it widens, for the bones hold it."""
    a, b, c = bladder.radii_mm
    across = size ** (0.8 if size > 1 else 1.0)
    up = size**3 / across**2
    x, y, z = bladder.center_mm
    radii = (a * across, b * across, c * up)
    return bladder.model_copy(update={"radii_mm": radii, "center_mm": (x, y, z + raised_mm + (radii[2] - c))})


def _stretched(rectum: HollowOrgan, size: float, *, front_mm: float | None) -> HollowOrgan:
    """A wider or narrower rectum that keeps its front wall at `front_mm`, or else its back wall."""
    a, b, c = rectum.radii_mm
    limit = float(np.clip(size, _RECTUM_SIZE[0] * 17.0 / b, _RECTUM_SIZE[1] * 17.0 / b))
    x, y, z = rectum.center_mm
    y = y + (b - b * limit) if front_mm is None else front_mm + b * limit
    return rectum.model_copy(update={"radii_mm": (a * limit, b * limit, c), "center_mm": (x, y, z)})


def _shifted(organ: Organ, step: Triple) -> Organ:
    x, y, z = (c + d for c, d in zip(organ.center_mm, step, strict=True))
    return organ.model_copy(update={"center_mm": (x, y, z)})


def _front_mm(organ: Organ) -> float:
    return organ.center_mm[1] - organ.radii_mm[1]


def _volume_ml(organ: Organ) -> float:
    return 4.0 / 3.0 * math.pi * math.prod(organ.radii_mm) / 1000.0
