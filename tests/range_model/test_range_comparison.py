"""Every variant of the comparison is a valid config that differs from the shipped one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from protonqa.range_model.comparison import VARIANTS, VariantScore, compare, markdown, variant
from protonqa.range_model.dataset import RayTable
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


def test_scores_stand_in_a_table(toy: SimpleNamespace, toy_table: RayTable, tmp_path: Path) -> None:
    config = toy.config(epochs=1)
    scores = compare(config, toy_table, tmp_path, budget_s=0.5, variants={"one": {}, "two": {"learning_rate": 1e-3}})
    assert [s.name for s in scores] == ["one", "two"]
    assert all(s.parameters > 0 and s.rays_per_s > 0 for s in scores)
    assert len(markdown(scores, budget_s=60.0).splitlines()) == 6


def test_the_table_shows_three_numbers_a_scenario() -> None:
    errors = dict.fromkeys(("raw", "washout 5 min", "realistic ray", "no CT, raw"), (0.1, 0.2, 0.15))
    line = markdown([VariantScore(name="a", parameters=2000, rays_per_s=10.0, errors_mm=errors)], budget_s=60.0)
    assert "| a | 2 k | 10 | 0.10 / 0.20 / 0.15 |" in line
