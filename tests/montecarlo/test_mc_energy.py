"""Where the energy of a beam goes: the book of all terms, single histories, and what nuclear events set free."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from protonqa.montecarlo.simulation import simulate
from protonqa.montecarlo.tallies import (
    BOOK_BINDING,
    BOOK_DEPOSIT,
    BOOK_ESCAPED,
    BOOK_EVENTS,
    BOOK_IN,
    BOOK_NEUTRAL,
    BOOK_SCALE,
)
from protonqa.physics.materials import material
from protonqa.physics.nuclear import macroscopic_per_g
from protonqa.physics.stopping import csda_range_water_mm, mass_stopping_power
from tests.oracles import ion_ranges

TERMS = [BOOK_DEPOSIT, BOOK_ESCAPED, BOOK_NEUTRAL, BOOK_BINDING]
MEV_IN_J = 1.602176634e-13


def test_without_nuclear_events_every_history_keeps_its_energy(make_medium, make_beam, books):
    """No statistics: what is not deposited leaves, to the fixed point of the book."""
    medium = make_medium("bone", size_mm=(20, 20, 60), spacing_mm=(2.0, 2.0, 2.0))
    book = books(medium, make_beam(medium, 110.0, sigma_mm=3.0), 300, seed=2, nuclear=False)
    assert np.abs(book[:, [BOOK_DEPOSIT, BOOK_ESCAPED]].sum(axis=1) - book[:, BOOK_IN]).max() < 2e-4
    assert book[:, [BOOK_NEUTRAL, BOOK_BINDING, BOOK_EVENTS]].max() == 0.0


@pytest.mark.parametrize(("name", "energy_mev"), [("water", 70.0), ("water", 200.0), ("bone", 150.0), ("pmma", 110.0)])
def test_the_energy_book_closes_within_the_statistics_of_the_events(make_medium, make_beam, books, name, energy_mev):
    """Neutrals are booked as their mean share, not as what is left: the sum is right only if charged secondaries are.

    A single history with a nuclear event misses by up to its whole energy; their mean must not.
    """
    medium = make_medium(name, size_mm=(160, 160, 320), spacing_mm=(8.0, 8.0, 4.0))
    book = books(medium, make_beam(medium, energy_mev), 4000, seed=3)
    closed = book[:, TERMS].sum(axis=1) / energy_mev
    without = book[:, BOOK_EVENTS] == 0.0
    assert np.abs(closed[without] - 1.0).max() < 1e-5
    assert 0.02 < closed.std() < 0.25
    assert abs(closed.mean() - 1.0) < 4.0 * closed.std() / np.sqrt(closed.size)
    assert book[:, BOOK_NEUTRAL].mean() > 0.0


def test_the_energy_book_of_many_protons_closes_within_a_thousandth(make_medium, make_beam):
    medium = make_medium(size_mm=(160, 160, 180), spacing_mm=(8.0, 8.0, 4.0))
    result = simulate(medium=medium, source=make_beam(medium, 150.0), protons=100_000, seed=1)
    assert sum(result.energy_balance.values()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("energy_mev", [100.0, 200.0])
def test_nuclear_events_happen_as_often_as_their_cross_sections_say(make_medium, make_beam, books, energy_mev):
    """Protons without an event behind a slab: the exponential of the optical depth along the slowing down."""
    thickness_mm = 40.0
    water = material("water")
    medium = make_medium(size_mm=(80, 80, thickness_mm), spacing_mm=(4.0, 4.0, 2.0))
    book = books(medium, make_beam(medium, energy_mev), 6000, seed=4)
    untouched = float(np.mean(book[:, BOOK_EVENTS] == 0.0))
    depth = np.linspace(0.0, thickness_mm, 401)
    left = np.interp(
        csda_range_water_mm(energy_mev) - depth,
        csda_range_water_mm(np.linspace(1.0, energy_mev, 2000)),
        np.linspace(1.0, energy_mev, 2000),
    )
    expected = np.exp(-0.1 * np.trapezoid(sum(macroscopic_per_g(water, left)), depth))
    error = np.sqrt(expected * (1.0 - expected) / book.shape[0])
    assert abs(untouched - expected) < 4.0 * error


def test_deposited_energy_is_the_same_in_every_tally(make_medium, make_beam):
    medium = make_medium("pmma", size_mm=(60, 60, 120))
    result = simulate(medium=medium, source=make_beam(medium, 110.0), protons=3000, seed=1)
    booked = result.energy_balance["deposited"]
    assert result.fine_idd_mev_per_mm.sum() * 0.25 / 110.0 == pytest.approx(booked, rel=1e-5)
    kg = medium.density.astype(np.float64) * medium.grid.voxel_ml * 1e-3
    in_voxels = float((result.dose_medium_gy * kg).sum()) / MEV_IN_J
    assert in_voxels / 110.0 == pytest.approx(booked, rel=1e-5)


def test_dose_to_water_is_dose_to_medium_times_the_stopping_ratio(make_medium, make_beam):
    """In PMMA, at the entrance, with nearly the first energy: a ratio turned over would be 5 % off."""
    medium = make_medium("pmma", size_mm=(40, 40, 80))
    result = simulate(medium=medium, source=make_beam(medium, 110.0), protons=2000, seed=1, nuclear=False)
    here = result.dose_medium_gy[2] > 0
    ratio = result.dose_water_gy[2][here] / result.dose_medium_gy[2][here]
    water, pmma = (float(mass_stopping_power(material(name), 107.0)) for name in ("water", "pmma"))
    assert ratio == pytest.approx(np.full(ratio.size, water / pmma), rel=2e-3)


def test_deuterons_and_alphas_stop_at_the_ranges_of_protons_of_their_velocity():
    """Closed form: A/z^2 times the range of a proton with the same energy per nucleon, at every voxel face.

    In a child process without compiler, so that another particle can be put on the stack.
    """
    cases = [("deuteron", 60.0, 24.0), ("deuteron", 30.0, 10.0), ("alpha", 160.0, 18.0), ("alpha", 250.0, 40.0)]
    done = subprocess.run(
        [sys.executable, ion_ranges.__file__, json.dumps(cases)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for (kind, energy_mev, _), dose in zip(cases, json.loads(done.stdout), strict=True):
        nucleons = ion_ranges.NUCLEONS[kind]
        # z^2 / A: 1 / 2 for deuterons, 4 / 4 for alphas.
        scale = 2.0 if kind == "deuteron" else 1.0
        range_mm = scale * float(csda_range_water_mm(energy_mev / nucleons))
        assert sum(dose) == pytest.approx(energy_mev, rel=1e-5)
        faces = np.arange(1.0, range_mm - 0.3)
        assert faces.size >= 3
        left = energy_mev - np.cumsum(dose)[np.rint(4.0 * faces).astype(int) - 1]
        ends = faces + scale * csda_range_water_mm(left / nucleons)
        assert np.abs(ends - range_mm).max() < 0.02
        assert 0.25 * np.flatnonzero(np.array(dose) > 0.0).max() == pytest.approx(range_mm, abs=0.3)


def test_the_book_is_in_mev(make_medium, make_beam, books):
    medium = make_medium(size_mm=(20, 20, 20))
    book = books(medium, make_beam(medium, 80.0), 5, nuclear=False)
    assert book[:, BOOK_IN] == pytest.approx(np.full(5, 80.0), abs=1.0 / BOOK_SCALE)
