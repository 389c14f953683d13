"""Small media, beams and meters for Monte Carlo tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import protonqa
from protonqa.montecarlo.medium import Medium, medium_from_hu
from protonqa.montecarlo.source import Source, pencil_beam
from protonqa.physics.materials import material_index
from protonqa.values import Grid, Volume


def box_medium(name: str = "water", *, size_mm=(60, 60, 120), spacing_mm=(2.0, 2.0, 2.0)) -> Medium:
    """A block of one reference material, beam along +z, face at z = 0, axis at x = y = 0."""
    nx, ny, nz = (round(s / d) for s, d in zip(size_mm, spacing_mm, strict=True))
    origin = (-size_mm[0] / 2 + spacing_mm[0] / 2, -size_mm[1] / 2 + spacing_mm[1] / 2, spacing_mm[2] / 2)
    grid = Grid(shape=(nz, ny, nx), spacing_mm=spacing_mm, origin_mm=origin)
    volume = Volume(grid=grid, array=np.zeros(grid.shape, dtype=np.float32), unit="HU")
    return medium_from_hu(volume, reference_index=np.full(grid.shape, material_index(name)))


def beam(
    medium: Medium,
    energy_mev: float,
    *,
    sigma_mm: float = 0.0,
    spread_percent: float = 0.0,
    position_mm=(0.0, 0.0, 0.0),
    direction=(0.0, 0.0, 1.0),
) -> Source:
    """A pencil beam, by default into the middle of the face of ``box_medium``."""
    return pencil_beam(
        medium.grid,
        position_mm=np.array(position_mm, dtype=np.float64),
        direction=np.array(direction, dtype=np.float64),
        energy_mev=energy_mev,
        spot_sigma_mm=sigma_mm,
        energy_spread_percent=spread_percent,
    )


def books_one_by_one(medium: Medium, source: Source, protons: int, *, seed: int = 0, nuclear: bool = True):
    """Energy book (MeV) of each history by itself: (protons, n), columns as ``tallies.BOOK_...``.

    What leaves behind a slab is so known history by history, far finer than any voxel or table row.
    """
    from protonqa.montecarlo.cpu import CpuBackend
    from protonqa.montecarlo.layout import lay_out
    from protonqa.montecarlo.leg_tables import standard_tables
    from protonqa.montecarlo.tallies import BOOK_SCALE

    depth_bins = int(np.ceil(sum(medium.grid.size_mm)))
    plan = lay_out(medium, source, standard_tables("recommended", nuclear), medium.grid, seed, 0.0, depth_bins)
    backend = CpuBackend(plan, threads=1)
    rows = [backend.collect().book.copy()]
    for history in range(protons):
        backend.advance(history, 1, lambda _: True)
        rows.append(backend.collect().book.copy())
    return np.diff(np.array(rows), axis=0) / BOOK_SCALE


class EngineCopy:
    """A copy of the package whose sources may be edited, run in child processes with a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        source = Path(protonqa.__file__).parent
        skip = shutil.ignore_patterns("__pycache__", "weights", "*.safetensors")
        shutil.copytree(source, folder / "protonqa", ignore=skip)

    def file(self, module: str) -> Path:
        return self._folder / "protonqa" / "montecarlo" / f"{module}.py"

    def edit(self, module: str, *changes: tuple[str, str]) -> None:
        """Replace text that stands once in a module of the Monte Carlo."""
        text = self.file(module).read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} does not stand once in {module}.py"
            text = text.replace(old, new)
        self.file(module).write_text(text, encoding="utf-8")

    def scale(self, module: str, names: str, factor: float) -> None:
        """Multiply the constants of a module whose names match."""
        text, changed = re.subn(
            rf"^({names}) = (\S+)$",
            lambda line: f"{line[1]} = {factor * float(line.groups()[-1])!r}",
            self.file(module).read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
        assert changed >= 3, f"only {changed} constants of {module}.py match {names}"
        self.file(module).write_text(text, encoding="utf-8")

    def run(self, script: str, *arguments: str) -> str:
        """What a script prints that imports the copy."""
        env = {**os.environ, "PYTHONPATH": str(self._folder), "PROTONQA_CACHE": str(self._folder / "cache")}
        done = subprocess.run(
            [sys.executable, script, *arguments], env=env, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


@pytest.fixture
def make_medium():
    return box_medium


@pytest.fixture
def make_beam():
    return beam


@pytest.fixture
def books():
    return books_one_by_one


@pytest.fixture
def engine_copy(tmp_path):
    return EngineCopy(tmp_path)
