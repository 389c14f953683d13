"""Does the GPU compute what the CPU computes? The same histories on both, compared one by one and in their sums.

Random numbers belong to histories, so that a history takes the same way on every back end but for rounding. The protons
stop in water that is 50 times thinner than water: a 0.25 mm bin of the depth tally then is 0.005 mm of water, and the
last bin that a proton reaches says where it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import DeviceError
from protonqa.montecarlo.cpu import CpuBackend
from protonqa.montecarlo.cuda import CudaBackend
from protonqa.montecarlo.layout import lay_out
from protonqa.montecarlo.leg_tables import standard_tables
from protonqa.montecarlo.medium import N_SCHNEIDER, Medium
from protonqa.montecarlo.plan import TransportPlan
from protonqa.montecarlo.source import pencil_beam
from protonqa.montecarlo.tallies import ENERGY_SCALE, FINE_BIN_MM, MEDIUM_SLOT, NUCLIDE_SCALE, Tally
from protonqa.physics.materials import material_index
from protonqa.values import Grid

HISTORIES = 256
#: Histories must end this near to where they end on the CPU (mm of water), at least this share of them.
SAME_MM = 0.01
SAME_SHARE = 0.99
#: Sums may differ by so many of their standard deviations.
SIGMAS = 4.0
#: Of the energy in the voxels and that in the depth bins, which are rounded apart.
_ROUNDING = 1e-4
_ENERGY_MEV = 60.0
_SEED = 20261123
#: A bin of the depth tally, in water: ends in the same bin or in neighbours lie within 0.01 mm.
_BIN_MM = 0.5 * SAME_MM
_DENSITY = _BIN_MM / FINE_BIN_MM
_EDGE_MM = 25.0
#: Histories that have depth sums of their own at the same time.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """Histories on one back end.

    ends_mm : (n,) float64
        Depth where the primary proton ended (mm of water).
    energy_mev, nuclei : (n,) float64
        Energy left in the box and positron emitters made, of each history.
    voxel_mev : float
        Energy in the voxels, of all histories.
    """

    ends_mm: NDArray[np.float64]
    energy_mev: NDArray[np.float64]
    nuclei: NDArray[np.float64]
    voxel_mev: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two back ends agree.

    same_share : float
        Share of the histories that end within 0.01 mm of each other.
    energy_sigmas, nuclei_sigmas : float
        Difference of the sums in standard deviations of the sum.
    voxel_share : float
        Relative difference between the energy in voxels and in depth bins on the second back end.
    """

    histories: int
    same_share: float
    energy_sigmas: float
    nuclei_sigmas: float
    voxel_share: float

    @property
    def passed(self) -> bool:
        """True within every limit; a value that is no number is not."""
        return (
            self.same_share >= SAME_SHARE
            and self.energy_sigmas <= SIGMAS
            and self.nuclei_sigmas <= SIGMAS
            and self.voxel_share <= _ROUNDING
        )

    def line(self) -> str:
        """One line for people."""
        return (
            f"{100.0 * self.same_share:.1f} % of {self.histories} histories end within {SAME_MM:g} mm of the CPU's, "
            f"energy {self.energy_sigmas:.1g} and emitters {self.nuclei_sigmas:.1g} standard deviations apart"
        )


@cache
def obstacle() -> str:
    """Why the Monte Carlo cannot run on the GPU of this computer; empty where it can. Tested once per process."""
    try:
        self_test()
    except DeviceError as error:
        return error.line()
    return ""


def self_test(histories: int = HISTORIES) -> Agreement:
    """Run the same histories on CPU and GPU.

    Raises
    ------
    DeviceError
        There is no usable GPU, or it does not compute what the CPU does.
    """
    plan = thin_water(_ENERGY_MEV)
    on_gpu, alone = _run_cuda(plan, histories)
    found = compare(_run_cpu(plan, histories), on_gpu)
    if not found.passed:
        raise DeviceError(
            "the Monte Carlo fails its self-test on the GPU",
            got=found.line(),
            expected=f"{100.0 * SAME_SHARE:g} % and less than {SIGMAS:g} standard deviations",
            remedy="use --device cpu",
        )
    together = CudaBackend(plan)
    together.advance(0, histories, lambda _: True)
    if not same_bits(alone, together.collect()):
        raise DeviceError(
            "sums on the GPU depend on the size of its blocks",
            got="other bits with other blocks",
            remedy="use --device cpu",
        )
    return found


def thin_water(energy_mev: float) -> TransportPlan:
    """A beam into the middle of a box of thin water, 1.65 m deep: 33 mm of water."""
    shape = (66, 16, 16)
    grid = Grid(shape=shape, spacing_mm=(_EDGE_MM, _EDGE_MM, _EDGE_MM), origin_mm=(0.0, 0.0, 0.0))
    water = np.full(shape, N_SCHNEIDER + material_index("water"), dtype=np.uint8)
    empty = np.zeros(shape, dtype=np.float32)
    medium = Medium(grid=grid, material=water, density=empty + np.float32(_DENSITY), hu=empty, rsp=empty)
    # Off the planes between voxels, along which a proton could go either way.
    middle = np.array([7.3 * _EDGE_MM, 7.2 * _EDGE_MM, -0.5 * _EDGE_MM])
    source = pencil_beam(
        grid,
        position_mm=middle,
        direction=np.array([0.0, 0.0, 1.0]),
        energy_mev=energy_mev,
        spot_sigma_mm=3.0,
        energy_spread_percent=0.5,
    )
    return lay_out(medium, source, standard_tables("recommended"), grid, _SEED, 0.0, round(shape[0] * _EDGE_MM))


def compare(first: Run, second: Run) -> Agreement:
    """How far the second run agrees with the first."""
    together = np.abs(first.ends_mm - second.ends_mm) <= 1.5 * _BIN_MM
    depth_mev = float(second.energy_mev.sum())
    return Agreement(
        histories=first.ends_mm.size,
        same_share=float(together.mean()),
        energy_sigmas=_sigmas(first.energy_mev, second.energy_mev),
        nuclei_sigmas=_sigmas(first.nuclei, second.nuclei),
        voxel_share=abs(second.voxel_mev / depth_mev - 1.0) if depth_mev > 0.0 else float("inf"),
    )


def same_bits(first: Tally, second: Tally) -> bool:
    """True when two runs of the same histories counted the same, tile by tile."""
    for name in ("fine", "coarse", "book", "rank"):
        if not np.array_equal(getattr(first, name), getattr(second, name)):
            return False
    return bool(np.array_equal(first.voxels, second.voxels))


def _sigmas(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    sd = max(float(first.std()) * np.sqrt(first.size), 1e-9 * abs(float(first.sum())))
    return float(abs(second.sum() - first.sum()) / sd)


def _run_cpu(plan: TransportPlan, histories: int) -> Run:
    tally = plan.empty_tally()
    backend = CpuBackend(plan, 1, into=tally)
    rows = []
    for history in range(histories):
        backend.advance(history, 1, lambda _: True)
        rows.append(_row(tally.fine, tally.coarse))
        tally.fine[...] = 0
        tally.coarse[...] = 0
    return _run_of(rows, tally, plan)


def _run_cuda(plan: TransportPlan, histories: int) -> tuple[Run, Tally]:
    """One history a block, each with depth sums of its own."""
    backend = CudaBackend(plan, threads=1, copies=min(_AT_ONCE, histories))
    rows, tally = [], plan.empty_tally()
    for first in range(0, histories, _AT_ONCE):
        count = min(_AT_ONCE, histories - first)
        backend.advance(first, count, lambda _: True)
        fine, coarse = backend.depth_sums()
        rows += [_row(fine[i], coarse[i]) for i in range(count)]
        tally = backend.collect()
    return _run_of(rows, tally, plan), tally


def _row(fine: NDArray[np.int64], coarse: NDArray[np.int64]) -> tuple[float, float, float]:
    """End of the primary, energy and emitters of one history."""
    energy = fine.reshape(2, -1, 2)[:, :, 0]
    last = np.flatnonzero(energy[0])
    end_mm = float(last[-1] + 1 if last.size else 0) * _BIN_MM
    return end_mm, float(energy.sum()) / ENERGY_SCALE, float(coarse.sum()) / NUCLIDE_SCALE


def _run_of(rows: list[tuple[float, float, float]], tally: Tally, plan: TransportPlan) -> Run:
    ends, energy, nuclei = np.array(rows).T
    voxel_mev = float(tally.voxels[MEDIUM_SLOT :: plan.scene.n_slot].sum()) / ENERGY_SCALE
    return Run(ends_mm=ends, energy_mev=energy, nuclei=nuclei, voxel_mev=voxel_mev)
