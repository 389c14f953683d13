"""CPU back end: fixed chunks of histories on a thread pool; kernels run without the interpreter's lock."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import Cancelled, InputError
from protonqa.montecarlo.medium import Medium
from protonqa.montecarlo.source import Source
from protonqa.montecarlo.step_tables import N_CHANNEL, StepTables
from protonqa.montecarlo.transport import COARSE_BIN_MM, FINE_BIN_MM, N_BOOK, N_VOXEL_SLOT, transport

CHUNK = 2048
#: How far upstream of its reference point a proton starts before it is brought to the grid (mm).
START_BACK_MM = 5000.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tallies:
    """Raw fixed-point sums; see ``transport`` for their slots."""

    voxels: NDArray[np.int64]
    depth_fine: NDArray[np.int64]
    depth_coarse: NDArray[np.int64]
    book: NDArray[np.int64]

    @classmethod
    def empty(cls, n_voxel: int, depth_bins: int) -> Tallies:
        """All zero; `depth_bins` counts 1 mm bins."""
        fine = depth_bins * round(COARSE_BIN_MM / FINE_BIN_MM)
        return cls(
            voxels=np.zeros((n_voxel, N_VOXEL_SLOT), dtype=np.int64),
            depth_fine=np.zeros((2, fine, 2), dtype=np.int64),
            depth_coarse=np.zeros((2, depth_bins, N_CHANNEL), dtype=np.int64),
            book=np.zeros(N_BOOK, dtype=np.int64),
        )

    def add(self, other: Tallies) -> None:
        """Add another thread's sums; integers, so the order does not matter."""
        for name in ("voxels", "depth_fine", "depth_coarse", "book"):
            mine = getattr(self, name)
            mine += getattr(other, name)


def bytes_needed(n_voxel: int, threads: int) -> int:
    """Memory of the tallies of one run."""
    return n_voxel * N_VOXEL_SLOT * 8 * threads


def default_threads() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1


def run(
    *,
    medium: Medium,
    source: Source,
    tables: StepTables,
    box_start: NDArray[np.int64],
    box_shape: NDArray[np.int64],
    depth_bins: int,
    protons: int,
    seed: int,
    threads: int,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Tallies:
    """Transport `protons` histories and return the summed tallies.

    Raises
    ------
    Cancelled
        `cancelled()` turned true between two chunks; nothing is returned.
    InputError
        A tally box that does not fit into memory; the message has need and limit.
    """
    n_voxel = int(np.prod(box_shape))
    _check_memory(n_voxel, threads)
    key = np.random.SeedSequence(seed).generate_state(2, dtype=np.uint32).astype(np.uint64)
    cumulative = np.cumsum(source.weights) / source.weights.sum()
    fixed_arguments = (
        key[0], key[1], source.spots, cumulative, source.axis, source.reference, START_BACK_MM,
        np.asarray(medium.grid.spacing_mm), medium.material, medium.density, box_start, box_shape,
        tables.step, tables.nuclei, tables.transfer, tables.mass, tables.inverse_root_step,
    )  # fmt: skip
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for first in range(0, protons, CHUNK):
        todo.put(first)
    stop, lock, done = threading.Event(), threading.Lock(), [0]

    def work() -> Tallies:
        mine = Tallies.empty(n_voxel, depth_bins)
        while not stop.is_set():
            try:
                first = todo.get_nowait()
            except queue.Empty:
                break
            count = min(CHUNK, protons - first)
            transport(first, count, *fixed_arguments, mine.voxels, mine.depth_fine, mine.depth_coarse, mine.book)
            with lock:
                done[0] += count
                if cancelled is not None and cancelled():
                    stop.set()
                elif progress is not None:
                    progress(done[0], protons)
        return mine

    total = _collect(work, min(threads, -(-protons // CHUNK)), stop)
    if stop.is_set():
        raise Cancelled("simulation cancelled", got=f"{done[0]} of {protons} protons", remedy="nothing was written")
    return total


def _collect(work: Callable[[], Tallies], threads: int, stop: threading.Event) -> Tallies:
    if threads == 1:
        return work()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        futures = [pool.submit(work) for _ in range(threads)]
        try:
            total = futures[0].result()
            for future in futures[1:]:
                total.add(future.result())
        except BaseException:
            stop.set()
            raise
    return total


def _available_bytes() -> int | None:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _check_memory(n_voxel: int, threads: int) -> None:
    need, have = bytes_needed(n_voxel, threads), _available_bytes()
    if have is not None and need > 0.9 * have:
        raise InputError(
            "the tallies of this simulation do not fit into memory",
            got=f"{need / 2**30:.1f} GiB needed",
            expected=f"at most {0.9 * have / 2**30:.1f} GiB free",
            remedy="use larger voxels or fewer threads",
        )
