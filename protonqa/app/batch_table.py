"""The table of a batch: which cases there are, what each is called, and what a later run adds to it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protonqa.analyses.interface import Input
from protonqa.app.batch_file import BatchFile, read_batch_file
from protonqa.app.case_files import CASE_FILES, usable_suffixes
from protonqa.app.inputs import input_paths
from protonqa.errors import InputError, StoreError
from protonqa.jobs.database import JOURNAL
from protonqa.jobs.table import Cell, cell
from protonqa.jobs.watch import fingerprint_of

_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LONGEST = 60
#: Keys that a cell has besides those of its order.
CASE, REVISION, FINGERPRINT = "case", "revision", "fingerprint"


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCase:
    """A case that the user asked for: its name, where its files are, and what is its own."""

    name: str
    path: Path | None = field(default=None, repr=False)
    inputs: Mapping[str, str | list[str]] = field(default_factory=dict, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def fingerprint(self) -> str:
        """Of all its files; a case that is not there has one too, so that it fails in its turn."""
        paths = [Path(one) for given in self.inputs.values() for one in ([given] if isinstance(given, str) else given)]
        try:
            return fingerprint_of(*([self.path] if self.path is not None else []), *paths)
        except InputError:
            return "absent"


def batch_file_of(source: Path) -> BatchFile:
    """The batch file that `source` is; an empty one for a folder.

    Raises
    ------
    InputError
        Nothing there, or a batch file that cannot be understood.
    """
    if source.suffix.lower() in (".yaml", ".yml") and not source.is_dir():
        return read_batch_file(source)
    if not source.exists():
        raise InputError("the folder of the batch is not there", remedy="check the path")
    return BatchFile()


def wanted_cases(
    source: Path, file: BatchFile, inputs: tuple[Input, ...], *, skip: Path | None = None
) -> tuple[WantedCase, ...]:
    """The cases of a folder or of a batch file, in order.

    Parameters
    ----------
    source : Path
        A batch file, a folder of cases, the folder of one case, or a file that is one.
    file : BatchFile
        As `batch_file_of` gave it.
    inputs : tuple of Input
        Those of the analysis.
    skip : Path, optional
        A folder that is none of the cases: where the results go.

    Raises
    ------
    InputError
        No cases, or a name twice.
    """
    found = [_written(one, source.parent) for one in file.cases]
    if file.folder:
        found += cases_below(source.parent / file.folder, inputs, skip=skip)
    elif not file.cases:
        found = cases_below(source, inputs, skip=skip)
    seen: set[str] = set()
    for one in found:
        if one.name.casefold() in seen:
            raise InputError("two cases of the batch have the same name", expected="names that differ")
        seen.add(one.name.casefold())
    return tuple(found)


def cases_below(folder: Path, inputs: tuple[Input, ...], *, skip: Path | None = None) -> list[WantedCase]:
    """Every entry of a folder that can be a case; the folder itself where it is one.

    Raises
    ------
    InputError
        Nothing there, or nothing in it that could be a case.
    """
    if not folder.exists():
        raise InputError("the folder of the batch is not there", remedy="check the path")
    if not folder.is_dir() or _is_one_case(folder, inputs):
        return [WantedCase(name=folder.stem if folder.is_file() else folder.resolve().name, path=folder.resolve())]
    found = [
        WantedCase(name=one.name if one.is_dir() else one.stem, path=one.resolve())
        for one in sorted(folder.iterdir())
        if can_be_case(one, inputs, skip=skip)
    ]
    if not found:
        raise InputError("the folder of the batch holds no cases", expected="a folder a case")
    return found


def can_be_case(path: Path, inputs: tuple[Input, ...], *, skip: Path | None = None) -> bool:
    """False for hidden entries, stray files and the results of a batch."""
    if path.name.startswith(".") or (skip is not None and path.resolve() == skip.resolve()):
        return False
    if path.is_dir():
        return not (path / JOURNAL).is_file()
    return path.is_file() and path.suffix.lower() in usable_suffixes(inputs)


def _is_one_case(folder: Path, inputs: tuple[Input, ...]) -> bool:
    """A case file, DICOM files, or entries that bear the names of inputs: not a folder of cases."""
    options = {name for option in input_paths(inputs) for name in (option, option.replace("_", "-"))}
    for one in folder.iterdir():
        if one.name in CASE_FILES or (one.is_dir() and one.name.casefold() in options):
            return True
        if one.is_file() and not one.name.startswith(".") and _is_dicom(one):
            return True
    return False


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _written(one: Any, base: Path) -> WantedCase:
    path = (base / one.folder).resolve() if one.folder else None
    name = one.name or (path.name if path is not None else "")
    return WantedCase(name=name, path=path, inputs=resolved(one.inputs, base), params=one.params, seed=one.seed)


def resolved(inputs: Mapping[str, str | list[str]], base: Path) -> dict[str, str | list[str]]:
    """Paths of a file, counted from its folder, as absolute ones."""
    return {
        option: str((base / paths).resolve())
        if isinstance(paths, str)
        else [str((base / one).resolve()) for one in paths]
        for option, paths in inputs.items()
    }


def grown_table(
    known: tuple[Cell, ...], wanted: Iterable[WantedCase], common: Mapping[str, Any], *, anonymous: bool = False
) -> tuple[Cell, ...]:
    """The cells that are known, and behind them one for each case that is new or whose files have changed.

    Parameters
    ----------
    known : tuple of Cell
        Of earlier runs; they stay as they are, also when their case has gone.
    wanted : iterable of WantedCase
    common : mapping
        What every cell has: the order of its run without the case.
    anonymous : bool
        Names of cases do not appear in names of folders.
    """
    cells = list(known)
    taken = {one.cell_id.casefold() for one in cells}
    latest = {str(parameters[CASE]): parameters for parameters in (one.parameters for one in cells)}
    for one in wanted:
        own: dict[str, Any] = {
            **common,
            CASE: one.name,
            FINGERPRINT: one.fingerprint(),
            "path": "" if one.path is None else str(one.path),
            "inputs": {**common.get("inputs", {}), **one.inputs},
            "own_params": dict(one.params),
            "own_seed": one.seed,
        }
        before = latest.get(one.name)
        if before is not None and {**before, REVISION: 0} == {**own, REVISION: 0}:
            continue
        revision = 1 if before is None else int(before[REVISION]) + 1
        name = _free_name(cell_name(one.name, anonymous=anonymous), revision, taken)
        taken.add(name.casefold())
        latest[one.name] = {**own, REVISION: revision}
        cells.append(cell(name, {**own, REVISION: revision}))
    return tuple(cells)


def cell_name(name: str, *, anonymous: bool = False) -> str:
    """The name of a case as the name of a folder on any system; a part of a hash makes up for what had to go."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    if anonymous:
        return f"case-{digest[:10]}"
    plain = _ODD.sub("-", name).strip(".-_ ")[:_LONGEST].rstrip(".-_")
    if _DEVICE_NAMES.fullmatch(plain):
        plain = f"case-{plain}"
    return plain if plain == name else f"{plain or 'case'}-{digest[:6]}"


def _free_name(name: str, revision: int, taken: set[str]) -> str:
    wanted = name if revision == 1 else f"{name}.r{revision}"
    number = 2
    free = wanted
    while free.casefold() in taken:
        free, number = f"{wanted}-{number}", number + 1
    return free


def newest(cells: tuple[Cell, ...]) -> dict[str, Cell]:
    """For each case, in the order of the table, the cell of its newest revision."""
    found: dict[str, Cell] = {}
    for one in cells:
        found[str(one.parameters[CASE])] = one
    return found


def check_same_batch(known_version: str, version: str) -> None:
    """One folder holds one batch: the same analysis, settings and versions.

    Raises
    ------
    StoreError
    """
    if known_version != version:
        raise StoreError(
            "the output folder holds a batch with other settings",
            got=known_version[:160],
            expected=version[:160],
            remedy="choose another --out, or run with the settings of the first run",
        )
