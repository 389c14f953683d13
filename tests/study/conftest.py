"""A small study on rays in water that are known in closed form: every test of the study's machinery looks at it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from protonqa.analyses.sensitivity_study.known_rays import known_ray, write_known_rays
from protonqa.jobs.runner import backend_for
from protonqa.range_model.dataset import SetSchema
from protonqa.range_model.shards import write_manifest, write_shard
from protonqa.study.conditions import Condition
from protonqa.study.run import StudyOutcome, run_study
from protonqa.study.settings import Bootstrap, RaySource, StudyConfig

METHODS = ("model", "a50-line", "a50-line-rsp", "most-likely-shift", "profile-match-additive")


def small_study(folder: Path, **changes: Any) -> StudyConfig:
    """Two named rows, a noisy base and two variations."""
    fields: dict[str, Any] = {
        "seed": 5,
        "rays": RaySource(set=folder, lines=folder),
        "methods": METHODS,
        "named": ("raw", "125 mm"),
        "base": Condition(noise="snr-additive", snr=20.0),
        "vary": {"snr": (10.0,), "window_mm": (100.0,)},
        "bootstrap": Bootstrap(resamples=100),
        "line_rays": 50,
        "worst_cases": 2,
    }
    return StudyConfig(**{**fields, **changes})


@pytest.fixture(scope="session")
def water_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five anatomies of four rays, and one whose rays are range-mixed."""
    folder = tmp_path_factory.mktemp("water")
    write_known_rays(folder, seed=1, anatomies=5, rays_each=4, shift_mm=6.0)
    schema = SetSchema(dose_bin_mm=1.0)
    mixed = [known_ray("water-mixed", range_mm=r, shift_mm=1.0, mixed=True) for r in (120.0, 150.0)]
    write_shard(folder, "water-mixed", mixed, schema)
    write_manifest(folder, schema, {"closed_form": "water"})
    return folder


@pytest.fixture(scope="session")
def computed(water_set: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The small study, computed in this process: its outcome and its folder."""
    work = tmp_path_factory.mktemp("study")
    told: list[tuple[float, str]] = []
    outcome: StudyOutcome = run_study(
        small_study(water_set), work, on=backend_for(0), progress=lambda done, _, text: told.append((done, text))
    )
    return SimpleNamespace(outcome=outcome, work=work, told=told, study=small_study)


def rows_by_key(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows by scenario and method, each once."""
    found = {(row["scenario"], row["method"]): row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.fixture(scope="session")
def rows(computed: SimpleNamespace) -> dict[tuple[str, str], dict[str, Any]]:
    return rows_by_key(computed.outcome.summary.rows)


@pytest.fixture
def clustered() -> tuple[np.ndarray, np.ndarray]:
    """Values and the names of their anatomies, of unequal size, not in order."""
    rng = np.random.default_rng(8)
    names = np.array([f"a{i}" for i in rng.integers(0, 7, 60)])
    return rng.normal(size=60), names
