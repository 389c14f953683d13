"""DepthProfile: what one simulated pencil beam leaves along depth, per primary proton."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import InputError
from protonqa.values._arrays import frozen_array

#: Positron emitters along the first axis of every production array, in the order of ``physics.NUCLIDE_KEYS``.
N_NUCLIDES = 7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthProfile:
    """Dose and positron emitters along depth, laterally integrated, per primary proton.

    Parameters
    ----------
    depth_mm : (n,)
        Bin centres from depth 0, increasing; 0.5, 1.5, ... in the 1 mm convention.
    production_per_mm : (7, n)
        Nuclei produced per mm and proton: 11C, 13N, 15O, 10C, 14O, 30P, 38K.
    idd_mev_per_mm : (n,) or None
        Energy deposited in the medium per mm.
    dose_mev_cm2_per_g : (n,) or None
        Dose to water per fluence, the curve that R80 is read from.
    hu, rsp : (n,) or None
        Medium on the axis.
    ray : str
        Name of the ray, empty for a single one.

    Raises
    ------
    InputError, GeometryError
        Depths not increasing, shapes that differ, NaN, negative production.
    """

    depth_mm: NDArray[np.float64]
    production_per_mm: NDArray[np.float64]
    idd_mev_per_mm: NDArray[np.float64] | None = None
    dose_mev_cm2_per_g: NDArray[np.float64] | None = None
    hu: NDArray[np.float64] | None = None
    rsp: NDArray[np.float64] | None = None
    ray: str = ""

    def __post_init__(self) -> None:
        depth = frozen_array(self.depth_mm, "depth", shape=(None,))
        if depth.size < 2 or not np.all(np.diff(depth) > 0):
            raise InputError("depths of a profile do not increase", expected="at least two increasing depths in mm")
        made = frozen_array(self.production_per_mm, "nuclide production", shape=(N_NUCLIDES, depth.size))
        if (made < 0).any():
            raise InputError("a nuclide production is negative", got=f"{made.min():g} per mm", expected="0 or more")
        object.__setattr__(self, "depth_mm", depth)
        object.__setattr__(self, "production_per_mm", made)
        for name in ("idd_mev_per_mm", "dose_mev_cm2_per_g", "hu", "rsp"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, frozen_array(value, name, shape=depth.shape))

    @property
    def raw_per_mm(self) -> NDArray[np.float64]:
        """Nuclei of all seven emitters together, per mm and proton; (n,)."""
        return np.asarray(self.production_per_mm.sum(axis=0))
