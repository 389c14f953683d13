"""Biological washout: which share of the nuclei leaves how fast, by model, tissue and nuclide.

A nucleus belongs to one of three components (fast, medium, slow); it stays with ``exp(-rate t)`` of its component from
the moment it is made. Source of the three-component form: Mizuno et al, Phys Med Biol 48:2269 (2003).
This module holds numbers only and loads no torch.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import CalibrationError, InputError
from protonqa.physics.nuclides import NUCLIDE_KEYS
from protonqa.tables import table_rows
from protonqa.values import Finding, Severity
from protonqa.values._arrays import frozen_array

COMPONENTS: tuple[str, ...] = ("fast", "medium", "slow")
NO_WASHOUT = "none"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WashoutModel:
    """Washout parameters of one model.

    Parameters
    ----------
    name : str
    tissues : tuple of str
        Tissue classes in order; ``("all",)`` where the model does not look at tissue.
    fractions : (n_tissue, 7, 3)
        Share of the nuclei in the fast, medium and slow component; sums to 1.
    rates_per_s : (n_tissue, 7, 3)
        Rate at which each component leaves; 0 stays for ever.
    group : (7,) int
        Nuclides with the same number share their parameters (carbon and the others in ``toramatsu-o15``).
    """

    name: str
    tissues: tuple[str, ...]
    fractions: NDArray[np.float64]
    rates_per_s: NDArray[np.float64]
    group: NDArray[np.int64]

    @property
    def needs_tissue(self) -> bool:
        """True when HU or a tissue map must be given."""
        return len(self.tissues) > 1

    @property
    def n_group(self) -> int:
        """Number of nuclide groups with parameters of their own."""
        return int(self.group.max()) + 1


@cache
def tissue_classes() -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Names of the tissue classes, and the HU at which each class after the first begins."""
    rows = table_rows("washout_tissues.csv")
    return tuple(r["tissue"] for r in rows), tuple(float(r["hu_from"]) for r in rows[1:])


def tissue_index(hu: ArrayLike) -> NDArray[np.uint8]:
    """Tissue class of each HU; a value on an edge belongs to the denser class."""
    _, edges = tissue_classes()
    return np.searchsorted(np.asarray(edges), np.asarray(hu), side="right").astype(np.uint8)


@cache
def washout_names() -> tuple[str, ...]:
    """Names of the washout models, ``none`` first."""
    return (NO_WASHOUT, *dict.fromkeys(row["model"] for row in table_rows("washout.csv")))


@cache
def washout_model(name: str) -> WashoutModel:
    """The washout model of that name.

    Raises
    ------
    InputError
        Unknown name; the message gives the nearest one.
    CalibrationError
        The packaged table is inconsistent.
    """
    if name not in washout_names():
        near = difflib.get_close_matches(name, washout_names(), n=1, cutoff=0.0)[0]
        raise InputError(
            "unknown washout model", got=repr(name), expected=", ".join(washout_names()), remedy=f"did you mean {near}?"
        )
    if name == NO_WASHOUT:
        still = np.zeros((1, len(NUCLIDE_KEYS), 3))
        stay = still + np.array([0.0, 0.0, 1.0])
        return _model(name, ("all",), stay, still, np.zeros(len(NUCLIDE_KEYS), dtype=np.int64))
    rows = [row for row in table_rows("washout.csv") if row["model"] == name]
    by_tissue = any(row["tissue"] != "all" for row in rows)
    tissues = tissue_classes()[0] if by_tissue else ("all",)
    shape = (len(tissues), len(NUCLIDE_KEYS), len(COMPONENTS))
    fractions, rates = np.zeros(shape), np.zeros(shape)
    for t, tissue in enumerate(tissues):
        for k, nuclide in enumerate(NUCLIDE_KEYS):
            fitting = [row for row in rows if _fits(row["tissue"], tissue) and _fits(row["nuclides"], nuclide)]
            fractions[t, k], rates[t, k] = _components(fitting, f"{name}, {tissue}, {nuclide}")
    spelled = [next(row["nuclides"] for row in rows if _fits(row["nuclides"], key)) for key in NUCLIDE_KEYS]
    order = list(dict.fromkeys(spelled))
    return _model(name, tissues, fractions, rates, np.array([order.index(s) for s in spelled]))


def _model(
    name: str,
    tissues: tuple[str, ...],
    fractions: NDArray[np.float64],
    rates: NDArray[np.float64],
    group: NDArray[np.int64],
) -> WashoutModel:
    return WashoutModel(
        name=name,
        tissues=tissues,
        fractions=frozen_array(fractions, "washout fractions"),
        rates_per_s=frozen_array(rates, "washout rates"),
        group=frozen_array(group, "nuclide groups", dtype=np.int64),
    )


def _fits(cell: str, key: str) -> bool:
    return cell == "all" or key in cell.split()


def _components(rows: list[dict[str, str]], where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fractions and rates (3,) of one tissue and nuclide."""
    weight = {"total": np.zeros(3), "remainder": np.zeros(3)}
    rates = np.zeros(3)
    for row in rows:
        i = COMPONENTS.index(row["component"])
        weight[row["basis"]][i] = float(row["weight"])
        half_life, rate = row["half_life_s"], row["rate_per_min"]
        if bool(half_life) == bool(rate):
            raise CalibrationError("washout table needs a half-life or a rate in each row", got=where)
        rates[i] = np.log(2.0) / float(half_life) if half_life else float(rate) / 60.0
    total, rest = weight["total"], weight["remainder"]
    if len({row["component"] for row in rows}) != len(rows) or total.sum() <= 0:
        raise CalibrationError("washout table repeats or lacks a component", got=where)
    if not rest.any():
        # Published shares need not add up to one (Mizuno, muscle: 101 %).
        return total / total.sum(), rates
    return total + (1.0 - total.sum()) * rest / rest.sum(), rates


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WashoutScenario:
    """A washout model with the factors that were drawn for it, one row a case.

    Parameters
    ----------
    model : str
    fraction_factors, half_life_factors : (n, n_tissue, n_group, 3) or None
        Multiply the published fractions and half-lives; None is 1 for all (one row). Fractions are divided by their
        new sum afterwards, so they stay shares of one whole and none can become negative.

    Raises
    ------
    InputError
        Unknown model, factors that are not positive or not of this model's shape.
    """

    model: str = NO_WASHOUT
    fraction_factors: NDArray[np.float64] | None = None
    half_life_factors: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        model = washout_model(self.model)
        tail = (len(model.tissues), model.n_group, len(COMPONENTS))
        for name in ("fraction_factors", "half_life_factors"):
            given = getattr(self, name)
            array = frozen_array(np.ones((1, *tail)) if given is None else given, name, shape=(None, *tail))
            if array.size == 0 or array.min() <= 0:
                raise InputError(f"washout {name} are not positive", expected="factors above 0")
            object.__setattr__(self, name, array)
        if self._factors(0).shape != self._factors(1).shape:
            raise InputError("washout factors of fractions and half-lives differ in number of rows")

    def _factors(self, which: int) -> NDArray[np.float64]:
        array = self.half_life_factors if which else self.fraction_factors
        if array is None:
            raise InputError("washout scenario holds no factors")
        return array

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self._factors(0).shape[0])

    def rows(self, start: int, stop: int) -> WashoutScenario:
        """Rows ``[start, stop)``."""
        return WashoutScenario(
            model=self.model,
            fraction_factors=self._factors(0)[start:stop],
            half_life_factors=self._factors(1)[start:stop],
        )

    def group_parameters(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fractions and rates (1/s) with the factors applied, each (n, n_tissue, n_group, 3)."""
        model = washout_model(self.model)
        first = [int(np.argmax(model.group == g)) for g in range(model.n_group)]
        fractions = model.fractions[:, first] * self._factors(0)
        fractions /= fractions.sum(axis=-1, keepdims=True)
        return fractions, model.rates_per_s[:, first] / self._factors(1)

    def parameters(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """As `group_parameters`, for each nuclide: (n, n_tissue, 7, 3)."""
        fractions, rates = self.group_parameters()
        group = washout_model(self.model).group
        return fractions[:, :, group], rates[:, :, group]


def draw_washout(model: str, rng: np.random.Generator, *, n: int = 1, spread: float = 0.5) -> WashoutScenario:
    """Draw washout factors, uniform within 1 +- `spread`, for `n` cases.

    One draw for each tissue class, nuclide group and component: tissues of one patient differ independently.
    """
    if not 0 <= spread < 1:
        raise InputError("spread of the washout draw is out of range", got=f"{spread}", expected="0 to below 1")
    values = washout_model(model)
    shape = (n, len(values.tissues), values.n_group, len(COMPONENTS))
    return WashoutScenario(
        model=model,
        fraction_factors=rng.uniform(1 - spread, 1 + spread, shape),
        half_life_factors=rng.uniform(1 - spread, 1 + spread, shape),
    )


_BORROWED = (
    "washout of liver, bowel, muscle and other soft tissue without published values is that of soft tissue (brain)"
)
_AIR = "below -150 HU, lung included, carbon is taken not to wash out"

_FINDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "mizuno-brain": (("WASHOUT-ONE-TISSUE", "washout of rabbit brain is used for all tissues and nuclides"),),
    "mizuno-muscle": (("WASHOUT-ONE-TISSUE", "washout of rabbit thigh muscle is used for all tissues and nuclides"),),
    "parodi-hu": (
        ("WASHOUT-BORROWED", _BORROWED),
        ("WASHOUT-AIR", "below -150 HU, lung included, nothing is taken to wash out"),
        ("WASHOUT-NUCLIDES", "washout measured for carbon is used for all nuclides"),
    ),
    "toramatsu-o15": (
        ("WASHOUT-BORROWED", _BORROWED),
        ("WASHOUT-AIR", _AIR),
        ("WASHOUT-NUCLIDES", "washout of 15O in rabbit brain is used for 13N 14O 30P 38K and in all tissues"),
    ),
}


def washout_findings(model: str) -> tuple[Finding, ...]:
    """What a reader must know about the model's assumptions; printed with every result that used it."""
    washout_model(model)
    return tuple(
        Finding(severity=Severity.WARNING, code=code, text=f"{text} (model {model})")
        for code, text in _FINDINGS.get(model, ())
    )
