"""Train the shipped recipe again, with other seeds and without some sites: `python docs/model_trials.py SET OUT`.

SET is the training set of record (`protonqa train --set-only`), OUT takes a model a trial; a trial that was cut off
goes on. What each reaches on its test rays is kept in `records/range_model_trials.json`, from which `model_figures.py`
writes the range model's page.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from protonqa.range_model.pipeline import train_model
from protonqa.range_model.recipe import shipped_recipe
from protonqa.range_model.shards import read_training_set
from protonqa.range_model.training import TrainConfig

RECORD = Path(__file__).parent / "records" / "range_model_trials.json"


def trials(config: TrainConfig) -> dict[str, TrainConfig]:
    """Configs by name."""

    def changed(name: str, **update: Any) -> TrainConfig:
        return config.model_copy(update={"name": f"{config.name}-{name}", **update})

    return {
        "held-out-sites": changed("held-out-sites", held_out_sites=("head", "pelvis")),
        "seed-2": changed("seed-2", seed=2),
        "seed-3": changed("seed-3", seed=3),
    }


def main(training_set: Path, out: Path) -> None:
    """Run what is missing; the record is written after every trial."""
    table = read_training_set(training_set)
    recipe = shipped_recipe()
    for name, config in trials(recipe.training).items():
        model = train_model(
            config,
            table,
            out / name,
            recipe=recipe.model_dump(mode="json"),
            threads=1,
            workers=2,
            progress=lambda done, total, text, name=name: sys.stderr.write(f"{name}: {done} of {total}, {text}\n"),
        )
        record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
        record[name] = {
            "seed": config.seed,
            "held_out_sites": list(config.held_out_sites),
            "training_set": model.card.training.set_hash,
            "config": config.identity(),
            "metrics": [row.model_dump(mode="json") for row in model.card.metrics],
        }
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
