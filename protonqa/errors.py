"""The whole error hierarchy of protonqa on one page.

Every error says what is wrong, what was found, what was expected and what to do about it, in one line.
Patient identity (names, ids, dates, file paths of a patient folder) never enters a message.
"""

from __future__ import annotations

from typing import ClassVar


class ProtonQAError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    what : str
        What is wrong, in the words of the user's world.
    got, expected : str
        What was found and what would have been right.
    remedy : str
        What the user can do now.
    """

    code: ClassVar[str] = "PROTONQA"

    def __init__(self, what: str, *, got: str = "", expected: str = "", remedy: str = "") -> None:
        self.what = what
        self.got = got
        self.expected = expected
        self.remedy = remedy
        super().__init__(self.line())

    def line(self) -> str:
        """One line for people: ``what, got ..., expected ..., remedy``."""
        parts = [self.what]
        if self.got:
            parts.append(f"got {self.got}")
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.remedy:
            parts.append(self.remedy)
        return " ".join(", ".join(parts).split())

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.got, self.expected, self.remedy)


def _rebuild(kind: type[ProtonQAError], what: str, got: str, expected: str, remedy: str) -> ProtonQAError:
    return kind(what, got=got, expected=expected, remedy=remedy)


class InputError(ProtonQAError):
    """Something the user handed in cannot be used."""

    code = "INPUT"


class DicomError(InputError):
    """A DICOM file or series is damaged, incomplete or of the wrong kind."""

    code = "DICOM"


class GeometryError(InputError):
    """Positions, spacings or orientations do not make a usable geometry."""

    code = "GEOMETRY"


class UnitsError(InputError):
    """The unit of a quantity is missing, unknown or not convertible."""

    code = "UNITS"


class CalibrationError(InputError):
    """An HU calibration, beam model or cross-section table cannot be used."""

    code = "CALIBRATION"


class NotEvaluableError(ProtonQAError):
    """The evidence for a number is missing: the answer is NOT EVALUABLE, not a guess."""

    code = "NOT-EVALUABLE"


class ModelError(ProtonQAError):
    """The range model cannot be used."""

    code = "MODEL"


class ModelFileError(ModelError):
    """Weights or card of a model are damaged, inconsistent or of another version."""

    code = "MODEL-FILE"


class OutOfDomainError(ModelError):
    """The input lies outside what the model was trained and calibrated for."""

    code = "OUT-OF-DOMAIN"


class DeviceError(ProtonQAError):
    """The requested computing device is absent or failed its self-test."""

    code = "DEVICE"


class StoreError(ProtonQAError):
    """A result could not be written or read back."""

    code = "STORE"


class PluginError(ProtonQAError):
    """An analysis is unknown, broken or returned something that is not a result."""

    code = "PLUGIN"


class Cancelled(ProtonQAError):  # noqa: N818  not a failure of the program
    """The user stopped the work; nothing was marked as done."""

    code = "CANCELLED"
