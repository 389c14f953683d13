"""How large a study will be, before anything of it is computed."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protonqa.device import usable_cores

if TYPE_CHECKING:
    from protonqa.range_model.model_file import RangeModel
    from protonqa.study.settings import StudyConfig

#: Rays that the range model is timed with on this computer.
_TIMED_RAYS = 128
_TIMED_BINS = 320


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySize:
    """What a study file asks for.

    Parameters
    ----------
    title : str
    scenarios : int
        ``groups`` counts them by kind: named, base, grid, vary.
    methods : int
    anatomies, rays : int
    simulated : bool
        Twins are simulated first: ``rays`` is what their recipe gives in the mean, and that time is not in ``least_s``.
    cells : int
    least_s : float or None
        Time of the range model alone with all cores of this computer, by its speed measured now. The other methods,
        reading and tables come on top.
    """

    title: str
    scenarios: int
    groups: dict[str, int]
    methods: int
    anatomies: int
    rays: int
    simulated: bool
    cells: int
    least_s: float | None

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self)


def study_size(text: str, folder: Path, *, timed: bool = True) -> StudySize:
    """The size of the study in YAML `text`; relative paths count from `folder`.

    Parameters
    ----------
    timed : bool
        Measure the range model for ``least_s``; it takes about a second.

    Raises
    ------
    InputError
        A slip in the text, with its line; a set of rays that is not there or is damaged.
    """
    from protonqa.study.cell import open_model
    from protonqa.study.scenarios import scenarios_of
    from protonqa.study.settings import study_from_text

    study = study_from_text(text, folder)
    scenarios = scenarios_of(study)
    model = open_model(study.model)
    anatomies, rays = _counts(study, model)
    seconds = None
    if timed and "model" in study.methods:
        # Once on the delivered and once on the expected profile of each ray.
        seconds = 2.0 * rays * len(scenarios) * _seconds_a_ray(model) / usable_cores()
    return StudySize(
        title=study.title,
        scenarios=len(scenarios),
        groups=dict(Counter(one.group for one in scenarios)),
        methods=len(study.methods),
        anatomies=anatomies,
        rays=rays,
        simulated=study.rays.twins is not None,
        cells=anatomies * len(scenarios),
        least_s=seconds,
    )


def _counts(study: StudyConfig, model: RangeModel) -> tuple[int, int]:
    """Anatomies and rays: of twins by their recipe, else by what is there."""
    from protonqa.study.rays import open_rays, recipe_of_twins

    if study.rays.twins is not None:
        recipe = recipe_of_twins(study.rays.twins, model.card)
        per_site = [
            (one.patients, sum(one.fields) / 2 * recipe.rays_per_field + sum(one.pencils) / 2)
            for one in recipe.sites.values()
        ]
        anatomies = sum(patients for patients, _ in per_site)
        rays = round(sum(patients * each for patients, each in per_site))
        most, most_each = study.rays.most_anatomies, study.rays.most_rays_per_anatomy
        kept = anatomies if most is None else min(anatomies, most)
        each = rays / max(anatomies, 1)
        return kept, round(kept * (each if most_each is None else min(each, most_each)))
    with tempfile.TemporaryDirectory(prefix="protonqa-size-") as work:
        opened = open_rays(study.rays, model.card, Path(work), seed=study.seed, line_rays=study.line_rays)
    return int(opened.facts["anatomies"]), int(opened.facts["rays"])


def _seconds_a_ray(model: RangeModel) -> float:
    """Time of the model for one ray, on one core."""
    from protonqa.range_model.predict import predict_ranges
    from protonqa.values import ProfileSet, Timeline

    depth_mm = np.arange(_TIMED_BINS, dtype=np.float64) + 0.5
    ends_mm = np.linspace(60.0, 250.0, _TIMED_RAYS)[:, None]
    curves = 1e-4 / (1.0 + np.exp((depth_mm - ends_mm) / 2.0))
    line = Timeline(irradiation_s=90.0, delay_s=150.0, acquisition_s=1200.0)
    profiles = ProfileSet(depth_mm=depth_mm, activity=curves, rsp=np.ones_like(curves), timeline=line, psf_fwhm_mm=5.0)
    predict_ranges(model, profiles)  # the first use loads libraries
    began = time.perf_counter()
    predict_ranges(model, profiles)
    return (time.perf_counter() - began) / _TIMED_RAYS
