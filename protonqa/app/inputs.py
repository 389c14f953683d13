"""Inputs of an analysis from files: for each kind of value the paths it needs and the reader that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protonqa.analyses.interface import Input
from protonqa.errors import InputError, PluginError
from protonqa.values import Finding

Loaded = tuple[Any, tuple[Finding, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSource:
    """How a kind of value is given as files.

    ``paths`` maps an option to its help text; the empty name is the name of the input itself. The first one is
    required.
    """

    paths: Mapping[str, str]
    load: Callable[..., Loaded]


def input_paths(inputs: tuple[Input, ...]) -> dict[str, tuple[str, str, str]]:
    """Options for the inputs of an analysis: option -> (input, path of its source, help).

    Options of a source with several paths carry the name of the input where two inputs would share them.

    Raises
    ------
    PluginError
        A kind that cannot be read from files.
    """
    kinds = [one.kind_name for one in inputs]
    options: dict[str, tuple[str, str, str]] = {}
    for one in inputs:
        source = SOURCES.get(one.kind_name)
        if source is None:
            if one.optional:
                continue
            raise PluginError(
                f"input {one.name} cannot be read from a file", got=one.kind_name, expected=", ".join(sorted(SOURCES))
            )
        shared = kinds.count(one.kind_name) > 1
        for path, text in source.paths.items():
            option = one.name if not path else f"{one.name}_{path}" if shared else path
            options[option] = (one.name, path, one.title if one.title and not path else text)
    return options


def load_inputs(inputs: tuple[Input, ...], paths: Mapping[str, Path]) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """Values for the inputs of an analysis, and what the readers noticed.

    Parameters
    ----------
    inputs : tuple of Input
    paths : mapping of option to path
        Options as `input_paths` names them.

    Raises
    ------
    InputError
        A required path is missing, or a reader refuses a file.
    """
    options = input_paths(inputs)
    given: dict[str, dict[str, Path]] = {}
    for option, path in paths.items():
        if option not in options:
            raise InputError("unknown input", got=option, expected=", ".join(options) or "no inputs")
        name, key, _ = options[option]
        given.setdefault(name, {})[key] = path
    values: dict[str, Any] = {}
    findings: tuple[Finding, ...] = ()
    for one in inputs:
        if one.name not in given:
            if one.optional:
                continue
            needed = next(option for option, target in options.items() if target[0] == one.name)
            raise InputError(f"input {one.name} is missing", expected=f"--{needed.replace('_', '-')} PATH")
        source = SOURCES[one.kind_name]
        first = next(iter(source.paths))
        if first not in given[one.name]:
            raise InputError(f"input {one.name} is incomplete", expected=f"--{first.replace('_', '-')} PATH")
        values[one.name], found = source.load(**{key or "path": path for key, path in given[one.name].items()})
        findings += found
    return values, findings


def _case(ct: Path, pet: Path | None = None, plan: Path | None = None, dose: Path | None = None) -> Loaded:
    from protonqa.dicom import read_case

    case = read_case(ct, pet, plan, dose)
    return case, case.findings


def _volume(path: Path) -> Loaded:
    if path.suffix.lower() in (".mha", ".mhd"):
        from protonqa.files.metaimage import read_metaimage

        return read_metaimage(path), ()
    from protonqa.dicom import read_ct

    volume, _, findings = read_ct(path)
    return volume, findings


def _pet(path: Path) -> Loaded:
    from protonqa.dicom import read_pet

    return read_pet(path)


def _plan(path: Path) -> Loaded:
    from protonqa.dicom import read_plan

    plan, _, findings = read_plan(path)
    return plan, findings


def _dose(path: Path) -> Loaded:
    from protonqa.dicom import read_dose

    return read_dose(path)


def _profiles(path: Path) -> Loaded:
    from protonqa.files.profiles import read_profiles

    table = read_profiles(path)
    if len(table.sets) != 1:
        raise InputError(
            "the profile table holds several sets of rays",
            got=f"{len(table.sets)} sets",
            expected="rays with the same depths, time line and PSF",
        )
    return table.sets[0], table.findings


def _hlut(path: Path) -> Loaded:
    from protonqa.files.calibrations import read_hlut

    return read_hlut(path), ()


def _beam_model(path: Path) -> Loaded:
    from protonqa.files.calibrations import read_beam_model

    return read_beam_model(path), ()


SOURCES: Mapping[str, InputSource] = {
    "BeamModel": InputSource(paths={"": "beam model file"}, load=_beam_model),
    "Case": InputSource(
        paths={
            "ct": "planning CT: DICOM folder",
            "pet": "PET: DICOM folder",
            "plan": "RT Ion Plan",
            "dose": "RT Dose of the beam",
        },
        load=_case,
    ),
    "DoseImage": InputSource(paths={"": "RT Dose"}, load=_dose),
    "Hlut": InputSource(paths={"": "HU to RSP table (CSV)"}, load=_hlut),
    "IonPlan": InputSource(paths={"": "RT Ion Plan"}, load=_plan),
    "PetImage": InputSource(paths={"": "PET: DICOM folder"}, load=_pet),
    "ProfileSet": InputSource(paths={"": "profiles (CSV or NPZ)"}, load=_profiles),
    "Volume": InputSource(paths={"": "CT: DICOM folder, or a .mha volume"}, load=_volume),
}
