"""The tables of a study, drawn before anything is computed: one cell a scenario and anatomy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import protonqa
from protonqa.jobs.canonical import canonical_json, sha256_text
from protonqa.jobs.table import Cell, Job, cell
from protonqa.study.methods import LINES
from protonqa.study.scenarios import StudyScenario
from protonqa.study.settings import StudyConfig

FIT, ASK = "protonqa.study.lines:fit_cell", "protonqa.study.cell:study_cell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A model by its folder (None: the shipped one) and the hash of its weights."""

    folder: Path | None
    sha256: str

    def plain(self) -> dict[str, Any]:
        """JSON types."""
        return {"folder": None if self.folder is None else str(self.folder), "sha256": self.sha256}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all cells of a study share; folders are where `protonqa.study.rays.lay_out` wrote."""

    study: StudyConfig
    scenarios: tuple[StudyScenario, ...]
    anatomies: tuple[str, ...]
    rays: Path
    rays_hash: str
    lines: Path | None
    lines_hash: str
    model: Weights
    paper: Weights | None

    @property
    def version(self) -> str:
        """All that the cells depend on besides their own parameters."""
        facts = [self.rays_hash, self.lines_hash, self.model.sha256, self.paper.sha256 if self.paper else ""]
        return f"{protonqa.__version__} {sha256_text(canonical_json(facts))[:24]}"

    @property
    def line_methods(self) -> tuple[str, ...]:
        """Lines that are asked for."""
        return tuple(name for name in self.study.methods if name in LINES)


def fit_job(setting: Setting) -> Job:
    """A cell a scenario: fit its lines."""
    shared = {
        "rays": str(setting.lines),
        "rays_hash": setting.lines_hash,
        "methods": list(setting.line_methods),
        "seed": setting.study.seed,
    }
    cells = tuple(cell(one.key, {**shared, "scenario": one.model_dump(mode="json")}) for one in setting.scenarios)
    return Job(name="lines of the study", function=FIT, cells=cells, version=setting.version)


def ask_job(setting: Setting, lines: Mapping[str, Mapping[str, Any]]) -> Job:
    """A cell a scenario and anatomy, scenario by scenario; `lines` are the fitted ones by the key of the scenario."""
    shared = {
        "rays": str(setting.rays),
        "rays_hash": setting.rays_hash,
        "methods": list(setting.study.methods),
        "model": setting.model.plain(),
        "paper": setting.paper.plain() if setting.paper else None,
        "seed": setting.study.seed,
        "expected_washout": setting.study.expected_washout,
    }
    cells: list[Cell] = []
    for one in setting.scenarios:
        own = {**shared, "scenario": one.model_dump(mode="json"), "lines": dict(lines[one.key])}
        cells += [cell(f"{one.key}.{name}", {**own, "anatomy": name}) for name in setting.anatomies]
    return Job(name="study", function=ASK, cells=tuple(cells), version=setting.version)
