"""The population of digital twins: how bodies, organs, fillings and tissues are drawn.

The spreads are wide on purpose, wider than a clinic's patients: a range model that is judged on anatomy it never saw
must not learn one body. Lengths are mm, CT numbers HU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from protonqa.phantom.abdomen import body_extent_mm
from protonqa.phantom.anatomy import Abdomen, Loop, Organ, Pair, Triple
from protonqa.phantom.twin_parameters import Couch, CtNoise, Pose, Texture, TwinParameters, Wave

Rng = np.random.Generator
AnyOrgan = TypeVar("AnyOrgan", bound=Organ)

WIDTH_MM: Pair = (250.0, 420.0)
DEPTH_MM: Pair = (160.0, 330.0)
FAT_MM: Pair = (5.0, 50.0)
AIR_MARGIN_MM = 20.0
OTHER_DAY_MM = 15.0  # room in the grid for the body to grow or move on another day
_ROUND_MM = 20.0  # grid sizes are multiples of this, so 1, 2, 2.5, 4 and 5 mm voxels fill them exactly

# SD of the CT number between patients where it is not 6 HU; Schneider-range values, unenhanced.
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
_HU_SD = 6.0
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


def draw_twin(seed: int, *, base: Abdomen | None = None) -> TwinParameters:
    """Draw a random patient.

    Parameters
    ----------
    seed : int
        Same seed, same twin.
    base : Abdomen, optional
        The anatomy that is varied; the reference adult when absent.
    """
    rng = np.random.default_rng([0x7717, seed])
    reference = base or Abdomen()
    abdomen, scale = _draw_body(rng, reference)
    abdomen = abdomen.model_copy(
        update={
            **_draw_skeleton(rng, abdomen, scale),
            **_draw_organs(rng, reference, scale),
            **_draw_bowel(rng, reference, scale),
            "hu": _draw_hu(rng, reference),
        }
    )
    abdomen = abdomen.model_copy(update={"lesions": _draw_lesions(rng, abdomen)})
    waves = _draw_waves(rng)
    pose = Pose(
        shift_mm=(cut_normal(rng, 4.0), cut_normal(rng, 4.0), cut_normal(rng, 4.0)),
        rotation_deg=(cut_normal(rng, 1.5), cut_normal(rng, 1.5), cut_normal(rng, 4.0)),
    )
    reach = sum(math.hypot(*wave.amplitude_mm) for wave in waves)
    couch = _draw_couch(rng, abdomen, reach)
    return TwinParameters(
        seed=seed,
        size_mm=_grid_size(abdomen, pose, reach, couch),
        abdomen=abdomen,
        waves=waves,
        texture=Texture(
            amplitude_hu=float(rng.uniform(0, 14)),
            correlation_mm=float(rng.uniform(6, 24)),
            seed=int(rng.integers(2**31)),
        ),
        pose=pose,
        couch=couch,
        ct_noise=CtNoise(amplitude_hu=float(rng.uniform(2, 20)), seed=int(rng.integers(2**31))),
    )


def cut_normal(rng: Rng, sd: float) -> float:
    """A normal number cut at 2.5 SD."""
    return float(np.clip(rng.normal(), -2.5, 2.5)) * sd


def draw_gas_fraction(rng: Rng, chance: float = 0.4) -> float:
    """Share of a lumen's height that is gas; none with probability ``1 - chance``."""
    filled, share = rng.uniform(), rng.uniform(0.05, 0.9)
    return float(share) if filled < chance else 0.0


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


def _varied(rng: Rng, organ: AnyOrgan, scale: Triple, jitter_mm: float, spread: float) -> AnyOrgan:
    """An organ carried along with the body's size, then moved and grown at random."""
    size = math.exp(cut_normal(rng, spread))
    center = tuple(c * s + cut_normal(rng, jitter_mm) for c, s in zip(organ.center_mm, scale, strict=True))
    radii = tuple(
        r * s * size * math.exp(cut_normal(rng, spread / 2)) for r, s in zip(organ.radii_mm, scale, strict=True)
    )
    turn = organ.rotation_deg + cut_normal(rng, 12.0)
    return organ.model_copy(update={"center_mm": center, "radii_mm": radii, "rotation_deg": turn})


def _draw_organs(rng: Rng, base: Abdomen, scale: Triple) -> dict[str, Any]:
    kidneys = tuple(_varied(rng, organ, scale, 6.0, 0.12) for organ in base.kidneys)
    if rng.uniform() < 0.04:
        kidneys = kidneys[int(rng.integers(2)) :][:1]
    stomach = _varied(rng, base.stomach, scale, 9.0, 0.22).model_copy(
        update={"wall_mm": float(rng.uniform(3, 8)), "gas_fraction": draw_gas_fraction(rng, 0.8)}
    )
    return {
        "lungs": tuple(_varied(rng, organ, scale, 10.0, 0.12) for organ in base.lungs),
        "heart": _varied(rng, base.heart, scale, 12.0, 0.15) if base.heart is not None else None,
        "kidneys": kidneys,
        "pancreas": _varied_loop(rng, base.pancreas, scale, 6.0),
        "spleen": _varied(rng, base.spleen, scale, 7.0, 0.2),
        "stomach": stomach,
        "liver": tuple(_varied(rng, organ, scale, 8.0, 0.13) for organ in base.liver),
        "gallbladder": _varied(rng, base.gallbladder, scale, 8.0, 0.2),
    }


def _varied_loop(rng: Rng, loop: Loop, scale: Triple, jitter_mm: float) -> Loop:
    center = tuple(c * s + cut_normal(rng, jitter_mm) for c, s in zip(loop.center_mm, scale, strict=True))
    radii = tuple(r * s * math.exp(cut_normal(rng, 0.1)) for r, s in zip(loop.radii_mm, scale[:2], strict=True))
    tube = tuple(max(t * math.exp(cut_normal(rng, 0.2)), loop.wall_mm + 3.0) for t in loop.tube_mm)
    update = {"center_mm": center, "radii_mm": radii, "tube_mm": tube, "rise_mm": loop.rise_mm + cut_normal(rng, 8.0)}
    return loop.model_copy(update=update)


def _draw_bowel(rng: Rng, base: Abdomen, scale: Triple) -> dict[str, Any]:
    colon = tuple(
        _varied(rng, organ, scale, 6.0, 0.2).model_copy(
            update={"wall_mm": float(rng.uniform(1.5, 5)), "gas_fraction": draw_gas_fraction(rng, 0.6)}
        )
        for organ in base.colon
    )
    transverse = _varied_loop(rng, base.loops[-1], scale, 10.0).model_copy(
        update={"gas_fraction": draw_gas_fraction(rng, 0.6), "wall_mm": float(rng.uniform(1.5, 4))}
    )
    loops = [transverse]
    for _ in range(int(rng.integers(5, 19))):
        wall, tube = float(rng.uniform(1.5, 4.0)), float(rng.uniform(8, 19))
        start = float(rng.uniform(0, 360))
        loop = Loop(
            center_mm=(
                float(rng.uniform(-75, 75)) * scale[0],
                float(rng.uniform(-48, 14)) * scale[1],
                float(rng.uniform(-45, 112)) * scale[2],
            ),
            radii_mm=(float(rng.uniform(20, 48)) * scale[0], float(rng.uniform(18, 36)) * scale[1]),
            tube_mm=(tube, tube * float(rng.uniform(0.8, 1.3))),
            start_deg=start,
            stop_deg=start + float(rng.uniform(140, 360)),
            rise_mm=float(rng.uniform(-28, 28)),
            wall_mm=wall,
            gas_fraction=draw_gas_fraction(rng, 0.35),
        )
        loops.append(loop)
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


def _draw_hu(rng: Rng, base: Abdomen) -> dict[str, float]:
    contrast = float(rng.uniform(0.2, 1.1)) if rng.uniform() < 0.5 else 0.0
    oral = float(rng.uniform(60, 300)) if rng.uniform() < 0.2 else 0.0
    drawn = {}
    for tissue, reference in base.hu.items():
        low_high = _HU_RANGE.get(tissue)
        hu = float(rng.uniform(*low_high)) if low_high is not None else reference + cut_normal(rng, _HU_SD)
        hu += contrast * _CONTRAST_HU.get(tissue, 0.0)
        hu += oral if tissue in ("bowel_content", "stomach_content") else 0.0
        drawn[tissue] = float(np.clip(hu, -1000.0, 2900.0))
    return drawn


def _draw_waves(rng: Rng) -> tuple[Wave, ...]:
    """Long waves that bend every surface a few millimetres; short enough in slope to keep tissue from folding."""
    total = float(rng.uniform(0, 7))
    waves = []
    for _ in range(4):
        direction = rng.normal(size=3)
        direction *= 2 * math.pi / (rng.uniform(90, 260) * np.linalg.norm(direction))
        push = rng.normal(size=3)
        push *= total / (4 * np.linalg.norm(push))
        waves.append(
            Wave(
                vector_per_mm=tuple(direction.tolist()),
                phase=float(rng.uniform(0, 2 * math.pi)),
                amplitude_mm=tuple(push.tolist()),
            )
        )
    return tuple(waves)


def _draw_couch(rng: Rng, abdomen: Abdomen, reach_mm: float) -> Couch | None:
    present = rng.uniform() < 0.6
    _, _, back = body_extent_mm(abdomen)
    couch = Couch(
        top_y_mm=back + reach_mm + float(rng.uniform(0, 5)),
        thickness_mm=float(rng.uniform(15, 55)),
        width_mm=float(rng.uniform(360, 480)),
        shell_mm=float(rng.uniform(2, 6)),
        shell_hu=float(rng.uniform(-300, 150)),
        core_hu=float(rng.uniform(-980, -880)),
    )
    return couch if present else None


def _grid_size(abdomen: Abdomen, pose: Pose, reach_mm: float, couch: Couch | None) -> Triple:
    """Smallest whole grid with air around the body, today and on another day; the couch may be cut at the sides."""
    half_width, front, back = body_extent_mm(abdomen)
    half_depth = max(-front, back)
    roll = math.radians(abs(pose.rotation_deg[2]) + 3.0)
    tilt = [math.sin(math.radians(abs(angle) + 3.0)) * abdomen.length_mm / 2 for angle in pose.rotation_deg[:2]]
    margin = AIR_MARGIN_MM + OTHER_DAY_MM + reach_mm
    x = math.hypot(half_width * math.cos(roll), half_depth * math.sin(roll)) + tilt[1]
    y = math.hypot(half_depth * math.cos(roll), half_width * math.sin(roll)) + tilt[0]
    x += margin + abs(pose.shift_mm[0])
    y += margin + abs(pose.shift_mm[1])
    if couch is not None:
        y = max(y, couch.top_y_mm + couch.thickness_mm + 5.0)
    wide, deep = (math.ceil(2 * v / _ROUND_MM) * _ROUND_MM for v in (x, y))
    return wide, deep, abdomen.length_mm
