"""The table that `simulate` writes: dose and positron emitters along depth, per primary proton."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from protonqa.durable import write_text_atomic
from protonqa.errors import InputError
from protonqa.files.csv_table import FileLimits, read_csv_table
from protonqa.files.ray_rows import cell, is_ray_name, rows_of_csv
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.values.depth_profile import DepthProfile

PRODUCTION_COLUMNS = tuple(f"{key}_per_mm" for key in NUCLIDE_KEYS)
#: Order of the columns in the file; part of the outside interface.
COLUMNS = ("depth_mm", "idd_mev_per_mm", "dose_mev_cm2_per_g", *PRODUCTION_COLUMNS, "hu", "rsp")
_OPTIONAL = ("idd_mev_per_mm", "dose_mev_cm2_per_g", "hu", "rsp")
_WHAT = "simulated profile table"


def read_depth_profiles(path: str | os.PathLike[str], *, limits: FileLimits | None = None) -> tuple[DepthProfile, ...]:
    """Read a table as `simulate` writes it; a column ``ray`` makes several profiles, in the order of the file.

    The nuclide columns are required (a misspelt one must not become zero activity), dose, HU and RSP are not.

    Raises
    ------
    InputError
        Missing columns, text, NaN, negative production, depths that do not increase; with the line.
    """
    table = read_csv_table(path, what=_WHAT, limits=limits)
    rows = rows_of_csv(table, required=("depth_mm", *PRODUCTION_COLUMNS), optional=_OPTIONAL)
    for name in PRODUCTION_COLUMNS:
        negative = rows.numbers[name] < 0
        if negative.any():
            at = int(np.argmax(negative))
            raise InputError(
                f"column '{name}' of the {_WHAT} is negative",
                got=f"{rows.numbers[name][at]:g}, {rows.place(at)}",
                expected="0 or more",
            )
    return tuple(
        DepthProfile(
            depth_mm=rows.numbers["depth_mm"][indices],
            production_per_mm=np.stack([rows.numbers[name][indices] for name in PRODUCTION_COLUMNS]),
            ray=name if "ray" in table.columns else "",
            **{column: rows.optional(column, indices) for column in _OPTIONAL},
        )
        for name, indices in rows.rays()
    )


def read_depth_profile(path: str | os.PathLike[str], *, limits: FileLimits | None = None) -> DepthProfile:
    """Read the one profile of a table.

    Raises
    ------
    InputError
        As `read_depth_profiles`, and when the table holds several rays.
    """
    profiles = read_depth_profiles(path, limits=limits)
    if len(profiles) != 1:
        raise InputError(f"the {_WHAT} holds several rays", got=f"{len(profiles)} rays", expected="one")
    return profiles[0]


def write_depth_profiles(path: str | os.PathLike[str], profiles: DepthProfile | Sequence[DepthProfile]) -> None:
    """Write profiles as CSV, all or nothing; a column ``ray`` is added for named or several profiles.

    A column of ``COLUMNS`` is left out only when no profile has it. Numbers read back exactly.

    Raises
    ------
    InputError
        Several profiles without names of their own.
    StoreError
        The file cannot be written; the old one is unchanged.
    """
    every = (profiles,) if isinstance(profiles, DepthProfile) else tuple(profiles)
    names = [p.ray for p in every]
    named = len(every) > 1 or any(names)
    if not every or (named and (len(set(names)) != len(names) or not all(is_ray_name(n) for n in names))):
        raise InputError("a profile has no name of its own that can be written", expected="different plain names")
    absent = [c for c in _OPTIONAL if all(getattr(p, c) is None for p in every)]
    columns = [c for c in COLUMNS if c not in absent]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*columns, *(["ray"] if named else [])])
    for profile in every:
        cells = [_cells(profile, c) for c in columns]
        for row in zip(*cells, strict=True):
            writer.writerow([*row, *([profile.ray] if named else [])])
    write_text_atomic(path, buffer.getvalue(), label=_WHAT)


def _cells(profile: DepthProfile, column: str) -> list[str]:
    values: Any = (
        profile.production_per_mm[PRODUCTION_COLUMNS.index(column)]
        if column in PRODUCTION_COLUMNS
        else getattr(profile, column)
    )
    return [""] * profile.depth_mm.size if values is None else [cell(v) for v in values]
