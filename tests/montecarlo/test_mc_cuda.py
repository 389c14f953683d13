"""The CUDA back end: on the simulator, through the compiler where there is one, and on a GPU where there is one."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protonqa.device import cuda_driver
from protonqa.errors import DeviceError, InputError
from protonqa.montecarlo import agreement, cuda
from protonqa.montecarlo.simulation import simulate

HERE = Path(__file__).parent
with_numba_cuda = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
)
with_gpu = pytest.mark.skipif(bool(cuda_driver().reason), reason=f"no CUDA device: {cuda_driver().reason}")


def child(script: str, *arguments: str, **environment: str) -> dict:
    """JSON that a script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", HERE / script, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def simulated():
    return child("cuda_simulated.py", NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1")


@with_numba_cuda
@pytest.mark.parametrize("case", ["bone", "shifted"])
def test_the_gpu_counts_the_same_integers_as_the_cpu(simulated, case):
    """For several sizes of blocks, launches and collections; only the energy left is rounded at other points."""
    found = simulated[case]
    assert simulated["simulated"]
    assert found["differences"] == {name: [] for name in found["differences"]}
    assert found["least_booked"] > 0, "the case has no escape, no neutrals, no binding or no event"
    assert found["deposit_units"] < 100  # of 2.4e-7 MeV


@with_numba_cuda
def test_a_whole_simulation_gives_the_same_result(simulated):
    assert simulated["simulate"] == []
    assert simulated["device"] == "cuda"


@with_numba_cuda
def test_a_launch_can_be_the_last(simulated):
    """A caller that has heard enough stops the run between two launches."""
    assert len(simulated["ticks"]) == 2
    assert sum(simulated["ticks"]) == 12


@with_numba_cuda
@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("no room", "INPUT", "does not fit into the memory of the GPU"),
        ("out of memory", "DEVICE", "the GPU ran out of memory while taking over"),
        ("lost", "DEVICE", "the GPU failed while transporting protons, got [CUresult.CUDA_ERROR_LAUNCH_FAILED]"),
    ],
)
def test_what_goes_wrong_on_a_gpu_is_one_clear_line(simulated, fault, code, says):
    got_code, line = simulated["faults"][fault]
    assert got_code == code
    assert says in line
    assert line.endswith("--device cpu")
    assert "\n" not in line


@with_numba_cuda
def test_the_self_test_follows_every_history(simulated):
    passed, same_share, line = simulated["agreement"]
    assert passed
    assert same_share == 1.0
    assert "100.0 % of 4 histories end within 0.01 mm" in line


@with_numba_cuda
def test_a_gpu_that_failed_its_self_test_computes_nothing(simulated):
    assert simulated["untested"] == ["DEVICE", "the Monte Carlo cannot use the GPU, got it counts wrong"]


@pytest.mark.skipif(cuda_driver().reason == "", reason="there is a CUDA device")
def test_without_a_gpu_cuda_is_refused_in_one_line(make_medium, make_beam):
    medium = make_medium(size_mm=(8, 8, 8), spacing_mm=(4.0, 4.0, 4.0))
    with pytest.raises(DeviceError, match="cannot use the GPU, got ") as caught:
        simulate(medium=medium, source=make_beam(medium, 20.0), protons=10, device="cuda")
    assert "\n" not in caught.value.line()


def test_without_numba_cuda_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(cuda, "find_spec", lambda _: None)
    with pytest.raises(DeviceError, match=r"pip install 'protonqa\[cuda\]'"):
        cuda.load_kernels()


def test_only_what_the_driver_raises_is_a_device_error():
    with pytest.raises(ZeroDivisionError), cuda.driver_errors("counting"):
        raise ZeroDivisionError
    with pytest.raises(InputError), cuda.driver_errors("counting"):
        raise InputError("as it was")


@pytest.fixture(scope="module")
def on_cpu():
    return agreement._run_cpu(agreement.thin_water(60.0), 128)


def test_ends_in_thin_water_are_ranges(on_cpu):
    """Protons of 60 MeV stop in 31 mm of water; 0.5 % energy spread and straggling are 0.45 mm, events end earlier."""
    assert np.median(on_cpu.ends_mm) == pytest.approx(30.9, abs=0.2)
    assert 57.0 < on_cpu.energy_mev.mean() < 60.0  # neutrals and binding take the rest


def test_a_run_agrees_with_itself(on_cpu):
    same = agreement.compare(on_cpu, on_cpu)
    assert same.passed
    assert (same.same_share, same.energy_sigmas) == (1.0, 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda run: {"ends_mm": run.ends_mm + 0.02},
        lambda run: {"ends_mm": np.where(np.arange(128) % 50 == 0, 12.0, run.ends_mm)},
        lambda run: {"energy_mev": run.energy_mev + run.energy_mev.std()},
        lambda run: {"nuclei": run.nuclei * 1.5},
        lambda run: {"nuclei": run.nuclei * np.nan},
        lambda run: {"voxel_mev": 0.999 * run.voxel_mev},
        lambda run: {"energy_mev": 0.0 * run.energy_mev},
    ],
    ids=["farther", "few elsewhere", "more energy", "more emitters", "no number", "lost sums", "nothing"],
)
def test_a_device_that_counts_otherwise_fails(on_cpu, wrong):
    assert not agreement.compare(on_cpu, replace(on_cpu, **wrong(on_cpu))).passed


def test_bits_are_compared_tile_by_tile():
    plan = agreement.thin_water(60.0)
    one, other = plan.empty_tally(), plan.empty_tally()
    assert agreement.same_bits(one, other)
    other.voxels[17] = 1
    assert not agreement.same_bits(one, other)


def _compiler() -> str:
    """Why the kernels cannot be compiled here; empty where they can."""
    for name in ("nvidia-cuda-nvcc-cu12", "nvidia-nvvm"):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return ""
    return "no CUDA compiler is installed"


@with_numba_cuda
@pytest.mark.skipif(bool(_compiler()), reason=_compiler())
def test_every_kernel_compiles_for_a_gpu_that_is_not_here():
    found = child("cuda_ptx.py", "90")
    assert all(one["target"] for one in found.values())
    assert found["transport"]["atomic"] > 20
    assert found["transport_shifted"]["atomic"] > 20


@with_gpu
@with_numba_cuda
def test_a_real_gpu_passes_its_self_test():
    found = agreement.self_test(1024)
    assert found.same_share >= agreement.SAME_SHARE


@with_gpu
@with_numba_cuda
def test_a_real_gpu_gives_the_result_of_the_cpu(make_medium, make_beam):
    medium = make_medium(size_mm=(60, 60, 180), spacing_mm=(2.0, 2.0, 2.0))
    cpu, gpu = (
        simulate(medium=medium, source=make_beam(medium, 150.0, sigma_mm=3.0), protons=20_000, seed=4, device=device)
        for device in ("cpu", "cuda")
    )
    assert gpu.range_mm() == pytest.approx(cpu.range_mm(), abs=0.02)
    assert gpu.energy_balance == pytest.approx(cpu.energy_balance, abs=2e-3)
    np.testing.assert_allclose(gpu.nuclides_per_mm.sum(axis=1), cpu.nuclides_per_mm.sum(axis=1), rtol=0.02)


@with_gpu
@with_numba_cuda
def test_a_real_gpu_gives_the_same_bits_for_any_blocks_and_launches():
    plan = agreement.thin_water(60.0)
    tallies = []
    for threads, launch in ((32, 1 << 16), (128, 1 << 16), (128, 1 << 12)):
        backend = cuda.CudaBackend(plan, threads=threads)
        backend._launch_size = launch
        backend.advance(0, 100_000, lambda _: True)
        tallies.append(backend.collect())
    assert agreement.same_bits(tallies[0], tallies[1])
    assert agreement.same_bits(tallies[0], tallies[2])
