"""The progress bar: on standard error, after two seconds, gone at the end."""

from __future__ import annotations

import io
import sys
import time

import pytest

from protonqa.cli import bar as bar_module
from protonqa.cli.bar import ProgressBar


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def make_terminal(monkeypatch):
    """A function that makes standard error a terminal; called inside the test, after pytest has set its own."""

    def make():
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        return stream

    return make


def wait_for(condition):
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_work_of_less_than_two_seconds_shows_nothing(make_terminal):
    terminal = make_terminal()
    with ProgressBar() as bar:
        bar(1, 2, "working")
    assert terminal.getvalue() == ""


def test_longer_work_shows_a_bar_with_its_text(make_terminal, monkeypatch):
    terminal = make_terminal()
    monkeypatch.setattr(bar_module, "_PATIENCE_S", 0.01)
    with ProgressBar() as bar:
        bar(1, 4, "slow [bold]part")
        assert wait_for(lambda: "slow [bold]part" in terminal.getvalue())
        bar(2, 4, "second part")
    assert "25%" in terminal.getvalue()


def test_not_wanted_is_silent(make_terminal, monkeypatch):
    terminal = make_terminal()
    monkeypatch.setattr(bar_module, "_PATIENCE_S", 0.0)
    with ProgressBar(wanted=False) as bar:
        bar(1, 2, "x")
        time.sleep(0.05)
    assert terminal.getvalue() == ""


def test_without_a_terminal_lines_come_on_request_only(capsys):
    with ProgressBar() as bar:
        bar(1, 2, "x")
    assert capsys.readouterr().err == ""
    with ProgressBar(wanted=True) as bar:
        for step in range(101):
            bar(step, 100, "counting")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "100 % counting"
