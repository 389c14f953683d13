"""One cell of a study: one scenario on one anatomy, every method; the same parameters give the same bytes anywhere."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import ModelFileError, StoreError
from protonqa.study.lines import built_lines
from protonqa.study.methods import PAPER, Answers, Shown, Tools, answer, show
from protonqa.study.rays import laid_out, rays_of
from protonqa.study.scenarios import StudyScenario

if TYPE_CHECKING:
    from protonqa.jobs.cell import CellContext
    from protonqa.range_model.model_file import RangeModel

#: Numbers of each method on each ray, (n_method, n_ray) in a cell.
NUMBERS: tuple[str, ...] = (
    "r80_mm",
    "low_mm",
    "high_mm",
    "sigma_mm",
    "dose_mae",
    "dose_mre_percent",
    "dose_mre_without_falloff_percent",
)
ARRAYS: tuple[str, ...] = ("rows", "floor_mm", "answered", "reason", *NUMBERS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellRays:
    """A cell in memory: what was shown, and what each method said."""

    rows: NDArray[np.int64]
    shown: Shown
    answers: Mapping[str, Answers]


def study_cell(parameters: dict[str, Any], context: CellContext) -> bytes:
    """Cell function: ask every method about the rays of one anatomy under one scenario."""
    context.check_cancelled()
    return _encoded(computed(parameters))


def computed(parameters: Mapping[str, Any], *, methods: tuple[str, ...] | None = None) -> CellRays:
    """The cell with its profiles; `methods` asks only some."""
    from protonqa.range_model.predict import torch_threads

    scenario = StudyScenario.model_validate(parameters["scenario"])
    table = laid_out(Path(parameters["rays"]), parameters["rays_hash"])
    rows, mine = rays_of(table, parameters["anatomy"])
    asked = tuple(parameters["methods"]) if methods is None else methods
    paper = parameters["paper"] if PAPER in asked else None
    tools = Tools(
        model=_model(parameters["model"]["folder"], parameters["model"]["sha256"]),
        paper=None if paper is None else _model(paper["folder"], paper["sha256"]),
        lines=built_lines(parameters["lines"]),
    )
    # One thread: the last bits of a sum depend on how it is shared out.
    with torch_threads(1):
        shown = show(
            scenario,
            mine,
            parameters["anatomy"],
            seed=parameters["seed"],
            expected_washout=parameters["expected_washout"],
        )
        return CellRays(rows=rows, shown=shown, answers={name: answer(name, shown, tools) for name in asked})


def decoded(content: bytes) -> dict[str, NDArray[Any]]:
    """Arrays of a cell from its bytes.

    Raises
    ------
    StoreError
        Not the bytes of a cell.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError("a cell of the study cannot be read", got=type(error).__name__) from error


def _encoded(cell: CellRays) -> bytes:
    answers = list(cell.answers.values())
    arrays: dict[str, NDArray[Any]] = {
        "rows": cell.rows,
        "floor_mm": cell.shown.floor_mm,
        "answered": np.stack([one.answered for one in answers]),
        "reason": np.stack([one.reason for one in answers]),
        **{name: np.stack([getattr(one, name) for one in answers]) for name in NUMBERS},
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ARRAYS:
            part = io.BytesIO()
            np.save(part, arrays[name], allow_pickle=False)
            # A fixed date: the same numbers are the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), part.getvalue())
    return stream.getvalue()


@lru_cache(maxsize=4)
def _model(folder: str | None, sha256: str) -> RangeModel:
    model = open_model(None if folder is None else Path(folder))
    if model.card.weights_sha256 != sha256:
        raise ModelFileError("the weights are not those the study began with", remedy="put them back, or begin anew")
    return model


def open_model(folder: Path | None) -> RangeModel:
    """The model of a folder, or the shipped one."""
    from protonqa.range_model.model_file import load_model, shipped_model

    return shipped_model() if folder is None else load_model(folder)
