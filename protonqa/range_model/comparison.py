"""Variants of the network at equal budget: what bidirectionality, the CT, the crop and the edge path are worth."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError, StoreError
from protonqa.jobs.cell import CellContext
from protonqa.jobs.table import Job, cell
from protonqa.range_model.augmentation import apply_scenarios
from protonqa.range_model.config import CHANNELS, OPTIONAL_CHANNELS
from protonqa.range_model.dataset import RayTable, Split, split_of
from protonqa.range_model.features import build_features
from protonqa.range_model.network import RangeNetwork
from protonqa.range_model.predict import run_members, torch_threads
from protonqa.range_model.scenarios import NAMED_SCENARIOS, ScenarioConfig, draw_scenarios
from protonqa.range_model.shards import read_manifest, read_training_set
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

#: Channels that need the planning CT, beside those of `OPTIONAL_CHANNELS`.
_OF_CT = ("activity_over_rsp", "rsp", "rsp_known", "wepl", "wepl_known")

#: What each variant changes in the config of the shipped weights.
VARIANTS: dict[str, Changes] = {
    "as shipped": {},
    "one direction": {"model": {"network": {"bidirectional": False}}},
    "GRU": {"model": {"network": {"cell": "gru"}}},
    "convolutions (TCN)": {"model": {"network": {"core": "tcn", "blocks": 4}}},
    "transformer": {"model": {"network": {"core": "transformer", "layers": 2}}},
    "no edge path": {"model": {"network": {"edge": 0}}},
    "no edge path, one direction": {"model": {"network": {"edge": 0, "bidirectional": False}}},
    "no edge path, GRU": {"model": {"network": {"edge": 0, "cell": "gru"}}},
    "no edge path, TCN": {"model": {"network": {"edge": 0, "core": "tcn", "blocks": 4}}},
    "no edge path, transformer": {"model": {"network": {"edge": 0, "core": "transformer", "layers": 2}}},
    "2 mm bins": {"model": {"features": {"segments": ((-336.0, -80.0, 8.0), (-80.0, -32.0, 4.0), (-32.0, 40.0, 2.0))}}},
    "full depth from the surface": {
        "model": {"features": {"anchor": "surface", "segments": ((0.0, 448.0, 4.0),)}, "network": {"edge": 0}}
    },
    "no CT": {"model": {"features": {"channels": tuple(c for c in CHANNELS if c not in _OF_CT)}}},
    "no activity/RSP channel": {
        "model": {"features": {"channels": tuple(c for c in (*CHANNELS, *OPTIONAL_CHANNELS) if "over_rsp" not in c)}}
    },
    "no WEPL spread of neighbours": {"model": {"features": {"channels": CHANNELS}}},
}
#: Scenarios that the variants are judged by.
JUDGED: tuple[str, ...] = ("raw", "washout 5 min", "realistic ray", "no CT, raw")
_FUNCTION = "protonqa.range_model.comparison:compute_variant"
_BATCH = 128
_TIMED_STEPS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantScore:
    """What a variant reached: parameters, training rays per processor second, passes over the training rays within
    the budget, and per scenario MAE of flat mono rays, MAE and median of all rays that are not range-mixed (mm)."""

    name: str
    parameters: int
    rays_per_s: float
    passes: int
    errors_mm: dict[str, tuple[float, float, float]]


def comparison_job(config: TrainConfig, training_set: Path, *, budget_s: float, names: tuple[str, ...]) -> Job:
    """A cell a variant: each trains one member and is scored on the test anatomies.

    `budget_s` are processor seconds for each. The number of passes over the rays is set from the speed of a few steps,
    so that each learning rate schedule comes to its end within the budget; it is that of the computer that runs it.

    Raises
    ------
    InputError
        A variant that does not exist.
    StoreError
        No closed training set.
    """
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise InputError("unknown variant of the network", got=unknown[0][:60], expected="; ".join(VARIANTS))
    shared: dict[str, Any] = {"set": str(training_set.resolve()), "set_hash": read_manifest(training_set).set_hash}
    shared |= {"budget_s": budget_s, "config": config.model_dump(mode="json")}
    rows = [cell(_plain_name(name), {**shared, "variant": name}) for name in names]
    return Job(name="comparison of networks", function=_FUNCTION, cells=tuple(rows))


def compute_variant(parameters: dict[str, Any], context: CellContext) -> dict[str, Any]:
    """The cell function: train a variant, score it."""
    name = parameters["variant"]
    config = variant(train_config(parameters["config"]), VARIANTS[name])
    with torch_threads(1):
        table = _table(parameters["set"], parameters["set_hash"])
        split = split_of(table, seed=config.seed, calibrate=config.calibrate_share, test=config.test_share)
        score = score_variant(name, config, table, split, context.folder, parameters["budget_s"], context.cancelled)
    return asdict(score)


@lru_cache(maxsize=1)
def _table(folder: str, set_hash: str) -> RayTable:
    """The training set of a worker, read once."""
    table = read_training_set(Path(folder))
    if table.content_hash != set_hash:
        raise StoreError("the training set was exchanged", remedy="start the comparison in another folder")
    return table


def _plain_name(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name).split())


def variant(config: TrainConfig, changes: Changes) -> TrainConfig:
    """The config with the changed keys; raises InputError where they do not fit together."""
    return train_config(_merged(config.model_dump(), changes))


def score_variant(
    name: str,
    config: TrainConfig,
    table: RayTable,
    split: Split,
    folder: Path,
    budget_s: float,
    stop: Callable[[], bool] | None = None,
) -> VariantScore:
    """Train one member of a variant within a budget (processor seconds) and score it on the test anatomies."""
    began = time.process_time()
    time_step(config, table, split, steps=2)
    per_step_s = time_step(config, table, split, steps=_TIMED_STEPS)
    left_s = max(0.5 * budget_s, budget_s - (time.process_time() - began))
    steps = math.ceil(split.train.size / config.batch)
    epochs = max(1, round(left_s / (steps * per_step_s)))
    # An epoch of all passes: one checkpoint and one look at the error, which cost the same for every variant.
    alone = config.model_copy(update={"epochs": 1, "passes": epochs, "pretraining": PretrainingConfig()})
    network = trained_network(config, train_member(alone, table, split, 0, folder, stop=stop))
    return VariantScore(
        name=name,
        parameters=sum(p.numel() for p in network.parameters()),
        rays_per_s=config.batch / per_step_s,
        passes=epochs,
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
    heads = ["network", "parameters", "rays/s", "passes", *JUDGED]
    lines = [
        f"Each trained for {budget_s:.0f} processor seconds on one thread, one member, one seed, without pre-training.",
        "",
        f"| {' | '.join(heads)} |",
        f"|---|{'---:|' * (len(heads) - 1)}",
    ]
    for s in scores:
        errors = [" / ".join(f"{v:.2f}" for v in s.errors_mm[name]) for name in JUDGED]
        cells = [s.name, f"{s.parameters / 1e3:.0f} k", f"{s.rays_per_s:.0f}", str(s.passes), *errors]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def score_of(plain: Mapping[str, Any]) -> VariantScore:
    """A score from the plain values of `compute_variant`."""
    errors = {name: (float(v[0]), float(v[1]), float(v[2])) for name, v in plain["errors_mm"].items()}
    return VariantScore(**{**plain, "errors_mm": errors})
