"""Databases for the tests: a new SQLite file each, and a PostgreSQL server of their own where one is installed."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from protonqa.store import Store, open_store

_DEBIAN = Path("/usr/lib/postgresql")


def server_programs() -> Path | None:
    """Folder of initdb and postgres: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    folders = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: path.parts[-3].zfill(4), reverse=True)
    known = [Path(found).resolve(), *folders] if found else folders
    return next((path.parent for path in known if (path.parent / "postgres").exists()), None)


def server_owner() -> dict[str, object]:
    """Arguments for subprocess: the server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def server() -> Generator[str, None, None]:
    """Address of a PostgreSQL server without a network, as ``?host=FOLDER``; one database a test is made on it."""
    programs = server_programs()
    if programs is None:
        # Where a change is judged the server is installed first; elsewhere it need not be there.
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL is not installed")
        pytest.skip("PostgreSQL is not installed")
    owner = server_owner()
    folder = Path(tempfile.mkdtemp(prefix="pq-pg-"))
    try:
        if owner:
            os.chown(folder, int(str(owner["user"])), int(str(owner["group"])))
        options = {**owner, "cwd": folder, "env": {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(folder)}}
        cluster = [programs / "initdb", "-D", "data", "-U", "owner", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(cluster, check=True, capture_output=True, **options)
        command = [programs / "postgres", "-D", "data", "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **options)
        try:
            _wait(folder, process)
            yield f"host={folder}"
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(folder: Path, process: subprocess.Popen[bytes]) -> None:
    import time

    import psycopg

    for _ in range(200):
        assert process.poll() is None, (folder / "log").read_text()
        try:
            psycopg.connect(host=str(folder), user="owner", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail((folder / "log").read_text())


@pytest.fixture(scope="session")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store, to be copied: making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("made") / "results.sqlite"
    open_store(path).close()
    return path


@pytest.fixture(scope="session")
def made_database(server: str) -> str:
    """Name of an empty store on the server, to be copied."""
    _on_server(server, "CREATE DATABASE made")
    open_store(f"postgresql://owner@/made?{server}").close()
    return "made"


def _on_server(server: str, statement: str) -> None:
    import psycopg

    host = server.removeprefix("host=")
    with psycopg.connect(host=host, user="owner", dbname="postgres", autocommit=True) as connection:
        connection.execute(statement)


def _database(server: str, options: str = "") -> Iterator[str]:
    name = f"t{secrets.token_hex(6)}"
    _on_server(server, f"CREATE DATABASE {name} {options}")
    yield f"postgresql://owner@/{name}?{server}"
    _on_server(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def server_address(server: str) -> Iterator[str]:
    """URL of a new, empty database on the server."""
    yield from _database(server)


@pytest.fixture
def server_store_address(server: str, made_database: str) -> Iterator[str]:
    """URL of a database with an empty store."""
    yield from _database(server, f"TEMPLATE {made_database}")


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest) -> str:
    """A database of each kind with an empty store."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("file_store_path"))
    return str(request.getfixturevalue("server_store_address"))


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    """An open, empty store of each kind."""
    with open_store(address) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where an SQLite database may be made."""
    return tmp_path / "store" / "results.sqlite"


@pytest.fixture
def file_store_path(path: Path, made_file: Path) -> Path:
    """An empty SQLite store, closed."""
    path.parent.mkdir()
    shutil.copyfile(made_file, path)
    return path


@pytest.fixture
def file_store(file_store_path: Path) -> Iterator[Store]:
    """An open, empty SQLite store."""
    with open_store(file_store_path) as opened:
        yield opened
