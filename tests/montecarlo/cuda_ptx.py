"""What ``test_mc_cuda`` runs in a process of its own: compiles the kernels for a GPU that is not there.

``python cuda_ptx.py 90 [folder]`` prints what it compiled as one JSON object, and writes the PTX where a folder is
named. Only the question "which GPU is this?" is answered in the driver's stead.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numba.cuda.dispatcher as dispatcher
import numpy as np
from numba import cuda, typeof, types

from protonqa.montecarlo import cuda_kernels as kernels
from protonqa.montecarlo.layout import lay_out
from protonqa.montecarlo.leg_tables import standard_tables
from protonqa.montecarlo.medium import medium_from_hu
from protonqa.montecarlo.source import pencil_beam
from protonqa.values import Grid, RangeShifter, Volume


def plan_of(*, shifter):
    """Any plan: kernels depend on types, not on sizes."""
    grid = Grid(shape=(4, 4, 4), spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0))
    water = medium_from_hu(Volume(grid=grid, array=np.zeros(grid.shape, dtype=np.float32), unit="HU"))
    source = pencil_beam(
        grid,
        position_mm=np.array([1.5, 1.5, -0.5]),
        direction=np.array([0.0, 0.0, 1.0]),
        energy_mev=100.0,
        spot_sigma_mm=1.0,
        energy_spread_percent=0.0,
        range_shifter=RangeShifter(name="", wet_mm=0.5, distance_mm=1.0) if shifter else None,
    )
    return lay_out(water, source, standard_tables("recommended"), grid, 1, 0.0, 4)


def on_device(kind):
    """A type as it is once its arrays lie on the GPU, where none is read-only."""
    if isinstance(kind, types.Array):
        return types.Array(kind.dtype, kind.ndim, "C")
    if isinstance(kind, types.NamedTuple):
        return types.NamedTuple([on_device(part) for part in kind.types], kind.instance_class)
    return kind


def signature_of(plan):
    """Arguments of a transport kernel."""
    tally = plan.empty_tally()
    tally = tally._replace(**{name: getattr(tally, name)[None] for name in ("fine", "coarse", "book")})
    parts = [plan.spots, plan.scene, plan.tables, tally]
    if plan.slab is not None:
        parts.insert(1, plan.slab)
    return (types.int64,) * 4 + tuple(on_device(typeof(part)) for part in parts)


def main():
    capability = tuple(int(digit) for digit in sys.argv[1])
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    sums, flags = types.int64[::1], types.uint8[::1]
    jobs = {
        "transport": signature_of(plan_of(shifter=False)),
        "transport_shifted": signature_of(plan_of(shifter=True)),
        "find_entered": (sums, types.int64, flags),
        "take_tiles": (sums, types.int64, sums, sums),
    }
    found = {}
    for name, signature in jobs.items():
        ptx, _ = cuda.compile(
            getattr(kernels, name).py_func,
            signature,
            cc=capability,
            device=False,
            abi="numba",
            launch_bounds=(kernels.THREADS, kernels.BLOCKS),
        )
        found[name] = {
            "target": f"sm_{sys.argv[1]}" in ptx,
            "atomic": ptx.count("atom.global.add.u64") + ptx.count("red.global.add.u64"),
        }
        if folder is not None:
            (folder / f"{name}_{sys.argv[1]}.ptx").write_text(ptx)
    json.dump(found, sys.stdout)


main()
