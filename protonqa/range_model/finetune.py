"""A model for one patient: the members of a model go on with rays of the patient's twins, then intervals are checked.

Twins of one patient are few and alike, so that they can say that intervals are too narrow, but hardly that they are too
wide. The margins of the model that was begun with are therefore kept as a floor (`fitted_factors`).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import protonqa
from protonqa.errors import InputError
from protonqa.range_model.calibration import CalibrationRays, calibration_rays, domain_limits, fit_lines
from protonqa.range_model.card import MetricRow, ModelCard, PatientDomain, TrainingRecord
from protonqa.range_model.checkpoint import Checkpoint
from protonqa.range_model.config import Settings
from protonqa.range_model.conformal import ConformalTable, GroupQuantiles, rank_quantile
from protonqa.range_model.dataset import RayTable, Split, split_of
from protonqa.range_model.domain import DomainLimits
from protonqa.range_model.evaluate import MODEL, evaluate
from protonqa.range_model.model_file import RangeModel, describe_tensors, model_tensors, save_model, serialise
from protonqa.range_model.network import RangeNetwork
from protonqa.range_model.patient_config import PatientTwinsConfig
from protonqa.range_model.pipeline import EpochCounter, counted, train_members
from protonqa.range_model.plain_rays import plain_rays
from protonqa.range_model.predict import torch_threads
from protonqa.range_model.scenarios import NAMED_SCENARIOS, ScenarioConfig
from protonqa.range_model.training import PretrainingConfig, Progress, Stop, TrainConfig, train_config, trained_network

Floats = NDArray[np.float64]

BEFORE = "model, not fine-tuned"
#: What the test twins are scored on.
JUDGED: tuple[str, ...] = ("raw", "washout 5 min", "125 mm + 5 min", "realistic ray")
INTERVAL_RULE = (
    "split-conformal over held-out twins, each counted once, where there are at least {least} of them. With fewer, the "
    "margins of the model that it began with are a floor: on each side they are multiplied by the largest of 1, the "
    "ratio of its mean width to that of the fine-tuned model, and the factor that covers the rays of the held-out "
    "twins."
)


class FineTuneConfig(Settings):
    """Twins and training of a model for one patient; ``seed`` rules both."""

    seed: int = Field(1, ge=0, lt=2**31)
    twins: PatientTwinsConfig = PatientTwinsConfig()
    epochs: int = Field(6, ge=1, le=10_000)
    passes: int = Field(16, ge=1, le=10_000)
    batch: int = Field(64, ge=1, le=65_536)
    learning_rate: float = Field(4e-4, gt=0.0, le=1.0)
    #: Rays of the straight-ahead model in the patient's columns, and the share of the batches that they, or rays of a
    #: stored training set in their place, take: what the model knew of other anatomies must not be forgotten.
    replay_rays: int = Field(1500, ge=1, le=1_000_000)
    replay_share: float = Field(0.3, gt=0.0, lt=1.0)

    def seeded(self) -> FineTuneConfig:
        """The config with its one seed in both parts."""
        return self.model_copy(update={"twins": self.twins.model_copy(update={"seed": self.seed})})

    def training(self, start: RangeModel) -> TrainConfig:
        """The training of the starting model, as it continues."""
        base = train_config(start.card.training.config)
        rays = PretrainingConfig(rays=self.replay_rays, epochs=0, replay_share=self.replay_share)
        changes = {
            "name": f"{start.card.name}, one patient",
            "seed": self.seed,
            "model": start.config,
            "pretraining": rays,
            "epochs": self.epochs,
            "passes": self.passes,
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "time_budget_s": None,
        }
        return base.model_copy(update=changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientFacts:
    """Identity of the CT and numbers of the beams."""

    ct_identity: str
    beams: tuple[int, ...]


def fine_tune(
    start: RangeModel,
    config: FineTuneConfig,
    table: RayTable,
    folder: Path,
    *,
    patient: PatientFacts,
    replay: RayTable | None = None,
    scenarios: tuple[str, ...] = JUDGED,
    threads: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> RangeModel:
    """Continue the members of `start` on the patient's twins, check the intervals, score, save into `folder`.

    Killed at any moment, the next call goes on from the last epoch.

    Parameters
    ----------
    table : RayTable
        Rays of the twins, of `patient_set.make_patient_set`.
    replay : RayTable or None
        Rays of a stored training set that are trained on beside them; None makes rays of the straight-ahead model in
        the patient's own columns.

    Raises
    ------
    InputError
        A part without rays, or a replayed set of another schema.
    Cancelled
    """
    if start.card.patient is not None:
        raise InputError("the starting model was made for one patient", remedy="begin with a model of any patient")
    training = config.training(start)
    split = split_of(table, seed=config.seed)
    beside = _replay(table, split, config, replay, stop)
    total = training.epochs * training.model.members + 2 * len(scenarios)
    counter = EpochCounter(total, progress)
    states = train_members(training, table, split, beside, folder, start, threads, workers, counter, stop)
    members = tuple(trained_network(training, state) for state in states)
    with torch_threads(threads):
        model = _finish(start, training, config, table, split, members, states, patient)
        wanted = {name: NAMED_SCENARIOS[name] for name in scenarios}
        card = _scored(start, model, table, split, wanted, config.seed, total, progress).sealed()
    model = RangeModel(members=model.members, score=model.score, card=card)
    save_model(folder, model)
    return model


def _replay(
    table: RayTable, split: Split, config: FineTuneConfig, replay: RayTable | None, stop: Stop | None
) -> RayTable:
    if replay is None:
        with torch_threads(1):
            return plain_rays(
                table, split.train, rays=config.replay_rays, seed=config.seed, cancelled=stop or (lambda: False)
            )
    if replay.schema != table.schema:
        raise InputError("the replayed training set has another schema", remedy="use a set of this version")
    named = np.flatnonzero(replay.part == "train")
    return replay.select(named) if named.size else replay


def _finish(
    start: RangeModel,
    training: TrainConfig,
    config: FineTuneConfig,
    table: RayTable,
    split: Split,
    members: tuple[RangeNetwork, ...],
    states: list[Checkpoint],
    patient: PatientFacts,
) -> RangeModel:
    limits = patient_limits(start.card.domain, domain_limits(table, split.train, training))
    conformal, factors = recalibrated(start, members, table, split, training, limits)
    named = model_tensors(members, start.score)
    content = serialise(named)
    anatomies = counted(split, table.anatomy)
    card = start.card.model_copy(
        update={
            "name": training.name,
            "domain": limits,
            "conformal": conformal,
            "a50_lines": fit_lines(table, split.train, training, training.model.features),
            "training": TrainingRecord(
                set_hash=table.content_hash,
                recipe=config.model_dump(mode="json"),
                config=training.model_dump(mode="json"),
                seed=config.seed,
                rays=counted(split, None),
                anatomies=anatomies,
                epochs=min(state.epoch for state in states),
                complete=all(state.epoch >= training.all_epochs for state in states),
                program=protonqa.__version__,
                torch=start.card.training.torch,
            ),
            "metrics": (),
            "edge_following": {},
            "known_failures": (*start.card.known_failures, *_failures(anatomies)),
            "patient": PatientDomain(
                ct_identity=patient.ct_identity,
                beams=patient.beams,
                started_from=start.card.name,
                started_from_card=start.card.own_hash(),
                twins=config.twins.model_dump(mode="json"),
                anatomies=anatomies,
                interval_rule=INTERVAL_RULE.format(least=least_twins(start.card.conformal.alpha)),
                interval_factors=factors,
            ),
            "weights_sha256": hashlib.sha256(content).hexdigest(),
            "weights_bytes": len(content),
            "tensors": describe_tensors(named),
        }
    )
    return RangeModel(members=members, score=start.score, card=ModelCard.model_validate(card.model_dump()).sealed())


def _failures(anatomies: dict[str, int]) -> tuple[str, ...]:
    unseen = "a change that they do not hold (weight loss beyond the drawn layers, an implant) was never seen."
    return (
        "Made for one patient and the beams of one plan: on any other CT it does not answer.",
        f"Its errors are those on {anatomies['test']} twins of this patient; the program drew them, and {unseen}",
    )


def patient_limits(shipped: DomainLimits, own: DomainLimits) -> DomainLimits:
    """Ranges and energies of the patient's twins; the other limits are those of the starting model."""
    return shipped.model_copy(
        update={
            "r80_low_mm": max(own.r80_low_mm, shipped.r80_low_mm),
            "r80_high_mm": min(own.r80_high_mm, shipped.r80_high_mm),
            "energy_low_mev": own.energy_low_mev,
            "energy_high_mev": own.energy_high_mev,
            "sites": own.sites,
        }
    )


def least_twins(alpha: float) -> int:
    """Held-out twins from which a quantile over twins exists: the rank ceil((n + 1)(1 - alpha / 2)) is at most n."""
    return math.ceil(2.0 / alpha - 1e-9) - 1


def recalibrated(
    start: RangeModel,
    members: tuple[RangeNetwork, ...],
    table: RayTable,
    split: Split,
    config: TrainConfig,
    limits: DomainLimits,
) -> tuple[ConformalTable, tuple[float, float]]:
    """The interval table of the starting model with its margins multiplied by one factor a side.

    Raises
    ------
    InputError
        Too few rays of held-out twins for any quantile.
    """
    wanted = [config.scenarios] * config.calibration_rounds
    wanted += list(NAMED_SCENARIOS.values()) * config.calibration_named
    found: list[list[Floats]] = [[], [], [], [], []]
    twin: list[NDArray[np.str_]] = []
    for name in np.unique(table.anatomy[split.calibrate]):
        rows = split.calibrate[table.anatomy[split.calibrate] == name]
        for number, scenario in enumerate(wanted):
            both = [
                calibration_rays(one, table, rows, config, scenario, limits, number) for one in (start.members, members)
            ]
            before, after = (_margins(start.card.conformal, rays) for rays in both)
            miss = both[1].true - both[1].r80
            for values, more in zip(found, (before[0], before[1], after[0], after[1], miss), strict=True):
                values.append(more)
            twin.append(np.full(miss.size, name))
    before_low, before_high, after_low, after_high, miss = (np.concatenate(values) for values in found)
    names, alpha = np.concatenate(twin), start.card.conformal.alpha
    factors = (
        fitted_factor(-miss / after_low, before_low, after_low, names, alpha),
        fitted_factor(miss / after_high, before_high, after_high, names, alpha),
    )
    groups = {
        key: GroupQuantiles(n=group.n, below=group.below * factors[0], above=group.above * factors[1])
        for key, group in start.card.conformal.groups.items()
    }
    return start.card.conformal.model_copy(update={"groups": groups}), factors


def fitted_factor(ratio: Floats, before_mm: Floats, after_mm: Floats, twin: NDArray[np.str_], alpha: float) -> float:
    """What one side's margins are multiplied by; the rule stands in the card (`INTERVAL_RULE`).

    Parameters
    ----------
    ratio : (n,)
        Miss on this side over the margin, of the rays of held-out twins.
    before_mm, after_mm : (n,)
        Margins of the starting model, and of the fine-tuned one with the multiples of the starting one.
    twin : (n,) str
        Which twin a ray is of.

    Raises
    ------
    InputError
        Too few rays.
    """
    names = np.unique(twin)
    over_rays = rank_quantile(ratio, alpha / 2)
    if not math.isfinite(over_rays):
        raise InputError(
            "too few rays of held-out twins for the intervals",
            got=f"{ratio.size} rays",
            expected=f"at least {least_twins(alpha)}",
            remedy="draw more twins or more rays",
        )
    over_twins = rank_quantile(np.array([rank_quantile(ratio[twin == one], alpha / 2) for one in names]), alpha / 2)
    if math.isfinite(over_twins):
        return max(over_twins, 1e-3)
    return max(1.0, float(before_mm.mean() / after_mm.mean()), over_rays)


def _margins(table: ConformalTable, rays: CalibrationRays) -> tuple[Floats, Floats]:
    low, high = table.intervals(rays.r80, rays.below, rays.above, rays.columns())
    return np.maximum(rays.r80 - low, 1e-3), np.maximum(high - rays.r80, 1e-3)


def _scored(
    start: RangeModel,
    model: RangeModel,
    table: RayTable,
    split: Split,
    scenarios: dict[str, ScenarioConfig],
    seed: int,
    total: int,
    progress: Progress | None,
) -> ModelCard:
    """The card with the errors on the test twins, of the fine-tuned model and of the one it began with."""
    rows: list[MetricRow] = []
    for turn, one in enumerate((model, start)):

        def tell(done: int, _: int, text: str, turn: int = turn) -> None:
            if progress is not None:
                progress(total - (2 - turn) * len(scenarios) + done, total, f"test: {text}")

        found = evaluate(one, table, split.test, scenarios, seed=seed, progress=tell)
        if one is start:
            found = tuple(row.model_copy(update={"method": BEFORE}) for row in found if row.method == MODEL)
        rows += found
    return model.card.model_copy(update={"metrics": tuple(rows)})
