"""A watched folder: a case is told once, when it is whole."""

from __future__ import annotations

import os

import pytest

from protonqa.errors import InputError, StoreError
from protonqa.jobs.watch import FolderWatch


class Clock:
    """Seconds that the test advances."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def after(clock, watch, seconds):
    clock.now_s += seconds
    return [one.path.name for one in watch.poll()]


def test_a_case_is_told_once_when_it_has_been_quiet(tmp_path, clock):
    watch = FolderWatch(tmp_path, quiet_s=60.0, clock=clock)
    case = tmp_path / "case"
    case.mkdir()
    assert after(clock, watch, 100.0) == [], "an empty folder is no case yet"
    (case / "1.dcm").write_bytes(b"a")
    assert after(clock, watch, 10.0) == []
    (case / "2.dcm").write_bytes(b"bc")
    assert after(clock, watch, 59.0) == [], "a second file has come: the quiet begins again"
    assert after(clock, watch, 59.0) == []
    clock.now_s += 1.0
    (arrival,) = watch.poll()
    assert (arrival.path, arrival.files, arrival.size_bytes) == (case, 2, 3)
    assert after(clock, watch, 1000.0) == []


def test_a_case_that_changes_afterwards_is_new_work(tmp_path, clock):
    """A late slice would otherwise never be analysed."""
    watch = FolderWatch(tmp_path, quiet_s=5.0, clock=clock)
    (tmp_path / "case.mha").write_bytes(b"a")
    watch.poll()
    clock.now_s += 5.0
    (first,) = watch.poll()
    (tmp_path / "case.mha").write_bytes(b"ab")
    assert after(clock, watch, 1.0) == []
    clock.now_s += 5.0
    (second,) = watch.poll()
    assert first.fingerprint != second.fingerprint


def test_fingerprint_is_the_same_for_the_same_files_seen_by_another_run(tmp_path, clock):
    """Cells named by it are found in the journal of last night."""
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "1").write_bytes(b"a")
    told = [FolderWatch(tmp_path, quiet_s=0.0, clock=clock).poll()[0].fingerprint for _ in range(2)]
    assert told[0] == told[1]


@pytest.mark.parametrize("name", ["x.part", "x.TMP", "deep/x.filepart"])
def test_a_file_with_the_name_of_an_unfinished_one_keeps_the_case_waiting(name, tmp_path, clock):
    watch = FolderWatch(tmp_path, quiet_s=1.0, clock=clock)
    path = tmp_path / "case" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    watch.poll()
    assert after(clock, watch, 100.0) == []
    path.rename(path.with_name("whole.dcm"))
    assert after(clock, watch, 1.0) == []
    assert after(clock, watch, 1.0) == ["case"]


def test_hidden_names_and_links_are_no_cases(tmp_path, clock):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ".DS_Store").write_bytes(b"a")
    (tmp_path / "secret").write_bytes(b"a")
    if os.name == "posix":
        (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    watch = FolderWatch(tmp_path / "in", quiet_s=0.0, clock=clock)
    assert after(clock, watch, 1.0) == []


def test_a_case_that_was_removed_and_sent_again_is_told_again(tmp_path, clock):
    watch = FolderWatch(tmp_path, quiet_s=0.0, clock=clock)
    (tmp_path / "case").write_bytes(b"a")
    assert after(clock, watch, 1.0) == ["case"]
    (tmp_path / "case").unlink()
    assert after(clock, watch, 1.0) == []
    (tmp_path / "case").write_bytes(b"a")
    assert after(clock, watch, 1.0) == ["case"]


def test_batches_come_until_cancelled_and_are_never_empty(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    seen = []
    watch = FolderWatch(tmp_path, quiet_s=0.0)
    for batch in watch.batches(every_s=0.01, cancelled=lambda: len(seen) == 2):
        seen.append([one.path.name for one in batch])
        (tmp_path / "b").write_bytes(b"b")
    assert seen == [["a"], ["b"]]


def test_a_folder_that_is_not_there_or_vanishes_is_one_line(tmp_path, clock):
    with pytest.raises(InputError, match="not there"):
        FolderWatch(tmp_path / "no")
    with pytest.raises(InputError, match="quiet time"):
        FolderWatch(tmp_path, quiet_s=-1.0)
    (tmp_path / "in").mkdir()
    watch = FolderWatch(tmp_path / "in", clock=clock)
    (tmp_path / "in").rmdir()
    with pytest.raises(StoreError, match="watched folder cannot be read"):
        watch.poll()
