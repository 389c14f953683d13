"""Acceptance test of the study: rays known in closed form, moved by known amounts, through the whole machinery."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from protonqa.analyses.interface import Check, Commissioning, Context
from protonqa.analyses.sensitivity_study.known_rays import write_known_rays
from protonqa.jobs.runner import backend_for
from protonqa.study.columns import scenario_answers
from protonqa.study.conditions import Condition
from protonqa.study.run import StudyOutcome, replay, run_study
from protonqa.study.settings import Bootstrap, RaySource, StudyConfig

if TYPE_CHECKING:
    from protonqa.analyses.sensitivity_study.params import StudyParams

SHIFT_MM = 8.0
NOISY = "grid: snr 10"
#: With 200 rays an SD is known within 5 %, 1 SD.
_BOUND_LOW, _BOUND_HIGH = 0.85, 1.2


def commission(context: Context[StudyParams]) -> Commissioning:
    """Shifts of up to 8 mm found again, noise at its Cramer-Rao bound, stated errors honest, cells repeatable."""
    anatomies = 12 if context.quick else 60
    with tempfile.TemporaryDirectory(prefix="protonqa-study-") as scratch:
        folder = Path(scratch)
        context.progress(0, 4, "rays in closed form")
        rays = write_known_rays(
            folder / "rays", seed=context.seed + 5, anatomies=anatomies, rays_each=10, shift_mm=SHIFT_MM
        )
        study = _study(rays, context.seed)
        context.progress(1, 4, "study")
        outcome = run_study(study, folder / "work", on=backend_for(0), cancelled=context.is_cancelled)
        context.progress(3, 4, "one cell again")
        same = replay(folder / "work", f"s000.{outcome.setting.anatomies[-1]}", folder / "again")
        checks = [*_errors(outcome), *_noise(outcome), _flag("cell-repeats", "a cell computed alone is the same", same)]
        if not context.quick:
            workers = run_study(study, folder / "workers", on=backend_for(2), cancelled=context.is_cancelled)
            alike = workers.results_hash == outcome.results_hash
            checks.append(_flag("workers-agree", "two workers give the bytes of one process", alike))
    return Commissioning(checks=tuple(checks))


def _study(rays: Path, seed: int) -> StudyConfig:
    return StudyConfig(
        seed=seed,
        rays=RaySource(set=rays),
        methods=("most-likely-shift", "profile-match-additive", "pearson"),
        named=("raw", "125 mm"),
        base=Condition(noise="snr-additive", snr=20.0),
        grid={"snr": (10.0,)},
        bootstrap=Bootstrap(resamples=100),
        worst_cases=0,
    )


def _errors(outcome: StudyOutcome) -> list[Check]:
    rows = {(row["scenario"], row["method"]): row for row in outcome.summary.rows}
    return [
        Check(
            name=f"{method}-{scenario.replace(' ', '-')}",
            title=f"{method}, {scenario}: MAE of known shifts",
            value=rows[scenario, method]["range_mae_mm"],
            unit="mm",
            limit=0.1,
        )
        for scenario in ("raw", "125 mm")
        for method in ("most-likely-shift", "profile-match-additive", "pearson")
    ]


def _noise(outcome: StudyOutcome) -> list[Check]:
    """SD against the bound, and the share of rays within 1.96 of the standard deviation the method itself states."""
    method = "profile-match-additive"
    row = next(r for r in outcome.summary.floors if (r["scenario"], r["method"]) == (NOISY, method))
    study = outcome.setting.study
    answers = scenario_answers(outcome.folder, outcome.setting.scenarios, study.methods, outcome.rays)
    noisy = next(one for one in answers if one.scenario.name == NOISY)
    m = noisy.method(method)
    given = noisy.answered[m]
    error = np.abs(noisy.numbers["r80_mm"][m] - outcome.rays.true_mm[noisy.rows])[given]
    inside = float(np.mean(error <= 1.96 * noisy.numbers["sigma_mm"][m][given]))
    ratio = row["sd_over_floor"]
    bound = "SD over the Cramer-Rao bound at SNR 10"
    return [
        Check(name="bound-low", title=bound, value=ratio, unit="1", limit=_BOUND_LOW, comparison=">="),
        Check(name="bound-high", title=bound, value=ratio, unit="1", limit=_BOUND_HIGH),
        Check(name="sigma", title="rays within 1.96 stated SD", value=inside, unit="1", limit=0.9, comparison=">="),
    ]


def _flag(name: str, title: str, passed: bool) -> Check:
    return Check(name=name, title=title, value=float(passed), unit="1", limit=1.0, comparison="==")
