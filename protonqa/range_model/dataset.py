"""Training rays in memory: one ray with its truth, tables of many, and splits that keep anatomies apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from protonqa.errors import InputError
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.range_model.config import Settings, canonical_hash
from protonqa.range_model.rays import WORKING_BINS

Floats32 = NDArray[np.float32]
RayKind = Literal["pencil", "bev"]


class Channel(Settings):
    """One row of the stored production: a nuclide, or one reaction of it, in all tissue or in one class of it.

    ``hu`` names the tissue for washout where production was tallied by tissue class; None takes the HU along the ray.
    """

    name: str
    nuclide: str
    hu: float | None = None


class Alternative(Settings):
    """One row of the alternative production: a channel with the curve that another table of cross sections has."""

    table: str
    channel: str


class SetSchema(Settings):
    """What every ray of a set has in common."""

    channels: tuple[Channel, ...] = tuple(Channel(name=key, nuclide=key) for key in NUCLIDE_KEYS)
    alternatives: tuple[Alternative, ...] = ()
    dose_bin_mm: float = Field(0.5, gt=0.0, le=1.0)

    @property
    def n_dose(self) -> int:
        """Dose bins of a ray."""
        return round(WORKING_BINS / self.dose_bin_mm)

    def identity(self) -> str:
        """Hash that a shard carries; alternatives count where there are some."""
        return canonical_hash(self.model_dump(mode="json", exclude=None if self.alternatives else {"alternatives"}))

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the other tables of cross sections that the set holds."""
        return tuple(dict.fromkeys(one.table for one in self.alternatives))

    def nuclide_index(self) -> NDArray[np.int64]:
        """Row of ``NUCLIDE_KEYS`` that each channel belongs to; (n_channel,)."""
        unknown = [c.nuclide for c in self.channels if c.nuclide not in NUCLIDE_KEYS]
        if unknown:
            raise InputError(
                "unknown nuclide in a training set", got=", ".join(unknown), expected=", ".join(NUCLIDE_KEYS)
            )
        return np.array([NUCLIDE_KEYS.index(c.nuclide) for c in self.channels])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingRay:
    """One simulated ray with its truth. Depths are 1 mm bins from depth 0 (448 of them), dose in the schema's bins.

    Parameters
    ----------
    anatomy : str
        Which patient model; training, calibration and test never share one.
    site : str
        Such as ``abdomen``.
    kind : {"pencil", "bev"}
        Laterally integrated pencil beam, or one ray of a field.
    production : (n_channel, 448)
        Nuclei made per mm and proton, in the delivered anatomy.
    hu_true : (448,)
        Delivered anatomy: decides the washout.
    hu, rsp : (448,)
        Planning CT: what the model may see.
    dose : (n_dose,)
        Dose to water, any linear unit.
    r80_mm : float
        True R80 from the fine depth tally.
    planned_r80_mm : float
        Places depth windows, as in a clinic; never a feature. Equal to `r80_mm` where nothing was changed.
    energy_low_mev, energy_high_mev : float
        Lowest and highest beam energy, for the domain in the card; never features.
    falloff_mm : float
        R20 - R80.
    range_mixed, heterogeneous, sobp : bool
        Marks for the tables, fixed before any training.
    protons : float
        Histories behind the ray.
    part : str
        ``train``, ``calibrate``, ``test`` or ``held`` (a site held out); empty where the set does not say.
    alternative : (n_alternative, 448)
        Production of the schema's alternatives.
    planned_production : (n_channel, 448)
        The same beam on the planning CT, where it was simulated: what a plan leaves one to expect. Zeros elsewhere.
    planned_known : bool
        Whether it was; `planned_r80_mm` is then the R80 of that simulation.
    wepl_spread_mm : (448,)
        SD of the planned water-equivalent depth among the neighbours of the ray.
    r80_noise_mm, dose_noise_percent : float
        Standard error of `r80_mm`, and of the dose in a bin (mean over bins from the surface to R80 with at least a
        tenth of the maximum), from the batches of the simulation; NaN where it is not known.
    """

    anatomy: str
    site: str
    kind: RayKind
    production: NDArray[Any]
    hu_true: NDArray[Any]
    hu: NDArray[Any]
    rsp: NDArray[Any]
    dose: NDArray[Any]
    r80_mm: float
    planned_r80_mm: float
    energy_low_mev: float
    energy_high_mev: float
    falloff_mm: float
    range_mixed: bool = False
    heterogeneous: bool = False
    sobp: bool = False
    protons: float = 0.0
    part: str = ""
    alternative: NDArray[Any] | None = None
    planned_production: NDArray[Any] | None = None
    planned_known: bool = False
    wepl_spread_mm: NDArray[Any] | None = None
    r80_noise_mm: float = float("nan")
    dose_noise_percent: float = float("nan")

    def checked(self, schema: SetSchema) -> TrainingRay:
        """The ray itself when it fits `schema`.

        Raises
        ------
        InputError
            Wrong shapes, values that are not finite, negative production, R80 outside the working grid.
        """
        shapes = {
            "production": (len(schema.channels), WORKING_BINS),
            "hu_true": (WORKING_BINS,),
            "hu": (WORKING_BINS,),
            "rsp": (WORKING_BINS,),
            "dose": (schema.n_dose,),
            "alternative": (len(schema.alternatives), WORKING_BINS),
            "planned_production": (len(schema.channels), WORKING_BINS),
            "wepl_spread_mm": (WORKING_BINS,),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is None and not (name == "planned_production" and self.planned_known):
                continue  # stands as zeros
            array = np.asarray(value)
            if array.shape != shape:
                raise InputError(f"training ray has a wrong {name}", got=str(array.shape), expected=str(shape))
            if not np.isfinite(array).all():
                raise InputError(f"training ray has {name} values that are not finite", expected="finite numbers")
        if (np.asarray(self.production) < 0).any() or not (np.asarray(self.dose) > 0).any():
            raise InputError("training ray has negative production or no dose", expected="production >= 0, dose > 0")
        for name in ("r80_mm", "planned_r80_mm"):
            if not 0 < getattr(self, name) < WORKING_BINS:
                raise InputError(
                    f"{name} of a training ray is off the grid",
                    got=f"{getattr(self, name)} mm",
                    expected=f"0 to {WORKING_BINS} mm",
                )
        if self.kind not in ("pencil", "bev") or not self.anatomy:
            raise InputError("training ray has no anatomy or an unknown kind", got=f"kind {self.kind!r}")
        return self


_ARRAYS = ("production", "hu_true", "hu", "rsp", "dose", "alternative", "planned_production", "wepl_spread_mm")
_NUMBERS = (
    "r80_mm",
    "planned_r80_mm",
    "energy_low_mev",
    "energy_high_mev",
    "falloff_mm",
    "protons",
    "r80_noise_mm",
    "dose_noise_percent",
)
_FLAGS = ("range_mixed", "heterogeneous", "sobp", "planned_known")
_TEXTS = ("anatomy", "site", "kind", "part")
#: Every column of a table and of a shard, and those that the first sets did not have.
COLUMNS: tuple[str, ...] = (*_ARRAYS, *_NUMBERS, *_FLAGS, *_TEXTS)
LATER_COLUMNS: frozenset[str] = frozenset(
    {
        "alternative",
        "planned_production",
        "planned_known",
        "wepl_spread_mm",
        "r80_noise_mm",
        "dose_noise_percent",
        "part",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RayTable:
    """Many training rays as arrays: `production` (n, channel, 448) and so on, a row a ray, order of the shards."""

    schema: SetSchema
    production: Floats32
    hu_true: Floats32
    hu: Floats32
    rsp: Floats32
    dose: Floats32
    r80_mm: NDArray[np.float64]
    planned_r80_mm: NDArray[np.float64]
    energy_low_mev: NDArray[np.float64]
    energy_high_mev: NDArray[np.float64]
    falloff_mm: NDArray[np.float64]
    protons: NDArray[np.float64]
    range_mixed: NDArray[np.bool_]
    heterogeneous: NDArray[np.bool_]
    sobp: NDArray[np.bool_]
    anatomy: NDArray[np.str_]
    site: NDArray[np.str_]
    kind: NDArray[np.str_]
    part: NDArray[np.str_]
    alternative: Floats32
    planned_production: Floats32
    planned_known: NDArray[np.bool_]
    wepl_spread_mm: Floats32
    r80_noise_mm: NDArray[np.float64]
    dose_noise_percent: NDArray[np.float64]
    content_hash: str = field(default="")

    def __len__(self) -> int:
        return int(self.r80_mm.size)

    @property
    def flat(self) -> NDArray[np.bool_]:
        """Rays through tissue that is neither heterogeneous nor mixes ranges."""
        return ~self.heterogeneous & ~self.range_mixed

    def production_of(self, rows: NDArray[Any], table: str = "") -> Floats32:
        """Production of `rows` with the curves of another table of cross sections; (n, channel, 448).

        Parameters
        ----------
        table : str
            One of ``schema.tables``; empty for the table of `production`.

        Raises
        ------
        InputError
            A table that the set does not hold.
        """
        made = np.asarray(self.production[rows])
        if not table:
            return made
        if table not in self.schema.tables:
            raise InputError(
                "training set does not hold this table of cross sections",
                got=repr(table[:40]),
                expected=", ".join(self.schema.tables) or "none: this set has one table",
            )
        made = made.copy()
        names = [channel.name for channel in self.schema.channels]
        for i, one in enumerate(self.schema.alternatives):
            if one.table == table:
                made[:, names.index(one.channel)] = self.alternative[rows, i]
        return made

    def select(self, rows: NDArray[Any]) -> RayTable:
        """The rays of `rows` (indices or mask)."""
        kept = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in ("schema", "content_hash")}
        return replace(self, **kept)

    @classmethod
    def from_rays(cls, rays: Sequence[TrainingRay], schema: SetSchema) -> RayTable:
        """Stack checked rays; the content hash is that of the arrays."""
        if not rays:
            raise InputError("no training rays", expected="at least one ray")
        arrays = stack_rays([ray.checked(schema) for ray in rays], schema)
        return cls(schema=schema, content_hash=arrays_hash(arrays), **arrays)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Rows of a table for training, calibration and test; no anatomy stands in two of them.

    ``held`` are rows of sites that the set holds out: for tests, in rows of their own.
    """

    train: NDArray[np.int64]
    calibrate: NDArray[np.int64]
    test: NDArray[np.int64]
    held: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def split_of(
    table: RayTable, *, seed: int, calibrate: float = 0.2, test: float = 0.15, hold_out: Sequence[str] = ()
) -> Split:
    """The parts that the set itself names, by site; where it names none, those of `split_by_anatomy`.

    Parameters
    ----------
    hold_out : sequence of str
        Sites that are for tests alone, whatever the set says of them.

    Raises
    ------
    InputError
        A set that names parts and leaves training, calibration or test empty; a site that it does not have; and as
        `split_by_anatomy`.
    """
    strange = sorted(set(hold_out) - set(table.site.tolist()))
    if strange:
        raise InputError(
            "training set has no such site to hold out",
            got=", ".join(strange),
            expected=", ".join(np.unique(table.site)),
        )
    away = np.isin(table.site, list(hold_out))
    if not np.char.str_len(table.part).any():
        kept = np.flatnonzero(~away)
        parts = split_by_anatomy(table.anatomy[kept].tolist(), seed=seed, calibrate=calibrate, test=test)
        return Split(
            train=kept[parts.train],
            calibrate=kept[parts.calibrate],
            test=kept[parts.test],
            held=np.flatnonzero(away),
        )
    rows = {name: np.flatnonzero((table.part == name) & ~away) for name in ("train", "calibrate", "test")}
    rows["held"] = np.flatnonzero((table.part == "held") | away)
    empty = [name for name in ("train", "calibrate", "test") if rows[name].size == 0]
    if empty:
        raise InputError(
            "training set leaves a part empty", got=f"no rays to {' and '.join(empty)}", remedy="make more patients"
        )
    return Split(**rows)


def split_by_anatomy(anatomy: Iterable[str], *, seed: int, calibrate: float = 0.2, test: float = 0.15) -> Split:
    """Split rays by anatomy. An anatomy's part depends on its name and the seed, not on the order of the rays.

    Each part gets its share of the anatomies, at least one where there are three or more.

    Raises
    ------
    InputError
        Fewer than three anatomies, or shares that leave nothing for training.
    """
    names = np.asarray(list(anatomy), dtype=np.str_)
    unique = sorted(set(names.tolist()), key=lambda a: hashlib.sha256(f"{seed}:{a}".encode()).digest())
    n = len(unique)
    if n < 3 or calibrate <= 0 or test <= 0 or calibrate + test >= 1:
        raise InputError(
            "training set cannot be split by anatomy",
            got=f"{n} anatomies, shares {calibrate:g} and {test:g}",
            expected="three anatomies or more, shares above 0 with a sum below 1",
        )
    n_test, n_calibrate = max(1, round(test * n)), max(1, round(calibrate * n))
    n_test = min(n_test, n - n_calibrate - 1)
    parts = (unique[n_test + n_calibrate :], unique[n_test : n_test + n_calibrate], unique[:n_test])
    rows = [np.flatnonzero(np.isin(names, part)) for part in parts]
    return Split(train=rows[0], calibrate=rows[1], test=rows[2])


def stack_rays(rays: Sequence[TrainingRay], schema: SetSchema) -> dict[str, NDArray[Any]]:
    """Columns of a table, by name; what a ray leaves out stands as zeros."""
    absent = {
        "alternative": np.zeros((len(schema.alternatives), WORKING_BINS)),
        "planned_production": np.zeros((len(schema.channels), WORKING_BINS)),
        "wepl_spread_mm": np.zeros(WORKING_BINS),
    }
    columns: dict[str, NDArray[Any]] = {}
    for name in _ARRAYS:
        values = [getattr(r, name) for r in rays]
        columns[name] = np.stack([np.asarray(absent[name] if v is None else v, dtype=np.float32) for v in values])
    for name in _NUMBERS:
        columns[name] = np.array([float(getattr(r, name)) for r in rays])
    for name in _FLAGS:
        columns[name] = np.array([bool(getattr(r, name)) for r in rays])
    for name in _TEXTS:
        columns[name] = np.array([str(getattr(r, name)) for r in rays])
    return columns


def completed(arrays: dict[str, NDArray[Any]], schema: SetSchema) -> dict[str, NDArray[Any]]:
    """Columns of an older shard with those that it does not have yet: zeros, NaN and empty text."""
    n = int(arrays["r80_mm"].size)
    later: dict[str, NDArray[Any]] = {
        "alternative": np.zeros((n, len(schema.alternatives), WORKING_BINS), dtype=np.float32),
        "planned_production": np.zeros((n, len(schema.channels), WORKING_BINS), dtype=np.float32),
        "wepl_spread_mm": np.zeros((n, WORKING_BINS), dtype=np.float32),
        "r80_noise_mm": np.full(n, np.nan),
        "dose_noise_percent": np.full(n, np.nan),
        "planned_known": np.zeros(n, dtype=bool),
        "part": np.full(n, "", dtype="<U1"),
    }
    return {**later, **arrays}


def arrays_hash(arrays: dict[str, NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        if name == "schema_hash":
            continue
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
