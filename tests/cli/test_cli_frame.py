"""Exit codes, one-line errors and a clean standard output, seen from outside the process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from protonqa import __version__
from protonqa.cli.commands import COMMANDS


def test_help_and_version(shell):
    page = shell("--help")
    assert page.code == 0
    assert page.err == ""
    assert "not for treatment decisions" in " ".join(page.out.split())
    # The first word of a row of the list, not a word of some help text.
    rows = [line.strip("│ ").split()[:1] for line in page.out.splitlines()]
    places = [rows.index([command.name]) for command in COMMANDS]
    assert places == sorted(places)
    assert shell("--version").out.strip() == __version__


#: Commands that do nothing without a second word, and the window, which answers nothing on standard output.
SECOND_WORD = {"run": "mean-hu", "study": "run"}
WINDOW = "gui"


@pytest.mark.parametrize("command", [command.name for command in COMMANDS if command.name != WINDOW])
def test_every_command_has_help_with_the_common_options(inside, command):
    words = [command, *([SECOND_WORD[command]] if command in SECOND_WORD else []), "--help"]
    page = inside(*words)
    assert page.code == 0
    for option in ("--json", "--device", "--seed"):
        assert option in page.out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["doctr"], "error[USAGE]: unknown command, got 'doctr', did you mean doctor?"),
        (["xyzzy"], "error[USAGE]: unknown command, got 'xyzzy', see protonqa --help"),
        (["doctor", "--jsn"], "error[USAGE]: unknown option, got '--jsn', did you mean --json?"),
        (["doctor", "--zzz=1"], "error[USAGE]: unknown option, got '--zzz', see protonqa doctor --help"),
        (["doctor", "extra"], "error[USAGE]: unexpected argument, got 'extra', see protonqa doctor --help"),
        (["doctor", "--seed", "abc"], "error[USAGE]: --seed cannot be used, got 'abc', expected a whole number"),
        (["doctor", "--seed"], "error[USAGE]: --seed needs a value, see protonqa doctor --help"),
        (["doctor", "--seed=-1"], "error[INPUT]: --seed is negative, got -1, expected 0 or more"),
        (
            ["doctor", "--device", "cdua"],
            "error[USAGE]: --device cannot be used, got 'cdua', expected cpu, cuda, auto, did you mean cuda?",
        ),
        (["commission"], "error[USAGE]: --out is missing, see protonqa commission --help"),
        (["run", "--out", "x"], "error[INPUT]: the name of the analysis comes first, expected protonqa run NAME ..."),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(inside, words, line):
    done = inside(*words)
    assert (done.code, done.out) == (2, "")
    assert done.error == line


def test_the_process_exits_with_the_code_too(shell):
    done = shell("doctr", "--json")
    assert (done.code, done.out) == (2, "")
    assert done.error == "error[USAGE]: unknown command, got 'doctr', did you mean doctor?"


def test_a_path_on_the_command_line_is_not_repeated(inside):
    """A folder may carry the name of a patient."""
    done = inside("doctor", "/data/CANARY^JANE/ct")
    assert done.error.startswith("error[USAGE]: unexpected argument, got a path")
    assert "CANARY" not in done.err


def test_an_internal_fault_is_one_line_and_a_traceback_in_a_file(shell, tmp_path):
    script = (
        "import sys, protonqa.app.doctor as d\n"
        "def examine(*a, **k): raise ValueError('CANARY^JANE')\n"
        "d.examine = examine\n"
        "from protonqa.cli import main\nsys.exit(main(['doctor', '--json']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=shell.environment, timeout=120
    )
    assert (done.returncode, done.stdout) == (4, "")
    match = re.fullmatch(
        r"error\[INTERNAL\]: unexpected ValueError at .*, this is a fault of protonqa, details in (.+)\n", done.stderr
    )
    assert match
    path = Path(match[1])
    assert path.parent == tmp_path
    text = path.read_text(encoding="utf-8")
    assert "in doctor" in text
    assert "CANARY" not in text + done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_is_one_line_and_leaves_no_result(shell, ct_file, tmp_path):
    command = [sys.executable, "-m", "protonqa", "run", "mean-hu", "--ct", ct_file, "--mode", "slow", "--out", "out"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=shell.environment
    ) as process:
        for line in process.stderr:
            if line == "started\n":
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines() == ["error[CANCELLED]: stopped by the user, nothing was marked as done"]
    assert list((tmp_path / "out").iterdir()) == []


def test_a_closed_pipe_is_no_error(shell, tmp_path):
    script = (
        f"{sys.executable} -m protonqa analyses --json | {sys.executable} -c 'import os; os.close(0)'; "
        "echo ${PIPESTATUS[0]}"
    )
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=shell.environment, timeout=120
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert done.stdout.strip() == "0"


def test_output_survives_a_console_of_another_charset(shell, tmp_path):
    (tmp_path / "site.yaml").write_text("name: Klinik Zürich\n", encoding="utf-8")
    environment = {**shell.environment, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "protonqa", "config", "show", "--config", "site.yaml"]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Klinik Z\\xfcrich" in done.stdout.decode("ascii")
