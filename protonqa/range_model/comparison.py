"""Variants of the network at equal budget: what bidirectionality, the CT, the crop and the edge path are worth."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from protonqa.range_model.augmentation import apply_scenarios
from protonqa.range_model.config import CHANNELS, OPTIONAL_CHANNELS
from protonqa.range_model.dataset import RayTable, Split, split_of
from protonqa.range_model.features import build_features
from protonqa.range_model.network import RangeNetwork
from protonqa.range_model.predict import run_members, torch_threads
from protonqa.range_model.scenarios import NAMED_SCENARIOS, ScenarioConfig, draw_scenarios
from protonqa.range_model.training import (
    TEST,
    PretrainingConfig,
    TrainConfig,
    time_step,
    train_config,
    train_member,
    trained_network,
)

Changes = Mapping[str, Any]

#: What each variant changes in the config of the shipped weights.
VARIANTS: dict[str, Changes] = {
    "as shipped": {},
    "one direction": {"model": {"network": {"bidirectional": False}}},
    "GRU": {"model": {"network": {"cell": "gru"}}},
    "convolutions (TCN)": {"model": {"network": {"core": "tcn", "blocks": 4}}},
    "transformer": {"model": {"network": {"core": "transformer", "layers": 2}}},
    "two recurrent layers": {"model": {"network": {"layers": 2}}},
    "no edge path": {"model": {"network": {"edge": 0}}},
    "no edge path, two layers of 48, stride 2": {
        "model": {"network": {"edge": 0, "layers": 2, "hidden": 48, "stride": 2}}
    },
    "2 mm bins": {"model": {"features": {"segments": ((-336.0, -80.0, 8.0), (-80.0, -32.0, 4.0), (-32.0, 40.0, 2.0))}}},
    "full depth from the surface": {
        "model": {"features": {"anchor": "surface", "segments": ((0.0, 448.0, 4.0),)}, "network": {"edge": 0}}
    },
    "no CT": {"scenarios": {"no_ct_share": 1.0}},
    "no activity/RSP channel": {
        "model": {"features": {"channels": tuple(c for c in (*CHANNELS, *OPTIONAL_CHANNELS) if "over_rsp" not in c)}}
    },
    "no WEPL spread of neighbours": {"model": {"features": {"channels": CHANNELS}}},
}
#: Scenarios that the variants are judged by.
JUDGED: tuple[str, ...] = ("raw", "washout 5 min", "realistic ray", "no CT, raw")
_BATCH = 128
_TIMED_STEPS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantScore:
    """What a variant reached: parameters, training rays per second, and per scenario MAE of flat mono rays, MAE and
    median of all rays that are not range-mixed (mm)."""

    name: str
    parameters: int
    rays_per_s: float
    errors_mm: dict[str, tuple[float, float, float]]


def compare(
    config: TrainConfig,
    table: RayTable,
    folder: Path,
    *,
    budget_s: float,
    variants: Mapping[str, Changes] = VARIANTS,
    threads: int = 1,
    progress: Callable[[int, int, str], object] | None = None,
) -> list[VariantScore]:
    """Train one member of each variant for about `budget_s` seconds and score it on the test anatomies.

    The number of epochs is set from the speed of a few steps, so that each learning rate schedule comes to its end
    within the budget. A variant that is in `folder` already is not trained again.
    """
    split = split_of(table, seed=config.seed, calibrate=config.calibrate_share, test=config.test_share)
    scores = []
    with torch_threads(threads):
        for number, (name, changes) in enumerate(variants.items()):
            own = variant(config, changes)
            place = folder / "".join(c if c.isalnum() else "-" for c in name)
            scores.append(_score(name, own, table, split, place, budget_s))
            if progress is not None:
                progress(number + 1, len(variants), name)
    return scores


def variant(config: TrainConfig, changes: Changes) -> TrainConfig:
    """The config with the changed keys; raises InputError where they do not fit together."""
    return train_config(_merged(config.model_dump(), changes))


def _score(
    name: str, config: TrainConfig, table: RayTable, split: Split, folder: Path, budget_s: float
) -> VariantScore:
    began = time.perf_counter()
    time_step(config, table, split, steps=2)
    per_step_s = time_step(config, table, split, steps=_TIMED_STEPS)
    rays_per_s = config.batch / per_step_s
    left_s = max(0.5 * budget_s, budget_s - (time.perf_counter() - began))
    steps = math.ceil(split.train.size / config.batch)
    epochs = max(1, round(left_s / (steps * per_step_s)))
    alone = config.model_copy(update={"epochs": epochs, "passes": 1, "pretraining": PretrainingConfig()})
    state = train_member(alone, table, split, 0, folder)
    network = trained_network(config, state)
    return VariantScore(
        name=name,
        parameters=sum(p.numel() for p in network.parameters()),
        rays_per_s=rays_per_s,
        errors_mm={s: _errors(network, config, table, split.test, NAMED_SCENARIOS[s]) for s in JUDGED},
    )


def _errors(
    network: RangeNetwork, config: TrainConfig, table: RayTable, rows: NDArray[np.int64], scenario: ScenarioConfig
) -> tuple[float, float, float]:
    rng = np.random.default_rng([config.seed, TEST])
    kept = rows[~table.range_mixed[rows]]
    miss = []
    for start in range(0, kept.size, _BATCH):
        some = kept[start : start + _BATCH]
        draw = draw_scenarios(scenario, rng, some.size, n_channel=table.production.shape[1])
        features = build_features(apply_scenarios(table, some, draw), config.model.features)
        miss.append(np.abs(run_members((network,), features).r80_mm - table.r80_mm[some]))
    error = np.concatenate(miss)
    flat = ~table.heterogeneous[kept] & ~table.sobp[kept]
    flat_mae = float(error[flat].mean()) if flat.any() else float("nan")
    return flat_mae, float(error.mean()), float(np.median(error))


def _merged(base: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    out = dict(base)
    for key, value in changes.items():
        inner = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = _merged(out[key], value) if inner else value
    return out


def markdown(scores: list[VariantScore], *, budget_s: float) -> str:
    """The comparison as a table; MAE of flat mono rays / MAE / median of all rays in domain, mm."""
    heads = ["network", "parameters", "rays/s", *JUDGED]
    lines = [
        f"Each trained for {budget_s / 60:.0f} min on {torch.get_num_threads()} thread(s), one member, one seed.",
        "",
        f"| {' | '.join(heads)} |",
        f"|---|{'---:|' * (len(heads) - 1)}",
    ]
    for s in scores:
        cells = [" / ".join(f"{v:.2f}" for v in s.errors_mm[name]) for name in JUDGED]
        lines.append(f"| {' | '.join([s.name, f'{s.parameters / 1e3:.0f} k', f'{s.rays_per_s:.0f}', *cells])} |")
    return "\n".join(lines)
