"""Digital twins: random patients after the stylised anatomies, drawn first and computed second.

``draw_twin`` makes parameters, ``perturb_twin`` the same patient on another day, ``voxelise_twin`` the voxels. Only
the first two draw; the third is a function of its arguments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import GeometryError
from protonqa.phantom.anatomy import Triple
from protonqa.phantom.painter import AIR_HU
from protonqa.phantom.shapes import Box, Fill
from protonqa.phantom.texture import add_texture
from protonqa.phantom.twin_draws import cut_normal, draw_couch, draw_waves, grid_size_mm, moved
from protonqa.phantom.twin_parameters import Anatomy, Couch, CtNoise, DayChange, Pose, Texture, TwinParameters, Wave
from protonqa.phantom.twin_sites import SITES, site_named
from protonqa.phantom.voxelise import Block, Canvas, Locate, Points, VoxelPhantom, axis_blocks, phantom_grid
from protonqa.values import Grid

__all__ = ["SITES", "DayChange", "TwinParameters", "draw_twin", "perturb_twin", "room_position_mm", "voxelise_twin"]

_HU_LOW, _HU_HIGH = -1000.0, 2995.0  # what the HU calibration covers


def draw_twin(seed: int, *, site: str | None = None, base: Anatomy | None = None) -> TwinParameters:
    """Draw a random patient.

    Parameters
    ----------
    seed : int
        Same site and seed, same twin.
    site : str, optional
        One of `SITES`; that of `base`, else ``abdomen``, when absent.
    base : Abdomen, Head or Pelvis, optional
        The anatomy that is varied; the reference adult when absent.

    Raises
    ------
    InputError
        Unknown site, or a `base` of another one.
    """
    known = site_named(site, base)
    rng = np.random.default_rng([0x7717, seed, *known.stream])
    anatomy = known.draw(rng, base if base is not None else known.reference())
    waves = draw_waves(rng, known.wave_mm)
    shift, (pitch, yaw, roll) = known.shift_sd_mm, known.rotation_sd_deg
    pose = Pose(
        shift_mm=(cut_normal(rng, shift), cut_normal(rng, shift), cut_normal(rng, shift)),
        rotation_deg=(cut_normal(rng, pitch), cut_normal(rng, yaw), cut_normal(rng, roll)),
    )
    reach = sum(math.hypot(*wave.amplitude_mm) for wave in waves)
    extent = known.extent_mm(anatomy)
    couch = draw_couch(rng, extent[2], reach)
    return TwinParameters(
        seed=seed,
        size_mm=grid_size_mm(extent, anatomy.length_mm, pose, reach, couch),
        anatomy=anatomy,
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
    canvas.paint(site_named(params.site).shapes(params.anatomy), _body_blocks(grid, params, body))
    # Shapes that others hide or that lie beyond the cut are no fault in a random body.
    canvas.findings.clear()
    add_texture(canvas, params.texture, params.size_mm, body)
    if ct_noise:
        rng = np.random.default_rng([0xC7, params.ct_noise.seed])
        canvas.hu += np.float32(params.ct_noise.amplitude_hu) * rng.standard_normal(grid.shape, dtype=np.float32)
    np.clip(canvas.hu, _HU_LOW, _HU_HIGH, out=canvas.hu)
    name = f"twin {params.seed}" if params.site == "abdomen" else f"{params.site} twin {params.seed}"
    return canvas.phantom(name + "".join(f" day {day}" for day in params.days))


def perturb_twin(params: TwinParameters, seed: int, *, day: DayChange | None = None) -> TwinParameters:
    """The same patient on another day: set-up, fat, organs, fillings, gas or mucus and CT noise differ.

    Skeleton, tissues, texture, the body's irregularity and the couch stay; the grid stays.

    Parameters
    ----------
    params : TwinParameters
    seed : int
        Of the day; same twin and seed, same day.
    day : DayChange, optional
        How large the changes are; those usual for the site when absent.
    """
    site = site_named(params.site)
    change = day or site.day
    rng = np.random.default_rng([0xDA7, params.seed, *params.days, seed])
    pose = Pose(
        shift_mm=moved(rng, params.pose.shift_mm, change.setup_mm),
        rotation_deg=moved(rng, params.pose.rotation_deg, change.rotation_deg),
    )
    noise = CtNoise(amplitude_hu=params.ct_noise.amplitude_hu, seed=int(rng.integers(2**31)))
    anatomy = site.other_day(rng, params.anatomy, change)
    update = {"days": (*params.days, seed), "pose": pose, "ct_noise": noise, "anatomy": anatomy}
    return params.model_copy(update=update)


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
    return np.array([0.0, params.anatomy.middle_y_mm, params.size_mm[2] / 2])


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


def room_position_mm(params: TwinParameters, body_mm: ArrayLike) -> NDArray[np.float64]:
    """Where points of the undeformed, unrotated body lie in the room (LPS, the grid's frame); (..., 3) -> (..., 3)."""
    target = np.asarray(body_mm, dtype=np.float64)
    still = target.copy()
    for _ in range(8):  # waves are long and low: each round leaves a tenth of the error or less
        still = target - sum(
            np.sin(still @ np.array(wave.vector_per_mm) + wave.phase)[..., None] * np.array(wave.amplitude_mm)
            for wave in params.waves
        )
    pivot = _pivot(params)
    return np.asarray((still - pivot) @ _rotation(params.pose).T + pivot + np.array(params.pose.shift_mm))


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
