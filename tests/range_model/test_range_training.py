"""Training: reproducible, resumable to the bit, bounded, stoppable."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from protonqa.errors import Cancelled, InputError, ModelError, StoreError
from protonqa.range_model.checkpoint import checkpoint_path, read_checkpoint
from protonqa.range_model.config import FeatureConfig, ModelConfig, NetworkConfig
from protonqa.range_model.dataset import RayTable, SetSchema, Split, split_by_anatomy
from protonqa.range_model.features import build_features
from protonqa.range_model.losses import LossConfig, Targets, build_targets, total_loss
from protonqa.range_model.network import NetworkOutput
from protonqa.range_model.pipeline import train_model
from protonqa.range_model.rays import rays_from_profiles
from protonqa.range_model.training import (
    TrainConfig,
    load_train_config,
    schedule,
    train_config,
    train_member,
)

TINY = ModelConfig(
    features=FeatureConfig(segments=((-40.0, 40.0, 4.0),)),
    network=NetworkConfig(hidden=4, layers=1, encoder=4, head=4, dose_segments=((-40.0, 0.0, 4.0), (0.0, 10.0, 2.0))),
    members=2,
)


@pytest.fixture(scope="module")
def table(toy: SimpleNamespace) -> RayTable:
    return RayTable.from_rays(toy.rays(12, 6, seed=31), SetSchema())


@pytest.fixture(scope="module")
def split(table: RayTable) -> Split:
    return split_by_anatomy(table.anatomy.tolist(), seed=1)


@pytest.fixture
def config(toy: SimpleNamespace) -> TrainConfig:
    tiny: TrainConfig = toy.config(model=TINY, epochs=4, batch=16)
    return tiny


def stop_after(calls: int) -> Callable[[], bool]:
    left = iter(range(calls))
    return lambda: next(left, None) is None


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(
    tmp_path: Path, table: RayTable, split: Split, config: TrainConfig
) -> None:
    one = train_member(config, table, split, 0, tmp_path / "one")
    torch.manual_seed(77)
    np.random.default_rng(5).random()
    two = train_member(config, table, split, 0, tmp_path / "two")
    assert all(torch.equal(one.averaged[k], two.averaged[k]) for k in one.averaged)
    other = train_member(config.model_copy(update={"seed": 9}), table, split, 0, tmp_path / "three")
    assert not all(torch.equal(one.weights[k], other.weights[k]) for k in one.weights)
    second = train_member(config, table, split, 1, tmp_path / "one")
    assert not all(torch.equal(one.weights[k], second.weights[k]) for k in one.weights)


@pytest.mark.parametrize("calls", [1, 4, 7, 10])
def test_resuming_after_a_kill_equals_never_having_stopped(
    tmp_path: Path, table: RayTable, split: Split, config: TrainConfig, calls: int
) -> None:
    whole = train_member(config, table, split, 0, tmp_path / "whole")
    with pytest.raises(Cancelled):
        train_member(config, table, split, 0, tmp_path / "parts", stop=stop_after(calls))
    resumed = train_member(config, table, split, 0, tmp_path / "parts")
    for name in ("weights", "averaged", "moments"):
        left, right = getattr(whole, name), getattr(resumed, name)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[k], right[k]) for k in left), name
    assert whole.history == resumed.history


def test_history_is_written_for_people(tmp_path: Path, table: RayTable, split: Split, config: TrainConfig) -> None:
    train_member(config, table, split, 0, tmp_path)
    rows = json.loads((tmp_path / "member0.json").read_text(encoding="utf-8"))["epochs"]
    assert [r["epoch"] for r in rows] == [1, 2, 3, 4]
    assert {"loss", "range_mae_mm", "dose", "spread", "monitor_mae_mm"} <= set(rows[0])


def test_a_checkpoint_of_another_training_is_not_continued(
    tmp_path: Path, table: RayTable, split: Split, config: TrainConfig, toy: SimpleNamespace
) -> None:
    train_member(config, table, split, 0, tmp_path)
    with pytest.raises(InputError, match="another config"):
        train_member(config.model_copy(update={"learning_rate": 1e-3}), table, split, 0, tmp_path)
    other = RayTable.from_rays(toy.rays(12, 6, seed=32), SetSchema())
    with pytest.raises(InputError, match="another set"):
        train_member(config, other, split, 0, tmp_path)


def test_a_damaged_checkpoint_is_named(tmp_path: Path, table: RayTable, split: Split, config: TrainConfig) -> None:
    train_member(config.model_copy(update={"epochs": 1}), table, split, 0, tmp_path)
    path = checkpoint_path(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StoreError, match="damaged"):
        read_checkpoint(tmp_path, 0, {})


def test_the_time_budget_ends_training_after_a_whole_epoch(
    tmp_path: Path, table: RayTable, split: Split, config: TrainConfig
) -> None:
    state = train_member(config, table, split, 0, tmp_path, budget_s=1e-6)
    assert state.epoch == 1
    assert train_member(config, table, split, 0, tmp_path, budget_s=1e-6).epoch == 1
    assert train_member(config, table, split, 0, tmp_path).epoch == 4


def test_a_loss_that_explodes_is_an_error_not_a_model(
    tmp_path: Path, table: RayTable, split: Split, config: TrainConfig
) -> None:
    from dataclasses import replace

    dose = table.dose.copy()
    dose[:] = np.inf
    with pytest.raises(ModelError, match="diverged"):
        train_member(config, replace(table, dose=dose), split, 0, tmp_path)


def test_two_workers_train_the_same_members_as_one(tmp_path: Path, toy: SimpleNamespace) -> None:
    config = toy.config(model=TINY, epochs=2, smallest_group=10)
    few = RayTable.from_rays(toy.rays(20, 8, seed=33), SetSchema())
    models = []
    for workers in (1, 2):
        seen: list[int] = []
        models.append(
            train_model(
                config,
                few,
                tmp_path / str(workers),
                scenarios={"raw": toy.quiet},
                workers=workers,
                progress=lambda done, *_, seen=seen: seen.append(done),
            )
        )
        assert sorted(seen) == [1, 2, 3, 4, 5]
    assert models[0].card.weights_sha256 == models[1].card.weights_sha256
    assert models[0].card.conformal == models[1].card.conformal


def test_a_model_that_refuses_a_whole_scenario_still_gets_its_card(tmp_path: Path, toy: SimpleNamespace) -> None:
    """Trained on raw activity alone it knows no delay, and there is no slope or error to write."""
    few = RayTable.from_rays(toy.rays(20, 8, seed=33), SetSchema())
    raw = toy.quiet.model_copy(update={"raw_share": 1.0})
    late = toy.quiet.model_copy(update={"raw_share": 0.0, "delay_s": (900.0, 900.0), "no_timeline_share": 0.0})
    config = toy.config(model=TINY, epochs=1, smallest_group=10, scenarios=raw)
    model = train_model(config, few, tmp_path, scenarios={"raw": raw, "washout 5 min": late})
    answered = {row.scenario for row in model.card.metrics if row.method == "model"}
    assert answered == {"raw"}
    assert set(model.card.edge_following) == {"raw"}


def test_fine_tuning_begins_with_the_given_weights(
    tmp_path: Path, toy_model: object, toy_table: RayTable, toy: SimpleNamespace
) -> None:
    config = toy.config(epochs=1, learning_rate=1e-6, ema=0.0)
    tuned = train_model(config, toy_table, tmp_path, scenarios={}, start=toy_model)
    left = toy_model.members[1].state_dict()  # type: ignore[attr-defined]
    right = tuned.members[1].state_dict()
    assert all(torch.allclose(left[k], right[k], atol=1e-3) for k in left)
    with pytest.raises(InputError, match="another model config"):
        train_model(toy.config(model=TINY), toy_table, tmp_path / "x", start=toy_model)


def test_cancelling_a_run_of_several_workers_is_a_cancellation(
    tmp_path: Path, toy_table: RayTable, toy: SimpleNamespace
) -> None:
    with pytest.raises(Cancelled):
        train_model(toy.config(model=TINY), toy_table, tmp_path, workers=2, stop=stop_after(3))


def test_the_learning_rate_warms_up_and_comes_down() -> None:
    rates = [schedule(step, 1000, 0.05) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 50)
    assert max(rates) == 1.0
    assert np.argmax(rates) == pytest.approx(50, abs=1)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)
    assert all(a >= b for a, b in pairwise(rates[50:]))


def test_targets_stand_where_the_truth_is(table: RayTable, toy: SimpleNamespace) -> None:
    rays = toy.rays(12, 6, seed=31)[:6]
    features = build_features(rays_from_profiles(toy.profiles(rays)), TINY.features)
    target = build_targets(table, np.arange(6), features, TINY)
    offset = table.r80_mm[:6] - features.anchor_mm.numpy()
    assert np.allclose(target.offset_mm.numpy(), offset, atol=1e-4)
    assert bool(target.valid.all())
    # R80 is where the dose has fallen to 80 % of its peak: the bin in front holds more, the one behind less.
    edges = np.array(TINY.network.dose_edges_mm())
    zero = int(np.searchsorted(edges, 0.0))
    assert bool((target.dose[:, zero - 1] > target.dose[:, zero + 1]).all())
    assert bool((target.dose <= 1.0 + 1e-5).all())
    length = np.diff(np.clip(table.r80_mm[:6, None] + edges[None], 0, None), axis=1)
    weight = np.where(edges[1:] <= 10, 1.0, 0.25)
    assert np.allclose(target.dose_weight.numpy(), length * weight, atol=1e-4)


def test_rays_that_are_not_valid_teach_nothing() -> None:
    one = torch.ones(2)
    output = NetworkOutput(
        offset_mm=torch.tensor([1.0, 50.0], requires_grad=True),
        below_mm=one,
        above_mm=one,
        mixed=one,
        hidden=torch.zeros(2, 3, 1),
        shift_mm=one,
    )
    target = Targets(
        offset_mm=torch.zeros(2),
        valid=torch.tensor([1.0, 0.0]),
        mixed=torch.zeros(2),
        dose=torch.zeros(2, 4),
        dose_weight=torch.zeros(2, 4),
    )
    loss, parts = total_loss(output, torch.zeros(2, 4), target, LossConfig(spread_weight=0.0, mixing_weight=0.0))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.5)
    assert float(parts["range_mae_mm"]) == 1.0
    assert output.offset_mm.grad is not None
    assert output.offset_mm.grad.tolist() == [1.0, 0.0]


def test_the_spread_learns_the_quantiles_and_leaves_the_centre_alone() -> None:
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.exponential(1.0, 4000).astype(np.float32))
    centre = torch.ones(4000, requires_grad=True)
    spread = torch.tensor([1.0, 1.0], requires_grad=True)
    empty = torch.zeros(4000, 1)
    target = Targets(offset_mm=truth, valid=torch.ones(4000), mixed=torch.zeros(4000), dose=empty, dose_weight=empty)
    config = LossConfig(range_weight=0.0, dose_weight=0.0, spread_weight=1.0, tail=0.1)
    optimiser = torch.optim.Adam([spread], lr=0.02)
    for _ in range(400):
        optimiser.zero_grad()
        output = NetworkOutput(
            offset_mm=centre,
            below_mm=spread[0].expand(4000),
            above_mm=spread[1].expand(4000),
            mixed=empty[:, 0],
            hidden=empty[:, :, None],
            shift_mm=truth,
        )
        total_loss(output, empty, target, config)[0].backward()
        optimiser.step()
    assert centre.grad is None or float(centre.grad.abs().max()) == 0
    assert 1 - float(spread[0].detach()) == pytest.approx(-np.log(0.9), abs=0.05)
    assert 1 + float(spread[1].detach()) == pytest.approx(-np.log(0.1), abs=0.1)


def test_the_laplace_law_learns_the_size_of_errors_on_either_side() -> None:
    rng = np.random.default_rng(0)
    up = rng.random(6000) < 0.75
    truth = torch.from_numpy(np.where(up, rng.exponential(3.0, 6000), -rng.exponential(1.0, 6000)).astype(np.float32))
    centre = torch.zeros(6000, requires_grad=True)
    size = torch.full((2,), 2.0, requires_grad=True)
    empty = torch.zeros(6000, 1)
    target = Targets(offset_mm=truth, valid=torch.ones(6000), mixed=torch.zeros(6000), dose=empty, dose_weight=empty)
    config = LossConfig(range_weight=0.0, dose_weight=0.0, spread_weight=1.0, spread_law="laplace")
    optimiser = torch.optim.Adam([size], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        output = NetworkOutput(
            offset_mm=centre,
            below_mm=size[0].expand(6000),
            above_mm=size[1].expand(6000),
            mixed=empty[:, 0],
            hidden=empty[:, :, None],
            shift_mm=truth,
        )
        total_loss(output, empty, target, config)[0].backward()
        optimiser.step()
    assert centre.grad is None or float(centre.grad.abs().max()) == 0
    # The sample is an asymmetric Laplace law with scales 1 and 3: its likelihood is greatest there.
    below, above = size.detach().tolist()
    assert below == pytest.approx(1.0, rel=0.1)
    assert above == pytest.approx(3.0, rel=0.1)


def test_a_config_file_is_read_and_its_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("seed: 4\nepochs: 7\nmodel:\n  members: 3\n  network: {cell: gru}\n", encoding="utf-8")
    config = load_train_config(path)
    assert (config.seed, config.epochs, config.model.members, config.model.network.cell) == (4, 7, 3, "gru")
    for text, word in (
        ("epoch: 7\n", "did you mean epochs"),
        ("epochs: many\n", "epochs"),
        ("model: {members: 0}\n", "model.members"),
        ("seed: [1\n", "YAML"),
        ("- a\n- b\n", "wrong at"),
        ("a: !!python/object/apply:os.system ['echo']\n", "YAML"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=word):
            load_train_config(path)
    path.write_text("", encoding="utf-8")
    assert load_train_config(path) == TrainConfig()
    with pytest.raises(InputError, match="cannot be read"):
        load_train_config(tmp_path / "absent.yaml")
    assert train_config({"seed": 2}).seed == 2


def test_the_identity_ignores_only_what_cannot_change_the_weights() -> None:
    base = TrainConfig()
    assert base.model_copy(update={"time_budget_s": 5.0, "name": "x"}).identity() == base.identity()
    assert base.model_copy(update={"batch": 32}).identity() != base.identity()
