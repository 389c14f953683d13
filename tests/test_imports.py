"""What an import may cost: heavy libraries load when they are needed, never before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "numba", "PySide6", "pyqtgraph", "matplotlib", "reportlab", "scipy", "pydicom", "SimpleITK")
ROOT = Path(__file__).resolve().parents[1]


def loaded_after(code: str) -> set[str]:
    """Heavy libraries in a new interpreter after `code`."""
    script = f"{code}\nimport sys\nsys.stderr.write(' '.join(n for n in {HEAVY!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "module", ["protonqa", "protonqa.cli", "protonqa.device", "protonqa.analyses.interface", "protonqa.app.progress"]
)
def test_a_light_module_loads_nothing_heavy(module):
    assert loaded_after(f"import {module}") == set()


def test_help_loads_nothing_heavy():
    code = "import contextlib, io\nfrom protonqa.cli import main\nwith contextlib.redirect_stdout(io.StringIO()):\n"
    assert loaded_after(code + "    assert main(['--help']) == 0") == set()


def test_help_imports_no_command_and_no_numpy():
    """Half a second for --help leaves no room for NumPy, pydantic or a command's module."""
    code = (
        "import contextlib, io, sys\nfrom protonqa.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n    main(['--help'])\n"
        "print(sorted(n for n in sys.modules if n in ('numpy', 'pydantic') or n.startswith('protonqa.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == str(
        ["protonqa.cli", "protonqa.cli.commands", "protonqa.cli.frame", "protonqa.errors"]
    )


@pytest.mark.parametrize("module", ["protonqa.analyses.registry", "protonqa.analyses.runner", "protonqa.app.analyses"])
def test_looking_at_analyses_loads_no_torch(module):
    assert not loaded_after(f"import {module}") & {"torch", "numba", "matplotlib", "reportlab"}
