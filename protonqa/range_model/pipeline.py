"""From a training set to a calibrated, carded model: the one road, for shipped weights and fine-tuned ones alike."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import protonqa
from protonqa.errors import Cancelled, InputError
from protonqa.range_model.calibration import calibrate, domain_limits, fit_lines
from protonqa.range_model.card import ModelCard, TrainingRecord
from protonqa.range_model.checkpoint import Checkpoint
from protonqa.range_model.dataset import RayTable, Split, split_of
from protonqa.range_model.evaluate import evaluate
from protonqa.range_model.following import edge_following
from protonqa.range_model.model_file import RangeModel, describe_tensors, model_tensors, save_model, serialise
from protonqa.range_model.network import RangeNetwork
from protonqa.range_model.plain_rays import plain_rays
from protonqa.range_model.predict import torch_threads
from protonqa.range_model.scenarios import NAMED_SCENARIOS, ScenarioConfig
from protonqa.range_model.training import Progress, Stop, TrainConfig, train_member, trained_network

CHECKPOINTS = "checkpoints"
#: Scenarios and number of rays of the edge-following test.
FOLLOWING: tuple[str, ...] = ("raw", "washout 5 min", "realistic ray")
FOLLOWING_RAYS = 200

_FAILURES = (
    "Rays whose protons stop at two depths (range-mixed) have no single range; their errors stand in their own row.",
    "A PET of another field or patient with a sharp distal edge is answered: only the expected activity can unmask it.",
    "Training fields are even squares: on rays of planned spot fields errors are larger than these tables say.",
    "There intervals hold the truth less often than stated: trust the double difference, or train for the patient.",
    "Without a CT along the ray the tissue behind the edge of the activity is not known: errors are larger.",
)


def train_model(
    config: TrainConfig,
    table: RayTable,
    folder: Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    scenarios: Mapping[str, ScenarioConfig] = NAMED_SCENARIOS,
    start: RangeModel | None = None,
    threads: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> RangeModel:
    """Train, calibrate, evaluate and save a model into `folder`; killed at any moment, the next call continues.

    Parameters
    ----------
    recipe : mapping
        How the training set was made, for the card.
    scenarios : mapping
        What the test anatomies are scored on.
    start : RangeModel or None
        Weights to begin with (fine-tuning); needs the same model config.
    threads : int
        Torch threads of each worker; the result depends on it in the last bits.
    workers : int
        Members trained at once.
    progress : callable(done, total, text)
        In epochs of all members and scenarios of the test.
    stop : callable
        True raises Cancelled.

    Raises
    ------
    InputError
        A training set that cannot be split, a start of another config, checkpoints of another training.
    Cancelled
    """
    if start is not None and start.config != config.model:
        raise InputError(
            "starting weights have another model config", remedy="use the config in the card of that model"
        )
    if threads < 1 or workers < 1:
        raise InputError("threads and workers are not positive", got=f"{threads} and {workers}", expected="1 or more")
    split = split_of(
        table,
        seed=config.seed,
        calibrate=config.calibrate_share,
        test=config.test_share,
        hold_out=config.held_out_sites,
    )
    total = config.all_epochs * config.model.members + len(scenarios)
    plain = _plain(config, table, split, stop)
    counter = EpochCounter(total, progress)
    states = train_members(config, table, split, plain, folder, start, threads, workers, counter, stop)
    members = tuple(trained_network(config, state) for state in states)
    with torch_threads(threads):
        model = _finish(config, table, split, members, states, dict(recipe or {}))

        def scored(done: int, _: int, text: str) -> None:
            if progress is not None:
                progress(total - len(scenarios) + done, total, f"test: {text}")

        card = _scored(model, table, split, scenarios, config.seed, scored).sealed()
    model = RangeModel(members=model.members, score=model.score, card=card)
    save_model(folder, model)
    return model


def _plain(config: TrainConfig, table: RayTable, split: Split, stop: Stop | None) -> RayTable | None:
    """Rays of the pre-training in the columns that are trained on: columns of test and calibration stay unseen."""
    if not config.pretraining.rays:
        return None
    with torch_threads(1):
        return plain_rays(
            table, split.train, rays=config.pretraining.rays, seed=config.seed, cancelled=stop or (lambda: False)
        )


class EpochCounter:
    """Epochs done by all workers together."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total, self._progress = total, progress
        self._done: dict[int, int] = {}
        self._lock = Lock()

    def report(self, member: int, done: int, text: str) -> None:
        """Epochs that a member has done."""
        with self._lock:
            self._done[member] = done
            if self._progress is not None:
                self._progress(sum(self._done.values()), self._total, text)


def train_members(
    config: TrainConfig,
    table: RayTable,
    split: Split,
    plain: RayTable | None,
    folder: Path,
    start: RangeModel | None,
    threads: int,
    workers: int,
    counter: EpochCounter,
    stop: Stop | None,
) -> list[Checkpoint]:
    """Every member, `workers` at once; `plain` are rays of the pre-training or those replayed beside the others."""
    n = config.model.members
    at_once = min(workers, n)
    budget = None if config.time_budget_s is None else config.time_budget_s * at_once / n
    failed = Event()

    def stopped() -> bool:
        return failed.is_set() or (stop is not None and stop())

    def work(member: int) -> Checkpoint:
        # The number of threads is a setting of each thread of this process.
        try:
            with torch_threads(threads):
                return train_member(
                    config,
                    table,
                    split,
                    member,
                    folder / CHECKPOINTS,
                    start=None if start is None else start.members[member],
                    plain=plain,
                    progress=lambda done, text: counter.report(member, done, text),
                    stop=stopped,
                    budget_s=budget,
                )
        except BaseException:
            failed.set()
            raise

    if at_once == 1:
        return [work(member) for member in range(n)]
    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(work, member) for member in range(n)]
        return _results([f.result for f in futures])


def _results(waiting: list[Callable[[], Checkpoint]]) -> list[Checkpoint]:
    """All results; the error that stopped the others is raised before their cancellations."""
    done: list[Checkpoint] = []
    cancelled: Cancelled | None = None
    for wait in waiting:
        try:
            done.append(wait())
        except Cancelled as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return done


def _finish(
    config: TrainConfig,
    table: RayTable,
    split: Split,
    members: tuple[RangeNetwork, ...],
    states: list[Checkpoint],
    recipe: dict[str, Any],
) -> RangeModel:
    limits = domain_limits(table, split.train, config)
    calibrated = calibrate(members, table, split, config, limits)
    named = model_tensors(members, calibrated.score)
    content = serialise(named)
    complete = all(state.epoch >= config.all_epochs for state in states)
    failures = _FAILURES if complete else (*_FAILURES, "Training was stopped by its time budget before the last epoch.")
    card = ModelCard(
        name=config.name,
        config=config.model,
        feature_schema=config.model.features.schema_hash(),
        domain=limits,
        conformal=calibrated.conformal,
        mixing_threshold=calibrated.mixing_threshold,
        a50_lines=fit_lines(table, split.train, config, config.model.features),
        training=TrainingRecord(
            set_hash=table.content_hash,
            recipe=recipe,
            config=config.model_dump(mode="json"),
            seed=config.seed,
            rays=counted(split, None),
            anatomies=counted(split, table.anatomy),
            epochs=min(state.epoch for state in states),
            complete=complete,
            program=protonqa.__version__,
            torch=str(torch.__version__),
        ),
        known_failures=failures,
        weights_sha256=hashlib.sha256(content).hexdigest(),
        weights_bytes=len(content),
        tensors=describe_tensors(named),
    )
    return RangeModel(members=members, score=calibrated.score, card=card.sealed())


def _scored(
    model: RangeModel,
    table: RayTable,
    split: Split,
    scenarios: Mapping[str, ScenarioConfig],
    seed: int,
    progress: Callable[[int, int, str], object],
) -> ModelCard:
    """The card with what the model reaches on the test anatomies and on sites held out."""
    rows = evaluate(model, table, split.test, scenarios, seed=seed, progress=progress)
    for site in np.unique(table.site[split.held]).tolist():
        held = split.held[table.site[split.held] == site]
        rows += evaluate(model, table, held, scenarios, seed=seed, prefix=f"{site}, held out: ")
    judged = split.test[~table.range_mixed[split.test]][:FOLLOWING_RAYS]
    slopes = {
        name: edge_following(model, table, judged, scenario, seed=seed)
        for name, scenario in scenarios.items()
        if name in FOLLOWING
    }
    # A model that refuses all rays of a scenario follows nothing there.
    slopes = {name: slope for name, slope in slopes.items() if math.isfinite(slope)}
    return model.card.model_copy(update={"metrics": rows, "edge_following": slopes})


def counted(split: Split, anatomy: NDArray[np.str_] | None) -> dict[str, int]:
    """Rays, or anatomies, of each part."""
    parts = {"train": split.train, "calibrate": split.calibrate, "test": split.test}
    return {name: int(part.size if anatomy is None else np.unique(anatomy[part]).size) for name, part in parts.items()}
