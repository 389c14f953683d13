"""The table of a training set: which patients, which part they belong to, their days and beams. Nothing is computed."""

from __future__ import annotations

import hashlib

import numpy as np

from protonqa.range_model.beam_draws import BeamDraw, draw_beam
from protonqa.range_model.config import Settings
from protonqa.range_model.set_config import SITES, Part, TrainingSetConfig


class CellDraw(Settings):
    """One patient of the set: a cell of the job, a shard of the set.

    ``day_seed`` is that of the day of treatment (0: the day of the planning CT); ``planned`` asks for the same beams on
    the planning CT.
    """

    name: str
    site: str
    part: Part
    patient_seed: int
    day_seed: int
    planned: bool
    beams: tuple[BeamDraw, ...]


def draw_cells(config: TrainingSetConfig) -> tuple[CellDraw, ...]:
    """Every patient of the set, sites by turns, so that a set that was stopped holds some of each."""
    cells: list[tuple[float, int, CellDraw]] = []
    for code, site in enumerate(SITES):
        wanted = config.sites[site].patients if site in config.sites else 0
        parts = parts_of_site(config, site)
        for number in range(wanted):
            place = (number + 0.5) / wanted
            cells.append((place, code, draw_cell(config, site, number, parts[_name(site, number)])))
    return tuple(cell for _, _, cell in sorted(cells, key=lambda one: one[:2]))


def parts_of_site(config: TrainingSetConfig, site: str) -> dict[str, Part]:
    """Which part each patient of a site belongs to: by the hash of name and seed, shares exact within one patient."""
    own = config.sites.get(site)
    names = [_name(site, number) for number in range(own.patients if own is not None else 0)]
    if own is not None and own.held_out:
        return dict.fromkeys(names, "held")
    names.sort(key=lambda name: hashlib.sha256(f"{config.seed}:{name}".encode()).digest())
    n_test, n_calibrate = round(config.test_share * len(names)), round(config.calibrate_share * len(names))
    parts: dict[str, Part] = dict.fromkeys(names, "train")
    parts.update(dict.fromkeys(names[:n_test], "test"))
    parts.update(dict.fromkeys(names[n_test : n_test + n_calibrate], "calibrate"))
    return parts


def draw_cell(config: TrainingSetConfig, site: str, number: int, part: Part) -> CellDraw:
    """Patient `number` of a site; depends on the seed, the site and the number alone."""
    rng = np.random.default_rng([config.seed, SITES.index(site), number])
    own = config.sites[site]
    n_field = int(rng.integers(own.fields[0], own.fields[1] + 1))
    n_pencil = int(rng.integers(own.pencils[0], own.pencils[1] + 1))
    patient_seed, day_seed = int(rng.integers(1, 2**31)), int(rng.integers(1, 2**31))
    other_day, planned = rng.uniform() < config.other_day_share, rng.uniform() < config.planned_share
    beams = [draw_beam(rng, config, "field", site) for _ in range(n_field)]
    beams += [draw_beam(rng, config, "pencil", site) for _ in range(n_pencil)]
    return CellDraw(
        name=_name(site, number),
        site=site,
        part=part,
        patient_seed=patient_seed,
        day_seed=day_seed if other_day else 0,
        planned=bool(planned and part in ("test", "held")),
        beams=tuple(beams),
    )


def _name(site: str, number: int) -> str:
    return f"{site}-{number:05d}"
