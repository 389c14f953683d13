"""Sources: a pencil beam, or all spots of a scanned field, as arrays the kernels sample from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.geometry.frames import BeamFrame
from protonqa.montecarlo.range_shifter import Slab, known_shifter, perpendicular, slab_of
from protonqa.physics.stopping import ENERGY_MAX_MEV, ENERGY_MIN_MEV
from protonqa.values import Beam, BeamModel, Finding, Grid, RangeShifter

#: Columns of a spot: position on the axis, direction, lateral axes, sizes, energy.
N_SPOT_COLUMN = 18
#: So far beside the lines of the spots protons may still come, in SD of a spot and behind a range shifter in mm.
_REACH_SIGMAS, _SHIFTER_REACH_MM = 8.0, 300.0
#: Small angles: the sampled direction is the beam's plus a tilt.
MAX_DIVERGENCE_MRAD = 100.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Spots with weights, in the local axes of a grid (mm from its outer corner).

    spots : (n_spot, 18)
        position (3), direction (3), first lateral axis (3), second lateral axis (3), sigma 1, sigma 2 (mm),
        divergence 1, divergence 2 (rad), mean energy, energy sigma (MeV). Sizes hold at `position`.
    weights : (n_spot,)
        Protons per spot, relative.
    axis, reference : (3,)
        Depth axis (unit vector) and the point of depth zero, local.
    protons : float
        Protons that the whole field delivers (0 when the source is a single pencil beam per proton).
    slab : Slab or None
        Range shifter that the protons pass first.
    """

    spots: NDArray[np.float64]
    weights: NDArray[np.float64]
    axis: NDArray[np.float64]
    reference: NDArray[np.float64]
    protons: float = 0.0
    slab: Slab | None = None
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        if self.spots.ndim != 2 or self.spots.shape[1] != N_SPOT_COLUMN or self.spots.shape[0] < 1:
            raise InputError("the source has no spots", remedy="check the plan's energy layers")
        energies = self.spots[:, 16]
        check_energy(float(energies.min()))
        check_energy(float(energies.max()))
        if not np.all(np.isfinite(self.weights)) or (self.weights < 0).any() or self.weights.sum() <= 0:
            raise InputError("spot weights are unusable", expected="finite, 0 or more, and not all zero")


def check_energy(energy_mev: float) -> None:
    """Raise InputError for an energy outside 1 to 300 MeV."""
    if not (np.isfinite(energy_mev) and ENERGY_MIN_MEV <= energy_mev <= ENERGY_MAX_MEV):
        raise InputError(
            "proton energy outside the physics tables",
            got=f"{energy_mev:g} MeV",
            expected=f"{ENERGY_MIN_MEV:g} to {ENERGY_MAX_MEV:g} MeV",
        )


def check_aim(source: Source, grid: Grid) -> None:
    """Raise InputError where no spot comes near the grid, before anything is spent on it."""
    size = np.asarray(grid.size_mm)
    position, direction = source.spots[:, :3], source.spots[:, 3:6]
    away = np.linalg.norm(position - 0.5 * size, axis=1) + np.linalg.norm(size)
    reach = _REACH_SIGMAS * np.hypot(source.spots[:, 12:14], source.spots[:, 14:16] * away[:, None]).max(axis=1) + 1.0
    if source.slab is not None:
        reach = reach + _SHIFTER_REACH_MM
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(-reach[:, None] - position) / direction, (size + reach[:, None] - position) / direction])
    # Along an axis it does not move on, a line is between the faces everywhere or nowhere.
    still = np.abs(direction) < 1e-12
    between = (position > -reach[:, None]) & (position < size + reach[:, None])
    near = np.where(still, np.where(between, -np.inf, np.inf), ends.min(axis=0)).max(axis=1)
    far = np.where(still, np.where(between, np.inf, -np.inf), ends.max(axis=0)).min(axis=1)
    if not (far > near).any():
        raise InputError("the beam misses the volume", got="0 spots inside", remedy="check isocentre and angles")


def pencil_beam(
    grid: Grid,
    *,
    position_mm: NDArray[np.float64],
    direction: NDArray[np.float64],
    energy_mev: float,
    spot_sigma_mm: float,
    energy_spread_percent: float,
    divergence_mrad: float = 0.0,
    depth_zero_mm: NDArray[np.float64] | None = None,
    range_shifter: RangeShifter | None = None,
) -> Source:
    """One Gaussian pencil beam through an LPS position, where it has its size.

    Depth is counted along the beam from `depth_zero_mm` (LPS), by default from `position_mm`; the distance of a range
    shifter from `position_mm`.

    Raises
    ------
    InputError
        An energy, size, spread or divergence that is no such thing; a beam that stops in the range shifter.
    NotEvaluableError
        A range shifter of unknown thickness.
    """
    check_energy(energy_mev)
    if not (np.isfinite(spot_sigma_mm) and spot_sigma_mm >= 0):
        raise InputError("spot size is not a length", got=f"{spot_sigma_mm} mm", expected="0 mm or more")
    if not (np.isfinite(energy_spread_percent) and 0 <= energy_spread_percent <= 20):
        raise InputError("energy spread is unusable", got=f"{energy_spread_percent} %", expected="0 to 20 %")
    if not (np.isfinite(divergence_mrad) and 0 <= divergence_mrad <= MAX_DIVERGENCE_MRAD):
        raise InputError(
            "divergence is unusable", got=f"{divergence_mrad} mrad", expected=f"0 to {MAX_DIVERGENCE_MRAD:g} mrad"
        )
    local = grid.local_direction(direction / np.linalg.norm(direction))
    first, second = perpendicular(local)
    spot = np.concatenate(
        (
            grid.local_from_world(position_mm),
            local,
            first,
            second,
            (spot_sigma_mm, spot_sigma_mm, divergence_mrad * 1e-3, divergence_mrad * 1e-3),
            (energy_mev, energy_mev * energy_spread_percent / 100.0),
        )
    )
    slab = None
    if range_shifter is not None:
        shifter, _ = known_shifter(range_shifter, None)
        slab = slab_of(shifter, spot[None, :], isocenter=spot[:3], direction=local)
    zero = grid.local_from_world(position_mm if depth_zero_mm is None else depth_zero_mm)
    return Source(spots=spot[None, :], weights=np.ones(1), axis=local, reference=zero, slab=slab)


def field_source(grid: Grid, beam: Beam, frame: BeamFrame, model: BeamModel) -> Source:
    """All spots of a scanned field; sizes and divergences hold at the isocentre plane.

    Spot sizes come from the beam model. Depth is counted along the beam axis from the isocentre plane (negative
    upstream).

    Raises
    ------
    InputError
        No spot with weight, a beam that stops in its range shifter.
    CalibrationError
        An energy outside the beam model.
    NotEvaluableError
        A range shifter whose thickness neither the plan nor the beam model states.
    """
    rows, weights = [], []
    iso = np.asarray(frame.isocenter_mm)
    sad_x, sad_y = beam.virtual_sad_mm or model.virtual_sad_mm
    for layer in beam.layers:
        at = model.at(layer.energy_mev)
        for (x, y), mu in zip(layer.spot_xy_mm, layer.meterset_mu, strict=True):
            if mu <= 0:
                continue
            position = iso + x * frame.x_axis + y * frame.y_axis
            direction = frame.direction + (x / sad_x) * frame.x_axis + (y / sad_y) * frame.y_axis
            local = grid.local_direction(direction / np.linalg.norm(direction))
            rows.append(
                np.concatenate(
                    (
                        grid.local_from_world(position),
                        local,
                        grid.local_direction(frame.x_axis),
                        grid.local_direction(frame.y_axis),
                        (at["sigma_x_mm"], at["sigma_y_mm"]),
                        (at["divergence_x_mrad"] * 1e-3, at["divergence_y_mrad"] * 1e-3),
                        (at["mean_mev"], at["mean_mev"] * at["spread_percent"] / 100.0),
                    )
                )
            )
            weights.append(mu * at["protons_per_mu"])
    if not rows:
        raise InputError("the beam has no spot with weight", remedy="check the plan's meterset weights")
    protons, spots = np.array(weights), np.array(rows)
    axis, center = grid.local_direction(frame.direction), grid.local_from_world(iso)
    slab: Slab | None = None
    findings: tuple[Finding, ...] = ()
    if beam.range_shifter is not None:
        shifter, findings = known_shifter(beam.range_shifter, model)
        slab = slab_of(shifter, spots, isocenter=center, direction=axis)
    return Source(
        spots=spots,
        weights=protons,
        axis=axis,
        reference=center,
        protons=float(protons.sum()),
        slab=slab,
        findings=findings,
    )
