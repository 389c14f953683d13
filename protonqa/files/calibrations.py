"""Calibrations of a clinic: HU to RSP (CSV) and the beam model of a machine (YAML or CSV)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import CalibrationError
from protonqa.files.csv_table import CsvTable, FileLimits, printable, read_csv_table, read_text
from protonqa.files.yaml_tree import read_yaml
from protonqa.values.calibration import BeamModel, Hlut

_LIMITS = FileLimits(max_bytes=1024 * 1024, max_rows=100_000)
_ENERGY_COLUMNS = (
    "nominal_mev",
    "mean_mev",
    "spread_percent",
    "sigma_x_mm",
    "sigma_y_mm",
    "divergence_x_mrad",
    "divergence_y_mrad",
    "protons_per_mu",
)
_MODEL_KEYS = ("name", "virtual_sad_mm", "range_shifter_wet_mm", "energies")
_MAX_RSP = 10.0
_HU_RANGE = (-2000.0, 100_000.0)


def read_hlut(path: str | os.PathLike[str]) -> Hlut:
    """Read an HU to RSP calibration: columns ``HU, RSP``, comments with ``#``, ``# name:`` names it.

    Raises
    ------
    CalibrationError
        Missing columns, text, NaN, HU not increasing, an RSP outside 0 to 10; with the line.
    """
    table = read_csv_table(path, what="HU calibration", limits=_LIMITS, kind=CalibrationError)
    table = _upper_case(table)
    table.require(("HU", "RSP"))
    hu, rsp = table.numbers("HU"), table.numbers("RSP")
    _increasing(hu, "HU", table)
    _within(rsp, "RSP", (0.0, _MAX_RSP), table)
    _within(hu, "HU", _HU_RANGE, table)
    if hu.size < 2:
        raise CalibrationError("the HU calibration has one row only", expected="at least two rows")
    return Hlut(hu=hu, rsp=rsp, name=printable(table.comments.get("name", ""), 64))


def read_beam_model(path: str | os.PathLike[str]) -> BeamModel:
    """Read the beam model of a machine from YAML (``.yaml``, ``.yml``) or CSV.

    Raises
    ------
    CalibrationError
        Missing or unknown keys (the nearest known one is named), text, NaN, energies not increasing, impossible
        values; with the line.
    """
    if Path(path).suffix.lower() in (".yaml", ".yml"):
        return _beam_model_of_yaml(path)
    return _beam_model_of_csv(path)


def _beam_model_of_csv(path: str | os.PathLike[str]) -> BeamModel:
    table = read_csv_table(path, what="beam model", limits=_LIMITS, kind=CalibrationError)
    table.require(_ENERGY_COLUMNS)
    columns: dict[str, Any] = {name: table.numbers(name) for name in _ENERGY_COLUMNS}
    _increasing(columns["nominal_mev"], "nominal_mev", table)
    for name, values in columns.items():
        positive = name in ("nominal_mev", "mean_mev", "protons_per_mu")
        _within(values, name, (np.nextafter(0, 1) if positive else 0.0, np.inf), table)
    options: dict[str, Any] = {}
    if "virtual_sad_mm" in table.comments:
        sad = [_comment_number(table, "virtual_sad_mm", t) for t in table.comments["virtual_sad_mm"].split(",")]
        options["virtual_sad_mm"] = _pair(sad, f"line {table.comment_lines['virtual_sad_mm']}")
    if "range_shifter_wet_mm" in table.comments:
        options["range_shifter_wet_mm"] = _shifters_of_comment(table)
    return BeamModel(**columns, name=printable(table.comments.get("name", ""), 64), **options)


def _shifters_of_comment(table: CsvTable) -> tuple[tuple[str, float], ...]:
    found = []
    for part in table.comments["range_shifter_wet_mm"].split(","):
        name, _, wet = part.partition("=")
        found.append((name.strip(), _comment_number(table, "range_shifter_wet_mm", wet)))
    return _shifters(found, f"line {table.comment_lines['range_shifter_wet_mm']}")


def _comment_number(table: CsvTable, key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise CalibrationError(
            f"'{key}' of the beam model is not a number",
            got=f"{printable(text.strip(), 20)!r} in line {table.comment_lines[key]}",
            expected="numbers such as '2000, 1800' or 'RS40=40.2'",
        )
    return value


def _beam_model_of_yaml(path: str | os.PathLike[str]) -> BeamModel:
    text = read_text(path, what="beam model", limits=_LIMITS, kind=CalibrationError)
    root = read_yaml(text, what="beam model")
    root.check_keys(_MODEL_KEYS, required=("energies",))
    rows = root.item("energies").items()
    if not rows:
        raise root.item("energies").error("without energies", "", "at least one energy")
    for row in rows:
        row.check_keys(_ENERGY_COLUMNS, required=_ENERGY_COLUMNS)
    columns: dict[str, Any] = {name: np.array([row.item(name).number() for row in rows]) for name in _ENERGY_COLUMNS}
    for name, values in columns.items():
        positive = name in ("nominal_mev", "mean_mev", "protons_per_mu")
        for row, value in zip(rows, values, strict=True):
            if value < 0 or (positive and value == 0):
                raise row.item(name).error(f"has an impossible {name}", f"{value:g}", "a positive number")
    for before, row in zip(columns["nominal_mev"][:-1], rows[1:], strict=True):
        node = row.item("nominal_mev")
        if node.number() <= before:
            raise node.error("has energies that do not increase", f"{node.number():g} after {before:g}", "rising MeV")
    options: dict[str, Any] = {}
    if sad := root.get("virtual_sad_mm"):
        options["virtual_sad_mm"] = _pair([n.number() for n in sad.items()], f"line {sad.line}")
    if shifters := root.get("range_shifter_wet_mm"):
        pairs = [(key, node.number()) for key, node in shifters.mapping().items()]
        options["range_shifter_wet_mm"] = _shifters(pairs, f"line {shifters.line}")
    if title := root.get("name"):
        options["name"] = printable(title.text(), 64)
    return BeamModel(**columns, **options)


def _pair(values: list[float], place: str) -> tuple[float, float]:
    if len(values) != 2 or min(values) <= 0:
        raise CalibrationError(
            "virtual_sad_mm of the beam model is not a pair of distances",
            got=f"{len(values)} values in {place}",
            expected="two numbers above 0 mm, x and y",
        )
    return values[0], values[1]


def _shifters(pairs: list[tuple[str, float]], place: str) -> tuple[tuple[str, float], ...]:
    names = [name for name, _ in pairs]
    if not all(names) or len(set(names)) != len(names) or any(wet < 0 for _, wet in pairs):
        raise CalibrationError(
            "range_shifter_wet_mm of the beam model cannot be used",
            got=place,
            expected="different names, each with its WET in mm, 0 or more",
        )
    return tuple((printable(name, 64), wet) for name, wet in pairs)


def _upper_case(table: CsvTable) -> CsvTable:
    """HU and RSP in any case: scanners and spreadsheets differ, the meaning does not."""
    columns = {n.upper() if n.upper() in ("HU", "RSP") else n: cells for n, cells in table.columns.items()}
    if len(columns) != len(table.columns):
        raise CalibrationError("the HU calibration has a column twice", expected="HU and RSP once each")
    return CsvTable(
        columns=columns,
        lines=table.lines,
        comments=table.comments,
        what=table.what,
        kind=table.kind,
        comment_lines=table.comment_lines,
    )


def _increasing(values: NDArray[np.float64], name: str, table: CsvTable) -> None:
    steps = np.diff(values)
    if (steps <= 0).any():
        at = int(np.argmax(steps <= 0)) + 1
        raise CalibrationError(
            f"column '{name}' of the {table.what} does not increase",
            got=f"{values[at]:g} after {values[at - 1]:g} in line {table.lines[at]}",
            expected="each value once, from low to high",
            remedy="sort the rows",
        )


def _within(values: NDArray[np.float64], name: str, limits: tuple[float, float], table: CsvTable) -> None:
    bad = (values < limits[0]) | (values > limits[1])
    if bad.any():
        at = int(np.argmax(bad))
        raise CalibrationError(
            f"column '{name}' of the {table.what} has an impossible value",
            got=f"{values[at]:g} in line {table.lines[at]}",
            expected=f"{limits[0]:g} to {limits[1]:g}",
        )
