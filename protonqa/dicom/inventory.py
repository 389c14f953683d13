"""What a folder holds, by content and not by names: images, plans, doses, structures. Only heads of files are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from protonqa.dicom.ct import WANTED_CT
from protonqa.dicom.dose import WANTED_DOSE
from protonqa.dicom.limits import DEFAULT_LIMITS, ReadLimits
from protonqa.dicom.pet import WANTED_PET
from protonqa.dicom.plan import WANTED_ANY_PLAN, WANTED_ION_PLAN
from protonqa.dicom.series import Wanted
from protonqa.dicom.sources import Source, open_sources
from protonqa.dicom.structure import Damage, walk
from protonqa.dicom.structures import WANTED_STRUCTURES
from protonqa.errors import InputError

#: How much of a file is read until it says what it is; private elements can push the series far behind.
_HEADS = (8 * 1024, 256 * 1024)
#: Kind, and what its reader looks for; the first that fits decides.
_KINDS: tuple[tuple[str, Wanted], ...] = (
    ("ct", WANTED_CT),
    ("pet", WANTED_PET),
    ("plan", WANTED_ION_PLAN),
    ("photon-plan", WANTED_ANY_PLAN),
    ("dose", WANTED_DOSE),
    ("structures", WANTED_STRUCTURES),
)
_IMAGE_TYPE, _CLASS, _MODALITY, _SERIES, _NUMBER = 0x00080008, 0x00080016, 0x00080060, 0x0020000E, 0x00200011


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSeries:
    """A series, or one plan, dose or structure set.

    Parameters
    ----------
    kind : str
        ``ct``, ``pet``, ``plan``, ``photon-plan``, ``dose`` or ``structures``.
    number : int
        SeriesNumber; 0 where there is none.
    files : tuple of str
        Names inside the import, sorted; they may name a patient.
    """

    kind: str
    number: int
    files: tuple[str, ...] = field(repr=False)

    def line(self) -> str:
        """One line for people, without identity."""
        count = len(self.files)
        return f"series number {self.number} with {count} file{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a folder, zip archive or file holds.

    Parameters
    ----------
    root : Path
    series : tuple of FoundSeries
    other : int
        DICOM objects of other kinds (localisers, registrations).
    strangers : int
        Files that are not DICOM.
    """

    root: Path = field(repr=False)
    series: tuple[FoundSeries, ...]
    other: int
    strangers: int

    def of_kind(self, kind: str) -> tuple[FoundSeries, ...]:
        """Candidates of a kind; single images do not count as a CT or PET while there is a stack."""
        found = tuple(one for one in self.series if one.kind == kind)
        least = next((wanted.least_files for name, wanted in _KINDS if name == kind), 1)
        return tuple(one for one in found if len(one.files) >= least) or found

    def path_of(self, kind: str) -> Path | None:
        """The narrowest path whose reader finds the one candidate of `kind`; None where there is none.

        Raises
        ------
        InputError
            Several candidates; the message lists them without identity.
        """
        found = self.of_kind(kind)
        if not found:
            return None
        if len(found) > 1:
            raise InputError(
                f"the case holds {len(found)} candidates for the {kind}",
                got="; ".join(one.line() for one in found[:6]),
                expected="one of them",
                remedy="name the one that is meant in a case file or with a selector",
            )
        return self._narrow(found[0])

    def _narrow(self, one: FoundSeries) -> Path:
        if not self.root.is_dir():
            return self.root
        if len(one.files) == 1:
            return self.root / one.files[0]
        common = PurePosixPath(os.path.commonpath([str(PurePosixPath(name).parent) for name in one.files] or ["."]))
        return self.root / common


def inventory(path: str | Path, *, skip: Iterable[str] = (), limits: ReadLimits = DEFAULT_LIMITS) -> Inventory:
    """Look into a folder (with its sub-folders), a zip archive or a file.

    Damaged files count as what their head says they are: the reader then tells what is wrong with them.

    Parameters
    ----------
    path : str or Path
    skip : iterable of str
        Entries directly below the folder that are left out.
    limits : ReadLimits

    Raises
    ------
    InputError
        Nothing there, or a limit exceeded.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    numbers: dict[tuple[str, str], int] = {}
    other = strangers = 0
    left_out = frozenset(skip)
    with open_sources(path, "case", limits) as sources:
        for source in sources:
            if source.name.split("/")[0] in left_out:
                continue
            seen = _head(source, limits)
            if seen is None:
                strangers += 1
                continue
            kind = _kind_of(seen)
            if not kind:
                other += 1
                continue
            by_instance = next(wanted.by_instance for name, wanted in _KINDS if name == kind)
            key = (kind, source.name if by_instance else _text(seen, _SERIES))
            groups.setdefault(key, []).append(source.name)
            numbers.setdefault(key, _whole(_text(seen, _NUMBER)))
    series = [
        FoundSeries(kind=key[0], number=numbers[key], files=tuple(sorted(names))) for key, names in groups.items()
    ]
    series.sort(key=lambda one: (one.kind, one.number, one.files))
    return Inventory(root=Path(path), series=tuple(series), other=other, strangers=strangers)


def _head(source: Source, limits: ReadLimits) -> Mapping[int, bytes] | None:
    """Values from the head of a file; None where it is not DICOM."""
    if source.problem or source.size == 0:
        return None
    for count in (*_HEADS, source.size):
        if count > limits.max_file_bytes:
            return {}
        try:
            data = source.read(min(count, source.size))
        except Damage:
            return None
        if data[128:132] != b"DICM":
            return None
        seen = _seen(data, limits)
        if _SERIES in seen or count >= source.size:
            break
    return seen


def _seen(data: bytes, limits: ReadLimits) -> dict[int, bytes]:
    try:
        layout = walk(data, limits)
        seen, sop_class = dict(layout.seen), layout.meta.sop_class_uid
    except Damage as damage:  # mostly the end of the head
        seen, sop_class = dict(damage.seen), damage.sop_class_uid
    if sop_class:
        seen.setdefault(_CLASS, sop_class.encode("ascii", "replace"))
    return seen


def _kind_of(seen: Mapping[int, bytes]) -> str:
    sop_class, modality = _text(seen, _CLASS), _text(seen, _MODALITY)
    if "LOCALIZER" in _text(seen, _IMAGE_TYPE).upper():
        return ""
    return next((kind for kind, wanted in _KINDS if wanted.accepts(sop_class, modality)), "")


def _text(seen: Mapping[int, bytes], tag: int) -> str:
    return seen.get(tag, b"").decode("ascii", "replace").strip("\0 ")


def _whole(text: str) -> int:
    digits = text.lstrip("+-")
    return int(text) if digits.isascii() and digits.isdigit() and len(text) < 12 else 0
