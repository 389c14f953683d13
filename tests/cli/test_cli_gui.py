"""``protonqa gui`` where the desktop program is not installed."""

from __future__ import annotations

import importlib.util

import pytest

from protonqa.cli import main


@pytest.mark.parametrize("words", [["gui"], ["benchmark", "--gui"]], ids=lambda one: one[0])
def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys, words):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "PySide6" else real(name, *rest)
    )
    assert main(words) == 2
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1
    assert 'pip install "protonqa[gui]"' in told


def test_a_case_that_is_not_there_is_one_line(capsys, tmp_path):
    assert main(["gui", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.startswith("error[INPUT]")
