"""Digital twins: random patients after the stylised abdomen, drawn first and computed second.

``draw_twin`` makes parameters, ``perturb_twin`` the same patient on another day, ``voxelise_twin`` the voxels. Only
the first two draw; the third is a function of its arguments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from protonqa.errors import GeometryError
from protonqa.phantom.abdomen import AIR_HU, abdomen_shapes
from protonqa.phantom.anatomy import Abdomen, Loop, Organ, Triple
from protonqa.phantom.schema import Box, Fill
from protonqa.phantom.twin_parameters import Couch, CtNoise, DayChange, Pose, TwinParameters, Wave
from protonqa.phantom.twin_population import cut_normal, draw_gas_fraction, draw_twin
from protonqa.phantom.voxelise import Block, Canvas, Locate, Points, VoxelPhantom, axis_blocks, phantom_grid
from protonqa.values import Grid

__all__ = ["DayChange", "TwinParameters", "draw_twin", "perturb_twin", "voxelise_twin"]

# How much stronger than soft tissue the texture of a tissue is.
_TEXTURE_SHARE = {
    "air": 0.0,
    "couch_shell": 0.0,
    "couch_core": 0.0,
    "bowel_gas": 0.0,
    "stomach_gas": 0.0,
    "bile": 0.3,
    "lung": 3.0,
    "bowel_content": 2.0,
    "stomach_content": 2.0,
    "rib_marrow": 4.0,
    "vertebra_spongiosa": 4.0,
    "pelvic_spongiosa": 4.0,
    "rib_cortical": 6.0,
    "vertebra_cortical": 6.0,
    "pelvic_cortical": 6.0,
}
_HU_LOW, _HU_HIGH = -1000.0, 2995.0  # what the HU calibration covers


def voxelise_twin(
    params: TwinParameters, spacing_mm: float | Sequence[float], *, ct_noise: bool = False
) -> VoxelPhantom:
    """The voxels of a twin, by voxel-centre inclusion.

    Parameters
    ----------
    params : TwinParameters
    spacing_mm : float or (x, y, z)
        The grid is ``params.size_mm``, made up to whole voxels. It depends on size and spacing alone, so every day of
        a twin lies on the same grid; axes and origin are those of all phantoms (`voxelise.phantom_grid`).
    ct_noise : bool
        Add the scanner's noise: for a planning CT, not for the anatomy that the beam meets.

    Raises
    ------
    GeometryError
        Spacing not positive, or too many voxels.
    """
    grid = _twin_grid(params, spacing_mm)
    canvas = Canvas(grid, Fill(hu=AIR_HU, tissue="air"))
    if params.couch is not None:
        canvas.paint(_couch_shapes(params.couch, params.size_mm), axis_blocks(grid))
    body = _body_coordinates(grid, params)
    canvas.paint(abdomen_shapes(params.abdomen), _body_blocks(grid, params, body))
    # Shapes that others hide or that lie beyond the cut are no fault in a random body.
    canvas.findings.clear()
    _add_texture(canvas, params, body)
    if ct_noise:
        rng = np.random.default_rng([0xC7, params.ct_noise.seed])
        canvas.hu += np.float32(params.ct_noise.amplitude_hu) * rng.standard_normal(grid.shape, dtype=np.float32)
    np.clip(canvas.hu, _HU_LOW, _HU_HIGH, out=canvas.hu)
    return canvas.phantom(f"twin {params.seed}" + "".join(f" day {day}" for day in params.days))


def perturb_twin(params: TwinParameters, seed: int, *, day: DayChange | None = None) -> TwinParameters:
    """The same patient on another day: set-up, fat, breathing, organs, bowel, filling, gas and CT noise differ.

    Skeleton, tissues, texture, the body's irregularity and the couch stay; the grid stays.

    Parameters
    ----------
    params : TwinParameters
    seed : int
        Of the day; same twin and seed, same day.
    day : DayChange, optional
        How large the changes are.
    """
    change = day or DayChange()
    rng = np.random.default_rng([0xDA7, params.seed, *params.days, seed])
    pose = Pose(
        shift_mm=_moved(rng, params.pose.shift_mm, change.setup_mm),
        rotation_deg=_moved(rng, params.pose.rotation_deg, change.rotation_deg),
    )
    noise = CtNoise(amplitude_hu=params.ct_noise.amplitude_hu, seed=int(rng.integers(2**31)))
    abdomen = _other_day(rng, params.abdomen, change)
    update = {"days": (*params.days, seed), "pose": pose, "ct_noise": noise, "abdomen": abdomen}
    return params.model_copy(update=update)


def _other_day(rng: np.random.Generator, a: Abdomen, change: DayChange) -> Abdomen:
    fat = cut_normal(rng, change.fat_mm)
    breath = cut_normal(rng, change.breathing_mm)

    def carried(organ: Organ, share: float) -> Organ:
        x, y, z = _moved(rng, organ.center_mm, change.organ_mm)
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
        "loops": tuple(_other_loop(rng, loop, change) for loop in a.loops),
        "kidneys": tuple(carried(organ, 0.6) for organ in a.kidneys),
        "spleen": carried(a.spleen, 0.9),
        "stomach": refilled(a.stomach, 0.8, a.stomach.gas_fraction),
        "liver": liver,
        "lesions": lesions,
        "gallbladder": carried(a.gallbladder, 0.9),
    }
    return a.model_copy(update=update)


def _other_loop(rng: np.random.Generator, loop: Loop, change: DayChange) -> Loop:
    size = math.exp(cut_normal(rng, change.filling))
    redrawn, fraction = rng.uniform() < change.gas_redrawn, draw_gas_fraction(rng)
    update = {
        "center_mm": _moved(rng, loop.center_mm, change.bowel_mm),
        "tube_mm": tuple(max(t * size, loop.wall_mm + 1.0) for t in loop.tube_mm),
        "gas_fraction": fraction if redrawn else loop.gas_fraction,
    }
    return loop.model_copy(update=update)


def _moved(rng: np.random.Generator, position: Triple, sd: float) -> Triple:
    x, y, z = (value + cut_normal(rng, sd) for value in position)
    return x, y, z


def _twin_grid(params: TwinParameters, spacing_mm: float | Sequence[float]) -> Grid:
    spacing = (float(spacing_mm),) * 3 if isinstance(spacing_mm, int | float) else tuple(float(s) for s in spacing_mm)
    if len(spacing) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing):
        raise GeometryError("voxel size is not positive", got=f"{spacing} mm", expected="one or three sizes above 0 mm")
    whole = [math.ceil(size / s - 1e-9) * s for size, s in zip(params.size_mm, spacing, strict=True)]
    return phantom_grid(whole, spacing)


def _couch_shapes(couch: Couch, size_mm: Triple) -> list[Box]:
    center = (0.0, couch.top_y_mm + couch.thickness_mm / 2, size_mm[2] / 2)
    long = size_mm[2] + 100.0
    inner = couch.thickness_mm - 2 * couch.shell_mm
    shell = Box(
        hu=couch.shell_hu, tissue="couch_shell", center_mm=center, size_mm=(couch.width_mm, couch.thickness_mm, long)
    )
    core_size = (couch.width_mm - 2 * couch.shell_mm, inner, long)
    core = Box(hu=couch.core_hu, tissue="couch_core", center_mm=center, size_mm=core_size)
    return [shell, core]


def _pivot(params: TwinParameters) -> NDArray[np.float64]:
    return np.array([0.0, params.abdomen.cavity_center_y_mm, params.size_mm[2] / 2])


def _rotation(pose: Pose) -> NDArray[np.float64]:
    """Body -> room: about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(pose.rotation_deg)):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def _body_coordinates(grid: Grid, params: TwinParameters) -> NDArray[np.float32]:
    """Where each voxel centre lies in the undeformed, unrotated body; (3, nz, ny, nx) as x, y, z in mm."""
    pivot, matrix = _pivot(params), _rotation(params.pose).T
    offset = -np.array(params.pose.shift_mm) - pivot
    axes = [
        (grid.origin_mm[i] + grid.spacing_mm[i] * np.arange(n) + offset[i]).astype(np.float32)
        for i, n in enumerate(reversed(grid.shape))
    ]
    x, y, z = axes[0][None, None, :], axes[1][None, :, None], axes[2][:, None, None]
    rows = [[float(v) for v in row] for row in matrix]
    body = np.empty((3, *grid.shape), dtype=np.float32)
    for out, (a, b, c), p in zip(body, rows, pivot, strict=True):
        np.add(a * x, (b * y + c * z) + float(p), out=out)
    pushes = [_wave_value(body, wave) for wave in params.waves]
    for value, wave in zip(pushes, params.waves, strict=True):
        for out, amplitude in zip(body, wave.amplitude_mm, strict=True):
            out += np.float32(amplitude) * value
    return body


def _wave_value(body: NDArray[np.float32], wave: Wave) -> NDArray[np.float32]:
    kx, ky, kz = wave.vector_per_mm
    value = kx * body[0]
    value += ky * body[1]
    value += kz * body[2]
    value += np.float32(wave.phase)
    return np.asarray(np.sin(value, out=value))


def _body_blocks(grid: Grid, params: TwinParameters, body: NDArray[np.float32]) -> Locate:
    """Blocks for shapes given in the body's frame: the room box around the turned box of the shape."""
    pivot, matrix = _pivot(params), _rotation(params.pose)
    shift = np.array(params.pose.shift_mm)
    reach = sum(np.abs(wave.amplitude_mm) for wave in params.waves) if params.waves else np.zeros(3)
    shape_xyz = np.array(grid.shape[::-1])

    spacing, origin = np.array(grid.spacing_mm), np.array(grid.origin_mm)

    def locate(low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[Block, Points] | None:
        middle = ((low + high) / 2 - pivot) @ matrix.T + pivot + shift
        half = ((high - low) / 2 + reach) @ np.abs(matrix.T)
        first = np.clip(np.floor((middle - half - origin) / spacing).astype(int), 0, shape_xyz)
        last = np.clip(np.ceil((middle + half - origin) / spacing).astype(int) + 1, 0, shape_xyz)
        if (last <= first).any():
            return None
        block = (slice(first[2], last[2]), slice(first[1], last[1]), slice(first[0], last[0]))
        return block, (body[0][block], body[1][block], body[2][block])

    return locate


def _add_texture(canvas: Canvas, params: TwinParameters, body: NDArray[np.float32]) -> None:
    """Smooth noise that belongs to the tissue: drawn on a lattice of the body, so it moves with the patient."""
    texture = params.texture
    if texture.amplitude_hu <= 0:
        return
    share = np.array([_TEXTURE_SHARE.get(tissue, 1.0) for tissue in canvas.tissues], dtype=np.float32)
    strength = share[canvas.tissue_index]
    inside = strength > 0
    step = texture.correlation_mm / 2
    # The lattice depends on the body alone: neither the spacing nor the day may change the texture.
    half = np.array(params.size_mm) / 2 + 20.0
    middle = np.array([0.0, 0.0, params.size_mm[2] / 2])
    counts = np.ceil(2 * half / step).astype(int) + 1
    rng = np.random.default_rng([0x7E, texture.seed])
    lattice = gaussian_filter(rng.standard_normal(counts, dtype=np.float32), 1.0, mode="wrap")
    lattice /= lattice.std()
    origin = middle - half
    index = [(body[i][inside] - np.float32(origin[i])) / np.float32(step) for i in range(3)]
    field = map_coordinates(lattice, index, order=1, mode="nearest")
    canvas.hu[inside] += np.float32(texture.amplitude_hu) * strength[inside] * field
