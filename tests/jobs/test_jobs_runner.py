"""One job, any number of workers: the same bytes, in the order of the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from protonqa.errors import InputError, PluginError, StoreError
from protonqa.jobs.artefacts import changed_files
from protonqa.jobs.crew import InProcess
from protonqa.jobs.journal import has_journal, read_job, read_outcomes, results_hash
from protonqa.jobs.local import LocalPool
from protonqa.jobs.outcome import CellState, Retry
from protonqa.jobs.runner import backend_for, replay_cell, run_job
from protonqa.jobs.table import cell


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below the folder of cells."""
    root = folder / "cells"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def reference(tmp_path, make_job):
    """The mixed job, computed in this process."""
    folder = tmp_path / "reference"
    run_job(make_job("mixed", 40), folder, on=InProcess())
    return folder


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_gives_the_same_bytes(workers, tmp_path, make_job, reference):
    report = run_job(make_job("mixed", 40), tmp_path / "out", on=LocalPool(workers=workers))
    assert (report.total, report.done, report.failed, report.computed) == (40, 32, 8, 40)
    assert list(read_outcomes(tmp_path / "out")) == list(read_outcomes(reference))
    assert results_hash(tmp_path / "out") == results_hash(reference)
    assert tree(tmp_path / "out") == tree(reference)


def test_outcomes_are_those_of_the_function_in_table_order(reference, make_job):
    outcomes = list(read_outcomes(reference))
    assert [one.cell_id for one in outcomes] == [one.cell_id for one in make_job("mixed", 40).cells]
    assert outcomes[0].value().keys() == {"value", "list"}
    assert isinstance(outcomes[1].value(), bytes)
    assert len(outcomes[6].value()) == 206
    assert outcomes[2].value() == ["a.bin", "deep/b.txt"]
    assert [one.name for one in outcomes[2].files] == ["a.bin", "deep/b.txt"]
    assert changed_files(reference, "cell-0002", outcomes[2].files) == ()
    assert (outcomes[3].state, outcomes[3].code) == (CellState.FAILED, "NOT-EVALUABLE")
    assert outcomes[3].message == "too few counts, got 3, expected more"
    assert outcomes[3].value() is None
    assert (outcomes[9].code, "set at not json" in outcomes[9].message) == ("PLUGIN", True)


def test_half_a_folder_of_a_failed_cell_is_not_published(reference):
    assert not (reference / "cells" / "cell-0003").exists()
    assert not (reference / ".staging").exists()


def test_a_finished_job_computes_nothing_again(reference, make_job):
    class NoBackend:
        def crew(self, *_):
            pytest.fail("workers were started for nothing")

    report = run_job(make_job("mixed", 40), reference, on=NoBackend(), retry=Retry.NONE)
    assert (report.computed, report.done, report.failed) == (0, 32, 8)


def test_a_cell_replayed_alone_gives_the_result_of_the_study(reference, tmp_path):
    job = read_job(reference)
    for outcome in list(read_outcomes(reference))[:10]:
        again = replay_cell(job, outcome.cell_id, tmp_path / outcome.cell_id)
        assert again == outcome
    with pytest.raises(InputError, match="no such cell"):
        replay_cell(job, "cell-9999", tmp_path)


def test_the_table_is_stored_before_anything_is_computed(tmp_path, make_job):
    job = make_job("square", 5)
    seen = []

    def cancelled() -> bool:
        seen.append(read_job(tmp_path).cells if has_journal(tmp_path) else None)
        return False

    run_job(job, tmp_path, on=InProcess(), cancelled=cancelled)
    assert seen[0] == job.cells


def test_failed_cells_are_tried_again_only_when_asked(tmp_path, make_job):
    marker, folder = tmp_path / "marker", tmp_path / "out"
    marker.touch()
    job = make_job("store_fails", 2, marker=str(marker))
    assert run_job(job, folder, on=InProcess()).failed == 2
    marker.unlink()
    assert run_job(job, folder, on=InProcess(), retry=Retry.NONE).computed == 0
    report = run_job(job, folder, on=InProcess())
    assert (report.computed, report.done, report.failed) == (2, 2, 0)
    assert [one.attempts for one in read_outcomes(folder)] == [2, 2]


def test_a_failure_of_the_cell_itself_is_not_tried_again_by_default(tmp_path, make_job):
    job = make_job("raises", 2)
    run_job(job, tmp_path, on=InProcess())
    assert run_job(job, tmp_path, on=InProcess()).computed == 0
    assert run_job(job, tmp_path, on=InProcess(), retry=Retry.ALL).computed == 2


def test_another_table_function_version_or_name_is_refused(tmp_path, make_job):
    """Results of two studies in one journal would be silently mixed."""
    job = make_job("square", 3)
    run_job(job, tmp_path, on=InProcess())
    before = results_hash(tmp_path)
    changed = (*job.cells[:2], cell("cell-0002", {"x": 2, "seed": 1}))
    for other, words in [
        (replace(job, cells=changed), "cell 3 differs"),
        (replace(job, cells=job.cells[:2]), "3 cells in the journal and 2"),
        (replace(job, cells=job.cells[::-1]), "cell 1 differs"),
        (make_job("square", 4), "3 cells in the journal and 4"),
        (replace(job, function="job_cells:mixed"), "function job_cells:square"),
        (replace(job, version="2"), "version 1"),
        (replace(job, name="another"), "name test job"),
    ]:
        with pytest.raises(StoreError, match="journal of another") as caught:
            run_job(other, tmp_path, on=InProcess())
        assert words in caught.value.got
    assert results_hash(tmp_path) == before


def test_a_growing_table_computes_what_was_added(tmp_path, make_job):
    """A watched folder: the cases of last night stay as they are."""
    run_job(make_job("square", 3), tmp_path, on=InProcess())
    report = run_job(make_job("square", 5), tmp_path, on=InProcess(), grow=True)
    assert (report.total, report.computed) == (5, 2)
    assert read_job(tmp_path).cells == make_job("square", 5).cells
    with pytest.raises(StoreError, match="another table"):
        run_job(make_job("square", 4), tmp_path, on=InProcess(), grow=True)


def test_files_that_were_lost_are_made_again(tmp_path, make_job, reference):
    run_job(make_job("mixed", 40), tmp_path / "out", on=InProcess())
    (tmp_path / "out" / "cells" / "cell-0002" / "deep" / "b.txt").unlink()
    (tmp_path / "out" / "cells" / "cell-0007" / "a.bin").write_bytes(b"cut")
    report = run_job(make_job("mixed", 40), tmp_path / "out", on=InProcess())
    assert report.computed == 2
    assert tree(tmp_path / "out") == tree(reference)


def test_a_changed_file_is_found_by_its_hash(reference):
    (files,) = [one.files for one in read_outcomes(reference) if one.cell_id == "cell-0002"]
    path = reference / "cells" / "cell-0002" / "a.bin"
    path.write_bytes(b"x" * path.stat().st_size)
    assert changed_files(reference, "cell-0002", files) == ("a.bin",)


def test_folders_of_other_people_are_left_alone(tmp_path, make_job):
    mine = tmp_path / "cells" / "my notes"
    mine.mkdir(parents=True)
    stray = tmp_path / "cells" / "cell-0001"
    stray.mkdir()
    run_job(make_job("square", 2), tmp_path, on=InProcess())
    assert mine.is_dir()
    assert not stray.exists(), "a folder whose cell was never committed is no result"


def test_progress_counts_every_cell_once_and_ends_at_the_end(tmp_path, make_job):
    seen = []
    run_job(make_job("mixed", 20), tmp_path, on=LocalPool(workers=2), progress=seen.append)
    assert [one.finished for one in seen if one.latest] == list(range(1, 21))
    assert sorted(one.latest.position for one in seen if one.latest) == list(range(20))
    assert (seen[0].finished, seen[0].remaining_s) == (0, None)
    assert (seen[-1].done, seen[-1].failed, seen[-1].remaining_s) == (16, 4, 0.0)
    assert "20 of 20 cells, 4 failed" in seen[-1].text()


def test_workers_run_libraries_with_one_thread_and_stay(tmp_path, make_job):
    run_job(make_job("environment"), tmp_path / "a", on=LocalPool(workers=1))
    (outcome,) = read_outcomes(tmp_path / "a")
    assert set(outcome.value().values()) == {"1", "0"}
    run_job(make_job("pid", 8), tmp_path / "b", on=LocalPool(workers=2))
    assert len({one.value() for one in read_outcomes(tmp_path / "b")}) == 2


def test_what_a_cell_prints_never_meets_the_results(tmp_path, make_job, capfd):
    run_job(make_job("noisy", 2), tmp_path, on=LocalPool(workers=1))
    assert [one.value() for one in read_outcomes(tmp_path)] == ["", ""]
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("and from a program") == 2


def test_a_function_nobody_can_import_stops_the_job_with_its_reason(tmp_path, make_job):
    job = replace(make_job("square", 3), function="no_such_module_at_all:f")
    for backend in (InProcess(), LocalPool(workers=2)):
        with pytest.raises(PluginError, match="no_such_module_at_all"):
            run_job(job, tmp_path, on=backend)
    missing = replace(make_job("square", 3), function="job_cells:nothing")
    with pytest.raises(PluginError, match="a function nothing in job_cells"):
        run_job(missing, tmp_path / "other", on=LocalPool(workers=1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"workers": -1}, "number of workers"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:8786"}, "exclude each other"),
        ({"workers": 0, "deadline_s": 5.0}, "need worker processes"),
        ({"workers": 2, "deadline_s": 0.0}, "deadline"),
        ({"workers": 2, "deadline_s": float("nan")}, "deadline"),
        ({"workers": 2, "memory_mib": 3}, "memory limit"),
        ({"scheduler": "localhost"}, "address of the scheduler"),
    ],
)
def test_options_that_cannot_be_kept_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        backend_for(**arguments)


def test_options_name_the_backend():
    assert isinstance(backend_for(0), InProcess)
    assert backend_for(3, deadline_s=9.0) == LocalPool(workers=3, deadline_s=9.0)
    assert backend_for(scheduler="tcp://127.0.0.1:8786").address == "tcp://127.0.0.1:8786"


def test_journal_is_plain_sqlite_that_other_programs_can_read(reference):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(reference / "job.sqlite")) as connection:
        rows = connection.execute("SELECT content FROM outcome WHERE position = 0").fetchall()
    assert set(json.loads(rows[0][0])) == {"value", "list"}
