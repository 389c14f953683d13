"""Strict reading of hostile CSV: commas, decimal points, named columns; every refusal names its line."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLimits:
    """How much of a file from outside is accepted before anything is allocated for it."""

    max_bytes: int = 64 * 1024 * 1024
    max_rows: int = 1_000_000
    max_columns: int = 200
    max_line: int = 65_536


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CsvTable:
    """Cells of a CSV file as text.

    ``columns`` maps a name to its cells, ``lines`` gives the line of the file of every row, ``comments`` are the
    ``# key: value`` lines above the header. ``kind`` is the error class for what is wrong in it, ``what`` its name.
    """

    columns: dict[str, list[str]]
    lines: list[int]
    comments: dict[str, str]
    what: str
    kind: type[InputError] = InputError
    comment_lines: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def require(self, names: Sequence[str]) -> None:
        """Raise when one of the columns is missing; a similar name that is there is offered."""
        missing = [name for name in names if name not in self.columns]
        if not missing:
            return
        hints = [f"{name}: did you mean '{near}'?" for name in missing if (near := self._near(name, names))]
        raise self.kind(
            f"the {self.what} has no column {' and no column '.join(repr(n) for n in missing)}",
            got=f"columns {_listing(list(self.columns))}" + (f" ({' '.join(hints)})" if hints else ""),
            expected=", ".join(names),
            remedy="rename or add the column",
        )

    def numbers(self, name: str, *, may_be_empty: bool = False) -> FloatArray:
        """A column as finite numbers; an empty cell is NaN where it may be empty.

        Raises
        ------
        InputError (or `kind`)
            A cell is empty, not a number, or NaN/infinite; with line, and count for NaN.
        """
        cells = self.columns[name]
        values = np.array(
            [
                np.nan if may_be_empty and not cell else self._number(cell, name, line)
                for cell, line in zip(cells, self.lines, strict=True)
            ],
            dtype=np.float64,
        )
        bad = ~np.isfinite(values)
        if may_be_empty:
            bad &= np.array([bool(cell) for cell in cells])
        if bad.any():
            raise self.kind(
                f"column '{name}' of the {self.what} holds values that are not finite",
                got=f"{int(bad.sum())} NaN or infinite values, the first in line {self.lines[int(np.argmax(bad))]}",
                expected="finite numbers",
                remedy="repair the file; protonqa never replaces NaN silently",
            )
        return values

    def _number(self, cell: str, name: str, line: int) -> float:
        # float() also takes 1_000 and digits of other scripts: neither is a number in a data file.
        if cell.isascii() and "_" not in cell:
            try:
                return float(cell)
            except ValueError:
                pass
        expected, remedy = "a number such as 12.5", "repair the line"
        if cell.count(",") == 1 and cell.replace(",", "").strip().lstrip("+-").isdigit():
            remedy = "write decimal points, not decimal commas"
        raise self.kind(
            f"column '{name}' of the {self.what} holds something that is not a number",
            got=("an empty cell" if not cell else repr(cell[:20])) + f" in line {line}",
            expected=expected,
            remedy=remedy,
        )

    def _near(self, name: str, known: Sequence[str]) -> str:
        # A column that has its right name already is not a misspelling of another.
        folded = {c.lower(): c for c in self.columns if c not in known}
        close = get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
        return printable(folded[close[0]]) if close else ""


def read_csv_table(
    path: str | os.PathLike[str],
    *,
    what: str,
    limits: FileLimits | None = None,
    kind: type[InputError] = InputError,
) -> CsvTable:
    """Read a CSV file into named text columns.

    Leading byte-order mark, ``#`` lines, blank lines and any line ending are accepted; nothing else is guessed.

    Raises
    ------
    InputError (or `kind`)
        Absent, too large, not UTF-8, binary, separated by something else than commas, header empty or double, a
        line with another number of cells (decimal commas?), no data.
    """
    text = read_text(path, what=what, limits=limits or FileLimits(), kind=kind)
    return parse_csv(text, what=what, limits=limits, kind=kind)


def parse_csv(
    text: str, *, what: str, limits: FileLimits | None = None, kind: type[InputError] = InputError
) -> CsvTable:
    """As `read_csv_table`, from text."""
    limits = limits or FileLimits()
    comments, comment_lines, skipped = _comments(text)
    reader = csv.reader(_lines(text, skipped, what, limits, kind), strict=True)
    header: list[str] = []
    cells: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            line = reader.line_num + skipped
            if not row or not "".join(row).strip() or row[0].lstrip().startswith("#"):
                continue
            if not header:
                header = _header([c.strip() for c in row], what, limits, kind)
                continue
            if len(row) != len(header):
                raise _ragged(len(row), len(header), line, what, kind)
            if len(lines) >= limits.max_rows:
                raise kind(f"the {what} is too long", got="more rows", expected=f"at most {limits.max_rows} rows")
            cells.append([c.strip() for c in row])
            lines.append(line)
    except csv.Error as error:
        raise kind(f"the {what} is not a CSV file", got=f"{error} in line {reader.line_num + skipped}") from error
    if not header or not lines:
        raise kind(f"the {what} is empty", got="no rows" if header else "no header", expected="a header and rows")
    columns = {name: list(column) for name, column in zip(header, zip(*cells, strict=True), strict=True)}
    return CsvTable(columns=columns, lines=lines, comments=comments, what=what, kind=kind, comment_lines=comment_lines)


def read_text(path: str | os.PathLike[str], *, what: str, limits: FileLimits, kind: type[InputError]) -> str:
    """UTF-8 text of a file of limited size, without its byte-order mark; raises `kind`."""
    content = read_bytes(path, what=what, limits=limits, kind=kind)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise kind(f"the {what} is UTF-16 text", expected="UTF-8", remedy="save it as 'CSV UTF-8'")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise kind(f"the {what} is not UTF-8 text", got=f"byte {error.start} is not UTF-8", expected="UTF-8") from error
    if "\0" in text:
        raise kind(f"the {what} is a binary file", got="zero bytes", expected="text")
    return text


def read_bytes(path: str | os.PathLike[str], *, what: str, limits: FileLimits, kind: type[InputError]) -> bytes:
    """Content of a file of limited size; never reads more than the limit whatever the file claims; raises `kind`."""
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(limits.max_bytes + 1)
    except OSError as error:
        raise kind(
            f"the {what} cannot be read", got=error.strerror or type(error).__name__, remedy="check the name"
        ) from error
    if len(content) > limits.max_bytes:
        raise kind(f"the {what} is too large", got="more bytes", expected=f"at most {limits.max_bytes} bytes")
    if not content:
        raise kind(f"the {what} is empty", got="0 bytes", expected="a header and rows")
    return content


def printable(text: str, length: int = 40) -> str:
    """Text from a file made safe for one line of a message: cut, control characters replaced."""
    return "".join(c if c.isprintable() else "?" for c in text[:length])


def nearest(name: str, known: Sequence[str]) -> str:
    """The known name that resembles `name`, or an empty text."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return close[0] if close else ""


def _comments(text: str) -> tuple[dict[str, str], dict[str, int], int]:
    found: dict[str, str] = {}
    where: dict[str, int] = {}
    number = 0
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            return found, where, number - 1
        key, colon, value = line.lstrip("# \t").partition(":")
        if colon:
            found[key.strip()] = value.strip()
            where[key.strip()] = number
    return found, where, number


def _lines(text: str, skip: int, what: str, limits: FileLimits, kind: type[InputError]) -> Iterator[str]:
    for number, line in enumerate(io.StringIO(text, newline=""), start=1):
        if len(line) > limits.max_line:
            raise kind(
                f"a line of the {what} is too long", got=f"line {number}", expected=f"{limits.max_line} characters"
            )
        if number > skip:
            yield line


def _header(names: list[str], what: str, limits: FileLimits, kind: type[InputError]) -> list[str]:
    if len(names) > limits.max_columns:
        raise kind(f"the {what} has too many columns", got=str(len(names)), expected=f"at most {limits.max_columns}")
    if len(names) == 1:
        for mark, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if mark in names[0]:
                raise kind(
                    f"the {what} is separated by {word}",
                    expected="commas between columns and decimal points",
                    remedy="export it as comma-separated CSV",
                )
    double = sorted({printable(n) for n in names if names.count(n) > 1})
    if double:
        raise kind(f"the {what} has a column twice", got=_listing(double), expected="each column once")
    if any(not n for n in names):
        raise kind(f"the {what} has a column without a name", expected="a name over each column")
    return names


def _ragged(have: int, want: int, line: int, what: str, kind: type[InputError]) -> InputError:
    remedy = "write decimal points, not decimal commas" if have > want else "complete the line"
    return kind(
        f"a line of the {what} has another number of cells than the header",
        got=f"{have} cells in line {line}",
        expected=f"{want} cells",
        remedy=remedy,
    )


def _listing(names: list[str], most: int = 12) -> str:
    shown = ", ".join(printable(n) for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
