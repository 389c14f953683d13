"""Bringing a database to the tables of this version: all steps in one transaction, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from threading import Lock

from sqlalchemy import Connection, inspect, text

from protonqa.errors import StoreError
from protonqa.store.schema import SCHEMA_HEAD, VERSION_TABLE

# alembic keeps what it works on in variables of the process; threads would work on each other's.
_ONE_AT_A_TIME = Lock()
#: Revision of a database without any table of ours.
EMPTY = ""


def revision_of(connection: Connection) -> str:
    """The step a database is at; `EMPTY` where nothing of ours is there."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return EMPTY
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all()  # noqa: S608
    return ",".join(str(one) for one in found)


def known_revisions() -> tuple[str, ...]:
    """All steps of this version, oldest first."""
    from alembic.script import ScriptDirectory

    with _scripts() as folder:
        return tuple(reversed([one.revision for one in ScriptDirectory(folder).walk_revisions()]))


def is_older(revision: str) -> bool:
    """True where a database can be brought to this version; False where it is there already.

    Raises
    ------
    StoreError
        The database is newer than this program.
    """
    if revision == SCHEMA_HEAD:
        return False
    if revision == EMPTY or revision in known_revisions():
        return True
    raise StoreError(
        "the results database was made by a newer protonqa",
        got=f"format {revision[:20]}",
        expected=f"{SCHEMA_HEAD} or older",
        remedy="update protonqa, or name another database in PROTONQA_STORE; nothing was changed",
    )


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run the steps that are missing, within the transaction of `connection`."""
    from alembic import command
    from alembic.config import Config

    with _scripts() as folder:
        config = Config()
        # alembic reads % as the beginning of a variable.
        config.set_main_option("script_location", folder.replace("%", "%%"))
        config.attributes["connection"] = connection
        with _ONE_AT_A_TIME:
            command.upgrade(config, to)


@contextmanager
def _scripts() -> Iterator[str]:
    with as_file(files("protonqa.store").joinpath("migrations")) as folder:
        yield str(folder)
