"""Measured and expected activity on the rays of a field."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protonqa.analyses.range_verification.planning import PlannedField
from protonqa.geometry.rays import depth_profiles
from protonqa.values import ProfileSet, Timeline, Volume

Floats = NDArray[np.float64]


# Nuclides below this share of all nuclei cannot move a mean range.
LEAST_SHARE = 0.002


def expected_activity(field: PlannedField, timeline: Timeline, *, washout: str, psf_mm: float) -> Volume:
    """Mean activity in the frame (Bq/ml) that the plan should leave on the planning CT; activity where A is 0."""
    import torch

    from protonqa.activity.chain import apply_chain
    from protonqa.activity.scenario import activity_scenario

    scenario = activity_scenario(
        timeline, washout=washout, positrons=True, positron_range=True, psf_fwhm_mm=psf_mm, edge="open"
    )
    sx, sy, sz = field.box.spacing_mm
    seen = apply_chain(
        torch.tensor(field.nuclei), scenario, spacing_mm=(sz, sy, sx), hu=torch.tensor(field.hu_box)
    ).activity.numpy()
    seconds = timeline.acquisition_s if timeline.acquisition_s > 0 else 1.0
    return Volume(grid=field.box, array=(seen / (seconds * field.box.voxel_ml)).astype(np.float32), unit="Bq/ml")


def nuclides_on_rays(field: PlannedField, *, psf_mm: float, width_mm: float) -> Floats:
    """Nuclei per ml of every nuclide on the rays, (7, n_ray, n_depth), for the systematic draws.

    The lateral blur of the scanner is taken into the cross section of the ray (equal variance), so that each draw needs
    only the blur along depth.
    """
    wide_mm = float(np.sqrt(width_mm**2 + 12.0 * (psf_mm / 2.3548) ** 2))
    profiles = np.zeros((field.nuclei.shape[0], field.rays.n_ray, field.n_depth))
    total = float(field.nuclei.sum(dtype=np.float64))
    for k, nuclei in enumerate(field.nuclei):
        if float(nuclei.sum(dtype=np.float64)) > LEAST_SHARE * total:
            density = Volume(grid=field.box, array=nuclei / np.float32(field.box.voxel_ml), unit="1")
            profiles[k] = depth_profiles(density, field.rays, field.n_depth, cross_section_mm=wide_mm, substeps=2)
    return profiles


def profile_set(
    field: PlannedField, volume: Volume, timeline: Timeline, *, psf_mm: float, width_mm: float
) -> ProfileSet:
    """Activity of a volume on the rays, usable where the volume covers the whole cross section of the ray."""
    activity = depth_profiles(volume, field.rays, field.n_depth, cross_section_mm=width_mm)
    inside = Volume(grid=volume.grid, array=np.ones(volume.grid.shape, dtype=np.float32), unit="1")
    covered = depth_profiles(inside, field.rays, field.n_depth, cross_section_mm=width_mm)
    return ProfileSet(
        depth_mm=np.arange(field.n_depth, dtype=np.float64) + 0.5,
        activity=activity,
        mask=covered > 0.999,
        rsp=np.maximum(field.rsp, 0.0),
        hu=field.hu,
        timeline=timeline,
        psf_fwhm_mm=psf_mm,
        ray=tuple(f"{r}-{c}" for r, c in field.lattice),
        activity_unit="Bq/ml",
    )
