"""Rays of a straight-ahead model in the columns of a training set: without noise, as many as wanted, for pre-training.

Protons travel along the column and differ in range alone, by straggling and energy spread; nuclear losses follow
Bortfeld's fluence, emitters the cross sections at the residual range and the composition of the CT. Neighbours of the
column, whose water-equivalent depths differ by the spread stored with it, are averaged. What the model lacks (nuclear
secondaries, scattering out of the ray) the Monte Carlo rays teach afterwards; what it brings is every energy, energy
spread, modulation and composition in every column, of which a simulated set holds one each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.physics.bragg import FLUENCE_SLOPE_PER_CM, LOCAL_NUCLEAR_SHARE, range_sigma_mm
from protonqa.physics.curves import Falloff, NotEvaluable, distal_range, falloff_width
from protonqa.physics.emission import CHANNELS, cross_section_set
from protonqa.physics.materials import elements, schneider_bin, schneider_materials
from protonqa.physics.rsp import material_rsp, rsp_from_hu
from protonqa.physics.stopping import energy_from_range_water_mev, stopping_power_water
from protonqa.range_model.beam_draws import RANGE_HIGH_MM, RANGE_LOW_MM, layer_ranges_and_weights
from protonqa.range_model.dataset import RayTable
from protonqa.range_model.rays import WORKING_BINS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Steps of depth and of residual range, mm.
STEP_MM = 0.5
_RESIDUALS = 1024
_FINER = 20
_PER_BIN = round(1.0 / STEP_MM)
#: Neighbours averaged, and how their spread is drawn around the stored one.
NEIGHBOURS = 5
#: Columns in which each drawn beam is tried, and the tissue it must leave behind its range.
COLUMNS_PER_BEAM, END_MM = 4, 10.0
SPREAD_FACTOR = (0.2, 1.4)
SOBP_SHARE, MODULATION, SPREAD_PERCENT = 0.5, (0.15, 0.6), (0.4, 1.6)
RSP_ERROR, COMPOSITION_HU = 0.035, 30.0
LEAST_R80_MM, LEAST_RSP = 15.0, 0.1
_BONE_HU, _SOFT_LOW_HU = 150.0, -150.0
_TABLE = "recommended"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Beam:
    """Curves against water-equivalent depth, dose first."""

    curves: Floats
    range_mm: float
    percent: float
    sobp: bool
    low_mev: float
    high_mev: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ray:
    production: Floats
    alternative: Floats
    dose: Floats
    r80_mm: float
    planned_r80_mm: float
    falloff_mm: float
    mixed: bool
    beam: _Beam


def plain_rays(
    table: RayTable,
    rows: Ints,
    *,
    rays: int,
    seed: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> RayTable:
    """`rays` rays with beams drawn anew in columns `rows` of `table`; same schema, anatomies of their columns.

    Raises
    ------
    InputError
        Channels of the set that are not reaction channels of the physics, or columns in which no beam stops.
    """
    names = [channel.name for channel in CHANNELS]
    unknown = [channel.name for channel in table.schema.channels if channel.name not in names]
    if unknown or rows.size == 0:
        raise InputError(
            "no rays can be made in the columns of this set",
            got=f"channels {', '.join(unknown[:3])}" if unknown else "no columns",
            expected="production by reaction channel",
        )
    rng = np.random.default_rng(seed)
    made: list[_Ray] = []
    columns: list[int] = []
    for _ in range(20 * rays):
        if len(made) >= rays or cancelled():
            break
        beam = _draw_beam(table, int(rng.choice(rows)), rng)
        for row in rng.choice(rows, COLUMNS_PER_BEAM) if beam is not None else ():
            ray = _draw_ray(table, int(row), beam, rng) if beam is not None else None
            if ray is not None:
                made.append(ray)
                columns.append(int(row))
    if not made:
        raise InputError("no beam stops in the columns of this set", expected="columns of 60 mm of tissue or more")
    return _table_of(table, np.array(columns[:rays]), made[:rays])


def _water_mm(rsp: Floats) -> float:
    """Water-equivalent length of a column up to its last tissue."""
    tissue = np.flatnonzero(rsp > LEAST_RSP)
    return float(rsp[: int(tissue[-1]) + 1].sum()) if tissue.size else 0.0


def _draw_beam(table: RayTable, row: int, rng: np.random.Generator) -> _Beam | None:
    """A beam that stops in column `row`, and its curves in water; None where none does."""
    share, modulation = rng.uniform(), rng.uniform(*MODULATION) if rng.uniform() < SOBP_SHARE else 0.0
    percent = rng.uniform(*SPREAD_PERCENT)
    high = min(RANGE_HIGH_MM, _water_mm(table.rsp[row].astype(np.float64)) - END_MM)
    if high <= RANGE_LOW_MM:
        return None
    ranges, weights = layer_ranges_and_weights(RANGE_LOW_MM + share * (high - RANGE_LOW_MM), modulation, percent)
    energies = energy_from_range_water_mev(ranges[weights > 0])
    return _Beam(
        curves=_curves(ranges, weights, percent),
        range_mm=float(ranges.max()),
        percent=percent,
        sobp=modulation > 0,
        low_mev=float(energies.min()),
        high_mev=float(energies.max()),
    )


def _draw_ray(table: RayTable, row: int, beam: _Beam, rng: np.random.Generator) -> _Ray | None:
    """One ray; None where the beam does not stop in the column or its range is not a number."""
    hu = table.hu_true[row].astype(np.float64)
    factor = 1.0 + float(np.clip(rng.normal(0.0, 0.5), -1.0, 1.0)) * RSP_ERROR
    shift = float(np.clip(rng.normal(0.0, 0.5), -1.0, 1.0)) * COMPOSITION_HU
    rsp = rsp_from_hu(hu) * factor
    spread_mm = table.wepl_spread_mm[row].astype(np.float64) * rng.uniform(*SPREAD_FACTOR)
    place, weight = rng.normal(0.0, 1.0, NEIGHBOURS), rng.dirichlet(np.ones(NEIGHBOURS))
    if beam.range_mm > _water_mm(rsp) - END_MM:
        return None
    wepl = _middle(np.repeat(rsp, _PER_BIN)) * STEP_MM
    off = place[:, None] * np.repeat(spread_mm, _PER_BIN)[None]
    seen = np.einsum("k,kcz->cz", weight, _read(beam.curves, np.maximum(wepl[None] + off, 0.0)))
    return _finished(table, row, beam, seen, hu, rsp, shift, wepl)


def _finished(
    table: RayTable, row: int, beam: _Beam, seen: Floats, hu: Floats, rsp: Floats, shift: float, wepl: Floats
) -> _Ray | None:
    """Truth of a ray and its nuclei in the tissue of the column."""
    dose = seen[0]
    depth = (np.arange(dose.size) + 0.5) * STEP_MM
    mark = distal_range(depth, dose) if dose.max() > 0 else None
    if mark is None or isinstance(mark, NotEvaluable) or not LEAST_R80_MM <= mark.value_mm <= WORKING_BINS - 20.0:
        return None
    at = int(mark.value_mm)
    if rsp[max(at - 2, 0) : at + 3].min() < LEAST_RSP:
        return None
    local = float(rsp[at : at + 4].mean())
    water_mm = float(np.interp(mark.value_mm, depth, wepl))
    width = falloff_width(depth, dose, wepl_mm=max(water_mm, 1.0), rsp=local, energy_spread_percent=beam.percent)
    if not isinstance(width, Falloff):
        return None
    soft = (hu > _SOFT_LOW_HU) & (hu < _BONE_HU)
    made_of = schneider_bin(np.where(soft, np.clip(hu + shift, _SOFT_LOW_HU, _BONE_HU), hu))
    # The density is such that the RSP is the drawn one: composition and range error do not mix.
    density = rsp / _mass_ratios()[made_of]
    nuclei = _per_bin(seen[1:]) * (_targets_per_g()[:, made_of] * density[None])
    own = [[c.name for c in CHANNELS].index(channel.name) for channel in table.schema.channels]
    other = [_alternative_row(one.table, one.channel) for one in table.schema.alternatives]
    return _Ray(
        production=nuclei[own],
        alternative=nuclei[other] if other else np.zeros((0, WORKING_BINS)),
        dose=dose.reshape(table.schema.n_dose, -1).mean(axis=1) / dose.max(),
        r80_mm=mark.value_mm,
        planned_r80_mm=_planned_mm(table.rsp[row].astype(np.float64), water_mm),
        falloff_mm=width.width_mm,
        mixed=width.is_range_mixed(),
        beam=beam,
    )


def _planned_mm(rsp: Floats, water_mm: float) -> float:
    """Where the planning CT has this water-equivalent depth."""
    edges = np.arange(rsp.size + 1, dtype=np.float64)
    return float(np.clip(np.interp(water_mm, np.concatenate([[0.0], np.cumsum(rsp)]), edges), 1.0, rsp.size - 1.0))


def _curves(ranges: Floats, weights: Floats, percent: float) -> Floats:
    """Dose and nuclei per target against water-equivalent depth in steps, of all layers together; (1 + n, steps)."""
    sigma = range_sigma_mm(energy_from_range_water_mev(ranges), percent)
    grid = (np.arange(_RESIDUALS) + 0.5) * STEP_MM
    each = np.exp(-0.5 * ((grid[None] - ranges[:, None]) / sigma[:, None]) ** 2) / sigma[:, None]
    # Each layer is a number of protons at the surface: fewer of them come far.
    weight = weights / (1.0 + FLUENCE_SLOPE_PER_CM * ranges / 10.0)
    spectrum = np.fft.rfft(weight @ each, n=2 * _RESIDUALS)
    # Range minus residual is depth: a convolution with the kernels turned round.
    whole = np.fft.irfft(spectrum[None] * _kernels(), n=2 * _RESIDUALS)
    return np.maximum(whole[:, _RESIDUALS - 1 :], 0.0)


def _read(curves: Floats, wepl_mm: Floats) -> Floats:
    """Curves at water-equivalent depths, linear between steps; (c, m), (k, z) -> (k, c, z)."""
    place = np.minimum(wepl_mm / STEP_MM, curves.shape[1] - 2.0)
    left = place.astype(np.int64)
    part = place - left
    low, high = curves[:, left], curves[:, left + 1]
    return np.asarray((low + part[None] * (high - low)).transpose(1, 0, 2))


@lru_cache(maxsize=1)
def _rows() -> tuple[tuple[str, int], ...]:
    """Rows of nuclei: all channels of the own table, then those of the other whose curves differ."""
    own = [(_TABLE, i) for i in range(len(CHANNELS))]
    residual = np.linspace(0.5, RANGE_HIGH_MM, 400)
    energy = energy_from_range_water_mev(residual)
    base, other = cross_section_set(_TABLE), cross_section_set("gate")
    differ = [
        ("gate", i)
        for i, c in enumerate(CHANNELS)
        if not np.array_equal(base.xs_mb(c.name, energy), other.xs_mb(c.name, energy))
    ]
    return (*own, *differ)


def _alternative_row(table: str, channel: str) -> int:
    found = [n for n, (name, i) in enumerate(_rows()) if name == table and CHANNELS[i].name == channel]
    if not found:
        raise InputError("training set has an alternative that the physics lacks", got=f"{table}, {channel}")
    return found[0]


@lru_cache(maxsize=1)
def _kernels() -> NDArray[np.complex128]:
    """Spectra of dose and nuclei per target against residual range, turned round; (1 + n, frequencies)."""
    # Means over each step from finer ones: at the end of the range the stopping power has a pole.
    residual = (np.arange(_RESIDUALS * _FINER) + 0.5) * (STEP_MM / _FINER)
    energy = energy_from_range_water_mev(np.minimum(residual, RANGE_HIGH_MM + 5.0))
    fluence = 1.0 + FLUENCE_SLOPE_PER_CM * residual / 10.0
    dose = fluence * stopping_power_water(energy) + FLUENCE_SLOPE_PER_CM * LOCAL_NUCLEAR_SHARE * energy
    rows = [dose] + [fluence * cross_section_set(table).xs_mb(CHANNELS[i].name, energy) for table, i in _rows()]
    means = np.stack(rows).reshape(len(rows), _RESIDUALS, _FINER).mean(axis=2)
    return np.asarray(np.fft.rfft(means[:, ::-1], n=2 * _RESIDUALS))


@lru_cache(maxsize=1)
def _targets_per_g() -> Floats:
    """Target nuclei per gram, relative, of each row and Schneider material; (n, 25)."""
    parts = [(CHANNELS[i].element, CHANNELS[i].abundance / elements()[CHANNELS[i].element].a) for _, i in _rows()]
    return np.array(
        [[m.composition.get(symbol, 0.0) * share for m in schneider_materials()] for symbol, share in parts]
    )


@lru_cache(maxsize=1)
def _mass_ratios() -> Floats:
    return np.array([material_rsp(m) / m.density_g_per_cm3 for m in schneider_materials()])


def _middle(steps: Floats) -> Floats:
    """Sum up to the middle of each step."""
    return np.asarray(np.cumsum(steps) - 0.5 * steps)


def _per_bin(values: Floats) -> Floats:
    return np.asarray(values.reshape(*values.shape[:-1], WORKING_BINS, _PER_BIN).mean(axis=-1))


def _table_of(table: RayTable, columns: Ints, made: list[_Ray]) -> RayTable:
    def numbers(name: str) -> Floats:
        return np.array([float(getattr(ray, name)) for ray in made])

    base = table.select(columns)
    return replace(
        base,
        production=np.stack([ray.production for ray in made]).astype(np.float32),
        alternative=np.stack([ray.alternative for ray in made]).astype(np.float32),
        planned_production=np.zeros((len(made), 0, WORKING_BINS), dtype=np.float32),
        planned_known=np.zeros(len(made), dtype=bool),
        dose=np.stack([ray.dose for ray in made]).astype(np.float32),
        r80_mm=numbers("r80_mm"),
        planned_r80_mm=numbers("planned_r80_mm"),
        falloff_mm=numbers("falloff_mm"),
        energy_low_mev=np.array([ray.beam.low_mev for ray in made]),
        energy_high_mev=np.array([ray.beam.high_mev for ray in made]),
        range_mixed=np.array([ray.mixed for ray in made]),
        sobp=np.array([ray.beam.sobp for ray in made]),
        protons=np.zeros(len(made)),
        r80_noise_mm=np.zeros(len(made)),
        dose_noise_percent=np.zeros(len(made)),
    )
