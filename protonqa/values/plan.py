"""Ion plan values: what a scanned proton field is, without any DICOM object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protonqa.errors import GeometryError, InputError
from protonqa.values._arrays import frozen_array

PATIENT_POSITIONS = ("HFS", "HFP", "FFS", "FFP", "HFDL", "HFDR", "FFDL", "FFDR")
#: Thickest range shifter (mm of water) and its farthest place from the isocentre.
MAX_WET_MM, MAX_DISTANCE_MM = 500.0, 3000.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EnergyLayer:
    """One energy layer of a scanned field.

    Parameters
    ----------
    energy_mev : float
        Nominal beam energy.
    spot_xy_mm : (n_spot, 2)
        Spot positions at the isocentre plane, IEC gantry X and Y.
    meterset_mu : (n_spot,)
        Monitor units of each spot (weights, where a plan carries no MU).
    spot_fwhm_mm : (x, y) or None
        Nominal spot size in air at the isocentre, as the plan states it.
    """

    energy_mev: float
    spot_xy_mm: NDArray[np.float64]
    meterset_mu: NDArray[np.float64]
    spot_fwhm_mm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not np.isfinite(self.energy_mev) or self.energy_mev <= 0:
            raise InputError(
                "energy layer without a usable energy", got=f"{self.energy_mev} MeV", expected="above 0 MeV"
            )
        xy = frozen_array(self.spot_xy_mm, "spot positions", shape=(None, 2))
        mu = frozen_array(self.meterset_mu, "spot weights", shape=(xy.shape[0],))
        if (mu < 0).any():
            raise InputError("a spot has a negative weight", got=f"{mu.min():g} MU", expected="0 MU or more")
        object.__setattr__(self, "spot_xy_mm", xy)
        object.__setattr__(self, "meterset_mu", mu)


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeShifter:
    """A flat slab across the whole beam, upstream of the patient.

    Parameters
    ----------
    name : str
        As the plan calls it.
    wet_mm : float or None
        Water-equivalent thickness; None where the plan leaves it to the beam model.
    distance_mm : float
        Isocentre to the downstream face, along the beam axis.
    material : str
        Name in the material table; empty where the plan does not state it.
    """

    name: str
    wet_mm: float | None
    distance_mm: float
    material: str = ""

    def __post_init__(self) -> None:
        if self.wet_mm is not None and not 0.0 < self.wet_mm <= MAX_WET_MM:
            raise InputError(
                "water-equivalent thickness of a range shifter is unusable",
                got=f"{self.wet_mm} mm",
                expected=f"above 0 to {MAX_WET_MM:g} mm",
            )
        if not -MAX_DISTANCE_MM <= self.distance_mm <= MAX_DISTANCE_MM:
            raise GeometryError(
                "a range shifter stands nowhere",
                got=f"{self.distance_mm} mm from the isocentre",
                expected=f"at most {MAX_DISTANCE_MM:g} mm",
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beam:
    """One scanned proton field; angles are IEC 61217, the isocentre is LPS mm."""

    number: int
    name: str
    gantry_deg: float
    couch_deg: float
    isocenter_mm: tuple[float, float, float]
    layers: tuple[EnergyLayer, ...]
    beam_limiting_device_deg: float = 0.0
    range_shifter: RangeShifter | None = None
    virtual_sad_mm: tuple[float, float] | None = None
    #: Reasons why protonqa cannot evaluate this beam (photon beam, missing data, ...); empty when it can.
    unsupported: tuple[str, ...] = ()
    #: TreatmentMachineName, as the plan writes it.
    machine: str = ""

    def __post_init__(self) -> None:
        iso = tuple(float(v) for v in self.isocenter_mm)
        if len(iso) != 3 or not np.all(np.isfinite(iso)):
            raise GeometryError("isocentre is not a position", got=str(self.isocenter_mm), expected="three mm values")
        for name in ("gantry_deg", "couch_deg", "beam_limiting_device_deg"):
            if not np.isfinite(getattr(self, name)):
                raise GeometryError(f"{name} is not an angle", got=str(getattr(self, name)))
        object.__setattr__(self, "isocenter_mm", iso)
        object.__setattr__(self, "layers", tuple(self.layers))

    @property
    def meterset_mu(self) -> float:
        """Sum of the spot weights."""
        return float(sum(layer.meterset_mu.sum() for layer in self.layers))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IonPlan:
    """A scanned-proton plan: its beams and how the patient lay."""

    patient_position: str
    beams: tuple[Beam, ...]
    label: str = ""
    sop_instance_uid: str = ""
    frame_of_reference_uid: str = ""
    approval_status: str = ""
    fractions: int = 1

    def __post_init__(self) -> None:
        if self.patient_position not in PATIENT_POSITIONS:
            raise GeometryError(
                "patient position of the plan is missing or unknown",
                got=repr(self.patient_position),
                expected=", ".join(PATIENT_POSITIONS),
            )
        object.__setattr__(self, "beams", tuple(self.beams))

    def beam(self, number: int) -> Beam:
        """The beam with this number.

        Raises
        ------
        InputError
            No such beam; the message lists those there are.
        """
        for beam in self.beams:
            if beam.number == number:
                return beam
        have = ", ".join(str(b.number) for b in self.beams) or "none"
        raise InputError("the plan has no such beam", got=f"beam {number}", expected=f"one of: {have}")
