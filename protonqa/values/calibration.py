"""Calibrations a clinic brings: HU to RSP by scanner and protocol, and the beam model of the machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import CalibrationError
from protonqa.values._arrays import frozen_array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hlut:
    """HU to relative stopping power (RSP) at 100 MeV, linear between nodes and constant beyond them.

    Parameters
    ----------
    hu, rsp : (n,)
        Nodes, HU strictly increasing, RSP in 0 to 3.
    name : str
        Scanner and protocol it belongs to.
    """

    hu: NDArray[np.float64]
    rsp: NDArray[np.float64]
    name: str = ""

    def __post_init__(self) -> None:
        hu = frozen_array(self.hu, "HLUT HU", shape=(None,))
        rsp = frozen_array(self.rsp, "HLUT RSP", shape=(hu.size,))
        if hu.size < 2 or not np.all(np.diff(hu) > 0):
            raise CalibrationError("HLUT nodes do not increase in HU", expected="at least two increasing HU values")
        if (rsp < 0).any() or (rsp > 10).any():
            raise CalibrationError(
                "HLUT has an impossible RSP", got=f"{rsp.min():g} to {rsp.max():g}", expected="0 to 10"
            )
        object.__setattr__(self, "hu", hu)
        object.__setattr__(self, "rsp", rsp)

    def rsp_from_hu(self, hu: ArrayLike) -> NDArray[np.float64]:
        """RSP at 100 MeV of CT numbers, any shape."""
        return np.asarray(np.interp(np.asarray(hu, dtype=np.float64), self.hu, self.rsp))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BeamModel:
    """What a machine delivers for a nominal energy; values between nodes are interpolated linearly in energy.

    Parameters
    ----------
    nominal_mev : (n,)
        Nodes, strictly increasing.
    mean_mev, spread_percent : (n,)
        Mean energy and relative energy spread (1 SD, percent of the mean) at the nozzle exit.
    sigma_x_mm, sigma_y_mm : (n,)
        Spot size (1 SD, in air) at the isocentre.
    divergence_x_mrad, divergence_y_mrad : (n,)
        Angular spread (1 SD) of the spot.
    protons_per_mu : (n,)
    virtual_sad_mm : (x, y)
        Distance of the virtual sources from the isocentre.
    range_shifter_wet_mm : mapping as tuple of (name, WET mm)
    name : str
    generic : bool
        True for the built-in model that belongs to no machine: its use is a finding.
    """

    nominal_mev: NDArray[np.float64]
    mean_mev: NDArray[np.float64]
    spread_percent: NDArray[np.float64]
    sigma_x_mm: NDArray[np.float64]
    sigma_y_mm: NDArray[np.float64]
    divergence_x_mrad: NDArray[np.float64]
    divergence_y_mrad: NDArray[np.float64]
    protons_per_mu: NDArray[np.float64]
    virtual_sad_mm: tuple[float, float] = (2000.0, 2000.0)
    range_shifter_wet_mm: tuple[tuple[str, float], ...] = ()
    name: str = ""
    generic: bool = False

    def __post_init__(self) -> None:
        nominal = frozen_array(self.nominal_mev, "nominal energy", shape=(None,))
        if nominal.size < 1 or (nominal.size > 1 and not np.all(np.diff(nominal) > 0)):
            raise CalibrationError("beam model energies do not increase", expected="increasing nominal energies in MeV")
        object.__setattr__(self, "nominal_mev", nominal)
        for name in _COLUMNS:
            column = frozen_array(getattr(self, name), f"beam model {name}", shape=(nominal.size,))
            if (column < 0).any() or (name in _POSITIVE and (column <= 0).any()):
                raise CalibrationError(f"beam model has an impossible {name}", got=f"{column.min():g}")
            object.__setattr__(self, name, column)
        if min(self.virtual_sad_mm) <= 0:
            raise CalibrationError("virtual SAD is not positive", got=f"{self.virtual_sad_mm} mm")

    def at(self, nominal_mev: float) -> dict[str, float]:
        """All columns at one nominal energy.

        Raises
        ------
        CalibrationError
            Energy outside the nodes: a beam model is not extrapolated.
        """
        low, high = float(self.nominal_mev[0]), float(self.nominal_mev[-1])
        if not low - 1e-6 <= nominal_mev <= high + 1e-6:
            raise CalibrationError(
                "energy outside the beam model", got=f"{nominal_mev:g} MeV", expected=f"{low:g} to {high:g} MeV"
            )
        return {name: float(np.interp(nominal_mev, self.nominal_mev, getattr(self, name))) for name in _COLUMNS}


_POSITIVE = ("mean_mev", "protons_per_mu")
_COLUMNS = (
    "mean_mev",
    "spread_percent",
    "sigma_x_mm",
    "sigma_y_mm",
    "divergence_x_mrad",
    "divergence_y_mrad",
    "protons_per_mu",
)
