"""What a simulation leaves behind: the depth profile, the volumes, and the facts as plain numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from protonqa.montecarlo.result import MonteCarloResult
from protonqa.physics.curves import NotEvaluable, falloff_width
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.values import DepthProfile, Finding, Severity, Volume

#: Dose volumes that are written: to water, or to water and to the medium.
DoseChoice = Literal["water", "both"]
PROFILE_FILE, DOSE_FILE = "profile.csv", "dose.mha"
#: The book closes within this beside its noise.
BALANCE_LIMIT_PERCENT = 0.1
# Neutrals are booked as the mean of their tables while charged particles are drawn: SD of the sum of the shares for one
# proton (70 to 230 MeV in water).
_BALANCE_SD_PER_PROTON = 0.16
# SD of R80 over repeated runs in water, in units of the R80-R20 width over the square root of the protons: 0.9 to 1.5
# at 70 MeV, 1.7 to 2.5 from 110 to 230 MeV (40 runs of 1000 and 30 of 4000 protons each).
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


def facts(result: MonteCarloResult, *, resumed_from: int = 0) -> dict[str, Any]:
    """Numbers of a result under the names of the outside interface; `resumed_from` histories were done before."""
    rate = (result.protons - resumed_from) / result.seconds if result.seconds > 0 else None
    return {
        "protons": result.protons,
        "seconds": result.seconds,
        "protons_per_second": rate,
        "r80_mm": result.range_mm(0.8),
        "r90_mm": result.range_mm(0.9),
        "r80_sd_mm": r80_sd_mm(result) if result.field_protons == 0 else None,
        "dose_error_percent_high_dose": result.high_dose_error_percent,
        "energy_balance": dict(result.energy_balance),
        "cross_sections": result.cross_sections,
        "nuclei_per_proton": dict(zip(NUCLIDE_KEYS, result.nuclides_per_mm.sum(axis=1).tolist(), strict=True)),
        "field_protons": result.field_protons or None,
        "seed": result.seed,
    }


def balance_error_percent(result: MonteCarloResult) -> float:
    """How far the booked energies are from the incident one."""
    return 100.0 * abs(sum(result.energy_balance.values()) - 1.0)


def balance_limit_percent(protons: int) -> float:
    """How far it may be: 0.1 % and four SD of the noise of neutral particles."""
    return BALANCE_LIMIT_PERCENT + 4.0 * balance_noise_percent(protons)


def balance_noise_percent(protons: int) -> float:
    """Noise (1 SD, at most) of the booked energies' sum."""
    return 100.0 * _BALANCE_SD_PER_PROTON / float(np.sqrt(protons))


def stop_findings(result: MonteCarloResult, until_percent: float | None) -> tuple[Finding, ...]:
    """What a result says that ran out of protons before its dose was known as well as asked for."""
    if until_percent is None:
        return ()
    reached = result.high_dose_error_percent
    if reached is not None and reached <= until_percent:
        return ()
    got = "not known" if reached is None else f"{reached:.2f} %"
    text = (
        f"The statistical error of the dose is {got} after all {result.protons} protons, not {until_percent:g} % as"
        " asked for."
    )
    return (Finding(severity=Severity.WARNING, code="SIM-NOT-PRECISE", text=text),)


def write_outputs(
    result: MonteCarloResult,
    folder: Path,
    *,
    volumes: bool = True,
    dose: DoseChoice = "water",
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
    made = _volumes(result, dose)
    for done, (name, (volume, text)) in enumerate(made.items()):
        if progress is not None:
            progress(done, len(made), "writing volumes")
        write_metaimage(volume(), folder / name)
        written[name] = text
    return written


def _volumes(result: MonteCarloResult, dose: DoseChoice) -> dict[str, tuple[Callable[[], Volume], str]]:
    """Volumes to write: file name -> how to make it, and what it holds."""
    made: dict[str, tuple[Callable[[], Volume], str]] = {
        DOSE_FILE: (result.dose_volume, "dose to water, Gy per proton")
    }
    if dose == "both":
        made["dose_medium.mha"] = (
            partial(Volume, grid=result.grid, array=result.dose_medium_gy, unit="Gy/proton"),
            "dose to the medium, Gy per proton",
        )
    asked = (
        ("dose_error.mha", result.dose_error, "1", "relative standard error of the dose; 0 where there is none"),
        ("let.mha", result.let_kev_per_um, "keV/um", "dose-averaged LET of protons in water; 0 where none came"),
        ("mean_energy.mha", result.mean_energy_mev, "MeV", "fluence-weighted energy of protons; 0 where none came"),
    )
    for name, array, unit, text in asked:
        if array is not None:
            made[name] = (partial(Volume, grid=result.grid, array=array, unit=unit), text)
    for key in NUCLIDE_KEYS:
        made[f"{key}.mha"] = (partial(result.nuclide_volume, key), f"nuclei of {key} made per voxel and proton")
    return made
