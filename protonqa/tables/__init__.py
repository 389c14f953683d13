"""Versioned data tables: every file starts with ``# key: value`` lines giving source, unit, year and licence."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

from protonqa.errors import CalibrationError

TABLES_VERSION = "2026.1"


@cache
def table_text(name: str) -> str:
    """The raw text of a packaged table."""
    resource = files("protonqa.tables").joinpath(name)
    if not resource.is_file():
        raise CalibrationError("packaged table is missing", got=name, remedy="reinstall protonqa")
    return resource.read_text(encoding="utf-8")


def table_header(name: str) -> dict[str, str]:
    """The ``# key: value`` lines of a table."""
    header: dict[str, str] = {}
    for line in table_text(name).splitlines():
        if not line.startswith("#"):
            break
        key, _, value = line.lstrip("# ").partition(":")
        header[key.strip()] = value.strip()
    return header


def table_rows(name: str) -> list[dict[str, str]]:
    """The rows of a packaged CSV table as dictionaries of text."""
    lines = [line for line in table_text(name).splitlines() if line and not line.startswith("#")]
    return list(csv.DictReader(lines))
