"""The cache of compiled kernels: an edited law must never give the old number."""

from __future__ import annotations

import pytest

# A kernel of its own: small to compile, cached like the others, and it calls a law of another file.
KERNEL = '''"""A kernel that calls a law."""

from protonqa.montecarlo.compiling import kernel
from protonqa.montecarlo.laws import pv


@kernel
def momentum_times_velocity(energy):
    return pv(energy)
'''
ASK = """
import sys
from pathlib import Path
from protonqa.montecarlo import compiling
from protonqa.montecarlo.probe import momentum_times_velocity

value = float(momentum_times_velocity(100.0))
loaded = sum(momentum_times_velocity.stats.cache_hits.values())
sys.stdout.write(f"{value!r} {loaded} {compiling.cache_folder().name}")
"""


@pytest.fixture
def ask(engine_copy, tmp_path):
    """Value, whether the kernel came from the cache, and the cache folder's name, in a fresh process."""
    engine_copy.file("probe").write_text(KERNEL, encoding="utf-8")
    script = tmp_path / "ask.py"
    script.write_text(ASK, encoding="utf-8")

    def answer():
        value, loaded, folder = engine_copy.run(str(script)).split()
        return float(value), int(loaded), folder

    return answer


def test_an_edited_law_changes_the_result_of_a_cached_kernel(ask, engine_copy):
    """numba's own cache watches only the file of the kernel: it would give the number of the law before the edit."""
    first = ask()
    again = ask()
    assert again == (first[0], 1, first[2]), "an unchanged source is compiled once"
    old = "return energy * (energy + 2.0 * _M) / (energy + _M)"
    engine_copy.edit("laws", (old, f"return 2.0 * {old.removeprefix('return ')}"))
    edited = ask()
    assert edited[0] == pytest.approx(2.0 * first[0])
    assert edited[1] == 0
    assert edited[2] != first[2]


def test_an_edited_table_gets_a_cache_of_its_own(ask, engine_copy):
    before = ask()[2]
    table = engine_copy.file("laws").parents[1] / "tables" / "pstar.csv"
    table.write_text(table.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert ask()[2] != before
