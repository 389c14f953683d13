"""CUDA back end: one thread a history, the laws of the CPU, integer sums on the GPU.

Sums are int64 and atomic: a result has the same bits for any size of blocks and launches. ``simulation`` uses no GPU
that has not passed ``agreement.self_test`` in this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import DeviceError, InputError, ProtonQAError
from protonqa.montecarlo.plan import TransportPlan
from protonqa.montecarlo.tallies import TILE_SIZE, Tally
from protonqa.montecarlo.tiles import merge

#: Sums over depth and energy books on the GPU; blocks take them in turn.
COPIES = 32
#: Histories of the first launch, and of a launch at least and at most.
FIRST_LAUNCH, LEAST_LAUNCH, MOST_LAUNCH = 1 << 16, 1 << 12, 1 << 23
# A launch should take this long: long enough to fill the GPU, short enough to tell progress and to be stopped.
_SHORT_S, _LONG_S = 0.1, 0.4
#: Room in which sums travel back from the GPU (bytes).
_STAGE_BYTES = 1 << 27
#: Share of the free memory of a GPU that a run may take.
_MEMORY_SHARE = 0.95
_PACKAGES = ("numba", "cuda")


@contextmanager
def driver_errors(doing: str) -> Iterator[None]:
    """Turn what driver, compiler and memory of the GPU raise into one clear line.

    Raises
    ------
    DeviceError
    """
    try:
        yield
    except ProtonQAError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _PACKAGES:
            raise
        text = " ".join(str(error).split())[:160] or type(error).__name__
        if "OUT_OF_MEMORY" in text:
            raise DeviceError(
                f"the GPU ran out of memory while {doing}",
                got=text,
                remedy="use larger voxels, a smaller box or --device cpu",
            ) from error
        raise DeviceError(f"the GPU failed while {doing}", got=text, remedy="use --device cpu") from error


def load_kernels() -> ModuleType:
    """The module of the kernels; they are compiled when they are first launched.

    Raises
    ------
    DeviceError
        numba-cuda is missing or does not load.
    """
    if find_spec("numba_cuda") is None:
        raise DeviceError(
            "the Monte Carlo needs numba-cuda to run on a GPU",
            got="none installed",
            remedy="pip install 'protonqa[cuda]' or use --device cpu",
        )
    with driver_errors("loading its libraries"):
        from protonqa.montecarlo import cuda_kernels
    return cuda_kernels


def on_device(value: Any) -> Any:
    """A named tuple of arrays and numbers with every array copied to the GPU."""
    from numba import cuda

    if isinstance(value, np.ndarray):
        return cuda.to_device(np.ascontiguousarray(value))
    if isinstance(value, tuple):
        return type(value)(*(on_device(part) for part in value))
    return value


class CudaBackend:
    """Histories on the GPU, their sums in its memory until they are collected."""

    name = "cuda"

    def __init__(
        self,
        plan: TransportPlan,
        into: Tally | None = None,
        *,
        threads: int | None = None,
        copies: int = COPIES,
    ) -> None:
        """Copy the plan to the GPU and clear its tallies.

        Parameters
        ----------
        into : Tally, optional
            Sums so far, on the CPU; what is collected is added to them.
        threads : int, optional
            Threads of a block.
        copies : int
            Sums over depth and energy books that blocks take in turn.

        Raises
        ------
        DeviceError
            No GPU, or it fails.
        InputError
            The run does not fit into the memory of the GPU.
        """
        self._kernels = load_kernels()
        self._plan, self._copies = plan, copies
        self._threads = threads or self._kernels.THREADS
        self._launch_size = FIRST_LAUNCH
        self._main = into if into is not None else plan.empty_tally()
        with driver_errors("taking over the tables and the medium"):
            check_memory(plan, copies, self._kernels.LOCAL_BYTES)
            inputs = (plan.spots, plan.scene, plan.tables)
            if plan.slab is not None:
                inputs = (plan.spots, plan.slab, plan.scene, plan.tables)  # type: ignore[assignment]
            self._inputs = tuple(on_device(part) for part in inputs)
            self._tally: Any = self._cleared()

    @staticmethod
    def bytes_needed(plan: TransportPlan, copies: int = COPIES) -> int:
        """Memory on the GPU, without what its driver keeps for the threads."""
        inputs = sum(_bytes_of(part) for part in (plan.scene, plan.tables, plan.spots))
        book = plan.scene.n_coarse * (32 + 2 * plan.scene.n_pack) * 8 + 256
        return plan.tally_bytes + 5 * plan.tiles.number + inputs + copies * book + min(_STAGE_BYTES, plan.tally_bytes)

    def advance(self, first: int, count: int, tick: Callable[[int], bool]) -> None:
        """Transport histories `first` to `first + count`; `tick(n)` hears of each finished launch, False stops.

        After a stop the tallies hold an unknown part of the histories and must be thrown away.

        Raises
        ------
        DeviceError
            The GPU fails or is lost.
        """
        done = 0
        while done < count:
            n = min(self._launch_size, count - done)
            began = time.perf_counter()
            with driver_errors("transporting protons"):
                self._launch(first + done, n)
            seconds = time.perf_counter() - began
            if n == self._launch_size and seconds < _SHORT_S:
                self._launch_size = min(2 * self._launch_size, MOST_LAUNCH)
            elif seconds > _LONG_S:
                self._launch_size = max(self._launch_size // 2, LEAST_LAUNCH)
            done += n
            if not tick(n):
                return

    def collect(self) -> Tally:
        """All sums so far in one tally on the CPU; those of the GPU are emptied.

        Raises
        ------
        DeviceError
        """
        with driver_errors("giving back its sums"):
            self._collect_depth()
            self._collect_voxels()
        return self._main

    def depth_sums(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sums in 0.25 mm and in 1 mm bins, each (copies, bins), of what was not collected yet."""
        with driver_errors("giving back its sums"):
            return self._tally.fine.copy_to_host(), self._tally.coarse.copy_to_host()

    def _launch(self, first: int, count: int) -> None:
        from numba import cuda

        plan, kernels = self._plan, self._kernels
        kernel = kernels.transport if plan.slab is None else kernels.transport_shifted
        blocks = -(-count // self._threads)
        key0, key1 = (int(word) for word in plan.key)
        kernel[blocks, self._threads](first, count, key0, key1, *self._inputs, self._tally)
        cuda.synchronize()

    def _cleared(self) -> Tally:
        """Tallies on the GPU, all zero; every tile has its place from the start, so that no thread claims one."""
        from numba import cuda

        plan, empty = self._plan, self._plan.empty_tally()
        voxels = cuda.device_array(empty.voxels.shape, dtype=np.int64)
        zeros = np.zeros(min(voxels.shape[0], _STAGE_BYTES // 8), dtype=np.int64)
        for start in range(0, voxels.shape[0], zeros.size):
            part = voxels[start : start + zeros.size]
            part.copy_to_device(zeros[: part.shape[0]])
        return Tally(
            voxels=voxels,
            rank=cuda.to_device(np.arange(plan.tiles.number, dtype=np.int32)),
            used=cuda.to_device(np.full(1, plan.tiles.number, dtype=np.int64)),
            fine=cuda.to_device(np.zeros((self._copies, empty.fine.size), dtype=np.int64)),
            coarse=cuda.to_device(np.zeros((self._copies, empty.coarse.size), dtype=np.int64)),
            book=cuda.to_device(np.zeros((self._copies, empty.book.size), dtype=np.int64)),
        )

    def _collect_depth(self) -> None:
        for name in ("fine", "coarse", "book"):
            device = getattr(self._tally, name)
            sums = device.copy_to_host()
            mine = getattr(self._main, name)
            mine += sums.sum(axis=0)
            device.copy_to_device(np.zeros_like(sums))

    def _collect_voxels(self) -> None:
        from numba import cuda

        n_slot, number = self._plan.scene.n_slot, self._plan.tiles.number
        length = TILE_SIZE * n_slot
        marks = cuda.to_device(np.zeros(number, dtype=np.uint8))
        self._kernels.find_entered[number, self._threads](self._tally.voxels, length, marks)
        entered = np.flatnonzero(marks.copy_to_host())
        at_once = max(_STAGE_BYTES // (8 * length), 1)
        for start in range(0, entered.size, at_once):
            tiles = entered[start : start + at_once].astype(np.int64)
            taken = cuda.device_array(tiles.size * length, dtype=np.int64)
            self._kernels.take_tiles[tiles.size, self._threads](
                self._tally.voxels, length, cuda.to_device(tiles), taken
            )
            merge(self._main, self._part(tiles, taken.copy_to_host()), n_slot)

    def _part(self, tiles: NDArray[np.int64], voxels: NDArray[np.int64]) -> Tally:
        """A tally that holds these tiles alone."""
        rank = np.full(self._plan.tiles.number, -1, dtype=np.int32)
        rank[tiles] = np.arange(tiles.size)
        used = np.full(1, tiles.size, dtype=np.int64)
        fine, coarse, book = (np.zeros_like(one) for one in (self._main.fine, self._main.coarse, self._main.book))
        return Tally(voxels=voxels, rank=rank, used=used, fine=fine, coarse=coarse, book=book)


def check_memory(plan: TransportPlan, copies: int, local_bytes: int) -> None:
    """Refuse a run that does not fit into the free memory of the GPU, before anything is copied.

    Raises
    ------
    InputError
    """
    from numba import cuda

    device = cuda.get_current_device()
    # The driver keeps the local memory of as many threads as the GPU can hold.
    threads = getattr(device, "MULTIPROCESSOR_COUNT", 0) * getattr(device, "MAX_THREADS_PER_MULTI_PROCESSOR", 0)
    need = CudaBackend.bytes_needed(plan, copies) + threads * local_bytes
    have = _MEMORY_SHARE * cuda.current_context().get_memory_info().free
    if need > have:
        raise InputError(
            "this simulation does not fit into the memory of the GPU",
            got=f"{need / 2**30:.1f} GiB needed",
            expected=f"at most {have / 2**30:.1f} GiB free",
            remedy="use larger voxels, a smaller box or --device cpu",
        )


def _bytes_of(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    return sum(_bytes_of(part) for part in value) if isinstance(value, tuple) else 0
