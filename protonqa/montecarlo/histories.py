"""One history: a proton from a spot, brought to the voxels, and walked to the end with all that it sets free."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protonqa.montecarlo.compiling import law
from protonqa.montecarlo.events import ENERGY, KIND, LEFT, PRIMARY
from protonqa.montecarlo.leg_tables import TOP_MEV
from protonqa.montecarlo.philox import normal_of, uniforms
from protonqa.montecarlo.tallies import BOOK_ESCAPED, BOOK_IN, BOOK_MISSED, BOOK_SCALE, add_to, fixed
from protonqa.montecarlo.walk import walk

#: How far upstream of its reference point a proton starts before it is brought to the grid (mm).
START_BACK_MM = 5000.0
_ONE = np.uint64(1)


class Spots(NamedTuple):
    """Spots of a source: columns as in ``source.Source``, and their cumulative weights."""

    spots: NDArray[np.float64]
    cumulative: NDArray[np.float64]


@law
def spot_of(cumulative, history):
    """Spot of a history: a golden-ratio sequence through the weights, so any run of histories covers the field."""
    place = (history + 0.5) * 0.6180339887498949
    place -= math.floor(place)
    low, high = 0, cumulative.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > place:
            high = middle
        else:
            low = middle + 1
    return low


@law
def entry_of(p, u, length, near, far):
    """Narrow the stretch [near, far] of a line to where one of its coordinates lies in [0, length]."""
    if abs(u) < 1e-12:
        if p < 0.0 or p > length:
            return 1.0, -1.0
        return near, far
    t0 = -p / u
    t1 = (length - p) / u
    return max(near, min(t0, t1)), min(far, max(t0, t1))


@law
def into_box(x, y, z, ux, uy, uz, lx, ly, lz):
    """Distance to the entry of the box [0, lx] x [0, ly] x [0, lz], 0 when inside, -1 when the line misses it."""
    near, far = entry_of(x, ux, lx, -1e30, 1e30)
    near, far = entry_of(y, uy, ly, near, far)
    near, far = entry_of(z, uz, lz, near, far)
    if far <= near or far <= 0.0:
        return -1.0
    return max(near, 0.0)


@law
def start_of(spots, s, history, key0, key1, drawn, quantiles, stack):
    """Sample a proton of spot `s` into stack[0], upstream of its spot; uses draws 0 and 1 of the history."""
    u0, u1, u2, u3 = uniforms(history, np.uint64(0), key0, key1, drawn)
    u4, _, _, _ = uniforms(history, _ONE, key0, key1, drawn)
    a, b, c, d = normal_of(u0, quantiles), normal_of(u1, quantiles), normal_of(u2, quantiles), normal_of(u3, quantiles)
    e = normal_of(u4, quantiles)
    norm = 0.0
    for i in range(3):
        stack[0, i] = spots[s, i] + a * spots[s, 12] * spots[s, 6 + i] + b * spots[s, 13] * spots[s, 9 + i]
        tilt = c * spots[s, 14] * spots[s, 6 + i] + d * spots[s, 15] * spots[s, 9 + i]
        stack[0, 3 + i] = spots[s, 3 + i] + tilt
        norm += stack[0, 3 + i] ** 2
    norm = 1.0 / math.sqrt(norm)
    for i in range(3):
        stack[0, 3 + i] *= norm
        stack[0, i] -= START_BACK_MM * stack[0, 3 + i]
    stack[0, ENERGY] = min(spots[s, 16] + e * spots[s, 17], TOP_MEV)
    stack[0, KIND] = PRIMARY


@law
def one_history(history_index, key0, key1, spots, scene, tables, tally, stack, drawn, visits):
    """Transport one history and everything it sets free."""
    history = np.uint64(history_index)
    start_of(spots.spots, spot_of(spots.cumulative, history_index), history, key0, key1, drawn, tables.quantiles, stack)
    if stack[0, ENERGY] <= 0.0:
        return
    add_to(tally.book, BOOK_IN, fixed(stack[0, ENERGY], BOOK_SCALE))
    entry = into_box(
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3], stack[0, 4], stack[0, 5],
        scene.nx * scene.sx, scene.ny * scene.sy, scene.nz * scene.sz,
    )  # fmt: skip
    if entry < 0.0:
        add_to(tally.book, BOOK_MISSED, 1)
        add_to(tally.book, BOOK_ESCAPED, fixed(stack[0, ENERGY], BOOK_SCALE))
        return
    for i in range(3):
        stack[0, i] += entry * stack[0, 3 + i]
    draw = np.uint64(2)
    n_stack = 1
    while n_stack > 0:
        n_stack -= 1
        draw, n_stack, left = walk(stack, n_stack, scene, tables, tally, history, draw, key0, key1, drawn, visits)
        if left:
            add_to(tally.book, BOOK_ESCAPED, fixed(stack[LEFT, ENERGY], BOOK_SCALE))
