"""Runs the mixed job with two workers and says so after every commit; the test ends it at random moments."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from protonqa.jobs.local import LocalPool
from protonqa.jobs.runner import run_job
from protonqa.jobs.table import Job, cell, cell_seed


def mixed_job(n: int) -> Job:
    """Cells of a few milliseconds: results, bytes, folders and failures by turns."""
    cells = tuple(
        cell(f"cell-{i:04d}", {"x": i, "seed": cell_seed(11, f"cell-{i:04d}"), "sleep_s": 0.004}) for i in range(n)
    )
    return Job(name="test job", function="job_cells:mixed", cells=cells, version="1")


def tell(now) -> None:
    sys.stdout.write(f"{now.finished}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run_job(mixed_job(int(sys.argv[2])), Path(sys.argv[1]), on=LocalPool(workers=2), progress=tell)
