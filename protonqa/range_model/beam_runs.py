"""Monte Carlo of one beam of the training set: dose by batch, nuclei by reaction channel for several tables at once.

The tables of cross sections share every history: each reaction whose curve differs from the recommended one is tallied
a second time. Batches are what the noise of the truth is read from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import Cancelled
from protonqa.montecarlo.batches import Backend
from protonqa.montecarlo.cpu import CpuBackend, key_of
from protonqa.montecarlo.histories import Spots
from protonqa.montecarlo.leg_tables import N_ROW, Tables, standard_tables
from protonqa.montecarlo.medium import Medium
from protonqa.montecarlo.plan import TransportPlan
from protonqa.montecarlo.range_shifter import check_clear
from protonqa.montecarlo.scene import make_scene
from protonqa.montecarlo.shifted import slab_scene
from protonqa.montecarlo.source import Source, check_aim
from protonqa.montecarlo.tallies import (
    CHANNEL_SLOT,
    ENERGY_SCALE,
    FINE_BIN_MM,
    FINE_PER_COARSE,
    N_CHANNEL,
    NUCLIDE_SCALE,
    PACK,
    WATER_DOSE_SCALE,
    WATER_SLOT,
    Tally,
)
from protonqa.montecarlo.tiles import volume_of
from protonqa.physics.emission import CHANNELS
from protonqa.range_model.dataset import Alternative, Channel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The table of `production`, and those whose own curves stand in `alternative`.
TABLE = "recommended"
OTHER_TABLES: tuple[str, ...] = ("gate",)
BATCHES = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnRun:
    """What a field left in columns of voxels, per proton of the field; depth is the last axis.

    dose : (n_batch, n_column, nz)
        MeV to water per g/cm3 of density, of each batch.
    nuclei : (n_row, n_column, nz)
        Nuclei a voxel: the channels, then the alternatives.
    """

    dose: Floats
    nuclei: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthRun:
    """What a pencil beam left along depth, integrated across, per proton.

    dose : (n_batch, 4 n)
        Dose to water times area in 0.25 mm bins (MeV cm2/g), of each batch.
    nuclei : (n_row, n)
        Nuclei in 1 mm bins: the channels, then the alternatives.
    """

    dose: Floats
    nuclei: Floats


def set_channels() -> tuple[Channel, ...]:
    """Rows of `production` of the set: all reaction channels with the recommended cross sections."""
    return tuple(Channel(name=c.name, nuclide=c.nuclide) for c in CHANNELS)


@lru_cache(maxsize=1)
def set_alternatives() -> tuple[Alternative, ...]:
    """Rows of `alternative`: the channels for which another table has a curve of its own."""
    base = _emission(TABLE)
    rows = []
    for table in OTHER_TABLES:
        differs = (_emission(table) != base).any(axis=(0, 1))
        rows += [Alternative(table=table, channel=CHANNELS[int(i)].name) for i in np.flatnonzero(differs)]
    return tuple(rows)


def run_columns(
    medium: Medium,
    source: Source,
    columns: Ints,
    *,
    protons: int,
    seed: int,
    batches: int = BATCHES,
    threads: int = 1,
    cancelled: Callable[[], bool] = lambda: False,
) -> ColumnRun:
    """Transport a field and read columns of voxels.

    Parameters
    ----------
    columns : (n_column, 2)
        Lateral indices (x, y) of the columns on the medium's grid; the protons travel along its z index.
    """
    low, high = columns.min(axis=0), columns.max(axis=0) + 1
    nz = medium.grid.shape[0]
    start = (int(low[0]), int(low[1]), 0)
    shape = (int(high[0] - low[0]), int(high[1] - low[1]), nz)
    plan, opened = _laid_out(medium, source, start, shape, seed)
    ix, iy = columns[:, 0] - low[0], columns[:, 1] - low[1]
    rho = medium.density[:, columns[:, 1], columns[:, 0]].astype(np.float64)

    def read(tally: Tally, slot: int, scale: float) -> Floats:
        volume = volume_of(
            tally.voxels, tally.rank, plan.tiles, shape[::-1], stride=plan.scene.n_slot, slot=slot, scale=scale
        )
        return np.asarray(volume[:, iy, ix], dtype=np.float64)

    sums, tally = _batched(
        plan, protons, batches, threads, cancelled, lambda now: read(now, WATER_SLOT, 1.0 / ENERGY_SCALE) / rho
    )
    nuclei = np.zeros((N_CHANNEL + len(set_alternatives()), len(columns), nz))
    for slot, row in enumerate(opened):
        nuclei[row] = read(tally, CHANNEL_SLOT + slot, 1.0 / (NUCLIDE_SCALE * protons)).T
    return ColumnRun(dose=np.ascontiguousarray(np.moveaxis(sums, 1, -1)), nuclei=nuclei)


def run_depth(
    medium: Medium,
    source: Source,
    *,
    protons: int,
    seed: int,
    batches: int = BATCHES,
    threads: int = 1,
    cancelled: Callable[[], bool] = lambda: False,
) -> DepthRun:
    """Transport a pencil beam and read what it left along depth."""
    plan, opened = _laid_out(medium, source, (0, 0, 0), (1, 1, 1), seed)
    bins = plan.scene.n_coarse

    def read(tally: Tally) -> Floats:
        both = tally.fine.reshape(2, FINE_PER_COARSE * bins, 2).sum(axis=0)
        # MeV over g/cm3 and mm is MeV cm2/g times cm/mm.
        return np.asarray(both[:, 1] * (10.0 / WATER_DOSE_SCALE / FINE_BIN_MM))

    sums, tally = _batched(plan, protons, batches, threads, cancelled, read)
    nuclei = np.zeros((N_CHANNEL + len(set_alternatives()), bins))
    made = tally.coarse.reshape(2, bins, -1).sum(axis=0)[:, : opened.size] / (NUCLIDE_SCALE * protons)
    nuclei[opened] = made.T
    return DepthRun(dose=sums, nuclei=nuclei)


def _batched(
    plan: TransportPlan,
    protons: int,
    batches: int,
    threads: int,
    cancelled: Callable[[], bool],
    read: Callable[[Tally], Floats],
) -> tuple[Floats, Tally]:
    """Run equal batches one after the other; what each left per proton, (n_batch, ...), and the whole tally."""
    state = plan.empty_tally()
    backend: Backend = CpuBackend(plan, threads, into=state)
    edges = np.linspace(0, protons, batches + 1).round().astype(int)
    before, parts, tally = np.zeros(1), [], state
    for first, last in pairwise(edges):
        backend.advance(int(first), int(last - first), lambda _: not cancelled())
        if cancelled():
            raise Cancelled("the making of the training set was cancelled")
        tally = backend.collect()
        now = read(tally)
        parts.append((now - before) / (last - first))
        before = now
    return np.stack(parts), tally


def _laid_out(
    medium: Medium, source: Source, start: tuple[int, int, int], shape: tuple[int, int, int], seed: int
) -> tuple[TransportPlan, Ints]:
    """The run as the kernels want it, and which rows (channels, then alternatives) its open channels are."""
    check_aim(source, medium.grid)
    tables, opened = _open_rows(medium.material)
    n_pack = max(-(-opened.size // PACK), 1) * PACK
    bins = int(np.ceil(medium.grid.size_mm[2] - 1e-9))
    scene, tiles = make_scene(
        medium.material, medium.density, medium.grid.spacing_mm, start, shape, source.axis, source.reference, bins,
        n_pack, CHANNEL_SLOT + n_pack, 0,
    )  # fmt: skip
    slab = None
    if source.slab is not None:
        check_clear(source.slab, source.spots, medium.density, medium.grid)
        slab = slab_scene(source.slab, n_pack, CHANNEL_SLOT + n_pack)
    plan = TransportPlan(
        scene=scene,
        tables=tables,
        spots=Spots(spots=source.spots, cumulative=np.cumsum(source.weights) / source.weights.sum()),
        key=key_of(seed),
        tiles=tiles,
        channels=opened,
        slab=slab,
    )
    return plan, opened


def _emission(table: str) -> NDArray[np.float32]:
    return standard_tables(table).emission.reshape(-1, N_ROW, N_CHANNEL)


@lru_cache(maxsize=1)
def _all_rows() -> NDArray[np.float32]:
    """Rates of the channels, then of the alternatives; (n_material, N_ROW, n_row)."""
    names = [c.name for c in CHANNELS]
    extra = [_emission(one.table)[:, :, names.index(one.channel)] for one in set_alternatives()]
    return np.concatenate([_emission(TABLE), np.stack(extra, axis=-1)], axis=-1) if extra else _emission(TABLE)


def _open_rows(material: NDArray[np.uint8]) -> tuple[Tables, Ints]:
    """Tables with the rows that these materials can have, filled up to whole packs, and which these are."""
    rates, present = _all_rows(), np.unique(material)
    rows = np.flatnonzero(rates[present].any(axis=(0, 1)))
    packed = np.zeros((rates.shape[0], N_ROW, max(-(-rows.size // PACK), 1) * PACK), dtype=np.float32)
    packed[present, :, : rows.size] = rates[present][:, :, rows]
    return standard_tables(TABLE)._replace(emission=packed.ravel()), rows
