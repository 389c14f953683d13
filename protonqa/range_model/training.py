"""Training: resumable to the bit, seeded, bounded in time, without pickle.

Every batch draws its scenarios from (seed, member, epoch, batch), so a run that was killed and resumed equals one that
was not. Equality to the bit holds for the same program, processor and number of threads.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from protonqa.errors import Cancelled, InputError, ModelError
from protonqa.range_model.augmentation import apply_scenarios
from protonqa.range_model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint, write_history
from protonqa.range_model.config import ModelConfig, Settings, canonical_hash
from protonqa.range_model.conformal import AXIS_NAMES
from protonqa.range_model.dataset import RayTable, Split
from protonqa.range_model.features import build_features
from protonqa.range_model.losses import LossConfig, build_targets, total_loss
from protonqa.range_model.network import RangeNetwork, new_network
from protonqa.range_model.scenarios import ScenarioConfig, draw_scenarios

#: ``progress(done, total, text)``, both in epochs over all members.
Progress = Callable[[int, int, str], object]
Stop = Callable[[], bool]

#: First number of the seed of each use of random numbers.
TRAINING, MONITOR, CALIBRATION, TEST, LINES, SCALING, TIMING = range(7)
_MONITOR_RAYS = 256
_SCALING_RAYS = 2048


class PretrainingConfig(Settings):
    """Training on rays of the straight-ahead model first (`plain_rays`); no rays, no pre-training.

    Without epochs the rays are only replayed among the others.
    """

    rays: int = Field(0, ge=0, le=1_000_000)
    epochs: int = Field(10, ge=0, le=10_000)
    passes: int = Field(1, ge=1, le=10_000)
    learning_rate: float = Field(2e-3, gt=0.0, le=1.0)
    #: Share of the batches of the training proper that still come from these rays.
    replay_share: float = Field(0.3, ge=0.0, lt=1.0)


class TrainConfig(Settings):
    """The one config of a training; with the training set and the seed it decides the weights."""

    name: str = "protonqa-range"
    seed: int = Field(1, ge=0, lt=2**31)
    model: ModelConfig = ModelConfig()
    scenarios: ScenarioConfig = ScenarioConfig()
    loss: LossConfig = LossConfig()
    pretraining: PretrainingConfig = PretrainingConfig()
    epochs: int = Field(40, ge=1, le=10_000)
    #: Times that an epoch goes over the training rays: a checkpoint and a look at the error come once an epoch.
    passes: int = Field(1, ge=1, le=10_000)
    batch: int = Field(64, ge=1, le=65_536)
    learning_rate: float = Field(3e-3, gt=0.0, le=1.0)
    weight_decay: float = Field(1e-4, ge=0.0, le=1.0)
    warmup_share: float = Field(0.05, ge=0.0, lt=1.0)
    clip_norm: float = Field(3.0, gt=0.0)
    #: Exponential moving average of the weights; 0 turns it off.
    ema: float = Field(0.998, ge=0.0, lt=1.0)
    calibrate_share: float = Field(0.2, gt=0.0, lt=1.0)
    test_share: float = Field(0.15, gt=0.0, lt=1.0)
    alpha: float = Field(0.05, gt=0.0, lt=1.0)
    #: Axes of the interval groups and the number of bins of each.
    groups: tuple[tuple[str, int], ...] = (("spread_mm", 5), ("rsp_spread", 2))
    smallest_group: int = Field(200, ge=1)
    shrinkage: float = Field(0.0, ge=0.0)
    #: Margins are upper bounds over the calibration anatomies at this one-sided confidence; None: as they are.
    interval_confidence: float | None = Field(None, gt=0.0, lt=1.0)
    calibration_rounds: int = Field(2, ge=1, le=100)
    #: Times that the scenarios of the test are drawn for the calibration rays, beside those of training.
    calibration_named: int = Field(0, ge=0, le=100)
    #: Share of the range-mixed calibration rays that is to be flagged.
    flagged_share: float = Field(0.94, gt=0.0, lt=1.0)
    #: Sites of the set that are for tests alone.
    held_out_sites: tuple[str, ...] = ()
    #: Training stops at the end of the epoch that passes it; the card then says so. None is no bound.
    time_budget_s: float | None = Field(None, gt=0.0)

    @property
    def all_epochs(self) -> int:
        """Epochs of a member, pre-training included."""
        return self.epochs + (self.pretraining.epochs if self.pretraining.rays else 0)

    def identity(self) -> str:
        """Hash of everything that decides the weights; the time budget does not."""
        return canonical_hash(self.model_dump(mode="json", exclude={"time_budget_s", "name"}))


def load_train_config(path: Path) -> TrainConfig:
    """A config from YAML; what it leaves out keeps its default.

    Raises
    ------
    InputError
        Not YAML, or a key or value that is not known, with its place and the nearest known key.
    """
    try:
        content: Any = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        text = " ".join(str(error).split())[:160]
        raise InputError("training config is not valid YAML", got=text, expected="YAML") from error
    except OSError as error:
        raise InputError("training config cannot be read", got=str(error.strerror)) from error
    return train_config({} if content is None else content)


def train_config(content: Any) -> TrainConfig:
    """A config from plain values; raises InputError as `load_train_config`."""
    try:
        return TrainConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"]) or "the file"
        near = ""
        if first["type"] == "extra_forbidden":
            known = [*TrainConfig.model_fields, *ModelConfig.model_fields, *ScenarioConfig.model_fields, *AXIS_NAMES]
            close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
            near = f"did you mean {close[0]}?" if close else ""
        raise InputError(f"training config is wrong at {place}", got=str(first["msg"])[:160], remedy=near) from error


def train_member(
    config: TrainConfig,
    table: RayTable,
    split: Split,
    member: int,
    folder: Path,
    *,
    start: RangeNetwork | None = None,
    plain: RayTable | None = None,
    progress: Callable[[int, str], object] | None = None,
    stop: Stop | None = None,
    budget_s: float | None = None,
) -> Checkpoint:
    """Train one member, continuing from its checkpoint in `folder` where there is one.

    Parameters
    ----------
    start : RangeNetwork or None
        Weights to begin with (fine-tuning); None draws them from the seed.
    plain : RayTable or None
        Rays of the pre-training, where the config asks for one.
    progress : callable(epochs done, text)
    stop : callable
        Asked before every batch; True raises Cancelled, the last checkpoint stays.
    budget_s : float or None
        Training time of this member, earlier runs included.

    Raises
    ------
    Cancelled
    InputError
        The checkpoint in `folder` belongs to another config or training set.
    ModelError
        The loss is not finite.
    """
    identity: dict[str, Any] = {"config": config.identity(), "set": table.content_hash, "member": member}
    if start is not None:
        identity["start"] = weights_hash(start)
    state = read_checkpoint(folder, member, identity)
    if state is None:
        first = start if start is not None else _fresh(config, table, split, member)
        state = Checkpoint.fresh(first, identity)
    network = _new(config, 0)
    network.load_state_dict(state.weights)
    averaged = {name: value.clone() for name, value in state.averaged.items()}
    optimiser = _optimiser(network, config)
    state.restore(optimiser)
    spent_s = state.spent_s
    for epoch in range(state.epoch, config.all_epochs):
        if budget_s is not None and spent_s >= budget_s:
            break
        began = time.perf_counter()
        steps = _plan_epoch(config, table, split.train, plain, member, epoch)
        means = _epoch(network, averaged, optimiser, config, steps, (member, epoch), stop)
        means["monitor_mae_mm"] = _monitor(config, table, split, averaged)
        spent_s += time.perf_counter() - began
        history = [*state.history, {"epoch": float(epoch + 1), **means}]
        state = Checkpoint.of(network, averaged, optimiser, identity, epoch + 1, spent_s, history)
        write_checkpoint(folder, member, state)
        write_history(folder, member, identity, history)
        if progress is not None:
            progress(epoch + 1, f"member {member + 1}: {means['monitor_mae_mm']:.2f} mm")
    return state


def time_step(config: TrainConfig, table: RayTable, split: Split, *, steps: int) -> float:
    """Processor seconds of one training step, mean of `steps` on a network that is thrown away."""
    network = _new(config, 0).train()
    optimiser = _optimiser(network, config)
    rng = np.random.default_rng([config.seed, TIMING])
    # A computer that is busy with other things must not make a network look slow.
    began = time.process_time()
    for _ in range(steps):
        _step(network, optimiser, config, table, rng.choice(split.train, config.batch), rng)
    return (time.process_time() - began) / steps


def weights_hash(network: RangeNetwork) -> str:
    """SHA-256 over the weights of a network."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def schedule(step: int, total: int, warmup_share: float) -> float:
    """Learning rate factor: linear warm-up, then half a cosine down to 1 %."""
    warmup = max(1, round(warmup_share * total))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def trained_network(config: TrainConfig, state: Checkpoint) -> RangeNetwork:
    """The network of a checkpoint, with averaged weights, ready to predict."""
    network = _new(config, 0)
    network.load_state_dict(state.averaged)
    return network.eval().requires_grad_(False)


def _new(config: TrainConfig, seed: int) -> RangeNetwork:
    return new_network(config.model.features, config.model.network, seed)


def _fresh(config: TrainConfig, table: RayTable, split: Split, member: int) -> RangeNetwork:
    """A network drawn from the seed, its inputs scaled by training rays."""
    network = _new(config, _seed(config, member))
    rng = np.random.default_rng([config.seed, SCALING, member])
    rows = rng.permutation(split.train)[:_SCALING_RAYS]
    draw = draw_scenarios(config.scenarios, rng, rows.size, n_channel=table.production.shape[1])
    network.standardise(build_features(apply_scenarios(table, rows, draw), config.model.features).x)
    return network


def _seed(config: TrainConfig, member: int) -> int:
    return int(np.random.SeedSequence([config.seed, member]).generate_state(1)[0])


def _optimiser(network: RangeNetwork, config: TrainConfig) -> torch.optim.AdamW:
    decayed = [p for p in network.parameters() if p.dim() > 1]
    plain = [p for p in network.parameters() if p.dim() <= 1]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=config.learning_rate,
        betas=(0.9, 0.99),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Steps:
    """What an epoch goes over: a table and its rows a step, and where its steps lie in their schedule."""

    batches: list[tuple[RayTable, NDArray[np.int64]]]
    learning_rate: float
    first: int
    total: int


def _plan_epoch(
    config: TrainConfig, table: RayTable, train: NDArray[np.int64], plain: RayTable | None, member: int, epoch: int
) -> _Steps:
    """Passes over the rays, each in an order of its own; pre-training and training have a schedule each."""
    shuffle = np.random.default_rng([config.seed, TRAINING, member, epoch])
    own = config.pretraining
    before = own.epochs if own.rays else 0
    if epoch < before:
        if plain is None:
            raise InputError("pre-training has no rays", remedy="give the rays of the straight-ahead model")
        batches = _batches(plain, np.arange(len(plain)), own.passes, config.batch, shuffle)
        rate, first, total = own.learning_rate, epoch * len(batches), before * len(batches)
        return _Steps(batches=batches, learning_rate=rate, first=first, total=total)
    batches = _batches(table, train, config.passes, config.batch, shuffle)
    if plain is not None and own.rays and own.replay_share > 0:
        more = round(len(batches) * own.replay_share / (1.0 - own.replay_share))
        size = min(config.batch, len(plain))
        batches += [(plain, shuffle.choice(len(plain), size, replace=False)) for _ in range(more)]
        batches = [batches[i] for i in shuffle.permutation(len(batches))]
    first, total = (epoch - before) * len(batches), config.epochs * len(batches)
    return _Steps(batches=batches, learning_rate=config.learning_rate, first=first, total=total)


def _batches(
    table: RayTable, rows: NDArray[np.int64], passes: int, size: int, shuffle: np.random.Generator
) -> list[tuple[RayTable, NDArray[np.int64]]]:
    order = np.concatenate([shuffle.permutation(rows) for _ in range(passes)])
    return [(table, order[start : start + size]) for start in range(0, order.size, size)]


def _epoch(
    network: RangeNetwork,
    averaged: dict[str, torch.Tensor],
    optimiser: torch.optim.AdamW,
    config: TrainConfig,
    steps: _Steps,
    where: tuple[int, int],
    stop: Stop | None,
) -> dict[str, float]:
    """Every step of an epoch; means of the loss parts."""
    seed = [config.seed, TRAINING, *where]
    sums: dict[str, float] = {}
    network.train()
    for number, (table, rows) in enumerate(steps.batches):
        if stop is not None and stop():
            raise Cancelled("training was cancelled", remedy="start it again to continue from the last epoch")
        step = steps.first + number
        for group in optimiser.param_groups:
            group["lr"] = steps.learning_rate * schedule(step, steps.total, config.warmup_share)
        parts = _step(network, optimiser, config, table, rows, np.random.default_rng([*seed, number]))
        _average(averaged, network, config.ema, step)
        for key, value in parts.items():
            sums[key] = sums.get(key, 0.0) + value * rows.size
    count = sum(rows.size for _, rows in steps.batches)
    return {key: value / count for key, value in sums.items()}


def _step(
    network: RangeNetwork,
    optimiser: torch.optim.AdamW,
    config: TrainConfig,
    table: RayTable,
    rows: NDArray[np.int64],
    rng: np.random.Generator,
) -> dict[str, float]:
    draw = draw_scenarios(config.scenarios, rng, rows.size, n_channel=table.production.shape[1])
    features = build_features(apply_scenarios(table, rows, draw), config.model.features)
    target = build_targets(table, rows, features, config.model)
    optimiser.zero_grad(set_to_none=True)
    output = network(features.x)
    dose = network.decode_dose(output, target.offset_mm)
    loss, parts = total_loss(output, dose, target, config.loss)
    if not bool(torch.isfinite(loss)):
        raise ModelError(
            "training diverged", got="a loss that is not finite", remedy="lower learning_rate or check the training set"
        )
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    optimiser.step()
    return {key: float(value) for key, value in parts.items()}


def _average(averaged: dict[str, torch.Tensor], network: RangeNetwork, decay: float, step: int) -> None:
    # Early steps are forgotten faster: the average must not remember the first random weights.
    keep = min(decay, (step + 1.0) / (step + 10.0)) if decay > 0 else 0.0
    with torch.no_grad():
        for name, value in network.state_dict().items():
            averaged[name].mul_(keep).add_(value, alpha=1.0 - keep)


def _monitor(config: TrainConfig, table: RayTable, split: Split, averaged: dict[str, torch.Tensor]) -> float:
    """Range MAE on a few calibration rays under fixed scenarios: shown to people, never used to choose weights."""
    rows = split.calibrate[:_MONITOR_RAYS]
    rng = np.random.default_rng([config.seed, MONITOR])
    draw = draw_scenarios(config.scenarios, rng, rows.size, n_channel=table.production.shape[1])
    features = build_features(apply_scenarios(table, rows, draw), config.model.features)
    target = build_targets(table, rows, features, config.model)
    network = _new(config, 0)
    network.load_state_dict(averaged)
    with torch.inference_mode():
        error = (network.eval()(features.x).offset_mm - target.offset_mm).abs()
    return float((error * target.valid).sum() / target.valid.sum().clamp(min=1.0))
