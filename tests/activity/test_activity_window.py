"""The depth window: where it lies and who may place it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from protonqa.activity.window import DISTAL_MARGIN_MM, window_mask
from protonqa.errors import InputError

DEPTH = torch.arange(300, dtype=torch.float64) + 0.5


def kept(mask: torch.Tensor) -> tuple[float, float]:
    inside = DEPTH[mask]
    return float(inside[0]), float(inside[-1])


@pytest.mark.parametrize("length", [100.0, 125.0, 150.0])
def test_distal_window_ends_20_mm_behind_the_planned_range(length: float) -> None:
    mask = window_mask(DEPTH, torch.tensor([length]), distal_point_mm=torch.tensor([180.0]))
    assert kept(mask[0]) == (200.5 - length, 199.5)
    assert int(mask.sum()) == int(length)


def test_bin_centres_on_the_ends_are_kept() -> None:
    mask = window_mask(DEPTH, torch.tensor([100.0]), distal_point_mm=torch.tensor([180.5]))
    assert kept(mask[0]) == (100.5, 200.5)


def test_jitter_moves_both_ends_of_its_own_ray() -> None:
    mask = window_mask(
        DEPTH,
        torch.tensor([125.0]),
        distal_point_mm=torch.tensor([150.0, 150.0]),
        jitter_mm=torch.tensor([-10.0, 7.0]),
    )
    assert kept(mask[0]) == (35.5, 159.5)
    assert kept(mask[1]) == (52.5, 176.5)


def test_proximal_window_keeps_the_first_millimetres() -> None:
    mask = window_mask(DEPTH, torch.tensor([100.0, 30.0]), anchor="proximal")
    assert kept(mask[0]) == (0.5, 99.5)
    assert kept(mask[1]) == (0.5, 29.5)


def test_window_longer_than_the_range_begins_at_the_surface() -> None:
    mask = window_mask(DEPTH, torch.tensor([150.0]), distal_point_mm=torch.tensor([60.0]))
    assert kept(mask[0]) == (0.5, 79.5)


def test_no_window_needs_no_planned_range() -> None:
    infinite = torch.tensor([float("inf")])
    assert bool(window_mask(DEPTH, infinite).all())
    assert bool(window_mask(DEPTH, infinite, anchor="proximal").all())
    mixed = window_mask(DEPTH, torch.tensor([float("inf"), 50.0]), distal_point_mm=torch.tensor([100.0, 100.0]))
    assert bool(mixed[0].all())
    assert int(mixed[1].sum()) == 50


@given(length=st.integers(1, 250), r80=st.integers(-50, 350))
def test_window_is_one_piece_and_never_longer_than_asked(length: int, r80: int) -> None:
    mask = window_mask(DEPTH, torch.tensor([float(length)]), distal_point_mm=torch.tensor([float(r80)]))[0]
    assert int(mask.sum()) <= length
    assert int((mask[1:] ^ mask[:-1]).sum()) <= 2
    assert not bool(mask[r80 + DISTAL_MARGIN_MM < DEPTH].any())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length_mm": torch.tensor([0.0])}, "not positive"),
        ({"length_mm": torch.tensor([float("nan")])}, "not positive"),
        ({"length_mm": torch.tensor([100.0])}, "no place"),
        ({"length_mm": torch.tensor([100.0]), "distal_point_mm": torch.tensor([float("nan")])}, "no place"),
        ({"length_mm": torch.tensor([100.0]), "anchor": "middle"}, "unknown window anchor"),
    ],
)
def test_a_window_without_length_or_place_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        window_mask(DEPTH, **arguments)  # type: ignore[arg-type]
