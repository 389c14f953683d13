"""Cross sections of positron-emitter production from a CSV of the user."""

from __future__ import annotations

import os
import re

import numpy as np

from protonqa.errors import CalibrationError
from protonqa.files.csv_table import FileLimits, FloatArray, printable, read_csv_table

_LIMITS = FileLimits(max_bytes=8 * 1024 * 1024, max_rows=100_000)
_CHANNEL = re.compile(r"p\+(\d{1,3})([A-Z][a-z]?)->(\d{1,3})([A-Z][a-z]?)")
_WHAT = "cross-section table"
#: Largest energy and cross section taken for mb and MeV; above, the columns are in other units.
_MAX_ENERGY_MEV = 1000.0
_MAX_XS_MB = 5000.0


def read_cross_sections_csv(path: str | os.PathLike[str]) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Read production cross sections by channel.

    Columns ``channel, energy_MeV, xs_mb``; a channel is written as ``p+16O->15O``. Other columns are left aside.

    Returns
    -------
    dict
        Channel to (energy_mev (n,), xs_mb (n,)), energies increasing, in the order of the file.

    Raises
    ------
    CalibrationError
        Missing columns, text, NaN, a channel that is not one, energies of a channel that do not increase, negative or
        impossible values; with the line.
    """
    table = read_csv_table(path, what=_WHAT, limits=_LIMITS, kind=CalibrationError)
    table.require(("channel", "energy_MeV", "xs_mb"))
    energy_mev, xs_mb = table.numbers("energy_MeV"), table.numbers("xs_mb")
    for name, values, top in (("energy_MeV", energy_mev, _MAX_ENERGY_MEV), ("xs_mb", xs_mb, _MAX_XS_MB)):
        bad = (values < 0) | (values > top)
        if bad.any():
            at = int(np.argmax(bad))
            raise CalibrationError(
                f"column '{name}' of the {_WHAT} has an impossible value",
                got=f"{values[at]:g} in line {table.lines[at]}",
                expected=f"0 to {top:g}",
            )
    rows: dict[str, list[int]] = {}
    for index, channel in enumerate(table.columns["channel"]):
        if channel not in rows and not _CHANNEL.fullmatch(channel):
            raise CalibrationError(
                f"the {_WHAT} has a channel that is not one",
                got=f"{printable(channel, 30)!r} in line {table.lines[index]}",
                expected="a reaction such as p+16O->15O",
            )
        rows.setdefault(channel, []).append(index)
    for channel, indices in rows.items():
        steps = np.diff(energy_mev[indices])
        if len(indices) < 2 or (steps <= 0).any():
            at = indices[int(np.argmax(steps <= 0)) + 1] if len(indices) > 1 else indices[0]
            raise CalibrationError(
                f"energies of channel {channel} do not increase",
                got=f"{energy_mev[at]:g} MeV in line {table.lines[at]}",
                expected="at least two increasing energies a channel",
            )
    return {channel: (energy_mev[indices], xs_mb[indices]) for channel, indices in rows.items()}
