"""A run as equal batches: statistical error per voxel, a stop rule, and a state that can be kept and taken up again."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from protonqa.durable import write_bytes_atomic
from protonqa.errors import Cancelled, InputError
from protonqa.montecarlo.plan import TransportPlan
from protonqa.montecarlo.tallies import MEDIUM_SLOT, TILE_SIZE, Tally
from protonqa.montecarlo.tiles import close_batch, relative_error

#: Voxels above this share of the highest dose are the high-dose region.
HIGH_DOSE = 0.5
#: Fewest batches from which an error is stated.
MIN_BATCHES = 5


class Backend(Protocol):
    """What transports histories."""

    name: str

    def advance(self, first: int, count: int, tick: Callable[[int], bool]) -> None:
        """Transport a run of histories; `tick(n)` hears of finished ones, False stops."""

    def collect(self) -> Tally:
        """All sums so far."""


@dataclass(slots=True, kw_only=True, eq=False)
class Progress:
    """How far a run has come, and what its batches say about its noise.

    previous, squares : (n_voxel,) in tile order, or None where no error is asked for.
    """

    done: int = 0
    batches: int = 0
    previous: NDArray[np.int64] | None = None
    squares: NDArray[np.float64] | None = None

    def error(self, tally: Tally) -> NDArray[np.float64] | None:
        """Relative standard error per voxel in tile order, None before enough batches."""
        if self.squares is None or self.previous is None or self.batches < MIN_BATCHES:
            return None
        out = np.zeros_like(self.squares)
        relative_error(self.previous, tally.used[0], self.squares, self.batches, out)
        return out


def high_dose_error_percent(error: NDArray[np.float64], tally: Tally, n_slot: int) -> float:
    """Mean relative standard error (percent) where the energy in a voxel exceeds half of the highest."""
    energy = tally.voxels[MEDIUM_SLOT::n_slot][: int(tally.used[0]) * TILE_SIZE]
    high = np.flatnonzero(energy > HIGH_DOSE * energy.max(initial=0))
    return float(100.0 * error[high].mean()) if high.size else 0.0


def run_batches(
    backend: Backend,
    plan: TransportPlan,
    protons: int,
    *,
    batch: int,
    progress: Progress,
    until_percent: float | None = None,
    tell: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    keep: Callable[[Tally, Progress], None] | None = None,
) -> Tally:
    """Transport histories until `protons` are done or the high-dose region is known to `until_percent`.

    Raises
    ------
    Cancelled
        `cancelled()` turned true. What `keep` was given before stays valid.
    """
    seen, stopped = [progress.done], [False]

    def tick(n: int) -> bool:
        seen[0] += n
        if cancelled is not None and cancelled():
            stopped[0] = True
            return False
        if tell is not None:
            tell(seen[0], protons)
        return True

    while progress.done < protons:
        count = min(batch, protons - progress.done)
        backend.advance(progress.done, count, tick)
        if stopped[0]:
            raise Cancelled("simulation cancelled", got=f"{seen[0]} of {protons} protons")
        progress.done += count
        if progress.previous is not None and progress.squares is not None and count == batch:
            tally = backend.collect()
            progress.batches += 1
            close_batch(tally.voxels, tally.used[0], plan.scene.n_slot, progress.previous, progress.squares)
            if until_percent is not None:
                error = progress.error(tally)
                if error is not None and high_dose_error_percent(error, tally, plan.scene.n_slot) <= until_percent:
                    break
        if keep is not None and progress.done < protons:
            keep(backend.collect(), progress)
    return backend.collect()


def save_state(path: Path, tally: Tally, progress: Progress, identity: str) -> None:
    """Write sums and progress to `path`: the old file or the new one, whole."""
    used = int(tally.used[0]) * TILE_SIZE
    n_slot = tally.voxels.size // (tally.rank.size * TILE_SIZE)
    arrays = {
        "identity": np.frombuffer(identity.encode(), dtype=np.uint8),
        "counts": np.array([progress.done, progress.batches], dtype=np.int64),
        "voxels": tally.voxels[: used * n_slot],
    }
    for name in ("rank", "used", "fine", "coarse", "book"):
        arrays[name] = getattr(tally, name)
    if progress.previous is not None and progress.squares is not None:
        arrays["previous"], arrays["squares"] = progress.previous[:used], progress.squares[:used]
    buffer = BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes_atomic(path, buffer.getvalue(), label="kept state of the simulation")


def load_state(path: Path, tally: Tally, progress: Progress, identity: str) -> bool:
    """Fill `tally` and `progress` from a state of the same run; False when there is none.

    Raises
    ------
    InputError
        A state of another run, or a damaged one.
    """
    if not path.exists():
        return False
    remedy = "choose another output folder or delete that file"
    try:
        # numpy leaves a file open that is no archive.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            if data["identity"].tobytes().decode() != identity:
                raise InputError(
                    "the kept state belongs to another simulation",
                    got=path.name,
                    expected="same medium, beam, seed and settings",
                    remedy=remedy,
                )
            counts = data["counts"]
            tally.voxels[: data["voxels"].size] = data["voxels"]
            for name in ("rank", "used", "fine", "coarse", "book"):
                getattr(tally, name)[...] = data[name]
            if progress.previous is not None and progress.squares is not None:
                progress.previous[: data["previous"].size] = data["previous"]
                progress.squares[: data["squares"].size] = data["squares"]
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise InputError("the kept state cannot be read", got=path.name, remedy=remedy) from error
    progress.done, progress.batches = int(counts[0]), int(counts[1])
    return True
