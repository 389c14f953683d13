"""Checked access to the attributes of one file: every failure is one line that names the file and the attribute."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from protonqa.dicom.structure import Layout
from protonqa.errors import DicomError, ProtonQAError
from protonqa.values import Finding, Severity

# pydicom's log lines quote the values they complain about, patient names included: none of them is ever written.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_VR_IN_WARNING = re.compile(r"\bVR ([A-Z]{2})\b")


def shown(text: object, limit: int = 40) -> str:
    """A value of a file, safe for one line of a message: printable ASCII, short, in quotes."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in str(text))
    return repr(plain if len(plain) <= limit else plain[: limit - 3] + "...")


def clean_text(text: str, limit: int = 64) -> str:
    """A label of a file as plain text: control characters out, at most `limit` characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit]


@contextmanager
def guarded(label: str, attribute: str = "") -> Iterator[None]:
    """Turn whatever the parser throws at a hostile file into one DicomError; its errors are no closed list."""
    try:
        yield
    except ProtonQAError:
        raise
    except Exception as error:
        subject = f"attribute {attribute} of {label}" if attribute else label
        raise DicomError(
            f"{subject} cannot be read", got=_kind(error), remedy="export the series again from its source"
        ) from error


def _kind(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "sequences nested without end"
    if isinstance(error, MemoryError):
        return "a need for more memory than there is"
    return f"a damaged value ({type(error).__name__})"


@contextmanager
def library_warnings(findings: list[Finding]) -> Iterator[None]:
    """Collect the warnings of the DICOM library as one finding, by kind and count, without the values they quote."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    kinds: Counter[str] = Counter()
    for warning in caught:
        match = _VR_IN_WARNING.search(str(warning.message))
        kinds[f"values of type {match.group(1)}" if match else "other values"] += 1
    if kinds:
        text = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
        findings.append(
            Finding(
                severity=Severity.INFO,
                code="DICOM-NONCONFORMANT",
                text=f"Some attributes break the DICOM rules and were read as they are ({text}).",
            )
        )


def parse_header(data: bytes, layout: Layout, label: str) -> Attributes:
    """The attributes before PixelData of a file whose structure was walked."""
    with guarded(label):
        dataset = pydicom.dcmread(io.BytesIO(data[: layout.pixel_element]))
    return Attributes(dataset, label, layout)


class Attributes:
    """The attributes of a file or of a sequence item.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Never handed out.
    label : str
        How messages name the file.
    layout : Layout or None
        None for a sequence item.
    """

    def __init__(self, dataset: Any, label: str, layout: Layout | None = None) -> None:
        self._dataset, self.label, self._layout = dataset, label, layout

    def _value(self, keyword: str) -> Any:
        with guarded(self.label, keyword):
            return self._dataset.get(keyword)

    def has(self, keyword: str) -> bool:
        """True when the attribute is there and not empty."""
        value = self._value(keyword)
        return value is not None and (not hasattr(value, "__len__") or len(value) > 0)

    def text(self, keyword: str) -> str:
        """First value as text, without outer blanks; empty when absent."""
        values = self.texts(keyword)
        return values[0] if values else ""

    def texts(self, keyword: str) -> tuple[str, ...]:
        """All values as text."""
        value = self._value(keyword)
        with guarded(self.label, keyword):
            if value is None:
                return ()
            many = isinstance(value, (list, tuple, pydicom.multival.MultiValue))
            return tuple(str(one).strip("\0 \t\r\n") for one in (value if many else (value,)))

    def uid(self, keyword: str) -> str:
        """A UID, or empty when it is absent or breaks the grammar of UIDs (digits and dots, at most 64)."""
        text = self.text(keyword)
        return text if len(text) <= 64 and _UID.fullmatch(text) else ""

    def numbers(self, keyword: str, count: int | None = None) -> tuple[float, ...]:
        """All values as finite floats; required, and exactly `count` of them where given.

        Raises
        ------
        DicomError
            Absent, not numbers, not finite, or another count.
        """
        value = self._value(keyword)
        if value is None:
            raise self.missing(keyword)
        with guarded(self.label, keyword):
            if isinstance(value, (str, int, float)) or np.isscalar(value):
                value = (value,)
            numbers = tuple(float(one) for one in value)
        if not numbers:
            raise self.missing(keyword)
        if not np.all(np.isfinite(numbers)):
            raise DicomError(f"attribute {keyword} of {self.label} is not a finite number")
        if count is not None and len(numbers) != count:
            raise DicomError(
                f"attribute {keyword} of {self.label} has the wrong number of values",
                got=str(len(numbers)),
                expected=str(count),
            )
        return numbers

    def _raw(self, keyword: str) -> bytes:
        """The bytes of an attribute that nobody looked at yet; empty when absent."""
        with guarded(self.label, keyword):
            element = self._dataset.get_item(keyword)
            if element is None or element.value is None:
                return b""
            return bytes(memoryview(element.value)).strip(b"\0 \t\r\n")

    def count(self, keyword: str) -> int:
        """How many values a text attribute has, before any of them is read."""
        raw = self._raw(keyword)
        return raw.count(b"\\") + 1 if raw else 0

    def decimals(self, keyword: str) -> NDArray[np.float64]:
        """A long list of decimal strings as an array, NaN and infinity included; empty when absent.

        Unlike `numbers`, no object of the DICOM library is made for each of them.

        Raises
        ------
        DicomError
            Something that is no number.
        """
        raw = self._raw(keyword)
        with guarded(self.label, keyword):
            return np.array([float(one) for one in raw.split(b"\\")] if raw else [], dtype=np.float64)

    def number(self, keyword: str) -> float:
        """One finite number; required."""
        return self.numbers(keyword, 1)[0]

    def integer(self, keyword: str) -> int:
        """One whole number; required."""
        number = self.number(keyword)
        if number != int(number):
            raise DicomError(f"attribute {keyword} of {self.label} is not a whole number", got=f"{number:g}")
        return int(number)

    def optional_number(self, keyword: str) -> float | None:
        """One finite number, or None when absent or empty."""
        return self.number(keyword) if self.has(keyword) else None

    def hint(self, keyword: str) -> float | None:
        """A number that only serves a finding: None when absent or unreadable."""
        try:
            return self.optional_number(keyword)
        except DicomError:
            return None

    def optional_integer(self, keyword: str, default: int) -> int:
        """One whole number, or `default` when absent or empty."""
        return self.integer(keyword) if self.has(keyword) else default

    def items(self, keyword: str) -> tuple[Attributes, ...]:
        """Items of a sequence; none when absent."""
        value = self._value(keyword)
        if value is None:
            return ()
        with guarded(self.label, keyword):
            return tuple(Attributes(item, self.label) for item in value)

    def missing(self, keyword: str) -> DicomError:
        """The error that says this attribute is absent."""
        return DicomError(
            f"attribute {keyword} of {self.label} is missing",
            expected="a complete DICOM file",
            remedy="the file may be cut off; export it again from its source",
        )

    def require(self, *keywords: str) -> None:
        """Raise DicomError when one of the attributes is absent or empty."""
        for keyword in keywords:
            if not self.has(keyword):
                raise self.missing(keyword)

    @property
    def sop_class_uid(self) -> str:
        """SOPClassUID, from the file meta information where the dataset leaves it empty."""
        return self.text("SOPClassUID") or (self._layout.meta.sop_class_uid if self._layout else "")

    @property
    def sop_instance_uid(self) -> str:
        """SOPInstanceUID, likewise."""
        own = self.uid("SOPInstanceUID")
        if own or self._layout is None:
            return own
        meta = self._layout.meta.sop_instance_uid
        return meta if _UID.fullmatch(meta) and len(meta) <= 64 else ""
