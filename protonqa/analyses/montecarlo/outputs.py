"""What a simulation leaves behind: the depth profile, the volumes, and the facts as plain numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from protonqa.montecarlo.result import MonteCarloResult
from protonqa.physics.curves import NotEvaluable, falloff_width
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.values import DepthProfile

PROFILE_FILE, DOSE_FILE = "profile.csv", "dose.mha"
# SD of R80 over repeated runs in water, in units of the R80-R20 width over the square root of the protons: 0.8 at
# 70 MeV, 1.9 to 2.8 from 110 to 230 MeV (8 runs of 4096 protons each).
_R80_SD_PER_WIDTH = 2.5


def depth_profile(result: MonteCarloResult) -> DepthProfile:
    """The curves of a result in 1 mm bins from depth 0; what lies upstream (couch, air) is left out."""
    inside = result.depth_mm > 0.0
    return DepthProfile(
        depth_mm=result.depth_mm[inside],
        production_per_mm=result.nuclides_per_mm[:, inside],
        idd_mev_per_mm=result.idd_mev_per_mm[inside],
        dose_mev_cm2_per_g=result.dose_mev_cm2_per_g[inside],
        hu=result.hu_on_axis[inside],
        rsp=result.rsp_on_axis[inside],
    )


def r80_sd_mm(result: MonteCarloResult) -> float | None:
    """Statistical uncertainty (1 SD) of the R80 of a pencil beam, from the width of its fall-off.

    An estimate, right within a factor of 1.5 in water from 110 MeV on and too large below.
    """
    width = falloff_width(result.fine_depth_mm, result.smoothed_dose())
    if isinstance(width, NotEvaluable):
        return None
    return _R80_SD_PER_WIDTH * width.width_mm / float(np.sqrt(result.protons))


def facts(result: MonteCarloResult) -> dict[str, Any]:
    """Numbers of a result under the names of the outside interface."""
    rate = result.protons / result.seconds if result.seconds > 0 else None
    return {
        "protons": result.protons,
        "seconds": result.seconds,
        "protons_per_second": rate,
        "r80_mm": result.range_mm(0.8),
        "r90_mm": result.range_mm(0.9),
        "r80_sd_mm": r80_sd_mm(result) if result.field_protons == 0 else None,
        "energy_balance": dict(result.energy_balance),
        "cross_sections": result.cross_sections,
        "nuclei_per_proton": dict(zip(NUCLIDE_KEYS, result.nuclides_per_mm.sum(axis=1).tolist(), strict=True)),
        "field_protons": result.field_protons or None,
        "seed": result.seed,
    }


def balance_error_percent(result: MonteCarloResult) -> float:
    """How far the booked energies are from the incident one."""
    return 100.0 * abs(sum(result.energy_balance.values()) - 1.0)


def write_outputs(
    result: MonteCarloResult,
    folder: Path,
    *,
    volumes: bool = True,
    progress: Callable[[float, float, str], None] | None = None,
) -> dict[str, str]:
    """Write profile and volumes; returns file names and what each holds.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    from protonqa.files.depth_profiles import write_depth_profiles
    from protonqa.files.metaimage import write_metaimage

    write_depth_profiles(folder / PROFILE_FILE, depth_profile(result))
    written = {PROFILE_FILE: "dose and nuclei along depth, per primary proton"}
    if not volumes:
        return written
    for done, key in enumerate(("dose", *NUCLIDE_KEYS)):
        if progress is not None:
            progress(done, 1 + len(NUCLIDE_KEYS), "writing volumes")
        name = f"{key}.mha"
        if key == "dose":
            write_metaimage(result.dose_volume(), folder / name)
            written[name] = "dose to water, Gy per proton"
        else:
            write_metaimage(result.nuclide_volume(key), folder / name)
            written[name] = f"nuclei of {key} made per voxel and proton"
    return written
