"""Cells that raise, leave, hang, die or eat memory; disks that are full; journals that are damaged."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from protonqa.errors import Cancelled, DeviceError, PluginError, StoreError
from protonqa.jobs import artefacts, database, local
from protonqa.jobs.crew import InProcess
from protonqa.jobs.journal import Journal, read_job, read_outcomes, results_hash
from protonqa.jobs.local import LocalPool
from protonqa.jobs.owner import OwnerLock
from protonqa.jobs.runner import run_job

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that has ended and waits to be collected is not alive.
    with contextlib.suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    return False


def gone(process: int) -> bool:
    """True as soon as a process has ended; the test fails where it never does."""
    for _ in range(3000):
        if not alive(process):
            return True
        time.sleep(0.02)
    return False


def children() -> set[int]:
    """Processes that this one has started."""
    return {int(one) for one in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


# ---- cells


def test_a_foreign_exception_is_named_without_its_message(tmp_path, make_job):
    """Messages of foreign exceptions quote names out of files."""
    run_job(make_job("raises"), tmp_path, on=LocalPool(workers=1))
    (outcome,) = read_outcomes(tmp_path)
    assert outcome.code == "INTERNAL"
    assert outcome.message.startswith("unexpected ValueError at job_cells.py:")
    assert b"Canary" not in (tmp_path / "job.sqlite").read_bytes()


def test_sys_exit_is_a_failed_cell_and_the_worker_lives(tmp_path, make_job):
    report = run_job(make_job("leaves", 3), tmp_path, on=LocalPool(workers=1))
    assert report.failed == 3
    assert {one.message.split(" at ")[0] for one in read_outcomes(tmp_path)} == {"unexpected SystemExit"}


@POSIX
def test_a_killed_worker_costs_its_cell_only(tmp_path, make_job):
    report = run_job(make_job("dies", 6), tmp_path, on=LocalPool(workers=2))
    outcomes = list(read_outcomes(tmp_path))
    assert (report.done, report.failed) == (3, 3)
    assert [one.value() for one in outcomes] == [0, None, 2, None, 4, None]
    assert {one.code for one in outcomes[1::2]} == {"WORKER"}
    assert "SIGKILL" in outcomes[1].message


def test_a_hard_exit_names_its_code(tmp_path, make_job):
    run_job(make_job("exits_hard"), tmp_path, on=LocalPool(workers=1))
    (outcome,) = read_outcomes(tmp_path)
    assert (outcome.code, "exited with code 5" in outcome.message) == ("WORKER", True)


@POSIX
def test_a_hung_cell_is_ended_with_its_programs_and_the_rest_goes_on(tmp_path, make_job):
    note = tmp_path / "child"
    run_job(make_job("hangs", 4, note=str(note)), tmp_path / "out", on=LocalPool(workers=2, deadline_s=2.0))
    outcomes = list(read_outcomes(tmp_path / "out"))
    assert [one.value() for one in outcomes] == [None, 1, 2, 3]
    assert (outcomes[0].code, "limit of 2 s" in outcomes[0].message) == ("DEADLINE", True)
    assert gone(int(note.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="macOS and Windows have no such limit")
def test_a_cell_that_takes_more_than_its_memory_fails_in_one_line(tmp_path, make_job):
    run_job(make_job("greedy", 2, mib=2000), tmp_path / "a", on=LocalPool(workers=1, memory_mib=300))
    outcomes = list(read_outcomes(tmp_path / "a"))
    assert {one.code for one in outcomes} == {"MEMORY"}
    assert "more memory than it may have" in outcomes[0].message
    assert run_job(make_job("greedy", 2, mib=20), tmp_path / "b", on=LocalPool(workers=1, memory_mib=300)).done == 2


def test_a_full_disk_inside_a_cell_is_named_and_tried_again_next_time(tmp_path, make_job):
    run_job(make_job("full_disk"), tmp_path, on=InProcess())
    (outcome,) = read_outcomes(tmp_path)
    assert outcome.code == "STORE"
    assert outcome.message.startswith("no space is left on the disk")
    assert "Canary" not in outcome.message
    assert run_job(make_job("full_disk"), tmp_path, on=InProcess()).computed == 1


@pytest.mark.parametrize(
    ("function", "words"),
    [
        pytest.param("link", "holds a link", marks=POSIX),
        ("foreign_path", "path that is not one of its files"),
        ("not_finite", "not finite at rows[0].mae_mm"),
    ],
)
def test_what_is_not_a_result_is_a_failed_cell(function, words, tmp_path, make_job):
    run_job(make_job(function), tmp_path, on=InProcess())
    (outcome,) = read_outcomes(tmp_path)
    assert outcome.code == "PLUGIN"
    assert words in outcome.message
    assert not (tmp_path / "cells" / "cell-0000").exists()


# ---- workers


def test_workers_that_never_get_ready_stop_the_job(tmp_path, make_job, monkeypatch):
    """Without an end to false starts the pool would start processes for ever."""
    (tmp_path / "breaks_at_import.py").write_text("import os\nos._exit(9)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    job = make_job("square", 2)
    broken = type(job)(name=job.name, function="breaks_at_import:f", cells=job.cells, version="1")
    with pytest.raises(PluginError, match="end before they are ready, got it exited with code 9"):
        run_job(broken, tmp_path / "out", on=LocalPool(workers=1))


def test_a_worker_that_imports_for_ever_is_given_up(tmp_path, make_job, monkeypatch):
    (tmp_path / "hangs_at_import.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(local, "START_PATIENCE_S", 0.3)
    job = make_job("square", 2)
    broken = type(job)(name=job.name, function="hangs_at_import:f", cells=job.cells, version="1")
    with pytest.raises(PluginError, match="end before they are ready"):
        run_job(broken, tmp_path / "out", on=LocalPool(workers=1))


def test_no_process_left_to_start_is_one_line(tmp_path, make_job, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(DeviceError, match=r"cannot be started.*use fewer workers"):
        run_job(make_job("square"), tmp_path, on=LocalPool(workers=1))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_no_worker_outlives_its_job(tmp_path, make_job):
    before = children()
    with contextlib.suppress(Cancelled):
        run_job(
            make_job("sleeps", 2, note=str(tmp_path / "n")),
            tmp_path,
            on=LocalPool(workers=2),
            cancelled=started(tmp_path),
        )
    run_job(make_job("square", 4), tmp_path / "b", on=LocalPool(workers=2))
    assert children() <= before


# ---- cancel


def started(folder: Path):
    """A cancel callback that says yes once a cell has begun."""
    return lambda: (folder / "n").exists()


@pytest.mark.parametrize("function", ["asks", "sleeps"])
def test_cancel_ends_cells_that_ask_and_cells_that_do_not(function, tmp_path, make_job):
    """And marks nothing as done: the next run computes them."""
    with pytest.raises(Cancelled, match="0 of 3 cells finished"):
        run_job(
            make_job(function, 3, note=str(tmp_path / "n")),
            tmp_path,
            on=LocalPool(workers=2),
            cancelled=started(tmp_path),
        )
    assert list(read_outcomes(tmp_path)) == []
    assert not (tmp_path / ".staging").exists()


def test_cancel_in_this_process_reaches_into_the_cell(tmp_path, make_job):
    with pytest.raises(Cancelled):
        run_job(make_job("asks", 3, note=str(tmp_path / "n")), tmp_path, on=InProcess(), cancelled=started(tmp_path))
    assert list(read_outcomes(tmp_path)) == []


def test_cancelled_at_any_commit_and_resumed_the_result_is_the_same(tmp_path, make_job):
    job = make_job("mixed", 12)
    run_job(job, tmp_path / "whole", on=InProcess())
    for stop_after in range(12):
        count = []
        with pytest.raises(Cancelled):
            run_job(
                job,
                tmp_path / str(stop_after),
                on=InProcess(),
                progress=lambda now, count=count: count.append(now.finished),
                cancelled=lambda count=count, stop=stop_after: max(count, default=0) >= stop,
            )
        assert run_job(job, tmp_path / str(stop_after), on=InProcess()).computed == 12 - stop_after
        assert results_hash(tmp_path / str(stop_after)) == results_hash(tmp_path / "whole")


def test_a_callback_that_raises_ends_the_workers_and_keeps_the_journal(tmp_path, make_job):
    def progress(now):
        if now.finished == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(make_job("square", 9), tmp_path, on=LocalPool(workers=2), progress=progress)
    assert len(list(read_outcomes(tmp_path))) == 2
    assert run_job(make_job("square", 9), tmp_path, on=InProcess()).done == 9


# ---- disk and journal


def test_a_full_disk_at_a_commit_loses_nothing_that_was_committed(tmp_path, make_job, monkeypatch):
    """SQLite's own limit of pages stands for the disk: the same error code, at the same places."""
    job = make_job("square", 200)
    run_job(job, tmp_path / "whole", on=InProcess())
    opened = database.open_for_writing

    def small_disk(folder):
        connection = opened(folder)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        return connection

    folder = tmp_path / "out"
    folder.mkdir()
    with Journal(folder, job):
        pass
    monkeypatch.setattr("protonqa.jobs.journal.open_for_writing", small_disk)
    stops = 0
    while len(list(read_outcomes(folder))) < 200:
        assert stops < 40
        told = ""
        try:
            run_job(job, folder, on=InProcess())
        except StoreError as error:
            told, stops = error.got, stops + 1
        assert told in ("", "the disk or quota is full")
        # Cells of this job are committed in order: nothing between the first and the last is lost.
        assert [one.position for one in read_outcomes(folder)] == list(range(len(list(read_outcomes(folder)))))
    assert stops >= 2
    assert results_hash(folder) == results_hash(tmp_path / "whole")


def test_a_disk_that_refuses_the_move_of_a_folder_stops_in_one_line(tmp_path, make_job, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))

    monkeypatch.setattr(artefacts, "replace", refuse)
    with pytest.raises(StoreError, match=r"folder of a cell.*No space left.*free space"):
        run_job(make_job("mixed", 3), tmp_path, on=InProcess())
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert [one.position for one in read_outcomes(tmp_path)] == [0, 1]
    assert run_job(make_job("mixed", 3), tmp_path, on=InProcess()).computed == 1


def test_a_second_run_on_the_same_folder_is_refused_with_the_name_of_the_first(tmp_path, make_job):
    lock = OwnerLock(tmp_path)
    with pytest.raises(StoreError, match=f"process {os.getpid()} since 20"):
        run_job(make_job("square"), tmp_path, on=InProcess())
    lock.release()
    assert run_job(make_job("square"), tmp_path, on=InProcess()).done == 1


def test_results_can_be_read_while_the_job_runs(tmp_path, make_job):
    seen = []
    run_job(
        make_job("square", 5),
        tmp_path,
        on=InProcess(),
        progress=lambda now: seen.append((now.finished, len(list(read_outcomes(tmp_path))))),
    )
    assert seen[1:] == [(n, n) for n in range(1, 6)]


@POSIX
def test_a_finished_job_can_be_read_where_nothing_can_be_written(make_job):
    """An archive on a read-only disk: SQLite cannot even make its lock file."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "out"
        run_job(make_job("square", 3), folder, on=InProcess())
        Path(place).chmod(0o755)
        folder.chmod(0o555)
        with common_user():
            assert len(list(read_outcomes(folder))) == 3
            with pytest.raises(StoreError, match="choose a folder you may write to"):
                run_job(make_job("square", 3), folder, on=InProcess())
        folder.chmod(0o755)


@contextlib.contextmanager
def common_user():
    """To root nothing is read-only."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("where", ["head", "middle", "cut", "not sqlite", "another database"])
def test_a_damaged_journal_is_refused_and_left_as_it_is(where, tmp_path, make_job):
    """Starting afresh without a word would throw a night's work away."""
    job, path = make_job("mixed", 30), tmp_path / "job.sqlite"
    run_job(job, tmp_path, on=InProcess())
    content = path.read_bytes()
    match where:
        case "head":
            path.write_bytes(b"\xff" * 100 + content[100:])
        case "middle":
            path.write_bytes(content[:4096] + b"\xff" * 8192 + content[12288:])
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "not sqlite":
            path.write_text("notes\n" * 400)
        case "another database":
            path.unlink()
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("CREATE TABLE mine (a)")
    before = path.read_bytes()
    for use in (lambda: run_job(job, tmp_path, on=InProcess()), lambda: list(read_outcomes(tmp_path))):
        with pytest.raises(StoreError, match=r"damaged|something else"):
            use()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "use"),
    [
        ("UPDATE outcome SET content = x'31' WHERE position = 1", lambda folder: list(read_outcomes(folder))),
        ("UPDATE outcome SET files = '[1]' WHERE position = 1", lambda folder: list(read_outcomes(folder))),
        ("UPDATE cell SET parameters = '{\"x\":9}' WHERE position = 1", read_job),
    ],
)
def test_a_row_changed_by_hand_is_found(statement, use, tmp_path, make_job):
    run_job(make_job("square", 3), tmp_path, on=InProcess())
    with contextlib.closing(sqlite3.connect(tmp_path / "job.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()
    with pytest.raises(StoreError, match="damaged"):
        use(tmp_path)


def test_a_journal_of_a_newer_program_is_refused(tmp_path, make_job):
    run_job(make_job("square"), tmp_path, on=InProcess())
    with contextlib.closing(sqlite3.connect(tmp_path / "job.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreError, match="another format, got 2, expected 1"):
        run_job(make_job("square"), tmp_path, on=InProcess())


def test_a_journal_locked_by_another_program_says_so(tmp_path, make_job, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_PATIENCE_S", 0.1)
    run_job(make_job("square"), tmp_path, on=InProcess())
    with contextlib.closing(sqlite3.connect(tmp_path / "job.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another program"):
            run_job(make_job("square", 2), tmp_path, on=InProcess(), grow=True)


def test_no_journal_no_results(tmp_path):
    with pytest.raises(StoreError, match="no journal"):
        list(read_outcomes(tmp_path))


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path, make_job):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StoreError, match="folder of the job"):
        run_job(make_job("square"), tmp_path / "out", on=InProcess())


def test_a_network_share_is_refused_before_anything_is_written(tmp_path, make_job, monkeypatch):
    monkeypatch.setattr("protonqa.jobs.local_disk.mount_kind", lambda *_: "nfs4")
    with pytest.raises(StoreError, match="network share, got nfs4"):
        run_job(make_job("square"), tmp_path, on=InProcess())
    assert list(tmp_path.iterdir()) == []


def test_threads_of_one_program_cannot_run_a_job_twice(tmp_path, make_job):
    """The lock holds inside one process too: two windows of one program."""
    refused = []

    def again():
        try:
            run_job(make_job("square", 3), tmp_path, on=InProcess())
        except StoreError as error:
            refused.append(error.what)

    def progress(now):
        if now.finished == 1:
            thread = threading.Thread(target=again)
            thread.start()
            thread.join()

    run_job(make_job("square", 3), tmp_path, on=InProcess(), progress=progress)
    assert refused == ["another run is working on this job"]


def test_staged_folders_of_a_killed_run_are_thrown_away(tmp_path, make_job):
    half = tmp_path / ".staging" / "0123456789ab" / "7"
    half.mkdir(parents=True)
    (half / "half.bin").write_bytes(b"half")
    run_job(make_job("square", 2), tmp_path, on=InProcess())
    assert not (tmp_path / ".staging").exists()
