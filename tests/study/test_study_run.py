"""A study is the same for any number of workers and interruptions, and its tables say what its cells hold."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from protonqa.errors import Cancelled, InputError, StoreError
from protonqa.jobs.journal import read_job, read_outcomes
from protonqa.jobs.runner import backend_for
from protonqa.range_model.metrics import range_errors
from protonqa.range_model.model_file import shipped_model
from protonqa.range_model.shards import read_manifest
from protonqa.study.cell import decoded
from protonqa.study.columns import scenario_answers
from protonqa.study.export import write_cells
from protonqa.study.rays import laid_out
from protonqa.study.run import ASK_FOLDER, replay, run_study
from protonqa.study.settings import RaySource
from protonqa.study.summary import HEADLINE, ROW_KEYS

ROOT = Path(__file__).resolve().parents[2]


def answers_of(outcome):
    study = outcome.setting.study
    return scenario_answers(outcome.folder, outcome.setting.scenarios, study.methods, outcome.rays)


def test_each_scenario_and_method_has_one_row_with_the_agreed_keys(computed, rows):
    methods = set(computed.outcome.setting.study.methods)
    plain = {key for key in rows if not key[0].endswith("range-mixed rays")}
    names = {"raw", "125 mm", "base", "vary: snr 10", "vary: window_mm 100"}
    assert plain == {(name, method) for name in names for method in methods}
    assert all(list(row)[:12] == list(ROW_KEYS) for row in rows.values())


def test_rows_are_the_statistics_of_their_cells(computed, rows):
    """Recomputed from the stored cells, without the program's own tables."""
    outcome = computed.outcome
    table = laid_out(outcome.setting.rays, outcome.setting.rays_hash)
    methods = outcome.setting.study.methods
    cells = {one.cell_id: decoded(one.content) for one in read_outcomes(outcome.folder)}
    for key, name, deeper in (("s000", "raw", 0.0), ("s001", "125 mm", 125.0)):
        mine = [cell for cell_id, cell in cells.items() if cell_id.startswith(key)]
        numbers = np.concatenate([cell["rows"] for cell in mine])
        truth = np.asarray(table.r80_mm)[numbers]
        judged = (truth > deeper) & ~np.asarray(table.range_mixed)[numbers]
        for m, method in enumerate(methods):
            said = np.concatenate([cell["r80_mm"][m] for cell in mine])
            given = np.concatenate([cell["answered"][m] for cell in mine])
            row = rows[name, method]
            assert row["n"] == judged.sum()
            assert row["answered"] == pytest.approx(given[judged].mean())
            if (given & judged).any():
                errors = range_errors(said[given & judged], truth[given & judged])
                assert row["range_mean_mm"] == pytest.approx(errors.mean_mm)
                assert row["range_sd_mm"] == pytest.approx(errors.sd_mm)
                assert row["range_mae_mm"] == pytest.approx(errors.mae_mm)
                assert row["range_p95_mm"] == pytest.approx(errors.p95_mm)


def test_shift_methods_find_the_shifts_that_were_made(rows):
    """Rays in closed form, moved by up to 6 mm: without noise nothing but interpolation is left."""
    for method in ("most-likely-shift", "profile-match-additive"):
        assert rows["raw", method]["range_mae_mm"] < 0.02
        assert rows["raw", method]["answered"] == 1.0


def test_range_mixed_rays_stand_in_rows_of_their_own(rows):
    assert rows["raw", "model"]["n"] == 20
    assert rows["raw", "model"]["subset"] == HEADLINE
    assert rows["raw, range-mixed rays", "model"]["n"] == 2


def test_a_noisier_scenario_is_worse_and_its_bound_larger(computed, rows):
    method = "profile-match-additive"
    assert rows["vary: snr 10", method]["range_sd_mm"] > 1.3 * rows["base", method]["range_sd_mm"]
    floors = {row["scenario"]: row["floor_mm"] for row in computed.outcome.summary.floors if row["method"] == method}
    assert floors["vary: snr 10"] == pytest.approx(2.0 * floors["base"], rel=1e-6)
    assert "raw" not in floors


def test_what_matters_most_is_paired_where_a_window_judges_fewer_rays(computed, rows):
    (window,) = [
        row
        for row in computed.outcome.summary.tornado
        if (row["method"], row["factor"]) == ("most-likely-shift", "window_mm")
    ]
    row, base = rows["vary: window_mm 100", "most-likely-shift"], rows["base", "most-likely-shift"]
    assert row["n"] < base["n"]
    moved = base["range_mae_mm"] + row["range_mae_mm"] - row["at_base"]
    ends = sorted([base["range_mae_mm"], moved])
    assert [window["low_value"], window["high_value"]] == pytest.approx(ends)


def test_progress_goes_forward_and_says_what_is_done(computed):
    shares = [share for share, _ in computed.told]
    assert (np.diff(shares) > -1e-9).all()
    assert shares[-1] <= 1.0
    assert any("cells" in text for _, text in computed.told)


def test_two_workers_change_nothing(computed, water_set, tmp_path):
    """Not the cells, and not one byte of the tables made of them."""
    outcome = run_study(computed.study(water_set), tmp_path / "work", on=backend_for(2))
    assert outcome.results_hash == computed.outcome.results_hash
    for name, own in (("here", outcome), ("there", computed.outcome)):
        (tmp_path / name).mkdir()
        write_cells(tmp_path / name, answers_of(own), own.rays)
    for file in ("cells.parquet", "cells.csv"):
        assert (tmp_path / "here" / file).read_bytes() == (tmp_path / "there" / file).read_bytes(), file


def test_one_worker_changes_nothing(computed, water_set, tmp_path):
    study = computed.study(water_set, rays=RaySource(set=water_set), methods=("model", "pearson"), vary={})
    hashes = {
        workers: run_study(study, tmp_path / str(workers), on=backend_for(workers)).results_hash for workers in (0, 1)
    }
    assert hashes[0] == hashes[1]


def test_a_killed_study_goes_on_and_ends_the_same(computed, water_set, tmp_path):
    text = computed.study(water_set).model_dump_json(exclude={"rays": {"twins", "profiles"}})
    study, work = tmp_path / "study.json", tmp_path / "work"
    study.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = Path(__file__).with_name("run_small_study.py")
    process = subprocess.Popen([sys.executable, str(script), str(study), str(work)], env=environment)
    try:
        deadline = time.monotonic() + 60
        while _done(work) < 5 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    before = _done(work)
    assert before >= 5
    outcome = run_study(computed.study(water_set), work, on=backend_for(0))
    assert before < len(read_job(work / ASK_FOLDER).cells), "the process had finished before it was killed"
    assert outcome.results_hash == computed.outcome.results_hash


def _done(work: Path) -> int:
    try:
        return sum(1 for _ in read_outcomes(work / ASK_FOLDER))
    except StoreError:
        return 0


def test_a_cancelled_study_keeps_its_cells(computed, water_set, tmp_path):
    with pytest.raises(Cancelled):
        run_study(computed.study(water_set), tmp_path, on=backend_for(0), cancelled=lambda: _done(tmp_path) >= 3)
    assert 3 <= _done(tmp_path) < 30


def test_one_cell_alone_is_the_same_and_a_changed_one_is_told(computed, tmp_path):
    cell_id = f"s002.{computed.outcome.setting.anatomies[2]}"
    assert replay(computed.work, cell_id, tmp_path / "cell")
    with pytest.raises(InputError, match="no such cell"):
        replay(computed.work, "s002.nobody", tmp_path / "other")


def test_rays_that_were_changed_are_not_used(computed, tmp_path):
    """A cell that read other rays than the study was drawn for would be a wrong number in silence."""
    copy = tmp_path / "work"
    shutil.copytree(computed.work, copy)
    with pytest.raises(StoreError, match="changed"):
        laid_out(copy / "rays", "0" * 64)


def test_a_folder_of_another_study_is_left_alone(computed, water_set):
    with pytest.raises(StoreError, match="another"):
        run_study(computed.study(water_set, seed=6), computed.work, on=backend_for(0))


def test_methods_that_lack_something_are_left_out_with_a_finding(computed, water_set, tmp_path):
    from protonqa.analyses.sensitivity_study.known_rays import write_known_rays

    bare = write_known_rays(tmp_path / "bare", seed=2, anatomies=1, rays_each=2, shift_mm=2.0, planned=False)
    study = computed.study(
        bare,
        rays=RaySource(set=bare),
        named=("raw",),
        vary={"cross_sections": ("gate",)},
        methods=("model", "paper-protocol", "a50-line", "a50-line-wepl", "pearson"),
    )
    outcome = run_study(study, tmp_path / "work", on=backend_for(0))
    assert outcome.setting.study.methods == ("model", "a50-line")
    texts = " ".join(one.text for one in outcome.findings)
    for word in ("paper-protocol", "a50-line-wepl", "pearson", "gate", "model's card"):
        assert word in texts
    assert {one.name for one in outcome.setting.scenarios} == {"raw", "base"}


def test_anatomies_of_the_training_are_refused_unless_asked_for(water_set, tmp_path, computed, monkeypatch):
    """The card knows the set by its hash: what the model learned from is no test."""
    card = shipped_model().card
    own = card.training.model_copy(update={"set_hash": read_manifest(water_set).set_hash})
    model = type("Model", (), {"card": card.model_copy(update={"training": own})})()
    monkeypatch.setattr("protonqa.study.run.open_model", lambda _folder: model)
    study = computed.study(water_set, rays=RaySource(set=water_set, part="train"))
    with pytest.raises(InputError, match="seen by the training"):
        run_study(study, tmp_path, on=backend_for(0))
    from protonqa.study.rays import open_rays

    parts = {
        part: set(
            open_rays(
                RaySource(set=water_set, part=part, allow_training=True), model.card, tmp_path, seed=1, line_rays=50
            ).table.anatomy.tolist()
        )
        for part in ("test", "calibrate", "train", "all")
    }
    assert parts["test"].isdisjoint(parts["train"] | parts["calibrate"])
    assert parts["all"] == parts["test"] | parts["calibrate"] | parts["train"]


def test_fresh_twins_of_the_training_seed_are_refused(tmp_path, computed, water_set):
    seed = shipped_model().card.training.recipe["training_set"]["seed"]
    study = computed.study(water_set, rays=RaySource(twins={"seed": seed}))
    with pytest.raises(InputError, match="trained on"):
        run_study(study, tmp_path, on=backend_for(0))
    with pytest.raises(InputError, match="recipe of the twins is wrong at sites"):
        run_study(computed.study(water_set, rays=RaySource(twins={"sites": 3})), tmp_path, on=backend_for(0))


def test_counts_are_counts_to_the_poisson_match(computed, water_set):
    """The background that was taken off is known to it: a bin below zero is no reason to refuse a ray."""
    from protonqa.range_model.shards import read_training_set
    from protonqa.study.conditions import Condition
    from protonqa.study.methods import Tools, answer, show
    from protonqa.study.scenarios import scenarios_of

    study = computed.study(water_set, named=(), base=Condition(noise="poisson", counts=3000.0))
    table = read_training_set(water_set)
    mine = table.select(table.anatomy == "water-000")
    shown = show(scenarios_of(study)[0], mine, "water-000", seed=1, expected_washout="same")
    assert (shown.rays.activity < 0).any()
    found = answer("profile-match-poisson", shown, Tools(model=shipped_model()))
    assert found.answered.all(), found.reason.tolist()
    assert np.abs(found.r80_mm - mine.r80_mm).max() < 5.0 * shown.floor_mm.max()
