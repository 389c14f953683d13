"""Acceptance checks of the random numbers and of bit-for-bit reproducibility."""

from __future__ import annotations

import numpy as np

from protonqa.analyses.interface import Check
from protonqa.analyses.montecarlo.expected import block
from protonqa.analyses.montecarlo.trials import Trials

#: Known answers of Philox4x32-10: counter, key, output. Source: Random123 1.09, kat_vectors.
PHILOX_ANSWERS = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)
_ARRAYS = ("dose_water_gy", "nuclei", "fine_idd_mev_per_mm", "channels_per_mm")


def random_checks() -> list[Check]:
    """The random generator against its published known answers."""
    from protonqa.montecarlo.philox import philox4x32

    word = np.uint64
    wrong = sum(
        tuple(int(v) for v in philox4x32(*(word(c) for c in counter), *(word(k) for k in key))) != answer
        for counter, key, answer in PHILOX_ANSWERS
    )
    return [_none_of("philox-known-answers", "Wrong known answers of the random generator", wrong)]


def thread_checks(trials: Trials) -> list[Check]:
    """Every tally of a run on two and on three threads against the run on one."""
    medium = block("water", size_mm=(60.0, 60.0, 80.0), spacing_mm=(4.0, 4.0, 4.0))
    protons = trials.fewer(20_000, 5_000)
    one, *others = (trials.run(medium, 90.0, protons, spot_sigma_mm=3.0, threads=threads) for threads in (1, 2, 3))
    different = sum(
        int(np.count_nonzero(getattr(one, name) != getattr(other, name))) for name in _ARRAYS for other in others
    )
    different += sum(dict(one.energy_balance) != dict(other.energy_balance) for other in others)
    return [
        _none_of("same-bits-1-2-and-3-threads", "Tallies that differ between one, two and three threads", different)
    ]


def _none_of(name: str, title: str, count: int) -> Check:
    return Check(name=name, title=title, value=float(count), unit="", limit=0.0, comparison="==")
