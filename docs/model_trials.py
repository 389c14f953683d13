"""Train one network of the shipped recipe again, with another seed and without two sites.

`python docs/model_trials.py SET OUT`: SET is the training set of record (`protonqa train --set-only`), OUT takes a
model a trial; a trial that was cut off goes on. What each reaches on its test rays is kept in
`records/range_model_trials.json` beside what each network of the shipped ensemble reaches alone; `model_figures.py`
writes the range model's page from it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from protonqa.range_model.card import MetricRow
from protonqa.range_model.dataset import split_of
from protonqa.range_model.evaluate import LINE, MODEL, evaluate
from protonqa.range_model.model_file import shipped_model
from protonqa.range_model.pipeline import train_model
from protonqa.range_model.recipe import shipped_recipe
from protonqa.range_model.scenarios import NAMED_SCENARIOS
from protonqa.range_model.shards import read_training_set
from protonqa.range_model.training import TrainConfig

KEPT = (
    "scenario",
    "method",
    "subset",
    "n",
    "range_mae_mm",
    "range_sd_mm",
    "range_p95_mm",
    "coverage",
    "interval_width_mm",
    "answered",
)
RECORD = Path(__file__).parent / "records" / "range_model_trials.json"


def trials(config: TrainConfig) -> dict[str, TrainConfig]:
    """Configs by name: one network each."""

    def changed(name: str, **update: Any) -> TrainConfig:
        alone = config.model.model_copy(update={"members": 1})
        return config.model_copy(update={"name": f"{config.name}-{name}", "model": alone, **update})

    return {
        "held-out-sites": changed("held-out-sites", held_out_sites=("head", "pelvis")),
        "seed-2": changed("seed-2", seed=2),
    }


def main(training_set: Path, out: Path) -> None:
    """Run what is missing; the record is written after every trial."""
    table = read_training_set(training_set)
    recipe = shipped_recipe()
    shipped = shipped_model()
    rows = split_of(table, seed=recipe.training.seed).test
    for number, network in enumerate(shipped.members):
        alone = replace(shipped, members=(network,))
        found = evaluate(alone, table, rows, NAMED_SCENARIOS, seed=recipe.training.seed)
        keep(f"network-{number + 1}", recipe.training, found)
    for name, config in trials(recipe.training).items():
        model = train_model(
            config,
            table,
            out / name,
            recipe=recipe.model_dump(mode="json"),
            threads=1,
            progress=lambda done, total, text, name=name: sys.stderr.write(f"{name}: {done} of {total}, {text}\n"),
        )
        keep(name, config, model.card.metrics)


def keep(name: str, config: TrainConfig, rows: tuple[MetricRow, ...]) -> None:
    """Add a trial to the record."""
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    record[name] = {
        "seed": config.seed,
        "held_out_sites": list(config.held_out_sites),
        "config": config.identity(),
        "metrics": [_kept(row) for row in rows if row.method in (MODEL, LINE)],
    }
    RECORD.write_text(json.dumps(record, indent=0) + "\n", encoding="utf-8")


def _kept(row: MetricRow) -> dict[str, Any]:
    plain = {name: getattr(row, name) for name in KEPT}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in plain.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
