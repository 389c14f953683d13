"""Train the variants of the network at equal budget, two at a time, and write `network-comparison.md`:
`python docs/compare_networks.py TRAINING-SET FOLDER [SECONDS-EACH] [WORKERS]`. Killed, the next call goes on."""

from __future__ import annotations

import datetime
import platform
import sys
from pathlib import Path

import torch

import protonqa
from protonqa.jobs.journal import read_outcomes
from protonqa.jobs.local import LocalPool
from protonqa.jobs.progress import JobProgress
from protonqa.jobs.runner import run_job
from protonqa.range_model.comparison import VARIANTS, comparison_job, markdown, score_of
from protonqa.range_model.recipe import shipped_recipe
from protonqa.range_model.shards import read_training_set

PAGE = Path(__file__).with_name("network-comparison.md")
SECONDS, WORKERS = 50.0, 2
HEAD = """# Networks compared at equal budget

Written by `python docs/compare_networks.py`; do not edit. Every row changes one thing of the shipped recipe. Budgets
are small and there is one seed: the order says what learns fastest, not what would win in the end, and differences of
a few hundredths of a millimetre mean nothing. Columns of scenarios: MAE of flat mono-energetic rays / MAE / median of
all rays that are not range-mixed, mm, on test anatomies.

- *As shipped*: one bidirectional LSTM layer, and a path that sees the bins around A50 at their places. The rows *no
  edge path* compare the cores alone.
- *No CT* has no channel of the planning CT at all: activity alone.
- *Full depth from the surface* is not aligned with A50 and can have no edge path: compare it with *no edge path*.

"""


def main(training_set: Path, folder: Path, budget_s: float, workers: int) -> None:
    """Compare and write."""

    def tell(now: JobProgress) -> None:
        sys.stderr.write(f"{now.finished} of {now.total}\n")

    job = comparison_job(shipped_recipe().training, training_set, budget_s=budget_s, names=tuple(VARIANTS))
    run_job(job, folder, on=LocalPool(workers=workers), progress=tell)
    outcomes = read_outcomes(folder)
    scores = [score_of(one.value()) for one in outcomes if one.done]
    failed = [f"{one.cell_id}: {one.message}" for one in outcomes if not one.done]
    table = read_training_set(training_set)
    text = HEAD + markdown(scores, budget_s=budget_s)
    text += f"\n\nTraining set `{table.content_hash[:16]}`, {len(table)} rays. {machine(workers)}\n"
    text += "".join(f"\nFailed: {line}\n" for line in failed)
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def machine(workers: int) -> str:
    """Where and when."""
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    where = f"{platform.machine()}, {platform.system()}"
    return (
        f"{workers} variants at a time on {where}, torch {torch.__version__}, protonqa {protonqa.__version__}, {day}."
    )


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else SECONDS
    main(Path(sys.argv[1]), Path(sys.argv[2]), seconds, int(sys.argv[4]) if len(sys.argv) > 4 else WORKERS)
