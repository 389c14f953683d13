"""Every database that was ever released opens, after a backup, all steps or none; and the tables are what we think."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

import protonqa.store.migrations
from protonqa.errors import StoreError
from protonqa.store import history, load_result, open_store, save_result
from protonqa.store.backups import backups_of
from protonqa.store.checking import check_store
from protonqa.store.connection import connect
from protonqa.store.location import store_url
from protonqa.store.migrate import known_revisions, revision_of
from protonqa.store.schema import APPLICATION_ID, SCHEMA_HEAD, VERSION_TABLE, metadata
from tests.store.results_made import filled, shift_result

RELEASED = Path(__file__).parent / "released"
NEXT_STEP = '''
"""A column more."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("result", sa.Column("weather", sa.Text()))
    {more}
'''


def test_the_head_is_the_newest_step():
    assert known_revisions()[-1] == SCHEMA_HEAD


def test_tables_made_by_the_steps_are_those_the_program_uses(store):
    with store.reading() as reader:
        context = MigrationContext.configure(reader, opts={"compare_type": True, "version_table": VERSION_TABLE})
        differences = [one for one in compare_metadata(context, metadata) if not _is_time_as_text(one)]
    assert differences == []


def _is_time_as_text(difference):
    """SQLite has no type for times; ours are text there."""
    return isinstance(difference, list) and all(
        one[0] == "modify_type" and str(one[3]).endswith("_utc") and one[5].length == 27 for one in difference
    )


def test_there_is_a_database_of_every_released_step():
    assert sorted(path.stem for path in RELEASED.glob("*.sql")) == sorted(known_revisions())


def restored(script, path):
    """A database as an older version left it, from its dump."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script.read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")


@pytest.mark.parametrize("script", sorted(RELEASED.glob("*.sql")), ids=lambda path: path.stem)
def test_a_released_database_opens_with_its_results_and_stays_permanent(script, path):
    restored(script, path)
    with open_store(path) as store:
        rows = history(store)
        assert [(row.number, row.state, row.machine, row.excluded) for row in rows] == [
            (2, "NOT EVALUABLE", "G1", False),
            (1, "PASS", "G2", True),
        ]
        assert load_result(store, 1).measurements["mean_shift"].value == 0.4
        assert check_store(store).problems == ()
        with pytest.raises(StoreError, match="never changed"), store.writing() as writer:
            writer.execute(text("UPDATE result SET state = 'FAIL'"))
        assert save_result(store, shift_result()).number == 3


@pytest.fixture
def next_version(tmp_path, monkeypatch):
    """Makes this program one with another step: ``next_version(code of the step)``."""
    folder = tmp_path / "site" / "next_migrations"
    shutil.copytree(Path(protonqa.store.migrations.__file__).parent, folder)

    def make(more=""):
        (folder / "versions" / "m0002_next.py").write_text(NEXT_STEP.format(more=more))
        for module in ("migrate", "opening"):
            monkeypatch.setattr(f"protonqa.store.{module}.SCHEMA_HEAD", "0002")
        package = type(sys)("files_of_next")
        package.joinpath = lambda _: folder
        monkeypatch.setattr("protonqa.store.migrate.files", lambda _: package)

    return make


def revision_in(address):
    with connect(store_url(address)) as raw, raw.reading() as reader:
        return revision_of(reader)


def test_an_older_file_is_backed_up_then_brought_up_to_date(path, next_version):
    filled(path, 1)
    next_version()
    with open_store(path) as store, store.reading() as reader:
        assert reader.execute(text("SELECT weather FROM result")).all() == [(None,)]
        assert reader.execute(text("SELECT count(*) FROM result")).scalar_one() == 1
    assert revision_in(path) == "0002"
    (backup,) = backups_of(path)
    assert "before-0002" in backup.name
    assert revision_in(backup) == "0001"


def test_a_step_that_fails_leaves_the_old_file_as_it_was(path, next_version):
    filled(path, 1)
    next_version('op.execute("SELECT nonsense FROM nowhere")')
    with pytest.raises(StoreError, match="could not bring up to date"):
        open_store(path)
    assert revision_in(path) == "0001"
    with connect(store_url(path)) as raw, raw.reading() as reader:
        names = [row.name for row in reader.execute(text("PRAGMA table_info(result)"))]
        assert "weather" not in names


def test_an_older_server_waits_for_the_word(server_store_address, next_version):
    """Other computers may still run the older program: the first new one must not lock them out."""
    with open_store(server_store_address) as store:
        save_result(store, shift_result())
    next_version()
    with pytest.raises(StoreError, match="format of an older protonqa, got 0001, expected 0002, make a backup"):
        open_store(server_store_address)
    assert revision_in(server_store_address) == "0001"
    with open_store(server_store_address, migrate=True) as store, store.reading() as reader:
        assert reader.execute(text("SELECT weather FROM result")).all() == [(None,)]
    assert revision_in(server_store_address) == "0002"


def test_an_older_file_can_be_opened_without_changing_it_only_by_refusing(path, next_version):
    filled(path, 0)
    next_version()
    with pytest.raises(StoreError, match="format of an older protonqa"):
        open_store(path, migrate=False)
    assert revision_in(path) == "0001"
