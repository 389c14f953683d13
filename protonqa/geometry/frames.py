"""Beam frames: how a gantry and couch angle (IEC 61217) point in the patient (DICOM LPS)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protonqa.errors import GeometryError
from protonqa.values import PATIENT_POSITIONS
from protonqa.values._arrays import frozen_array

# LPS directions of the IEC patient-support axes X, Y, Z at couch angle 0, for each way of lying. Seen by someone who
# faces the gantry, X points right, Y to the gantry, Z up. Head first puts the head (+z) towards the gantry; supine puts
# the front (-y) up, prone the back (+y); decubitus right has the right side (-x) down, decubitus left the left side.
# Source: IEC 61217 for the axes, DICOM PS3.3 C.7.3.1.1.2 for the terms.
_SUPPORT_AXES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]] = {
    "HFS": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "HFP": ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
    "FFS": ((-1, 0, 0), (0, 0, -1), (0, -1, 0)),
    "FFP": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "HFDR": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    "HFDL": ((0, -1, 0), (0, 0, 1), (-1, 0, 0)),
    "FFDR": ((0, -1, 0), (0, 0, -1), (1, 0, 0)),
    "FFDL": ((0, 1, 0), (0, 0, -1), (-1, 0, 0)),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BeamFrame:
    """The beam's-eye view of one field, in patient coordinates.

    Beam's-eye-view (BEV) coordinates are ``(x, y, along)``: IEC gantry X and Y in the isocentre plane, and the way
    along the travel of the protons from that plane, positive downstream (minus IEC gantry Z).

    Parameters
    ----------
    isocenter_mm : (3,)
        LPS position.
    x_axis, y_axis : (3,)
        LPS unit vectors of IEC gantry X and Y (of the beam limiting device, where its angle was given).
    direction : (3,)
        LPS unit vector in which the protons travel: minus IEC gantry Z.

    Raises
    ------
    GeometryError
        Axes not perpendicular unit vectors, or ``x_axis x y_axis`` is not minus ``direction``.
    """

    isocenter_mm: NDArray[np.float64]
    x_axis: NDArray[np.float64]
    y_axis: NDArray[np.float64]
    direction: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("isocenter_mm", "x_axis", "y_axis", "direction"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), f"beam frame {name}", shape=(3,)))
        axes = np.stack([self.x_axis, self.y_axis, -self.direction])
        if not np.allclose(axes @ axes.T, np.eye(3), atol=1e-6) or np.linalg.det(axes) < 0:
            raise GeometryError(
                "beam frame axes are not a right-handed set of unit vectors",
                got=str(np.round(axes, 4).tolist()),
                expected="X, Y and minus the direction of travel, right-handed",
            )

    def lps_from_bev(self, bev_mm: ArrayLike, along_mm: ArrayLike = 0.0) -> NDArray[np.float64]:
        """LPS positions of BEV positions.

        Parameters
        ----------
        bev_mm : (..., 2) or (..., 3)
            ``(x, y)`` with `along_mm` for all of them (broadcast), or ``(x, y, along)``.

        Returns
        -------
        (..., 3)
        """
        bev = np.asarray(bev_mm, dtype=np.float64)
        if bev.shape[-1:] not in ((2,), (3,)):
            raise GeometryError("BEV position has the wrong shape", got=str(bev.shape), expected="(..., 2) or (..., 3)")
        along = np.asarray(along_mm, dtype=np.float64) + (bev[..., 2] if bev.shape[-1] == 3 else 0.0)
        return np.asarray(
            self.isocenter_mm
            + bev[..., 0, None] * self.x_axis
            + bev[..., 1, None] * self.y_axis
            + along[..., None] * self.direction
        )

    def bev_from_lps(self, position_mm: ArrayLike) -> NDArray[np.float64]:
        """BEV positions ``(x, y, along)`` of LPS positions; (..., 3) -> (..., 3)."""
        axes = np.stack([self.x_axis, self.y_axis, self.direction], axis=1)
        return np.asarray((np.asarray(position_mm, dtype=np.float64) - self.isocenter_mm) @ axes)


def beam_frame(
    patient_position: str,
    gantry_deg: float,
    couch_deg: float,
    isocenter_mm: ArrayLike,
    *,
    beam_limiting_device_deg: float = 0.0,
) -> BeamFrame:
    """The frame of a field from its IEC 61217 angles.

    Parameters
    ----------
    patient_position : str
        DICOM PatientPosition of the plan, one of ``protonqa.values.PATIENT_POSITIONS``.
    gantry_deg : float
        Clockwise for someone facing the gantry: 0 from above, 90 from that person's right.
    couch_deg : float
        Patient support angle, positive counter-clockwise seen from above.
    isocenter_mm : (3,)
        LPS.
    beam_limiting_device_deg : float
        Turns X and Y counter-clockwise seen from the source. Scan spots are in gantry coordinates: leave it 0 there.

    Raises
    ------
    GeometryError
        Unknown patient position, angle not finite.

    Notes
    -----
    A beam from the patient's right side is gantry 270 for HFS and 90 for FFS. Source: IEC 61217.
    """
    if patient_position not in _SUPPORT_AXES:
        raise GeometryError(
            "patient position is missing or unknown",
            got=repr(patient_position),
            expected=", ".join(PATIENT_POSITIONS),
            remedy="set the patient position of the plan",
        )
    angles = np.array([gantry_deg, couch_deg, beam_limiting_device_deg], dtype=np.float64)
    if not np.isfinite(angles).all():
        raise GeometryError("beam angle is not a number", got=f"gantry {gantry_deg}, couch {couch_deg} degrees")
    (sin_g, sin_c, sin_b), (cos_g, cos_c, cos_b) = _sin(angles), _sin(angles + 90.0)
    # Columns: gantry X, Y, Z in the fixed room system.
    gantry = np.array([[cos_g, 0.0, sin_g], [0.0, 1.0, 0.0], [-sin_g, 0.0, cos_g]])
    turned = gantry @ np.array([[cos_b, -sin_b, 0.0], [sin_b, cos_b, 0.0], [0.0, 0.0, 1.0]])
    # The couch turns with the patient: room vectors are seen from it turned the other way.
    room_to_support = np.array([[cos_c, sin_c, 0.0], [-sin_c, cos_c, 0.0], [0.0, 0.0, 1.0]])
    support_to_lps = np.array(_SUPPORT_AXES[patient_position], dtype=np.float64).T
    axes = support_to_lps @ room_to_support @ turned
    return BeamFrame(
        isocenter_mm=np.asarray(isocenter_mm, dtype=np.float64),
        x_axis=axes[:, 0],
        y_axis=axes[:, 1],
        direction=-axes[:, 2] + 0.0,
    )


def _sin(angle_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sine in degrees, exact at multiples of 90 so that lateral fields run exactly along voxel rows."""
    turn = np.mod(angle_deg, 360.0)
    value = np.sin(np.deg2rad(turn))
    for exact, known in ((0.0, 0.0), (90.0, 1.0), (180.0, 0.0), (270.0, -1.0), (360.0, 0.0)):
        value = np.where(np.abs(turn - exact) < 1e-12, known, value)
    return np.asarray(value)
