"""What a study computed, scenario by scenario, beside what is known of each ray."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import StoreError
from protonqa.jobs.journal import read_outcomes
from protonqa.study.cell import NUMBERS, decoded

if TYPE_CHECKING:
    from protonqa.range_model.dataset import RayTable
    from protonqa.study.scenarios import StudyScenario

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FLAT, ROUGH, MIXED = "flat, mono-energetic", "heterogeneous or spread-out", "range-mixed"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RayFacts:
    """What is known of each ray of the study, (n_ray,)."""

    anatomy: NDArray[np.str_]
    site: NDArray[np.str_]
    kind: NDArray[np.str_]
    true_mm: Floats
    planned_mm: Floats
    group: NDArray[np.str_]
    heterogeneous: Flags
    sobp: Flags

    @classmethod
    def of(cls, table: RayTable) -> RayFacts:
        """Facts of a table; the kind of a ray was fixed when it was simulated."""
        mixed, rough, sobp = (np.array(getattr(table, name)) for name in ("range_mixed", "heterogeneous", "sobp"))
        return cls(
            anatomy=np.array(table.anatomy),
            site=np.array(table.site),
            kind=np.array(table.kind),
            true_mm=np.array(table.r80_mm, dtype=np.float64),
            planned_mm=np.array(table.planned_r80_mm, dtype=np.float64),
            group=np.where(mixed, MIXED, np.where(rough | sobp, ROUGH, FLAT)),
            heterogeneous=np.asarray(rough & ~mixed),
            sobp=np.asarray(sobp & ~mixed),
        )

    @property
    def mixed(self) -> Flags:
        """Rays with two ranges."""
        return np.asarray(self.group == MIXED)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScenarioAnswers:
    """All answers under one scenario.

    Parameters
    ----------
    rows : (n,)
        Rays of the study.
    scored : (n,) bool
        Rays that the row of this scenario judges: deeper than its window is long.
    floor_mm : (n,)
    answered, reason : (n_method, n)
    numbers : mapping of name to (n_method, n)
        Names of `protonqa.study.cell.NUMBERS`.
    """

    scenario: StudyScenario
    methods: tuple[str, ...]
    rows: NDArray[np.int64]
    scored: Flags
    floor_mm: Floats
    answered: Flags
    reason: NDArray[np.str_]
    numbers: dict[str, Floats]

    def method(self, name: str) -> int:
        """Row of a method."""
        return self.methods.index(name)


def scenario_answers(
    folder: Path, scenarios: tuple[StudyScenario, ...], methods: tuple[str, ...], facts: RayFacts
) -> Iterator[ScenarioAnswers]:
    """Answers of each scenario in order, read from the journal of the study; scenarios without a result are left out.

    Raises
    ------
    StoreError
        No journal, or a damaged one.
    """
    by_key = {one.key: one for one in scenarios}
    parts: list[dict[str, NDArray[Any]]] = []
    current = ""
    for outcome in read_outcomes(folder):
        key = outcome.cell_id.partition(".")[0]
        if key not in by_key:
            raise StoreError("the journal holds a cell that is not of this study", got=outcome.cell_id[:40])
        if key != current and parts:
            yield _joined(by_key[current], methods, facts, parts)
            parts = []
        current = key
        if outcome.done:
            parts.append(decoded(outcome.content))
    if parts:
        yield _joined(by_key[current], methods, facts, parts)


def _joined(
    scenario: StudyScenario, methods: tuple[str, ...], facts: RayFacts, parts: list[dict[str, NDArray[Any]]]
) -> ScenarioAnswers:
    rows = np.concatenate([one["rows"] for one in parts])
    floor = np.concatenate([one["floor_mm"] for one in parts])
    wide = {name: np.concatenate([one[name] for one in parts], axis=1) for name in ("answered", "reason", *NUMBERS)}
    deepest = 0.0 if scenario.window_mm is None else scenario.window_mm
    return ScenarioAnswers(
        scenario=scenario,
        methods=methods,
        rows=rows,
        scored=facts.true_mm[rows] > deepest,
        floor_mm=floor,
        answered=wide["answered"],
        reason=wide["reason"],
        numbers={name: wide[name] for name in NUMBERS},
    )
