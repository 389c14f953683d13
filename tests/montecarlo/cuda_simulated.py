"""What ``test_mc_cuda`` runs in a process of its own: the CUDA back end on numba-cuda's simulator, in plain Python.

Prints one JSON object. Both back ends then are the same Python: their integers must be equal to the last bit, for any
size of blocks, launches and collections.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
from numba import cuda as numba_cuda

from protonqa.errors import ProtonQAError
from protonqa.montecarlo import agreement, cuda, layout, simulation
from protonqa.montecarlo.cpu import CpuBackend
from protonqa.montecarlo.source import pencil_beam
from protonqa.montecarlo.tallies import (
    BOOK_BINDING,
    BOOK_DEPOSIT,
    BOOK_ESCAPED,
    BOOK_EVENTS,
    BOOK_NEUTRAL,
    N_BOOK,
    TILE_SIZE,
)
from protonqa.values import RangeShifter

_spec = importlib.util.spec_from_file_location("mc_conftest", Path(__file__).with_name("conftest.py"))
_cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cases)

PROTONS = 24


def dense(plan, tally):
    """Sums of every tile in its place, and all others."""
    n = TILE_SIZE * plan.scene.n_slot
    voxels = np.zeros((plan.tiles.number, n), dtype=np.int64)
    entered = np.flatnonzero(tally.rank >= 0)
    voxels[entered] = tally.voxels.reshape(-1, n)[tally.rank[entered]]
    return {"voxels": voxels, "fine": tally.fine, "coarse": tally.coarse, "book": tally.book}


def differences(one, other):
    """Names of sums that differ."""
    return [name for name in one if not np.array_equal(one[name], other[name])]


def bone_plan(*, shifter=False):
    """200 MeV into 6 cm of bone: every kind of nuclear event, and protons that leave."""
    medium = _cases.box_medium("bone", size_mm=(24, 24, 60), spacing_mm=(4.0, 4.0, 4.0))
    source = _cases.beam(medium, 200.0, sigma_mm=4.0)
    if shifter:
        source = pencil_beam(
            medium.grid,
            position_mm=np.array([0.0, 0.0, -40.0]),
            direction=np.array([0.0, 0.0, 1.0]),
            energy_mev=200.0,
            spot_sigma_mm=4.0,
            energy_spread_percent=0.5,
            range_shifter=RangeShifter(name="", wet_mm=20.0, distance_mm=30.0),
        )
    first, bins = simulation._depth_extent(medium.grid, source)
    tables = simulation.standard_tables("recommended")
    return layout.lay_out(medium, source, tables, medium.grid, 5, first, bins, beam_quality=not shifter)


def on_cpu(plan, first=0, count=PROTONS):
    backend = CpuBackend(plan, 1)
    backend.advance(first, count, lambda _: True)
    return dense(plan, backend.collect())


def on_gpu(plan, *, parts=(PROTONS,), launch=cuda.FIRST_LAUNCH, **options):
    backend, first, ticks = cuda.CudaBackend(plan, **options), 0, []
    backend._launch_size = launch
    for part in parts:
        backend.advance(first, part, lambda n: ticks.append(n) or True)
        tally = backend.collect()
        first += part
    assert sum(ticks) == first
    return dense(plan, tally)


def refused(action):
    try:
        action()
    except ProtonQAError as error:
        return [error.code, error.line()]
    return None


class DriverError(Exception):
    """What a driver raises, by the name of its module."""

    __module__ = "numba.cuda.cudadrv.driver"


class Fails:
    """Stands in for a function of the driver."""

    def __init__(self, text):
        self._text = text

    def __call__(self, *args, **kwargs):
        raise DriverError(self._text)


def same_integers(plan):
    """Differences between CPU and GPU for several sizes of blocks, launches and collections."""
    cpu = on_cpu(plan)
    # The CPU rounds the energy left by many visits at once, the GPU that of each.
    books = cpu["book"].reshape(-1, N_BOOK)
    found, deposits = {}, []
    cases = {
        "block 1": {"threads": 1},
        "block 5": {"threads": 5, "copies": 3},
        "block 32": {"threads": 32, "copies": 1},
        "launches of 7": {"threads": 4, "launch": 7},
        "three collections": {"threads": 6, "parts": (1, 10, PROTONS - 11)},
    }
    for name, options in cases.items():
        gpu = on_gpu(plan, **options)
        mine = gpu["book"].reshape(-1, N_BOOK)
        deposits.append(float(np.abs(mine[:, BOOK_DEPOSIT] - books[:, BOOK_DEPOSIT]).max()))
        mine[:, BOOK_DEPOSIT] = books[:, BOOK_DEPOSIT]
        found[name] = differences(cpu, gpu)
    return {
        "differences": found,
        "deposit_units": max(deposits),
        "least_booked": int(books[0, [BOOK_ESCAPED, BOOK_NEUTRAL, BOOK_BINDING, BOOK_EVENTS]].min()),
    }


def faults(plan):
    """One line each for what goes wrong on a GPU."""
    out, context = {}, numba_cuda.current_context
    backend = cuda.CudaBackend(plan, threads=4)

    class Full:
        def get_memory_info(self):
            return type("Memory", (), {"free": 2**20, "total": 2**30})()

    numba_cuda.current_context = lambda *_: Full()
    out["no room"] = refused(lambda: cuda.CudaBackend(plan))
    numba_cuda.current_context = context
    copy, wait = numba_cuda.to_device, numba_cuda.synchronize
    numba_cuda.to_device = Fails("[CUresult.CUDA_ERROR_OUT_OF_MEMORY] Call to cuMemAlloc failed")
    out["out of memory"] = refused(lambda: cuda.CudaBackend(plan))
    numba_cuda.to_device = copy
    numba_cuda.synchronize = Fails("[CUresult.CUDA_ERROR_LAUNCH_FAILED]\nunspecified launch failure")
    out["lost"] = refused(lambda: backend.advance(0, 2, lambda _: True))
    numba_cuda.synchronize = wait
    return out


def main():
    bone = bone_plan()
    result = {
        "simulated": cuda.load_kernels().SIMULATED,
        "bone": same_integers(bone),
        "shifted": same_integers(bone_plan(shifter=True)),
        "faults": faults(bone),
    }
    ticks = []
    backend = cuda.CudaBackend(bone, threads=4)
    backend._launch_size = 4
    backend.advance(0, 12, lambda n: ticks.append(n) or len(ticks) < 2)
    result["ticks"] = ticks
    agreed = agreement.self_test(4)
    result["agreement"] = [agreed.passed, agreed.same_share, agreed.line()]
    medium = _cases.box_medium(size_mm=(24, 24, 24), spacing_mm=(4.0, 4.0, 4.0))
    agreement.obstacle = lambda: "it counts wrong"
    beam = _cases.beam(medium, 40.0)
    result["untested"] = refused(
        lambda: simulation.simulate(medium=medium, source=beam, protons=1, seed=2, device="cuda")
    )
    agreement.obstacle = lambda: ""
    runs = [
        simulation.simulate(
            medium=medium,
            source=_cases.beam(medium, 40.0),
            protons=20,
            seed=2,
            device=device,
            threads=1,
            uncertainty=True,
        )
        for device in ("cpu", "cuda")
    ]
    names = ("dose_water_gy", "dose_medium_gy", "nuclei", "dose_error", "fine_idd_mev_per_mm", "channels_per_mm")
    result["simulate"] = [name for name in names if not np.array_equal(*(getattr(run, name) for run in runs))]
    result["device"] = runs[1].device
    json.dump(result, sys.stdout)


main()
