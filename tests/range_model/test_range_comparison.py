"""Every variant of the comparison is a valid config that differs from the shipped one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from protonqa.errors import InputError, StoreError
from protonqa.range_model.comparison import (
    VARIANTS,
    VariantScore,
    comparison_job,
    markdown,
    score_of,
    score_variant,
    variant,
)
from protonqa.range_model.dataset import RayTable, split_of
from protonqa.range_model.network import new_network
from protonqa.range_model.recipe import shipped_recipe


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_every_variant_runs_and_differs(name: str) -> None:
    base = shipped_recipe().training
    own = variant(base, VARIANTS[name])
    assert (own == base) == (name == "as shipped")
    features = own.model.features
    x = torch.zeros(2, features.n_bin, len(features.channels))
    output = new_network(features, own.model.network, 1)(x)
    assert output.offset_mm.shape == (2,)


def test_no_ct_means_no_channel_of_the_ct() -> None:
    channels = variant(shipped_recipe().training, VARIANTS["no CT"]).model.features.channels
    assert not any("rsp" in name or "wepl" in name or "spread" in name for name in channels)


def test_a_variant_is_trained_within_its_budget_and_scored(
    toy: SimpleNamespace, toy_table: RayTable, tmp_path: Path
) -> None:
    config = toy.config(epochs=1)
    split = split_of(toy_table, seed=config.seed)
    score = score_variant("one", config, toy_table, split, tmp_path, 0.5)
    assert score.parameters > 0
    assert score.rays_per_s > 0
    assert score.passes >= 1
    assert score_of(json.loads(json.dumps(asdict(score)))) == score


def test_the_job_has_a_cell_a_variant(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown variant"):
        comparison_job(shipped_recipe().training, tmp_path, budget_s=1.0, names=("best",))
    with pytest.raises(StoreError, match="no manifest"):
        comparison_job(shipped_recipe().training, tmp_path, budget_s=1.0, names=("GRU",))


def test_the_table_shows_three_numbers_a_scenario() -> None:
    errors = dict.fromkeys(("raw", "washout 5 min", "realistic ray", "no CT, raw"), (0.1, 0.2, 0.15))
    line = markdown(
        [VariantScore(name="a", parameters=2000, rays_per_s=10.0, passes=3, errors_mm=errors)], budget_s=60.0
    )
    assert "| a | 2 k | 10 | 3 | 0.10 / 0.20 / 0.15 |" in line
