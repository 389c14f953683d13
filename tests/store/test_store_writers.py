"""Eight processes at once: no result is lost, none is there twice, and one database comes of eight that begin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from protonqa.store import history, open_store, save_result
from protonqa.store.checking import check_store
from tests.store.results_made import shift_result
from tests.store.write_many import lost_and_double, many_writers

ROOT = Path(__file__).resolve().parents[2]


def test_eight_processes_lose_nothing_and_store_nothing_twice(file_store_path, server_store_address):
    addresses = [str(file_store_path), server_store_address]
    many_writers(addresses, processes=8, results=12)
    for address in addresses:
        assert lost_and_double(address, 8, 12) == (0, 0, ())


def test_eight_that_begin_at_once_share_one_database(path):
    """The file is made whole beside its place: nobody ever sees half of it, and the losers use the winner's."""

    def begin(index):
        with open_store(path) as store:
            return save_result(store, shift_result(float(index))).number

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(begin, range(8)))
    assert sorted(numbers) == list(range(1, 9))
    with open_store(path) as store:
        assert len(history(store)) == 8
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_eight_that_begin_at_once_share_one_database_on_a_server(server_address):
    def begin(index):
        with open_store(server_address) as store:
            return save_result(store, shift_result(float(index))).number

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(begin, range(8)))
    assert len(set(numbers)) == 8
    with open_store(server_address) as store:
        assert len(history(store)) == 8


WRITER = """
import sys
from protonqa.store import open_store, save_result
from tests.store.results_made import shift_result
with open_store(sys.argv[1]) as store:
    for index in range(100000):
        number = save_result(store, shift_result(float(index))).number
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
"""


def test_a_killed_writer_leaves_a_whole_database_with_every_result_it_reported(path):
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        reported = [int(process.stdout.readline()) for _ in range(5)]
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        reported += [int(line) for line in process.stdout.read().splitlines()]
    with open_store(path) as store:
        numbers = {row.number for row in history(store)}
        assert set(reported) <= numbers
        assert len(numbers) - len(reported) in (0, 1), "only the one being reported may be stored without word"
        assert check_store(store).problems == ()
