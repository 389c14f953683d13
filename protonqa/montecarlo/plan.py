"""Everything a back end needs to transport histories, laid out once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.montecarlo.histories import Spots
from protonqa.montecarlo.leg_tables import Tables
from protonqa.montecarlo.scene import Scene, Tiles
from protonqa.montecarlo.shifted import SlabScene
from protonqa.montecarlo.tallies import FINE_PER_COARSE, N_BOOK, TILE_SIZE, Tally


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransportPlan:
    """Scene, tables, spots and key of a run, how tiles cover its tally box, and which channels are open.

    With a range shifter the protons pass `slab` first, and the energy book is followed by one of what happens there.
    """

    scene: Scene
    tables: Tables
    spots: Spots
    key: NDArray[np.uint64]
    tiles: Tiles
    channels: NDArray[np.int64]
    slab: SlabScene | None = None

    @property
    def n_voxel(self) -> int:
        """Voxels that have tallies: those of the box, filled up to whole tiles."""
        return self.tiles.number * TILE_SIZE

    @property
    def tally_bytes(self) -> int:
        """Memory of one set of voxel tallies."""
        return self.n_voxel * self.scene.n_slot * 8

    def empty_tally(self) -> Tally:
        """All zero."""
        bins = self.scene.n_coarse
        return Tally(
            voxels=np.zeros(self.n_voxel * self.scene.n_slot, dtype=np.int64),
            rank=np.full(self.tiles.number, -1, dtype=np.int32),
            used=np.zeros(1, dtype=np.int64),
            fine=np.zeros(2 * FINE_PER_COARSE * bins * 2, dtype=np.int64),
            coarse=np.zeros(2 * bins * self.scene.n_pack, dtype=np.int64),
            book=np.zeros(N_BOOK if self.slab is None else 2 * N_BOOK, dtype=np.int64),
        )
