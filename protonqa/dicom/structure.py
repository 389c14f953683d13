"""The byte structure of one DICOM file, walked before any library parses it.

pydicom reads a file that was cut off without a word and follows nested sequences until Python's stack ends. So each
element is visited here first, without recursion: a file that ends early, a length that leaves its parent and a nesting
without end are found with the attribute and the byte where they are.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydicom.datadict import dictionary_VR, keyword_for_tag

from protonqa.dicom.limits import ReadLimits

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
#: Syntaxes whose whole dataset is deflated: 200 kB can become 400 MB before the first element is seen.
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})

_UNDEFINED = 0xFFFFFFFF
#: Value representations whose length takes four bytes, and two (PS3.5 tables 7.1-1, 7.1-2), in one string each.
_LONG_VRS = frozenset(re.findall(b"..", b"OBODOFOLOVOWSQSVUCUNURUTUV"))
_SHORT_VRS = frozenset(re.findall(b"..", b"AEASATCSDADSDTFDFLISLOLTPNSHSLSSSTTMUIULUS"))
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXEL_DATA = 0x7FE00010
#: Top-level values kept while walking: enough to say what a file is, whole or damaged, to which series it belongs, and
#: to keep identity out of messages.
_KEPT = frozenset((0x00080008, 0x00080016, 0x00080060, 0x00100010, 0x00100020, 0x00100030, 0x0020000E, 0x00200011))


class Damage(Exception):  # noqa: N818 - never leaves this package; readers turn it into a DicomError
    """What is wrong with the bytes of a file, and where."""

    def __init__(self, what: str, *, attribute: str = "", offset: int | None = None, remedy: str = "") -> None:
        self.what, self.attribute, self.offset, self.remedy = what, attribute, offset, remedy
        #: Values seen before the damage, by tag.
        self.seen: Mapping[int, bytes] = {}
        self.sop_class_uid = ""
        super().__init__(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """File meta information (group 0002) and where the dataset begins."""

    transfer_syntax: str
    sop_class_uid: str
    sop_instance_uid: str
    dataset_start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A sound file: its syntax and where its pixels lie (offsets in bytes from the start of the file)."""

    meta: Meta
    #: Where the top-level PixelData element starts; the end of the file when there is none.
    pixel_element: int
    has_pixels: bool = False
    value_start: int = 0
    #: Declared length; None when the pixels are encapsulated.
    value_bytes: int | None = None
    fragments: tuple[tuple[int, int], ...] = ()
    seen: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def byte_order(self) -> str:
        """Byte order sign of struct and NumPy."""
        return ">" if self.meta.transfer_syntax == BIG_ENDIAN else "<"


def read_meta(data: bytes) -> Meta:
    """File meta information of a Part 10 file.

    Raises
    ------
    Damage
        Not a DICOM file, cut off, or without a TransferSyntaxUID.
    """
    if len(data) < 132 or data[128:132] != b"DICM":
        raise Damage("not a DICOM file", offset=min(len(data), 128))
    position, values = 132, {0x00020010: "", 0x00020002: "", 0x00020003: ""}
    while position + 8 <= len(data) and data[position : position + 2] == b"\x02\x00":
        tag, length, start = _explicit_head(data, position, len(data), "<")[:3]
        if length == _UNDEFINED or start + length > len(data):
            raise Damage("the file is cut off", attribute=_name(tag), offset=position)
        if tag in values:
            values[tag] = data[start : start + length].decode("ascii", "replace").strip("\0 ")
        if values[0x00020010] in DEFLATED:
            break
        position = start + length
    if not values[0x00020010]:
        raise Damage("the file does not say how it is encoded", attribute="TransferSyntaxUID", offset=position)
    return Meta(
        transfer_syntax=values[0x00020010],
        sop_class_uid=values[0x00020002],
        sop_instance_uid=values[0x00020003],
        dataset_start=position,
    )


def walk(data: bytes, limits: ReadLimits) -> Layout:
    """Visit every element of a file and return where its pixels lie.

    Raises
    ------
    Damage
        Cut off, a length beyond its parent or the file, too deep, too many elements, deflated or private encoding.
    """
    meta = read_meta(data)
    if meta.transfer_syntax in DEFLATED:
        raise _with_class(
            Damage(
                "the file uses a deflated transfer syntax, which is not read",
                attribute="TransferSyntaxUID",
                remedy="export it uncompressed (Explicit VR Little Endian)",
            ),
            meta,
        )
    if not meta.transfer_syntax.startswith("1.2.840.10008.1.2"):
        raise _with_class(
            Damage("the file uses a private or unknown transfer syntax", attribute="TransferSyntaxUID"), meta
        )
    walker = _Walker(data, meta, limits)
    try:
        return walker.run()
    except Damage as damage:
        damage.seen = walker.seen
        raise _with_class(damage, meta) from None


def _with_class(damage: Damage, meta: Meta) -> Damage:
    damage.sop_class_uid = meta.sop_class_uid
    return damage


@dataclass(slots=True)
class _Level:
    """One open dataset, sequence or fragment list; `end` is None while its length is undefined."""

    kind: str
    end: int | None
    bound: int
    implicit: bool
    top: bool = False


class _Walker:
    def __init__(self, data: bytes, meta: Meta, limits: ReadLimits) -> None:
        self.data, self.meta, self.limits = data, meta, limits
        self.order = ">" if meta.transfer_syntax == BIG_ENDIAN else "<"
        self.position = meta.dataset_start
        self.seen: dict[int, bytes] = {}
        self.layout = Layout(meta=meta, pixel_element=len(data))
        self.fragments: list[tuple[int, int]] = []
        self.levels = [_Level("dataset", len(data), len(data), meta.transfer_syntax == IMPLICIT, top=True)]
        self.last = "file meta information"

    def run(self) -> Layout:
        elements = 0
        while self.levels:
            level = self.levels[-1]
            if level.end is not None and self.position >= level.end:
                self.levels.pop()
                continue
            elements += 1
            if elements > self.limits.max_elements:
                raise Damage(f"the file has more than {self.limits.max_elements} elements", offset=self.position)
            if level.kind == "dataset":
                self._element(level)
            else:
                self._item(level)
        layout = self.layout
        return Layout(
            meta=self.meta,
            pixel_element=layout.pixel_element,
            has_pixels=layout.has_pixels,
            value_start=layout.value_start,
            value_bytes=layout.value_bytes,
            fragments=tuple(self.fragments),
            seen=self.seen,
        )

    def _element(self, level: _Level) -> None:
        start = self.position
        if level.top and not any(self.data[start : start + 4]):
            if any(self.data[start:]):
                raise Damage(f"the file is damaged after {self.last}", attribute=self.last, offset=start)
            self.position = len(self.data)  # padding of zeros behind the last element
            return
        tag, length, value, implicit_value = self._head(level)
        self.last = _name(tag)
        if tag == _ITEM_END:
            if level.top or level.end is not None:
                raise Damage("an item ends that never began", attribute=self.last, offset=start)
            self.position = value
            self.levels.pop()
            return
        if level.top and tag == _PIXEL_DATA:
            self.layout = Layout(
                meta=self.meta,
                pixel_element=start,
                has_pixels=True,
                value_start=value,
                value_bytes=None if length == _UNDEFINED else length,
            )
        vr = self._vr(tag, start, level)
        self._enter_or_skip(level, tag, vr, length, value, start, implicit_value)

    def _enter_or_skip(
        self, level: _Level, tag: int, vr: bytes, length: int, value: int, start: int, implicit: bool
    ) -> None:
        if length == _UNDEFINED:
            pixels = tag == _PIXEL_DATA and (vr in (b"OB", b"OW") or level.implicit)
            if vr not in (b"SQ", b"UN") and not pixels:
                raise Damage("an element has no length", attribute=self.last, offset=start)
            kind = "fragments" if pixels else "sequence"
            self._push(_Level(kind, None, level.bound, implicit, top=level.top and pixels), start)
            self.position = value
            return
        if value + length > level.bound:
            short = f"its value needs {length} bytes, {max(level.bound - value, 0)} are there"
            raise Damage(f"the file is cut off or damaged: {short}", attribute=self.last, offset=start)
        if vr == b"SQ":
            self._push(_Level("sequence", value + length, value + length, level.implicit), start)
            self.position = value
            return
        if level.top and tag in _KEPT:
            self.seen[tag] = self.data[value : value + min(length, 256)]
        self.position = value + length

    def _item(self, level: _Level) -> None:
        start = self.position
        if start + 8 > level.bound:
            raise Damage("the file is cut off inside a sequence", attribute=self.last, offset=start)
        group, element, length = struct.unpack_from(f"{self.order}HHI", self.data, start)
        tag, value = (group << 16) | element, start + 8
        if tag == _SEQUENCE_END and level.end is None:
            self.position = value
            self.levels.pop()
            return
        if tag != _ITEM:
            raise Damage("a sequence holds something that is not an item", attribute=self.last, offset=start)
        if length != _UNDEFINED and value + length > level.bound:
            raise Damage("the file is cut off or damaged inside a sequence", attribute=self.last, offset=start)
        self.position = value
        if level.kind == "fragments":
            if length == _UNDEFINED:
                raise Damage("a pixel fragment has no length", attribute=self.last, offset=start)
            if level.top:
                self.fragments.append((value, length))
            self.position = value + length
        elif length == _UNDEFINED:
            self._push(_Level("dataset", None, level.bound, level.implicit), start)
        else:
            self._push(_Level("dataset", value + length, value + length, level.implicit), start)

    def _push(self, level: _Level, start: int) -> None:
        if len(self.levels) > 2 * self.limits.max_depth:
            raise Damage(
                f"sequences are nested more than {self.limits.max_depth} deep", attribute=self.last, offset=start
            )
        self.levels.append(level)

    def _head(self, level: _Level) -> tuple[int, int, int, bool]:
        """Tag, length and start of the value of the next element, and whether a sequence in it is implicit."""
        start = self.position
        if start + 8 > level.bound:
            raise Damage(f"the file is cut off after {self.last}", attribute=self.last, offset=start)
        group, number = struct.unpack_from(f"{self.order}HH", self.data, start)
        if group == 0xFFFE or level.implicit:
            (length,) = struct.unpack_from(f"{self.order}I", self.data, start + 4)
            return (group << 16) | number, length, start + 8, level.implicit
        tag, length, value, vr = _explicit_head(self.data, start, level.bound, self.order)
        # A sequence of unknown VR and undefined length is always encoded as implicit (PS3.5 6.2.2).
        return tag, length, value, vr == b"UN"

    def _vr(self, tag: int, start: int, level: _Level) -> bytes:
        if not level.implicit:
            return self.data[start + 4 : start + 6]
        try:
            return dictionary_VR(tag).encode("ascii")[:2]
        except KeyError:
            return b"UN"


def _explicit_head(data: bytes, start: int, bound: int, order: str) -> tuple[int, int, int, bytes]:
    group, number = struct.unpack_from(f"{order}HH", data, start)
    tag, vr = (group << 16) | number, bytes(data[start + 4 : start + 6])
    if vr in _LONG_VRS:
        if start + 12 > bound:
            raise Damage("the file is cut off", attribute=_name(tag), offset=start)
        return tag, struct.unpack_from(f"{order}I", data, start + 8)[0], start + 12, vr
    if vr not in _SHORT_VRS:
        raise Damage("an element has an unknown value representation", attribute=_name(tag), offset=start)
    return tag, struct.unpack_from(f"{order}H", data, start + 6)[0], start + 8, vr


def _name(tag: int) -> str:
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
