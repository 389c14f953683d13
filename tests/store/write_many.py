"""Many processes that store results at once, and the count afterwards: a test in small, a benchmark in full.

``python -m tests.store.write_many --processes 8 --results 1000 results.sqlite postgresql://USER@HOST/DATABASE``
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import queue
import sys
import time
from typing import Any

from protonqa.store import history, open_store, save_result
from protonqa.store.checking import check_store
from tests.store.results_made import shift_result


def uid_of(process: int, index: int) -> str:
    """The identifier of one result of one process."""
    return hashlib.sha256(f"{process} {index}".encode()).hexdigest()[:32]


def write(process: int, results: int, address: str, start: Any) -> None:
    """Store results one by one, each in a transaction of its own, every tenth twice."""
    with open_store(address) as store:
        start.wait()
        for index in range(results):
            for _ in range(2 if index % 10 == 0 else 1):
                save_result(store, shift_result(float(process), seed=index), uid=uid_of(process, index))


def write_all(process: int, results: int, addresses: list[str], starts: list[Any], spent: Any) -> None:
    """Into each database in turn, all processes at the same time."""
    for address, start, seconds in zip(addresses, starts, spent, strict=True):
        write(process, results, address, start)
        seconds.put((process, time.monotonic()))


def many_writers(addresses: list[str], processes: int, results: int) -> list[float]:
    """Seconds that all processes together needed for each database, from the moment all were ready."""
    spawned = multiprocessing.get_context("spawn")
    starts = [spawned.Barrier(processes + 1) for _ in addresses]
    ends = [spawned.Queue() for _ in addresses]
    workers = [
        spawned.Process(target=write_all, args=(process, results, addresses, starts, ends))
        for process in range(processes)
    ]
    for worker in workers:
        worker.start()
    seconds = []
    try:
        for start, end in zip(starts, ends, strict=True):
            start.wait(timeout=300)
            began = time.monotonic()
            seconds.append(max(_ended(end, workers) for _ in workers) - began)
        for worker in workers:
            worker.join(timeout=60)
    finally:
        for worker in workers:
            worker.kill()
    return seconds


def _ended(end: Any, workers: list[Any]) -> float:
    """When the next process was done; one that failed fails the whole."""
    while True:
        try:
            return float(end.get(timeout=1)[1])
        except queue.Empty:
            if any(worker.exitcode for worker in workers):
                raise RuntimeError("a writer failed; see its error above") from None


def lost_and_double(address: str, processes: int, results: int) -> tuple[int, int, tuple[str, ...]]:
    """Results that are missing, results that are there twice, and what the full check finds."""
    with open_store(address, create=False) as store:
        found = [row.uid for row in history(store)]
        problems = check_store(store).problems
    wanted = {uid_of(process, index) for process in range(processes) for index in range(results)}
    return len(wanted - set(found)), len(found) - len(set(found)), problems


def main() -> int:
    """Time it once and count."""
    parser = argparse.ArgumentParser(description="Many processes that store results at once.")
    parser.add_argument("addresses", nargs="+")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--results", type=int, default=1000)
    given = parser.parse_args()
    seconds = many_writers(given.addresses, given.processes, given.results)
    for address, took in zip(given.addresses, seconds, strict=True):
        lost, double, problems = lost_and_double(address, given.processes, given.results)
        kind = "postgresql" if "://" in address else "sqlite"
        rate = given.processes * given.results / took
        answer = {"database": kind, "seconds": round(took, 1), "results_per_second": round(rate), "lost": lost}
        sys.stdout.write(json.dumps({**answer, "double": double, "problems": list(problems)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
