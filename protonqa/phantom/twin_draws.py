"""Random draws that all anatomies share: numbers, organs, fillings, CT numbers, irregularity, couch, grid.

Lengths are mm, CT numbers HU. The order of draws is part of a twin: another order is another patient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from protonqa.phantom.anatomy import Loop, Organ, Pair, Triple
from protonqa.phantom.twin_parameters import Couch, Pose, Wave

Rng = np.random.Generator
AnyOrgan = TypeVar("AnyOrgan", bound=Organ)

AIR_MARGIN_MM = 20.0
OTHER_DAY_MM = 15.0  # room in the grid for the body to grow or move on another day
OTHER_DAY_DEG = 3.0
ROUND_MM = 20.0  # grid sizes are multiples of this, so 1, 2, 2.5, 4 and 5 mm voxels fill them exactly
_HU_SD = 6.0


def cut_normal(rng: Rng, sd: float) -> float:
    """A normal number cut at 2.5 SD."""
    return float(np.clip(rng.normal(), -2.5, 2.5)) * sd


def uniform(rng: Rng, low_high: Pair) -> float:
    """An even number between two."""
    return float(rng.uniform(*low_high))


def log_uniform(rng: Rng, low_high: Pair) -> float:
    """A number whose logarithm is even between two."""
    return math.exp(float(rng.uniform(math.log(low_high[0]), math.log(low_high[1]))))


def draw_gas_fraction(rng: Rng, chance: float = 0.4) -> float:
    """Share of a lumen's height that is gas; none with probability ``1 - chance``."""
    filled, share = rng.uniform(), rng.uniform(0.05, 0.9)
    return float(share) if filled < chance else 0.0


def moved(rng: Rng, position: Triple, sd: float) -> Triple:
    """A position shifted at random."""
    x, y, z = (value + cut_normal(rng, sd) for value in position)
    return x, y, z


def varied(rng: Rng, organ: AnyOrgan, scale: Triple, jitter_mm: float, spread: float) -> AnyOrgan:
    """An organ carried along with the body's size, then moved and grown at random."""
    size = math.exp(cut_normal(rng, spread))
    center = tuple(c * s + cut_normal(rng, jitter_mm) for c, s in zip(organ.center_mm, scale, strict=True))
    radii = tuple(
        r * s * size * math.exp(cut_normal(rng, spread / 2)) for r, s in zip(organ.radii_mm, scale, strict=True)
    )
    turn = organ.rotation_deg + cut_normal(rng, 12.0)
    return organ.model_copy(update={"center_mm": center, "radii_mm": radii, "rotation_deg": turn})


def varied_loop(rng: Rng, loop: Loop, scale: Triple, jitter_mm: float) -> Loop:
    """A loop carried along with the body's size, then moved and grown at random."""
    center = tuple(c * s + cut_normal(rng, jitter_mm) for c, s in zip(loop.center_mm, scale, strict=True))
    radii = tuple(r * s * math.exp(cut_normal(rng, 0.1)) for r, s in zip(loop.radii_mm, scale[:2], strict=True))
    tube = tuple(max(t * math.exp(cut_normal(rng, 0.2)), loop.wall_mm + 3.0) for t in loop.tube_mm)
    update = {"center_mm": center, "radii_mm": radii, "tube_mm": tube, "rise_mm": loop.rise_mm + cut_normal(rng, 8.0)}
    return loop.model_copy(update=update)


def draw_small_bowel(rng: Rng, low: Triple, high: Triple, scale: Triple, count: Pair) -> list[Loop]:
    """Loops of small bowel with their centres in a box (before `scale`); `count` is the range of their number."""
    loops = []
    for _ in range(int(rng.integers(int(count[0]), int(count[1])))):
        wall, tube = float(rng.uniform(1.5, 4.0)), float(rng.uniform(8, 19))
        start = float(rng.uniform(0, 360))
        x, y, z = (float(rng.uniform(a, b)) * s for a, b, s in zip(low, high, scale, strict=True))
        loop = Loop(
            center_mm=(x, y, z),
            radii_mm=(float(rng.uniform(20, 48)) * scale[0], float(rng.uniform(18, 36)) * scale[1]),
            tube_mm=(tube, tube * float(rng.uniform(0.8, 1.3))),
            start_deg=start,
            stop_deg=start + float(rng.uniform(140, 360)),
            rise_mm=float(rng.uniform(-28, 28)),
            wall_mm=wall,
            gas_fraction=draw_gas_fraction(rng, 0.35),
        )
        loops.append(loop)
    return loops


def other_loop(rng: Rng, loop: Loop, bowel_mm: float, filling: float, gas_redrawn: float) -> Loop:
    """A loop of bowel on another day."""
    size = math.exp(cut_normal(rng, filling))
    redrawn, fraction = rng.uniform() < gas_redrawn, draw_gas_fraction(rng)
    update = {
        "center_mm": moved(rng, loop.center_mm, bowel_mm),
        "tube_mm": tuple(max(t * size, loop.wall_mm + 1.0) for t in loop.tube_mm),
        "gas_fraction": fraction if redrawn else loop.gas_fraction,
    }
    return loop.model_copy(update=update)


def draw_hu(
    rng: Rng, reference: Mapping[str, float], ranges: Mapping[str, Pair], enhanced: Mapping[str, float]
) -> dict[str, float]:
    """CT numbers of one patient: even within `ranges`, else about the reference; half of them with contrast medium.

    `enhanced` is what full contrast adds. One patient in five has drunk contrast: it brightens tissues named
    ``*_content``.
    """
    contrast = float(rng.uniform(0.2, 1.1)) if rng.uniform() < 0.5 else 0.0
    oral = float(rng.uniform(60, 300)) if rng.uniform() < 0.2 else 0.0
    drawn = {}
    for tissue, usual in reference.items():
        low_high = ranges.get(tissue)
        hu = float(rng.uniform(*low_high)) if low_high is not None else usual + cut_normal(rng, _HU_SD)
        hu += contrast * enhanced.get(tissue, 0.0)
        hu += oral if tissue in ("bowel_content", "stomach_content") else 0.0
        drawn[tissue] = float(np.clip(hu, -1000.0, 2900.0))
    return drawn


def draw_waves(rng: Rng, most_mm: float) -> tuple[Wave, ...]:
    """Long waves that bend every surface up to `most_mm`; short enough in slope to keep tissue from folding."""
    total = float(rng.uniform(0, most_mm))
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


def draw_couch(rng: Rng, back_mm: float, reach_mm: float) -> Couch | None:
    """A table top below a back that lies at y = `back_mm` and may reach further; absent for two patients in five."""
    present = rng.uniform() < 0.6
    couch = Couch(
        top_y_mm=back_mm + reach_mm + float(rng.uniform(0, 5)),
        thickness_mm=float(rng.uniform(15, 55)),
        width_mm=float(rng.uniform(360, 480)),
        shell_mm=float(rng.uniform(2, 6)),
        shell_hu=float(rng.uniform(-300, 150)),
        core_hu=float(rng.uniform(-980, -880)),
    )
    return couch if present else None


def grid_size_mm(
    extent_mm: tuple[float, float, float], length_mm: float, pose: Pose, reach_mm: float, couch: Couch | None
) -> Triple:
    """Smallest whole grid with air around the body, today and on another day; the couch may be cut at the sides.

    `extent_mm` is the half-width of the body and its y in front and at the back.
    """
    half_width, front, back = extent_mm
    half_depth = max(-front, back)
    roll = math.radians(abs(pose.rotation_deg[2]) + OTHER_DAY_DEG)
    tilt = [math.sin(math.radians(abs(angle) + OTHER_DAY_DEG)) * length_mm / 2 for angle in pose.rotation_deg[:2]]
    margin = AIR_MARGIN_MM + OTHER_DAY_MM + reach_mm
    x = math.hypot(half_width * math.cos(roll), half_depth * math.sin(roll)) + tilt[1]
    y = math.hypot(half_depth * math.cos(roll), half_width * math.sin(roll)) + tilt[0]
    x += margin + abs(pose.shift_mm[0])
    y += margin + abs(pose.shift_mm[1])
    if couch is not None:
        y = max(y, couch.top_y_mm + couch.thickness_mm + 5.0)
    wide, deep = (math.ceil(2 * v / ROUND_MM) * ROUND_MM for v in (x, y))
    return wide, deep, length_mm
