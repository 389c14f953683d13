"""Damage, locks, full disks and strangers: one clear line, nothing overwritten, the way back told."""

# ruff: noqa: S608  the names of tables are ours

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing

import pytest
from sqlalchemy import text

from protonqa.errors import InputError, StoreError
from protonqa.store import Labels, history, load_result, open_store, save_result
from protonqa.store.backups import backup_folder, snapshot
from protonqa.store.checking import check_store
from protonqa.store.connection import connect
from protonqa.store.location import configured_address, store_url
from protonqa.store.pseudonym import is_pseudonym, patients_meant, pseudonym, pseudonym_key
from protonqa.store.schema import VERSION_TABLE
from tests.store.results_made import filled, shift_result


def error_of(path, **options):
    with pytest.raises(StoreError) as caught:
        open_store(path, **options)
    line = caught.value.line()
    assert "\n" not in line
    assert str(path.parent) not in line, "a folder may be named after a patient"
    return line


def test_a_database_that_is_not_there_is_made_only_when_asked(path):
    assert "there is no results database yet" in error_of(path, create=False)
    assert not path.exists()
    open_store(path).close()
    assert path.stat().st_mode & 0o077 == 0, "results are for their owner alone"
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name]


def damage_head(content):
    content[:16] = b"not a database!!"


def damage_pages(content):
    """A wrong byte in every page but the first, as a dying disk leaves them."""
    for begin in range(4096, len(content), 4096):
        content[begin : begin + 64] = b"\xff" * 64


def damage_root(content):
    content[4096:] = bytes(len(content) - 4096)


def cut(content):
    del content[len(content) // 2 :]


def empty(content):
    content.clear()


@pytest.mark.parametrize("damage", [damage_head, damage_pages, damage_root, cut, empty])
def test_a_damaged_file_is_refused_left_alone_and_shows_the_way_back(path, damage):
    filled(path)
    backup = snapshot(path, backup_folder(path))
    content = bytearray(path.read_bytes())
    damage(content)
    path.write_bytes(content)
    line = error_of(path)
    assert "damaged" in line
    assert f"the newest backup, {backup.name}, with: protonqa history restore newest" in line
    assert path.read_bytes() == content


def test_without_a_backup_the_line_says_how_to_begin_anew(path):
    filled(path, 1)
    path.write_bytes(b"")
    assert "there is no backup; move it away to begin a new one, and keep it" in error_of(path)


def test_a_database_of_another_program_is_not_touched(path):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE patients (name TEXT)")
        other.commit()
    content = path.read_bytes()
    assert "is something else" in error_of(path)
    assert path.read_bytes() == content


def test_a_content_that_was_altered_is_not_a_result(path):
    """The triggers stop every honest program; what gets past them is found by its SHA-256."""
    filled(path, 2)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TRIGGER content_no_update")
        other.execute("DROP TRIGGER measurement_no_update")
        other.execute("UPDATE content SET body = CAST(substr(body, 2) AS BLOB) WHERE result_id = 1")
        other.execute("UPDATE measurement SET value = 0 WHERE result_id = 2")
        other.commit()
    with open_store(path) as store:
        with pytest.raises(StoreError, match="content of result 1 is damaged"):
            load_result(store, 1)
        assert check_store(store).problems == (
            "the stored content of result 1 is damaged",
            "result 2 has other measurements than its content",
        )


def test_a_text_that_is_no_text_is_damage(path):
    filled(path, 1)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TRIGGER result_no_update")
        other.execute("UPDATE result SET machine = CAST(x'ff80' AS TEXT)")
        other.commit()
    with open_store(path) as store, pytest.raises(StoreError, match="the file is damaged"):
        history(store)


def test_a_content_that_claims_to_be_huge_is_not_unpacked(path):
    filled(path, 1)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TRIGGER content_no_update")
        other.execute("UPDATE content SET size_bytes = 1 << 40")
        other.commit()
    with open_store(path) as store, pytest.raises(StoreError, match="damaged"):
        load_result(store, 1)


@pytest.mark.parametrize("newer", ["0002", "9999", "abcdef"])
def test_a_newer_database_is_refused_and_not_touched(address, newer):
    with open_store(address) as store, store.writing() as writer:
        writer.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{newer}'"))
    with pytest.raises(StoreError) as caught:
        open_store(address)
    line = caught.value.line()
    assert f"made by a newer protonqa, got format {newer}, expected 0001 or older, update protonqa" in line
    with connect(store_url(address)) as raw, raw.reading() as reader:
        assert reader.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one() == newer


def test_a_locked_file_is_waited_for_within_bounds_then_told(path):
    filled(path, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, open_store(path, patience_s=0.3) as store:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StoreError, match="could not store a result in the results database, got it is locked by"):
            save_result(store, shift_result())
        assert time.monotonic() - began < 10.0
        assert len(history(store)) == 1, "readers do not wait for a writer"
        other.execute("ROLLBACK")
        save_result(store, shift_result())
        assert len(history(store)) == 2


def test_a_lock_that_goes_away_in_time_costs_nothing(path):
    filled(path, 1)
    with (
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other,
        open_store(path) as store,
    ):
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        timer.start()
        try:
            assert save_result(store, shift_result()).number == 2
        finally:
            timer.join()


def test_a_writer_gets_its_turn_beside_one_that_never_pauses(path):
    """SQLite's own wait looks every 0.1 s and found the lock taken each time."""
    filled(path, 1)
    stop = threading.Event()

    def hog():
        with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as other:
            while not stop.is_set():
                other.execute("BEGIN IMMEDIATE")
                time.sleep(0.01)
                other.execute("COMMIT")

    thread = threading.Thread(target=hog)
    thread.start()
    try:
        with open_store(path) as store:
            for _ in range(5):
                save_result(store, shift_result())
    finally:
        stop.set()
        thread.join()


def test_a_locked_table_on_a_server_is_told(server_store_address):
    with open_store(server_store_address, patience_s=0.3) as store, open_store(server_store_address) as other:
        with other.writing() as writer:
            writer.execute(text("LOCK TABLE result IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(StoreError, match="it is locked by another program"):
                save_result(store, shift_result())
        assert save_result(store, shift_result()).new


@pytest.mark.parametrize("spare_pages", [0, 1, 3])
def test_a_full_disk_stores_nothing_and_harms_nothing(path, spare_pages):
    filled(path, 3)
    with open_store(path) as store:
        with store.reading() as reader:
            pages = reader.execute(text("PRAGMA page_count")).scalar_one()
        with store.engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + spare_pages}")
        found = []
        while found.count(False) < 3:
            assert len(found) < 40, "the disk never got full"
            found.append(save_or_find_full(store, len(found)))
        stored = 3 + sum(found)
        assert len(history(store)) == stored
    with open_store(path) as store:
        assert check_store(store).problems == ()
        assert save_result(store, shift_result()).new
        assert len(history(store)) == stored + 1


def save_or_find_full(store, index):
    try:
        save_result(store, shift_result(float(index)))
    except StoreError as error:
        assert "the disk or quota is full, free space on the disk and try again; nothing was stored" in error.line()  # noqa: PT017
        return False
    return True


def test_a_file_that_may_not_be_written_is_told(path):
    filled(path, 1)
    with open_store(path) as store:
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA query_only = ON")
        with pytest.raises(StoreError, match="read-only"):
            save_result(store, shift_result())


def test_a_file_that_vanished_is_not_made_anew(path):
    """A mounted disk that went away must not leave an empty store in its place."""
    filled(path, 1)
    store = open_store(path)
    store.close()
    path.unlink()
    with pytest.raises(StoreError, match="it cannot be opened"):
        save_result(store, shift_result())
    assert not path.exists()


def test_a_network_share_is_refused(path, monkeypatch):
    monkeypatch.setattr("protonqa.jobs.local_disk.network_file_system", lambda _: "nfs4")
    assert "the results database cannot be kept on a network share, got nfs4" in error_of(path)
    assert not path.exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "could not write the results database" in error_of(tmp_path / "file" / "results.sqlite")


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("postgresql://jk:SECRET@localhost:1/x?connect_timeout=2", "the server cannot be reached"),
        ("mysql://jk:SECRET@localhost/x", "of an unknown kind, got mysql"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("postgresql://jk:SECRET@host:notaport/x", "cannot be read"),
    ],
)
def test_addresses_that_lead_nowhere_never_show_a_password(address, line):
    with pytest.raises((StoreError, InputError)) as caught:
        open_store(address)
    assert line in caught.value.line()
    assert "SECRET" not in caught.value.line()


def test_a_server_without_the_database_or_with_strangers_is_told(server_address):
    nowhere = server_address.replace("@/", "@/no_such_")
    with pytest.raises(StoreError, match="the server refuses the connection, check the names"):
        open_store(nowhere)
    with connect(store_url(server_address)) as raw, raw.writing() as writer:
        writer.execute(text("CREATE TABLE patients (name TEXT)"))
    with pytest.raises(StoreError, match="holds something else"):
        open_store(server_address)


def test_a_user_who_may_only_read_and_add_is_enough(server_store_address):
    """The rights that the documents tell to grant are those that are needed, and not one more."""
    with open_store(server_store_address) as owner, owner.writing() as writer:
        writer.execute(text("DROP ROLE IF EXISTS clinic"))
        writer.execute(text("CREATE ROLE clinic LOGIN"))
        writer.execute(text("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO clinic"))
    try:
        with open_store(server_store_address.replace("owner@", "clinic@")) as store:
            number = save_result(store, shift_result(), labels=Labels(machine="G1")).number
            assert load_result(store, number).value("mean_shift") == 0.4
            with pytest.raises(StoreError, match="lacks a right"), store.writing() as writer:
                writer.execute(text("ALTER TABLE result DISABLE TRIGGER ALL"))
    finally:
        with open_store(server_store_address) as owner, owner.writing() as writer:
            writer.execute(text("DROP OWNED BY clinic"))
            writer.execute(text("DROP ROLE clinic"))


def test_the_environment_says_where(monkeypatch, tmp_path):
    monkeypatch.setenv("PROTONQA_DATA_DIR", str(tmp_path / "d"))
    assert configured_address() == str(tmp_path / "d" / "results.sqlite")
    monkeypatch.setenv("PROTONQA_STORE", "postgresql://host/results")
    assert configured_address() == "postgresql://host/results"
    monkeypatch.setenv("PROTONQA_STORE", "OFF")
    assert configured_address() is None
    monkeypatch.delenv("PROTONQA_STORE")
    monkeypatch.delenv("PROTONQA_DATA_DIR")
    assert "protonqa" in configured_address()


def test_pseudonyms_are_stable_need_the_key_and_hide_the_id(tmp_path, monkeypatch):
    key = pseudonym_key(tmp_path)
    assert pseudonym_key(tmp_path) == key
    assert (tmp_path / "pseudonym.key").stat().st_mode & 0o077 == 0
    one = pseudonym(" PX-004711 ", key)
    assert one == pseudonym("PX-004711", key)
    assert is_pseudonym(one)
    assert len({pseudonym(str(index), key) for index in range(5000)}) == 5000
    assert pseudonym("PX-004711", bytes(32)) != one
    assert pseudonym("  ", key) == ""
    assert patients_meant("PX-004711", tmp_path) == ("PX-004711", one)
    assert patients_meant(one, tmp_path) == (one,)
    shared = tmp_path / "shared.key"
    shared.write_text("00" * 32)
    monkeypatch.setenv("PROTONQA_PSEUDONYM_KEY", str(shared))
    assert pseudonym_key(tmp_path) == bytes(32)
    shared.write_text("00" * 31)
    with pytest.raises(StoreError, match="key of the pseudonyms is damaged"):
        pseudonym_key(tmp_path)
    shared.unlink()
    with pytest.raises(StoreError, match="key of the pseudonyms"):
        pseudonym_key(tmp_path)
