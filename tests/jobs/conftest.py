"""Jobs for the tests of the runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from protonqa.jobs.table import Job, cell, cell_seed


@pytest.fixture(autouse=True)
def _cells_importable(monkeypatch):
    """Workers find the cell functions by the import path of this process."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def make_job():
    """make_job("mixed", 20, sleep_s=0.1): a job of that many cells of a function in job_cells."""

    def make(function: str, n: int = 1, **parameters) -> Job:
        cells = tuple(
            cell(f"cell-{i:04d}", {"x": i, "seed": cell_seed(11, f"cell-{i:04d}"), **parameters}) for i in range(n)
        )
        return Job(name="test job", function=f"job_cells:{function}", cells=cells, version="1")

    return make
