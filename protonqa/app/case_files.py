"""A case on disk: which of its files are which input of an analysis, by case file, by selector, by name, by content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from protonqa.analyses.interface import Input
from protonqa.app.input_sources import SOURCES, InputSource
from protonqa.app.inputs import Paths, input_paths
from protonqa.errors import InputError

CASE_FILES = ("case.yaml", "case.yml")


class CaseFile(BaseModel):
    """``case.yaml`` in the folder of a case: what is what, and what differs from the rest of the batch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: dict[str, str | list[str]] = Field(default_factory=dict)
    params: dict[str, JsonValue] = Field(default_factory=dict)
    seed: int | None = Field(None, ge=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedCase:
    """A case ready to be read.

    Parameters
    ----------
    inputs : mapping of option to path
    params : mapping
        What the case file says of the parameters.
    seed : int or None
    found : str
        What was found, in one line without names.
    """

    inputs: Paths = field(repr=False)
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    seed: int | None = None
    found: str = ""


def describe_case(path: Path, inputs: tuple[Input, ...], select: Mapping[str, str] | None = None) -> DescribedCase:
    """Find the inputs of an analysis in a folder, an archive or a file.

    For each option the first that says something counts: the case file, the selector, an entry that bears the name of
    the option (``ct/``, ``plan.dcm``, ``hlut.csv``), and for required inputs the content: the one DICOM object or the
    one file of the right kind. Optional inputs are never guessed from content, because a second PET is not an expected
    one.

    Parameters
    ----------
    path : Path
    inputs : tuple of Input
        Those of the analysis.
    select : mapping of option to pattern, optional
        ``{"ct": "CT_plan*"}``: the one entry of the folder that is meant.

    Raises
    ------
    InputError
        Ambiguous, incomplete, or a case file that cannot be understood; no message names a file of the case.
    """
    options = input_paths(inputs)
    if not path.is_dir():
        return _single_file(path, inputs, options)
    written = _case_file(path)
    found: dict[str, Path | tuple[Path, ...]] = {
        option: _below(path, names, option) for option, names in written.inputs.items()
    }
    entries = [one for one in sorted(path.iterdir()) if not one.name.startswith(".") and one.name not in CASE_FILES]
    many = {one.name for one in inputs if one.many}
    for option, (name, _, _) in options.items():
        if option in found:
            continue
        if select and option in select:
            found[option] = _selected(entries, select[option], option)
        elif (named := _named(entries, option, SOURCES[_kind(inputs, name)])) is not None:
            found[option] = _members(named, _kind(inputs, name)) if name in many else named
    taken = {Path(one).relative_to(path).parts[0] for one in _flat(found.values()) if one.is_relative_to(path)}
    for one in inputs:
        if not one.optional:
            _add_by_content(found, one, path, [entry for entry in entries if entry.name not in taken], taken, options)
    return DescribedCase(inputs=found, params=written.params, seed=written.seed, found=_told(found))


def usable_suffixes(inputs: tuple[Input, ...]) -> tuple[str, ...]:
    """Endings of files that can be a whole case by themselves: those of the one required input."""
    required = [one for one in inputs if not one.optional]
    if len(required) != 1 or required[0].kind_name not in SOURCES:
        return ()
    return SOURCES[required[0].kind_name].suffixes


def _case_file(folder: Path) -> CaseFile:
    from protonqa.yaml_lines import read_lined_file

    for name in CASE_FILES:
        if (folder / name).is_file():
            return read_lined_file(folder / name, CaseFile, "case")
    return CaseFile()


def _below(folder: Path, names: str | list[str], option: str) -> Path | tuple[Path, ...]:
    """Paths of a case file count from its folder."""
    paths = tuple(folder / name for name in ([names] if isinstance(names, str) else names))
    if not all(path.exists() for path in paths):
        raise InputError(f"the case file names a path for {option} that is not there", remedy="correct the case file")
    return paths[0] if isinstance(names, str) else paths


def _selected(entries: Iterable[Path], pattern: str, option: str) -> Path:
    chosen = [one for one in entries if fnmatchcase(one.name.casefold(), pattern.casefold())]
    if len(chosen) != 1:
        raise InputError(
            f"the selector of {option} fits {len(chosen)} entries of the case",
            got=repr(pattern[:60]),
            expected="one entry",
        )
    return chosen[0]


def _named(entries: Iterable[Path], option: str, source: InputSource) -> Path | None:
    """The entry that bears the name of the option: a folder, or a file with a fitting ending."""
    names = {option, option.replace("_", "-")}
    hits = [
        one
        for one in entries
        if one.name.casefold() in names or (one.is_file() and one.stem.casefold() in names and _fits(one, source))
    ]
    if len(hits) > 1:
        raise InputError(f"the case holds {len(hits)} entries called {option}", expected="one of them")
    return hits[0] if hits else None


def _fits(path: Path, source: InputSource) -> bool:
    return path.suffix.lower() in source.suffixes or (bool(source.dicom) and path.suffix.lower() in (".dcm", ".zip"))


def _members(path: Path, kind: str) -> tuple[Path, ...]:
    """The values of an input with ``many``: the fitting files of a folder in order of name, or the one file."""
    if not path.is_dir():
        return (path,)
    source = SOURCES[kind]
    return tuple(one for one in sorted(path.iterdir()) if one.suffix.lower() in source.suffixes or one.is_dir())


def _add_by_content(
    found: dict[str, Path | tuple[Path, ...]],
    one: Input,
    folder: Path,
    entries: list[Path],
    taken: Iterable[str],
    options: Mapping[str, tuple[str, str, str]],
) -> None:
    source = SOURCES[one.kind_name]
    own = {key: option for option, (name, key, _) in options.items() if name == one.name}
    first = own[next(iter(source.paths))]
    open_keys = [key for key in source.paths if own[key] not in found]
    if not open_keys:
        return
    if source.dicom:
        from protonqa.dicom.inventory import inventory

        held = inventory(folder, skip=taken)
        for key in open_keys:
            place = held.path_of(source.dicom[key])
            if place is None and source.dicom[key] == "plan":
                place = held.path_of("photon-plan")  # it deserves its answer
            if place is not None:
                found[own[key]] = (place,) if one.many else place
    if first not in found:
        files = [entry for entry in entries if entry.suffix.lower() in source.suffixes and entry.is_file()]
        if one.many and files:
            found[first] = tuple(files)
        elif source.folder and not files:
            found[first] = folder
        elif len(files) == 1:
            found[first] = files[0]
        else:
            raise _not_one(one, source, len(files))


def _not_one(one: Input, source: InputSource, count: int) -> InputError:
    """Nothing, or several files, that the input could be."""
    return InputError(
        f"the case holds {count} candidates for {one.name}" if count else f"the case holds nothing for {one.name}",
        expected=next(iter(source.paths.values())) or one.title,
        remedy="name one in a case file" if count else "",
    )


def _single_file(path: Path, inputs: tuple[Input, ...], options: Mapping[str, tuple[str, str, str]]) -> DescribedCase:
    """A file, or an archive that holds everything: it stands for each path of the one required input it can be."""
    required = [one for one in inputs if not one.optional]
    if len(required) != 1:
        raise InputError("a single file cannot be a case of this analysis", expected="a folder with its inputs")
    one = required[0]
    source = SOURCES[one.kind_name]
    own = {key: option for option, (name, key, _) in options.items() if name == one.name}
    found: dict[str, Path | tuple[Path, ...]] = {}
    if source.dicom:
        from protonqa.dicom.inventory import inventory

        held = inventory(path)
        for key, option in own.items():
            if held.path_of(source.dicom[key]) is not None:
                found[option] = path
    first = own[next(iter(source.paths))]
    found.setdefault(first, path)
    if one.many:
        found = {option: (place,) if isinstance(place, Path) else place for option, place in found.items()}
    return DescribedCase(inputs=found, found=_told(found))


def _kind(inputs: tuple[Input, ...], name: str) -> str:
    return next(one.kind_name for one in inputs if one.name == name)


def _flat(paths: Iterable[Path | tuple[Path, ...]]) -> list[Path]:
    return [path for one in paths for path in (one if isinstance(one, tuple) else (one,))]


def _told(found: Paths) -> str:
    """``ct 120 files, plan``: options and, of folders, how many files they hold."""
    parts = []
    for option, place in sorted(found.items()):
        paths = place if isinstance(place, tuple) else (place,)
        count = sum(_count(path) for path in paths)
        parts.append(option if count == 1 else f"{option} {count} files")
    return ", ".join(parts)


def _count(path: Path) -> int:
    return sum(one.is_file() for one in path.rglob("*")) if path.is_dir() else 1
