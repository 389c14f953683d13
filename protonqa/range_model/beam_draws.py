"""Beams for the training set: drawn first, as plain numbers, computed later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.geometry.frames import BeamFrame
from protonqa.montecarlo.source import Source
from protonqa.physics.stopping import energy_from_range_water_mev
from protonqa.values import Grid

Floats = NDArray[np.float64]

#: Water ranges (mm) of 70 and 230 MeV.
RANGE_LOW_MM, RANGE_HIGH_MM = 40.8, 329.0
_POWER = 1.77  # of the range-energy relation, as Bragg and Kleeman have it


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamDraw:
    """One drawn beam.

    ``range_share`` places its range between the least and the greatest that stops in the body; ``modulation`` is the
    share of the range that the spread-out peak covers (0: mono-energetic); ``half_mm`` is half the side of the field.
    """

    gantry_deg: float
    couch_deg: float
    aim_share: tuple[float, float, float]
    range_share: float
    modulation: float
    half_mm: float
    spread_percent: float
    spot_sigma_mm: float


def draw_beam(rng: np.random.Generator, *, half_mm: float, sobp_share: float) -> BeamDraw:
    """Draw a beam from any direction that does not run along the patient."""
    sobp = rng.uniform() < sobp_share
    low, high = (0.15, 0.6) if sobp else (0.0, 0.0)
    return BeamDraw(
        gantry_deg=float(rng.uniform(0.0, 360.0)),
        couch_deg=float(np.clip(rng.normal(0.0, 12.0), -30.0, 30.0)),
        aim_share=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.5, 0.5))),
        range_share=float(rng.uniform(0.0, 1.0)),
        modulation=float(rng.uniform(low, high)),
        half_mm=half_mm,
        spread_percent=float(rng.uniform(0.2, 1.2)),
        spot_sigma_mm=float(rng.uniform(2.5, 6.5)),
    )


def layer_ranges_and_weights(range_mm: float, modulation: float) -> tuple[Floats, Floats]:
    """Water ranges (mm) and weights of the layers of a flat spread-out Bragg peak.

    Source: weights by Jette & Chen, Phys Med Biol 56:N131 (2011), for layers of equal distance in range.
    """
    if modulation <= 0:
        return np.array([range_mm]), np.ones(1)
    n = max(round(modulation * range_mm / 4.0), 3)
    k = np.arange(n + 1)
    ranges = range_mm * (1.0 - (1.0 - k / n) * modulation)
    exponent = 1.0 - 1.0 / _POWER
    weights = np.empty(n + 1)
    weights[0] = 1.0 - (1.0 - 1.0 / (2 * n)) ** exponent
    inner = k[1:-1]
    weights[1:-1] = (1.0 - (inner - 0.5) / n) ** exponent - (1.0 - (inner + 0.5) / n) ** exponent
    weights[-1] = (1.0 / (2 * n)) ** exponent
    return np.maximum(ranges, 5.0), weights


def broad_source(grid: Grid, frame: BeamFrame, draw: BeamDraw, range_mm: float) -> tuple[Source, float, float]:
    """An even square field (or, with ``half_mm`` 0, one pencil) on a beam's-eye grid; lowest and highest energy."""
    ranges, layer_weights = layer_ranges_and_weights(range_mm, draw.modulation)
    energies = energy_from_range_water_mev(ranges)
    pitch = 4.0
    n = int(2 * draw.half_mm / pitch)
    places = (np.arange(n) - (n - 1) / 2) * pitch if n > 0 else np.zeros(1)
    direction = grid.local_direction(frame.direction)
    first, second = grid.local_direction(frame.x_axis), grid.local_direction(frame.y_axis)
    iso = grid.local_from_world(frame.isocenter_mm)
    rows, weights = [], []
    for energy, weight in zip(energies, layer_weights, strict=True):
        for x in places:
            for y in places:
                size = (draw.spot_sigma_mm, draw.spot_sigma_mm, 0.0, 0.0)
                own = (float(energy), float(energy) * draw.spread_percent / 100.0)
                rows.append(np.concatenate((iso + x * first + y * second, direction, first, second, size, own)))
                weights.append(weight)
    source = Source(spots=np.array(rows), weights=np.array(weights), axis=direction, reference=iso)
    return source, float(energies.min()), float(energies.max())
