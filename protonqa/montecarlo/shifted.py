"""Histories through a range shifter: its slab by the same laws as the patient, then on into the voxels.

The slab is a scene of its own in axes along the beam and without tallies: a voxel of its material and, behind it, one
of nothing, which takes up legs that end behind the face. What leaves the slab is turned into the axes of the
patient's voxels and walks on there, with what it sets free; the draws of a history go on counting.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protonqa.montecarlo.compiling import law
from protonqa.montecarlo.events import ENERGY, KIND, LEFT, N_STACK_COLUMN, PRIMARY
from protonqa.montecarlo.histories import into_box, spot_of, start_of
from protonqa.montecarlo.medium import N_SCHNEIDER
from protonqa.montecarlo.range_shifter import Slab
from protonqa.montecarlo.scene import OUTSIDE, Scene, words
from protonqa.montecarlo.tallies import BOOK_ESCAPED, BOOK_IN, BOOK_MISSED, BOOK_SCALE, add_to, fixed
from protonqa.montecarlo.walk import walk
from protonqa.physics.materials import material, material_index


class SlabScene(NamedTuple):
    """What the kernels read of a slab: its voxels, and how the grid's axes turn into its own."""

    scene: Scene
    axes: NDArray[np.float64]
    corner: NDArray[np.float64]


def slab_scene(slab: Slab, n_pack: int, n_slot: int) -> SlabScene:
    """A slab as the kernels want it: its voxel and a void of the same size, no tallies."""
    outside = np.full(2, OUTSIDE, dtype=np.int64)
    index = np.full((2, 1, 1), N_SCHNEIDER + material_index(slab.material), dtype=np.uint8)
    density = np.zeros((2, 1, 1), dtype=np.float32)
    density[0] = material(slab.material).density_g_per_cm3
    scene = Scene(
        medium=words(index, density).ravel(),
        jump_x=1,
        jump_y=1,
        jump_z=1,
        offset_x=outside,
        offset_y=outside,
        offset_z=outside,
        nx=1,
        ny=1,
        nz=2,
        sx=float(slab.sides_mm[0]),
        sy=float(slab.sides_mm[1]),
        sz=float(slab.sides_mm[2]),
        # Every point lies before the first depth bin.
        ax=0.0,
        ay=0.0,
        az=0.0,
        depth_start=1.0,
        n_coarse=0,
        n_pack=n_pack,
        n_slot=n_slot,
        first_quality=0,
    )
    return SlabScene(scene=scene, axes=np.ascontiguousarray(slab.axes), corner=np.ascontiguousarray(slab.corner))


@law
def turn_in(stack, slot, slab):
    """Turn the particle in stack[slot] from the axes of the grid into those of the slab."""
    ax, corner = slab.axes, slab.corner
    x, y, z = stack[slot, 0] - corner[0], stack[slot, 1] - corner[1], stack[slot, 2] - corner[2]
    ux, uy, uz = stack[slot, 3], stack[slot, 4], stack[slot, 5]
    for i in range(3):
        stack[slot, i] = ax[i, 0] * x + ax[i, 1] * y + ax[i, 2] * z
        stack[slot, 3 + i] = ax[i, 0] * ux + ax[i, 1] * uy + ax[i, 2] * uz


@law
def turn_out(stack, slot, slab):
    """Turn the particle in stack[slot] from the axes of the slab into those of the grid."""
    ax, corner = slab.axes, slab.corner
    x, y, z = stack[slot, 0], stack[slot, 1], stack[slot, 2]
    ux, uy, uz = stack[slot, 3], stack[slot, 4], stack[slot, 5]
    if z > slab.scene.sz and uz > 0.0:
        # Back through the void: the patient may begin at the face.
        back = (z - slab.scene.sz) / uz
        x, y, z = x - back * ux, y - back * uy, slab.scene.sz
    for i in range(3):
        stack[slot, i] = corner[i] + ax[0, i] * x + ax[1, i] * y + ax[2, i] * z
        stack[slot, 3 + i] = ax[0, i] * ux + ax[1, i] * uy + ax[2, i] * uz


@law
def bring(stack, slot, scene):
    """Move the particle in stack[slot] along its line to the voxels of a scene; False when the line misses them."""
    entry = into_box(
        stack[slot, 0], stack[slot, 1], stack[slot, 2], stack[slot, 3], stack[slot, 4], stack[slot, 5],
        scene.nx * scene.sx, scene.ny * scene.sy, scene.nz * scene.sz,
    )  # fmt: skip
    if entry < 0.0:
        return False
    for i in range(3):
        stack[slot, i] += entry * stack[slot, 3 + i]
    return True


@law
def walk_on(stack, slot, scene, tables, tally, history, draw, key0, key1, drawn, visits):
    """Bring the particle in stack[slot] to the voxels and walk it and all it sets free; returns the next free draw."""
    if not bring(stack, slot, scene):
        if stack[slot, KIND] == PRIMARY:
            add_to(tally.book, BOOK_MISSED, 1)
        add_to(tally.book, BOOK_ESCAPED, fixed(stack[slot, ENERGY], BOOK_SCALE))
        return draw
    n_stack = slot + 1
    while n_stack > slot:
        n_stack -= 1
        draw, n_stack, left = walk(stack, n_stack, scene, tables, tally, history, draw, key0, key1, drawn, visits)
        if left:
            add_to(tally.book, BOOK_ESCAPED, fixed(stack[LEFT, ENERGY], BOOK_SCALE))
    return draw


@law
def shifted_history(
    history_index, key0, key1, spots, slab, scene, tables, tally, slab_tally, stack, drawn, visits, slab_visits
):  # fmt: skip
    """Transport one history through a range shifter and the voxels behind it.

    `slab_tally` has a book of its own; `slab_visits` notes the visits inside the slab.
    """
    history = np.uint64(history_index)
    start_of(spots.spots, spot_of(spots.cumulative, history_index), history, key0, key1, drawn, tables.quantiles, stack)
    if stack[0, ENERGY] <= 0.0:
        return
    add_to(tally.book, BOOK_IN, fixed(stack[0, ENERGY], BOOK_SCALE))
    draw = np.uint64(2)
    turn_in(stack, 0, slab)
    n_stack = 1
    out = not bring(stack, 0, slab.scene)
    if out:
        n_stack = 0
        for i in range(N_STACK_COLUMN):
            stack[LEFT, i] = stack[0, i]
    while n_stack > 0 or out:
        if not out:
            n_stack -= 1
            draw, n_stack, out = walk(
                stack, n_stack, slab.scene, tables, slab_tally, history, draw, key0, key1, drawn, slab_visits
            )
        if out:
            # What left the slab walks on in the free part of the stack.
            out = False
            for i in range(N_STACK_COLUMN):
                stack[n_stack, i] = stack[LEFT, i]
            turn_out(stack, n_stack, slab)
            draw = walk_on(stack, n_stack, scene, tables, tally, history, draw, key0, key1, drawn, visits)
