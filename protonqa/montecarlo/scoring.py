"""From visits to tallies.

A walk only notes its visits: where r stood at their two ends, in which voxel and between which depths. Many visits are
scored at once: they do not depend on each other, and the processor works on several of them at a time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protonqa.montecarlo.compiling import law, rare
from protonqa.montecarlo.events import DEUTERON, PRIMARY
from protonqa.montecarlo.leg_tables import N_ROW
from protonqa.montecarlo.scene import DENSITY_MASK, DENSITY_STEP, MATERIAL_SHIFT
from protonqa.montecarlo.tallies import (
    BOOK_DEPOSIT,
    BOOK_SCALE,
    BOOK_VISITS,
    ENERGY_SCALE,
    MEDIUM_SLOT,
    WATER_SLOT,
    add_to,
    at,
    fixed,
    score_depth,
    score_nuclides,
    score_quality,
)

#: Visits that the CPU notes before it scores them.
VISITS = 128
#: Numbers of a visit: residual range at both ends, path (g/cm2), depth (mm) at both ends.
R_FIRST, R_LAST, PATH, DEPTH_FIRST, DEPTH_LAST, N_NUMBER = range(6)
#: Places of a visit: word of the voxel, first slot of its tallies (negative: none), kind of the particle.
WORD, BASE, PARTICLE, N_PLACE = range(4)


class Visits(NamedTuple):
    """Notebook of a worker: how many visits it holds, their numbers and their places."""

    count: NDArray[np.int64]  # type: ignore[assignment]  # not the method of a tuple
    numbers: NDArray[np.float64]
    places: NDArray[np.int64]


def notebook(capacity: int = VISITS) -> Visits:
    """An empty notebook."""
    return Visits(
        count=np.zeros(1, dtype=np.int64),
        numbers=np.zeros(capacity * N_NUMBER),
        places=np.zeros(capacity * N_PLACE, dtype=np.int64),
    )


@law
def mass_number_of(kind):
    """Nucleons of a particle."""
    return 1.0 if kind < DEUTERON else (2.0 if kind == DEUTERON else 4.0)


@law
def energy_of(root, energy_table, inverse_step):
    """Energy (MeV) of a proton with residual range root^2 (g/cm2)."""
    place = root * inverse_step
    i = int(place)
    low = energy_table[at(i)]
    return low + (place - i) * (energy_table[at(i + 1)] - low)


@law
def score_visit(numbers, places, n, scene, tables, tally, first, before):
    """Add visit `n` to every tally.

    `first` and `before` are root of the residual range and energy per nucleon at its beginning; returns the energy lost
    and both at its end.
    """
    a, b = n * N_NUMBER, n * N_PLACE
    last = math.sqrt(numbers[at(a + R_LAST)])
    path = numbers[at(a + PATH)]
    low, high = numbers[at(a + DEPTH_FIRST)], numbers[at(a + DEPTH_LAST)]
    if high < low:
        low, high = high, low
    word, base, kind = places[at(b + WORD)], places[at(b + BASE)], places[at(b + PARTICLE)]
    m, rho = word >> MATERIAL_SHIFT, (word & DENSITY_MASK) * DENSITY_STEP
    after = energy_of(last, tables.energy, tables.inverse_energy_step)
    loss = mass_number_of(kind) * (before - after)
    row = int((first + last) * (0.5 * tables.inverse_row_step) + 0.5)
    water_loss = loss * tables.water_ratio[at(m * N_ROW + row)]
    first_bin = 0 if kind == PRIMARY else scene.n_coarse
    score_depth(tally.fine, first_bin, scene.n_coarse, low, high, loss, water_loss / rho)
    if base >= 0:
        add_to(tally.voxels, base + MEDIUM_SLOT, np.int64(loss * ENERGY_SCALE + 0.5))
        add_to(tally.voxels, base + WATER_SLOT, np.int64(water_loss * ENERGY_SCALE + 0.5))
    if kind < DEUTERON:
        node = (m * N_ROW + row) * scene.n_pack
        score_nuclides(tally, scene, tables.emission, first_bin, base, low, high, path, node)
        if scene.first_quality > 0 and base >= 0:
            score_quality(
                tally.voxels, base + scene.first_quality, loss, path / rho, 0.5 * (before + after),
                tables.stopping[at(row)],
            )  # fmt: skip
    return loss, last, after


@rare
def score_visits(visits, scene, tables, tally):
    """Score every visit of the notebook and empty it."""
    total = np.int64(0)
    r_last, root, energy = -1.0, 0.0, 0.0
    for n in range(visits.count[0]):
        # Rounded visit by visit: which visits share a notebook must not show.
        # Mostly the visit begins where the last one ended.
        if n == 0 or visits.numbers[at(n * N_NUMBER + R_FIRST)] != r_last:
            root = math.sqrt(visits.numbers[at(n * N_NUMBER + R_FIRST)])
            energy = energy_of(root, tables.energy, tables.inverse_energy_step)
        loss, root, energy = score_visit(visits.numbers, visits.places, n, scene, tables, tally, root, energy)
        r_last = visits.numbers[at(n * N_NUMBER + R_LAST)]
        total += fixed(loss, BOOK_SCALE)
    add_to(tally.book, BOOK_DEPOSIT, total)
    add_to(tally.book, BOOK_VISITS, visits.count[0])
    visits.count[0] = 0
