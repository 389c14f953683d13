"""Fine-tuning for one patient: twins of the set-up, the floor under the intervals, and no answer on another CT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from protonqa.errors import InputError, StoreError
from protonqa.jobs.crew import InProcess
from protonqa.phantom.field_maker import make_field
from protonqa.physics.beam_models import generic_beam_model
from protonqa.range_model.conformal import rank_quantile
from protonqa.range_model.finetune import BEFORE, FineTuneConfig, PatientFacts, fine_tune, fitted_factor, least_twins
from protonqa.range_model.model_file import RangeModel, load_model
from protonqa.range_model.patient_case import PatientCase, ct_identity, patient_case, read_patient, write_patient
from protonqa.range_model.patient_config import PatientTwinsConfig, TwinDraw, draw_patient_twins
from protonqa.range_model.patient_days import day_of, gas_pockets, rotation, with_gas
from protonqa.range_model.patient_set import field_corners, make_patient_set
from protonqa.range_model.predict import predict_ranges
from protonqa.range_model.shards import read_training_set
from protonqa.values import Grid, Volume

UID = "1.2.3"
TWINS = PatientTwinsConfig(twins=4, rays_per_beam=20, protons_per_ray=150, test_factor=1.0, worst_noise_mm=50.0)
TUNING = FineTuneConfig(twins=TWINS, epochs=1, passes=1, batch=16, replay_rays=8)


def water_box(gas: bool = True) -> Volume:
    """12 cm of air around 8 x 10 x 8 cm of water with a pocket of gas, 2.5 mm voxels."""
    grid = Grid(shape=(48, 48, 48), spacing_mm=(2.5, 2.5, 2.5), origin_mm=(-58.75, -58.75, -58.75))
    hu = np.full(grid.shape, -1000.0, dtype=np.float32)
    hu[8:40, 4:44, 8:40] = 0.0
    if gas:
        hu[20:24, 30:34, 30:34] = -900.0
    return Volume(grid=grid, array=hu, unit="HU")


@pytest.fixture(scope="module")
def patient() -> PatientCase:
    ct = water_box()
    plan = make_field(
        ct, patient_position="HFS", target_center_mm=(0.0, 5.0, 0.0), target_radius_mm=10.0, gantry_deg=0.0
    )
    return patient_case(ct, UID, plan, plan.beams, generic_beam_model(), None)


def test_twins_are_drawn_by_seed_and_each_part_gets_its_share() -> None:
    twins = draw_patient_twins(PatientTwinsConfig(seed=3))
    assert twins == draw_patient_twins(PatientTwinsConfig(seed=3))
    assert twins != draw_patient_twins(PatientTwinsConfig(seed=4))
    parts = [one.part for one in twins]
    assert (parts.count("train"), parts.count("calibrate"), parts.count("test")) == (11, 5, 4)
    plain = [one for one in twins if one.shift_mm == (0.0, 0.0, 0.0)]
    assert len(plain) == 1
    assert plain[0].part == "train"
    assert len({one.seed for one in twins}) == len(twins)
    assert np.abs([one.shift_mm for one in twins]).max() <= 2.5 * 2.0
    assert {one.gas for one in twins} == {"as planned", "filled", "grown"}
    with pytest.raises(ValueError, match="each needs one"):
        PatientTwinsConfig(twins=4, calibrate_share=0.05)


def test_a_day_turns_about_the_isocentre_and_then_shifts() -> None:
    ct, centre = water_box(), np.array([10.0, -5.0, 3.0])
    draw = TwinDraw(name="a", part="train", seed=1, shift_mm=(1.0, 2.0, 3.0), rotation_deg=(0.0, 0.0, 90.0))
    day = day_of(ct, ct.array > -500, centre, draw)
    assert np.array_equal(day.array, ct.array)
    index = ct.grid.index_from_world(centre)
    assert day.grid.world_from_index(index) == pytest.approx(centre + np.array([1.0, 2.0, 3.0]))
    # What lay 10 mm to the patient's left of the isocentre lies behind it after a quarter turn from x to y.
    left = ct.grid.index_from_world(centre + np.array([10.0, 0.0, 0.0]))
    assert day.grid.world_from_index(left) == pytest.approx(centre + np.array([1.0, 12.0, 3.0]))
    turn = rotation((3.0, -4.0, 5.0))
    assert turn @ turn.T == pytest.approx(np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1.0)


def test_gas_fills_or_grows_and_lung_stays() -> None:
    ct = water_box()
    body = np.zeros(ct.grid.shape, dtype=bool)
    body[8:40, 4:44, 8:40] = True
    pockets = gas_pockets(ct, body)
    assert pockets.sum() == 64
    filled, grown = with_gas(ct, body, "filled"), with_gas(ct, body, "grown")
    assert not (filled.array[body] < -500).any()
    assert (grown.array < -500).sum() > (ct.array < -500).sum()
    assert (grown.array[~body] == ct.array[~body]).all()
    lung = ct.with_array(np.where(body, np.float32(-800.0), ct.array))
    assert not gas_pockets(lung, body).any()


def test_layers_change_the_skin() -> None:
    ct = water_box()
    body = ct.array > -500
    for layer, more in ((4.0, True), (-4.0, False)):
        day = day_of(ct, body, (0.0, 0.0, 0.0), TwinDraw(name="a", part="train", seed=1, layer_mm=layer))
        assert ((day.array > -500).sum() > body.sum()) == more


def test_the_file_of_a_patient_is_read_as_it_was_written(patient: PatientCase, tmp_path: Path) -> None:
    content = write_patient(tmp_path / "p.npz", patient)
    again = read_patient(tmp_path / "p.npz", content)
    assert again.identity == patient.identity
    assert np.array_equal(again.ct.array, patient.ct.array)
    assert again.ct.grid.matches(patient.ct.grid)
    assert again.beams[0].facts == patient.beams[0].facts
    assert np.array_equal(again.beams[0].source.spots, patient.beams[0].source.spots)
    assert again.beams[0].grid.matches(patient.beams[0].grid)
    with pytest.raises(StoreError, match="another one"):
        read_patient(tmp_path / "p.npz", "0" * 64)


def test_the_identity_of_a_ct_is_its_frame_its_grid_and_its_voxels() -> None:
    ct = water_box()
    moved = Volume(grid=replace(ct.grid, origin_mm=(0.0, 0.0, 0.0)), array=ct.array, unit="HU")
    found = {ct_identity(ct, UID), ct_identity(ct, "1.2.4"), ct_identity(water_box(gas=False), UID)}
    assert len(found | {ct_identity(moved, UID)}) == 4
    assert ct_identity(water_box(), UID) in found


def test_a_source_on_a_crop_stands_where_it_stood(patient: PatientCase) -> None:
    beam = patient.beams[0]
    nz, ny, nx = beam.grid.shape
    crop = beam.grid.crop((40, 0, 0), (nz - 8, ny, nx))
    moved = beam.source_on(crop)
    half = 0.5 * np.asarray(beam.grid.spacing_mm)
    before = beam.grid.world_from_index((beam.source.spots[:, :3] - half) / beam.grid.spacing_mm)
    after = crop.world_from_index((moved.spots[:, :3] - half) / crop.spacing_mm)
    assert after == pytest.approx(before, abs=1e-9)


def test_rays_lie_inside_the_field(patient: PatientCase) -> None:
    beam = patient.beams[0]
    corners, area_mm2 = field_corners(beam)
    centre = 2.0 * (corners + 1.0)
    middle = 0.5 * (beam.source.spots[:, :2].min(axis=0) + beam.source.spots[:, :2].max(axis=0))
    # A target of 10 mm radius, its margin, and the spots.
    assert np.abs(centre - middle).max() < 25.0
    assert area_mm2 > 16.0 * len(corners)


def test_margins_are_never_narrowed_from_few_twins() -> None:
    rng = np.random.default_rng(1)
    few, many = np.repeat(np.arange(6), 50).astype(str), np.repeat(np.arange(50), 50).astype(str)
    quiet = 0.2 * rng.standard_normal(many.size)
    one, half = np.ones(many.size), np.full(many.size, 0.5)
    assert fitted_factor(quiet[:300], one[:300], one[:300], few, 0.05) == 1.0
    # A fine-tuned model that thinks itself twice as good keeps the width of the one that it began with.
    assert fitted_factor(quiet[:300], one[:300], half[:300], few, 0.05) == 2.0
    wide = 3.0 * rng.standard_normal(300)
    assert fitted_factor(wide, one[:300], one[:300], few, 0.05) == rank_quantile(wide, 0.025) > 4.0
    assert least_twins(0.05) == 39
    assert fitted_factor(quiet, one, one, many, 0.05) < 1.0
    with pytest.raises(InputError, match="too few rays"):
        fitted_factor(quiet[:20], one[:20], one[:20], few[:20], 0.05)


@pytest.fixture(scope="module")
def twins(patient: PatientCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twins")
    make_patient_set(patient, TWINS, folder, on=InProcess())
    return folder


def test_a_closed_set_of_another_patient_is_refused(patient: PatientCase, twins: Path) -> None:
    assert make_patient_set(patient, TWINS, twins).n_ray > 0
    with pytest.raises(StoreError, match="another patient"):
        make_patient_set(replace(patient, identity="0" * 64), TWINS, twins)


def test_ranges_of_the_twins_are_those_of_the_plan_within_the_errors(twins: Path) -> None:
    """The plain twin, whose water is water: protons aimed 10 mm behind the centre stop about there."""
    table = read_training_set(twins)
    assert set(table.part.tolist()) == {"train", "calibrate", "test"}
    plain = table.anatomy == draw_patient_twins(TWINS)[0].name
    # Skin at -48.75 mm, target from -5 to 15 mm along the beam.
    assert 45.0 < np.median(table.r80_mm[plain]) < 66.0
    assert np.abs(table.r80_mm - table.planned_r80_mm)[plain].max() < 1.5


def test_a_model_for_one_patient_says_whose_it_is_and_answers_nobody_else(
    patient: PatientCase, twins: Path, toy: SimpleNamespace, toy_model: RangeModel, tmp_path: Path
) -> None:
    table = read_training_set(twins)
    facts = PatientFacts(ct_identity=patient.identity, beams=(1,))
    heard: list[int] = []

    def run(folder: Path) -> RangeModel:
        return fine_tune(
            toy_model,
            TUNING,
            table,
            folder,
            patient=facts,
            scenarios=("raw",),
            progress=lambda done, total, _: heard.append(done * 100 // total),
        )

    model = run(tmp_path)
    assert heard[-1] == 100
    card = load_model(tmp_path).card
    assert card.patient is not None
    assert card.patient.started_from_card == toy_model.card.own_hash()
    assert min(card.patient.interval_factors) >= 1.0
    assert {row.method for row in card.metrics} >= {"model", BEFORE}
    assert "one patient" in (tmp_path / "card.html").read_text(encoding="utf-8")
    first = next(iter(toy_model.members[0].parameters()))
    assert not torch.equal(first, next(iter(model.members[0].parameters())))
    # A second call finds the checkpoints and comes to the same weights.
    (tmp_path / "card.json").unlink()
    assert run(tmp_path).card.weights_sha256 == card.weights_sha256
    profiles = toy.profiles([toy.ray(np.random.default_rng(1), "x", range_mm=55.0)])
    own = predict_ranges(model, profiles, ct_identity=patient.identity)
    assert "one patient" not in own.reason[0]
    for other in (None, "0" * 64):
        answer = predict_ranges(model, profiles, ct_identity=other)
        assert not answer.answered.any()
        assert "one patient" in answer.reason[0]
    with pytest.raises(InputError, match="made for one patient"):
        fine_tune(model, TUNING, table, tmp_path / "again", patient=facts)
