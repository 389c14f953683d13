"""Energy layers of a scanned beam from its control points.

The standard gives each layer a pair of control points: the first carries the weights that are delivered until the
second, whose weights are zero. Some systems write one point a layer. Both read alike here: every point with a weight
above zero is a layer, and the sums are held against the cumulative weights, so that neither reading can double or drop
spots unseen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protonqa.dicom.attributes import Attributes
from protonqa.errors import InputError
from protonqa.values import EnergyLayer

#: Relative slack between spot weights and cumulative weights: the first are 32-bit floats, the second decimal text.
WEIGHT_TOLERANCE = 2e-3


def beam_layers(
    item: Attributes,
    points: tuple[Attributes, ...],
    number: int,
    metersets: dict[int, float | None],
    max_spots: int,
    reasons: list[str],
) -> tuple[tuple[EnergyLayer, ...], tuple[int, ...]]:
    """Layers in MU and the index of each one's control point; what stands in the way is added to `reasons`.

    Parameters
    ----------
    item : Attributes
        Item of IonBeamSequence.
    points : tuple of Attributes
        Items of IonControlPointSequence; empty for other beams, which have no layers.
    number : int
        Beam number.
    metersets : dict
        BeamMeterset by beam number.
    max_spots : int
        Spots that may still be read.
    reasons : list of str
        Why the beam cannot be evaluated.

    Raises
    ------
    DicomError
        Attributes that cannot be read or contradict each other within a control point.
    InputError
        More spots than the limit.
    """
    if not points:
        reasons.append("it has no ion control points")
        return (), ()
    raw = _raw_layers(points, max_spots)
    total = sum(float(weights.sum()) for _, _, weights, _, _ in raw)
    if not raw:
        reasons.append("it has no spot with a weight above 0")
        return (), ()
    _check_cumulative(points, raw, total, item, reasons)
    scale = _mu_per_weight(item, number, metersets, total, reasons)
    layers = tuple(
        EnergyLayer(energy_mev=energy, spot_xy_mm=spots, meterset_mu=weights * scale, spot_fwhm_mm=size)
        for energy, spots, weights, size, _ in raw
    )
    return layers, tuple(index for *_, index in raw)


_RawLayer = tuple[float, NDArray[np.float64], NDArray[np.float64], tuple[float, float] | None, int]


def _raw_layers(points: tuple[Attributes, ...], max_spots: int) -> list[_RawLayer]:
    """Energy, spots, weights, spot size and index of every control point that delivers something."""
    found: list[_RawLayer] = []
    energy: float | None = None
    size: tuple[float, float] | None = None
    left = max_spots
    for index, point in enumerate(points):
        if point.has("NominalBeamEnergy"):
            energy = point.number("NominalBeamEnergy")
        if point.has("ScanningSpotSize"):
            x, y = point.numbers("ScanningSpotSize", 2)
            size = (x, y) if min(x, y) > 0 else None
        if not point.has("ScanSpotMetersetWeights"):
            continue
        weights = np.array(point.numbers("ScanSpotMetersetWeights"))
        left -= weights.size
        if left < 0:
            raise InputError(
                f"the plan of {point.label} has more spots than the limit", expected=f"at most {max_spots} more spots"
            )
        if (weights < 0).any():
            raise InputError(f"a spot of {point.label} has a negative weight", got=f"{weights.min():g}")
        if not weights.any():
            continue
        if energy is None:
            raise point.missing("NominalBeamEnergy")
        spots = np.array(point.numbers("ScanSpotPositionMap", 2 * weights.size)).reshape(-1, 2)
        found.append((energy, spots, weights, size, index))
    return found


def _check_cumulative(
    points: tuple[Attributes, ...], raw: list[_RawLayer], total: float, item: Attributes, reasons: list[str]
) -> None:
    """Hold the weights of each layer against the cumulative weights, where the file has them."""
    final = item.optional_number("FinalCumulativeMetersetWeight")
    if final is not None and abs(total - final) > WEIGHT_TOLERANCE * max(final, total):
        reasons.append(f"its spot weights add up to {total:g}, FinalCumulativeMetersetWeight is {final:g}")
    cumulative = [point.optional_number("CumulativeMetersetWeight") for point in points]
    for _, _, weights, _, index in raw:
        before = cumulative[index]
        after = cumulative[index + 1] if index + 1 < len(cumulative) else None
        if before is None or after is None:
            continue
        delivered = float(weights.sum())
        if abs(after - before - delivered) > WEIGHT_TOLERANCE * max(delivered, abs(after - before)) + 1e-6 * total:
            reasons.append("the spot weights of a layer contradict its cumulative weights")
            return


def _mu_per_weight(
    item: Attributes, number: int, metersets: dict[int, float | None], total: float, reasons: list[str]
) -> float:
    if number not in metersets:
        reasons.append("no fraction group names it")
        return 1.0
    meterset = metersets[number]
    if meterset is None:
        reasons.append("BeamMeterset is missing, its MU are unknown")
        return 1.0
    if meterset <= 0:
        reasons.append(f"its meterset is {meterset:g} MU")
        return 0.0
    final = item.optional_number("FinalCumulativeMetersetWeight") or total
    if final <= 0:
        reasons.append("FinalCumulativeMetersetWeight is not positive")
        return 1.0
    return meterset / final
