"""Relative stopping power (RSP) at 100 MeV: of materials, of CT numbers, with and without an HU calibration."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.physics.materials import (
    HU_MAX,
    HU_MIN,
    Material,
    density_from_hu,
    material,
    schneider_bin,
    schneider_materials,
)
from protonqa.physics.stopping import mass_stopping_ratio
from protonqa.values import Hlut

#: Energy (MeV) at which an RSP is stated.
RSP_ENERGY_MEV = 100.0


def material_rsp(material: Material) -> float:
    """Stopping power relative to water of a material at its reference density."""
    return material.density_g_per_cm3 * mass_stopping_ratio(material, RSP_ENERGY_MEV)


@cache
def _mass_ratio_by_bin() -> NDArray[np.float64]:
    return np.array([mass_stopping_ratio(m, RSP_ENERGY_MEV) for m in schneider_materials()])


def rsp_from_hu(hu: ArrayLike, hlut: Hlut | None = None) -> NDArray[np.float64]:
    """Relative stopping power at 100 MeV of CT numbers, any shape.

    Without a calibration the Schneider densities and compositions with ICRU-49 I-values give the RSP (0 HU is
    1.024, not 1); a clinic's own `hlut` replaces it.
    """
    if hlut is not None:
        return hlut.rsp_from_hu(hu)
    return np.asarray(density_from_hu(hu) * _mass_ratio_by_bin()[schneider_bin(hu)])


def density_for_rsp(hu: ArrayLike, hlut: Hlut | None = None) -> NDArray[np.float64]:
    """Density (g/cm3) at which the Schneider composition of each HU has the RSP of `hlut` at 100 MeV."""
    if hlut is None:
        return density_from_hu(hu)
    return np.asarray(hlut.rsp_from_hu(hu) / _mass_ratio_by_bin()[schneider_bin(hu)])


@cache
def _rsp_curve() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    hu = np.arange(HU_MIN, HU_MAX + 0.5)
    return hu, rsp_from_hu(hu)


def nominal_hu(name: str) -> float:
    """The CT number whose generic RSP comes nearest to that of a reference material (as a DICOM export needs it)."""
    hu, rsp = _rsp_curve()
    return float(hu[np.argmin(np.abs(rsp - material_rsp(material(name))))])
