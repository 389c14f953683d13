"""ProfileSet: where the simulated and the measured arm meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.values._arrays import frozen_array
from protonqa.values.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileSet:
    """Activity along depth for a set of rays.

    Parameters
    ----------
    depth_mm : (n_depth,)
        Bin centres from depth 0 of each ray, increasing; 0.5, 1.5, ... in the 1 mm convention.
    activity : (n_ray, n_depth)
        Any linear unit; what it is stands in ``activity_unit``.
    mask : (n_ray, n_depth) bool
        True where the activity may be used (the depth window).
    rsp, hu : (n_ray, n_depth) or None
        Planning CT along the ray.
    timeline : Timeline or None
        One time line for all rays; None when unknown.
    psf_fwhm_mm : float or None
    ray : (n_ray,) str
        Names of the rays, in order.

    Raises
    ------
    InputError, GeometryError
        Depths not increasing, shapes that differ, NaN.
    """

    depth_mm: NDArray[np.float64]
    activity: NDArray[np.float64]
    mask: NDArray[np.bool_] | None = None
    rsp: NDArray[np.float64] | None = None
    hu: NDArray[np.float64] | None = None
    timeline: Timeline | None = None
    psf_fwhm_mm: float | None = None
    ray: tuple[str, ...] = ()
    activity_unit: str = "relative"

    def __post_init__(self) -> None:
        depth = frozen_array(self.depth_mm, "depth", shape=(None,))
        if depth.size < 2 or not np.all(np.diff(depth) > 0):
            raise InputError("depths of a profile do not increase", expected="at least two increasing depths in mm")
        activity = frozen_array(self.activity, "activity", shape=(None, depth.size))
        n_ray = activity.shape[0]
        object.__setattr__(self, "depth_mm", depth)
        object.__setattr__(self, "activity", activity)
        mask = np.ones_like(activity, dtype=bool) if self.mask is None else self.mask
        object.__setattr__(self, "mask", frozen_array(mask, "mask", dtype=bool, shape=activity.shape))
        for name in ("rsp", "hu"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, frozen_array(value, name, shape=activity.shape))
        names = self.ray or tuple(str(i) for i in range(n_ray))
        if len(names) != n_ray:
            raise InputError("ray names do not match the rays", got=f"{len(names)} names", expected=f"{n_ray}")
        object.__setattr__(self, "ray", tuple(str(n) for n in names))
        if self.psf_fwhm_mm is not None and not (np.isfinite(self.psf_fwhm_mm) and self.psf_fwhm_mm >= 0):
            raise InputError("PSF width is not a length", got=f"{self.psf_fwhm_mm} mm", expected="0 mm or more")

    @property
    def n_ray(self) -> int:
        """Number of rays."""
        return int(self.activity.shape[0])
