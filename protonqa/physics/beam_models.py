"""Beam models: the built-in generic one and the CSV form in which a clinic gives its own.

A beam model file starts with ``# key: value`` lines (``name``, ``virtual_sad_mm: X Y`` and any number of
``range_shifter_wet_mm NAME: WET``; all optional) and continues with the columns of ``COLUMNS``.
"""

from __future__ import annotations

import csv
import math
from functools import cache

from protonqa.errors import CalibrationError
from protonqa.tables import table_text
from protonqa.values import BeamModel, Finding, Severity

GENERIC_TABLE = "generic_beam_model.csv"
COLUMNS = (
    "nominal_mev",
    "mean_mev",
    "spread_percent",
    "sigma_x_mm",
    "sigma_y_mm",
    "divergence_x_mrad",
    "divergence_y_mrad",
    "protons_per_mu",
)
_SHIFTER_KEY = "range_shifter_wet_mm "


@cache
def generic_beam_model() -> BeamModel:
    """A scanning beam of 70 to 230 MeV that belongs to no machine; its assumptions stand in the packaged table."""
    return parse_beam_model(table_text(GENERIC_TABLE))


def beam_model_findings(model: BeamModel) -> tuple[Finding, ...]:
    """What a report must say about the beam model: one warning when it is the generic one."""
    if not model.generic:
        return ()
    text = (
        f"No beam model was given: the generic one ({model.nominal_mev[0]:g}-{model.nominal_mev[-1]:g} MeV) stands in. "
        "Energies, spot sizes and protons per MU are not those of your machine."
    )
    return (Finding(severity=Severity.WARNING, code="BEAM-MODEL-GENERIC", text=text),)


def parse_beam_model(text: str, *, name: str = "") -> BeamModel:
    """A beam model from the text of its CSV file.

    Parameters
    ----------
    text : str
        The whole file.
    name : str
        Used when the file has no ``# name:`` line.

    Raises
    ------
    CalibrationError
        Missing or unknown columns, a cell that is no finite number, a damaged header line, impossible values.
    """
    lines = text.lstrip("\ufeff").splitlines()
    header = _header([line for line in lines if line.startswith("#")])
    columns = _columns([line for line in lines if line.strip() and not line.startswith("#")])
    shifters = {k.removeprefix(_SHIFTER_KEY).strip(): v for k, v in header.items() if k.startswith(_SHIFTER_KEY)}
    return BeamModel(
        **columns,  # type: ignore[arg-type]
        virtual_sad_mm=_two_numbers(header.get("virtual_sad_mm", "2000 2000")),
        range_shifter_wet_mm=tuple((key, _number(value, key)) for key, value in shifters.items()),
        name=header.get("name", name),
        generic=header.get("generic", "no").lower() == "yes",
    )


def _header(lines: list[str]) -> dict[str, str]:
    pairs = (line.lstrip("# ").partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _columns(lines: list[str]) -> dict[str, list[float]]:
    reader = csv.DictReader(lines)
    have = [str(column).strip() for column in reader.fieldnames or ()]
    reader.fieldnames = have
    missing = [column for column in COLUMNS if column not in have]
    unknown = [column for column in have if column not in COLUMNS]
    if missing or unknown:
        got = "; ".join(
            f"{word}: {', '.join(names)}" for word, names in (("missing", missing), ("unknown", unknown)) if names
        )
        raise CalibrationError("beam model has the wrong columns", got=got, expected=", ".join(COLUMNS))
    table: dict[str, list[float]] = {column: [] for column in COLUMNS}
    for row in reader:
        if None in row:
            raise CalibrationError(
                "beam model has a row with too many cells",
                got=f"row {reader.line_num} of the table",
                expected=f"{len(COLUMNS)} cells",
                remedy="use a decimal point, not a comma",
            )
        for column in COLUMNS:
            table[column].append(_number(row[column], column))
    return table


def _two_numbers(text: str) -> tuple[float, float]:
    parts = text.replace(",", " ").split()
    if len(parts) != 2:
        raise CalibrationError("virtual SAD of the beam model is not two numbers", got=repr(text), expected="X Y in mm")
    return _number(parts[0], "virtual_sad_mm"), _number(parts[1], "virtual_sad_mm")


def _number(text: str | None, name: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CalibrationError(
            f"beam model {name} is not a number", got=repr(text), expected="a finite number with a decimal point"
        )
    return value
