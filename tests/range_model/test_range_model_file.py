"""Model files: whole or refused, never half believed."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from protonqa.errors import ModelFileError
from protonqa.range_model import config as config_module
from protonqa.range_model.card import card_html
from protonqa.range_model.model_file import (
    CARD_FILE,
    PAGE_FILE,
    WEIGHTS_FILE,
    RangeModel,
    load_model,
    model_from_bytes,
    save_model,
    shipped_model,
)


@pytest.fixture
def parts(toy_folder: Path) -> tuple[bytes, bytes]:
    return (toy_folder / WEIGHTS_FILE).read_bytes(), (toy_folder / CARD_FILE).read_bytes()


def one_line(error: ModelFileError) -> bool:
    return "\n" not in error.line() and len(error.line()) < 400


def resealed(card: bytes, weights: bytes) -> bytes:
    """A card whose hashes fit tampered weights: what an attacker, or a careless tool, would write."""
    from protonqa.range_model.card import ModelCard

    raw = json.loads(card)
    raw["weights_sha256"], raw["weights_bytes"] = hashlib.sha256(weights).hexdigest(), len(weights)
    return ModelCard.model_validate(raw).sealed().model_dump_json().encode()


def test_a_model_comes_back_as_it_was_saved(tmp_path: Path, toy_model: RangeModel) -> None:
    save_model(tmp_path, toy_model)
    again = load_model(tmp_path)
    assert again.card == toy_model.card
    for one, two in zip(toy_model.members, again.members, strict=True):
        assert all(torch.equal(one.state_dict()[k], two.state_dict()[k]) for k in one.state_dict())
    assert load_model(tmp_path / WEIGHTS_FILE).card == again.card
    assert not any(p.requires_grad for m in again.members for p in m.parameters())


def test_a_flipped_bit_anywhere_is_found(parts: tuple[bytes, bytes]) -> None:
    weights, card = parts
    for at in range(0, len(weights), 1000):
        broken = bytearray(weights)
        broken[at] ^= 1 << (at // 1000 % 8)
        with pytest.raises(ModelFileError) as caught:
            model_from_bytes(bytes(broken), card)
        assert one_line(caught.value)
    for at in range(0, len(card), 1000):
        broken = bytearray(card)
        broken[at] ^= 1
        with pytest.raises(ModelFileError) as caught:
            model_from_bytes(weights, bytes(broken))
        assert one_line(caught.value)


def test_cut_files_are_found(parts: tuple[bytes, bytes]) -> None:
    weights, card = parts
    for length in (0, 7, 8, 100, len(weights) // 2, len(weights) - 1):
        with pytest.raises(ModelFileError):
            model_from_bytes(weights[:length], card)
    for length in (0, 1, len(card) // 2, len(card) - 1):
        with pytest.raises(ModelFileError):
            model_from_bytes(weights, card[:length])
    with pytest.raises(ModelFileError):
        model_from_bytes(weights + b"\0", card)


@pytest.mark.parametrize("length", [2**63, 2**40, 2**20 + 1, 0, 1])
def test_a_lying_header_length_is_refused_before_anything_is_allocated(parts: tuple[bytes, bytes], length: int) -> None:
    weights, card = parts
    broken = struct.pack("<Q", length) + weights[8:]
    with pytest.raises(ModelFileError):
        model_from_bytes(broken, resealed(card, broken))


def rewritten(weights: bytes, change: dict[str, object], tensor: str) -> bytes:
    length = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + length])
    header[tensor].update(change)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + weights[8 + length :]


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [3, 5]},
        {"shape": [-1]},
        {"dtype": "I8"},
        {"dtype": "F99"},
        {"data_offsets": [0, 10**12]},
        {"data_offsets": [5, 1]},
        {"shape": ["a"]},
        {"data_offsets": None},
    ],
)
def test_a_header_that_lies_about_a_tensor_is_refused_even_with_fitting_hashes(
    parts: tuple[bytes, bytes], change: dict[str, object]
) -> None:
    weights, card = parts
    broken = rewritten(weights, change, "member0.range.0.weight")
    with pytest.raises(ModelFileError):
        model_from_bytes(broken, resealed(card, broken))


def test_a_card_that_lists_other_shapes_is_refused(parts: tuple[bytes, bytes]) -> None:
    from protonqa.range_model.card import ModelCard

    weights, card = parts
    raw = json.loads(card)
    raw["config"]["network"]["hidden"] += 1
    with pytest.raises(ModelFileError, match="network"):
        model_from_bytes(weights, ModelCard.model_validate(raw).sealed().model_dump_json().encode())


def test_a_card_edited_by_hand_is_refused(parts: tuple[bytes, bytes]) -> None:
    weights, card = parts
    raw = json.loads(card)
    raw["conformal"]["groups"]["all"]["below"] *= 0.5
    with pytest.raises(ModelFileError, match="own hash"):
        model_from_bytes(weights, json.dumps(raw).encode())
    raw = json.loads(card)
    raw["surprise"] = 1
    with pytest.raises(ModelFileError, match="surprise"):
        model_from_bytes(weights, json.dumps(raw).encode())


@pytest.mark.parametrize("card", [b"[]", b"null", b"\xff\xfe", b"{}", b"[" * 100_000, b'{"card_version": 99}'])
def test_a_card_that_is_no_card_is_refused(parts: tuple[bytes, bytes], card: bytes) -> None:
    with pytest.raises(ModelFileError):
        model_from_bytes(parts[0], card)


def test_weights_for_other_features_are_refused(parts: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_module, "FEATURE_VERSION", config_module.FEATURE_VERSION + 1)
    with pytest.raises(ModelFileError, match="other features"):
        model_from_bytes(*parts)


def test_a_pickle_in_place_of_the_weights_does_not_run(toy_folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (canary,))

    folder = tmp_path / "model"
    shutil.copytree(toy_folder, folder)
    torch.save({"x": Payload()}, folder / WEIGHTS_FILE)
    with pytest.raises(ModelFileError):
        load_model(folder)
    assert not canary.exists()


def test_missing_and_huge_files_are_named(tmp_path: Path, toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelFileError, match="missing"):
        load_model(tmp_path)
    shutil.copy(toy_folder / CARD_FILE, tmp_path)
    with pytest.raises(ModelFileError, match="missing"):
        load_model(tmp_path)
    shutil.copy(toy_folder / WEIGHTS_FILE, tmp_path)
    monkeypatch.setattr("protonqa.range_model.model_file.LARGEST_WEIGHTS", 1000)
    with pytest.raises(ModelFileError, match="too large"):
        load_model(tmp_path)


def test_the_shipped_model_is_there_whole_or_its_absence_is_said() -> None:
    shipped_model.cache_clear()
    if files("protonqa.range_model").joinpath("weights", WEIGHTS_FILE).is_file():
        assert shipped_model().card.intended_use.startswith("quality assurance research")
    else:
        with pytest.raises(ModelFileError, match="no range model"):
            shipped_model()


def test_the_card_says_what_a_reader_must_know(toy_folder: Path, toy_model: RangeModel) -> None:
    card = toy_model.card
    assert card.training.recipe == {"note": "invented"}
    assert card.training.complete
    assert sum(card.training.rays.values()) == 440
    assert sum(card.training.anatomies.values()) == 40
    assert {r.method for r in card.metrics} >= {"model", "a50-line"}
    assert card.feature_schema == card.config.features.schema_hash()
    page = (toy_folder / PAGE_FILE).read_text(encoding="utf-8")
    for text in (card.training.set_hash, "Known failures", "a50-line", "not for treatment decisions"):
        assert text in page


def test_the_page_escapes_what_it_prints(toy_model: RangeModel) -> None:
    page = card_html(toy_model.card.model_copy(update={"name": "<script>alert(1)</script>{{ 7*7 }}"}))
    assert "<script>" not in page
    assert "{{ 7*7 }}" in page
