"""A backup is whole however many write meanwhile, and comes back without losing what it replaces."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from datetime import timedelta

import pytest

from protonqa.errors import InputError, StoreError
from protonqa.store import HistoryFilter, amend, history, load_result, open_store, save_result
from protonqa.store.backups import (
    AUTOMATIC_KEPT,
    backup_folder,
    backup_if_due,
    backups_of,
    find_backup,
    restore_file,
    snapshot,
)
from protonqa.store.checking import check_store
from protonqa.store.transfer import transfer
from tests.store.results_made import filled, shift_result


def count(path):
    with open_store(path, create=False) as store:
        assert check_store(store).problems == ()
        return len(history(store))


def test_a_backup_made_while_others_write_is_one_whole_moment(path):
    filled(path, 20)
    stop = threading.Event()

    def write():
        with open_store(path) as store:
            while not stop.is_set():
                save_result(store, shift_result())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [snapshot(path, backup_folder(path)) for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    counts = [count(one) for one in made]
    assert counts == sorted(counts)
    assert counts[0] >= 20
    assert len(set(made)) == 3
    assert all(one.stat().st_mode & 0o077 == 0 for one in made)
    assert not [one for one in backup_folder(path).iterdir() if one.name.startswith(".")]


def test_restore_keeps_the_file_it_replaces(path):
    filled(path, 2)
    backup = snapshot(path, backup_folder(path))
    filled(path, 3)
    assert count(path) == 5
    kept = restore_file(path, backup)
    assert count(path) == 2
    assert count(kept) == 5
    assert count(backup) == 2, "a backup can be restored twice"


def test_restore_of_a_damaged_store(path):
    filled(path, 2)
    snapshot(path, backup_folder(path))
    damaged = b"\0" * 5000
    path.write_bytes(damaged)
    kept = restore_file(path, find_backup(path, "newest"))
    assert count(path) == 2
    assert kept.read_bytes() == damaged


def test_a_log_left_by_a_crash_is_not_played_into_the_restored_file(path, tmp_path):
    """The log of the old file lies under the name that SQLite looks for beside the new one."""
    filled(path, 2)
    backup = snapshot(path, backup_folder(path))
    # A copy taken while the writer lives is what a power cut leaves: file and log.
    with open_store(path) as store:
        for _ in range(3):
            save_result(store, shift_result())
        log = path.with_name(path.name + "-wal")
        left, left_log = path.read_bytes(), log.read_bytes()
    path.write_bytes(left[:100] + b"\xff" * (len(left) - 100))
    log.write_bytes(left_log)
    restore_file(path, backup)
    assert count(path) == 2


def test_restore_is_refused_while_somebody_has_the_store_open(path):
    filled(path, 2)
    backup = snapshot(path, backup_folder(path))
    with open_store(path) as store:
        history(store)
        with pytest.raises(StoreError, match="in use"):
            restore_file(path, backup)
        assert len(history(store)) == 2
    assert restore_file(path, backup) is not None


def test_a_damaged_backup_changes_nothing(path):
    filled(path, 2)
    backup = snapshot(path, backup_folder(path))
    content = bytearray(backup.read_bytes())
    content[8192:9000] = b"\xff" * 808
    backup.write_bytes(content)
    with pytest.raises(StoreError, match=r"the backup is damaged|could not check"):
        restore_file(path, backup)
    assert count(path) == 2
    assert sorted(one.name for one in path.parent.iterdir() if one.is_file()) == [path.name]


def test_what_is_no_backup_is_refused(path, tmp_path):
    filled(path, 1)
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other:
        other.execute("CREATE TABLE x (y)")
    with pytest.raises(StoreError, match="not a results database of protonqa"):
        restore_file(path, tmp_path / "other.sqlite")
    for name in ("newest", "none.sqlite", str(path)):
        with pytest.raises(InputError, match="no such backup"):
            find_backup(path, name)


def test_no_room_for_a_backup_is_told_before_copying(path, monkeypatch):
    filled(path, 1)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("protonqa.store.backups.shutil.disk_usage", lambda _: usage)
    with pytest.raises(StoreError, match="no room for a copy"):
        snapshot(path, backup_folder(path))
    assert backups_of(path) == []


def test_a_full_disk_leaves_no_half_backup(path, monkeypatch):
    filled(path, 1)

    def full(source):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("protonqa.store.backups.sync_file", full)
    with pytest.raises(StoreError, match="free space on the disk"):
        snapshot(path, backup_folder(path))
    assert list(backup_folder(path).iterdir()) == []


def test_automatic_backups_are_weekly_and_only_they_are_cleared(path):
    filled(path, 1)
    by_hand = snapshot(path, backup_folder(path))
    by_hand.rename(by_hand.with_name("results-by-hand-20200101T000000Z.sqlite"))
    made = backup_if_due(path)
    assert made is not None
    assert backup_if_due(path) is None
    for week in range(1, AUTOMATIC_KEPT + 3):
        old = f"results-automatic-2021{week:02d}01T000000Z.sqlite"
        os.link(made, made.with_name(old))
    made.unlink()
    assert backup_if_due(path) is not None
    names = [one.name for one in backups_of(path)]
    assert sum("-automatic-" in name for name in names) == AUTOMATIC_KEPT
    assert "results-automatic-20210101T000000Z.sqlite" not in names
    assert names[-1] == "results-by-hand-20200101T000000Z.sqlite"


@pytest.mark.parametrize("direction", ["to a file", "to a server"])
def test_a_store_moves_between_file_and_server_with_its_numbers(file_store_path, server_store_address, direction):
    both = (server_store_address, file_store_path)
    source, target = both if direction == "to a file" else both[::-1]
    with open_store(source) as old, open_store(target) as new:
        for index in range(3):
            save_result(old, shift_result(float(index), started=shift_time(index)))
        amend(old, 2, "exclude", text="wrong")
        assert transfer(old, new) == 3
        assert history(new) == history(old)
        assert load_result(new, 3).value("mean_shift") == 2.0
        assert [row.number for row in history(new, HistoryFilter(excluded=True))] == [2]
        assert check_store(new).problems == ()
        assert save_result(new, shift_result()).number == 4, "the copy numbers on"
        with pytest.raises(StoreError, match="is not empty"):
            transfer(old, new)


def shift_time(index):
    from tests.store.results_made import BEGAN

    return BEGAN + timedelta(hours=index)
