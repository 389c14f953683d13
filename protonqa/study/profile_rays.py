"""Rays from profile tables as `simulate` writes them: the dose column is the truth, the nuclides are the activity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.files.depth_profiles import read_depth_profiles
from protonqa.physics.curves import Falloff, NotEvaluable, distal_range, falloff_width
from protonqa.values import DepthProfile

if TYPE_CHECKING:
    from protonqa.range_model.dataset import RayTable, TrainingRay
    from protonqa.study.settings import ProfileFile

Floats = NDArray[np.float64]


def table_of_profiles(profiles: Sequence[ProfileFile]) -> RayTable:
    """Every ray of every file, a file an anatomy; rays are 1 mm bins from depth 0.

    Raises
    ------
    InputError
        Files without dose, or whose dose has no range; expected profiles of other rays.
    """
    from protonqa.range_model.dataset import RayTable, SetSchema

    schema = SetSchema(dose_bin_mm=1.0)
    rays, expected = [], []
    for number, one in enumerate(profiles):
        name = f"profile-{number + 1:03d}"
        found = read_depth_profiles(one.file)
        rays += [_ray(profile, name, one) for profile in found]
        if one.expected is not None:
            planned = read_depth_profiles(one.expected)
            if len(planned) != len(found):
                raise InputError(
                    "expected profiles do not match",
                    got=f"{len(planned)} rays in file {number + 1}",
                    expected=str(len(found)),
                )
            expected += [_ray(profile, name, one) for profile in planned]
    table = RayTable.from_rays(rays, schema)
    if len(expected) != len(rays):
        return table
    plan = RayTable.from_rays(expected, schema)
    return replace(
        table,
        hu=plan.hu,
        rsp=plan.rsp,
        planned_r80_mm=plan.r80_mm,
        planned_production=plan.production,
        planned_known=np.ones(len(table), dtype=bool),
    )


def _ray(profile: DepthProfile, anatomy: str, about: ProfileFile) -> TrainingRay:
    from protonqa.range_model.dataset import TrainingRay
    from protonqa.range_model.rays import WORKING_BINS, depth_edges_mm, overlap_mm

    dose = profile.dose_mev_cm2_per_g
    if dose is None or profile.rsp is None:
        raise InputError(
            f"the profile table of {anatomy} has no truth", expected="columns dose_mev_cm2_per_g, hu and rsp"
        )
    mark, width = distal_range(profile.depth_mm, dose), falloff_width(profile.depth_mm, dose)
    if isinstance(mark, NotEvaluable):
        raise InputError(f"the dose of {anatomy} has no range", got=mark.reason)
    edges, working = depth_edges_mm(profile.depth_mm), np.arange(WORKING_BINS + 1, dtype=np.float64)
    share = overlap_mm(edges, working)
    covered = share.sum(axis=0)

    def binned(values: Floats, outside: float) -> Floats:
        return np.where(covered > 0, values @ share / np.where(covered > 0, covered, 1.0), outside)

    hu = binned(np.zeros_like(dose) if profile.hu is None else profile.hu, -1000.0)
    return TrainingRay(
        anatomy=anatomy,
        site=about.site,
        kind="pencil",
        production=np.stack([binned(one, 0.0) for one in profile.production_per_mm]),
        hu_true=hu,
        hu=hu,
        rsp=binned(profile.rsp, 0.001),
        dose=binned(np.maximum(dose, 0.0) / float(dose.max()), 0.0),
        r80_mm=float(mark.value_mm),
        planned_r80_mm=float(mark.value_mm),
        energy_low_mev=0.0,
        energy_high_mev=0.0,
        falloff_mm=float(width.width_mm) if isinstance(width, Falloff) else 0.0,
        range_mixed=bool(width.is_range_mixed()) if isinstance(width, Falloff) else True,
        heterogeneous=about.heterogeneous,
        sobp=about.sobp,
        protons=1.0,
    )
