"""DICOM unique identifiers: made without a registered root, derived from names where a case must be reproducible."""

from __future__ import annotations

import re
import uuid

from protonqa.errors import DicomError

#: PS3.5 section 9.1: components of digits without leading zeros, the first 0 to 2, at most 64 characters.
_GRAMMAR = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_MAX_LENGTH = 64
#: Name space of all derived identifiers; a random UUID that never changes.
_NAMESPACE = uuid.UUID("6f1f3a3e-8b0e-4a55-9d0c-3f3f8a1f4c27")


def is_uid(text: str) -> bool:
    """True when `text` follows the grammar of DICOM unique identifiers."""
    return len(text) <= _MAX_LENGTH and _GRAMMAR.fullmatch(text) is not None


def require_uid(text: str, attribute: str) -> str:
    """`text` itself, when it is a unique identifier.

    Raises
    ------
    DicomError
        Empty or against the grammar; the value is not repeated, it may hold a path or a name.
    """
    if not is_uid(text):
        raise DicomError(
            f"{attribute} is not a unique identifier",
            got=f"{len(text)} characters",
            expected="numbers with dots between them, at most 64 characters",
        )
    return text


def new_uid() -> str:
    """A random identifier below 2.25 (ISO/IEC 9834-8), which needs no registered root."""
    return f"2.25.{uuid.uuid4().int}"


def derived_uid(*names: str) -> str:
    """The identifier that belongs to these names: the same names give the same one, on every computer."""
    if not names:
        raise DicomError("a derived identifier needs names to derive it from")
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    joined = "".join(f"{len(name)}:{name}" for name in names)
    return f"2.25.{uuid.uuid5(_NAMESPACE, joined).int}"
