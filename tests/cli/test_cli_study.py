"""``protonqa study``: template, run, one cell alone, and slips in the file."""

from __future__ import annotations

import pytest

from protonqa.analyses.sensitivity_study.known_rays import write_known_rays

KEYS = [
    "scenario",
    "method",
    "n",
    "range_mean_mm",
    "range_mae_mm",
    "range_sd_mm",
    "range_p95_mm",
    "dose_mae",
    "dose_mre_percent",
    "coverage",
    "interval_width_mm",
    "answered",
]
STUDY = """
seed: 2
rays: {set: water}
methods: [model, most-likely-shift]
named: [raw]
base: {noise: snr-additive}
vary: {snr: [10]}
bootstrap: {resamples: 100}
worst_cases: 1
"""


@pytest.fixture
def study(tmp_path):
    """A study of six rays in water, in the folder the command runs in."""
    write_known_rays(tmp_path / "water", seed=4, anatomies=2, rays_each=3, shift_mm=4.0)
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_run_gives_rows_report_and_cells_and_a_cell_can_be_repeated(inside, study, tmp_path):
    done = inside("study", "run", study, "--out", "out", "--workers", "0", "--json")
    assert done.code == 0, done.err
    answer = done.json()
    assert all(sorted(row) == sorted(KEYS) for row in answer["rows"])
    assert [(row["scenario"], row["method"]) for row in answer["rows"]] == [
        (scenario, method) for scenario in ("raw", "base", "vary: snr 10") for method in ("model", "most-likely-shift")
    ]
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.html", "report.pdf", "result.json", "manifest.json", "cells.parquet", "cells.csv"} <= found
    again = inside("study", "cell", "s001.water-001", "--out", "out", "--json")
    assert (again.code, again.json()) == (0, {"cell": "s001.water-001", "identical": True})
    # Everything is there: the second run computes no cell.
    repeated = inside("study", "run", study, "--out", "out", "--workers", "0")
    assert repeated.code == 0
    assert "6 rays of 2 anatomies under 3 scenarios by 2 methods" in repeated.out
    # Another study in the same folder is refused, and what was there stays.
    study.write_text(STUDY.replace("seed: 2", "seed: 3"), encoding="utf-8")
    refused = inside("study", "run", study, "--out", "out", "--workers", "0")
    assert refused.code == 4
    assert "another table" in refused.err
    assert (tmp_path / "out" / "report.pdf").is_file()


def test_template_goes_to_a_file_and_is_a_study(inside, tmp_path):
    from protonqa.study.settings import load_study

    assert inside("study", "template").out.startswith("# A sensitivity study")
    assert inside("study", "template", "s.yaml", "--json").json()["file"] == "s.yaml"
    assert load_study(tmp_path / "s.yaml").seed == 1
    refused = inside("study", "template", "s.yaml")
    assert refused.code == 2
    assert "there already" in refused.error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rays: {set: water}\nmetods: [model]\n", ("line 2", "did you mean 'methods'")),
        ("rays: {set: nowhere}\n", ("set of rays is not there",)),
    ],
)
def test_a_slip_is_one_line_and_leaves_no_result(text, words, inside, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    done = inside("study", "run", path, "--out", "out", "--workers", "0")
    assert done.code == 2
    assert [word for word in words if word not in done.err] == []
    assert "Traceback" not in done.err
    assert not (tmp_path / "out" / "report.pdf").exists()


def test_workers_and_scheduler_exclude_each_other(inside, study):
    done = inside("study", "run", study, "--out", "out", "--workers", "1", "--scheduler", "tcp://127.0.0.1:8786")
    assert done.code == 2
    assert "exclude" in done.err


def test_help_names_the_three_parts(inside):
    done = inside("study", "--help")
    assert done.code == 0
    assert [word for word in ("template", "run", "cell") if word not in done.out] == []
