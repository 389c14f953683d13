"""Texts and numbers in the form that DICOM can hold, checked before they meet a data set."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydicom.valuerep import format_number_as_ds

from protonqa.errors import DicomError


def check_text(text: str, attribute: str, max_length: int) -> str:
    """`text` itself, when one DICOM value can hold it.

    Raises
    ------
    DicomError
        Too long, a backslash (it separates values) or control characters; the text is not repeated.
    """
    if len(text) > max_length or "\\" in text or not all(c.isprintable() for c in text):
        raise DicomError(
            f"{attribute} cannot be written",
            got=f"{len(text)} characters",
            expected=f"at most {max_length} printable characters, no backslash",
        )
    return text


def check_person_name(name: str, attribute: str) -> str:
    """A person name of up to three component groups of 64 characters; raises DicomError."""
    groups = name.split("=")
    if len(groups) > 3 or any(group.count("^") > 4 for group in groups):
        raise DicomError(f"{attribute} cannot be written", expected="FAMILY^GIVEN^MIDDLE^PREFIX^SUFFIX")
    for group in groups:
        check_text(group, attribute, 64)
    return name


def decimal(value: float) -> str:
    """A decimal string (DS): the nearest number that fits into 16 characters; its sign of zero is dropped."""
    return str(format_number_as_ds(float(value) + 0.0))


def decimals(values: Iterable[float]) -> list[str]:
    """Decimal strings of several values."""
    return [decimal(value) for value in values]


def da(moment: datetime | None) -> str:
    """Date (DA), empty for None."""
    return "" if moment is None else f"{moment:%Y%m%d}"


def tm(moment: datetime | None) -> str:
    """Time (TM) with microseconds, empty for None."""
    return "" if moment is None else f"{moment:%H%M%S.%f}"


def dt(moment: datetime) -> str:
    """Date-time (DT) with microseconds and zone."""
    return f"{moment:%Y%m%d%H%M%S.%f%z}"
