"""Energy layers of a field and the weights that make a flat spread-out Bragg peak of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from protonqa.errors import CalibrationError, InputError
from protonqa.physics.bragg import depth_dose_mev_cm2_per_g, lateral_sigma_mm, range_sigma_mm
from protonqa.physics.stopping import csda_range_water_mm, energy_from_range_water_mev
from protonqa.values import BeamModel
from protonqa.values._arrays import frozen_array

FloatArray = NDArray[np.float64]

CURVE_STEP_MM = 0.25
#: Layer distance in units of the range spread (1 SD) at that depth: a ripple below 1 % of the plateau.
AUTO_STEP_SIGMA = 1.2
#: The deepest layer lies this many SD behind the deepest distal edge: a sharp edge without a dose horn.
DISTAL_RESERVE_SIGMA = 0.5
_EDGE_LEVEL = 0.8
# The plateau is asked for up to one SD before the distal edge; the edge itself counts as much as 40 % of the plateau.
_SHOULDER_SIGMA = 1.0
_EDGE_WEIGHT = 2.0
_SMOOTHING = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerStack:
    """Energy layers with their depth doses, deepest first.

    Parameters
    ----------
    nominal_mev, mean_mev, spread_percent, range_mm, range_sigma_mm, protons_per_mu : (n_layer,)
        ``range_mm`` is the CSDA range in water of the mean energy.
    sigma_mm, divergence_mrad : (n_layer, 2)
        Spot in air at the isocentre, gantry X and Y.
    depth_mm : (n_depth,)
        Water depths of the curves.
    dose : (n_layer, n_depth)
        MeV cm2/g per proton.
    """

    nominal_mev: FloatArray
    mean_mev: FloatArray
    spread_percent: FloatArray
    range_mm: FloatArray
    range_sigma_mm: FloatArray
    protons_per_mu: FloatArray
    sigma_mm: FloatArray
    divergence_mrad: FloatArray
    depth_mm: FloatArray
    dose: FloatArray

    def __post_init__(self) -> None:
        n = np.asarray(self.nominal_mev).size
        for name in ("nominal_mev", "mean_mev", "spread_percent", "range_mm", "range_sigma_mm", "protons_per_mu"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), f"layer {name}", shape=(n,)))
        for name in ("sigma_mm", "divergence_mrad"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), f"layer {name}", shape=(n, 2)))
        depth = frozen_array(self.depth_mm, "layer depths", shape=(None,))
        object.__setattr__(self, "depth_mm", depth)
        object.__setattr__(self, "dose", frozen_array(self.dose, "layer depth dose", shape=(n, depth.size)))

    @property
    def n_layer(self) -> int:
        """Number of layers."""
        return int(self.nominal_mev.size)


def range_limits_mm(model: BeamModel) -> tuple[float, float]:
    """CSDA ranges in water of the lowest and the highest energy of a beam model.

    Raises
    ------
    CalibrationError
        Mean energies that do not increase with the nominal energy.
    """
    if model.mean_mev.size > 1 and not (np.diff(model.mean_mev) > 0).all():
        raise CalibrationError("beam model mean energies do not increase with the nominal energy")
    low, high = csda_range_water_mm(model.mean_mev[[0, -1]])
    return float(low), float(high)


def nominal_energy_mev(range_mm: float, model: BeamModel) -> float:
    """Nominal energy (two decimals) whose mean energy has this CSDA range in water; held at the model's limits."""
    mean = float(energy_from_range_water_mev(np.clip(range_mm, *range_limits_mm(model))))
    nominal = round(float(np.interp(mean, model.mean_mev, model.nominal_mev)), 2)
    return float(np.clip(nominal, model.nominal_mev[0], model.nominal_mev[-1]))


def beam_width_mm(range_mm: float, model: BeamModel) -> tuple[float, float]:
    """SD of the proton ranges and SD of the spot (the wider of x and y) at the end of a range in water."""
    values = model.at(nominal_energy_mev(range_mm, model))
    energy = values["mean_mev"]
    scatter = float(lateral_sigma_mm(csda_range_water_mm(energy), energy))
    spot = float(np.hypot(max(values["sigma_x_mm"], values["sigma_y_mm"]), scatter))
    return float(range_sigma_mm(energy, values["spread_percent"])), spot


def layer_ranges_mm(
    distal_mm: float, proximal_mm: float, model: BeamModel, *, step_mm: float | None = None
) -> list[float]:
    """Ranges in water of the layers that cover an interval of water-equivalent depth, deepest first.

    Parameters
    ----------
    distal_mm, proximal_mm : float
        Water-equivalent depths of the distal 80 % edge and of the proximal end of the plateau.
    step_mm : float, optional
        Distance of the layers; by default 1.2 SD of the proton ranges at each depth.

    Raises
    ------
    InputError
        The distal edge needs more than the highest energy of the model, or a step that is no length.
    """
    if step_mm is not None and not (np.isfinite(step_mm) and step_mm > 0):
        raise InputError("distance of energy layers is not a length", got=f"{step_mm} mm", expected="above 0 mm")
    shortest, longest = range_limits_mm(model)
    if distal_mm > longest:
        raise InputError(
            "the target reaches deeper than the highest energy",
            got=f"{distal_mm:.1f} mm water-equivalent, margin included",
            expected=f"at most {longest:.1f} mm ({model.nominal_mev[-1]:g} MeV)",
            remedy="choose another gantry angle or a smaller target",
        )
    deepest = min(distal_mm + DISTAL_RESERVE_SIGMA * beam_width_mm(distal_mm, model)[0], longest)
    ranges = [deepest]
    while ranges[-1] > max(proximal_mm, shortest):
        step = step_mm if step_mm is not None else AUTO_STEP_SIGMA * beam_width_mm(ranges[-1], model)[0]
        ranges.append(max(ranges[-1] - step, shortest))
    return ranges


def layer_stack(ranges_mm: list[float], model: BeamModel) -> LayerStack:
    """The layers of these ranges with everything the beam model says about them; equal energies are merged."""
    nominal = sorted({nominal_energy_mev(r, model) for r in ranges_mm}, reverse=True)
    rows = [model.at(energy) for energy in nominal]
    mean = np.array([row["mean_mev"] for row in rows])
    spread = np.array([row["spread_percent"] for row in rows])
    depth = np.arange(0.0, float(csda_range_water_mm(mean[0])) * 1.15 + 10.0, CURVE_STEP_MM)
    curves = [
        depth_dose_mev_cm2_per_g(depth, float(e), energy_spread_percent=float(s))
        for e, s in zip(mean, spread, strict=True)
    ]
    return LayerStack(
        nominal_mev=np.array(nominal),
        mean_mev=mean,
        spread_percent=spread,
        range_mm=csda_range_water_mm(mean),
        range_sigma_mm=range_sigma_mm(mean, spread),
        protons_per_mu=np.array([row["protons_per_mu"] for row in rows]),
        sigma_mm=np.array([[row["sigma_x_mm"], row["sigma_y_mm"]] for row in rows]),
        divergence_mrad=np.array([[row["divergence_x_mrad"], row["divergence_y_mrad"]] for row in rows]),
        depth_mm=depth,
        dose=np.stack(curves),
    )


def sobp_weights(
    stack: LayerStack, proximal_mm: float, distal_mm: float, *, gain: tuple[float, float] = (1.0, 1.0)
) -> FloatArray:
    """Fluence of each layer for one unit of dose between two water-equivalent depths.

    Non-negative least squares: dose 1 from the proximal end to one SD before the distal edge, 0.8 at the distal edge,
    and a mild preference for weights that change smoothly from layer to layer.

    Parameters
    ----------
    proximal_mm, distal_mm : float
        Ends of the plateau: water-equivalent depths, ``distal_mm`` that of the 80 % edge.
    gain : (proximal, distal)
        Dose wanted at the two ends, linear between them: what a diverging beam loses on the way.

    Returns
    -------
    (n_layer,)
        Protons per cm2 for 1 MeV/g; 0 for layers that the interval does not need.
    """
    sigma = float(np.interp(distal_mm, stack.range_mm[::-1], stack.range_sigma_mm[::-1]))
    step = float(np.abs(np.diff(stack.range_mm)).max()) if stack.n_layer > 1 else 0.0
    used = (stack.range_mm >= proximal_mm - 0.5 * step) & (stack.range_mm <= distal_mm + 2.0 * step)
    if not used.any():
        used[np.argmin(np.abs(stack.range_mm - distal_mm))] = True
    curves = stack.dose[used]
    # Where the machine has no layer shallow enough, the plateau begins at the shallowest one.
    first = max(proximal_mm, float(stack.range_mm[used].min()) - sigma)
    last = max(distal_mm - _SHOULDER_SIGMA * sigma, first)
    plateau = np.linspace(first, last, max(2, int(np.ceil(last - first)) + 1))
    system = np.stack([np.interp(plateau, stack.depth_mm, curve) for curve in curves], axis=1)
    edge = np.array([np.interp(distal_mm, stack.depth_mm, curve) for curve in curves])
    edge_weight = _EDGE_WEIGHT * np.sqrt(plateau.size / 10.0)
    smooth = np.zeros((0, len(curves)))
    if len(curves) > 2:
        smooth = _SMOOTHING * np.linalg.norm(system, axis=0).mean() * np.diff(np.eye(len(curves)), 2, axis=0)
    matrix = np.concatenate([system, edge_weight * edge[None], smooth])
    level = np.interp(plateau, [proximal_mm, distal_mm], gain)
    wanted = np.concatenate([level, [edge_weight * _EDGE_LEVEL * gain[1]], np.zeros(len(smooth))])
    weights = np.zeros(stack.n_layer)
    weights[used] = nnls(matrix, wanted)[0]
    return weights
