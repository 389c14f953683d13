"""Tables of cases, sets and series of images, texts, settings and trained models from plain files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from protonqa.errors import InputError, ModelFileError
from protonqa.files.csv_table import CsvTable, FileLimits, read_bytes, read_csv_table, read_text
from protonqa.files.metaimage import read_metaimage
from protonqa.files.pictures import read_picture
from protonqa.values import CaseTable, ImageSeries, ImageSet, SettingsFile, TextDocument, TrainedModel, Volume

INDEX, FRAMES = "images.csv", "frames.csv"
_IMAGES, _PICTURES = (".mha", ".mhd"), (".png",)
_TEXT_LIMITS = FileLimits(max_bytes=16 * 1024 * 1024)
_SETTINGS_LIMITS = FileLimits(max_bytes=256 * 1024)
_CARD_LIMITS = FileLimits(max_bytes=4 * 1024 * 1024)
_MODEL_BYTES = 4 * 1024**3
#: Images of a set are all held in memory.
_MOST_VOXELS = 2**28


def read_case_table(path: Path) -> CaseTable:
    """A CSV file as a table: a column whose every filled cell is a number holds numbers, any other holds texts.

    Raises
    ------
    InputError
        Not a CSV file with a header and rows, or a number that is not finite.
    """
    return _table(read_csv_table(path, what="table of cases"))


def _table(found: CsvTable) -> CaseTable:
    columns: dict[str, Any] = {}
    for name, cells in found.columns.items():
        columns[name] = found.numbers(name, may_be_empty=True) if _numeric(cells) else tuple(cells)
    return CaseTable(columns=columns)


def _numeric(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(_is_number(cell) for cell in filled)


def _is_number(cell: str) -> bool:
    # float() also takes 1_000 and digits of other scripts; those are texts.
    if not cell.isascii() or "_" in cell:
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_image_set(folder: Path) -> ImageSet:
    """A folder of volumes or PNG pictures; ``images.csv`` in it, with a column ``file``, says what is known of each.

    Without it every image of the folder counts, in the order of names.

    Raises
    ------
    InputError
        No images, one that is named and absent, or more than 2^28 voxels together.
    """
    if not folder.is_dir():
        raise InputError("the set of images is no folder", expected="a folder of images", remedy="check the path")
    index = folder / INDEX
    if index.is_file():
        table = _table(read_csv_table(index, what="list of images"))
        names = table.texts("file")
        facts = {name: column for name, column in table.columns.items() if name not in ("file", "name")}
    else:
        names = tuple(sorted(one.name for one in folder.iterdir() if one.suffix.lower() in _IMAGES + _PICTURES))
        facts = {}
    if not names:
        raise InputError(
            "the folder holds no images", expected=f".mha volumes or .png pictures, or {INDEX} that lists them"
        )
    images, voxels = [], 0
    for name in names:
        read = read_picture if name.lower().endswith(_PICTURES) else read_metaimage
        image = read(Path(folder / _inside(name)))
        voxels += image.array.size
        if voxels > _MOST_VOXELS:
            raise InputError("the set of images is too large", expected=f"at most {_MOST_VOXELS} voxels together")
        images.append(image)
    stems = tuple(PurePosixPath(name).stem for name in names)
    return ImageSet(images=tuple(images), table=CaseTable(columns={"name": stems, **facts}))


def read_image_series(folder: Path) -> ImageSeries:
    """A folder of volumes with ``frames.csv``: columns ``file, start_s`` and perhaps ``duration_s``, a row a frame.

    Raises
    ------
    InputError, GeometryError, UnitsError
        No list, a frame that is absent, frames of different places or units, times that do not increase.
    """
    table = read_csv_table(folder / FRAMES, what="list of frames")
    table.require(("file", "start_s"))
    start = table.numbers("start_s")
    duration = table.numbers("duration_s") if "duration_s" in table.columns else np.zeros_like(start)
    order = np.argsort(start, kind="stable")
    frames: list[Volume] = [read_metaimage(folder / _inside(table.columns["file"][int(at)])) for at in order]
    return ImageSeries(frames=tuple(frames), start_s=(start - start.min())[order], duration_s=duration[order])


def read_text_document(path: Path) -> TextDocument:
    """A UTF-8 text; ``report.de.txt`` is in German.

    Raises
    ------
    InputError
        Not readable, not UTF-8, empty or too large.
    """
    text = read_text(path, what="text", limits=_TEXT_LIMITS, kind=InputError)
    middle = path.suffixes[-2].removeprefix(".") if len(path.suffixes) > 1 else ""
    return TextDocument(text=text, language=middle.lower() if len(middle) in (2, 3) and middle.isalpha() else "")


def read_settings_file(path: Path) -> SettingsFile:
    """A UTF-8 text of settings and the folder its paths count from.

    Raises
    ------
    InputError
        Not readable, not UTF-8, empty or too large.
    """
    text = read_text(path, what="settings file", limits=_SETTINGS_LIMITS, kind=InputError)
    return SettingsFile(text=text, folder=path.resolve().parent)


def read_trained_model(path: Path) -> TrainedModel:
    """Weights (``.safetensors``) and the card beside them: ``NAME.json``, or ``card.json`` of the folder.

    Raises
    ------
    ModelFileError
        Not readable, too large, damaged, of an element type NumPy does not know, or a card that is not JSON.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    weights = path / "model.safetensors" if path.is_dir() else path
    try:
        size = weights.stat().st_size
        if size > _MODEL_BYTES:
            raise ModelFileError("the weights are too large", got=f"{size} bytes", expected=f"at most {_MODEL_BYTES}")
        content = weights.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelFileError("the weights cannot be read", got=reason, expected="a .safetensors file") from error
    try:
        tensors = load(content)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError("the weights are damaged or of an unknown type", got=type(error).__name__) from error
    return TrainedModel(tensors=tensors, card=_card(weights), sha256=hashlib.sha256(content).hexdigest())


def _card(weights: Path) -> dict[str, Any]:
    for path in (weights.with_suffix(".json"), weights.with_name("card.json")):
        if path.is_file():
            content = read_bytes(path, what="model card", limits=_CARD_LIMITS, kind=InputError)
            try:
                card = json.loads(content)
            except (ValueError, RecursionError) as error:
                raise ModelFileError("the model card is not JSON", got=type(error).__name__) from error
            if not isinstance(card, dict):
                raise ModelFileError("the model card holds no facts", expected="a JSON object")
            return card
    return {}


def _inside(name: str) -> PurePosixPath:
    """A name of a list that stays in the folder of the list."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise InputError("a list names a file outside its folder", expected="names inside the folder")
    return path
