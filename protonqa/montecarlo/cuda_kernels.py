# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
# ruff: noqa: ARG001  (an overload names every argument of what it stands for)
"""Kernels of the CUDA back end, and the few things its threads do otherwise than those of the CPU.

Every law of the walk is compiled for the GPU from the very functions that the CPU runs. Here stands what differs: sums
are atomic, random numbers are drawn one by one, nothing is asked for ahead. Only ``cuda`` imports this module, so that
nothing else needs numba-cuda. With NUMBA_ENABLE_CUDASIM and NUMBA_DISABLE_JIT set the kernels run as plain Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numba.core import config

from protonqa.montecarlo.compiling import law
from protonqa.montecarlo.events import MAX_STACK, N_STACK_COLUMN
from protonqa.montecarlo.histories import one_history
from protonqa.montecarlo.philox import draw_of, uniforms
from protonqa.montecarlo.scoring import N_NUMBER, N_PLACE, Visits, score_visits
from protonqa.montecarlo.shifted import shifted_history
from protonqa.montecarlo.tallies import N_BOOK, Tally, add_to, prefetch

#: True where numba's simulator stands in for a GPU.
SIMULATED = bool(config.ENABLE_CUDASIM)
#: Threads of a block, and blocks that a multiprocessor must hold at once: that leaves 128 registers a thread.
THREADS, BLOCKS = 128, 4
#: Local memory of a thread: the stack of its secondaries, and what registers spill.
LOCAL_BYTES = (MAX_STACK + 1) * N_STACK_COLUMN * 8 + 1024
_STACK = (MAX_STACK + 1, N_STACK_COLUMN)


def _compiled(function: Any) -> Any:
    """A kernel for the GPU; the simulator knows no options."""
    if SIMULATED:
        return cuda.jit(function)
    return cuda.jit(function, cache=bool(config.CACHE_DIR), lto=False, launch_bounds=(THREADS, BLOCKS))


if not SIMULATED:
    from numba.cuda.extending import overload

    @overload(add_to)
    def _add_to_cuda(array, index, value):
        def add(array, index, value):
            # Packs of channels are filled up with empty ones.
            if value != 0:
                cuda.atomic.add(array, np.uint64(index), value)

        return add

    @overload(uniforms)
    def _uniforms_cuda(history, draw, key0, key1, drawn):
        def take(history, draw, key0, key1, drawn):
            return draw_of(history, draw, key0, key1)

        return take

    @overload(prefetch)
    def _prefetch_cuda(array, index):
        def nothing(array, index):
            pass

        return nothing


@law
def copy_of(tally, block):
    """The tally that a block adds to: voxels are shared by all, sums over depth and the book by every n-th block.

    All protons of a beam meet in the same few bins; atomic sums on one address wait for each other.
    """
    copy = block % tally.book.shape[0]
    return Tally(tally.voxels, tally.rank, tally.used, tally.fine[copy], tally.coarse[copy], tally.book[copy])


@_compiled
def transport(first, count, key0, key1, spots, scene, tables, tally):
    """Transport histories `first` to `first + count`, one a thread."""
    index = cuda.grid(1)
    if index < count:
        stack = cuda.local.array(_STACK, np.float64)
        # Visits are scored one by one: the notebook stays in registers.
        visits = Visits(
            cuda.local.array(1, np.int64), cuda.local.array(N_NUMBER, np.float64), cuda.local.array(N_PLACE, np.int64)
        )
        visits.count[0] = 0
        mine = copy_of(tally, cuda.blockIdx.x)
        one_history(first + index, np.uint64(key0), np.uint64(key1), spots, scene, tables, mine, stack, 0, visits)
        score_visits(visits, scene, tables, mine)


@_compiled
def transport_shifted(first, count, key0, key1, spots, slab, scene, tables, tally):
    """As ``transport``, through a range shifter; its book is the second half."""
    index = cuda.grid(1)
    if index < count:
        stack = cuda.local.array(_STACK, np.float64)
        visits = Visits(
            cuda.local.array(1, np.int64), cuda.local.array(N_NUMBER, np.float64), cuda.local.array(N_PLACE, np.int64)
        )
        slab_visits = Visits(
            cuda.local.array(1, np.int64), cuda.local.array(N_NUMBER, np.float64), cuda.local.array(N_PLACE, np.int64)
        )
        visits.count[0] = 0
        slab_visits.count[0] = 0
        mine = copy_of(tally, cuda.blockIdx.x)
        slab_tally = Tally(mine.voxels, mine.rank, mine.used, mine.fine, mine.coarse, mine.book[N_BOOK:])
        shifted_history(
            first + index, np.uint64(key0), np.uint64(key1), spots, slab, scene, tables, mine, slab_tally, stack, 0,
            visits, slab_visits,
        )  # fmt: skip
        score_visits(visits, scene, tables, mine)
        score_visits(slab_visits, slab.scene, tables, slab_tally)


@_compiled
def find_entered(voxels, length, entered):
    """Mark the tiles, of `length` sums each, in which something was counted; one block a tile."""
    tile = cuda.blockIdx.x
    for i in range(cuda.threadIdx.x, length, cuda.blockDim.x):
        if voxels[tile * length + i] != 0:
            entered[tile] = 1


@_compiled
def take_tiles(voxels, length, tiles, taken):
    """Move the sums of some tiles into `taken`, one after the other, and empty them; one block a tile."""
    block = cuda.blockIdx.x
    tile = tiles[block]
    for i in range(cuda.threadIdx.x, length, cuda.blockDim.x):
        taken[block * length + i] = voxels[tile * length + i]
        voxels[tile * length + i] = 0
