"""CPU back end: fixed chunks of histories on a thread pool; kernels run without the interpreter's lock."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from protonqa.montecarlo.compiling import kernel
from protonqa.montecarlo.events import MAX_STACK, N_STACK_COLUMN
from protonqa.montecarlo.histories import one_history
from protonqa.montecarlo.philox import BLOCK
from protonqa.montecarlo.plan import TransportPlan
from protonqa.montecarlo.scoring import Visits, notebook, score_visits
from protonqa.montecarlo.shifted import shifted_history
from protonqa.montecarlo.tallies import N_BOOK, Tally
from protonqa.montecarlo.tiles import merge

CHUNK = 1024


@kernel
def transport(first, count, key0, key1, spots, scene, tables, tally, stack, drawn, visits):
    """Transport histories `first` to `first + count` into the tallies.

    `stack` is room for secondaries, `drawn` for random numbers, `visits` for visits that are scored together.
    """
    for history in range(first, first + count):
        one_history(history, key0, key1, spots, scene, tables, tally, stack, drawn, visits)
    score_visits(visits, scene, tables, tally)


@kernel
def transport_shifted(
    first, count, key0, key1, spots, slab, scene, tables, tally, slab_tally, stack, drawn, visits, slab_visits
):  # fmt: skip
    """As ``transport``, through a range shifter; a kernel of its own, so that runs without one lose nothing by it."""
    for history in range(first, first + count):
        shifted_history(
            history, key0, key1, spots, slab, scene, tables, tally, slab_tally, stack, drawn, visits, slab_visits
        )
    score_visits(visits, scene, tables, tally)
    score_visits(slab_visits, slab.scene, tables, slab_tally)


class _Worker:
    """What one thread works with: its tally, and room for secondaries, random numbers and visits."""

    def __init__(self, plan: TransportPlan, tally: Tally) -> None:
        self._plan, self._tally = plan, tally
        self._stack, self._drawn = np.empty((MAX_STACK + 1, N_STACK_COLUMN)), np.empty(4 * BLOCK)
        self._visits: Visits = notebook()
        self._slab_visits: Visits = notebook()

    def run(self, first: int, count: int) -> None:
        """Transport histories `first` to `first + count` into the tally."""
        plan, tally, (key0, key1) = self._plan, self._tally, self._plan.key
        if plan.slab is None:
            transport(
                first, count, key0, key1, plan.spots, plan.scene, plan.tables, tally, self._stack, self._drawn,
                self._visits,
            )  # fmt: skip
            return
        # The second half of the book is that of the slab.
        slab_tally = tally._replace(book=tally.book[N_BOOK:])
        transport_shifted(
            first, count, key0, key1, plan.spots, plan.slab, plan.scene, plan.tables, tally, slab_tally, self._stack,
            self._drawn, self._visits, self._slab_visits,
        )  # fmt: skip


def default_threads() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1


class CpuBackend:
    """Threads with tallies of their own; the sums are integers, so that their order does not matter."""

    name = "cpu"

    def __init__(self, plan: TransportPlan, threads: int | None = None, into: Tally | None = None) -> None:
        self._plan = plan
        self.threads = threads or default_threads()
        self._main = into if into is not None else plan.empty_tally()
        self._others: list[Tally] = []

    @staticmethod
    def bytes_needed(plan: TransportPlan, threads: int | None = None) -> int:
        """Memory of the tallies."""
        return plan.tally_bytes * (threads or default_threads())

    def advance(self, first: int, count: int, tick: Callable[[int], bool]) -> None:
        """Transport histories `first` to `first + count`; `tick(n)` hears of each finished chunk, False stops.

        After a stop the tallies hold an unknown part of the histories and must be thrown away.
        """
        todo: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        for start in range(first, first + count, CHUNK):
            todo.put((start, min(CHUNK, first + count - start)))
        workers = min(self.threads, -(-count // CHUNK))
        while len(self._others) < workers - 1:
            self._others.append(self._plan.empty_tally())
        stop, lock = threading.Event(), threading.Lock()

        def work(tally: Tally) -> None:
            worker = _Worker(self._plan, tally)
            while not stop.is_set():
                try:
                    start, n = todo.get_nowait()
                except queue.Empty:
                    return
                worker.run(start, n)
                with lock:
                    if not stop.is_set() and not tick(n):
                        stop.set()

        if workers == 1:
            work(self._main)
            return
        with ThreadPoolExecutor(max_workers=workers) as pool:
            futures = [pool.submit(work, tally) for tally in (self._main, *self._others[: workers - 1])]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stop.set()
                raise

    def collect(self) -> Tally:
        """All sums so far in one tally; the threads' own are emptied."""
        for other in self._others:
            merge(self._main, other, self._plan.scene.n_slot)
        return self._main


def key_of(seed: int) -> NDArray[np.uint64]:
    """The two words that key the random numbers of a seed."""
    return np.random.SeedSequence(seed).generate_state(2, dtype=np.uint32).astype(np.uint64)
