"""What a run counts: slots, scales, and the functions that add to the tallies.

All sums are int64 fixed point: integers add up to the same bits in any order, so that threads, blocks and workers
cannot change a result.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from protonqa.montecarlo.compiling import law
from protonqa.physics.emission import CHANNELS

# Each scale leaves room for 2e9 histories.
ENERGY_SCALE = 2.0**28
WATER_DOSE_SCALE = 2.0**26
NUCLIDE_SCALE = 2.0**42
BOOK_SCALE = 2.0**22
TRACK_SCALE = 2.0**28

FINE_BIN_MM = 0.25
COARSE_BIN_MM = 1.0
#: Bins of 0.25 mm in one of 1 mm.
FINE_PER_COARSE = 4
#: Depths closer than this share of a bin are equal.
EDGE = 1e-6
N_CHANNEL = len(CHANNELS)
#: Slots of the energy book.
(BOOK_IN, BOOK_DEPOSIT, BOOK_ESCAPED, BOOK_NEUTRAL, BOOK_BINDING, BOOK_MISSED, BOOK_EVENTS, BOOK_STUCK, BOOK_VISITS) = (
    range(9)
)
N_BOOK = 12
#: First slots of a voxel; the channels that can be open follow, then, where asked for, the beam quality.
MEDIUM_SLOT, WATER_SLOT, CHANNEL_SLOT = range(3)
#: Channels are counted in packs: four at once are hardly slower than one.
PACK = 4
#: Beam quality of protons: energy lost, the same times LET, path (cm), the same times energy.
QUALITY_LOSS, QUALITY_LET, QUALITY_TRACK, QUALITY_ENERGY = range(4)
N_QUALITY = 4
#: Voxels of a tile: its tallies lie together.
TILE_SHIFT = 6
TILE_SIZE = 1 << TILE_SHIFT


class Tally(NamedTuple):
    """Arrays of one worker.

    voxels : (n_tile * 64 * n_slot,) int64
        Tallies of the tiles that a particle has entered, in the order of their first entry: memory behind the last of
        them has never been touched.
    rank : (n_tile,) int32
        Where the tallies of a tile lie, -1 before the first entry.
    used : (1,) int64
        Tiles entered so far.
    fine : (2 * n_fine * 2,) int64
        Primary and secondary, 0.25 mm bins, energy and dose to water times area.
    coarse : (2 * n_coarse * n_pack,) int64
        Primary and secondary, 1 mm bins, nuclei per open channel.
    book : (N_BOOK,) int64
    """

    voxels: NDArray[np.int64]
    rank: NDArray[np.int32]
    used: NDArray[np.int64]
    fine: NDArray[np.int64]
    coarse: NDArray[np.int64]
    book: NDArray[np.int64]


# For plain Python: the threads of a simulated GPU share arrays.
_ADDING = threading.Lock()


def add_to(array, index, value):
    """array[index] += value, atomic where many threads share the array; `index` is not negative."""
    with _ADDING:
        array[index] += value


@overload(add_to, target="cpu")
def _add_to_cpu(array, index, value):
    def add(array, index, value):
        array[np.uint64(index)] += value

    return add


def prefetch(array, index):
    """Ask for the memory of array[index], where a back end can: it is about to be added to."""


@intrinsic
def _prefetch_line(typing_context, array, index):
    def generate(context, builder, signature, arguments):
        place = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.bitcast(builder.gep(place.data, [arguments[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()] + 3 * [ir.IntType(32)])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # For writing, into every cache level, data.
        builder.call(call, [pointer, *(ir.Constant(ir.IntType(32), value) for value in (1, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, index), generate


@overload(prefetch, target="cpu")
def _prefetch_cpu(array, index):
    def ask(array, index):
        _prefetch_line(array, np.int64(index))

    return ask


@law
def at(index):
    """An index that is known not to be negative: spares the test for counting from the end."""
    return np.uint64(index)


@law
def fixed(value, scale):
    """Nearest fixed-point integer of a value that is not negative."""
    return np.int64(value * scale + 0.5)


@law
def voxel_base(tally, voxel, n_slot):
    """First slot of a voxel; claims room for its tile at the first entry."""
    tile = voxel >> TILE_SHIFT
    rank = int(tally.rank[at(tile)])
    if rank < 0:
        rank = tally.used[0]
        tally.used[0] = rank + 1
        tally.rank[at(tile)] = rank
    return ((rank << TILE_SHIFT) + (voxel & (TILE_SIZE - 1))) * n_slot


@law
def deposit(tally, scene, voxel, generation, depth_mm, energy, water_ratio, density):
    """Leave `energy` (MeV) at one point."""
    add_to(tally.book, BOOK_DEPOSIT, fixed(energy, BOOK_SCALE))
    score_depth(
        tally.fine, generation * scene.n_coarse, scene.n_coarse, depth_mm, depth_mm, energy,
        energy * water_ratio / density,
    )  # fmt: skip
    if voxel >= 0:
        base = voxel_base(tally, voxel, scene.n_slot)
        add_to(tally.voxels, base + MEDIUM_SLOT, fixed(energy, ENERGY_SCALE))
        add_to(tally.voxels, base + WATER_SLOT, fixed(energy * water_ratio, ENERGY_SCALE))


@law
def score_depth(fine, first, n_coarse, low_mm, high_mm, energy, water_dose):
    """Spread energy and dose to water evenly over the 0.25 mm bins between two depths.

    `first` is the first 1 mm bin of the generation, `n_coarse` how many it has.
    """
    a, b = low_mm * (1.0 / FINE_BIN_MM), high_mm * (1.0 / FINE_BIN_MM)
    # A visit that ends on the edge of a bin does not enter the next one.
    k0, k1 = int(a + EDGE), int(b - EDGE)
    if a < -EDGE or k1 >= FINE_PER_COARSE * n_coarse:
        return
    base = 2 * (FINE_PER_COARSE * first + k0)
    e, w = energy * ENERGY_SCALE, water_dose * WATER_DOSE_SCALE
    if k1 <= k0:
        add_to(fine, base, np.int64(e + 0.5))
        add_to(fine, base + 1, np.int64(w + 0.5))
        return
    share = 1.0 / (b - a)
    e *= share
    w *= share
    part = k0 + 1.0 - a
    add_to(fine, base, np.int64(e * part + 0.5))
    add_to(fine, base + 1, np.int64(w * part + 0.5))
    whole_e, whole_w = np.int64(e + 0.5), np.int64(w + 0.5)
    if k1 - k0 == FINE_PER_COARSE - 1:
        # A voxel of 1 mm along the beam, written out: the loop costs more than its two turns.
        add_to(fine, base + 2, whole_e)
        add_to(fine, base + 3, whole_w)
        add_to(fine, base + 4, whole_e)
        add_to(fine, base + 5, whole_w)
        base += 4
    else:
        for _ in range(k1 - k0 - 1):
            base += 2
            add_to(fine, base, whole_e)
            add_to(fine, base + 1, whole_w)
    part = b - k1
    add_to(fine, base + 2, np.int64(e * part + 0.5))
    add_to(fine, base + 3, np.int64(w * part + 0.5))


@law
def add_four(array, index, a, b, c, d):
    """Add four numbers to neighbours in an array."""
    add_to(array, index, a)
    add_to(array, index + 1, b)
    add_to(array, index + 2, c)
    add_to(array, index + 3, d)


@law
def score_nuclides(tally, scene, emission, first, base, low_mm, high_mm, path, row):
    """Nuclei made on `path` (g/cm2) by each open channel: in the 1 mm bins between two depths and in the voxel.

    `row` is where the rates of the energy begin in `emission`, `base` the voxel's first slot (negative: none).
    """
    k0, k1 = int(low_mm + EDGE), int(high_mm - EDGE)
    in_depth = low_mm >= -EDGE and k1 < scene.n_coarse
    share = path * NUCLIDE_SCALE
    if k1 > k0:
        share /= high_mm - low_mm
    for i in range(0, scene.n_pack, PACK):
        e = row + i
        a, b = emission[at(e)] * share, emission[at(e + 1)] * share
        c, d = emission[at(e + 2)] * share, emission[at(e + 3)] * share
        if k1 <= k0:
            ia, ib, ic, id_ = np.int64(a + 0.5), np.int64(b + 0.5), np.int64(c + 0.5), np.int64(d + 0.5)
            if in_depth:
                add_four(tally.coarse, (first + k0) * scene.n_pack + i, ia, ib, ic, id_)
        else:
            ia, ib, ic, id_ = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
            for k in range(k0, k1 + 1):
                part = (high_mm if k == k1 else k + 1.0) - (low_mm if k == k0 else float(k))
                ja, jb = np.int64(a * part + 0.5), np.int64(b * part + 0.5)
                jc, jd = np.int64(c * part + 0.5), np.int64(d * part + 0.5)
                ia += ja
                ib += jb
                ic += jc
                id_ += jd
                if in_depth:
                    add_four(tally.coarse, (first + k) * scene.n_pack + i, ja, jb, jc, jd)
        if base >= 0:
            add_four(tally.voxels, base + CHANNEL_SLOT + i, ia, ib, ic, id_)


@law
def score_quality(voxels, first, loss, track_cm, energy, stopping):
    """Add a proton's visit to the sums of LET and mean energy; `stopping` is water's (MeV cm2/g)."""
    add_to(voxels, first + QUALITY_LOSS, np.int64(loss * TRACK_SCALE + 0.5))
    # Unrestricted LET in water of density 1: MeV/cm times 0.1 is keV/um; scaled down to leave room for many histories.
    add_to(voxels, first + QUALITY_LET, np.int64(loss * stopping * (0.1 * TRACK_SCALE / 64.0) + 0.5))
    add_to(voxels, first + QUALITY_TRACK, np.int64(track_cm * TRACK_SCALE + 0.5))
    add_to(voxels, first + QUALITY_ENERGY, np.int64(track_cm * energy * (TRACK_SCALE / 64.0) + 0.5))
