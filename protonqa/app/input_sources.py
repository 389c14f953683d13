"""How each kind of value is given as files: its paths, how a case folder is searched for them, and its reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from protonqa.errors import InputError, StoreError
from protonqa.values import Finding, ImageSeries, PetImage

Loaded = tuple[Any, tuple[Finding, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSource:
    """How a kind of value is given as files.

    Parameters
    ----------
    paths : mapping of option to help text
        The empty name is the name of the input itself. The first one is required.
    load : callable
        Gets the paths by option (``path`` for the empty name).
    dicom : mapping of option to kind
        Which DICOM content of a folder each path means, as `protonqa.dicom.inventory` calls it.
    suffixes : tuple of str
        Endings of files that can be the input, lower case.
    folder : bool
        A plain folder of files can be the input.
    """

    paths: Mapping[str, str]
    load: Callable[..., Loaded]
    dicom: Mapping[str, str] = field(default_factory=dict)
    suffixes: tuple[str, ...] = ()
    folder: bool = False


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


def _result(path: Path) -> Loaded:
    from protonqa.analyses.result_json import result_from_json
    from protonqa.analyses.run_folder import RESULT

    file = path / RESULT if path.is_dir() else path
    try:
        return result_from_json(file.read_text(encoding="utf-8")), ()
    except (OSError, UnicodeDecodeError, StoreError) as error:
        got = error.line() if isinstance(error, StoreError) else type(error).__name__
        raise InputError("the file is not a result", got=got, expected=RESULT) from error


def _case_table(path: Path) -> Loaded:
    from protonqa.files.collections import read_case_table

    return read_case_table(path), ()


def _range_model(path: Path) -> Loaded:
    from protonqa.range_model.model_file import load_model

    return load_model(path), ()


def _image_set(path: Path) -> Loaded:
    from protonqa.files.collections import read_image_set

    return read_image_set(path), ()


def _text(path: Path) -> Loaded:
    from protonqa.files.collections import read_text_document

    return read_text_document(path), ()


def _settings(path: Path) -> Loaded:
    from protonqa.files.collections import read_settings_file

    return read_settings_file(path), ()


def _trained_model(path: Path) -> Loaded:
    from protonqa.files.collections import read_trained_model

    return read_trained_model(path), ()


def _image_series(path: Path) -> Loaded:
    """A folder with ``frames.csv``, or one in which every sub-folder is a DICOM PET of one frame."""
    from protonqa.files.collections import FRAMES, read_image_series

    if (path / FRAMES).is_file():
        return read_image_series(path), ()
    from protonqa.dicom import read_pet

    folders = sorted(one for one in path.iterdir() if one.is_dir()) if path.is_dir() else []
    if not folders:
        raise InputError("the folder is no image series", expected=f"{FRAMES}, or a folder with a DICOM PET a frame")
    read = [read_pet(one) for one in folders]
    findings = tuple(dict.fromkeys(finding for _, found in read for finding in found))
    return _frames_in_order([image for image, _ in read]), findings


def _frames_in_order(images: list[PetImage]) -> ImageSeries:
    """Frames by their own clock; decay correction must be alike, or the curve over time would be none."""
    starts = [one.timing.frame_start for one in images]
    known = [start for start in starts if start is not None]
    if len(known) != len(starts):
        raise InputError("a frame of the image series has no start", expected="the time of acquisition of each frame")
    if len({one.timing.decay_correction for one in images}) != 1:
        raise InputError("the frames of the image series are decay-corrected differently", expected="all alike")
    order = sorted(range(len(known)), key=lambda at: known[at])
    first = known[order[0]]
    return ImageSeries(
        frames=tuple(images[at].volume for at in order),
        start_s=np.array([(known[at] - first).total_seconds() for at in order]),
        duration_s=np.array([images[at].timing.frame_duration_s or 0.0 for at in order]),
    )


SOURCES: Mapping[str, InputSource] = {
    "AnalysisResult": InputSource(paths={"": "result.json, or its folder"}, load=_result, suffixes=(".json",)),
    "BeamModel": InputSource(paths={"": "beam model file"}, load=_beam_model, suffixes=(".yaml", ".yml", ".csv")),
    "Case": InputSource(
        paths={
            "ct": "planning CT: DICOM folder",
            "pet": "PET: DICOM folder",
            "plan": "RT Ion Plan",
            "dose": "RT Dose of the beam",
        },
        load=_case,
        dicom={"ct": "ct", "pet": "pet", "plan": "plan", "dose": "dose"},
        suffixes=(".zip",),
    ),
    "CaseTable": InputSource(paths={"": "table (CSV)"}, load=_case_table, suffixes=(".csv",)),
    "DoseImage": InputSource(paths={"": "RT Dose"}, load=_dose, dicom={"": "dose"}, suffixes=(".dcm", ".zip")),
    "Hlut": InputSource(paths={"": "HU to RSP table (CSV)"}, load=_hlut, suffixes=(".csv",)),
    "ImageSeries": InputSource(
        paths={"": "folder with frames.csv, or a folder a frame (DICOM PET)"}, load=_image_series, folder=True
    ),
    "ImageSet": InputSource(
        paths={"": "folder of .mha volumes or .png pictures, images.csv in it"}, load=_image_set, folder=True
    ),
    "IonPlan": InputSource(paths={"": "RT Ion Plan"}, load=_plan, dicom={"": "plan"}, suffixes=(".dcm", ".zip")),
    "PetImage": InputSource(paths={"": "PET: DICOM folder"}, load=_pet, dicom={"": "pet"}, suffixes=(".zip",)),
    "ProfileSet": InputSource(paths={"": "profiles (CSV or NPZ)"}, load=_profiles, suffixes=(".csv", ".npz")),
    "SettingsFile": InputSource(paths={"": "settings (YAML)"}, load=_settings, suffixes=(".yaml", ".yml")),
    "RangeModel": InputSource(paths={"": "folder of train"}, load=_range_model),
    "TextDocument": InputSource(paths={"": "text (UTF-8)"}, load=_text, suffixes=(".txt", ".md", ".conllu", ".tsv")),
    "TrainedModel": InputSource(
        paths={"": "weights (.safetensors) with their card"}, load=_trained_model, suffixes=(".safetensors",)
    ),
    "Volume": InputSource(
        paths={"": "CT: DICOM folder, or a .mha volume"},
        load=_volume,
        dicom={"": "ct"},
        suffixes=(".mha", ".mhd", ".zip"),
    ),
}
