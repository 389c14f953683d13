"""One entry to the Monte Carlo: medium + source -> dose and positron emitters."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from protonqa.errors import DeviceError, InputError
from protonqa.montecarlo.assemble import Run, assemble
from protonqa.montecarlo.batches import Backend, Progress, load_state, run_batches, save_state
from protonqa.montecarlo.cpu import CpuBackend, default_threads
from protonqa.montecarlo.layout import lay_out
from protonqa.montecarlo.leg_tables import Tables, build_tables, standard_tables
from protonqa.montecarlo.medium import Medium, all_materials
from protonqa.montecarlo.memory import Memory, available_bytes, memory_of
from protonqa.montecarlo.plan import TransportPlan
from protonqa.montecarlo.result import MonteCarloResult
from protonqa.montecarlo.source import Source, check_aim
from protonqa.physics.emission import CrossSections
from protonqa.values import Grid

MAX_PROTONS = 2_000_000_000
#: Batches of a run whose statistical error is asked for.
BATCHES = 20
#: Least time between two kept states (s), and most histories.
_KEEP_EVERY_S = 30.0
_KEEP_EVERY = 2_000_000
_STOP_EVERY = 50_000


def simulate(
    *,
    medium: Medium,
    source: Source,
    protons: int,
    seed: int = 0,
    cross_sections: CrossSections | None = None,
    box: Grid | None = None,
    threads: int | None = None,
    device: str = "cpu",
    nuclear: bool = True,
    uncertainty: bool = False,
    until_percent: float | None = None,
    beam_quality: bool = False,
    resume_file: Path | None = None,
    announce: Callable[[Memory], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> MonteCarloResult:
    """Transport protons through a voxel medium.

    Parameters
    ----------
    medium : Medium
    source : Source
        From ``pencil_beam`` or ``field_source`` on the medium's grid.
    protons : int
        Histories, 1 to 2e9; the most of them where `until_percent` is given.
    seed : int
        Same seed, same bits, for any number of threads.
    cross_sections : CrossSections, optional
        Production of positron emitters; ``recommended`` when absent.
    box : Grid, optional
        Crop of the medium's grid on which volumes are tallied; the whole grid when absent.
    device : str
        ``cpu`` or ``cuda``.
    nuclear : bool
        False: no proton meets a nucleus (emitters are still counted along its path).
    uncertainty : bool
        State the relative standard error of the dose in every voxel, from 20 batches.
    until_percent : float, optional
        Stop when the mean relative error in the high-dose region (above half of the highest dose) has come down to
        this.
    beam_quality : bool
        Also tally dose-averaged LET and fluence-weighted energy of the protons.
    resume_file : Path, optional
        Where the state of the run is kept; a run that finds its own state there goes on from it. Deleted at the end.
    announce : callable, optional
        Hears what memory is needed and free before any of it is taken.
    progress : callable, optional
        Gets histories done and wanted; at once where the run goes on from a kept state.

    Raises
    ------
    InputError
        Unusable number of protons, a beam that misses the grid, too little memory, a kept state of another run.
    DeviceError
        CUDA asked for and not usable.
    Cancelled
        The caller asked to stop.
    """
    _check_request(protons, seed, until_percent)
    with_error = uncertainty or until_percent is not None
    check_aim(source, medium.grid)
    tables = _tables(cross_sections, nuclear)
    grid = box or medium.grid
    depth_first, depth_bins = _depth_extent(medium.grid, source)
    plan = lay_out(medium, source, tables, grid, seed, depth_first, depth_bins, beam_quality=beam_quality)
    sets = (threads or default_threads()) if device == "cpu" else 1
    memory = memory_of(plan, sets=sets, with_error=with_error, have_bytes=available_bytes())
    if announce is not None:
        announce(memory)
    memory.check()
    state, done = plan.empty_tally(), Progress()
    if with_error:
        done = Progress(
            previous=np.zeros(plan.n_voxel, dtype=np.int64),
            squares=np.zeros(plan.n_voxel),
        )
    batch = _batch(protons, resume_file is not None, with_error, until_percent)
    identity = "" if resume_file is None else _identity(plan, protons, seed, nuclear, with_error, batch)
    if resume_file is not None and load_state(resume_file, state, done, identity) and progress is not None:
        progress(done.done, protons)
    began, last = time.perf_counter(), [time.perf_counter()]

    def keep(tally, now):  # type: ignore[no-untyped-def]
        if resume_file is not None and time.perf_counter() - last[0] > _KEEP_EVERY_S:
            save_state(resume_file, tally, now, identity)
            last[0] = time.perf_counter()

    tally = run_batches(
        _backend(device, plan, threads, state),
        plan,
        protons,
        batch=batch,
        progress=done,
        until_percent=until_percent,
        tell=progress,
        cancelled=cancelled,
        keep=keep if resume_file is not None else None,
    )
    seconds = time.perf_counter() - began
    result = assemble(
        Run(
            medium=medium,
            source=source,
            grid=grid,
            plan=plan,
            tally=tally,
            progress=done,
            depth_first_mm=depth_first,
            seconds=seconds,
            seed=seed,
            device=device,
            cross_sections="recommended" if cross_sections is None else cross_sections.name,
        )
    )
    if resume_file is not None:
        resume_file.unlink(missing_ok=True)
    return result


def compile_kernels(device: str = "cpu", *, range_shifter: bool = False) -> None:
    """Compile (or load) the kernels by a run of one history, so that a timing does not contain it."""
    from protonqa.montecarlo.medium import medium_from_hu
    from protonqa.montecarlo.source import pencil_beam
    from protonqa.values import RangeShifter, Volume

    grid = Grid(shape=(2, 1, 1), spacing_mm=(1.0, 1.0, 1.0), origin_mm=(0.0, 0.0, 0.0))
    medium = medium_from_hu(Volume(grid=grid, array=np.zeros((2, 1, 1), dtype=np.float32), unit="HU"))
    source = pencil_beam(
        grid,
        position_mm=np.array([0.0, 0.0, -0.5]),
        direction=np.array([0.0, 0.0, 1.0]),
        energy_mev=10.0,
        spot_sigma_mm=0.0,
        energy_spread_percent=0.0,
        range_shifter=RangeShifter(name="", wet_mm=0.5, distance_mm=1.0) if range_shifter else None,
    )
    simulate(medium=medium, source=source, protons=1, threads=1, device=device)


def _check_request(protons: int, seed: int, until_percent: float | None) -> None:
    if not 1 <= protons <= MAX_PROTONS:
        raise InputError("unusable number of protons", got=str(protons), expected=f"1 to {MAX_PROTONS:.0e}")
    if seed < 0:
        raise InputError("seed is negative", got=str(seed), expected="0 or more")
    if until_percent is not None and not 0.01 <= until_percent <= 50.0:
        raise InputError("unusable statistical error to stop at", got=f"{until_percent} %", expected="0.01 to 50 %")


def _tables(cross_sections: CrossSections | None, nuclear: bool) -> Tables:
    if cross_sections is None:
        return standard_tables("recommended", nuclear)
    return build_tables(all_materials(), cross_sections, nuclear=nuclear)


def _backend(device: str, plan: TransportPlan, threads: int | None, state: object) -> Backend:
    if device == "cpu":
        return CpuBackend(plan, threads, into=state)  # type: ignore[arg-type]
    if device == "cuda":
        from protonqa.montecarlo.agreement import obstacle
        from protonqa.montecarlo.cuda import CudaBackend

        if reason := obstacle():
            raise DeviceError("the Monte Carlo cannot use the GPU", got=reason)
        return CudaBackend(plan, into=state)  # type: ignore[arg-type]
    raise DeviceError("unknown device for the Monte Carlo", got=repr(device), expected="cpu or cuda")


def _batch(protons: int, keeps: bool, with_error: bool, until_percent: float | None) -> int:
    """Histories between two looks at the whole."""
    batch = -(-protons // BATCHES) if keeps or with_error else protons
    if until_percent is not None:
        batch = min(batch, _STOP_EVERY)
    return min(batch, _KEEP_EVERY) if keeps else batch


def _identity(plan: TransportPlan, protons: int, seed: int, nuclear: bool, with_error: bool, batch: int) -> str:
    """Hash of everything that decides the sums of a run."""
    from protonqa.montecarlo.compiling import source_hash

    digest = hashlib.sha256(repr((source_hash(), protons, seed, nuclear, with_error, batch)).encode())
    parts = [plan.scene, plan.spots, plan.tables]
    if plan.slab is not None:
        parts += [plan.slab.scene, (plan.slab.axes, plan.slab.corner)]
    for part in parts:
        for value in part:
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _depth_extent(grid: Grid, source: Source) -> tuple[float, int]:
    """Depth (mm, whole) of the first bin and number of 1 mm bins that cover the grid along the depth axis."""
    corners = np.array([(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * np.asarray(grid.size_mm)
    depth = (corners - source.reference) @ source.axis
    first = float(np.floor(depth.min() + 1e-9))
    return first, int(np.ceil(depth.max() - first - 1e-9))
