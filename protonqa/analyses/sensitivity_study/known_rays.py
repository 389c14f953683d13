"""Rays in water whose every number is known in closed form: for acceptance tests, not for training.

Dose is Bortfeld's depth dose. A nuclide is made wherever protons have more residual range than at its threshold, so its
profile is a normal distribution function of depth, with the range spread of the beam.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from protonqa.physics.bragg import depth_dose_mev_cm2_per_g, range_sigma_mm
from protonqa.physics.curves import distal_range_mm
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.physics.stopping import csda_range_water_mm, energy_from_range_water_mev
from protonqa.range_model.dataset import SetSchema, TrainingRay
from protonqa.range_model.rays import WORKING_BINS
from protonqa.range_model.shards import write_manifest, write_shard

Floats = NDArray[np.float64]

#: Residual range in water at the threshold of the main channel on oxygen, and yield per mm before it.
_CHANNELS: dict[str, tuple[float, float]] = {"c11": (7.0, 1.1e-4), "o15": (3.0, 2.6e-4), "n13": (0.4, 0.3e-4)}
_FINE_MM = 0.25


def write_known_rays(
    folder: Path, *, seed: int, anatomies: int, rays_each: int, shift_mm: float, planned: bool = True
) -> Path:
    """Write a closed set of rays in water and return its folder.

    Parameters
    ----------
    shift_mm : float
        Ranges differ from the planned ones by up to this, uniform; a mean shift of each anatomy is part of it.
    planned : bool
        Whether the set holds the profiles of the plan.
    """
    schema = SetSchema(dose_bin_mm=1.0)
    rng = np.random.default_rng(seed)
    for number in range(anatomies):
        common = rng.uniform(-0.5, 0.5) * shift_mm
        rays = [
            known_ray(
                f"water-{number:03d}",
                range_mm=float(rng.uniform(70.0, 220.0)),
                shift_mm=float(common + rng.uniform(-0.5, 0.5) * shift_mm),
                planned=planned,
            )
            for _ in range(rays_each)
        ]
        write_shard(folder, f"water-{number:03d}", rays, schema)
    write_manifest(folder, schema, {"closed_form": "water"})
    return folder


def known_ray(
    anatomy: str, *, range_mm: float, shift_mm: float, planned: bool = True, mixed: bool = False
) -> TrainingRay:
    """One ray whose delivered range is the planned one plus `shift_mm`; `mixed` marks it as range-mixed."""
    r80, dose, made = _profiles(range_mm + shift_mm)
    planned_r80, _, expected = _profiles(range_mm)
    return TrainingRay(
        anatomy=anatomy,
        site="water",
        kind="pencil",
        production=made,
        hu_true=np.zeros(WORKING_BINS),
        hu=np.zeros(WORKING_BINS),
        rsp=np.ones(WORKING_BINS),
        dose=dose,
        r80_mm=r80,
        planned_r80_mm=planned_r80,
        energy_low_mev=float(energy_from_range_water_mev(range_mm + shift_mm)),
        energy_high_mev=float(energy_from_range_water_mev(range_mm + shift_mm)),
        falloff_mm=0.0,
        range_mixed=mixed,
        protons=1.0,
        planned_production=expected if planned else None,
        planned_known=planned,
    )


def _profiles(range_mm: float) -> tuple[float, Floats, Floats]:
    """R80, dose in 1 mm bins with maximum 1, and production of all nuclides, of one range in water."""
    energy = float(energy_from_range_water_mev(range_mm))
    depth = (np.arange(round(WORKING_BINS / _FINE_MM)) + 0.5) * _FINE_MM
    dose = depth_dose_mev_cm2_per_g(depth, energy)
    r80 = distal_range_mm(depth, dose)
    sigma, mean = float(range_sigma_mm(energy)), float(csda_range_water_mm(energy))
    made = np.zeros((len(NUCLIDE_KEYS), depth.size))
    for key, (threshold_mm, rate) in _CHANNELS.items():
        made[NUCLIDE_KEYS.index(key)] = rate * ndtr((mean - threshold_mm - depth) / sigma)
    return r80, _in_mm(dose / dose.max()), _in_mm(made)


def _in_mm(values: Floats) -> Floats:
    return np.asarray(values.reshape(*values.shape[:-1], WORKING_BINS, -1).mean(axis=-1))
