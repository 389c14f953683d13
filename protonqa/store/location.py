"""Where results are kept: a file in the user's data folder, another file, or a database server.

``PROTONQA_DATA_DIR`` moves the data folder, ``PROTONQA_STORE`` names another database (a path or a URL) or is ``off``.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from protonqa.errors import InputError

DATA_VARIABLE = "PROTONQA_DATA_DIR"
STORE_VARIABLE = "PROTONQA_STORE"
OFF = "off"
FILE_NAME = "results.sqlite"
_POSTGRES = ("postgres", "postgresql", "postgresql+psycopg")


def data_folder() -> Path:
    """The folder of protonqa's own data; it is not made here."""
    given = os.environ.get(DATA_VARIABLE, "").strip()
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_path("protonqa", appauthor=False))


def configured_address() -> str | None:
    """The database that the environment names, the file in the data folder, or None where storing is off."""
    given = os.environ.get(STORE_VARIABLE, "").strip()
    if given.lower() == OFF:
        return None
    return given or str(data_folder() / FILE_NAME)


def store_url(address: str | os.PathLike[str]) -> URL:
    """The database URL of a path or URL.

    Raises
    ------
    InputError
        Neither a path nor the URL of SQLite or PostgreSQL.
    """
    text = os.fspath(address)
    scheme, found, _ = text.partition("://")
    if not found:
        return URL.create("sqlite", database=str(Path(text).expanduser().absolute()))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        # The text itself may hold a password and is not repeated.
        raise InputError("the address of the results database cannot be read", expected=_EXPECTED) from error
    if scheme == "sqlite":
        if not url.database or url.database == ":memory:":
            raise InputError("the results database needs a file", expected="sqlite:///PATH")
        return url.set(database=str(Path(url.database).absolute()))
    if scheme in _POSTGRES:
        return url.set(drivername="postgresql+psycopg")
    raise InputError("the results database is of an unknown kind", got=scheme[:20], expected=_EXPECTED)


_EXPECTED = "a file, or postgresql://USER@HOST/DATABASE"


def is_file(url: URL) -> bool:
    """True for SQLite."""
    return url.get_backend_name() == "sqlite"


def file_of(url: URL) -> Path:
    """The file of an SQLite database."""
    return Path(url.database or "")


def spoken(url: URL) -> str:
    """The database for people: the file's name without its folder, or the server without user and password."""
    if is_file(url):
        return file_of(url).name
    return f"PostgreSQL {url.database or ''} on {url.host or url.query.get('host') or 'this computer'}"
