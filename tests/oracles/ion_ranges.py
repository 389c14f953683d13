"""Depth doses of single deuterons and alpha particles in water, by the engine's own walk as plain Python.

To be run with NUMBA_DISABLE_JIT=1: the source is told to start another particle than a proton, which compiled kernels
would not notice.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from protonqa.montecarlo import events, histories, leg_tables, simulation
from protonqa.montecarlo.medium import medium_from_hu
from protonqa.montecarlo.source import pencil_beam
from protonqa.physics.materials import material_index
from protonqa.values import Grid, Volume

NUCLEONS = {"deuteron": 2, "alpha": 4}
KINDS = {"deuteron": events.DEUTERON, "alpha": events.ALPHA}


def tables_without_chance() -> leg_tables.Tables:
    """No straggling, scattering or nuclear event: the mean energy loss alone."""
    tables = leg_tables.standard_tables("recommended", False)
    leg = tables.leg.reshape(-1, leg_tables.N_LEG).copy()
    leg[:, leg_tables.SCATTER], leg[:, leg_tables.JUMP] = 0.0, 0.0
    leg[:, leg_tables.SHAPE], leg[:, leg_tables.DRIFT] = 1.0, 1.0
    return tables._replace(leg=leg.ravel())


def depth_dose(kind: str, energy_mev: float, depth_mm: float) -> list[float]:
    """Energy per 0.25 mm bin (MeV) of a particle of this energy along z."""
    started = histories.start_of

    def start(*arguments: object) -> None:
        started(*arguments)
        stack = arguments[-1]
        stack[0, events.KIND], stack[0, events.ENERGY] = KINDS[kind], energy_mev  # type: ignore[index]

    grid = Grid(shape=(int(depth_mm), 1, 1), spacing_mm=(8.0, 8.0, 1.0), origin_mm=(0.0, 0.0, 0.5))
    empty = Volume(grid=grid, array=np.zeros(grid.shape, dtype=np.float32), unit="HU")
    water = medium_from_hu(empty, reference_index=np.full(grid.shape, material_index("water")))
    source = pencil_beam(
        grid,
        position_mm=np.zeros(3),
        direction=np.array([0.0, 0.0, 1.0]),
        energy_mev=10.0,
        spot_sigma_mm=0.0,
        energy_spread_percent=0.0,
    )
    histories.start_of, simulation.standard_tables = start, lambda *_: tables_without_chance()
    result = simulation.simulate(medium=water, source=source, protons=1, threads=1)
    histories.start_of = started
    return (result.fine_idd_mev_per_mm * 0.25).tolist()


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps([depth_dose(*one) for one in wanted]))
