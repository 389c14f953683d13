"""How a message names a file: by its name where that is harmless, by its number where it could name a patient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

_HARMLESS = re.compile(r"[A-Za-z0-9._+-]{1,80}")
_WORDS = re.compile(r"[\^=\s,;._-]+")


class FileNames:
    """The file names of one import and the words in them that would give a patient away.

    Parameters
    ----------
    names : sequence of str
        Names inside the import, in order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._identity: set[str] = set()

    def learn(self, seen: Mapping[int, bytes]) -> None:
        """Take in identity (name, id, date of birth) as raw values of a file."""
        for tag in (0x00100010, 0x00100020, 0x00100030):
            text = seen.get(tag, b"").decode("utf-8", "replace").strip("\0 ").casefold()
            if tag != 0x00100010 and len(text) >= 2:
                self._identity.add(text)
            self._identity.update(word for word in _WORDS.split(text) if len(word) >= 3)

    def label(self, index: int) -> str:
        """`file NAME`, or `file 12 of 51 in order of name` where the name is odd or holds identity."""
        name = PurePosixPath(self._names[index]).name
        plain = name.casefold()
        if _HARMLESS.fullmatch(name) and not any(word in plain for word in self._identity):
            return f"file {name}"
        return f"file {index + 1} of {len(self._names)} in order of name"
