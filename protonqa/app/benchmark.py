"""`benchmark`: the speed of Monte Carlo, range model, activity chain, verify and batch on this computer."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from protonqa.app.progress import Progress, report_progress, stages
from protonqa.device import CPU, Device
from protonqa.errors import ModelFileError
from protonqa.values import ProfileSet, Timeline

Part = Literal["montecarlo", "model", "activity", "verify", "batch"]
PARTS: tuple[Part, ...] = ("montecarlo", "model", "activity", "verify", "batch")
#: Expected share of each part in the whole, for the bar.
_WEIGHTS = {"montecarlo": 4.0, "model": 1.0, "activity": 1.0, "verify": 8.0, "batch": 1.0}
ENERGY_MEV = 150.0
_SIZE_MM = (100.0, 100.0, 200.0)
_N_DEPTH, _MODEL_BINS = 448, 384
_LEAST_PRODUCTION = 1e-20
_LEAST_S = 1.0


class BenchmarkParams(BaseModel):
    """What is timed, and how much of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parts: tuple[Part, ...] = Field(PARTS, description="What to time.")
    protons: int = Field(50_000, ge=100, le=2_000_000_000, description="Protons of the Monte Carlo part.")
    profiles: int = Field(1000, ge=1, le=1_000_000, description="Profiles of the model and the activity part.")
    verify_protons: int = Field(300_000, ge=1000, le=2_000_000_000, description="Protons of the verify job.")
    batch_cases: int = Field(200, ge=2, le=100_000, description="Cases of the batch part.")
    threads: int | None = Field(None, ge=1, le=1024, description="Monte Carlo threads [default: one a core].")


def benchmark(
    params: BenchmarkParams, *, seed: int = 0, device: Device = CPU, progress: Progress | None = None
) -> dict[str, Any]:
    """Time the parts one after the other; no timing holds compilation or reading of weights.

    Returns
    -------
    dict
        ``montecarlo``, ``model``, ``activity``, ``verify`` and ``batch``, each with its numbers, and ``device``. A part
        that cannot run has null and a ``reason``; a part that was not asked for is left out.
    """
    timed: dict[str, Callable[[Progress], dict[str, Any]]] = {
        "montecarlo": lambda part: _montecarlo(params, seed, device, part),
        "model": lambda part: _model(params, seed, device, part),
        "activity": lambda part: _activity(params, seed, device, part),
        "verify": lambda part: _verify(params, seed, device, part),
        "batch": lambda part: _batch(params, part),
    }
    chosen = [name for name in PARTS if name in params.parts]
    answer: dict[str, Any] = {}
    for name, part in zip(chosen, stages(progress, [_WEIGHTS[name] for name in chosen]), strict=True):
        report_progress(part, None, 0, 1, name)
        answer[name] = timed[name](part)
    return {**answer, "device": device.kind, "device_label": device.label, "device_note": device.note}


def benchmark_text(answer: dict[str, Any]) -> str:
    """Some lines for a terminal."""
    lines = [f"{answer['device_label']} ({answer['device']})"]
    if found := answer.get("montecarlo"):
        lines.append(
            f"Monte Carlo  {found['protons_per_second']:.0f} protons per second ({_where(found)},"
            f" {found['energy_mev']:g} MeV, water, {found['voxel_mm']:g} mm voxels)"
        )
    if found := answer.get("model"):
        rate = found["profiles_per_second"]
        lines.append(
            f"range model  {found['reason']}" if rate is None else f"range model  {rate:.0f} profiles per second"
        )
    if found := answer.get("activity"):
        lines.append(
            f"activity     {found['profiles_per_second']:.0f} profiles per second,"
            f" {found['profiles_per_second_poisson']:.0f} with counting noise"
        )
    if found := answer.get("verify"):
        lines.append(f"verify       {found['seconds']:.1f} s")
    if found := answer.get("batch"):
        lines.append(
            f"batch        {found['overhead_ms_per_case']:.1f} ms a case beyond its analysis, first case after"
            f" {found['start_seconds']:.1f} s"
        )
    return "\n".join(lines)


def _where(found: dict[str, Any]) -> str:
    if found["device"] == "cuda":
        return "GPU"
    return f"CPU, {found['threads']} {'thread' if found['threads'] == 1 else 'threads'}"


def _montecarlo(params: BenchmarkParams, seed: int, device: Device, progress: Progress) -> dict[str, Any]:
    from protonqa.analyses.montecarlo.beams import PencilBeam, into_face
    from protonqa.analyses.montecarlo.expected import block
    from protonqa.analyses.montecarlo.where import transport_device
    from protonqa.device import usable_cores
    from protonqa.montecarlo.simulation import compile_kernels, simulate

    medium = block("water", size_mm=_SIZE_MM, spacing_mm=(1.0, 1.0, 1.0))
    used = transport_device(device)
    compile_kernels(used.kind)
    threads = params.threads or usable_cores()
    result = simulate(
        medium=medium,
        source=into_face(medium.grid, PencilBeam(energy_mev=ENERGY_MEV)).source,
        protons=params.protons,
        seed=seed,
        threads=threads,
        device=used.kind,
        progress=lambda done, total: progress(done, total, "montecarlo"),
    )
    return {
        "protons_per_second": result.protons / result.seconds,
        "protons": result.protons,
        "seconds": result.seconds,
        "threads": threads,
        "energy_mev": ENERGY_MEV,
        "voxel_mm": 1.0,
        "device": used.kind,
        "device_note": used.note,
    }


def _model(params: BenchmarkParams, seed: int, device: Device, progress: Progress) -> dict[str, Any]:
    from protonqa.range_model.model_file import shipped_model
    from protonqa.range_model.predict import predict_ranges

    try:
        model = shipped_model()
    except ModelFileError as error:
        return {"profiles_per_second": None, "reason": error.line()}
    profiles = _profile_set(params.profiles, seed, bins=_MODEL_BINS)
    preview = replace(model, members=model.members[:1])
    predict_ranges(model, _profile_set(2, seed), device)  # first use loads libraries
    rate, seconds, count = _rate(lambda: predict_ranges(model, profiles, device), params.profiles, progress)
    one, _, _ = _rate(lambda: predict_ranges(preview, profiles, device), params.profiles, progress)
    return {
        "profiles_per_second": rate,
        "profiles_per_second_one_member": one,
        "profiles": count,
        "seconds": seconds,
        "bins": _MODEL_BINS,
        "members": len(model.members),
        "model": model.card.name,
    }


def _activity(params: BenchmarkParams, seed: int, device: Device, progress: Progress) -> dict[str, Any]:
    """Single precision, as in training and studies: one washout for all rows, with noise, and drawn for each row."""
    from protonqa.activity.arrays import profile_activity
    from protonqa.activity.scenario import activity_scenario
    from protonqa.activity.washout import draw_washout

    production = np.zeros((7, params.profiles, _N_DEPTH), dtype=np.float32)
    production[:] = _curves(params.profiles, seed)[0]
    # Numbers too small for single precision would slow every sum.
    production[production < _LEAST_PRODUCTION] = 0.0
    depth_mm = np.arange(_N_DEPTH) + 0.5
    hu = np.full(_N_DEPTH, 40.0)
    timeline = Timeline(irradiation_s=90.0, delay_s=150.0, acquisition_s=1200.0)
    drawn = draw_washout("parodi-hu", np.random.default_rng(seed), n=params.profiles)

    def run(counts: float | None, washout: Any = "parodi-hu") -> Callable[[], object]:
        scenario = activity_scenario(
            timeline, washout=washout, psf_fwhm_mm=5.0, positron_range=True, edge="open", counts=counts, seed=seed
        )
        return lambda: profile_activity(production, depth_mm, scenario, hu=hu, device=device.kind, single=True)

    run(1e4)()
    rate, seconds, count = _rate(run(None), params.profiles, progress)
    noisy, _, _ = _rate(run(1e4), params.profiles, progress)
    each, _, _ = _rate(run(None, drawn), params.profiles, progress)
    return {
        "profiles_per_second": rate,
        "profiles_per_second_poisson": noisy,
        "profiles_per_second_drawn_washout": each,
        "profiles": count,
        "seconds": seconds,
        "bins": _N_DEPTH,
    }


def _verify(params: BenchmarkParams, seed: int, device: Device, progress: Progress) -> dict[str, Any]:
    """The job on the built-in case, from its DICOM files to the report; making the case is not counted."""
    from protonqa.app.demo import make_demo_case
    from protonqa.app.verify import VerifyCommand, verify

    making, checking = stages(progress, (2, 1))
    with tempfile.TemporaryDirectory(prefix="protonqa-benchmark-") as folder:
        case, _ = make_demo_case(Path(folder) / "case", seed=seed, protons=params.verify_protons, progress=making)
        command = VerifyCommand(
            ct=case.ct,
            pet=case.pet,
            plan=case.plan,
            dose=case.dose,
            out=Path(folder) / "result",
            psf_mm=5.0,
            protons=params.verify_protons,
        )
        began = time.perf_counter()
        result = verify(command, seed=seed + 1, device=device, progress=checking)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "state": result.state.value, "protons": params.verify_protons}


def _batch(params: BenchmarkParams, progress: Progress) -> dict[str, Any]:
    from protonqa.app.benchmark_batch import batch_overhead

    return batch_overhead(params.batch_cases, progress)


def _rate(work: Callable[[], object], size: int, progress: Progress) -> tuple[float, float, int]:
    """Items per second over at least a second of repeats, with the seconds and the items."""
    seconds, count = 0.0, 0
    while seconds < _LEAST_S:
        began = time.perf_counter()
        work()
        seconds += time.perf_counter() - began
        count += size
        progress(min(seconds, _LEAST_S), _LEAST_S, "repeats")
    return count / seconds, seconds, count


def _curves(n: int, seed: int, bins: int = _N_DEPTH) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smooth fall-offs at drawn depths, (n, bins), and those depths."""
    ends = np.random.default_rng([0xBE7C, seed]).uniform(60.0, 300.0, n)
    depth_mm = np.arange(bins) + 0.5
    return 1e-4 / (1.0 + np.exp((depth_mm - ends[:, None]) / 2.0)), ends


def _profile_set(n: int, seed: int, bins: int = _N_DEPTH) -> ProfileSet:
    curves, _ = _curves(n, seed, bins)
    return ProfileSet(
        depth_mm=np.arange(bins, dtype=np.float64) + 0.5,
        activity=curves,
        rsp=np.ones_like(curves),
        timeline=Timeline(irradiation_s=90.0, delay_s=150.0, acquisition_s=1200.0),
        psf_fwhm_mm=5.0,
    )
