"""Rows of a table gathered into rays: the part that activity and simulation tables have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.files.csv_table import CsvTable, FloatArray

_RAY_NAME = re.compile(r"[\w.,;:()\[\]/ +-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RayRows:
    """Columns of numbers, a ray name and a place in the file for every row; NaN is an empty optional cell."""

    numbers: dict[str, FloatArray]
    ray: list[str]
    place: Callable[[int], str]
    what: str

    def rays(self) -> Iterator[tuple[str, NDArray[np.intp]]]:
        """Name and rows of each ray, in the order of the file, its depths checked."""
        groups: dict[str, list[int]] = {}
        for index, name in enumerate(self.ray):
            groups.setdefault(name, []).append(index)
        depth_mm = self.numbers["depth_mm"]
        for name, indices in groups.items():
            rows = np.asarray(indices, dtype=np.intp)
            steps = np.diff(depth_mm[rows])
            if rows.size < 2:
                raise InputError(
                    f"a ray of the {self.what} has one depth only",
                    got=f"one row, {self.place(int(rows[0]))}",
                    expected="at least two depths",
                )
            if not np.all(steps > 0):
                first = int(np.argmax(steps <= 0)) + 1
                raise InputError(
                    f"depths of the {self.what} do not increase",
                    got=f"{depth_mm[rows[first]]:g} mm after {depth_mm[rows[first - 1]]:g} mm, "
                    f"{self.place(int(rows[first]))}",
                    expected="increasing depth_mm within each ray",
                    remedy="sort the rows, or give each ray its own name in a column 'ray'",
                )
            yield name, rows

    def optional(self, name: str, rows: NDArray[np.intp]) -> FloatArray | None:
        """A column of one ray, None when it is absent or empty there; partly empty is refused."""
        values = self.numbers.get(name)
        if values is None or np.isnan(values[rows]).all():
            return None
        gap = np.isnan(values[rows])
        if gap.any():
            raise InputError(
                f"column '{name}' of the {self.what} is empty in some rows of a ray",
                got=f"an empty cell, {self.place(int(rows[int(np.argmax(gap))]))}",
                expected="a number in every row of the ray, or in none",
            )
        return values[rows]

    def constant(self, name: str, rows: NDArray[np.intp]) -> float | None:
        """A value that belongs to the whole ray, 0 or more, or None."""
        values = self.optional(name, rows)
        if values is None:
            return None
        other = values != values[0]
        if other.any():
            at = int(rows[int(np.argmax(other))])
            raise InputError(
                f"column '{name}' of the {self.what} changes within a ray",
                got=f"{values[np.argmax(other)]:g} after {values[0]:g}, {self.place(at)}",
                expected="one value a ray",
            )
        if values[0] < 0:
            raise InputError(
                f"column '{name}' of the {self.what} is negative",
                got=f"{values[0]:g}, {self.place(int(rows[0]))}",
                expected="0 or more",
            )
        return float(values[0])


def rows_of_csv(table: CsvTable, *, required: tuple[str, ...], optional: tuple[str, ...]) -> RayRows:
    """Numbers of the required columns and of those optional ones that are there."""
    table.require(required)
    numbers = {name: table.numbers(name) for name in required}
    numbers |= {name: table.numbers(name, may_be_empty=True) for name in optional if name in table.columns}
    lines = table.lines
    ray = table.columns.get("ray") or ["0"] * len(table)
    rows = RayRows(numbers=numbers, ray=ray, place=lambda i: f"line {lines[i]}", what=table.what)
    check_ray_names(rows)
    return rows


def check_ray_names(rows: RayRows) -> None:
    """Refuse names that could do harm in a spreadsheet, a page or a file name."""
    good: set[str] = set()
    for index, name in enumerate(rows.ray):
        if name not in good and not is_ray_name(name):
            raise InputError(
                f"a ray of the {rows.what} has no usable name",
                got=f"the name in {rows.place(index)}",
                expected="1 to 64 letters, digits or any of . , ; : ( ) [ ] / + - and space",
            )
        good.add(name)


def is_ray_name(name: str) -> bool:
    """True for names that are harmless everywhere; a leading sign is fine in a number only."""
    if not _RAY_NAME.fullmatch(name) or name != name.strip():
        return False
    if name[0] not in "+-":
        return True
    try:
        float(name)
    except ValueError:
        return False
    return True


def cell(value: float | None) -> str:
    """Shortest text that reads back to the same number, decimal point on every computer; empty for None."""
    return "" if value is None else repr(float(value))
