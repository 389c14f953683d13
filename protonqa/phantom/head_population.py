"""The population of heads: how sizes, skulls, sinuses, teeth and tissues are drawn, and how a day differs.

Head length and breadth span the 1st percentile of women to the 99th of men (sources in `head_anatomy`), and a little
more on purpose: a range model that is judged on anatomy it never saw must not learn one head. Lengths are mm, CT
numbers HU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from protonqa.phantom.anatomy import HollowOrgan, Organ, Pair, Triple
from protonqa.phantom.head import head_grid_length_mm, head_sizes_mm
from protonqa.phantom.head_anatomy import TEETH_A_JAW, Head, Thickness
from protonqa.phantom.twin_draws import (
    AIR_MARGIN_MM,
    OTHER_DAY_MM,
    ROUND_MM,
    Rng,
    cut_normal,
    draw_hu,
    log_uniform,
    moved,
    uniform,
    varied,
)
from protonqa.phantom.twin_parameters import DayChange

LENGTH_MM: Pair = (167.0, 218.0)
BREADTH_MM: Pair = (132.0, 171.0)
SKULL_MM: Pair = (2.8, 13.0)
_WISDOM = (0, TEETH_A_JAW - 1, TEETH_A_JAW, 2 * TEETH_A_JAW - 1)

_HU_RANGE: Mapping[str, Pair] = {
    "subcutaneous_fat": (-120.0, -80.0),
    "orbital_fat": (-115.0, -70.0),
    "muscle": (25.0, 65.0),
    "skull_table": (1000.0, 1700.0),
    "diploe": (220.0, 850.0),
    "skull_base": (450.0, 1100.0),
    "petrous_bone": (1100.0, 1950.0),
    "facial_bone": (400.0, 1100.0),
    "csf": (-2.0, 14.0),
    "ventricle": (-2.0, 14.0),
    "air_cells": (-950.0, -500.0),
    "sinus_air": (-1000.0, -960.0),
    "sinus_mucus": (0.0, 45.0),
    "airway": (-1000.0, -970.0),
    "jaw_cortical": (950.0, 1750.0),
    "jaw_spongiosa": (120.0, 650.0),
    "dentine": (1250.0, 1950.0),
    "enamel": (2050.0, 2800.0),
    "salivary_gland": (-40.0, 55.0),
    "thyroid": (55.0, 130.0),
    "cartilage": (60.0, 300.0),
    "ear_cartilage": (60.0, 140.0),
    "vertebra_cortical": (500.0, 1250.0),
    "vertebra_spongiosa": (110.0, 420.0),
}
# Added at full contrast enhancement.
_CONTRAST_HU: Mapping[str, float] = {
    "carotid": 200.0,
    "jugular": 140.0,
    "mucosa": 45.0,
    "thyroid": 90.0,
    "salivary_gland": 35.0,
    "pituitary": 50.0,
    "muscle": 12.0,
    "grey_matter": 5.0,
    "white_matter": 2.0,
}


def draw_head(rng: Rng, base: Head) -> Head:
    """A random head after `base`; its metal teeth stay as they are."""
    head = _draw_sizes(rng, base)
    head = head.model_copy(update={**_draw_skull(rng, base), **_draw_brain(rng), **_draw_neck(rng, base, head.size)})
    head = head.model_copy(update={**_draw_air(rng, base), **_draw_mouth(rng, base)})
    head = head.model_copy(update={"hu": draw_hu(rng, base.hu, _HU_RANGE, _CONTRAST_HU)})
    margin = AIR_MARGIN_MM + OTHER_DAY_MM + 25.0  # nodding lifts the vertex
    return head.model_copy(update={"length_mm": head_grid_length_mm(head, margin, ROUND_MM)})


def _draw_sizes(rng: Rng, base: Head) -> Head:
    """Size and soft tissue, repeated until length and breadth are human."""
    while True:
        whole = 0.975 * math.exp(cut_normal(rng, 0.03))
        x, y, z = (
            s * whole * math.exp(cut_normal(rng, sd)) for s, sd in zip(base.size, (0.028, 0.028, 0.03), strict=True)
        )
        fx, fy, fz = (s * math.exp(cut_normal(rng, sd)) for s, sd in zip(base.face, (0.03, 0.025, 0.05), strict=True))
        fat = log_uniform(rng, (2.5, 16.0))
        head = base.model_copy(
            update={
                "size": (x, y, z),
                "face": (fx, fy, fz),
                "skin_mm": uniform(rng, (1.4, 2.6)),
                "scalp_mm": uniform(rng, (2.5, 7.0)),
                "face_fat_mm": 0.4 * fat + 2.5,
                "neck_fat_mm": fat,
                "ear_mm": uniform(rng, (8.0, 22.0)),
                "overhang_mm": 45.0,
                "level_mm": uniform(rng, (105.0, 160.0)),
                "middle_y_mm": base.middle_y_mm,
            }
        )
        breadth, length = head_sizes_mm(head)
        if LENGTH_MM[0] <= length <= LENGTH_MM[1] and BREADTH_MM[0] <= breadth <= BREADTH_MM[1]:
            return head


def _draw_skull(rng: Rng, base: Head) -> dict[str, Any]:
    whole = math.exp(cut_normal(rng, 0.18))
    places = ("lateral_mm", "frontal_mm", "occipital_mm", "top_mm", "floor_mm")
    thick = {
        place: min(max(getattr(base.skull, place) * whole * math.exp(cut_normal(rng, 0.1)), SKULL_MM[0]), SKULL_MM[1])
        for place in places
    }
    tables = {"outer_table_mm": uniform(rng, (1.4, 2.6)), "inner_table_mm": uniform(rng, (1.1, 2.1))}
    return {"skull": Thickness(**thick, **tables)}


def _draw_brain(rng: Rng) -> dict[str, Any]:
    """Fluid around the brain and in it; both grow as a brain shrinks with age."""
    shrunk = float(rng.uniform(0, 1))
    return {
        "csf_mm": 1.2 + 3.0 * shrunk * uniform(rng, (0.6, 1.2)),
        "cortex_mm": uniform(rng, (3.5, 6.0)),
        "ventricles": 0.75 + 0.65 * shrunk * uniform(rng, (0.5, 1.3)),
    }


def _draw_neck(rng: Rng, base: Head, size: Triple) -> dict[str, Any]:
    pitch = uniform(rng, (15.5, 20.0))
    wide = uniform(rng, (0.86, 1.2))
    spine = base.spine.model_copy(
        update={
            "center_mm": (cut_normal(rng, 1.5), base.spine.center_mm[1] + cut_normal(rng, 3.0)),
            "radii_mm": (uniform(rng, (10.5, 15.0)), uniform(rng, (7.5, 11.0))),
            "pitch_mm": pitch,
            "phase_mm": base.spine.phase_mm + cut_normal(rng, 3.0),
            "disc_mm": uniform(rng, (3.0, 7.0)),
            "arch_size": uniform(rng, (0.62, 0.82)),
        }
    )
    half = (
        base.neck_half_mm[0] * wide * size[0],
        base.neck_half_mm[1] * wide * math.exp(cut_normal(rng, 0.05)) * size[1],
    )
    return {"neck_half_mm": half, "spine": spine}


def _draw_air(rng: Rng, base: Head) -> dict[str, Any]:
    """Sinuses (some without a frontal one), cells of ethmoid and mastoid, swelling of the nose."""

    def sinuses(organs: tuple[HollowOrgan, ...], spread: float) -> tuple[HollowOrgan, ...]:
        update = {"wall_mm": uniform(rng, (1.0, 2.6))}
        # Sinuses are not turned: left and right keep their inner walls apart.
        return tuple(
            varied(rng, organ, (1.0, 1.0, 1.0), 1.2, spread).model_copy(
                update={**update, "gas_fraction": draw_aeration(rng), "rotation_deg": 0.0}
            )
            for organ in organs
        )

    frontal = tuple(organ for organ in sinuses(base.frontal, 0.25) if rng.uniform() > 0.07)
    cells = int(rng.integers(1, len(base.mastoid) // 2 + 1))
    half = len(base.mastoid) // 2
    kept = [*base.mastoid[:cells], *base.mastoid[half : half + cells]]
    return {
        "maxillary": sinuses(base.maxillary, 0.11),
        "sphenoid": sinuses(base.sphenoid, 0.14),
        "frontal": frontal,
        "ethmoid": tuple(_cell(rng, cell) for cell in base.ethmoid),
        "mastoid": tuple(_cell(rng, cell) for cell in kept),
        "turbinate": uniform(rng, (0.6, 1.5)),
        "eye_mm": base.eye_mm + cut_normal(rng, 0.4),
    }


def draw_aeration(rng: Rng) -> float:
    """Share of a sinus that is air: all of it for three in four, else mucus lies in the back of it."""
    clear, share = rng.uniform(), float(rng.uniform(0.0, 0.95))
    return 1.0 if clear < 0.75 else share


def _cell(rng: Rng, cell: Organ) -> Organ:
    x, y, z = moved(rng, cell.center_mm, 0.8)
    a, b, c = (r * math.exp(cut_normal(rng, 0.15)) for r in cell.radii_mm)
    return cell.model_copy(update={"center_mm": (x, y, z), "radii_mm": (a, b, c)})


def _draw_mouth(rng: Rng, base: Head) -> dict[str, Any]:
    lost = uniform(rng, (0.0, 0.35)) if rng.uniform() < 0.9 else 1.0  # one in ten has no teeth left
    missing = [n for n in range(2 * TEETH_A_JAW) if rng.uniform() < (max(lost, 0.6) if n in _WISDOM else lost)]
    return {
        "missing_teeth": tuple(n for n in missing if n not in base.metal_teeth),
        "jaw_drop_mm": uniform(rng, (0.0, 7.0)),
        "tongue_shift_mm": moved(rng, base.tongue_shift_mm, 1.5),
    }


def head_on_another_day(rng: Rng, head: Head, change: DayChange) -> Head:
    """The same head on another day: fat of face and neck, jaw, tongue, swelling of the nose, sinuses with mucus."""
    fat = cut_normal(rng, change.fat_mm)
    jaw = head.jaw_drop_mm + cut_normal(rng, 1.5 * change.organ_mm)

    def cleared(sinuses: tuple[HollowOrgan, ...]) -> tuple[HollowOrgan, ...]:
        out = []
        for sinus in sinuses:
            redrawn, fraction = rng.uniform() < change.gas_redrawn, draw_aeration(rng)
            out.append(sinus.model_copy(update={"gas_fraction": fraction if redrawn else sinus.gas_fraction}))
        return tuple(out)

    update = {
        "face_fat_mm": max(head.face_fat_mm + 0.5 * fat, 1.0),
        "neck_fat_mm": max(head.neck_fat_mm + fat, 1.0),
        "jaw_drop_mm": min(max(jaw, 0.0), 10.0) if change.organ_mm else head.jaw_drop_mm,
        "tongue_shift_mm": moved(rng, head.tongue_shift_mm, change.organ_mm),
        "turbinate": head.turbinate * math.exp(cut_normal(rng, change.filling)),
        "maxillary": cleared(head.maxillary),
        "sphenoid": cleared(head.sphenoid),
        "frontal": cleared(head.frontal),
    }
    return head.model_copy(update=update)
