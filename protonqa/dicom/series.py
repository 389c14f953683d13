"""The series sorter: lists every file of an import as used or ignored with its reason, groups and chooses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pydicom.uid import UID

from protonqa.dicom.attributes import Attributes, clean_text, parse_header, shown
from protonqa.dicom.labels import FileNames
from protonqa.dicom.limits import ReadLimits
from protonqa.dicom.sources import Source
from protonqa.dicom.structure import Damage, Layout, walk
from protonqa.errors import DicomError, InputError
from protonqa.values import Finding, PatientIdentity, SeriesInfo, Severity

_DICOMDIR = "1.2.840.10008.1.3.10"


def _nothing_excluded(file: Attributes) -> str:
    del file
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a reader looks for.

    Parameters
    ----------
    what : str
        Its name in messages, such as "CT".
    sop_classes, modalities : frozenset of str
        SOP classes that qualify; the modality decides only where a file has no SOP class.
    by_instance : bool
        True where one file is the whole object (a plan, a dose) and not a slice of a series.
    least_files : int
        Files a series needs to be a candidate while another one has them.
    excluded : callable
        Reason why a file of the right class does not count (a localiser), or empty.
    needs : tuple of str
        Attributes of which a whole file has at least one; none of them means that it was cut off between two elements.
    """

    what: str
    sop_classes: frozenset[str]
    modalities: frozenset[str]
    by_instance: bool = False
    least_files: int = 1
    excluded: Callable[[Attributes], str] = _nothing_excluded
    needs: tuple[str, ...] = ("PixelData",)

    def accepts(self, sop_class: str, modality: str) -> bool:
        """True when a file of this class or, without a class, of this modality qualifies."""
        return sop_class in self.sop_classes if sop_class else modality in self.modalities


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesFile:
    """One file that qualifies."""

    source: Source
    label: str
    attributes: Attributes
    layout: Layout


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A series (or a plan, a dose) that could be meant."""

    key: str
    number: int
    files: tuple[SeriesFile, ...]


@dataclass(slots=True, kw_only=True, eq=False)
class Scan:
    """What an import holds."""

    candidates: tuple[Candidate, ...] = ()
    #: (label, reason) of every file that is not used.
    ignored: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def scan(sources: tuple[Source, ...], wanted: Wanted, limits: ReadLimits) -> Scan:
    """Look at every file once.

    Raises
    ------
    DicomError
        A damaged file that is, or may be, part of what is wanted: it must never just vanish from a stack.
    InputError
        A limit exceeded.
    """
    names = FileNames([source.name for source in sources])
    result, total = Scan(), 0
    kept: list[tuple[int, Attributes, Layout]] = []
    ignored: list[tuple[int, str]] = []
    damaged: list[tuple[int, Damage]] = []
    for index, source in enumerate(sources):
        try:
            reason = _stranger(source)
            if not reason:
                total += _check_size(source, total, wanted, limits)
                reason, attributes, layout = _examine(source, index, names, wanted, limits)
                if attributes is not None and layout is not None:
                    kept.append((index, attributes, layout))
        except Damage as damage:
            names.learn(damage.seen)
            reason = _damaged_stranger(damage, wanted)
            if not reason:
                damaged.append((index, damage))
        if reason:
            ignored.append((index, reason))
    if damaged:
        raise _damage_error(names.label(damaged[0][0]), damaged[0][1])
    result.ignored = [(names.label(index), reason) for index, reason in ignored]
    files = []
    for index, attributes, layout in kept:
        attributes.label = names.label(index)
        files.append(SeriesFile(source=sources[index], label=attributes.label, attributes=attributes, layout=layout))
    result.candidates = _group(files, wanted)
    result.findings = _lost_files(sources, ignored)
    return result


def _stranger(source: Source) -> str:
    """Why a file cannot be DICOM at all; empty when it may be."""
    if source.problem:
        return source.problem
    if source.size == 0:
        return "an empty file"
    head = source.read(132)
    if head[:4] == b"PK\x03\x04":
        return "a zip archive; name it itself or unpack it"
    if len(head) < 132 or head[128:] != b"DICM":
        return "not a DICOM file"
    return ""


def _check_size(source: Source, total: int, wanted: Wanted, limits: ReadLimits) -> int:
    for need, limit, which in (
        (source.size, limits.max_file_bytes, "one file"),
        (source.size + total, limits.max_total_bytes, "all files"),
    ):
        if need > limit:
            raise InputError(
                f"the DICOM files for the {wanted.what} are larger than the limit for {which}",
                got=f"{need} bytes",
                expected=f"at most {limit} bytes",
            )
    return source.size


def _examine(
    source: Source, index: int, names: FileNames, wanted: Wanted, limits: ReadLimits
) -> tuple[str, Attributes | None, Layout | None]:
    data = source.read()
    layout = walk(data, limits)
    names.learn(layout.seen)
    sop_class, modality = _kind(layout.seen, layout.meta.sop_class_uid)
    if not wanted.accepts(sop_class, modality):
        return _not_wanted(sop_class, modality, wanted), None, None
    attributes = parse_header(data, layout, names.label(index))
    reason = wanted.excluded(attributes)
    if reason:
        return reason, None, None
    if not any(layout.has_pixels if need == "PixelData" else attributes.has(need) for need in wanted.needs):
        raise Damage("the file is cut off or incomplete", attribute=wanted.needs[0], offset=len(data))
    return "", attributes, layout


def _kind(seen: object, meta_class: str) -> tuple[str, str]:
    values = seen if isinstance(seen, dict) else {}
    own = values.get(0x00080016, b"").decode("ascii", "replace").strip("\0 ")
    return own or meta_class, values.get(0x00080060, b"").decode("ascii", "replace").strip("\0 ")


def _not_wanted(sop_class: str, modality: str, wanted: Wanted) -> str:
    if sop_class == _DICOMDIR:
        return "a DICOMDIR index"
    name = UID(sop_class).name if sop_class else ""
    if not name or name == sop_class:
        name = f"modality {clean_text(modality, 16)}" if modality else "DICOM of unknown kind"
    return f"{name}, not the {wanted.what}"


def _damaged_stranger(damage: Damage, wanted: Wanted) -> str:
    """A reason to ignore a damaged file: it is known to be something else. Empty when it may be wanted."""
    sop_class, modality = _kind(damage.seen, damage.sop_class_uid)
    if (sop_class or modality) and not wanted.accepts(sop_class, modality):
        return f"damaged; {_not_wanted(sop_class, modality, wanted)}"
    return ""


def _damage_error(label: str, damage: Damage) -> DicomError:
    where = f" at attribute {damage.attribute}" if damage.attribute else ""
    if damage.offset is not None:
        where += f", byte {damage.offset}"
    return DicomError(
        f"{label} cannot be used: {damage.what}{where}",
        expected="a complete DICOM file",
        remedy=damage.remedy or "export the series again from its source",
    )


def read_again(file: SeriesFile, limits: ReadLimits) -> tuple[bytes, Layout]:
    """The bytes of a chosen file and their structure, checked once more: it may have changed since the scan.

    Raises
    ------
    DicomError
        Changed, vanished or damaged since the scan.
    """
    try:
        data = file.source.read()
        return data, walk(data, limits)
    except Damage as damage:
        raise _damage_error(file.label, damage) from None


def _group(files: Iterable[SeriesFile], wanted: Wanted) -> tuple[Candidate, ...]:
    groups: dict[str, list[SeriesFile]] = {}
    for position, file in enumerate(files):
        key = f"{position}" if wanted.by_instance else file.attributes.text("SeriesInstanceUID")
        groups.setdefault(key, []).append(file)
    found = [
        Candidate(
            key=members[0].attributes.text("SOPInstanceUID" if wanted.by_instance else "SeriesInstanceUID"),
            number=_series_number(members[0].attributes),
            files=tuple(members),
        )
        for members in groups.values()
    ]
    return tuple(sorted(found, key=lambda candidate: (candidate.number, candidate.key)))


def _series_number(file: Attributes) -> int:
    text = file.text("SeriesNumber")
    return int(text) if text.lstrip("+-").isascii() and text.lstrip("+-").isdigit() and len(text) < 12 else 0


def _lost_files(sources: tuple[Source, ...], ignored: list[tuple[int, str]]) -> list[Finding]:
    """Files that call themselves DICOM and are none may be slices that a transfer cut off."""
    lost = sum(
        reason in ("not a DICOM file", "an empty file") and sources[index].name.lower().endswith((".dcm", ".ima"))
        for index, reason in ignored
    )
    if not lost:
        return []
    text = f"{lost} file(s) with a DICOM extension are empty or not DICOM and were ignored: slices may be missing."
    return [Finding(severity=Severity.WARNING, code="DICOM-UNREADABLE-FILES", text=text)]


def choose(result: Scan, wanted: Wanted, series: str | None = None) -> Candidate:
    """The one candidate that is meant; the files of the others join the ignored ones.

    Parameters
    ----------
    series : str or None
        A SeriesInstanceUID (SOPInstanceUID of a plan or dose), or the number in the list of the error message.

    Raises
    ------
    DicomError
        Nothing qualifies.
    InputError
        Several qualify and none is named; the message lists them without identity.
    """
    candidates = result.candidates
    if not candidates:
        raise DicomError(
            f"no {wanted.what} was found",
            got=_summary(result.ignored),
            expected=f"the files of one {wanted.what}",
        )
    listed = tuple(c for c in candidates if len(c.files) >= wanted.least_files) or candidates
    chosen = [c for n, c in enumerate(listed, 1) if series is None or series in (c.key, str(n))]
    if len(chosen) != 1:
        lines = "; ".join(f"{n}: {_describe(c, wanted)}" for n, c in enumerate(listed[:12], 1))
        more = f"; and {len(listed) - 12} more" if len(listed) > 12 else ""
        raise InputError(
            f"several objects qualify as the {wanted.what}" if chosen else f"the chosen {wanted.what} is not there",
            got=lines + more,
            expected=f"one {wanted.what}",
            remedy="keep one of them in the folder, or choose it by its number or UID",
        )
    for candidate in candidates:
        if candidate is not chosen[0]:
            result.ignored.extend((file.label, f"belongs to another {wanted.what}") for file in candidate.files)
    return chosen[0]


def _summary(ignored: list[tuple[str, str]]) -> str:
    if not ignored:
        return "no files"
    if len(ignored) <= 3:
        return ", ".join(f"{label}: {reason}" for label, reason in ignored)
    counts = Counter(reason for _, reason in ignored)
    return ", ".join(f"{count} x {reason}" for reason, count in counts.most_common(6))


def _describe(candidate: Candidate, wanted: Wanted) -> str:
    first = candidate.files[0].attributes
    parts = [f"series number {candidate.number}"]
    if not wanted.by_instance:
        parts.append(f"{len(candidate.files)} images of {first.text('Rows') or '?'} x {first.text('Columns') or '?'}")
    known = (keyword for keyword in ("Units", "DoseSummationType") if first.has(keyword))
    parts.extend(shown(first.text(keyword), 16) for keyword in known)
    if first.has("IonBeamSequence"):
        parts.append(f"{len(first.items('IonBeamSequence'))} beams")
    return ", ".join(parts)


def series_info(
    files: tuple[SeriesFile, ...], ignored: list[tuple[str, str]], modality: str, findings: list[Finding]
) -> SeriesInfo:
    """Plain facts of the files that were used.

    Raises
    ------
    DicomError
        The files of one series belong to different patients or studies.
    """
    first = files[0].attributes
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientPosition"):
        if len({file.attributes.text(keyword) for file in files}) > 1:
            raise DicomError(
                f"the files of the {modality} series disagree in {keyword}", expected="one patient, study and frame"
            )
    malformed = [
        keyword
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
        if any(file.attributes.text(keyword) and not file.attributes.uid(keyword) for file in files)
    ]
    if malformed:
        findings.append(
            Finding(
                severity=Severity.WARNING,
                code="DICOM-UID",
                text=f"{modality}: not a UID and treated as absent: {', '.join(malformed)}.",
            )
        )
    return SeriesInfo(
        modality=modality,
        series_uid=first.uid("SeriesInstanceUID"),
        frame_of_reference_uid=first.uid("FrameOfReferenceUID"),
        study_uid=first.uid("StudyInstanceUID"),
        patient=PatientIdentity(
            patient_id=first.text("PatientID"),
            name=first.text("PatientName"),
            birth_date=first.text("PatientBirthDate"),
        ),
        patient_position=first.text("PatientPosition").upper(),
        manufacturer=clean_text(first.text("Manufacturer")),
        model=clean_text(first.text("ManufacturerModelName")),
        protocol=clean_text(first.text("ProtocolName")),
        files_used=len(files),
        files_ignored=tuple(ignored),
        sop_instance_uids=tuple(file.attributes.sop_instance_uid for file in files),
    )
