"""Beams for the training set: drawn first, as plain numbers, computed later."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from protonqa.montecarlo.source import N_SPOT_COLUMN, Source
from protonqa.physics.bragg import depth_dose_mev_cm2_per_g, range_sigma_mm
from protonqa.physics.stopping import energy_from_range_water_mev
from protonqa.range_model.config import Settings
from protonqa.range_model.set_config import SLAB, TrainingSetConfig
from protonqa.values import Grid

Floats = NDArray[np.float64]

#: Water ranges (mm) of 70 and 230 MeV.
RANGE_LOW_MM, RANGE_HIGH_MM = 40.8, 329.0
_LAYER_SIGMAS = 1.6
#: Spots of a square field, inside the voxels and not on their edges: histories visit them in an order that gives every
#: column its protons to one or two, and scattering makes the comb even within millimetres.
SPOT_PITCH_MM, SPOT_SIGMA_MM = 1.0, 0.2


class BeamDraw(Settings):
    """One drawn beam.

    Parameters
    ----------
    kind : {"field", "pencil"}
        An even square field of half side ``half_mm``, or one pencil beam.
    treatment_seed : int
        Above 0: target and direction are those of `phantom.treatments` for this seed; 0: angles and aim of this draw.
    gantry_deg, couch_deg : float
        IEC 61217, patient head first supine.
    aim_share : (x, y, z)
        Where in the body's box the beam aims, -1 to 1 from face to face.
    range_share : float
        Places the range between the least and the greatest that fits.
    modulation : float
        Share of the range that the spread-out peak covers; 0 is mono-energetic.
    spread_percent : float
        Energy spread, 1 SD.
    spot_sigma_mm : float
        Of a pencil beam.
    tilt_mrad : float
        Angular spread per axis, 1 SD.
    soft_factor, bone_factor : float
        True over planned stopping power.
    composition_hu : float
        Shift of the CT number that decides the elemental composition of soft tissue.
    seed : int
        Of the simulation.
    """

    kind: Literal["field", "pencil"]
    treatment_seed: int
    gantry_deg: float
    couch_deg: float
    aim_share: tuple[float, float, float]
    range_share: float
    modulation: float
    half_mm: float
    spread_percent: float
    spot_sigma_mm: float
    tilt_mrad: float
    soft_factor: float
    bone_factor: float
    composition_hu: float
    seed: int


def draw_beam(
    rng: np.random.Generator, config: TrainingSetConfig, kind: Literal["field", "pencil"], site: str
) -> BeamDraw:
    """Draw a beam; the numbers of draws do not depend on their outcome."""
    sobp = rng.uniform() < config.sobp_share
    clinical = rng.uniform() < config.clinical_share and site != SLAB
    treatment = int(rng.integers(1, 2**31))
    gantry, couch = float(rng.uniform(0.0, 360.0)), float(np.clip(rng.normal(0.0, 12.0), -30.0, 30.0))
    aim = rng.uniform(-0.6, 0.6, 3)
    modulation = float(rng.uniform(0.15, 0.6))
    half = float(round(rng.uniform(*config.field_half_mm)))
    factors = 1.0 + np.clip(rng.normal(0.0, 0.5, 2), -1.0, 1.0) * config.rsp_error
    if site == SLAB:
        gantry, couch, aim = 0.0, 0.0, np.zeros(3)
    return BeamDraw(
        kind=kind,
        treatment_seed=treatment if clinical else 0,
        gantry_deg=gantry,
        couch_deg=couch,
        aim_share=(float(aim[0]), float(aim[1]), float(aim[2])),
        range_share=float(rng.uniform()),
        modulation=modulation if sobp else 0.0,
        half_mm=half if kind == "field" else 0.0,
        spread_percent=float(rng.uniform(0.2, 1.2)),
        spot_sigma_mm=float(rng.uniform(2.5, 6.5)),
        tilt_mrad=float(rng.uniform(0.0, 4.0)),
        soft_factor=float(factors[0]),
        bone_factor=float(factors[1]),
        composition_hu=float(np.clip(rng.normal(0.0, 0.5), -1.0, 1.0) * config.composition_hu),
        seed=int(rng.integers(0, 2**31)),
    )


def layer_ranges_and_weights(range_mm: float, modulation: float, spread_percent: float) -> tuple[Floats, Floats]:
    """Water ranges (mm) and weights of the layers of a flat spread-out Bragg peak in water.

    Layers are as far apart as their peaks are wide, 1 to 6 mm: wider gaps would show as ripples, and R80 would jump
    between them. Weights are the non-negative ones that make the analytic depth dose most even.
    """
    if modulation <= 0:
        return np.array([range_mm]), np.ones(1)
    sigma_mm = float(range_sigma_mm(float(energy_from_range_water_mev(range_mm)), spread_percent))
    long_mm = modulation * range_mm
    n = max(int(np.ceil(long_mm / np.clip(_LAYER_SIGMAS * sigma_mm, 1.0, 6.0))), 3)
    ranges = np.linspace(range_mm - long_mm, range_mm, n + 1)
    depth = np.arange(range_mm - long_mm, range_mm - 0.5 * sigma_mm, 0.25 * sigma_mm + 0.1)
    energies = [float(e) for e in energy_from_range_water_mev(ranges)]
    curves = [depth_dose_mev_cm2_per_g(depth, e, energy_spread_percent=spread_percent) for e in energies]
    matrix = np.stack(curves, axis=1)
    weights, _ = nnls(matrix / matrix.max(), np.ones(depth.size))
    return ranges, np.asarray(weights / weights.sum())


def source_of(grid: Grid, draw: BeamDraw, range_mm: float) -> tuple[Source, float, float]:
    """A drawn beam on a beam's-eye grid (protons travel along its z index), through the middle of its columns.

    Depth is counted from the first face of the grid, so that depth bins and voxels begin together.

    Returns
    -------
    Source, lowest and highest energy (MeV)
    """
    ranges, layer_weights = layer_ranges_and_weights(range_mm, draw.modulation, draw.spread_percent)
    energies = np.asarray(energy_from_range_water_mev(ranges), dtype=np.float64)
    size_x, size_y, size_z = grid.size_mm
    if draw.kind == "field":
        n = 2 * round(draw.half_mm / SPOT_PITCH_MM)
        line = (np.arange(n) - (n - 1) / 2) * SPOT_PITCH_MM
        sigma = SPOT_SIGMA_MM
    else:
        line, sigma = np.zeros(1), draw.spot_sigma_mm
    x, y = (a.ravel() for a in np.meshgrid(line, line))
    layer = np.repeat(np.arange(energies.size), x.size)
    spots = np.zeros((layer.size, N_SPOT_COLUMN))
    spots[:, 0] = 0.5 * size_x + np.tile(x, energies.size)
    spots[:, 1] = 0.5 * size_y + np.tile(y, energies.size)
    spots[:, 2] = 0.5 * size_z
    spots[:, 5] = spots[:, 6] = spots[:, 10] = 1.0
    spots[:, 12:14] = sigma
    spots[:, 14:16] = draw.tilt_mrad * 1e-3
    spots[:, 16] = energies[layer]
    spots[:, 17] = energies[layer] * draw.spread_percent / 100.0
    used = layer_weights[layer] > 0
    source = Source(
        spots=spots[used],
        weights=layer_weights[layer][used],
        axis=np.array([0.0, 0.0, 1.0]),
        reference=np.array([0.5 * size_x, 0.5 * size_y, 0.0]),
    )
    return source, float(energies[layer_weights > 0].min()), float(energies.max())
