"""The study as an analysis: the same door, the same numbers."""

from __future__ import annotations

import pytest

from protonqa.analyses.interface import Analysis
from protonqa.analyses.registry import load_analysis
from protonqa.analyses.sensitivity_study.known_rays import write_known_rays
from protonqa.app.analyses import RunParams, run
from protonqa.app.study import StudyRunParams, run_study
from protonqa.errors import InputError
from protonqa.values import State

STUDY = "seed: 2\nrays: {set: water}\nmethods: [pearson]\nnamed: [raw]\nbootstrap: {resamples: 100}\n"


@pytest.fixture
def study(tmp_path):
    write_known_rays(tmp_path / "water", seed=4, anatomies=2, rays_each=2, shift_mm=4.0)
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_study_is_an_analysis_like_any_other():
    analysis = load_analysis("sensitivity-study").analysis
    assert isinstance(analysis, Analysis)
    assert [(one.name, one.kind_name, one.optional) for one in analysis.inputs] == [("study", "SettingsFile", False)]


def test_analysis_and_command_give_the_same_tables(study, tmp_path):
    own = run_study(StudyRunParams(study=study, out=tmp_path / "a", workers=0)).result
    door = RunParams(
        name="sensitivity-study", inputs={"study": study}, params={"workers": 0}, out=tmp_path / "b", report=False
    )
    through_door = run(door)
    assert own.state is through_door.state is State.PASS
    assert own.tables == through_door.tables
    assert own.provenance["results_hash"] == through_door.provenance["results_hash"]
    assert (tmp_path / "a" / "cells.parquet").read_bytes() == (tmp_path / "b" / "cells.parquet").read_bytes()


def test_without_a_study_file_nothing_is_run(tmp_path):
    with pytest.raises(InputError, match="study is missing"):
        run(RunParams(name="sensitivity-study", out=tmp_path, report=False))


def test_quick_acceptance_test_passes(tmp_path):
    from protonqa.analyses.commissioning import commission_analysis

    outcome = commission_analysis(load_analysis("sensitivity-study").analysis, quick=True, out=tmp_path)
    assert outcome.passed, [(check.name, check.value) for check in outcome.checks if not check.passed]
