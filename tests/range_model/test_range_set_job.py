"""The training set as a job: drawn first, the same for any worker, resumed, carded."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from protonqa.errors import Cancelled, InputError, StoreError
from protonqa.jobs.cell import CellContext
from protonqa.jobs.crew import InProcess
from protonqa.jobs.local import LocalPool
from protonqa.range_model import patients
from protonqa.range_model.cell_draws import CellDraw, draw_cells
from protonqa.range_model.dataset import Alternative, Channel, RayTable, SetSchema, split_of
from protonqa.range_model.patients import make_patient
from protonqa.range_model.recipe import recipe_from_text, shipped_recipe
from protonqa.range_model.scenes import aim_beam, make_scene
from protonqa.range_model.set_card import CARD_JSON, CARD_TEXT
from protonqa.range_model.set_config import TrainingSetConfig
from protonqa.range_model.shards import read_manifest, read_training_set
from protonqa.range_model.training_set import make_training_set, rays_of_cell, set_job

TINY = TrainingSetConfig.model_validate(
    {
        "seed": 4,
        "sites": {"slab": {"patients": 3, "fields": [0, 1], "pencils": [1, 2]}},
        "calibrate_share": 0.33,
        "test_share": 0.33,
        "field_half_mm": [8.0, 8.0],
        "rays_per_field": 2,
        "protons_per_ray": 150,
        "protons_per_pencil": 800,
        "test_factor": 1.0,
        "worst_noise_mm": 50.0,
    }
)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-set")
    make_training_set(TINY, folder, on=InProcess())
    return folder


def test_cells_depend_on_seed_site_and_number_alone() -> None:
    """Patients that change when a site is added or left out could not be compared between models."""
    shipped = shipped_recipe().training_set
    cells = {one.name: one for one in draw_cells(shipped)}
    assert len(cells) == sum(site.patients for site in shipped.sites.values())
    fewer = shipped.model_copy(update={"sites": {k: v for k, v in shipped.sites.items() if k != "head"}})
    for one in draw_cells(fewer):
        assert one == cells[one.name]
    other = draw_cells(shipped.model_copy(update={"seed": shipped.seed + 1}))
    assert all(one.patient_seed != cells[one.name].patient_seed for one in other)
    for one in cells.values():
        assert CellDraw.model_validate_json(one.model_dump_json()) == one


def test_parts_are_shares_of_each_site() -> None:
    shipped = shipped_recipe().training_set
    parts = Counter((one.site, one.part) for one in draw_cells(shipped))
    for site, own in shipped.sites.items():
        assert parts[site, "test"] == round(0.15 * own.patients)
        assert parts[site, "calibrate"] == round(0.2 * own.patients)
    held = shipped.model_copy(
        update={"sites": {**shipped.sites, "pelvis": shipped.sites["pelvis"].model_copy(update={"held_out": True})}}
    )
    pelvis = [one for one in draw_cells(held) if one.site == "pelvis"]
    assert {one.part for one in pelvis} == {"held"}
    assert all(one.planned for one in pelvis)


def test_draws_cover_what_they_should() -> None:
    shipped = shipped_recipe().training_set
    cells = draw_cells(shipped)
    beams = [beam for one in cells for beam in one.beams]
    factors = np.array([(b.soft_factor, b.bone_factor) for b in beams]) - 1.0
    assert np.abs(factors).max() <= shipped.rsp_error + 1e-12
    assert factors.std() > 0.3 * shipped.rsp_error
    assert 0.4 < np.mean([b.modulation > 0 for b in beams]) < 0.6
    assert 0.5 < np.mean([one.day_seed > 0 for one in cells if one.site != "slab"]) < 0.7
    assert len({b.seed for b in beams}) == len(beams)
    assert np.ptp([b.gantry_deg for b in beams]) > 300.0
    # A set that was stopped half-way holds some of each site.
    assert {one.site for one in cells[:12]} == {"abdomen", "head", "pelvis", "slab"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("training_set: {sites: {leg: {patients: 3}}}", "unknown sites"),
        ("training_set: {calibrate_share: 0.6, test_share: 0.5}", "leave nothing"),
        ("training_set: {field_half_mm: [2.0, 4.0]}", "field_half_mm"),
        ("training_set: {sites: {head: {patients: 3, fields: [3, 1]}}}", "fields"),
        ("training_set: {sites: {head: {patients: 0}}}", "needs patients"),
    ],
)
def test_a_recipe_of_no_set_is_refused(text: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        recipe_from_text(text)


def test_the_set_is_the_same_for_any_worker_and_goes_on_after_a_stop(tiny_folder: Path, tmp_path: Path) -> None:
    stopped: list[float] = []

    def progress(done: float, _total: float, _text: str) -> None:
        stopped.append(done)

    with pytest.raises(Cancelled):
        make_training_set(
            TINY, tmp_path, on=InProcess(), progress=progress, cancelled=lambda: max(stopped, default=0.0) >= 1
        )
    with pytest.raises(StoreError, match="no manifest"):
        read_manifest(tmp_path)
    again = make_training_set(TINY, tmp_path, on=LocalPool(workers=2))
    first = read_manifest(tiny_folder)
    assert again.set_hash == first.set_hash
    assert [s.content_hash for s in again.shards] == [s.content_hash for s in first.shards]


def test_a_closed_set_is_left_alone(tiny_folder: Path) -> None:
    """A version of the engine that comes later does not spoil a set that is closed."""
    before = {path: path.stat().st_mtime_ns for path in tiny_folder.rglob("*.npz")}
    assert make_training_set(TINY, tiny_folder).set_hash == read_manifest(tiny_folder).set_hash
    assert {path: path.stat().st_mtime_ns for path in tiny_folder.rglob("*.npz")} == before
    with pytest.raises(StoreError, match="another recipe"):
        make_training_set(TINY.model_copy(update={"seed": 5}), tiny_folder)


def test_rays_of_the_set_hold_what_a_study_needs(tiny_folder: Path) -> None:
    table = read_training_set(tiny_folder)
    assert set(table.part.tolist()) == {"train", "calibrate", "test"}
    assert np.array_equal(table.planned_known, table.part == "test")
    assert (table.planned_production[table.planned_known].sum(axis=(1, 2)) > 0).all()
    assert not table.planned_production[~table.planned_known].any()
    assert np.isfinite(table.r80_noise_mm).all()
    assert (table.r80_noise_mm > 0).all()
    assert table.dose.max(axis=1) == pytest.approx(1.0, abs=0.1)
    # Activity ends some millimetres before the protons do.
    for i in range(len(table)):
        made = table.production[i].sum(axis=0)
        assert made[: int(table.r80_mm[i])].sum() > 0.95 * made.sum()
    other = table.production_of(np.arange(len(table)), "gate")
    names = [c.name for c in table.schema.channels]
    changed = {names[j] for j in np.flatnonzero((other != table.production).any(axis=(0, 2)))}
    assert changed == {one.channel for one in table.schema.alternatives}
    with pytest.raises(InputError, match="table"):
        table.production_of(np.arange(1), "unknown")


def test_the_card_tells_what_the_set_is(tiny_folder: Path) -> None:
    card = json.loads((tiny_folder / CARD_JSON).read_text(encoding="utf-8"))
    table, manifest = read_training_set(tiny_folder), read_manifest(tiny_folder)
    assert card["set_hash"] == manifest.set_hash
    assert card["rays"] == len(table) == sum(card["rays_by_part"].values())
    assert sum(card["rays_by_highest_energy_mev"].values()) == len(table)
    assert card["recipe"] == TINY.model_dump(mode="json")
    assert card["other_tables"] == {"gate": ["p+12C->11C", "p+16O->11C", "p+16O->15O"]}
    text = (tiny_folder / CARD_TEXT).read_text(encoding="utf-8")
    for word in (manifest.set_hash, "Noise of the truth", "Licence", "slab, train"):
        assert word in text


def test_a_head_is_cut_along_its_beams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clinical field of a twin, few protons: rays start in the planning body and end in the delivered one."""
    cells = draw_cells(shipped_recipe().training_set)
    cell = next(c for c in cells if c.site == "head" and c.day_seed and c.beams[0].treatment_seed)
    patient = make_patient(cell)
    aim = aim_beam(patient, cell.beams[0])
    assert aim is not None
    scene = make_scene(patient, aim, cell.beams[0])
    assert scene is not None
    assert scene.planned.rsp.shape == scene.delivered.rsp.shape == scene.body.shape
    assert not np.array_equal(scene.planned.hu, scene.delivered.hu)
    middle = scene.grid.shape[1] // 2
    water = scene.planned.rsp[:, middle, middle].cumsum() * scene.step_mm
    assert water[-1] > aim.range_mm
    monkeypatch.setattr(patients, "make_patient", lambda _: patient)  # once is enough
    settings = TINY.model_dump(mode="json")
    lost: Counter[str] = Counter()
    context = CellContext(cell_id=cell.name, work_folder=tmp_path)
    only = cell.model_copy(update={"beams": cell.beams[:1]})
    rays = list(rays_of_cell(only, settings, context, lost))
    assert rays
    assert all(ray.site == "head" and ray.kind == "bev" for ray in rays)
    assert all(ray.hu_true[int(ray.r80_mm)] > -500.0 for ray in rays)


def test_parts_of_the_set_rule_the_split(toy: SimpleNamespace) -> None:
    rays = toy.rays(8, 2, seed=1)
    plain = RayTable.from_rays(rays, SetSchema())
    assert sum(rows.size for rows in (split_of(plain, seed=1).train, split_of(plain, seed=1).test)) > 0
    parts = ["train", "train", "calibrate", "test", "held", "train", "calibrate", "test"]
    named = [replace(ray, part=parts[i // 2]) for i, ray in enumerate(rays)]
    split = split_of(RayTable.from_rays(named, SetSchema()), seed=1)
    assert split.held.tolist() == [8, 9]
    assert split.calibrate.tolist() == [4, 5, 12, 13]
    with pytest.raises(InputError, match="calibrate"):
        split_of(RayTable.from_rays([replace(r, part="train") for r in rays], SetSchema()), seed=1)


@pytest.mark.parametrize("named", [True, False])
def test_a_site_held_out_teaches_and_calibrates_nothing(toy: SimpleNamespace, named: bool) -> None:
    parts = ["train", "calibrate", "test", "train"] * 2
    rays = [
        replace(ray, site="head" if i >= 8 else "slab", part=parts[i // 2] if named else "")
        for i, ray in enumerate(toy.rays(8, 2, seed=1))
    ]
    table = RayTable.from_rays(rays, SetSchema())
    split = split_of(table, seed=1, hold_out=["head"])
    assert split.held.tolist() == list(range(8, 16))
    assert sorted([*split.train, *split.calibrate, *split.test]) == list(range(8))
    with pytest.raises(InputError, match="no such site"):
        split_of(table, seed=1, hold_out=["heart"])


def test_an_alternative_takes_the_place_of_its_channel(toy: SimpleNamespace) -> None:
    names = ("a", "b", "c", "d", "e", "f", "g")
    keys = ("c11", "n13", "o15", "c10", "o14", "p30", "k38")
    schema = SetSchema(
        channels=tuple(Channel(name=n, nuclide=k) for n, k in zip(names, keys, strict=True)),
        alternatives=(Alternative(table="other", channel="c"),),
    )
    ray = replace(toy.rays(1, 1, seed=1)[0], alternative=np.full((1, 448), 7.0))
    table = RayTable.from_rays([ray], schema)
    made = table.production_of(np.array([0]), "other")
    assert (made[0, 2] == 7.0).all()
    assert np.array_equal(made[0, [0, 1, 3, 4, 5, 6]], table.production[0, [0, 1, 3, 4, 5, 6]])
    assert not (table.production[0, 2] == 7.0).any()


def test_the_table_of_the_job_is_plain_and_of_this_physics() -> None:
    job = set_job(TINY)
    assert [one.cell_id for one in job.cells] == [c.name for c in draw_cells(TINY)]
    assert set_job(TINY).table_hash == job.table_hash
    changed = set_job(TINY.model_copy(update={"protons_per_pencil": 900}))
    assert changed.table_hash != job.table_hash
