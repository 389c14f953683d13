"""The network: shapes, seeds, and the two heads doing what they claim."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from protonqa.range_model.config import FeatureConfig, ModelConfig, NetworkConfig
from protonqa.range_model.features import build_features
from protonqa.range_model.network import NetworkOutput, RangeNetwork, new_network
from protonqa.range_model.rays import rays_from_profiles

FEATURES = FeatureConfig(segments=((-320.0, -40.0, 20.0), (-40.0, 40.0, 2.0)))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_every_kind_of_cell_answers_in_the_right_shape(toy: SimpleNamespace, cell: str, bidirectional: bool) -> None:
    config = NetworkConfig.model_validate({"cell": cell, "bidirectional": bidirectional, "hidden": 8, "head": 8})
    network = new_network(FEATURES, config, 1)
    x = build_features(rays_from_profiles(toy.profiles(toy.rays(4, 1, seed=1))), FEATURES).x
    output = network(x)
    dose = network.decode_dose(output, output.offset_mm)
    assert output.offset_mm.shape == (4,)
    assert dose.shape == (4, len(config.dose_edges_mm()) - 1)
    assert bool((output.below_mm > 0).all())
    assert bool((output.above_mm > 0).all())
    assert bool((dose >= 0).all())
    (output.offset_mm.sum() + dose.sum() + output.below_mm.sum() + output.above_mm.sum()).backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters())


def test_first_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    one = new_network(FEATURES, NetworkConfig(), 7).state_dict()
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    two = new_network(FEATURES, NetworkConfig(), 7).state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[k], two[k]) for k in one)
    other = new_network(FEATURES, NetworkConfig(), 8).state_dict()
    assert not torch.equal(one["range.0.weight"], other["range.0.weight"])


@pytest.mark.parametrize("stride", [2, 3])
def test_joined_bins_stand_at_the_middle_of_what_they_join(toy: SimpleNamespace, stride: int) -> None:
    config = NetworkConfig(hidden=4, head=4, encoder=4, stride=stride)
    network = new_network(FEATURES, config, 1)
    x = build_features(rays_from_profiles(toy.profiles(toy.rays(2, 1, seed=1))), FEATURES).x
    output = network(x)
    assert output.hidden.shape[1] == FEATURES.n_bin // stride == network.centre_mm.numel()
    edges = FEATURES.edges_mm()
    assert network.centre_mm.tolist() == [(edges[i] + edges[i + stride]) / 2 for i in range(0, FEATURES.n_bin, stride)]
    # The anchor of this grid is A50 itself.
    assert float(output.shift_mm.detach().abs().max()) < 1e-3


def test_bins_that_cannot_be_joined_are_refused() -> None:
    with pytest.raises(ValueError, match="joined"):
        ModelConfig(features=FEATURES, network=NetworkConfig(stride=5))


def test_an_untrained_network_already_looks_near_the_edge(toy: SimpleNamespace) -> None:
    x = build_features(rays_from_profiles(toy.profiles(toy.rays(8, 1, seed=1))), FEATURES).x
    with torch.inference_mode():
        output = new_network(FEATURES, NetworkConfig(), 1)(x)
    assert float(output.offset_mm.abs().max()) < 15


def decoded(network: RangeNetwork, hidden: torch.Tensor, shift_mm: float, offset_mm: float) -> torch.Tensor:
    one = torch.ones(1)
    output = NetworkOutput(
        offset_mm=one * offset_mm, below_mm=one, above_mm=one, mixed=one, hidden=hidden, shift_mm=one * shift_mm
    )
    return network.decode_dose(output, output.offset_mm)


def test_the_dose_reads_the_depth_it_stands_for() -> None:
    features = FeatureConfig(segments=((-60.0, -20.0, 4.0), (-20.0, 20.0, 2.0)))
    config = NetworkConfig(hidden=4, head=4, dose_segments=((-30.0, 10.0, 1.0),))
    network = new_network(features, config, 0)
    with torch.no_grad():
        network.dose_place.zero_()
    ramp = network.centre_mm.float()[None, :, None].expand(1, -1, 4).contiguous()
    base = decoded(network, ramp, 0.0, 0.0)
    moved = decoded(network, ramp + 6.0, 0.0, -6.0)
    # The same hidden values 6 mm further on, read 6 mm earlier: nothing changes inside the grid.
    assert torch.allclose(base, moved, atol=1e-5)
    assert torch.allclose(decoded(network, ramp, 3.0, 2.0), decoded(network, ramp, 0.0, 5.0), atol=1e-6)


def test_spread_never_falls_below_its_floor() -> None:
    network = new_network(FEATURES, NetworkConfig(spread_floor_mm=0.5), 3)
    with torch.inference_mode():
        output = network(torch.randn(5, FEATURES.n_bin, len(FEATURES.channels)) * 30)
    assert float(output.below_mm.min()) >= 0.5
    assert float(output.above_mm.min()) >= 0.5
