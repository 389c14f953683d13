"""A50 lines of one scenario: a line gets every advantage and learns under the very conditions it is asked in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protonqa.errors import InputError
from protonqa.study.baselines.a50_line import FittedA50Line
from protonqa.study.baselines.catalogue import trainable_baselines
from protonqa.study.baselines.interface import KnownProfiles, RayProfiles
from protonqa.study.conditions import STORED
from protonqa.study.perturb import draw_for, measured_rays
from protonqa.study.scenarios import StudyScenario

if TYPE_CHECKING:
    from protonqa.jobs.cell import CellContext
    from protonqa.range_model.card import ModelCard

#: Lines that the card of a model holds.
OF_CARD: tuple[str, ...] = ("a50-line", "a50-line-rsp")


def fit_cell(parameters: dict[str, Any], context: CellContext) -> dict[str, Any]:
    """Cell function: fit the lines of one scenario on training rays; a line that cannot be fitted is null."""
    from protonqa.range_model.predict import torch_threads
    from protonqa.study.rays import laid_out

    context.check_cancelled()
    scenario = StudyScenario.model_validate(parameters["scenario"])
    table = laid_out(Path(parameters["rays"]), parameters["rays_hash"])
    table = table.select(np.arange(len(table)))
    if scenario.cross_sections not in (STORED, *table.schema.tables):
        scenario = scenario.model_copy(update={"cross_sections": STORED})
    with torch_threads(1):
        draw = draw_for(scenario, table, "lines", parameters["seed"])
        rays = RayProfiles.from_batch(measured_rays(scenario, table, draw))
        training = KnownProfiles(profiles=rays, r80_mm=np.asarray(table.r80_mm))
        return {name: _fitted(name, training) for name in parameters["methods"]}


def _fitted(name: str, training: KnownProfiles) -> dict[str, Any] | None:
    line = next(one for one in trainable_baselines() if one.name == name)
    try:
        fitted = line.fit(training)
    except InputError:
        return None
    if not isinstance(fitted, FittedA50Line):
        return None
    return {"plain": fitted.plain.model_dump(mode="json"), "lines": fitted.lines.model_dump(mode="json")}


def lines_of_card(card: ModelCard, methods: tuple[str, ...]) -> dict[str, Any]:
    """The lines the model's card holds, in the form of `fit_cell`."""
    plain = card.a50_lines.model_dump(mode="json")
    return {name: {"plain": plain, "lines": plain} if name in OF_CARD else None for name in methods}


def built_lines(plain: Mapping[str, Any]) -> dict[str, FittedA50Line]:
    """The lines from their numbers; those that could not be fitted are left out."""
    from protonqa.range_model.a50line import A50Lines

    variants = {one.name: one.variant for one in trainable_baselines() if hasattr(one, "variant")}
    return {
        name: FittedA50Line(
            variant=variants[name],
            plain=A50Lines.model_validate(numbers["plain"]),
            lines=A50Lines.model_validate(numbers["lines"]),
        )
        for name, numbers in plain.items()
        if numbers is not None
    }
